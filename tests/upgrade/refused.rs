//! What cannot go on here is refused, and nothing has happened.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nix::sys::signal::Signal;

use super::{COUNTING, upgrade, wrapper};
use crate::adoption::{count_of, wait_for_lines};
use crate::support::{BOUND, Kennel, process, wait_for};

#[test]
fn a_program_that_cannot_go_on_here_leaves_everything_as_it_is() {
    let mut kennel = Kennel::running(COUNTING);
    kennel.wait_for_state("count", "up");
    let (count, started) = (kennel.process("count"), kennel.status()["supervisor"].clone());
    let script = |name: &str, text: &str| _ = kennel.program(name, text);
    script("refuses", "#!/bin/sh\necho 'this machine is too small' >&2\nexit 1\n");
    script("crashes", "#!/bin/sh\nkill -SEGV $$\n");
    script("else", "#!/bin/sh\necho hello\n");
    kennel.write("text", "no program");
    for (name, reason) in [
        ("refuses", "this machine is too small"),
        ("crashes", "signal 11"),
        ("else", "no version of this program"),
        ("text", "not executable"),
        ("missing", "no such file"),
    ] {
        let path = kennel.path(name);
        let path = path.to_str().unwrap();
        kennel.cli(&["upgrade", "--binary", path]).fails_saying(1, &["cannot upgrade", reason]);
    }
    // The new program would not take the configuration.
    let good = kennel.read("services.yaml");
    kennel.write("services.yaml", "servces: {}");
    kennel.cli(&["upgrade", "--socket", "k.sock"]).fails_saying(1, &["servces"]);
    kennel.write("services.yaml", &good);
    assert_eq!(kennel.process("count"), count);
    assert_eq!(kennel.status()["supervisor"], started, "it is as it was");
    assert_eq!(kennel.events().iter().filter(|e| e["kind"] == "supervisor.upgraded").count(), 0);
    upgrade(&kennel, &[]);
    assert_eq!(kennel.terminate(), 0);
}

#[test]
fn a_program_that_ends_in_the_place_of_the_supervisor_is_told_of_and_costs_no_service() {
    let mut kennel = Kennel::running(COUNTING);
    kennel.wait_for_state("count", "up");
    let count = kennel.process("count");
    // Tried out, it goes on as this version.
    let next = wrapper(&kennel, "ends", "[ -z \"$KENNEL_UPGRADE\" ] || exit 7");
    let said = kennel.cli(&["upgrade", "--binary", next.to_str().unwrap()]);
    said.fails_saying(3, &["no supervisor listens", "it has ended meanwhile", "kennel run"]);
    assert_eq!(kennel.supervisor_exit(BOUND), Some(7));
    assert!(count.is_alive());
    kennel.start();
    kennel.wait_for_state("count", "up");
    assert_eq!(kennel.process("count"), count);
    assert_eq!(kennel.terminate(), 0);
    kennel.assert_nothing_is_left();
}

#[test]
fn a_version_that_does_not_know_the_state_says_so_and_touches_nothing() {
    let mut kennel = Kennel::running(COUNTING);
    kennel.wait_for_state("count", "up");
    assert!(kennel.cli(&["run", "--try=1"]).ok().starts_with("kennel "));
    kennel.kill_supervisor();
    let text = kennel.read("state/table");
    // As an older version sees a newer state.
    let newer = text.replacen("kennel state 1", "kennel state 2", 1);
    kennel.write("state/table", &newer);
    kennel.cli(&["run", "--try=1"]).fails_saying(1, &["has format 2", "knows 1"]);
    assert_eq!(kennel.read("state/table"), newer);
    kennel.write("state/table", &text);
    kennel.start();
    kennel.wait_for_state("count", "up");
}

#[test]
fn what_is_passed_on_in_another_format_is_refused_before_anything_happens() {
    let mut kennel = Kennel::running(COUNTING);
    kennel.wait_for_state("count", "up");
    let (count, started) = (kennel.process("count"), kennel.status()["supervisor"].clone());
    // As a supervisor of a later version would ask it.
    let lines = r#"case "$*" in *--try=1*) set -- run --try=2 ;; esac"#;
    let next = wrapper(&kennel, "next", lines);
    let args = ["upgrade", "--binary", next.to_str().unwrap()];
    kennel.cli(&args).fails_saying(1, &["cannot go on here", "has format 2", "knows 1"]);
    assert_eq!(kennel.process("count"), count);
    assert_eq!(kennel.status()["supervisor"], started, "it is as it was");
    upgrade(&kennel, &[]);
    assert_eq!(kennel.terminate(), 0);
}

