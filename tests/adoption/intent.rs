//! What the operator wanted holds, whatever happens to the supervisor.

use super::{mains, succeed};
use crate::support::Kennel;

const TWO: &str = r#"
        services:
          web: { command: [sleep, "1000"] }
          db: { command: [sleep, "1000"] }
"#;

#[test]
fn what_the_operator_stopped_stays_stopped_over_a_kill_and_over_an_orderly_end() {
    let mut kennel = Kennel::running(TWO);
    kennel.wait_for_state("web", "up");
    // At once after the answer, which is a promise.
    assert_eq!(kennel.cli(&["stop", "--no-wait", "web"]).code, 0);
    succeed(&mut kennel);
    kennel.wait_for_state("web", "down");
    assert_eq!(kennel.service("web")["wanted"], "down");
    kennel.wait_for_state("db", "up");
    assert_eq!(kennel.terminate(), 0);
    kennel.assert_nothing_is_left();
    kennel.start();
    kennel.wait_for_state("db", "up");
    assert_eq!(kennel.service("web")["state"], "down");
    assert_eq!(mains(&kennel, "web"), []);
    assert_eq!(kennel.cli(&["start", "web"]).code, 0);
    succeed(&mut kennel);
    kennel.wait_for_state("web", "up");
}

#[test]
fn a_scale_holds_over_a_kill() {
    let mut kennel = Kennel::running(TWO);
    assert_eq!(kennel.cli(&["scale", "web", "3"]).code, 0);
    let before = kennel.process("web/2");
    succeed(&mut kennel);
    kennel.wait_for_state("web/2", "up");
    assert_eq!(kennel.process("web/2"), before);
    assert_eq!(mains(&kennel, "web").len(), 3);
    assert_eq!(kennel.terminate(), 0);
    kennel.start();
    kennel.wait_for_state("web/2", "up");
}

#[test]
fn a_definition_that_changed_meanwhile_is_taken_and_a_service_that_is_gone_is_stopped() {
    let mut kennel = Kennel::running(
        r#"
        services:
          same: { command: [sleep, "1000"] }
          other: { command: [sleep, "1000"] }
          gone: { command: [sleep, "1000"] }
          calm: { command: [sleep, "1000"] }
        "#,
    );
    for name in ["same", "other", "gone", "calm"] {
        kennel.wait_for_state(name, "up");
    }
    let (same, other) = (kennel.process("same"), kennel.process("other"));
    let (gone, calm) = (kennel.process("gone"), kennel.process("calm"));
    kennel.kill_supervisor();
    kennel.configure(
        r#"
        services:
          same: { command: [sleep, "1000"] }
          other: { command: [sleep, "1001"] }
          calm: { command: [sleep, "1000"], restart: { policy: never }, labels: { a: b } }
          new: { command: [sleep, "1000"] }
        "#,
    );
    kennel.start();
    kennel.wait_for_state("new", "up");
    let now = kennel.wait_for_new_run("other", &other);
    assert_eq!(now.command, "sleep 1001");
    assert!(!other.is_alive());
    assert_eq!(kennel.process("same"), same);
    assert_eq!(kennel.process("calm"), calm);
    crate::support::wait_for("the end of gone", crate::support::BOUND, || {
        (!gone.is_alive()).then_some(())
    });
    assert_eq!(kennel.terminate(), 0);
    kennel.assert_nothing_is_left();
}
