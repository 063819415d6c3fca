//! Events reach a sink although the sink fails at random and the supervisor is killed.

use std::collections::{BTreeMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::hook::{Hook, Reply, Sent};
use crate::support::{Kennel, wait_for};

const EVENTS: usize = 100_000;
const KILLS: usize = 5;

/// One request for all of them is an event for each.
const INSTANCES: usize = 500;

const LONG: Duration = Duration::from_secs(240);

/// A generator of numbers that look random, the same in each run.
fn random(state: &AtomicU64) -> u64 {
    let next = |state: u64| state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
    let before = state.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |state| Some(next(state)));
    before.unwrap_or_default() >> 33
}

/// An event, by what is never the same in two: its number may be given again after a kill.
fn identity(event: &Value) -> (u64, String) {
    let at = event["at"].as_str().expect("a time");
    // The journal has microseconds, a sink milliseconds.
    let (seconds, fraction) = at.trim_end_matches('Z').split_once('.').expect("a fraction");
    let milliseconds = fraction.get(..3).expect("three digits");
    (event["seq"].as_u64().expect("a number"), format!("{seconds}.{milliseconds}"))
}

/// The events that were taken.
fn events(sent: &[Sent]) -> impl Iterator<Item = Value> {
    let taken = sent.iter().filter(|sent| sent.answered == 200);
    taken.flat_map(|sent| sent.json()["events"].as_array().expect("events").clone())
}

#[test]
fn of_a_hundred_thousand_events_none_is_missing_after_five_kills() {
    let dice = AtomicU64::new(4711);
    let hook = Hook::answering(move |_| match random(&dice) % 100 {
        0..2 => Reply::status(500),
        2..4 => Reply { headers: "Retry-After: 0\r\n", ..Reply::status(429) },
        // Nobody knows whether they were taken.
        4..6 => Reply::status(0),
        _ => Reply::status(200),
    });
    let mut kennel = Kennel::running(&format!(
        "plugins: {{ hook: {{ source: 'stock:webhook', grants: {{ http: ['{origin}'] }} }} }}\n\
         sinks: [{{ plugin: hook, events: ['service.*'], config: {{ url: '{origin}/' }} }}]\n\
         services:\n  \
           idle: {{ command: [sleep, '1000'], enabled: false, replicas: {INSTANCES} }}\n  \
           worker:\n    \
             shell: exit 1\n    \
             restart: {{ backoff: {{ initial: 50ms, max: 50ms }}, limit: none }}\n",
        origin = hook.origin()
    ));
    let begun = Instant::now();
    let make_events = |kennel: &Kennel, count: usize| {
        for _ in 0..count.div_ceil(INSTANCES) {
            assert_eq!(kennel.api("POST", "/v1/services/idle/reset").status, 200);
        }
    };
    // Amid deliveries each time: some of what was just made has come, and some has not.
    let mut requests = 0;
    for _ in 0..KILLS {
        make_events(&kennel, EVENTS / KILLS);
        wait_for("some deliveries", LONG, || (hook.sent().len() > requests + 20).then_some(()));
        kennel.kill_supervisor();
        requests = hook.sent().len();
        kennel.start();
    }
    let wanted = |kennel: &Kennel| {
        let mut events = kennel.events();
        events.retain(|event| event["kind"].as_str().is_some_and(|k| k.starts_with("service.")));
        events
    };
    // A kill loses what was not on disk yet.
    make_events(&kennel, EVENTS.saturating_sub(wanted(&kennel).len()));
    assert_eq!(kennel.cli(&["stop", "worker"]).code, 0);
    let journal = wanted(&kennel);
    assert!(journal.len() >= EVENTS, "{} events", journal.len());

    let last = journal.last().expect("events")["seq"].clone();
    let mut seen = 0;
    wait_for("the last event", LONG, || {
        let sent = hook.sent();
        let new = events(&sent[seen..]).any(|event| event["seq"] == last);
        seen = sent.len();
        new.then_some(())
    });
    let sent = hook.sent();
    let mut times: BTreeMap<(u64, String), usize> = BTreeMap::new();
    for event in events(&sent) {
        *times.entry(identity(&event)).or_default() += 1;
    }
    let had: HashSet<_> = times.keys().cloned().collect();
    let missing: Vec<_> =
        journal.iter().map(identity).filter(|event| !had.contains(event)).take(10).collect();
    assert!(missing.is_empty(), "missing: {missing:?}");
    let twice = times.values().filter(|count| **count > 1).count();
    println!(
        "{} events in {} requests, {twice} of them more than once, {:?}",
        journal.len(),
        sent.len(),
        begun.elapsed()
    );
}
