//! How many bad answers make a service unhealthy, and what follows.

use super::{kennel_with_server, needs_python};
use crate::support::{BOUND, wait_for};

#[test]
fn only_failures_in_a_row_restart_a_service() {
    if needs_python() {
        return;
    }
    let mut kennel =
        kennel_with_server("{ http: URL/, every: 50ms, failures: 3, timeouts: 2, grace: 0s }", "");
    kennel.answers("200 500 500 200 500 500 200 500 500 500 200");
    kennel.start();
    kennel.wait_for_ends("web", 2);
    // The third one in a row, and not one more.
    let asked = kennel.asked();
    let words = "200 500 500 200 500 500 200 500 500 500";
    assert_eq!(asked[0].join(" "), words);
    assert_eq!(asked[1].join(" "), words, "each run begins anew");
    let stopping = kennel.wait_for_event("service.stopping", "web");
    let message = stopping["message"].as_str().unwrap();
    for part in ["http: GET http://127.0.0.1:", "answered 500", ", 3 times in a row"] {
        assert!(message.contains(part), "{message}");
    }
    assert_eq!(stopping["attributes"]["reason"], "unhealthy", "{stopping:#}");
    assert!(kennel.cli(&["why", "web"]).ok().contains("answered 500"));
    kennel.end();
}

#[test]
fn late_answers_have_a_budget_of_their_own_and_degrade_at_once() {
    if needs_python() {
        return;
    }
    let check = "{ http: URL/, every: 50ms, timeout: 200ms, failures: 2, timeouts: 3, grace: 0s }";
    let mut kennel = kennel_with_server(check, "");
    // A failure and a late answer are not two of a kind; a good one forgets both.
    kennel.answers("200 hang hang 500 200 500 hang hang 200 hang hang hang");
    kennel.start();
    kennel.wait_for_ends("web", 1);
    let asked = kennel.asked();
    assert_eq!(asked[0].join(" "), "200 hang hang 500 200 500 hang hang 200 hang hang hang");
    let changes = kennel.changes("web");
    let steps: Vec<&str> = changes.iter().map(|(step, _)| step.as_str()).take(6).collect();
    let expected = [
        "unknown>healthy",
        "healthy>degraded",
        "degraded>healthy",
        "healthy>degraded",
        "degraded>healthy",
        "healthy>degraded",
    ];
    assert_eq!(steps, expected, "{changes:#?}");
    let (step, message) = &changes[6];
    assert!(step == "degraded>unhealthy" && message.contains("3 times in a row"), "{changes:#?}");
    kennel.end();
}

#[test]
fn a_service_is_healthy_again_after_so_many_good_answers_in_a_row() {
    if needs_python() {
        return;
    }
    let check = "{ http: URL/, name: front, every: 50ms, failures: 2, successes: 3, grace: 0s, \
                 on_unhealthy: report }";
    let mut kennel = kennel_with_server(check, "");
    kennel.answers("200 500 500 200 200 500 200 200 500 500 500 200 200 200");
    kennel.start();
    let steps = || {
        let changes = kennel.changes("web").into_iter();
        changes.map(|(step, _)| step).collect::<Vec<_>>()
    };
    let expected = ["unknown>healthy", "healthy>unhealthy", "unhealthy>healthy"];
    wait_for("the service to be healthy again", BOUND, || (steps().len() >= 3).then_some(()));
    assert_eq!(steps(), expected);
    let asked = kennel.asked();
    assert!(asked[0].len() >= 14, "healthy too early: {asked:?}");
    let (_, message) = &kennel.changes("web")[1];
    assert!(message.contains("front: GET") && message.contains("2 times in a row"), "{message}");
    // Report does not restart.
    assert_eq!((asked.len(), &kennel.service("web")["restarts"]), (1, &0.into()));
    kennel.end();
}

#[test]
fn a_degraded_service_is_left_alone() {
    if needs_python() {
        return;
    }
    let check =
        "{ http: URL/, every: 50ms, timeout: 100ms, failures: 1, timeouts: 1000, grace: 0s }";
    let mut kennel = kennel_with_server(check, "");
    kennel.answers("200 hang");
    kennel.start();
    kennel.wait_for_answers("web", "http", "late", 20.0);
    let service = kennel.service("web");
    assert_eq!((&service["health"], &service["state"]), (&"degraded".into(), &"up".into()));
    assert_eq!(service["restarts"], 0);
    assert_eq!(kennel.asked().len(), 1, "one run only");
    kennel.end();
}

#[test]
fn every_check_of_a_service_counts_by_itself_and_the_worst_one_is_told() {
    if needs_python() {
        return;
    }
    let checks = "[{ http: URL/, every: 50ms, failures: 3, grace: 0s, on_unhealthy: report }, \
                   { tcp: \"127.0.0.1:1\", every: 50ms, failures: 5, grace: 0s, on_unhealthy: report }, \
                   { command: [\"true\"], every: 50ms }]";
    let mut kennel = kennel_with_server(checks, "");
    kennel.start();
    let service = kennel.wait_for_verdict("web", "unhealthy", "tcp: ");
    assert!(service["reason"].as_str().unwrap().contains("refused"), "{service:#}");
    kennel.wait_for_answers("web", "http", "passed", 5.0);
    kennel.wait_for_answers("web", "command", "passed", 5.0);
    assert_eq!(kennel.service("web")["health"], "unhealthy", "what passes hides nothing");
    assert_eq!(kennel.changes("web").last().unwrap().0.split('>').next_back(), Some("unhealthy"));
    kennel.end();
}

#[test]
fn a_check_that_takes_longer_than_its_period_is_warned_of_and_never_overlaps() {
    if needs_python() {
        return;
    }
    let check = "{ http: URL/, every: 50ms, timeout: 20s, grace: 0s }";
    let mut kennel = kennel_with_server(check, "");
    let checked = kennel.cli(&["check"]);
    assert_eq!(checked.code, 0, "{checked:?}");
    let said = format!("{}{}", checked.stdout, checked.stderr);
    assert!(said.contains("\"timeout\" is longer than \"every\""), "{said}");
    kennel.answers("slow0.3");
    kennel.start();
    kennel.wait_for_answers("web", "http", "passed", 5.0);
    let requests = kennel.read("requests");
    assert!(requests.lines().all(|line| line.ends_with(" 1")), "two at once:\n{requests}");
    kennel.end();
}
