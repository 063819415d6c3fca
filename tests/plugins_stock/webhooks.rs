//! `webhook` sends the events of a real supervisor to a real HTTP server.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::support::hook::{Hook, Reply, Sent};
use crate::support::{BOUND, Kennel, wait_for};

const SECRET: &str = "correct horse battery staple";

/// A supervisor that sends what happens to its services to `hook`.
fn kennel(hook: &Hook, config: &str, services: &str) -> Kennel {
    Kennel::running(&yaml(&hook.origin(), &hook.origin(), config, services))
}

fn yaml(granted: &str, origin: &str, config: &str, services: &str) -> String {
    format!(
        "plugins: {{ hook: {{ source: 'stock:webhook', grants: {{ http: ['{granted}'] }} }} }}\n\
         sinks:\n\
         - plugin: hook\n  \
           events: ['service.*']\n  \
           config: {{ url: '{origin}/in/path-token', secret: '{SECRET}'{config} }}\n\
         services: {services}\n"
    )
}

const FAILS: &str = "{ worker: { shell: 'exit 3', restart: { backoff: { initial: 5ms, max: 5ms }, \
                     limit: { max: 5, within: 1m } } } }";

fn events(sent: &Sent) -> Vec<Value> {
    sent.json()["events"].as_array().expect("a list of events").clone()
}

fn number(event: &Value) -> u64 {
    event["seq"].as_u64().expect("events have numbers")
}

/// The numbers of the events in all requests that were answered with 200.
fn taken(hook: &Hook) -> Vec<u64> {
    let mut sent = hook.sent();
    sent.retain(|sent| sent.answered == 200);
    sent.iter().flat_map(|sent| events(sent).iter().map(number).collect::<Vec<_>>()).collect()
}

fn journal(kennel: &Kennel) -> Vec<u64> {
    let events = kennel.events().into_iter();
    let wanted = events.filter(|event| event["kind"].as_str().unwrap().starts_with("service."));
    wanted.map(|event| number(&event)).collect()
}

#[track_caller]
fn wait_for_all(kennel: &Kennel, hook: &Hook) {
    kennel.wait_for_state("worker", "failed");
    wait_for("all events", BOUND, || (taken(hook) == journal(kennel)).then_some(()));
}

