//! Hostile plugins beside two hundred services: none delays a restart or a check.
//!
//! Each plugin is a few lines of WebAssembly text, made a component here and run by the
//! real host under its real limits. Beside it stand two hundred services with a built-in
//! check each. How fast these are restarted and checked is measured twice, without the
//! plugin and while it does its worst, and compared.

use std::collections::{BTreeMap, HashSet};
use std::fmt::Write as _;
use std::fs;
use std::os::unix::net::UnixListener;
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::guest::Guest;
use crate::support::{Kennel, openmetrics, wait_for};

const SERVICES: usize = 200;
/// How many of them are killed.
const KILLED: usize = 20;
/// For how long checks are counted.
const WINDOW: Duration = Duration::from_secs(4);
/// How often it is measured, without and with the plugin, before it is found too slow:
/// other tests are not always the same burden.
const ATTEMPTS: usize = 3;
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
        Use::Check => ("{ plugin: hostile, every: 200ms, timeout: 1m, grace: 0s }", "{}", "[]"),
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
    let victim = format!("{{ command: {command}, health: {health}, restart: {restart} }}");
    format!(
        "plugins:\n  hostile: {{ source: ./hostile.wasm, {plugin} }}\nsinks: {sinks}\n{}  \
         victim: {victim}\n",
        services()
    )
}

/// The others.
fn services() -> String {
    let mut yaml = "kennel: { state_dir: ./state, socket: ./k.sock, max_concurrent_starts: 500, \
                    max_restarts_per_second: 500 }\nservices:\n"
        .to_owned();
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

/// How often each of the others was checked.
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

/// How many calls of the plugin failed.
fn faults(kennel: &Kennel) -> u64 {
    let text = kennel.api("GET", "/metrics").body;
    let series = openmetrics::parse(&text).unwrap();
    let of = |name: &str| name.starts_with("kennel_plugin_faults_total{");
    series.into_iter().filter(|(name, _)| of(name)).map(|(_, value)| value as u64).sum()
}

fn at_ms(event: &Value) -> i64 {
    let at = event["at"].as_str().unwrap();
    at.parse::<jiff::Timestamp>().unwrap().as_millisecond()
}

/// Kills some services and waits until each is up again: how long that took, in the middle.
fn restarts(kennel: &Kennel) -> Duration {
    let since = kennel.events().last().map_or(0, |event| event["seq"].as_u64().unwrap());
    let status = kennel.status();
    let services = status["services"].as_array().unwrap();
    let names: HashSet<String> = (0..KILLED).map(|number| format!("s{}", number * 7)).collect();
    let mut killed = BTreeMap::new();
    for service in services {
        let name = service["name"].as_str().unwrap();
        if names.contains(name) {
            let pid = i32::try_from(service["pid"].as_i64().unwrap()).unwrap();
            killed.insert(name, jiff::Timestamp::now().as_millisecond());
            nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), Signal::SIGKILL).unwrap();
        }
    }
    let started = wait_for("every killed service to be started again", LONG, || {
        let mut started = BTreeMap::new();
        for event in kennel.events().iter().filter(|event| event["seq"].as_u64() > Some(since)) {
            let name = event["service"].as_str().filter(|name| names.contains(*name));
            if let Some(name) = name.filter(|_| event["kind"] == "service.started") {
                started.insert(name.to_owned(), at_ms(event));
            }
        }
        (started.len() == KILLED).then_some(started)
    });
    let mut took: Vec<i64> = started.iter().map(|(name, at)| at - killed[name.as_str()]).collect();
    took.sort_unstable();
    Duration::from_millis(u64::try_from(took[KILLED / 2]).unwrap())
}

/// How fast the supervisor is.
#[derive(Debug)]
struct Pace {
    /// From the end of a service to its next run.
    restart: Duration,
    /// Checks in a second, of all services together.
    checks: f64,
    /// The same of the service that was checked least.
    least: f64,
}

impl Pace {
    fn of(kennel: &Kennel) -> Pace {
        let restart = restarts(kennel);
        let before = wait_for("every service to be checked", LONG, || {
            Some(checks(kennel)).filter(|counts| counts.len() == SERVICES)
        });
        let begun = Instant::now();
        thread::sleep(WINDOW);
        let after = checks(kennel);
        let seconds = begun.elapsed().as_secs_f64();
        let made: Vec<u64> = before.iter().map(|(name, count)| after[name] - count).collect();
        let least = *made.iter().min().unwrap() as f64 / seconds;
        Pace { restart, checks: made.iter().sum::<u64>() as f64 / seconds, least }
    }

    /// Without any plugin.
    fn undisturbed() -> Pace {
        let kennel = up(Kennel::new(&services()));
        let pace = Pace::of(&kennel);
        assert!(pace.least > 0.0, "there is nothing to compare with: {pace:?}");
        pace
    }

    /// Half as many checks, and restarts that take three times as long and a little more,
    /// are what a busy machine may be the cause of.
    fn keeps_up_with(&self, other: &Pace) -> bool {
        self.restart <= other.restart * 3 + Duration::from_millis(200)
            && self.checks * 2.0 >= other.checks
            && self.least * 2.0 >= other.least
    }
}

