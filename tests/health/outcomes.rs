//! What the answers of checks are called, and what could not be asked.

use super::{kennel_with_server, needs_python, server};
use crate::support::Kennel;
use crate::support::servers::free_port;

#[test]
fn refused_wrong_late_and_impossible_have_words_of_their_own() {
    if needs_python() {
        return;
    }
    let kennel = Kennel::new("");
    let counts =
        "every: 50ms, failures: 2, timeouts: 2, timeout: 500ms, grace: 0s, on_unhealthy: report";
    let web = server(&kennel, &format!("{{ http: URL/, {counts} }}"), "");
    let port = free_port();
    let others = format!(
        "  refused: {{ command: [sleep, '1000'], health: {{ tcp: \"127.0.0.1:{port}\", {counts} }} }}\n  \
           late: {{ command: [sleep, '1000'], health: {{ command: [sleep, '1001'], {counts} }} }}\n  \
           failing: {{ command: [sleep, '1000'], health: {{ command: [sh, -c, 'echo no space >&2; exit 3'], {counts} }} }}\n  \
           missing: {{ command: [sleep, '1000'], health: {{ command: [no-such-check], {counts} }} }}\n  \
           socket: {{ command: [sleep, '1000'], health: {{ unix: ./no.sock, {counts} }} }}\n"
    );
    kennel.configure(&format!("{web}{others}"));
    kennel.answers("500");
    let mut kennel = kennel;
    kennel.start();
    for (service, health, reason) in [
        ("web", "unhealthy", "answered 500".to_owned()),
        ("refused", "unhealthy", format!("tcp: connection to 127.0.0.1:{port} refused")),
        ("late", "unhealthy", "\"sleep\" did not end within 500 ms".to_owned()),
        ("failing", "unhealthy", "\"sh\" exited with code 3: no space".to_owned()),
        ("missing", "unknown", "program \"no-such-check\" not found".to_owned()),
        ("socket", "unhealthy", "no.sock".to_owned()),
    ] {
        let seen = kennel.wait_for_verdict(service, health, &reason);
        assert_eq!((&seen["restarts"], &seen["state"]), (&0.into(), &"up".into()), "{seen:#}");
        println!("{service}: {}", seen["reason"]);
        if health == "unhealthy" {
            let why = kennel.cli(&["why", service]).ok();
            assert!(why.contains(&reason), "{reason} is missing in:\n{why}");
        }
    }
    kennel.end();
}

#[test]
fn what_could_not_be_asked_never_restarts() {
    let mut kennel = Kennel::new(
        "services:
          web:
            command: [sleep, '1000']
            health: { command: [no-such-check], every: 50ms, failures: 1, timeouts: 1, grace: 0s }
        ",
    );
    kennel.start();
    kennel.wait_for_answers("web", "command", "impossible", 20.0);
    let web = kennel.service("web");
    assert_eq!((&web["health"], &web["restarts"]), (&"unknown".into(), &0.into()), "{web:#}");
    assert_eq!(kennel.changes("web"), [], "it was never known");
    kennel.end();
}

#[test]
fn a_host_without_an_address_is_unknown_at_first_and_then_a_failure_with_the_reason() {
    let mut kennel = Kennel::new(
        "services:
          web:
            command: [sleep, '1000']
            health: { tcp: 'nowhere.invalid:80', every: 50ms, failures: 2, grace: 0s, on_unhealthy: report }
        ",
    );
    kennel.start();
    let said = "tcp: cannot resolve \"nowhere.invalid\": ";
    let first = kennel.wait_for_verdict("web", "unknown", said);
    let web = kennel.wait_for_verdict("web", "unhealthy", said);
    // What the resolver says follows: not found, or that it cannot say, where it has no network.
    for seen in [&first, &web] {
        let reason = seen["reason"].as_str().unwrap();
        let why = reason.split_once(said).unwrap().1;
        assert!(
            ["name", "temporary failure", "no address"].iter().any(|word| why.starts_with(word)),
            "{reason}"
        );
    }
    assert_eq!(kennel.answers_of("web", "tcp", "impossible"), 3.0);
    assert!(kennel.answers_of("web", "tcp", "refused") >= 2.0);
    kennel.end();
}

#[test]
fn the_body_of_an_answer_has_to_be_as_expected() {
    if needs_python() {
        return;
    }
    let check = "{ http: URL/, every: 50ms, failures: 1, grace: 0s, on_unhealthy: report, \
                 expect: { status: 200-299, body: '^said 200$' } }";
    let mut kennel = kennel_with_server(check, "");
    kennel.answers("200");
    kennel.start();
    kennel.wait_for_verdict("web", "healthy", "");
    kennel.answers("204");
    kennel.wait_for_verdict("web", "unhealthy", "does not match \"^said 200$\"");
    kennel.answers("200");
    kennel.wait_for_verdict("web", "healthy", "");
    kennel.answers("301");
    kennel.wait_for_verdict("web", "unhealthy", "answered 301");
    kennel.end();
}
