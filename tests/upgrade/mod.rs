//! Another version of the program takes the place of the supervisor, and nothing ends.

mod carried;
mod refused;
mod words;

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use nix::sys::signal::Signal;

use crate::adoption::{count_of, wait_for_lines};
use crate::support::clients::Clients;
use crate::support::kennel::binary;
use crate::support::output::Background;
use crate::support::servers::free_port;
use crate::support::{BOUND, Kennel, Process, needs_program, wait_for};

/// Writes numbers on both streams until SIGTERM, and then the last one to a file.
const COUNTING: &str = r#"
        services:
          count:
            shell: |
              trap 'echo $$i > last; exit 0' TERM
              i=0
              while :; do i=$$((i+1)); echo out $$i; echo err $$i >&2; done
            logs: { max_size: 1GiB }
          quiet: { command: [sleep, "1000"] }
"#;

/// The program under test under another name, as a newer version would be.
fn another_binary(kennel: &Kennel) -> PathBuf {
    let path = kennel.path("kennel-next");
    // By another process, for the reason told at `Kennel::program`.
    assert!(Command::new("cp").arg(binary()).arg(&path).status().unwrap().success());
    path
}

/// An upgrade that must come about; the supervisor stays the same process.
#[track_caller]
fn upgrade(kennel: &Kennel, args: &[&str]) {
    let pid = kennel.supervisor_pid();
    let before = kennel.events().iter().filter(|e| e["kind"] == "supervisor.upgraded").count();
    let told = kennel.cli(&[&["upgrade"], args].concat()).ok();
    assert!(told.contains(&format!("pid {pid}")), "{told}");
    let after = kennel.events().iter().filter(|e| e["kind"] == "supervisor.upgraded").count();
    assert_eq!(after, before + 1);
    assert_eq!(kennel.status()["supervisor"]["pid"], pid);
}

/// A program that is this one after some lines of shell.
fn wrapper(kennel: &Kennel, name: &str, lines: &str) -> PathBuf {
    kennel.program(name, &format!("#!/bin/sh\n{lines}\nexec {} \"$@\"\n", binary().display()))
}

/// An upgrade that stands still between the old program and the new one, until the file
/// `go-on` is there. The file `between` says that it does.
#[track_caller]
pub(crate) fn hold(kennel: &Kennel) -> Background {
    let (between, go_on) = (kennel.path("between"), kennel.path("go-on"));
    let lines = format!(
        "if [ -n \"$KENNEL_UPGRADE\" ]; then\n\
         echo now > {}\n\
         while [ ! -e {} ]; do sleep 0.02; done\n\
         fi",
        between.display(),
        go_on.display()
    );
    let next = wrapper(kennel, "held", &lines);
    let upgrading = kennel.background(&["upgrade", "--binary", next.to_str().unwrap()]);
    kennel.wait_for_file("between");
    upgrading
}

/// Lets it come about.
#[track_caller]
pub(crate) fn go_on(kennel: &Kennel, upgrading: Background) {
    kennel.write("go-on", "");
    let told = upgrading.end().ok();
    assert!(told.contains(&format!("pid {}", kennel.supervisor_pid())), "{told}");
}

