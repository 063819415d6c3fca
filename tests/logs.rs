//! Logs: nothing that a service wrote is lost, and what is asked for is what is shown.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::sys::signal::Signal;

use crate::support::{BOUND, Kennel, needs_root, openmetrics, wait_for};

#[test]
fn the_last_lines_and_those_of_several_services_are_shown() {
    let kennel = Kennel::running(
        r#"
        services:
          web: { shell: "seq 1 30; exec sleep 1000" }
          db: { shell: "echo 'from db' >&2; exec sleep 1000" }
        "#,
    );
    kennel.wait_for_state("web", "up");
    kennel.wait_for_state("db", "up");
    assert_eq!(kennel.cli(&["logs", "web", "-n", "3"]).ok(), "28\n29\n30\n");
    assert_eq!(kennel.cli(&["logs", "web", "-n", "0"]).ok(), "");
    assert_eq!(kennel.cli(&["logs", "web"]).ok().lines().count(), 30);
    assert_eq!(kennel.cli(&["logs", "db"]).ok(), "from db\n");
    let both = kennel.cli(&["logs", "web", "db", "-n", "2"]).ok();
    let mut lines: Vec<&str> = both.lines().collect();
    lines.sort_unstable();
    // The last two of both together, or of each: either way the names stand before them.
    assert!(lines.iter().all(|line| line.starts_with("web | ") || line.starts_with("db  | ")));
    let all = kennel.cli(&["logs"]).ok();
    assert_eq!(all.lines().count(), 31);
    assert!(all.contains("web | 30\n") && all.contains("db  | from db\n"), "{all}");
    kennel.cli(&["logs", "wbe"]).fails_saying(1, &["\"wbe\"", "\"web\""]);
}

#[test]
fn since_a_time_only_later_lines_are_shown() {
    let kennel = Kennel::running(
        r#"
        services:
          web: { shell: "echo old; while ! test -e go; do sleep 0.05; done; echo new; exec sleep 1000" }
        "#,
    );
    wait_for("the old line", BOUND, || {
        (kennel.cli(&["logs", "web"]).ok() == "old\n").then_some(())
    });
    let between = jiff::Timestamp::now().to_string();
    kennel.write("go", "");
    wait_for("the new line", BOUND, || {
        (kennel.cli(&["logs", "web"]).ok() == "old\nnew\n").then_some(())
    });
    assert_eq!(kennel.cli(&["logs", "web", "--since", &between]).ok(), "new\n");
    assert_eq!(kennel.cli(&["logs", "web", "--since", "1h"]).ok(), "old\nnew\n");
    assert_eq!(kennel.cli(&["logs", "web", "--since", "2999-01-01T00:00:00Z"]).ok(), "");
    kennel.cli(&["logs", "web", "--since", "yesterday"]).fails_saying(2, &["yesterday"]);
}

#[test]
fn a_follower_sees_every_line_exactly_once_over_rotations() {
    const LINES: usize = 20_000;
    let kennel = Kennel::running(
        r#"
        services:
          web:
            shell: "echo 0; while ! test -e go; do sleep 0.05; done; seq 1 20000; exec sleep 1000"
            logs: { max_size: 64KiB, keep: 100 }
        "#,
    );
    let follower = kennel.background(&["logs", "web", "-f"]);
    follower.wait_for("the line of before", |text| (text == "0\n").then_some(()));
    kennel.write("go", "");
    follower.wait_for("the last line", |text| text.ends_with("\n20000\n").then_some(()));
    let expected: String = (0..=LINES).map(|line| format!("{line}\n")).collect();
    assert!(follower.stdout() == expected, "lines are missing, double or in another order");
    let files = fs::read_dir(kennel.path("state/logs")).unwrap().count();
    assert!(files > 5, "it was rotated, into {files} files");
    assert!(
        kennel.cli(&["logs", "web"]).ok() == expected,
        "the same lines are read from the files"
    );
    // A follower ends with the supervisor.
    let mut kennel = kennel;
    assert_eq!(kennel.terminate(), 0);
    follower.end();
}

