//! Hostile plugins beside two hundred services: none delays a restart or a check.
//!
//! Each plugin is a few lines of WebAssembly text, made a component here and run by the
//! real host under its real limits. Beside it stand two hundred services with a built-in
//! check each. While the plugin does its worst, twenty of them are killed: each is back
//! within seconds, and every check goes on being made.

use std::collections::{BTreeMap, HashSet};
use std::fmt::Write as _;
use std::fs;
use std::os::unix::net::UnixListener;
use std::thread;
use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::guest::Guest;
use crate::support::{Kennel, openmetrics, wait_for};

const SERVICES: usize = 200;
/// How many of them are killed.
const KILLED: usize = 20;
/// A machine that does all this at once is slow; what is not delayed is done in this.
const SOON_MS: i64 = 4_000;
const LONG: Duration = Duration::from_secs(60);

/// Where the plugin is used.
enum Use {
    /// As a check of the victim.
    Check,
    /// As the restart policy of the victim, which keeps crashing.
    Policy,
    /// As a sink of all events.
    Sink,
}

/// A socket that accepts nothing by itself: its backlog does, and that is enough for a
/// check to connect, as long as somebody takes the connections away.
fn listen(kennel: &Kennel) {
    let listener = UnixListener::bind(kennel.path("l.sock")).unwrap();
    // It ends with the test program.
    thread::spawn(move || {
        for connection in listener.incoming() {
            drop(connection)
        }
    });
}

fn configuration(plugin: &str, used: &Use) -> String {
    let (health, restart, sinks) = match used {
        Use::Check => ("{ plugin: hostile, every: 200ms, grace: 0s }", "{}", "[]"),
        Use::Policy => (
            "{ unix: ./l.sock, every: 1h }",
            "{ limit: none, backoff: { initial: 300ms, max: 300ms }, policy_plugin: { plugin: hostile } }",
            "[]",
        ),
        Use::Sink => ("{ unix: ./l.sock, every: 1h }", "{}", "[{ plugin: hostile }]"),
    };
    let command = match used {
        Use::Policy => "[sh, -c, 'sleep 0.1; exit 3']",
        Use::Check | Use::Sink => "[sleep, '100000']",
    };
    let mut yaml = format!(
        "kennel: {{ state_dir: ./state, socket: ./k.sock, max_concurrent_starts: 500, \
         max_restarts_per_second: 500 }}\n\
         plugins:\n  hostile: {{ source: ./hostile.wasm, {plugin} }}\n\
         sinks: {sinks}\n\
         services:\n  victim: {{ command: {command}, health: {health}, restart: {restart} }}\n"
    );
    for number in 0..SERVICES {
        writeln!(
            yaml,
            "  s{number}: {{ command: [sleep, '100000'], restart: {{ backoff: {{ initial: 100ms }} }}, \
             health: {{ unix: ./l.sock, every: 500ms }} }}"
        )
        .unwrap();
    }
    yaml
}

/// How often each service was checked.
fn checks(kennel: &Kennel) -> BTreeMap<String, u64> {
    let text = kennel.api("GET", "/metrics").body;
    let series = openmetrics::parse(&text).unwrap();
    let mut counts = BTreeMap::new();
    for (name, value) in series {
        let Some(labels) = name.strip_prefix("kennel_check_answers_total{") else { continue };
        let instance = labels.split('"').nth(1).unwrap_or_default().to_owned();
        if labels.contains("check=\"unix\"") {
            *counts.entry(instance).or_default() += value as u64;
        }
    }
    counts.retain(|name: &String, _| name.starts_with('s'));
    counts
}

fn at_ms(event: &Value) -> i64 {
    let at = event["at"].as_str().unwrap();
    at.parse::<jiff::Timestamp>().unwrap().as_millisecond()
}

