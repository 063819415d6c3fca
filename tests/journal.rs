//! The journal: numbered events without a hole, over the life of supervisors.

use std::fs;
use std::io::Write as _;

use serde_json::Value;

use crate::support::{BOUND, Kennel, wait_for};

const WEB: &str = "services: { web: { command: [sleep, '1000'] } }";

/// Events from lines of JSON.
fn parse(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).expect("one event a line")).collect()
}

fn numbers(events: &[Value]) -> Vec<u64> {
    events.iter().map(|event| event["seq"].as_u64().expect("a number")).collect()
}

#[track_caller]
fn assert_no_hole(events: &[Value], first: u64) {
    let numbers = numbers(events);
    let expected: Vec<u64> = (first..).take(numbers.len()).collect();
    assert_eq!(numbers, expected);
}

#[test]
fn events_are_numbered_without_a_hole_and_have_the_documented_shape() {
    let kennel = Kennel::running(WEB);
    kennel.wait_for_state("web", "up");
    assert_eq!(kennel.cli(&["restart", "web"]).code, 0);
    let events = parse(&kennel.cli(&["events", "--json"]).ok());
    assert_no_hole(&events, 1);
    for event in &events {
        let keys: Vec<_> = event.as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(keys, ["seq", "at", "kind", "service", "message", "attributes"]);
        assert!(event["at"].as_str().unwrap().parse::<jiff::Timestamp>().is_ok(), "{event}");
        assert!(event["attributes"].is_object(), "{event}");
    }
    let kinds: Vec<_> = events.iter().map(|event| event["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds[0], "supervisor.started");
    for kind in ["service.started", "service.ready", "service.stopping", "service.exited"] {
        assert!(kinds.contains(&kind), "{kind} is missing in {kinds:?}");
    }
    // For people the same, a line each.
    let human = kennel.cli(&["events"]).ok();
    assert_eq!(human.lines().count(), events.len(), "{human}");
    assert!(human.contains("service.ready"), "{human}");
}

#[test]
fn since_a_number_later_events_are_shown_and_a_follower_gets_what_comes() {
    let kennel = Kennel::running(WEB);
    kennel.wait_for_state("web", "up");
    let all = parse(&kennel.cli(&["events", "--json"]).ok());
    let last = *numbers(&all).last().unwrap();
    let since = (last - 2).to_string();
    let tail = parse(&kennel.cli(&["events", "--json", "--since", &since]).ok());
    assert_eq!(numbers(&tail), [last - 1, last]);
    let none = kennel.cli(&["events", "--json", "--since", &last.to_string()]).ok();
    assert_eq!(none, "");

    let follower = kennel.background(&["events", "--json", "-f", "--since", &last.to_string()]);
    assert_eq!(kennel.cli(&["stop", "web"]).code, 0);
    let text = follower.wait_for("the stop", |text| {
        text.lines().any(|line| line.contains("\"service.stopped\"")).then(|| text.to_owned())
    });
    let told = parse(&text);
    assert_no_hole(&told, last + 1);
    assert_eq!(told[0]["kind"], "service.wanted", "first comes what the operator wants");
    assert_eq!(told[0]["attributes"], serde_json::json!({"wanted": "down", "by": "operator"}));
    // With the supervisor the stream ends, after its last event.
    let mut kennel = kennel;
    assert_eq!(kennel.terminate(), 0);
    let output = follower.end();
    assert_eq!(parse(&output.stdout).last().unwrap()["kind"], "supervisor.stopped", "{output:#?}");
}

#[test]
fn numbers_go_on_with_the_next_supervisor() {
    let mut kennel = Kennel::running(WEB);
    kennel.wait_for_state("web", "up");
    assert_eq!(kennel.terminate(), 0);
    kennel.start();
    kennel.wait_for_state("web", "up");
    let events = kennel.events();
    assert_no_hole(&events, 1);
    let starts = events.iter().filter(|event| event["kind"] == "supervisor.started").count();
    assert_eq!(starts, 2);
}

#[test]
fn what_a_killed_supervisor_had_written_is_kept_and_a_torn_end_is_repaired() {
    let mut kennel = Kennel::running(WEB);
    kennel.wait_for_state("web", "up");
    let seen = numbers(&kennel.events());
    let directory = kennel.path("state/journal");
    let journal = || {
        let mut files: Vec<_> =
            fs::read_dir(&directory).unwrap().map(|e| e.unwrap().path()).collect();
        files.sort();
        files.pop().expect("there is a segment")
    };
    wait_for("the last event on disk", BOUND, || {
        fs::read_to_string(journal()).unwrap().contains("service.ready").then_some(())
    });
    kennel.kill_supervisor();
    kennel.sweep();
    let mut file = fs::File::options().append(true).open(journal()).unwrap();
    file.write_all(b"{\"seq\":99,\"at\":\"2026-11-21T").unwrap();
    drop(file);
    kennel.start();
    kennel.wait_for_state("web", "up");
    let events = kennel.events();
    assert_no_hole(&events, 1);
    assert!(numbers(&events).starts_with(&seen));
}

#[test]
fn why_tells_the_cause_and_what_was_decided() {
    let kennel = Kennel::running(
        r#"
        services:
          worker:
            shell: "echo bind: the address is in use >&2; exit 3"
            restart: { backoff: { initial: 10ms }, limit: { max: 2, within: 1m } }
          missing:
            command: [no-such-program]
            restart: { policy: never }
          app: { command: [sleep, "1000"], depends_on: { worker: ready } }
          web: { command: [sleep, "1000"] }
        "#,
    );
    kennel.wait_for_state("worker", "failed");
    kennel.wait_for_state("missing", "failed");
    kennel.wait_for_state("web", "up");
    let says = |service: &str, parts: &[&str]| {
        let text = kennel.cli(&["why", service]).ok();
        for part in parts {
            assert!(text.contains(part), "{part:?} is missing in:\n{text}");
        }
    };
    says("worker", &["exited with code 3", "2 restarts within 1 min"]);
    // What it has said itself, in all of its runs of this story.
    says("worker", &["\n  its last lines of output (more: kennel logs worker)\n"]);
    says("worker", &[&"    bind: the address is in use\n".repeat(3)]);
    says("missing", &["program \"no-such-program\" not found in PATH", "restart.policy is never"]);
    says("app", &["waits for worker to be ready", "exited with code 3"]);
    says("web", &["web is up", "started", "ready after"]);
    assert!(!kennel.cli(&["why", "web"]).ok().contains("output"), "that is what logs are for");
    assert_eq!(kennel.cli(&["stop", "web"]).code, 0);
    says("web", &["web is down", "the operator wants it down"]);
    kennel.cli(&["why", "wbe"]).fails_saying(1, &["\"wbe\"", "\"web\""]);
}
