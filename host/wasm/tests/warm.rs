//! Instances are used again, and thrown away in time.

use std::time::Duration;

use kennel_wasm::{Kind, Settings, WarmSettings};

use crate::support::{Guest, World, batch, bounded, counting, verdict};

fn world(warm: WarmSettings) -> World {
    World::with(Settings { workers: 1, warm, ..Settings::default() })
}

async fn reasons(world: &World, guest: &Guest, calls: usize) -> String {
    let binding = world.bind(guest).await;
    let mut reasons = String::new();
    for _ in 0..calls {
        reasons += &verdict(&binding).await.reason;
    }
    reasons
}

#[tokio::test]
async fn a_check_is_asked_of_the_same_instance() {
    let world = world(WarmSettings::default());
    let plugin = world.load(&counting("unreachable")).await;
    let binding = plugin.bind(Kind::HealthCheck, "{}").expect("binds");
    for expected in ["1", "2", "3"] {
        assert_eq!(verdict(&binding).await.reason, expected);
    }
    assert_eq!(plugin.stats().instances, 1);
    assert_eq!(binding.stats().warm_instances, 1);
    drop(binding);
    assert_eq!(world.runtime.stats().warm_instances, 0);
    assert_eq!(plugin.stats().memory_bytes, 0);
}

#[tokio::test]
async fn so_is_a_sink() {
    let world = World::new();
    let guest = Guest::sink("(call $taken (global.get $calls))");
    let binding = world.bind(&guest).await;
    for expected in 1..4 {
        let taken = bounded(binding.deliver(batch(9))).await;
        assert_eq!(taken, Ok(kennel_wasm::model::sink::Delivery::Taken(expected)));
    }
}

#[tokio::test]
async fn an_instance_is_replaced_after_so_many_calls() {
    let world = world(WarmSettings { calls: 2, ..WarmSettings::default() });
    assert_eq!(reasons(&world, &counting("unreachable"), 5).await, "12121");
}

#[tokio::test]
async fn an_instance_is_replaced_when_it_is_old() {
    let world = world(WarmSettings { age: Duration::ZERO, ..WarmSettings::default() });
    assert_eq!(reasons(&world, &counting("unreachable"), 3).await, "111");
}

#[tokio::test]
async fn an_instance_is_replaced_when_its_memory_has_grown() {
    let world = world(WarmSettings::default());
    let grows = counting("unreachable")
        .items("(func (export \"unused\"))")
        .configure("(drop (memory.grow (i32.const 70))) (call $fine)");
    assert_eq!(reasons(&world, &grows, 3).await, "111");
}

#[tokio::test]
async fn who_was_asked_longest_ago_makes_place() {
    let world = world(WarmSettings { instances: 2, ..WarmSettings::default() });
    let plugin = world.load(&counting("unreachable")).await;
    let bind = || plugin.bind(Kind::HealthCheck, "{}").expect("binds");
    let (one, two, three) = (bind(), bind(), bind());
    for binding in [&one, &two, &one, &three] {
        verdict(binding).await;
    }
    assert_eq!(world.runtime.stats().warm_instances, 2);
    let warm = [&one, &two, &three].map(|binding| binding.stats().warm_instances);
    assert_eq!(warm, [1, 0, 1]);
    assert_eq!(verdict(&one).await.reason, "3");
}

#[tokio::test]
async fn instances_that_wait_have_a_limit_of_memory_together() {
    let world = world(WarmSettings { bytes: 300 * 1024, ..WarmSettings::default() });
    let plugin = world.load(&counting("unreachable")).await;
    for _ in 0..5 {
        let binding = plugin.bind(Kind::HealthCheck, "{}").expect("binds");
        verdict(&binding).await;
        std::mem::forget(binding);
    }
    assert_eq!(world.runtime.stats().warm_instances, 2);
}