/// Kills some services and waits until each is up again; none took long.
fn killed_services_are_back_soon(kennel: &Kennel) {
    let since = kennel.events().last().map_or(0, |event| event["seq"].as_u64().unwrap());
    let status = kennel.status();
    let services = status["services"].as_array().unwrap();
    let names: HashSet<String> = (0..KILLED).map(|number| format!("s{}", number * 7)).collect();
    for service in services {
        if names.contains(service["name"].as_str().unwrap()) {
            let pid = i32::try_from(service["pid"].as_i64().unwrap()).unwrap();
            nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), Signal::SIGKILL).unwrap();
        }
    }
    let (exited, started) = wait_for("every killed service to be started again", LONG, || {
        let (mut exited, mut started) = (BTreeMap::new(), BTreeMap::new());
        for event in kennel.events().iter().filter(|event| event["seq"].as_u64() > Some(since)) {
            let Some(name) = event["service"].as_str().filter(|name| names.contains(*name)) else {
                continue;
            };
            match event["kind"].as_str().unwrap() {
                "service.exited" => exited.insert(name.to_owned(), at_ms(event)),
                "service.started" => started.insert(name.to_owned(), at_ms(event)),
                _ => None,
            };
        }
        (started.len() == KILLED).then_some((exited, started))
    });
    for (name, started) in started {
        let took = started - exited[&name];
        assert!(took < SOON_MS, "{name} was started again after {took} ms");
    }
}

fn checks_go_on(kennel: &Kennel) {
    let before = wait_for("every service to be checked", LONG, || {
        Some(checks(kennel)).filter(|counts| counts.len() == SERVICES)
    });
    wait_for("every check to be made three more times", LONG, || {
        let now = checks(kennel);
        before.iter().all(|(name, count)| now[name] >= count + 3).then_some(())
    });
}

/// Lets `guest` do its worst until `trouble` is seen in the events, or among the plugins,
/// then looks at the others.
fn beside(guest: &[u8], plugin: &str, used: &Use, trouble: impl Fn(&Kennel) -> bool) -> Kennel {
    let mut kennel = Kennel::new(&configuration(plugin, used));
    fs::write(kennel.path("hostile.wasm"), guest).unwrap();
    listen(&kennel);
    kennel.start();
    wait_for("everything to be up", LONG, || {
        let plain = kennel.api("GET", "/v1/status?format=plain").body;
        (plain.matches(": UP (").count() >= SERVICES).then_some(())
    });
    wait_for("the plugin to do its worst", LONG, || trouble(&kennel).then_some(()));
    killed_services_are_back_soon(&kennel);
    checks_go_on(&kennel);
    kennel
}

/// Whether a fault of this word was told.
fn fault(word: &str) -> impl Fn(&Kennel) -> bool {
    move |kennel| {
        let events = kennel.events();
        let mut faults = events.iter().filter(|event| event["kind"] == "plugin.fault");
        faults.any(|event| event["attributes"]["fault"] == word)
    }
}

/// Whether the plugin was refused, in these words.
fn refused(words: &'static [&'static str]) -> impl Fn(&Kennel) -> bool {
    move |kennel| {
        let events = kennel.events();
        let mut refusals = events.iter().filter(|event| event["kind"] == "plugin.rejected");
        refusals.any(|event| {
            let message = event["message"].as_str().unwrap();
            words.iter().all(|word| message.contains(word))
        })
    }
}

/// The victim lives, and its health is said to be unknown.
fn victim_is_unknown(kennel: &Kennel) {
    let victim = kennel.service("victim");
    assert_eq!((&victim["state"], &victim["health"]), (&"up".into(), &"unknown".into()));
    assert_eq!(victim["restarts"], 0);
}

const QUICK: &str = "limits: { time: 500ms, cpu: 100ms, memory: 8MiB }";

#[test]
fn a_plugin_that_loops_for_ever_delays_nobody() {
    let guest = Guest::check("(loop $for_ever (br $for_ever)) (unreachable)").build();
    let kennel = beside(&guest, QUICK, &Use::Check, fault("cpu"));
    victim_is_unknown(&kennel);
}