#[test]
fn a_list_that_cannot_be_read_ends_neither_supervision_nor_a_service() {
    let mut kennel = Kennel::running(COUNTING);
    let processes = ["count", "quiet"].map(|name| {
        kennel.wait_for_state(name, "up");
        kennel.process(name)
    });
    let pid = kennel.supervisor_pid();
    let alters = |sed: &str| {
        format!(
            r#"if [ -n "$KENNEL_UPGRADE" ]; then
                 list=/proc/$$/fd/$(echo "$KENNEL_UPGRADE" | cut -d: -f2)
                 text=$(cat "$list")
                 printf %s "$text" | sed '{sed}' > "$list"
               fi"#
        )
    };
    for (name, sed) in [("later", "s/\"format\":1/\"format\":9/"), ("noise", "s/.*/noise/")] {
        let next = wrapper(&kennel, name, &alters(sed));
        let told = kennel.cli(&["upgrade", "--binary", next.to_str().unwrap()]).ok();
        assert!(told.contains(&format!("pid {pid}")), "{told}");
        assert_eq!(kennel.supervisor_pid(), pid);
        assert_eq!(["count", "quiet"].map(|name| kennel.process(name)), processes);
        // It has the lock, once.
        kennel.cli(&["run"]).fails_saying(4, &[&pid.to_string()]);
        let files = fs::read_dir(format!("/proc/{pid}/fd")).unwrap();
        let locks = files.filter_map(|file| fs::read_link(file.ok()?.path()).ok());
        let locks = locks.filter(|file| *file == kennel.path("state/lock")).count();
        assert!((1..=3).contains(&locks), "{locks} descriptors of the lock");
    }
    upgrade(&kennel, &[]);
    assert_eq!(["count", "quiet"].map(|name| kennel.process(name)), processes);
    assert_eq!(kennel.terminate(), 0);
    kennel.assert_nothing_is_left();
}

/// All files below a directory.
fn files(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(dir).unwrap() {
        let entry = entry.unwrap();
        let kind = entry.file_type().unwrap();
        if kind.is_dir() {
            found.extend(files(&entry.path()));
        } else if kind.is_file() {
            found.insert(entry.path(), fs::read(entry.path()).unwrap());
        }
    }
    found
}

/// Copies a directory in which somebody works: files come and go meanwhile.
fn copy(from: &Path, to: &Path) {
    wait_for("a whole copy", BOUND, || {
        // That of an attempt before.
        let _ = fs::remove_dir_all(to);
        let copied = Command::new("cp").arg("-a").args([from, to]).stderr(Stdio::null()).status();
        copied.unwrap().success().then_some(())
    });
}

/// A file as a later version would write it.
fn of_a_later_version(kind: &str, bytes: &[u8]) -> Vec<u8> {
    let head = |head: &str| [head.as_bytes(), bytes].concat();
    match kind {
        "id" => head("kennel id 2\n"),
        "journal" => head("kennel journal 2\n"),
        "saved" => b"kennel plugin state 2\n".to_vec(),
        "spool" => {
            let mut bytes = bytes.to_vec();
            assert_eq!(&bytes[..8], b"kn-log\0\x01");
            bytes[7] = 2;
            bytes
        }
        _ => {
            let text = String::from_utf8(bytes.to_vec()).unwrap();
            let (first, rest) = text.split_once('\n').unwrap();
            let first = first.strip_suffix(" 1").unwrap();
            format!("{first} 2\n{rest}").into_bytes()
        }
    }
}

