//! That plugins do not hold up one another, nor anybody who asks.

use std::task::Poll;
use std::time::Duration;

use kennel_wasm::{Binding, Fault, Kind, Settings};

use crate::support::{
    Guest, World, batch, bounded, check, decide, fault, input, question, subject, until, verdict,
};

const LOOP: &str = "(loop $for_ever (br $for_ever)) (i32.const 0)";

fn waiting() -> Guest {
    Guest::check("(call $tcp (i32.const 700) (i32.const 6)) (call $verdict (i32.const 0))")
        .with_tcp()
        .items("(data (i32.const 700) \"hang:1\")")
}

#[tokio::test]
async fn while_one_loops_the_others_on_its_thread_go_on() {
    let world = World::new();
    let looping = world.load(&Guest::check(LOOP)).await;
    let loops: Vec<_> =
        (0..8).map(|_| looping.bind(Kind::HealthCheck, "{}").expect("binds")).collect();
    let mut running = tokio::task::JoinSet::new();
    for binding in &loops {
        let binding = binding.clone();
        running.spawn(async move { check(&binding).await });
    }
    until("all loop", || looping.stats().pending == 8).await;

    // Computing and waiting ones alike; the host's answer comes by way of the same thread.
    let healthy = world.bind(&Guest::healthy()).await;
    let asking = world
        .bind(
            &Guest::check(
                "(call $tcp (i32.const 700) (i32.const 4)) (call $verdict (i32.const 0))",
            )
            .with_tcp()
            .items("(data (i32.const 700) \"ok:1\")"),
        )
        .await;
    for _ in 0..20 {
        verdict(&healthy).await;
        verdict(&asking).await;
    }
    assert_eq!(looping.stats().pending, 8, "they loop still");

    // Who asked does not want to know any more: the call ends.
    drop(running);
    until("the loops end", || looping.stats().pending == 0).await;
    assert_eq!(looping.stats().memory_bytes, 0);
}

#[tokio::test]
async fn loops_of_one_plugin_take_turns_and_all_end() {
    let mut world = World::new();
    world.limits.cpu = Duration::from_millis(20);
    let plugin = world.load(&Guest::check(LOOP)).await;
    let mut running = tokio::task::JoinSet::new();
    for _ in 0..4 {
        let binding = plugin.bind(Kind::HealthCheck, "{}").expect("binds");
        running.spawn(async move { fault(&binding).await });
    }
    while let Some(fault) = running.join_next().await {
        assert_eq!(fault.expect("no panic"), Fault::Cpu);
    }
}

#[tokio::test]
async fn a_full_queue_refuses_at_once_and_counts() {
    let world = World::with(Settings { workers: 1, queue: 0, ..Settings::default() });
    let plugin = world.load(&waiting()).await;
    let binding = plugin.bind(Kind::HealthCheck, "{}").expect("binds");
    let mut running = tokio::task::JoinSet::new();
    for _ in 0..64 {
        let binding = binding.clone();
        running.spawn(async move { check(&binding).await });
    }
    until("all wait", || world.host.asked() == 64).await;
    // Who waits is told the same, but later.
    let mut one_more = std::pin::pin!(check(&binding));
    let at_once =
        std::future::poll_fn(|context| Poll::Ready(one_more.as_mut().poll(context))).await;
    assert_eq!(at_once.map(Result::err), Poll::Ready(Some(Fault::Busy)));
    assert_eq!(binding.stats().skipped, 1);
    assert_eq!((plugin.stats().skipped, plugin.stats().pending), (1, 64));
    assert_eq!(world.host.told(), Vec::<String>::new(), "the plugin is not to blame");
    drop(running);
    until("there is place", || plugin.stats().pending == 0).await;
}

/// Asks a policy or a sink: the fault, or none.
async fn asked(binding: &Binding) -> Option<Fault> {
    match binding.kind() {
        Kind::HealthCheck => check(binding).await.err(),
        Kind::RestartPolicy => bounded(binding.decide(subject(), question())).await.err(),
        Kind::EventSink => bounded(binding.deliver(batch(1))).await.err(),
    }
}

#[tokio::test]
async fn a_full_queue_refuses_policies_and_sinks_at_once_too() {
    for kind in [Kind::RestartPolicy, Kind::EventSink] {
        let world = World::with(Settings { workers: 1, queue: 0, ..Settings::default() });
        let plugin = world.load(&Guest::new(kind, LOOP)).await;
        let binding = plugin.bind(kind, "{}").expect("binds");
        let mut running = tokio::task::JoinSet::new();
        for _ in 0..64 {
            let binding = binding.clone();
            running.spawn(async move { asked(&binding).await });
        }
        until("all are under way", || plugin.stats().pending == 64).await;
        assert_eq!(asked(&binding).await, Some(Fault::Busy), "{kind}");
        assert_eq!((plugin.stats().skipped, plugin.stats().pending), (1, 64), "{kind}");
        assert_eq!(world.host.told(), Vec::<String>::new(), "the plugin is not to blame");
        drop(running);
        until("there is place", || plugin.stats().pending == 0).await;
    }
}

