//! What honest plugins answer.

use kennel_wasm::model::check::Status;
use kennel_wasm::model::{policy, sink};

use crate::support::{Guest, World, batch, bounded, decide, verdict};

#[tokio::test]
async fn a_check_answers() {
    let world = World::new();
    for (number, status) in
        [Status::Healthy, Status::Degraded, Status::Unhealthy, Status::Late, Status::Unknown]
            .into_iter()
            .enumerate()
    {
        let guest = Guest::check(&format!("(call $verdict (i32.const {number}))"));
        let binding = world.bind(&guest).await;
        binding.configure().await.expect("configured");
        let verdict = verdict(&binding).await;
        assert_eq!((verdict.status, verdict.reason.as_str()), (status, "fine"));
        assert_eq!(binding.stats().calls, 1);
        assert_eq!(binding.stats().latency.counts.iter().sum::<u64>(), 1);
    }
    assert_eq!(world.host.told(), Vec::<String>::new());
}

#[tokio::test]
async fn a_policy_decides() {
    let world = World::new();
    let binding = world.bind(&Guest::policy("(call $decision (i64.const 2500))")).await;
    let decision = decide(&binding).await;
    let action = policy::Action::RestartAfter(std::time::Duration::from_millis(2500));
    assert_eq!(decision.action, action);
    assert_eq!(decision.reason, "fine");
}

#[tokio::test]
async fn a_sink_takes_events() {
    let world = World::new();
    let binding = world.bind(&Guest::sink("(call $taken (local.get $count))")).await;
    let delivered = bounded(binding.deliver(batch(3))).await;
    assert_eq!(delivered, Ok(sink::Delivery::Taken(3)));
}