#[test]
fn an_upgrade_keeps_pid_services_and_every_line() {
    let kennel = Kennel::running(COUNTING);
    let processes: Vec<Process> = ["count", "quiet"]
        .iter()
        .map(|name| {
            kennel.wait_for_state(name, "up");
            kennel.process(name)
        })
        .collect();
    let next = another_binary(&kennel);
    upgrade(&kennel, &[]);
    upgrade(&kennel, &["--binary", next.to_str().unwrap()]);
    let file = fs::read_link(format!("/proc/{}/exe", kennel.supervisor_pid())).unwrap();
    assert_eq!(file, next);
    // The lock has gone with it.
    kennel.cli(&["run"]).fails_saying(4, &[&kennel.supervisor_pid().to_string()]);
    for (name, before) in ["count", "quiet"].iter().zip(&processes) {
        let service = kennel.wait_for_state(name, "up");
        assert_eq!(service["restarts"], 0, "{service}");
        assert_eq!(&kennel.process(name), before, "{name}");
    }
    kennel.cli(&["stop", "count"]).ok();
    let last: usize = kennel.wait_for_file("last").trim().parse().unwrap();
    wait_for_lines(&kennel, "count", last);
    let mut kennel = kennel;
    assert_eq!(kennel.terminate(), 0);
    let text = kennel.read("state/logs/count.log");
    for stream in ["stdout", "stderr"] {
        let count = count_of(&text, stream);
        // It may have been about to write the last one when it was stopped.
        assert!(count + 1 >= last, "{stream}: {count} of {last}");
    }
    kennel.assert_nothing_is_left();
}