#[test]
fn a_plugin_that_calls_the_host_for_ever_delays_nobody() {
    let body = "(loop $for_ever
        (call $log (i32.const 1) (i32.const 64) (i32.const 4) (i32.const 0) (i32.const 0))
        (br $for_ever))
        (unreachable)";
    let guest = Guest::check(body).with_log().build();
    let seen = |kennel: &Kennel| ["cpu", "deadline", "trap"].iter().any(|word| fault(word)(kennel));
    let kennel = beside(&guest, QUICK, &Use::Check, seen);
    victim_is_unknown(&kennel);
}

#[test]
fn a_plugin_that_sleeps_delays_nobody() {
    // Asks an address that accepts and never answers, again and again.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = silent.local_addr().unwrap().to_string();
    let body = format!(
        "(loop $for_ever (call $tcp (i32.const 4096) (i32.const {})) (br $for_ever)) (unreachable)",
        address.len()
    );
    let guest = Guest::check(&body).with_tcp();
    let guest = guest.items(&format!("(data (i32.const 4096) \"{address}\")")).build();
    let plugin = format!("{QUICK}, grants: {{ net: [\"{address}\"] }}");
    let seen = |kennel: &Kennel| ["cpu", "deadline", "trap"].iter().any(|word| fault(word)(kennel));
    let kennel = beside(&guest, &plugin, &Use::Check, seen);
    victim_is_unknown(&kennel);
}

#[test]
fn a_plugin_that_eats_memory_delays_nobody() {
    let body = "(loop $for_ever (drop (memory.grow (i32.const 16))) (br $for_ever)) (unreachable)";
    let kennel = beside(&Guest::check(body).build(), QUICK, &Use::Check, |kennel| {
        ["memory", "cpu"].iter().any(|word| fault(word)(kennel))
    });
    victim_is_unknown(&kennel);
}

#[test]
fn a_plugin_that_overflows_its_stack_delays_nobody() {
    let guest = Guest::check("(call $deeper (i32.const 0)) (unreachable)").items(
        "(func $deeper (param $n i32)
           (call $deeper (i32.add (local.get $n) (i32.const 1)))
           (call $deeper (local.get $n)))",
    );
    let kennel = beside(&guest.build(), QUICK, &Use::Check, fault("trap"));
    victim_is_unknown(&kennel);
}

#[test]
fn a_plugin_that_traps_on_every_call_is_not_asked_for_a_while() {
    let guest = Guest::check("(unreachable)").build();
    let kennel = beside(&guest, QUICK, &Use::Check, |kennel| {
        kennel.events().iter().any(|event| event["kind"] == "plugin.disabled")
    });
    victim_is_unknown(&kennel);
}

#[test]
fn a_plugin_that_answers_with_a_hundred_megabytes_delays_nobody() {
    let body = "(drop (memory.grow (i32.const 1600)))
        (call $verdict (i32.const 0))
        (call $reason (i32.const 0) (i32.const 100000000))";
    let plugin = "limits: { time: 2s, cpu: 1s, memory: 256MiB }";
    let kennel = beside(&Guest::check(body).build(), plugin, &Use::Check, |kennel| {
        let victim = kennel.service("victim");
        let said = victim["health"] == "healthy";
        said || ["trap", "memory", "bad-answer", "cpu"].iter().any(|word| fault(word)(kennel))
    });
    let victim = kennel.service("victim");
    assert_eq!((&victim["state"], &victim["restarts"]), (&"up".into(), &0.into()));
    assert!(victim["reason"].as_str().unwrap().len() < 2_000);
}

#[test]
fn a_plugin_that_floods_the_log_delays_nobody_and_fills_nothing() {
    let body = "(local.set $i (i32.const 0))
        (loop $again
          (call $log (i32.const 3) (i32.const 64) (i32.const 4) (i32.const 0) (i32.const 0))
          (local.set $i (i32.add (local.get $i) (i32.const 1)))
          (br_if $again (i32.lt_u (local.get $i) (i32.const 900))))
        (call $verdict (i32.const 0))";
    let guest = Guest::check(body).with_log().build();
    let kennel = beside(&guest, QUICK, &Use::Check, |kennel| {
        kennel.service("victim")["health"] == "healthy"
            || fault("trap")(kennel)
            || fault("cpu")(kennel)
    });
    let lines = kennel.said().lines().filter(|line| line.contains("fine")).count();
    assert!(lines < 5_000, "{lines} lines of the plugin are in the supervisor's log");
}

