//! Half of the services crash all the time; the other half must not notice.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::thread;
use std::time::Duration;

use nix::sys::resource::{Resource, getrlimit};
use nix::sys::signal::Signal;
use serde_json::Value;

use crate::support::{Kennel, openmetrics, wait_for};

/// Of each half.
const SERVICES: usize = 500;
/// A busy machine has its time for a thousand processes.
const LONG: Duration = Duration::from_secs(180);
/// How often each service that crashes is to be restarted: its log is rotated then.
const CRASHES: u64 = 3;
/// What a service that crashes may leave: the file that is written, and one that was rotated.
const LOG_BYTES: u64 = 2 * 4096;
/// The journal has 64 MiB, and begins a new file at 4.
const JOURNAL_BYTES: u64 = (64 + 4) << 20;

/// The instances of a service by name.
fn instances(kennel: &Kennel, service: &str) -> BTreeMap<String, Value> {
    let status = kennel.status();
    let all = status["services"].as_array().expect("services are a list").iter();
    let of_service = all.filter(|one| one["service"] == service);
    of_service.map(|one| (one["name"].as_str().unwrap().to_owned(), one.clone())).collect()
}

/// How often each instance was looked at.
fn checks(kennel: &Kennel) -> BTreeMap<String, f64> {
    let text = kennel.api("GET", "/metrics").body;
    let series = openmetrics::parse(&text).unwrap();
    let mut checks = BTreeMap::new();
    for (name, count) in series {
        if !name.contains("check_answers_total{") {
            continue;
        }
        let (_, rest) = name.split_once("instance=\"").unwrap();
        let instance = rest.split_once('"').unwrap().0.to_owned();
        if !name.contains("outcome=\"passed\"") {
            assert_eq!(count, 0.0, "every check is answered, and at once: {name}");
        }
        *checks.entry(instance).or_default() += count;
    }
    checks
}

fn pids(instances: &BTreeMap<String, Value>) -> BTreeMap<&str, i64> {
    instances.iter().filter_map(|(name, one)| Some((&**name, one["pid"].as_i64()?))).collect()
}

/// The files in a folder whose names begin so: how many, and bytes in all.
fn size(folder: &Path, prefix: &str) -> (usize, u64) {
    let entries = fs::read_dir(folder).unwrap().flatten();
    let meant = entries.filter(|entry| entry.file_name().to_string_lossy().starts_with(prefix));
    meant.fold((0, 0), |(files, bytes), entry| (files + 1, bytes + entry.metadata().unwrap().len()))
}

#[test]
fn services_that_crash_all_the_time_take_nothing_from_the_rest() {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    if hard < 16_384 {
        println!("skipped: only {hard} open files are allowed here");
        return;
    }
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || listener.incoming().for_each(drop));
    let kennel = Kennel::running(&format!(
        r#"
        kennel: {{ state_dir: ./state, socket: ./k.sock, max_concurrent_starts: 1000 }}
        services:
          good:
            replicas: {SERVICES}
            command: [sleep, "100000"]
            health: {{ tcp: "127.0.0.1:{port}", every: 3s, timeout: 1m, failures: 1 }}
          bad:
            replicas: {SERVICES}
            enabled: false
            shell: "printf '%01900d\n' 7; exit 1"
            restart: {{ backoff: {{ initial: 100ms, max: 1s }}, limit: none }}
            logs: {{ max_size: 4KiB, keep: 1 }}
        "#
    ));
    let all_well = || {
        let good = instances(&kennel, "good");
        let is_well = |one: &Value| one["health"] == "healthy" && one["state"] == "up";
        good.values().all(is_well).then_some(good)
    };
    let before = wait_for("all to be up and checked", LONG, all_well);
    assert_eq!(pids(&before).len(), SERVICES);
    let follower = kennel.background(&["events", "--json", "-f"]);

    assert_eq!(kennel.cli(&["start", "--no-wait", "bad"]).code, 0);
    let checks_before = checks(&kennel);
    wait_for("all to crash a few times while the rest is checked", LONG, || {
        // The API answers each time, and says that the others are well.
        assert!(all_well().is_some());
        let now = checks(&kennel);
        let is_checked = checks_before.iter().all(|(name, count)| now[name] > *count);
        let bad = instances(&kennel, "bad");
        let restarts = bad.values().filter_map(|one| one["restarts"].as_u64());
        (is_checked && restarts.min() >= Some(CRASHES)).then_some(())
    });
    assert_eq!(checks_before.len(), SERVICES);

    // One that has done nothing wrong comes back among all those, and nobody else went away.
    let one = kennel.process("good/7");
    one.signal(Signal::SIGKILL);
    let again = wait_for("good/7 to be another process", LONG, || {
        let now = instances(&kennel, "good")["good/7"]["pid"].as_i64()?;
        (now != i64::from(one.pid)).then_some(now)
    });
    let after = wait_for("all to be well again", LONG, all_well);
    let mut expected = pids(&before);
    expected.insert("good/7", again);
    assert_eq!(pids(&after), expected);

    assert_eq!(kennel.cli(&["stop", "bad"]).code, 0);
    let stopped: BTreeSet<String> = instances(&kennel, "bad")
        .into_iter()
        .filter_map(|(name, one)| (one["state"] == "down").then_some(name))
        .collect();
    assert_eq!(stopped.len(), SERVICES);
    let state = kennel.path("state");
    let (_, journal) = size(&state.join("journal"), "");
    assert!(journal <= JOURNAL_BYTES, "{journal} bytes of journal");
    for name in &stopped {
        let prefix = format!("{}.", name.replace('/', "."));
        let (files, bytes) = size(&state.join("logs"), &prefix);
        assert!(files == 2 && bytes <= LOG_BYTES, "{name} has {files} log files, {bytes} bytes");
    }

    // Who reads along is told everything once and in order.
    let last = kennel.events().last().unwrap()["seq"].as_u64().unwrap();
    let told = wait_for("the follower to come to the end", LONG, || {
        let text = follower.stdout();
        let whole = &text[..text.rfind('\n')? + 1];
        let events: Vec<Value> = whole.lines().map(|s| serde_json::from_str(s).unwrap()).collect();
        (events.last()?["seq"].as_u64() >= Some(last)).then_some(events)
    });
    let numbers: Vec<u64> = told.iter().filter_map(|event| event["seq"].as_u64()).collect();
    assert!(numbers.windows(2).all(|pair| pair[0] + 1 == pair[1]), "an event is missing");
    let restarts = |event: &&Value| {
        event["kind"] == "service.started"
            && event["service"].as_str().is_some_and(|name| name.starts_with("bad/"))
    };
    let starts = told.iter().filter(restarts).count() as u64;
    assert!(starts > CRASHES * SERVICES as u64, "only {starts} starts were told of");
}