#[test]
fn a_downgrade_that_does_not_know_the_state_is_refused_and_nothing_is_written() {
    let yaml = r#"
        services:
          count: { shell: "while :; do echo line; sleep 0.05; done" }
          quiet: { command: [sleep, "1000"] }
        plugins:
          hook: { source: "stock:file", grants: { files: [./events.jsonl] } }
        sinks:
          - { name: archive, plugin: hook, config: { path: PATH } }
    "#;
    let mut kennel = Kennel::new("");
    let path = kennel.path("events.jsonl").display().to_string();
    kennel.configure(&yaml.replace("PATH", &path));
    kennel.start();
    let processes = ["count", "quiet"].map(|name| {
        kennel.wait_for_state(name, "up");
        kennel.process(name)
    });
    let started = kennel.status()["supervisor"].clone();
    for file in ["sinks/archive.cursor", "spool/count.spool"] {
        let path = kennel.path("state").join(file);
        wait_for(file, BOUND, || (fs::metadata(&path).ok()?.len() > 0).then_some(()));
    }
    // What it is tried on, in place of the state of the supervisor that runs.
    let newer = kennel.path("newer");
    let lines =
        format!(r#"case "$*" in *--try=*) set -- "$@" --state-dir {} ;; esac"#, newer.display());
    let older = wrapper(&kennel, "older", &lines);
    let args = ["upgrade", "--binary", older.to_str().unwrap()];
    for file in [
        "table",
        "id",
        "journal/00000000000000000001.journal",
        "sinks/archive.cursor",
        "plugins/saved",
        "spool/count.spool",
    ] {
        copy(&kennel.path("state"), &newer);
        let path = newer.join(file);
        let kind = file.rsplit(['/', '.']).next().unwrap();
        // Not every file is there yet, nor its directory.
        let bytes = fs::read(&path).unwrap_or_default();
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, of_a_later_version(kind, &bytes)).unwrap();
        let before = files(&newer);
        let parts = ["cannot go on here", file, "has format 2", "knows 1"];
        kennel.cli(&args).fails_saying(1, &parts);
        assert!(files(&newer) == before, "{file}: something was written");
        fs::remove_dir_all(&newer).unwrap();
    }
    assert_eq!(["count", "quiet"].map(|name| kennel.process(name)), processes);
    assert_eq!(kennel.status()["supervisor"], started, "it is as it was");
    assert_eq!(kennel.events().iter().filter(|e| e["kind"] == "supervisor.upgraded").count(), 0);
    upgrade(&kennel, &[]);
    // A start refuses the same.
    assert_eq!(kennel.terminate(), 0);
    let id = fs::read(kennel.path("state/id")).unwrap();
    fs::write(kennel.path("state/id"), of_a_later_version("id", &id)).unwrap();
    kennel.cli(&["run"]).fails_saying(1, &["/id", "has format 2", "hint:"]);
    assert_eq!(fs::read(kennel.path("state/id")).unwrap(), of_a_later_version("id", &id));
}

#[test]
fn a_program_that_hangs_when_it_is_tried_out_leaves_the_old_one_running() {
    let mut kennel = Kennel::running(COUNTING);
    kennel.wait_for_state("count", "up");
    let (count, started) = (kennel.process("count"), kennel.status()["supervisor"].clone());
    let pid = kennel.supervisor_pid();
    let children = process::children(pid);
    for (name, first) in [("hangs", ""), ("answers", "echo kennel 9.9.9")] {
        let next = kennel.program(name, &format!("#!/bin/sh\n{first}\nsleep 1000\n"));
        let args = ["upgrade", "--timeout", "300ms", "--binary", next.to_str().unwrap()];
        kennel.cli(&args).fails_saying(1, &["cannot go on here", "did not end within 300ms"]);
        // It is gone, with what it has started.
        wait_for("the end of what was tried out", BOUND, || {
            (process::children(pid) == children).then_some(())
        });
    }
    assert_eq!(kennel.process("count"), count);
    assert_eq!(kennel.status()["supervisor"], started, "it is as it was");
    upgrade(&kennel, &["--timeout", "1m"]);
    assert_eq!(kennel.process("count"), count);
    assert_eq!(kennel.terminate(), 0);
}

#[test]
fn a_program_that_cannot_be_executed_after_all_leaves_the_old_one_running() {
    let mut kennel = Kennel::running(COUNTING);
    let [count, quiet] = ["count", "quiet"].map(|name| {
        kennel.wait_for_state(name, "up");
        kennel.process(name)
    });
    let started = kennel.status()["supervisor"].clone();
    for _ in 0..2 {
        // It answers when it is tried out, and then it is not there any more.
        let next = wrapper(&kennel, "next", r#"case "$*" in *--try=*) rm "$0" ;; esac"#);
        let args = ["upgrade", "--binary", next.to_str().unwrap()];
        kennel.cli(&args).fails_saying(1, &["cannot upgrade", "no such file", "goes on as it was"]);
    }
    assert_eq!(kennel.status()["supervisor"], started, "it is as it was");
    // What was held back goes on: ends are noticed, processes are made, output is read.
    quiet.signal(Signal::SIGKILL);
    kennel.wait_for_new_run("quiet", &quiet);
    assert_eq!(kennel.process("count"), count);
    upgrade(&kennel, &[]);
    kennel.cli(&["stop", "count"]).ok();
    let last: usize = kennel.wait_for_file("last").trim().parse().unwrap();
    wait_for_lines(&kennel, "count", last);
    let text = kennel.read("state/logs/count.log");
    for stream in ["stdout", "stderr"] {
        let count = count_of(&text, stream);
        // It may have been about to write the last one when it was stopped.
        assert!(count + 1 >= last, "{stream}: {count} of {last}");
    }
    assert_eq!(kennel.terminate(), 0);
    kennel.assert_nothing_is_left();
}
