//! The sample of docs/rqlite.md with a stand-in for the node, its times scaled down.

use std::fs;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;

use super::needs_python;
use crate::support::servers::free_port;
use crate::support::{BOUND, Kennel, wait_for};

/// Every time of the sample that a test cannot wait for.
const SCALED: [(&str, &str); 7] = [
    ("every: 2s", "every: 100ms"),
    ("every: 5s", "every: 100ms"),
    ("timeout: 3s", "timeout: 400ms"),
    ("grace: 120s", "grace: 3s"),
    ("{ initial: 5s, max: 60s }", "{ initial: 50ms, max: 100ms }"),
    ("reset_after: 60s", "reset_after: 1s"),
    ("wait: 60s", "wait: 5s"),
];

/// The sample, as it stands in the documentation.
fn sample() -> String {
    let text = include_str!("../../docs/rqlite.md");
    let sample = text.split("```yaml\n").nth(1).and_then(|rest| rest.split("```").next());
    sample.expect("the document has a sample").to_owned()
}

/// The sample with a port of the test's own and its times scaled down.
fn scaled() -> String {
    let mut yaml = sample().replace("127.0.0.1:4001", &format!("127.0.0.1:{}", free_port()));
    for (from, to) in SCALED {
        assert_eq!(yaml.matches(from).count(), 1, "{from} stands once in:\n{yaml}");
        yaml = yaml.replace(from, to);
    }
    yaml
}

/// The sample with the stand-in as `rqlited`, not started.
fn cluster() -> Kennel {
    cluster_of(&scaled())
}

fn cluster_of(yaml: &str) -> Kennel {
    let kennel = Kennel::new(yaml);
    fs::create_dir(kennel.path("bin")).unwrap();
    kennel.program("bin/rqlited", include_str!("rqlited.py"));
    let path = format!("{}:{}", kennel.path("bin").display(), std::env::var("PATH").unwrap());
    kennel.env("PATH", &path)
}

impl Kennel {
    /// How the node is from now on.
    fn node(&self, how: &str) {
        self.write("node.new", how);
        fs::rename(self.path("node.new"), self.path("node")).unwrap();
    }

    /// Waits for the next answer of the check after those that were there.
    #[track_caller]
    fn wait_for_more(&self, outcome: &str, more: f64) {
        let before = self.answers_of("store", "rqlite", outcome);
        self.wait_for_answers("store", "rqlite", outcome, before + more);
    }

    fn count(&self, kind: &str) -> usize {
        self.events_of(kind, "store").len()
    }
}

#[test]
fn the_sample_is_valid_as_it_stands() {
    let kennel = Kennel::new(&sample());
    kennel.write("rqlited", "");
    let checked = kennel.cli(&["check"]);
    assert_eq!(checked.code, 0, "{checked:#?}");
}

#[test]
fn a_node_that_is_slow_leaderless_or_deaf_is_not_dead() {
    if needs_python() {
        return;
    }
    let mut kennel = cluster();
    // A rejoin: it says nothing, then opens its store, then looks for a leader.
    kennel.node("deaf");
    kennel.start();
    let starting = |reason: &str| {
        let store = kennel.wait_for_verdict("store", "unknown", reason);
        assert_eq!((&store["state"], &store["restarts"]), (&"starting".into(), &0.into()));
    };
    starting("refused");
    kennel.node("opening");
    starting("is still opening its store");
    kennel.node("leaderless");
    starting("has no leader yet");
    kennel.node("ready");
    kennel.wait_for_verdict("store", "healthy", "");
    let node = kennel.process("store");

    kennel.node("leaderless");
    kennel.wait_for_verdict("store", "degraded", "has no leader yet");
    kennel.wait_for_more("degraded", 10.0);
    kennel.node("slow");
    let store = kennel.wait_for_verdict("store", "unhealthy", "its processes used");
    println!("{}", store["reason"]);
    assert!(store["reason"].as_str().unwrap().contains("in a row"), "{store:#}");
    kennel.node("deaf");
    kennel.wait_for_verdict("store", "unhealthy", "refused");
    kennel.wait_for_more("wrong", 5.0);
    kennel.node("ready");
    kennel.wait_for_verdict("store", "healthy", "");
    assert_eq!(kennel.process("store"), node, "the same node all the time");
    assert_eq!((kennel.count("service.started"), kennel.count("service.stopping")), (1, 0));
    kennel.end();
}