fn up(mut kennel: Kennel) -> Kennel {
    listen(&kennel);
    kennel.start();
    wait_for("everything to be up", LONG, || {
        let plain = kennel.api("GET", "/v1/status?format=plain").body;
        (plain.matches(": UP (").count() >= SERVICES).then_some(())
    });
    kennel
}

/// Lets `guest` do its worst until `trouble` is seen in the events, or among the plugins,
/// then looks at the others: they are as fast as without it.
fn beside(guest: &[u8], plugin: &str, used: &Use, trouble: impl Fn(&Kennel) -> bool) -> Kennel {
    compared(|| {
        let kennel = Kennel::new(&configuration(plugin, used));
        fs::write(kennel.path("hostile.wasm"), guest).unwrap();
        let kennel = up(kennel);
        wait_for("the plugin to do its worst", LONG, || trouble(&kennel).then_some(()));
        let pace = Pace::of(&kennel);
        (kennel, pace)
    })
}

/// Measures without and with the plugin until the one is about as fast as the other.
#[track_caller]
fn compared(hostile: impl Fn() -> (Kennel, Pace)) -> Kennel {
    let mut seen = Vec::new();
    for _ in 0..ATTEMPTS {
        let undisturbed = Pace::undisturbed();
        let (kennel, pace) = hostile();
        if pace.keeps_up_with(&undisturbed) {
            return kennel;
        }
        seen.push((undisturbed, pace));
    }
    panic!("restarts or checks are delayed (without and with the plugin): {seen:#?}");
}

/// A check that does its worst two times out of three. A third failure in a row would have
/// the host ask it no more for a while, and then it could disturb nobody.
fn mostly(body: &str) -> Guest {
    // The number of the check stands at this place of the question.
    Guest::check(&format!(
        "(if (i64.ne (i64.rem_u (i64.load offset=88 (local.get $input)) (i64.const 3))
             (i64.const 0))
           (then {body} (unreachable)))
         (call $verdict (i32.const 0))"
    ))
}

/// The same with a check that fails with this fault and no other, and goes on doing so
/// while the others are looked at. Its service is left alone.
fn beside_again_and_again(guest: &Guest, plugin: &str, word: &str) -> Kennel {
    let guest = guest.build();
    let kennel = compared(|| {
        let kennel = Kennel::new(&configuration(plugin, &Use::Check));
        fs::write(kennel.path("hostile.wasm"), &guest).unwrap();
        let kennel = up(kennel);
        wait_for("the plugin to fail", LONG, || fault(word)(&kennel).then_some(()));
        let before = faults(&kennel);
        let pace = Pace::of(&kennel);
        // It was at it all the time.
        wait_for("it to fail again", LONG, || (faults(&kennel) > before).then_some(()));
        (kennel, pace)
    });
    let events = kennel.events();
    for event in events.iter().filter(|event| event["kind"] == "plugin.fault") {
        assert_eq!(event["attributes"]["fault"], word, "{event}");
    }
    assert!(events.iter().all(|event| event["kind"] != "plugin.disabled"));
    wait_for("the victim's health to be unknown", LONG, || {
        (kennel.service("victim")["health"] == "unknown").then_some(())
    });
    victim_is_left_alone(&kennel);
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

fn victim_is_left_alone(kennel: &Kennel) {
    let victim = kennel.service("victim");
    assert_eq!((&victim["state"], &victim["restarts"]), (&"up".into(), &0.into()));
}

/// The victim lives, and its health is said to be unknown.
fn victim_is_unknown(kennel: &Kennel) {
    assert_eq!(kennel.service("victim")["health"], "unknown");
    victim_is_left_alone(kennel);
}

const QUICK: &str = "limits: { time: 20s, cpu: 100ms, memory: 8MiB }";
/// Whoever waits for a plugin of these limits is late: for a computation, for an answer.
const COMPUTES: &str = "limits: { time: 30s, cpu: 2s, memory: 8MiB }";
const WAITS: &str = "limits: { time: 2s, cpu: 1s, memory: 8MiB }";

#[test]
fn a_plugin_that_loops_for_ever_delays_nobody() {
    let guest = mostly("(loop $for_ever (br $for_ever))");
    beside_again_and_again(&guest, COMPUTES, "cpu");
}

#[test]
fn a_plugin_that_calls_the_host_for_ever_delays_nobody() {
    let body = "(loop $for_ever
        (call $log (i32.const 1) (i32.const 64) (i32.const 4) (i32.const 0) (i32.const 0))
        (br $for_ever))";
    beside_again_and_again(&mostly(body).with_log(), COMPUTES, "cpu");
}

