//! What the supervisor and its clients write, and who reads it or does not.

use std::io::Read as _;
use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::support::{BOUND, Kennel, openmetrics, wait_for};

const TALKATIVE: &str = r#"
    services:
      talker:
        shell: "while :; do echo 'this line is written over and over, as fast as it goes'; done"
        logs: { to: inherit }
      web:
        command: [sleep, "1000"]
        restart: { backoff: { initial: 20ms, max: 20ms }, limit: none }
    "#;

#[test]
fn a_standard_output_that_nobody_reads_holds_up_neither_supervision_nor_the_end() {
    let mut kennel = Kennel::new(TALKATIVE);
    let (mut reader, writer) = std::io::pipe().unwrap();
    kennel.start_into(writer);
    kennel.wait_for_state("web", "up");
    // By now all pipes on the way are full.
    let lines = || {
        let series = openmetrics::parse(&kennel.api("GET", "/metrics").body).unwrap();
        series["kennel_log_lines_total{service=\"talker\",instance=\"talker\"}"]
    };
    let mut before = -1.0;
    wait_for("the output to stand still", BOUND, || {
        std::thread::sleep(Duration::from_millis(200));
        std::mem::replace(&mut before, lines()).eq(&before).then_some(())
    });
    for _ in 0..5 {
        let before = kennel.process("web");
        before.signal(Signal::SIGKILL);
        wait_for("a new process", BOUND, || {
            let pid = kennel.service("web")["pid"].as_i64()? as i32;
            (pid != before.pid).then_some(())
        });
    }
    assert_eq!(kennel.cli(&["status", "--plain"]).code, 0);
    assert_eq!(kennel.terminate(), 0);
    kennel.assert_nothing_is_left();
    let mut text = Vec::new();
    reader.read_to_end(&mut text).unwrap();
    // How much a pipe holds depends on how many the user has.
    assert!(!text.is_empty(), "what stood in the pipe is still there");
}

#[test]
fn a_standard_output_that_is_closed_ends_nothing() {
    let mut kennel = Kennel::new(TALKATIVE);
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    kennel.start_into(writer);
    kennel.wait_for_state("web", "up");
    kennel.wait_for_state("talker", "up");
    let talker = kennel.process("talker");
    wait_for("the event", BOUND, || {
        kennel.events().into_iter().find(|event| event["kind"] == "logs.console_lost")
    });
    let before = kennel.process("web");
    before.signal(Signal::SIGKILL);
    kennel.wait_for_new_run("web", &before);
    assert_eq!(kennel.process("talker"), talker, "its output goes nowhere, and it lives on");
    assert_eq!(kennel.terminate(), 0);
    kennel.assert_nothing_is_left();
}

#[test]
fn a_standard_error_that_is_closed_ends_nothing() {
    let kennel = Kennel::new("services: { web: { command: [sleep, '1000'] } }");
    let fifo = kennel.path("err").display().to_string();
    // Its reader goes with the first byte.
    let prelude = format!("mkfifo {fifo}; head -c 1 {fifo} >/dev/null & exec 2>{fifo}");
    let mut kennel = kennel.prelude(&prelude);
    kennel.start();
    kennel.wait_for_state("web", "up");
    let before = kennel.process("web");
    before.signal(Signal::SIGKILL);
    kennel.wait_for_new_run("web", &before);
    assert_eq!(kennel.terminate(), 0, "what it says of SIGTERM is heard by nobody");
    kennel.assert_nothing_is_left();
}

#[test]
fn the_supervisors_own_log_can_be_json() {
    let mut kennel =
        Kennel::new("services: { web: { shell: 'exit 3', restart: { policy: never } } }")
            .args(&["--log-format", "json"]);
    kennel.start();
    kennel.wait_for_state("web", "failed");
    assert_eq!(kennel.terminate(), 0);
    let said = kennel.said();
    let lines: Vec<Value> =
        said.lines().map(|line| serde_json::from_str(line).expect("an object a line")).collect();
    assert!(lines.iter().all(|line| line["level"].is_string() && line["timestamp"].is_string()));
    assert!(said.contains("web exited with code 3"), "{said}");
}

#[test]
fn a_watched_status_shows_every_change() {
    let mut kennel = Kennel::running("services: { web: { command: [sleep, '1000'] } }");
    kennel.wait_for_state("web", "up");
    let pid = kennel.pid("web");
    let watch = kennel.background(&["status", "--plain", "--watch"]);
    let up = format!("Service web: UP (pid {pid}, restarts 0)\n");
    watch.wait_for("the state of now", |text| text.starts_with(&up).then_some(()));
    assert_eq!(kennel.cli(&["stop", "web"]).code, 0);
    watch.wait_for("the stop", |text| {
        text.ends_with("Service web: DOWN (restarts 0)\n").then_some(())
    });
    assert_eq!(kennel.terminate(), 0);
    watch.end();
}

#[test]
fn a_client_whose_reader_is_gone_ends_without_complaint() {
    let kennel = Kennel::running("services: { web: { shell: 'seq 1 100000; exec sleep 1000' } }");
    kennel.wait_for_state("web", "up");
    let mut command = kennel.command(&["logs", "web"]);
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let output = command.stdout(writer).stderr(std::process::Stdio::piped()).spawn().unwrap();
    let output = output.wait_with_output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
}

#[test]
fn nothing_is_coloured_where_nobody_sees_it() {
    let kennel =
        Kennel::running("services: { web: { shell: 'exit 3', restart: { policy: never } } }");
    kennel.wait_for_state("web", "failed");
    for args in [&["status"][..], &["events"], &["why", "web"], &["status", "wbe"], &["logs"]] {
        let mut command = kennel.command(args);
        let output = command.env_remove("NO_COLOR").output().unwrap();
        let all = [output.stdout, output.stderr].concat();
        assert!(!all.contains(&0x1b), "{args:?}: {}", String::from_utf8_lossy(&all));
    }
    assert!(!kennel.said().contains('\x1b') && !kennel.stdout().contains('\x1b'));
}

#[test]
fn what_needs_no_supervisor_works_without_one() {
    let kennel = Kennel::new("services: { web: { command: [sleep, '1000'] } }");
    assert_eq!(kennel.cli(&["check"]).code, 0);
    let schema: Value = serde_json::from_str(&kennel.cli(&["schema"]).ok()).unwrap();
    assert!(schema["properties"]["services"].is_object(), "{schema:#}");
    for shell in ["bash", "zsh", "fish"] {
        assert!(kennel.cli(&["completions", shell]).ok().contains("kennel"));
    }
}
