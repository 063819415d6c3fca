//! Many services, few descriptors.

use std::collections::HashMap;
use std::ffi::OsString;
use std::fmt::Write as _;
use std::fs;
use std::time::{Duration, Instant};

use nix::sys::resource::{Resource, getrlimit};
use nix::sys::signal::Signal;

use crate::support::{BOUND, Kennel, wait_for};

/// How many times the threads of a process went to sleep of their own accord.
fn voluntary_switches(pid: i32) -> HashMap<OsString, u64> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).expect("the process runs");
    let count = |status: String| -> Option<u64> {
        status
            .lines()
            .find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"))?
            .trim()
            .parse()
            .ok()
    };
    tasks
        .flatten()
        .filter_map(|task| {
            Some((task.file_name(), count(fs::read_to_string(task.path().join("status")).ok()?)?))
        })
        .collect()
}

#[test]
fn a_thousand_services_start_and_run_and_stop() {
    const SERVICES: usize = 1000;
    const LONG: Duration = Duration::from_secs(120);
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    if hard < 8192 {
        println!("skipped: only {hard} open files are allowed here");
        return;
    }
    let mut yaml = String::from(
        "kennel: { state_dir: ./state, socket: ./k.sock, max_concurrent_starts: 1000 }\nservices:\n",
    );
    for number in 0..SERVICES {
        writeln!(yaml, "  s{number}: {{ command: [sleep, '100000'] }}").unwrap();
    }
    let mut kennel = Kennel::new(&yaml);
    let begun = Instant::now();
    kennel.start();
    wait_for("all services to be up", LONG, || {
        let plain = kennel.api("GET", "/v1/status?format=plain").body;
        (plain.matches(": UP (").count() == SERVICES).then_some(())
    });
    println!("{SERVICES} services were up after {:?}", begun.elapsed());
    assert_eq!(kennel.processes().len(), SERVICES);

    // The events of the start are on disk after a second; then there is nothing to do.
    let pid = kennel.supervisor_pid();
    let quiet = |window: Duration| {
        let before = voluntary_switches(pid);
        std::thread::sleep(window);
        let after = voluntary_switches(pid);
        after.iter().map(|(task, count)| count - before.get(task).unwrap_or(&0)).sum::<u64>()
    };
    quiet(Duration::from_secs(2));
    println!("idle: {} voluntary context switches in 3 s", quiet(Duration::from_secs(3)));

    let begun = Instant::now();
    kennel.signal(Signal::SIGTERM);
    assert_eq!(kennel.supervisor_exit(LONG), Some(0));
    println!("{SERVICES} services were stopped after {:?}", begun.elapsed());
    kennel.assert_nothing_is_left();
}

#[test]
fn a_mass_crash_is_smoothed_and_everything_comes_back() {
    const SERVICES: usize = 60;
    let kennel = Kennel::running(
        r#"
        kennel: { state_dir: ./state, socket: ./k.sock, max_restarts_per_second: 20 }
        services:
          web:
            replicas: 60
            command: [sleep, "1000"]
            restart: { backoff: { initial: 10ms }, limit: none }
        "#,
    );
    let all_up = || {
        let plain = kennel.api("GET", "/v1/status?format=plain").body;
        (plain.matches(": UP (").count() == SERVICES).then_some(())
    };
    wait_for("all replicas to be up", BOUND, all_up);
    let old = kennel.processes();
    old.iter().for_each(|process| process.signal(Signal::SIGKILL));
    wait_for("all to be restarted", BOUND, || {
        let status = kennel.status();
        let services = status["services"].as_array()?.clone();
        services.iter().all(|s| s["restarts"] == 1 && s["state"] == "up").then_some(())
    });
    let mut starts: Vec<jiff::Timestamp> = kennel
        .events()
        .iter()
        .filter(|e| e["kind"] == "service.started" && e["attributes"]["restarts"] == 1)
        .map(|e| e["at"].as_str().unwrap().parse().unwrap())
        .collect();
    starts.sort();
    let took = starts.last().unwrap().duration_since(*starts.first().unwrap());
    // 60 starts at 20 a second are 59 gaps of 50 ms; at once they take a tenth of that. What
    // comes between a start and its event on a busy machine may take off a part of it.
    assert!(took >= jiff::SignedDuration::from_millis(1_500), "{took:?}");
}

#[test]
fn without_descriptors_what_runs_goes_on_and_the_rest_follows_when_there_are_some() {
    const MORE: usize = 30;
    let few = "services:\n  first: { command: [sleep, '1000'] }\n";
    let mut kennel = Kennel::new(few).prelude("ulimit -Hn 64; ulimit -n 64");
    kennel.start();
    kennel.wait_for_state("first", "up");
    let first = kennel.process("first");

    let mut many = String::from("services:\n  first: { command: [sleep, '1000'] }\n");
    for number in 0..MORE {
        writeln!(
            many,
            "  s{number}: {{ command: [sleep, '1000'], restart: {{ backoff: {{ initial: 200ms, max: 1s }}, limit: none }} }}"
        )
        .unwrap();
    }
    kennel.configure(&many);
    assert_eq!(kennel.cli(&["reload"]).code, 0);
    // Some cannot be started, and say why.
    let reason = wait_for("a service without descriptors", BOUND, || {
        let events = kennel.events();
        let failed = events.into_iter().find(|event| event["kind"] == "service.start_failed")?;
        Some(failed["message"].as_str()?.to_owned())
    });
    assert!(reason.to_lowercase().contains("too many open files"), "{reason}");
    assert!(first.is_alive());
    assert_eq!(kennel.process("first"), first);
    // The supervisor can still be talked to, again and again.
    for _ in 0..5 {
        assert_eq!(kennel.cli(&["status"]).code, 0);
    }

    // With fewer services, those that are left come up.
    let some: Vec<String> =
        many.lines().take(2).chain(many.lines().skip(MORE - 3)).map(str::to_owned).collect();
    kennel.configure(&some.join("\n"));
    // The file has to be opened for that, and each start that is tried may take the last one.
    wait_for("the reload", BOUND, || {
        let reload = kennel.cli(&["reload"]);
        let is_exhausted = reload.stderr.to_lowercase().contains("too many open files");
        assert!(reload.code == 0 || is_exhausted, "{}", reload.stderr);
        (reload.code == 0).then_some(())
    });
    wait_for("everything to be up", BOUND, || {
        let plain = kennel.api("GET", "/v1/status?format=plain").body;
        plain.lines().all(|line| line.contains(": UP (")).then_some(())
    });
    assert_eq!(kennel.process("first"), first);
    assert_eq!(kennel.terminate(), 0);
    kennel.assert_nothing_is_left();
}