#[test]
fn a_follower_sees_the_lines_of_later_runs() {
    let kennel = Kennel::running(
        r#"
        services:
          web:
            shell: "echo run $KENNEL_RUN; exec sleep 1000"
            restart: { backoff: { initial: 10ms } }
        "#,
    );
    let follower = kennel.background(&["logs", "-f", "web"]);
    kennel.wait_for_state("web", "up");
    assert_eq!(kennel.cli(&["restart", "web"]).code, 0);
    kennel.process("web").signal(Signal::SIGKILL);
    let text = follower
        .wait_for("three runs", |text| (text.lines().count() == 3).then(|| text.to_owned()));
    let runs: Vec<u64> = text.lines().map(|line| line[4..].parse().unwrap()).collect();
    assert!(runs.is_sorted_by(|a, b| a < b), "{runs:?}");
}

#[test]
fn a_very_long_line_is_one_line() {
    let kennel = Kennel::running(
        r#"
        services:
          web: { shell: "head -c 1048576 /dev/zero | tr '\\0' x; echo; echo after; exec sleep 1000" }
        "#,
    );
    wait_for("the line after", BOUND, || {
        (kennel.cli(&["logs", "web", "-n", "1"]).ok() == "after\n").then_some(())
    });
    let text = kennel.cli(&["logs", "web"]).ok();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 2, "{} lines", lines.len());
    assert!(lines[0].len() == 1 << 20 && lines[0].bytes().all(|b| b == b'x'));
}

#[test]
fn bytes_that_are_no_text_come_through_as_they_are() {
    let kennel = Kennel::running(
        r#"
        services:
          web: { shell: "printf '\\377\\000\\001\\303(\\033[31m\\r\\n'; printf 'no end'; exec sleep 1000" }
        "#,
    );
    let expected = b"\xff\x00\x01\xc3(\x1b[31m\r\n";
    let raw = wait_for("the bytes", BOUND, || {
        let bytes = kennel.command(&["logs", "web"]).output().unwrap().stdout;
        (bytes.len() > expected.len()).then_some(bytes)
    });
    assert_eq!(raw, [&expected[..], b"no end\n"].concat());
}

#[test]
fn inherited_output_stands_on_the_supervisors_own_with_the_name_before_it() {
    let mut kennel = Kennel::running(
        r#"
        defaults: { logs: { to: inherit } }
        services:
          web: { shell: "echo hello; echo trouble >&2; exec sleep 1000" }
          database: { shell: "echo ready; exec sleep 1000" }
        "#,
    );
    wait_for("three lines", BOUND, || {
        let text = kennel.stdout();
        let has = |name: &str, line: &str| {
            text.lines()
                .any(|l| l.split_once(" | ").is_some_and(|(n, t)| n.trim() == name && t == line))
        };
        (has("web", "hello") && has("web", "trouble") && has("database", "ready")).then_some(())
    });
    assert!(!kennel.path("state/logs/web.log").exists(), "nothing is kept in files");
    assert_eq!(kennel.terminate(), 0);
}

#[test]
fn output_to_none_is_read_and_thrown_away() {
    let kennel = Kennel::running(
        r#"
        services:
          web:
            shell: "head -c 10000000 /dev/zero; echo done > wrote; exec sleep 1000"
            logs: { to: none }
        "#,
    );
    assert_eq!(kennel.wait_for_file("wrote"), "done\n", "a full pipe would have blocked it");
    assert!(!kennel.path("state/logs/web.log").exists());
}

#[test]
fn the_last_output_of_a_service_that_crashes_is_kept() {
    let kennel = Kennel::running(
        r#"
        services:
          web:
            shell: "seq 1 5000; printf 'last words'; exit 3"
            restart: { policy: never }
        "#,
    );
    kennel.wait_for_state("web", "failed");
    let text = wait_for("all of its output", BOUND, || {
        Some(kennel.cli(&["logs", "web"]).ok()).filter(|text| text.ends_with("last words\n"))
    });
    assert_eq!(text.lines().count(), 5001);
}

/// A small file system of its own, gone when dropped.
struct SmallDisk(PathBuf);