#[test]
fn a_plugin_that_sleeps_delays_nobody() {
    let poll = "package wasi:io@0.2.0;
        interface poll { resource pollable { block: func(); } }";
    let clocks = "package wasi:clocks@0.2.0;
        interface monotonic-clock {
            use wasi:io/poll@0.2.0.{pollable};
            subscribe-duration: func(when: u64) -> pollable;
        }";
    let after = ("wasi:clocks/monotonic-clock@0.2.0", "$after (param i64) (result i32)");
    let guest = mostly("(call $block (call $after (i64.const 3600000000000)))")
        .import(after.0, "subscribe-duration", after.1)
        .import("wasi:io/poll@0.2.0", "[method]pollable.block", "$block (param i32)")
        .foreign("wasi:io/poll@0.2.0", poll)
        .foreign("wasi:clocks/monotonic-clock@0.2.0", clocks);
    beside_again_and_again(&guest, WAITS, "deadline");
}

#[test]
fn a_plugin_that_waits_for_a_silent_server_delays_nobody() {
    // Asks an address that accepts and never answers, again and again.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = silent.local_addr().unwrap().to_string();
    let body = format!(
        "(loop $for_ever (call $tcp (i32.const 4096) (i32.const {})) (br $for_ever))",
        address.len()
    );
    let guest = mostly(&body).with_tcp();
    let guest = guest.items(&format!("(data (i32.const 4096) \"{address}\")"));
    let plugin = format!("{WAITS}, grants: {{ net: [\"{address}\"] }}");
    beside_again_and_again(&guest, &plugin, "trap");
}

#[test]
fn a_plugin_that_eats_memory_delays_nobody() {
    let body = "(loop $more
        (br_if $more (i32.ne (memory.grow (i32.const 16)) (i32.const -1))))";
    beside_again_and_again(&mostly(body), QUICK, "memory");
}

#[test]
fn a_plugin_that_overflows_its_stack_delays_nobody() {
    let guest = mostly("(call $deeper (i32.const 0))").items(
        "(func $deeper (param $n i32)
           (call $deeper (i32.add (local.get $n) (i32.const 1)))
           (call $deeper (local.get $n)))",
    );
    beside_again_and_again(&guest, QUICK, "trap");
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
    // A list of four thousand texts, each the same 32 KiB of memory.
    let body = "(local.set $i (i32.const 4095))
        (loop $next
          (i32.store offset=65536 (i32.shl (local.get $i) (i32.const 4)) (i32.const 8192))
          (i32.store offset=65540 (i32.shl (local.get $i) (i32.const 4)) (i32.const 32768))
          (br_if $next (local.tee $i (i32.sub (local.get $i) (i32.const 1)))))
        (local.set $i (call $verdict (i32.const 0)))
        (i32.store (i32.const 1072) (i32.const 65552))
        (i32.store (i32.const 1076) (i32.const 4000))
        (return (local.get $i))";
    beside_again_and_again(&mostly(body), COMPUTES, "trap");
}

#[test]
fn a_plugin_whose_reason_has_a_hundred_megabytes_delays_nobody() {
    let body = "(drop (memory.grow (i32.const 1600)))
        (local.set $i (call $verdict (i32.const 0)))
        (call $reason (i32.const 0) (i32.const 100000000))
        (return (local.get $i))";
    let plugin = "limits: { time: 30s, cpu: 2s, memory: 256MiB }";
    beside_again_and_again(&mostly(body), plugin, "trap");
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
    let kennel = beside(&guest, COMPUTES, &Use::Check, |kennel| {
        kennel.service("victim")["health"] == "healthy"
    });
    assert_eq!(faults(&kennel), 0);
    let lines = kennel.said().lines().filter(|line| line.contains("fine")).count();
    assert!(lines < 5_000, "{lines} lines of the plugin are in the supervisor's log");
}

#[test]
fn a_plugin_that_forges_text_delays_nobody() {
    let body = "(local.set $i (call $verdict (i32.const 0)))
        (call $reason (i32.const 4096) (i32.const 4))
        (return (local.get $i))";
    let guest = mostly(body).items("(data (i32.const 4096) \"\\ff\\fe\\c0\\80\")");
    beside_again_and_again(&guest, QUICK, "trap");
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
    // What would go round the grants, and what a newer WASI has.
    let unoffered = Guest::healthy()
        .foreign(
            "wasi:http/outgoing-handler@0.2.0",
            "package wasi:http@0.2.0; interface outgoing-handler { handle: func(); }",
        )
        .import("wasi:http/outgoing-handler@0.2.0", "handle", "$handle")
        .foreign(
            "wasi:clocks/monotonic-clock@0.3.0",
            "package wasi:clocks@0.3.0; interface monotonic-clock { now: func() -> u64; }",
        )
        .import("wasi:clocks/monotonic-clock@0.3.0", "now", "$now (result i64)")
        .build();
    let module = wat::parse_str("(module)").unwrap();
    let truncated = healthy[..healthy.len() / 2].to_vec();
    let huge = vec![0x20; 200 << 20];
    for (bytes, words) in [
        (foreign, &["other:thing/magic"][..]),
        (unoffered, &["wasi:http/outgoing-handler@0.2.0", "wasi:clocks/monotonic-clock@0.3.0"]),
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