/// HMAC of RFC 2104, by hand.
fn hmac(key: &[u8], message: &[u8]) -> String {
    assert!(key.len() <= 64);
    let pad = |with: u8| -> Vec<u8> {
        (0..64).map(|at| key.get(at).copied().unwrap_or(0) ^ with).collect()
    };
    let inner = Sha256::digest([pad(0x36).as_slice(), message].concat());
    let outer = Sha256::digest([pad(0x5c).as_slice(), inner.as_slice()].concat());
    outer.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn events_come_in_order_once_and_signed() {
    let hook = Hook::taking();
    let kennel = kennel(&hook, ", source: house, headers: { x-team: red }", FAILS);
    wait_for_all(&kennel, &hook);
    for sent in hook.sent() {
        assert_eq!(sent.line, "POST /in/path-token HTTP/1.1");
        assert_eq!(sent.header("content-type"), Some("application/json"));
        assert_eq!(sent.header("x-team"), Some("red"));
        let all = events(&sent);
        let range = format!("{}-{}", number(&all[0]), number(all.last().unwrap()));
        assert_eq!(sent.header("kennel-sequence"), Some(range.as_str()));
        assert_eq!(sent.json()["source"], "house");

        let signature = sent.header("kennel-signature").unwrap();
        let (time, mac) = signature.strip_prefix("t=").unwrap().split_once(",v1=").unwrap();
        assert_eq!(mac, hmac(SECRET.as_bytes(), format!("{time}.{}", sent.body).as_bytes()));
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        assert!(now - time.parse::<u64>().unwrap() < 60, "{time} is not the present time");
    }
    let exited = kennel.wait_for_event("service.exited", "worker");
    let same = hook.sent().iter().flat_map(events).find(|event| event["seq"] == exited["seq"]);
    let same = same.unwrap();
    for key in ["kind", "service", "message"] {
        assert_eq!(same[key], exited[key]);
    }
    assert_eq!(same["severity"], "warn");
}

#[test]
fn lines_of_json_are_sent_where_they_are_wanted() {
    let hook = Hook::taking();
    let kennel = kennel(&hook, ", format: ndjson", FAILS);
    kennel.wait_for_state("worker", "failed");
    let last = hook.wait_for("the end", |sent| sent.body.contains("\"service.failed\""));
    assert_eq!(last.header("content-type"), Some("application/x-ndjson"));
    for line in last.body.lines() {
        assert!(serde_json::from_str::<Value>(line).unwrap()["seq"].is_u64(), "{line}");
    }
}

#[test]
fn an_endpoint_that_fails_or_is_busy_gets_everything_later_and_when_it_said() {
    let asked = AtomicUsize::new(0);
    let hook = Hook::answering(move |_| match asked.fetch_add(1, Ordering::SeqCst) {
        0 => Reply::status(500),
        1 => Reply::status(0),
        2 => Reply { headers: "Retry-After: 2\r\n", ..Reply::status(429) },
        _ => Reply::status(200),
    });
    let kennel = kennel(&hook, "", FAILS);
    kennel.wait_for_state("worker", "failed");
    let wanted = journal(&kennel);
    wait_for("all events", BOUND, || (taken(&hook) == wanted).then_some(()));
    let sent = hook.sent();
    let waited = sent[3].at.duration_since(sent[2].at);
    assert!(waited >= Duration::from_millis(1900), "it asked for 2 s and got {waited:?}");
    let said = kennel.said();
    assert!(said.contains("answered 500") && said.contains("answered 429"), "{said}");
}

#[test]
fn what_the_endpoint_refuses_is_told_and_the_next_events_come() {
    let hook = Hook::answering(|sent| match sent.body.contains("\"poison\"") {
        true => Reply { body: "no such service".to_owned(), ..Reply::status(422) },
        false => Reply::status(200),
    });
    let services = "{ poison: { command: [sleep, '1000'] } }";
    let kennel = kennel(&hook, "", services);
    let rejected = kennel.wait_for_news("sink.rejected", |_| true);
    let message = rejected["message"].as_str().unwrap();
    let expected = format!("{} answered 422: no such service", hook.origin());
    assert!(message.contains(&expected), "{message}");

    kennel.configure(&yaml(&hook.origin(), &hook.origin(), "", FAILS));
    assert_eq!(kennel.cli(&["reload"]).code, 0);
    hook.wait_for("the next events", |sent| sent.body.contains("\"worker\""));
}

#[test]
fn without_the_grant_nothing_is_sent_and_nothing_is_lost() {
    let hook = Hook::taking();
    let origin = hook.origin();
    let kennel = Kennel::running(&yaml("http://127.0.0.1:1", &origin, "", FAILS));
    let denied = kennel.wait_for_news("plugin.denied", |_| true);
    assert!(denied["message"].as_str().unwrap().contains(&origin), "{denied:#}");
    kennel.wait_for_state("worker", "failed");
    assert_eq!(hook.sent().len(), 0);

    kennel.configure(&yaml(&origin, &origin, "", FAILS));
    assert_eq!(kennel.cli(&["reload"]).code, 0);
    wait_for_all(&kennel, &hook);
}

#[test]
fn a_secret_is_shown_nowhere() {
    let hook = Hook::answering(|sent| Reply {
        body: format!("bad token in {} and {SECRET}", sent.line),
        ..Reply::status(403)
    });
    let config = ", headers: { authorization: 'Bearer header-token' }";
    let mut kennel = kennel(&hook, config, FAILS);
    kennel.wait_for_news("sink.rejected", |_| true);
    kennel.configure(&yaml("http://127.0.0.1:1", &hook.origin(), config, FAILS));
    assert_eq!(kennel.cli(&["reload"]).code, 0);
    let plan = kennel.cli(&["plan"]);
    let mut shown = vec![plan.stdout, plan.stderr];
    for target in ["/v1/status", "/v1/plugins", "/v1/plan", "/metrics", "/v1/events?follow=false"] {
        shown.push(kennel.api("GET", target).body);
    }
    let listed = kennel.cli(&["plugin", "ls"]);
    shown.extend([listed.stdout, listed.stderr]);
    assert_eq!(kennel.terminate(), 0);
    shown.extend([kennel.said(), kennel.stdout()]);
    for text in shown {
        for secret in ["horse", "path-token", "header-token"] {
            assert!(!text.contains(secret), "{secret} in {text}");
        }
    }
}

#[test]
fn a_configuration_that_is_wrong_is_refused_with_its_place() {
    for (config, parts) in [
        (", formt: json, timeout: soon", ["formt", "did you mean \"format\"", "timeout"]),
        (", max_events: 0, headers: { 'a b': x }", ["max_events", "one event", "headers.a b"]),
    ] {
        let kennel = Kennel::new(&yaml("http://127.0.0.1:1", "http://127.0.0.1:1", config, FAILS));
        let checked = kennel.cli(&["check"]);
        assert_eq!(checked.code, 2, "{checked:#?}");
        for part in parts {
            assert!(checked.stderr.contains(part), "{part} in {}", checked.stderr);
        }
    }
}
