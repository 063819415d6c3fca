//! Slow is not dead: before a restart for late answers it is told what the service did.

use serde_json::Value;

use super::{kennel_with_server, needs_python};
use crate::support::{BOUND, Kennel, wait_for};

/// A check that is late three times, and what is told of it. On a busy machine `/proc` may
/// not be seen in time, or no work be done; then it is told of a later run.
fn late(words: &str, logs: &str, is_meant: impl Fn(&str) -> bool) -> (Kennel, String) {
    let check = "{ http: URL/, every: 50ms, timeout: 1s, timeouts: 3, grace: 0s }";
    let mut kennel = kennel_with_server(check, logs);
    kennel.answers(words);
    kennel.start();
    let message = wait_for("its work to be told", BOUND, || {
        let stopping = kennel.events_of("service.stopping", "web").into_iter();
        let told = |event: Value| Some(event["message"].as_str()?.to_owned());
        let is_told = |message: &String| message.contains("its processes used");
        stopping.filter_map(told).find(|message| is_told(message) && is_meant(message))
    });
    println!("{message}");
    assert!(message.contains("3 times in a row"), "{message}");
    wait_for("the reason to be told", BOUND, || {
        kennel.cli(&["why", "web"]).ok().contains("its processes used").then_some(())
    });
    (kennel, message)
}

/// The seconds of processor time that a reason tells.
fn cpu_seconds(message: &str) -> f64 {
    let (_, rest) = message.split_once("its processes used ").expect("it is told");
    rest.split(' ').next().unwrap().parse().unwrap()
}

#[test]
fn a_service_that_is_stuck_is_told_from_one_that_is_at_work() {
    if needs_python() {
        return;
    }
    let (kennel, message) = late("200 hang", "", |_| true);
    assert!(message.contains("s of CPU and wrote nothing)"), "{message}");
    assert!(cpu_seconds(&message) < 0.5, "{message}");
    kennel.end();

    let (kennel, _) = late("200 work", "", |message| {
        let lines = message.split(" wrote ").nth(1).and_then(|rest| rest.split(' ').next());
        let lines = lines.and_then(|lines| lines.parse::<u64>().ok());
        cpu_seconds(message) >= 0.2 && lines >= Some(2)
    });
    // Degraded from the first late answer, and told from then on.
    let changes = kennel.changes("web");
    let is_told = |(change, why): &(String, String)| {
        change == "healthy>degraded" && why.contains("its processes used")
    };
    assert!(changes.iter().any(is_told), "{changes:#?}");
    kennel.end();
}

#[test]
fn output_that_nobody_sees_is_not_told_of() {
    if needs_python() {
        return;
    }
    let (kennel, message) = late("200 hang", "logs: { to: none }", |_| true);
    assert!(message.contains("s of CPU)") && !message.contains("wrote"), "{message}");
    kennel.end();
}

#[test]
fn what_answers_in_time_is_told_without_its_work() {
    if needs_python() {
        return;
    }
    let check = "{ http: URL/, every: 50ms, timeout: 10s, failures: 2, grace: 0s }";
    let mut kennel = kennel_with_server(check, "");
    kennel.answers("200 slow0.1 500");
    kennel.start();
    kennel.wait_for_ends("web", 1);
    let stopping = kennel.wait_for_event("service.stopping", "web");
    assert!(!stopping["message"].as_str().unwrap().contains("its processes"), "{stopping:#}");
    kennel.end();
}

/// Says every 20 ms that it is there, with the file `silent` only that it is ready.
const SAYS: &str = r#"
import os, socket, time
name = os.environ["NOTIFY_SOCKET"]
say = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
say.connect("\0" + name[1:] if name[0] == "@" else name)
say.send(b"READY=1")
while True:
    if not os.path.exists("silent"):
        say.send(b"WATCHDOG=1")
    time.sleep(0.02)
"#;

#[test]
fn notifications_are_progress_too() {
    if needs_python() {
        return;
    }
    for (file, said) in [("loud", " notifications)"), ("silent", " and sent no notification)")] {
        let mut kennel = Kennel::new(
            "services:
              web:
                command: [/usr/bin/python3, says.py]
                ready: { notify: systemd }
                health: { command: [sleep, '2005'], every: 100ms, timeout: 400ms, timeouts: 3, grace: 0s }
                restart: { limit: none }
            ",
        );
        kennel.write("says.py", SAYS);
        kennel.write(file, "");
        kennel.start();
        kennel.wait_for_ends("web", 1);
        let stopping = kennel.wait_for_event("service.stopping", "web");
        let message = stopping["message"].as_str().unwrap();
        println!("{message}");
        assert!(message.contains("s of CPU, wrote nothing and sent "), "{message}");
        assert!(message.contains(said), "{message}");
        kennel.end();
    }
}
