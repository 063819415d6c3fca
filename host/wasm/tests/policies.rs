//! Decisions follow from their input alone.

use std::time::Duration;

use kennel_wasm::Grants;
use kennel_wasm::grants::NetGrant;
use kennel_wasm::model::policy::{Action, Decision};

use crate::support::guest::RESULT;
use crate::support::{Guest, World, bounded, decide, question, subject};

const CLOCKS: &str = "package wasi:clocks@0.2.0;
    interface wall-clock { record datetime { seconds: u64, nanoseconds: u32 } now: func() -> datetime; }
    interface monotonic-clock { now: func() -> u64; }";
const RANDOM: &str = "package wasi:random@0.2.0;
    interface random { get-random-u64: func() -> u64; }";

#[tokio::test]
async fn each_decision_has_an_instance_of_its_own() {
    let world = World::new();
    let guest = Guest::policy("(call $decision (i64.extend_i32_u (global.get $calls)))");
    let plugin = world.load(&guest).await;
    let binding = plugin.bind(guest.kind, "{}").expect("binds");
    for _ in 0..3 {
        let decision = decide(&binding).await;
        assert_eq!(decision.action, Action::RestartAfter(Duration::from_millis(1)));
    }
    assert_eq!(plugin.stats().instances, 3);
    assert_eq!(world.runtime.stats().warm_instances, 0);
}

#[tokio::test]
async fn its_clocks_stand_where_the_input_says() {
    let world = World::new();
    // Seconds and milliseconds of the wall clock, as the delay.
    let guest = Guest::policy(
        "(call $now (i32.const 3000))
         (drop (call $ticks))
         (call $decision (i64.add
           (i64.mul (i64.rem_u (i64.load (i32.const 3000)) (i64.const 1000)) (i64.const 1000))
           (i64.extend_i32_u (i32.div_u (i32.load (i32.const 3008)) (i32.const 1000000)))))",
    )
    .import("wasi:clocks/wall-clock@0.2.0", "now", "$now (param i32)")
    .import("wasi:clocks/monotonic-clock@0.2.0", "now", "$ticks (result i64)")
    .foreign("wasi:clocks/wall-clock@0.2.0", CLOCKS)
    .foreign("wasi:clocks/monotonic-clock@0.2.0", "");
    let binding = world.bind(&guest).await;
    // 1_700_000_000_123
    let expected = Action::RestartAfter(Duration::from_millis(123));
    assert_eq!(decide(&binding).await.action, expected);
}

#[tokio::test]
async fn its_random_numbers_follow_from_the_input() {
    let world = World::new();
    let guest = Guest::policy("(call $decision (i64.shr_u (call $random) (i64.const 40)))")
        .import("wasi:random/random@0.2.0", "get-random-u64", "$random (result i64)")
        .foreign("wasi:random/random@0.2.0", RANDOM);
    let binding = world.bind(&guest).await;
    let first = decide(&binding).await.action;
    assert_eq!(decide(&binding).await.action, first);
    let mut later = question();
    later.now_unix_ms += 1;
    let other = bounded(binding.decide(subject(), later)).await.expect("no fault");
    assert_ne!(other.expect("a decision").action, first);
}

#[tokio::test]
async fn it_has_no_network_whatever_is_granted() {
    let mut world = World::new();
    let all = NetGrant::parse("127.0.0.0/8:*").expect("a grant");
    world.grants = Grants { net: vec![all], ..Grants::default() };
    // The result of the probe, an error or not, as the delay.
    let asks = Guest::policy(&format!(
        "(call $tcp (i32.const 700) (i32.const 4))
         (call $decision (i64.extend_i32_u (i32.load8_u (i32.const {RESULT}))))"
    ))
    .with_tcp()
    // Beyond what the contract has for a policy.
    .foreign("kennel:plugin/probe@0.1.0", "")
    .items("(data (i32.const 700) \"ok:1\")");
    let refused = Action::RestartAfter(Duration::from_millis(1));
    assert_eq!(decide(&world.bind(&asks).await).await.action, refused);
    assert_eq!(world.host.asked(), 0);
}

#[tokio::test]
async fn a_delay_of_ages_is_cut() {
    let world = World::new();
    let binding = world.bind(&Guest::policy("(call $decision (i64.const -1))")).await;
    let week = Duration::from_secs(7 * 24 * 3600);
    assert_eq!(decide(&binding).await.action, Action::RestartAfter(week));
}

#[tokio::test]
async fn only_who_was_granted_it_may_give_up() {
    let guest = Guest::policy(
        "(drop (call $decision (i64.const 0)))
         (i32.store8 (i32.const 1032) (i32.const 2))
         (i32.store (i32.const 1040) (i32.const 64))
         (i32.store (i32.const 1044) (i32.const 4))
         (i32.const 1024)",
    );
    let mut world = World::new();
    let Decision { action, reason, state: _ } = decide(&world.bind(&guest).await).await;
    assert_eq!((action, reason.as_str()), (Action::UseDefault, "may not give up: fine"));
    assert_eq!(world.host.denied(), ["needs grants: { give_up: true }"]);

    world.grants = Grants { give_up: true, ..Grants::default() };
    let action = decide(&world.bind(&guest).await).await.action;
    assert_eq!(action, Action::GiveUp("fine".into()));
}