#[test]
fn a_node_that_died_is_launched_and_waited_for_three_times_at_most() {
    if needs_python() {
        return;
    }
    let mut kennel = cluster();
    kennel.node("ready");
    kennel.start();
    kennel.wait_for_verdict("store", "healthy", "");
    // It dies, and is waited for until it has found its leader again.
    let node = kennel.process("store");
    kennel.node("leaderless");
    node.signal(nix::sys::signal::Signal::SIGKILL);
    wait_for("the next run", BOUND, || (kennel.count("service.started") == 2).then_some(()));
    let store = kennel.wait_for_verdict("store", "unknown", "has no leader yet");
    assert_eq!((&store["state"], &store["ready"]), (&"starting".into(), &false.into()));
    kennel.node("ready");
    kennel.wait_for_verdict("store", "healthy", "");
    // A minute of health, here a second: what was is forgotten.
    kennel.wait_for_event("service.stable", "store");
    kennel.node("dead");
    let failed = kennel.wait_for_state("store", "failed");
    println!("{}", failed["reason"]);
    assert!(failed["reason"].as_str().unwrap().contains("exited with code 1"), "{failed:#}");
    assert_eq!(kennel.count("service.started"), 2 + 3, "three more, and no more");
    assert_eq!(kennel.count("service.stopping"), 0, "nothing but death ended a run");

    // A human has mended it.
    kennel.node("ready");
    assert_eq!(kennel.cli(&["start", "store"]).code, 0);
    kennel.wait_for_verdict("store", "healthy", "");
    kennel.end();
}

/// Two minutes of the sample, here: long beside what else there is to wait for.
const GRACE: Duration = Duration::from_secs(5);

/// When an event happened.
fn at(event: &Value) -> Timestamp {
    event["at"].as_str().unwrap().parse().unwrap()
}

#[test]
fn a_node_that_comes_back_has_its_grace_at_every_start_and_its_dependents_wait_for_it() {
    if needs_python() {
        return;
    }
    let app = "  app: { command: [sleep, '1000'], depends_on: { store: ready } }\n";
    let mut kennel = cluster_of(&(scaled().replace("grace: 3s", "grace: 5s") + app));
    kennel.node("leaderless");
    kennel.start();
    kennel.wait_for_verdict("store", "unknown", "has no leader yet");
    let app = kennel.service("app");
    assert_eq!(app["state"], "waiting", "{app:#}");
    assert_eq!(app["reason"], "waits for store to be ready, which is starting", "{app:#}");

    // It has its leader and is slow: it catches up with the others. Then it loses it again.
    kennel.node("settling");
    kennel.wait_for_state("store", "up");
    kennel.wait_for_state("app", "up");
    kennel.wait_for_more("late", 3.0);
    let fell = |run: usize| {
        wait_for("the service to be degraded", BOUND, || {
            let run =
                kennel.events_of("service.started", "store")[run]["attributes"]["run"].clone();
            let mut changes = kennel.events_of("health.changed", "store").into_iter();
            changes.find(|change| {
                let attributes = &change["attributes"];
                attributes["run"] == run && attributes["to"] == "degraded"
            })
        })
    };
    let first = fell(0);
    kennel.node("leaderless");
    kennel.wait_for_verdict("store", "degraded", "has no leader yet");

    // It dies, and all begins anew; whoever waited for it once keeps running.
    let (node, app) = (kennel.process("store"), kennel.process("app"));
    node.signal(nix::sys::signal::Signal::SIGKILL);
    wait_for("the next run", BOUND, || (kennel.count("service.started") == 2).then_some(()));
    kennel.wait_for_verdict("store", "unknown", "has no leader yet");
    kennel.node("settling");
    let second = fell(1);
    assert_eq!((kennel.count("service.stopping"), kennel.process("app")), (0, app));

    // In either run nothing counted before the grace was over.
    let starts = kennel.events_of("service.started", "store");
    for (start, fell) in starts.iter().zip([first, second]) {
        assert!(fell["message"].as_str().unwrap().contains("no answer in time"), "{fell:#}");
        let after = at(&fell).duration_since(at(start));
        // The events bear the time at which they were told, a little later than it was.
        let least = GRACE - Duration::from_millis(500);
        assert!(after.unsigned_abs() >= least, "degraded {after:#} after its start");
    }
    kennel.end();
}