#[test]
fn nobody_who_connects_is_refused_and_no_word_of_a_service_is_lost() {
    if needs_program("perl") || needs_program("python3") {
        return;
    }
    let port = free_port();
    let mut kennel = Kennel::new(&format!(
        r#"
        services:
          web:
            command: [perl, answering.pl]
            sockets: [tcp://127.0.0.1:{port}]
            restart: {{ backoff: {{ initial: 1s, max: 1s }}, limit: none }}
          talks:
            command: [python3, talk.py]
            ready: {{ notify: systemd }}
            watchdog: 20s
        "#
    ));
    kennel.write("answering.pl", include_str!("../support/answering.pl"));
    kennel.write(
        "talk.py",
        r#"
import os, socket, time
name = os.environ["NOTIFY_SOCKET"]
name = "\0" + name[1:] if name.startswith("@") else name
failed = 0
def say(text):
    global failed
    s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    try:
        s.sendto(text.encode(), name)
    except OSError:
        failed += 1
say("READY=1")
n = 0
while True:
    n += 1
    say("WATCHDOG=1\nSTATUS=said %d, %d in vain" % (n, failed))
    time.sleep(0.005)
"#,
    );
    kennel.start();
    kennel.wait_for_state("web", "up");
    kennel.wait_for_state("talks", "up");
    let (web, talks) = (kennel.process("web"), kennel.process("talks"));
    let clients = Clients::asking(port, 4);
    clients.wait_for_more(20);
    for _ in 0..3 {
        upgrade(&kennel, &[]);
        clients.wait_for_more(20);
    }
    assert_eq!((kennel.process("web"), kennel.process("talks")), (web.clone(), talks));
    // The socket is held all the time: also when its service ends in the middle of it.
    web.signal(Signal::SIGKILL);
    upgrade(&kennel, &[]);
    kennel.wait_for_new_run("web", &web);
    clients.wait_for_more(20);
    let tally = clients.stop();
    assert_eq!(tally.refused, 0, "{tally:?}");
    let status = wait_for("a later word", BOUND, || {
        let text = kennel.service("talks")["status_text"].as_str()?.to_owned();
        text.starts_with("said").then_some(text)
    });
    assert!(status.ends_with(", 0 in vain"), "{status}");
}

#[test]
fn readers_that_follow_go_on_where_they_were() {
    let kennel = Kennel::running(
        r#"
        services:
          slow:
            shell: "i=0; while :; do i=$$((i+1)); echo line $$i; sleep 0.005; done"
          other: { shell: "while :; do echo other; sleep 0.01; done" }
        "#,
    );
    kennel.wait_for_state("slow", "up");
    let events = kennel.background(&["events", "-f", "--json"]);
    let raw = kennel.background(&["logs", "-f", "-n", "100000", "slow"]);
    let json = kennel.background(&["logs", "-f", "--json", "-n", "100000", "slow", "other"]);
    let last = |text: &str| {
        let line = text.lines().rfind(|line| line.contains("line "))?;
        let number = line.split("line ").nth(1)?;
        number
            .trim_end_matches(|c: char| !c.is_ascii_digit())
            .split('"')
            .next()?
            .parse::<u64>()
            .ok()
    };
    raw.wait_for("some lines", |text| last(text).filter(|last| *last > 10));
    for _ in 0..3 {
        upgrade(&kennel, &[]);
        let reached = last(&raw.stdout()).unwrap();
        raw.wait_for("more lines", |text| last(text).filter(|last| *last > reached + 20));
        json.wait_for("more lines", |text| last(text).filter(|last| *last > reached + 20));
    }
    events.wait_for("the last upgrade", |text| {
        (text.matches("supervisor.upgraded").count() == 3).then_some(())
    });
    let numbers: Vec<u64> = events
        .stdout()
        .lines()
        .map(|line| {
            serde_json::from_str::<serde_json::Value>(line).unwrap()["seq"].as_u64().unwrap()
        })
        .collect();
    let expected: Vec<u64> = (1..).take(numbers.len()).collect();
    assert_eq!(numbers, expected, "each event once");
    for text in [raw.stdout(), json.stdout()] {
        let mut expected = 1;
        for line in text.lines().filter(|line| line.contains("line ") && !line.contains("other")) {
            let Some(number) = last(line) else { continue };
            assert_eq!(number, expected, "each line once");
            expected += 1;
        }
    }
    for reader in [events, raw, json] {
        assert_eq!(reader.stderr(), "");
    }
}

#[test]
fn what_ends_while_the_program_is_replaced_is_noticed_once() {
    let kennel = Kennel::running(
        r#"
        services:
          web:
            shell: "sleep 0.0$$(($$$$ % 10)); echo end of $$KENNEL_RUN; exit 7"
            restart: { backoff: { initial: 1ms, max: 1ms }, limit: none }
          calm: { command: [sleep, "1000"] }
        "#,
    );
    kennel.wait_for_state("calm", "up");
    for _ in 0..5 {
        upgrade(&kennel, &[]);
    }
    let calm = kennel.service("calm");
    assert_eq!(calm["restarts"], 0, "{calm}");
    let exits = kennel.events_of("service.exited", "web");
    assert!(exits.len() > 10, "{}", exits.len());
    let runs: std::collections::BTreeSet<u64> =
        exits.iter().map(|exit| exit["attributes"]["run"].as_u64().unwrap()).collect();
    assert_eq!(runs.len(), exits.len(), "each run ends once");
    for run in &runs {
        let line = format!(" end of {run}\n");
        // What it said last is not lost with it.
        let count = wait_for("the last word of a run", BOUND, || {
            Some(kennel.read("state/logs/web.log").matches(&line).count()).filter(|n| *n > 0)
        });
        assert_eq!(count, 1, "{line}");
    }
    // Who was waited for in the very moment has an end that nobody knows.
    let unknown = exits.iter().filter(|exit| exit["attributes"]["code"] != 7).count();
    assert!(unknown <= 5, "{exits:?}");
}

#[test]
fn a_detached_supervisor_is_upgraded_with_its_pid_file_and_its_log() {
    let kennel = Kennel::new("services: { web: { command: [sleep, '1000'] } }");
    kennel.cli(&["run", "--detach", "--pid-file", "k.pid"]).ok();
    kennel.wait_for_state("web", "up");
    let (web, pid) = (kennel.process("web"), kennel.read("k.pid"));
    assert!(kennel.cli(&["upgrade"]).ok().contains(pid.trim()));
    assert_eq!((kennel.process("web"), kennel.read("k.pid")), (web, pid));
    kennel.cli(&["upgrade"]).ok();
    wait_for("two words in the log", BOUND, || {
        let log = kennel.read("state/supervisor.log");
        (log.matches("INFO adopted").count() == 2).then_some(())
    });
    kennel.cli(&["shutdown"]).ok();
    assert!(!kennel.path("k.pid").exists());
    kennel.assert_nothing_is_left();
}