#[tokio::test]
async fn who_waits_in_the_queue_for_half_of_its_time_is_told_so() {
    let world = World::with(Settings { workers: 1, queue: 1, ..Settings::default() });
    let binding = world.bind(&waiting()).await;
    let mut running = tokio::task::JoinSet::new();
    for _ in 0..64 {
        let binding = binding.clone();
        running.spawn(async move { check(&binding).await });
    }
    until("all wait", || world.host.asked() == 64).await;
    let patience = Duration::from_millis(50);
    let asked = bounded(binding.check(subject(), input(), patience)).await;
    assert_eq!(asked, Err(Fault::Busy));
    assert_eq!(world.host.asked(), 64);
}

#[tokio::test]
async fn the_ticker_sleeps_while_no_plugin_computes() {
    let mut world = World::new();
    world.limits.cpu = Duration::from_millis(50);
    let ticks = || world.runtime.stats().ticker_wake_ups;
    let looping = world.bind(&Guest::check(LOOP)).await;
    assert_eq!(fault(&looping).await, Fault::Cpu);
    let after = ticks();
    assert!(after >= 5, "it ticked while the plugin computed: {after}");

    // Once idle, and while a plugin waits for the host.
    let is_silent = || async {
        loop {
            let before = ticks();
            tokio::time::sleep(Duration::from_millis(100)).await;
            if ticks() == before {
                return;
            }
        }
    };
    bounded(is_silent()).await;
    let plugin = world.load(&waiting()).await;
    let binding = plugin.bind(Kind::HealthCheck, "{}").expect("binds");
    let running = tokio::spawn(async move { check(&binding).await });
    until("it waits", || world.host.asked() == 1).await;
    bounded(is_silent()).await;
    assert_eq!(plugin.stats().pending, 1, "it waits still");
    running.abort();
}

#[tokio::test]
async fn everything_ends_with_the_last_who_holds_it() {
    let world = World::new();
    let binding = world.bind(&Guest::healthy()).await;
    verdict(&binding).await;
    let waiting = world.bind(&waiting()).await;
    let asking = tokio::spawn(async move { check(&waiting).await });
    until("it waits", || world.host.asked() == 1).await;
    let World { runtime, host, limits: _, grants: _ } = world;
    drop(runtime);
    verdict(&binding).await;
    asking.abort();
    drop(binding);
    // Plugins, instances and calls hold the host; only this test does in the end.
    until("all is gone", || std::sync::Arc::strong_count(&host) == 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_bindings_of_a_hostile_plugin_and_one_honest_plugin() {
    let mut world = World::with(Settings { workers: 2, ..Settings::default() });
    world.limits.cpu = Duration::from_millis(20);
    let hostile = world.load(&Guest::check(LOOP)).await;
    let honest = world.bind(&Guest::healthy()).await;
    let mut running = tokio::task::JoinSet::new();
    for _ in 0..200 {
        let binding = hostile.bind(Kind::HealthCheck, "{}").expect("binds");
        running.spawn(async move { check(&binding).await });
    }
    for _ in 0..50 {
        verdict(&honest).await;
    }
    let mut stopped = 0;
    while let Some(answer) = running.join_next().await {
        let fault = answer.expect("no panic").expect_err("a fault");
        assert!(matches!(fault, Fault::Cpu), "{fault}");
        stopped += 1;
    }
    assert_eq!(stopped, 200);
}

#[tokio::test]
async fn a_plugin_runs_on_threads_that_run_nothing_else() {
    let world = World::with(Settings { workers: 2, ..Settings::default() });
    let speaks =
        "(call $log (i32.const 2) (i32.const 64) (i32.const 4) (i32.const 0) (i32.const 0))";
    for kind in Kind::ALL {
        let answer = match kind {
            Kind::HealthCheck => "(call $verdict (i32.const 0))",
            Kind::RestartPolicy => "(call $decision (i64.const 1))",
            Kind::EventSink => "(call $taken (i32.const 1))",
        };
        let guest = Guest::new(kind, &format!("{speaks} {answer}")).with_log();
        let binding = world.bind(&guest).await;
        match kind {
            Kind::HealthCheck => drop(verdict(&binding).await),
            Kind::RestartPolicy => drop(decide(&binding).await),
            Kind::EventSink => drop(bounded(binding.deliver(batch(1))).await.expect("taken")),
        }
    }
    let threads = world.host.threads.lock().expect("sound").clone();
    assert!(!threads.is_empty());
    assert!(threads.iter().all(|name| name.starts_with("kennel-plugin-")), "{threads:?}");
}
