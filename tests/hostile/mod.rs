//! Hostile plugins beside two hundred services: none delays a restart or a check.
//!
//! Each plugin is a few lines of WebAssembly text, made a component here and run by the
//! real host under its real limits. Beside it stand two hundred services with a built-in
//! check each. How fast these are restarted and checked is measured twice, without the
//! plugin and while it does its worst, and compared. The trouble that it makes is counted, and
//! checks are counted until there was more of it meanwhile.

mod pace;
mod stir;

use std::fmt::Write as _;
use std::fs;
use std::os::unix::net::UnixListener;
use std::thread;
use std::time::Duration;

use serde_json::Value;

use crate::guest::Guest;
use crate::sinks::is_about_sink;
use crate::support::{Kennel, openmetrics, wait_for};
use pace::{Pace, Trouble, at_ms};
use stir::Stir;

const SERVICES: usize = 200;
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
    /// As a sink of all events, beside one that writes them to the file `events`.
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

/// Where there is no plugin.
fn peaceful() -> String {
    format!("{}  victim: {{ command: [sleep, '100000'] }}\n", services())
}

fn configuration(kennel: &Kennel, plugin: &str, used: &Use) -> String {
    let file = kennel.path("events").display().to_string();
    let (archive, sinks) = match used {
        Use::Check | Use::Policy => (String::new(), "[]".to_owned()),
        Use::Sink => (
            format!("  archive: {{ source: 'stock:file', grants: {{ files: ['{file}'] }} }}\n"),
            format!("[{{ plugin: hostile }}, {{ plugin: archive, config: {{ path: '{file}' }} }}]"),
        ),
    };
    let (health, restart) = match used {
        Use::Check => ("{ plugin: hostile, every: 200ms, timeout: 1m, grace: 0s }", "{}"),
        Use::Policy => (
            "{ unix: ./l.sock, every: 1h }",
            "{ limit: none, backoff: { initial: 300ms, max: 300ms }, policy_plugin: { plugin: hostile } }",
        ),
        Use::Sink => ("{ unix: ./l.sock, every: 1h }", "{}"),
    };
    let command = match used {
        Use::Policy => "[sh, -c, 'sleep 0.1; exit 3']",
        Use::Check | Use::Sink => "[sleep, '100000']",
    };
    let victim = format!("{{ command: {command}, health: {health}, restart: {restart} }}");
    format!(
        "plugins:\n  hostile: {{ source: ./hostile.wasm, {plugin} }}\n{archive}sinks: {sinks}\n\
         {}  victim: {victim}\n",
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

/// A figure of the plugin.
fn figure(kennel: &Kennel, name: &str) -> u64 {
    let text = kennel.api("GET", "/metrics").body;
    let all = openmetrics::parse(&text).unwrap();
    all.get(&format!("{name}{{plugin=\"hostile\"}}")).copied().unwrap_or(0.0) as u64
}

/// How many calls of the plugin were answered or failed.
fn calls(kennel: &Kennel) -> u64 {
    figure(kennel, "kennel_plugin_calls_total")
}

/// How many calls of the plugin failed.
fn faults(kennel: &Kennel) -> u64 {
    figure(kennel, "kennel_plugin_faults_total")
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

/// Lets `guest` do its worst, stirred up by `stir` and counted by `trouble`, and looks at the
/// others meanwhile: they are as fast as without it. Measures both until it is so, a few times.
#[track_caller]
fn beside(guest: &[u8], plugin: &str, used: &Use, stir: Stir, trouble: Trouble<'_>) -> Kennel {
    let mut seen = Vec::new();
    for _ in 0..ATTEMPTS {
        let undisturbed = Pace::undisturbed(stir);
        let kennel = Kennel::new("");
        kennel.configure(&configuration(&kennel, plugin, used));
        fs::write(kennel.path("hostile.wasm"), guest).unwrap();
        let kennel = up(kennel);
        let pace = stir.during(&kennel, || {
            wait_for("the plugin to do its worst", LONG, || (trouble(&kennel) > 0).then_some(()));
            Pace::of(&kennel, Some(trouble))
        });
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

/// Lets a check that fails with this fault do so again and again. Its service is
/// left alone.
fn beside_again_and_again(guest: &Guest, plugin: &str, word: &str) -> Kennel {
    let kennel = beside(&guest.build(), plugin, &Use::Check, Stir::Nothing, &faults);
    assert!(fault(word)(&kennel));
    let events = kennel.events();
    for event in events.iter().filter(|event| event["kind"] == "plugin.fault") {
        // On a busy machine its time may be over before it has come to that.
        let is_meant = [word, "deadline"].iter().any(|one| event["attributes"]["fault"] == *one);
        assert!(is_meant, "{event}");
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

/// How often the plugin was refused, in these words.
fn refusals(kennel: &Kennel, words: &[&str]) -> u64 {
    let events = kennel.events();
    let refusals = events.iter().filter(|event| event["kind"] == "plugin.rejected");
    let in_words = refusals.filter(|event| {
        let message = event["message"].as_str().unwrap();
        words.iter().all(|word| message.contains(word))
    });
    in_words.count() as u64
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

const DAY_MS: u64 = 86_400_000;

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
    // Asked once after each rest, it fails again.
    let kennel = beside(&guest, QUICK, &Use::Check, Stir::Nothing, &faults);
    wait_for("the plugin to rest", LONG, || {
        kennel.events().iter().any(|event| event["kind"] == "plugin.disabled").then_some(())
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
    let kennel = beside(&guest, COMPUTES, &Use::Check, Stir::Nothing, &calls);
    assert_eq!((faults(&kennel), &kennel.service("victim")["health"]), (0, &"healthy".into()));
    let is_of_plugin = |line: &&str| line.contains(" fine ") && line.contains("plugin=\"hostile\"");
    let lines = kennel.said().lines().filter(is_of_plugin).count() as u64;
    // The host passes on 100 messages of a call, and 600 of a plugin in each minute, of which
    // the first begins when the plugin is loaded.
    let age_ms = jiff::Timestamp::now().as_millisecond() - at_ms(&kennel.events()[0]);
    let minutes = age_ms.unsigned_abs() / 60_000 + 1;
    let most = (600 * minutes).min(100 * (calls(&kennel) + 1));
    assert!((1..=most).contains(&lines), "{lines} lines of the plugin are in the log, not {most}");
    assert!(figure(&kennel, "kennel_plugin_log_dropped_messages_total") > 0);
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
    let refused = |kennel: &Kennel| refusals(kennel, &["failed over its configuration"]);
    let kennel = beside(&guest, QUICK, &Use::Check, Stir::Reload, &refused);
    victim_is_unknown(&kennel);
}

#[test]
fn a_policy_that_wants_to_wait_for_ages_is_cut_to_a_week() {
    let guest = Guest::policy("(call $decision (i64.const -1))").build();
    let decided = |kennel: &Kennel| kennel.events_of("service.policy", "victim").len() as u64;
    let kennel = beside(&guest, QUICK, &Use::Policy, Stir::Restart, &decided);
    // The built-in policy waits for 300 ms.
    let wait = wait_for("the policy to decide", LONG, || {
        let wait = kennel.service("victim")["next_restart_in_ms"].as_u64();
        wait.filter(|wait| *wait > 6 * DAY_MS)
    });
    assert!(wait <= 7 * DAY_MS, "it waits {wait} ms");
    assert_eq!(kennel.service("victim")["state"], "backoff");
}

#[test]
fn a_policy_that_loops_leaves_the_built_in_decision() {
    let guest = Guest::policy("(loop $for_ever (br $for_ever)) (unreachable)").build();
    let kennel = beside(&guest, QUICK, &Use::Policy, Stir::Nothing, &faults);
    assert!(fault("cpu")(&kennel));
    wait_for("the built-in policy to go on", LONG, || {
        (kennel.service("victim")["restarts"].as_u64() > Some(2)).then_some(())
    });
    assert!(kennel.events().iter().all(|event| event["kind"] != "service.policy"));
}

#[test]
fn a_sink_that_traps_loses_no_event_and_delays_nobody() {
    // At one millisecond out of four. One that always traps is soon asked once in minutes.
    let guest = Guest::sink(
        "(if (i64.eqz (i64.and (local.get $now) (i64.const 3))) (then (unreachable)))
         (call $taken (local.get $count))",
    );
    let kennel = beside(&guest.build(), QUICK, &Use::Sink, Stir::Signal, &faults);
    assert!(fault("trap")(&kennel));
    assert_eq!(kennel.service("victim")["state"], "up");
    // The one beside it has each event once, in order, those about itself apart.
    wait_for("all events in the file", LONG, || {
        let events = kennel.events();
        let expected = events.iter().filter(|event| !is_about_sink(event, "archive", "archive"));
        let text = kennel.read("events");
        let written = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let written: Vec<Value> = written.map(|event| event["seq"].clone()).collect();
        written.iter().eq(expected.map(|event| &event["seq"])).then_some(())
    });
    // And it has itself taken each, sooner or later.
    let of_sink = |all: &openmetrics::Series, name: &str, outcome: &str| {
        all[&format!("{name}{{sink=\"hostile\",plugin=\"hostile\"{outcome}}}")]
    };
    let all = wait_for("the sink to have caught up", LONG, || {
        let all = openmetrics::parse(&kennel.api("GET", "/metrics").body).unwrap();
        (of_sink(&all, "kennel_sink_behind_events", "") == 0.0).then_some(all)
    });
    for (outcome, is_some) in [("taken", true), ("rejected", false), ("dropped", false)] {
        let label = format!(",outcome=\"{outcome}\"");
        let count = of_sink(&all, "kennel_sink_events_total", &label);
        assert_eq!(count > 0.0, is_some, "{count} events were {outcome}");
    }
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
        let refused = |kennel: &Kennel| refusals(kennel, words);
        let kennel = beside(&bytes, QUICK, &Use::Check, Stir::Reload, &refused);
        victim_is_unknown(&kennel);
        kennel.sweep();
    }
}