#[test]
fn a_plugin_that_forges_text_delays_nobody() {
    let guest =
        Guest::check("(call $verdict (i32.const 0)) (call $reason (i32.const 4096) (i32.const 4))")
            .items("(data (i32.const 4096) \"\\ff\\fe\\c0\\80\")");
    let kennel = beside(&guest.build(), QUICK, &Use::Check, |kennel| {
        ["trap", "bad-answer"].iter().any(|word| fault(word)(kennel))
    });
    victim_is_unknown(&kennel);
}

#[test]
fn a_plugin_that_traps_in_configure_is_refused_and_delays_nobody() {
    let guest = Guest::healthy().configure("(unreachable)").build();
    let kennel = beside(&guest, QUICK, &Use::Check, refused(&["hostile"]));
    victim_is_unknown(&kennel);
}

#[test]
fn a_policy_that_wants_to_wait_for_ages_is_cut_to_a_week() {
    let guest = Guest::policy("(call $decision (i64.const -1))").build();
    let kennel = beside(&guest, QUICK, &Use::Policy, |kennel| {
        kennel.events().iter().any(|event| event["kind"] == "service.policy")
    });
    let victim = kennel.service("victim");
    assert_eq!(victim["state"], "backoff");
    let wait = victim["next_restart_in_ms"].as_u64().unwrap();
    assert!(wait <= 7 * 86_400_000, "it waits {wait} ms");
}

#[test]
fn a_policy_that_loops_leaves_the_built_in_decision() {
    let guest = Guest::policy("(loop $for_ever (br $for_ever)) (unreachable)").build();
    let kennel = beside(&guest, QUICK, &Use::Policy, |kennel| {
        fault("cpu")(kennel) && kennel.service("victim")["restarts"].as_u64() > Some(2)
    });
    assert!(kennel.events().iter().all(|event| event["kind"] != "service.policy"));
}

#[test]
fn a_sink_that_traps_loses_no_event_and_delays_nobody() {
    let guest = Guest::sink("(unreachable)").build();
    let kennel = beside(&guest, QUICK, &Use::Sink, fault("trap"));
    assert_eq!(kennel.service("victim")["state"], "up");
}

/// The same component against a contract that does not exist.
fn of_another_version(component: &[u8]) -> Vec<u8> {
    let mut bytes = component.to_vec();
    for at in 0..bytes.len() {
        if bytes[at..].starts_with(b"@0.1.0") {
            bytes[at + 1] = b'9';
        }
    }
    bytes
}

#[test]
fn what_is_no_plugin_is_refused_for_what_it_is_and_delays_nobody() {
    let healthy = Guest::healthy().build();
    let foreign = Guest::healthy()
        .foreign(
            "other:thing/magic@1.0.0",
            "package other:thing@1.0.0; interface magic { cast: func(); }",
        )
        .import("other:thing/magic@1.0.0", "cast", "$cast")
        .build();
    let module = wat::parse_str("(module)").unwrap();
    let truncated = healthy[..healthy.len() / 2].to_vec();
    let huge = vec![0x20; 200 << 20];
    for (bytes, words) in [
        (foreign, &["other:thing/magic"][..]),
        (module, &["core module"]),
        (truncated, &["cut off"]),
        (of_another_version(&healthy), &["9.1.0"]),
        (b"#!/bin/sh\necho hello\n".to_vec(), &["script"]),
        (huge, &["MiB"]),
    ] {
        let kennel = {
            let words: &'static [&'static str] = Box::leak(words.to_vec().into_boxed_slice());
            beside(&bytes, QUICK, &Use::Check, refused(words))
        };
        victim_is_unknown(&kennel);
        kennel.sweep();
    }
}
