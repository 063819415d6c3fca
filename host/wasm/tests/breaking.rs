//! Plugins that fail again and again rest.

use std::time::Duration;

use kennel_wasm::model::check::Input;
use kennel_wasm::stats::BreakerState;
use kennel_wasm::{BreakerSettings, Fault, Settings};

use crate::support::{
    Guest, LONG, World, bounded, counting, fault, input, subject, until, verdict,
};

fn world(rest: Duration) -> World {
    let breaker = BreakerSettings { rest, ..BreakerSettings::default() };
    World::with(Settings { workers: 1, breaker, ..Settings::default() })
}

#[tokio::test]
async fn three_faults_in_a_row_disable_a_binding_and_no_other() {
    let world = world(LONG);
    let plugin = world.load(&counting("unreachable")).await;
    let bind = || plugin.bind(kennel_wasm::Kind::HealthCheck, "{}").expect("binds");
    let (failing, working) = (bind(), bind());
    let thirteenth = || Input { sequence: 13, ..input() };
    for _ in 0..3 {
        let failed = bounded(failing.check(subject(), thirteenth(), LONG)).await;
        assert!(matches!(failed, Err(Fault::Trap(_))), "{failed:?}");
    }
    assert!(matches!(failing.stats().breaker, BreakerState::Open { .. }));
    // Even what would work is not asked.
    assert!(matches!(fault(&failing).await, Fault::Disabled { .. }));
    assert_eq!((failing.stats().calls, failing.stats().skipped), (3, 1));
    let told = world.host.told();
    assert_eq!(told.len(), 4, "{told:?}");
    assert_eq!(told[3], "disabled");
    verdict(&working).await;
}

#[tokio::test]
async fn after_a_rest_one_success_enables_it_again() {
    let world = world(Duration::from_millis(20));
    let binding = world.bind(&counting("unreachable")).await;
    for _ in 0..3 {
        let thirteenth = Input { sequence: 13, ..input() };
        bounded(binding.check(subject(), thirteenth, LONG)).await.expect_err("a fault");
    }
    let rested =
        || matches!(binding.stats().breaker, BreakerState::Open { for_ } if for_.is_zero());
    until("it has rested", rested).await;
    verdict(&binding).await;
    assert_eq!(binding.stats().breaker, BreakerState::Closed);
    assert_eq!(world.host.told().last().map(String::as_str), Some("enabled"));
    verdict(&binding).await;
}

#[tokio::test]
async fn an_error_of_the_plugin_itself_is_an_answer_and_no_fault() {
    let world = world(LONG);
    let guest = Guest::check(
        "(drop (call $verdict (i32.const 0)))
         (i32.store8 (i32.const 1024) (i32.const 1))
         (i32.store (i32.const 1028) (i32.const 64))
         (i32.store (i32.const 1032) (i32.const 4))
         (i32.const 1024)",
    );
    let binding = world.bind(&guest).await;
    for _ in 0..5 {
        let answered = crate::support::check(&binding).await.expect("no fault");
        assert_eq!(answered, Err("fine".into()));
    }
    assert_eq!(binding.stats().faults, 0);
}