impl SmallDisk {
    fn mount(place: &Path, size: &str) -> Option<SmallDisk> {
        fs::create_dir(place).unwrap();
        let options = format!("size={size},mode=0755");
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &options, "tmpfs"]).arg(place);
        let mounted = mount.output().is_ok_and(|output| output.status.success());
        mounted.then(|| SmallDisk(place.to_owned()))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: the supervisor may still have files open there.
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[test]
fn a_full_disk_holds_output_back_and_nothing_is_missing_when_there_is_space_again() {
    // More than a pipe holds.
    const LINES: usize = 300_000;
    if needs_root("to mount a small disk") {
        return;
    }
    let mut kennel = Kennel::new(
        r#"
        kennel: { state_dir: ./disk/state, socket: ./k.sock }
        services:
          chatty:
            shell: "while ! test -e go; do sleep 0.05; done; seq 1 300000; echo done > wrote; exec sleep 1000"
          web:
            command: [sleep, "1000"]
            restart: { backoff: { initial: 10ms, max: 20ms }, limit: none }
        "#,
    );
    let Some(_disk) = SmallDisk::mount(&kennel.path("disk"), "24m") else {
        println!("skipped: tmpfs cannot be mounted here");
        return;
    };
    kennel.start();
    kennel.wait_for_state("chatty", "up");
    kennel.wait_for_state("web", "up");
    // Fill the disk to the last byte.
    let mut filler = fs::File::create(kennel.path("disk/filler")).unwrap();
    while std::io::Write::write(&mut filler, &[0; 4096]).is_ok_and(|count| count > 0) {}
    drop(filler);
    kennel.write("go", "");
    kennel.wait_for_event("logs.stalled", "chatty");
    assert!(!kennel.path("wrote").exists(), "the service waits");

    // Supervision goes on, and its events too.
    for _ in 0..20 {
        let before = kennel.process("web");
        before.signal(Signal::SIGKILL);
        wait_for("a new process", BOUND, || {
            let pid = kennel.service("web")["pid"].as_i64()? as i32;
            (pid != before.pid).then_some(())
        });
    }
    wait_for("a failing journal in the metrics", BOUND, || {
        let series = openmetrics::parse(&kennel.api("GET", "/metrics").body).unwrap();
        (series["kennel_journal_failing"] == 1.0).then_some(())
    });
    wait_for("complaints on standard error", BOUND, || {
        let said = kennel.said();
        (said.contains("chatty: output cannot be written")
            && said.contains("cannot write the journal"))
        .then_some(())
    });

    // An order is carried out, and who gave it hears that it would not outlive the supervisor.
    wait_for("a run table that is refused", BOUND, || {
        kennel.cli(&["restart", "web"]);
        kennel.said().contains("the run table cannot be written").then_some(())
    });
    kennel.cli(&["stop", "web"]).fails_saying(1, &["web: down", "not remembered", "no space left"]);
    kennel.wait_for_state("web", "down");

    fs::remove_file(kennel.path("disk/filler")).unwrap();
    kennel.wait_for_event("logs.resumed", "chatty");
    wait_for("a run table that is written", BOUND, || {
        kennel.said().contains("the run table is written again").then_some(())
    });
    kennel.cli(&["stop", "web"]).ok();
    assert_eq!(kennel.wait_for_file("wrote"), "done\n");
    let expected: String = (1..=LINES).map(|line| format!("{line}\n")).collect();
    wait_for("all lines", BOUND, || {
        (kennel.cli(&["logs", "chatty"]).ok() == expected).then_some(())
    });
    // The journal on disk is whole too.
    let numbers = |kennel: &Kennel| -> Vec<u64> {
        kennel.events().iter().map(|event| event["seq"].as_u64().unwrap()).collect()
    };
    let before = numbers(&kennel);
    assert_eq!(kennel.terminate(), 0);
    kennel.start();
    let after = numbers(&kennel);
    assert!(after.starts_with(&before), "{before:?}\n{after:?}");
    assert!(after.iter().zip(1..).all(|(seq, expected)| *seq == expected), "{after:?}");
}
