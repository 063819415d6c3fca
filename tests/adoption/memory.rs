//! Counters and waits outlive the supervisor.

use super::succeed;
use crate::support::Kennel;

#[test]
fn a_service_that_has_failed_stays_failed_and_counters_go_on() {
    let mut kennel = Kennel::running(
        r#"
        services:
          worker:
            shell: "exit 3"
            restart: { backoff: { initial: 10ms }, limit: { max: 2, within: 10m } }
          slow:
            shell: "echo x >> starts; exit 3"
            restart: { backoff: { initial: 1h, max: 1h } }
          job: { type: oneshot, shell: "echo x >> jobs" }
        "#,
    );
    kennel.wait_for_state("worker", "failed");
    kennel.wait_for_state("slow", "backoff");
    kennel.wait_for_state("job", "done");
    succeed(&mut kennel);
    let worker = kennel.wait_for_state("worker", "failed");
    assert_eq!(worker["restarts"], 2, "{worker}");
    assert_eq!(worker["exit"]["code"], 3, "{worker}");
    let why = kennel.cli(&["why", "worker"]).ok();
    assert_eq!(why.matches("exited with code 3 after").count(), 3, "what led there: {why}");
    let slow = kennel.wait_for_state("slow", "backoff");
    assert!(slow["next_restart_in_ms"].as_u64().unwrap() > 3_000_000, "{slow}");
    kennel.wait_for_state("job", "done");
    assert_eq!((kennel.read("starts"), kennel.read("jobs")), ("x\n".into(), "x\n".into()));
    // An orderly end is another matter: the next start is somebody's will.
    assert_eq!(kennel.terminate(), 0);
    kennel.start();
    kennel.wait_for_state("worker", "failed");
    kennel.wait_for_state("job", "done");
    assert_eq!(kennel.read("jobs"), "x\nx\n");
}

#[test]
fn run_numbers_and_event_numbers_go_on() {
    let mut kennel = Kennel::running("services: { web: { command: [sleep, '1000'] } }");
    kennel.wait_for_state("web", "up");
    let first = kennel.wait_for_event("service.started", "web")["attributes"]["run"].clone();
    succeed(&mut kennel);
    kennel.wait_for_state("web", "up");
    assert_eq!(kennel.cli(&["restart", "web"]).code, 0);
    let starts = kennel.events_of("service.started", "web");
    let last = &starts.last().unwrap()["attributes"]["run"];
    assert!(last.as_u64() > first.as_u64(), "{starts:?}");
    let numbers: Vec<u64> =
        kennel.events().iter().map(|event| event["seq"].as_u64().unwrap()).collect();
    let expected: Vec<u64> = (1..).take(numbers.len()).collect();
    assert_eq!(numbers, expected);
}
