//! A run table that is damaged, forged, of another version, boot or host.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Child, Command};

use super::{last_event, mains};
use crate::support::{BOUND, Kennel, Process, wait_for};

const WEB: &str = r#"
        services:
          web: { command: [sleep, "1000"] }
          db: { command: [sleep, "1000"] }
"#;

/// A house with two services whose supervisor was killed.
fn killed() -> (Kennel, Process) {
    let mut kennel = Kennel::running(WEB);
    kennel.wait_for_state("web", "up");
    kennel.wait_for_state("db", "up");
    assert_eq!(kennel.cli(&["stop", "db"]).code, 0);
    let web = kennel.process("web");
    kennel.kill_supervisor();
    (kennel, web)
}

/// The lines of the table, each without its checksum.
fn lines(kennel: &Kennel) -> Vec<String> {
    let text = kennel.read("state/table");
    let line = |line: &str| line.split_once(' ').map_or("", |(_, json)| json).to_owned();
    text.lines().skip(1).map(line).collect()
}

/// Writes the table anew, each line with its checksum.
fn rewrite(kennel: &Kennel, lines: &[String]) {
    let line = |json: &String| format!("{:08x} {json}\n", crc32(json.as_bytes()));
    let text: String = lines.iter().map(line).collect();
    kennel.write("state/table", &format!("kennel state 1\n{text}"));
}

/// CRC-32 as in gzip, bit by bit.
fn crc32(bytes: &[u8]) -> u32 {
    let step = |sum: u32, byte: &u8| {
        (0..8).fold(sum ^ u32::from(*byte), |sum, _| {
            if sum & 1 == 1 { (sum >> 1) ^ 0xedb8_8320 } else { sum >> 1 }
        })
    };
    !bytes.iter().fold(!0, step)
}

/// A process that belongs to nobody here, killed with the test.
struct Stranger(Child);

impl Stranger {
    fn new() -> Stranger {
        Stranger(Command::new("setsid").args(["sleep", "1000"]).spawn().unwrap())
    }

    fn pid(&self) -> i32 {
        self.0.id().cast_signed()
    }
}

impl Drop for Stranger {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_damaged_table_is_moved_aside_and_what_bears_the_mark_is_adopted() {
    for damage in ["", "nonsense\n", "kennel state 1\n00000000 {\"over\":1}\n"] {
        let (mut kennel, web) = killed();
        kennel.write("state/table", damage);
        kennel.start();
        kennel.wait_for_state("web", "up");
        assert_eq!(kennel.process("web"), web, "{damage:?}");
        assert_eq!(mains(&kennel, "web"), [web]);
        let told = last_event(&kennel, "supervisor.state");
        let message = told["message"].as_str().unwrap();
        assert!(message.contains("table.corrupt"), "{message}");
        assert!(message.ends_with("nothing is remembered of web, db"), "{message}");
        assert_eq!(kennel.read("state/table.corrupt"), damage);
        let mode = fs::metadata(kennel.path("state/table")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(kennel.terminate(), 0);
        kennel.assert_nothing_is_left();
    }
}

#[test]
fn a_directory_where_a_damaged_table_is_kept_is_no_obstacle() {
    let (mut kennel, web) = killed();
    fs::create_dir(kennel.path("state/table.corrupt")).unwrap();
    kennel.write("state/table", "nonsense\n");
    kennel.start();
    kennel.wait_for_state("web", "up");
    assert_eq!(mains(&kennel, "web"), [web]);
    assert_eq!(kennel.read("state/table.corrupt-2"), "nonsense\n");
}

/// The message of the event that tells of the state, and the number of the first event.
fn journal_told(kennel: &Kennel) -> (String, u64) {
    let told = last_event(kennel, "supervisor.state");
    let started = last_event(kennel, "supervisor.started");
    (told["message"].as_str().unwrap().to_owned(), started["seq"].as_u64().unwrap())
}

#[test]
fn a_damaged_journal_is_kept_and_told_and_gives_no_number_again() {
    let (mut kennel, web) = killed();
    let journal = "state/journal/00000000000000000001.journal";
    let damaged = kennel.read(journal).replace("\"seq\"", "\"sec\"");
    kennel.write(journal, &damaged);
    kennel.start();
    kennel.wait_for_state("web", "up");
    assert_eq!(kennel.process("web"), web);
    let (message, first) = journal_told(&kennel);
    let kept = "state/journal/00000000000000000001.corrupt";
    assert!(message.starts_with("the journal is damaged") && message.contains(kept), "{message}");
    assert_eq!(kennel.read(kept), damaged);
    assert!(first > damaged.lines().count() as u64, "{first} was given before");
    let said = kennel.cli(&["events", "--since", "1"]).ok();
    assert!(said.contains("events are no longer kept"), "{said}");
}

#[test]
fn a_journal_that_is_gone_is_told_and_who_has_read_it_is_told_too() {
    let (mut kennel, web) = killed();
    let last = kennel.read("state/journal/00000000000000000001.journal").lines().count();
    fs::remove_dir_all(kennel.path("state/journal")).unwrap();
    kennel.start();
    kennel.wait_for_state("web", "up");
    assert_eq!(kennel.process("web"), web);
    let (message, first) = journal_told(&kennel);
    assert!(message.starts_with("the journal is gone"), "{message}");
    assert_eq!(first, 1);
    let since = (last + 1000).to_string();
    let said = kennel.cli(&["events", "--since", &since]).ok();
    assert!(said.contains("the numbers begin anew") && said.contains("     1 "), "{said}");
}

#[test]
fn a_table_that_is_gone_costs_what_was_wanted_which_is_told_and_starts_nothing_twice() {
    let (mut kennel, web) = killed();
    fs::remove_file(kennel.path("state/table")).unwrap();
    kennel.start();
    kennel.wait_for_state("web", "up");
    assert_eq!(mains(&kennel, "web"), [web]);
    let told = last_event(&kennel, "supervisor.state");
    let message = told["message"].as_str().unwrap();
    assert!(message.starts_with("the run table is gone"), "{message}");
    assert!(message.ends_with("nothing is remembered of web, db"), "{message}");
}

#[test]
fn an_id_that_is_cut_or_gone_makes_no_service_start_a_second_time() {
    for length in [None, Some(0), Some(4), Some(16)] {
        let (mut kennel, web) = killed();
        let id = kennel.read("state/id");
        fs::remove_file(kennel.path("state/id")).unwrap();
        if let Some(length) = length {
            kennel.write("state/id", &id[..length]);
        }
        kennel.start();
        kennel.wait_for_state("web", "up");
        assert_eq!(kennel.process("web"), web, "{length:?}");
        assert_eq!(kennel.processes(), [web], "{length:?}");
        assert_eq!(kennel.service("db")["wanted"], "down");
        assert_eq!(kennel.read("state/id"), id);
        let told = last_event(&kennel, "supervisor.state");
        assert!(told["message"].as_str().unwrap().contains("from the run table"), "{told}");
        assert_eq!(kennel.terminate(), 0);
        kennel.assert_nothing_is_left();
    }
}

#[test]
fn an_id_of_another_state_directory_is_refused_before_anything_happens() {
    let (mut kennel, web) = killed();
    let (id, table) = (kennel.read("state/id"), kennel.read("state/table"));
    let other = "0123456789abcdef\n";
    kennel.write("state/id", other);
    for command in [&["run"][..], &["run", "--try=1"]] {
        kennel.cli(command).fails_saying(1, &[id.trim(), other.trim(), "hint:"]);
    }
    assert_eq!((kennel.read("state/id"), kennel.read("state/table")), (other.to_owned(), table));
    assert!(web.is_alive());
    // As the hint says.
    fs::remove_file(kennel.path("state/id")).unwrap();
    kennel.start();
    kennel.wait_for_state("web", "up");
    assert_eq!(kennel.processes(), [web]);
}

#[test]
fn a_damaged_line_costs_what_it_said_and_the_lines_around_it_hold() {
    // An intention, without which what was made is not known either; the boot and the id.
    for damage in ["\"began\":{\"run\"", "\"origin\""] {
        let (mut kennel, web) = killed();
        let mut text = kennel.read("state/table");
        let at = text.find(damage).unwrap();
        text.replace_range(at..at + 1, "x");
        kennel.write("state/table", &text);
        kennel.start();
        kennel.wait_for_state("web", "up");
        assert_eq!(kennel.process("web"), web, "{damage}");
        assert_eq!(kennel.processes(), [web], "{damage}");
        assert_eq!(kennel.service("db")["wanted"], "down");
        let told = last_event(&kennel, "supervisor.state");
        assert!(told["message"].as_str().unwrap().contains("is not what was written"), "{told}");
    }
}

#[test]
fn a_torn_end_is_cut_and_nothing_is_lost_before_it() {
    let (mut kennel, web) = killed();
    let text = kennel.read("state/table");
    kennel.write("state/table", &format!("{text}12345678 {{\"over\":"));
    kennel.start();
    kennel.wait_for_state("web", "up");
    assert_eq!(kennel.process("web"), web);
    assert_eq!(kennel.service("db")["wanted"], "down");
    assert!(!kennel.path("state/table.corrupt").exists());
}

#[test]
fn a_table_of_a_newer_version_is_refused_before_anything_happens() {
    let (mut kennel, web) = killed();
    let text = kennel.read("state/table");
    let newer = text.replacen("kennel state 1", "kennel state 2", 1);
    kennel.write("state/table", &newer);
    kennel.cli(&["run"]).fails_saying(1, &["has format 2", "knows 1"]);
    assert_eq!(kennel.read("state/table"), newer);
    assert!(web.is_alive());
    kennel.write("state/table", &text);
    kennel.start();
    kennel.wait_for_state("web", "up");
    assert_eq!(kennel.process("web"), web);
}

#[test]
fn a_number_that_belongs_to_somebody_else_is_never_touched() {
    let stranger = Stranger::new();
    let theirs = wait_for("setsid to be sleep", BOUND, || {
        Process::find(stranger.pid()).filter(|process| process.command == "sleep 1000")
    });
    let (mut kennel, web) = killed();
    // The number of another process, whose start time is another one.
    let forged = lines(&kennel).into_iter().map(|line| {
        let from = format!("\"pid\":{},", web.pid);
        line.replace(&from, &format!("\"pid\":{},", theirs.pid))
    });
    rewrite(&kennel, &forged.collect::<Vec<_>>());
    web.signal(nix::sys::signal::Signal::SIGKILL);
    kennel.start();
    kennel.wait_for_new_run("web", &theirs);
    assert!(theirs.is_alive());
    assert_eq!(kennel.terminate(), 0);
    assert!(theirs.is_alive());
    kennel.assert_nothing_is_left();
}

#[test]
fn after_another_boot_no_run_is_looked_for_and_what_the_operator_wanted_holds() {
    for (what, told) in [("boot", "an earlier boot"), ("host", "on another host")] {
        let (mut kennel, web) = killed();
        web.signal(nix::sys::signal::Signal::SIGKILL);
        let other = lines(&kennel).into_iter().map(|line| {
            if !line.contains("\"origin\"") {
                return line;
            }
            let mut origin: serde_json::Value = serde_json::from_str(&line).unwrap();
            origin["origin"]["boot"] = "another".into();
            if what == "host" {
                origin["origin"]["host"] = "another".into();
            }
            origin.to_string()
        });
        rewrite(&kennel, &other.collect::<Vec<_>>());
        kennel.start();
        kennel.wait_for_state("web", "up");
        assert_eq!(kennel.service("db")["state"], "down");
        let event = last_event(&kennel, "supervisor.state");
        assert!(event["message"].as_str().unwrap().contains(told), "{event}");
        assert_eq!(kennel.service("web")["restarts"], 0);
    }
}

/// The table says 0 for when a process began if that could not be read, as without descriptors:
/// then the mark tells that the number is still the same process.
#[test]
fn when_a_process_began_may_be_unknown() {
    let (mut kennel, web) = killed();
    let stranger = Stranger::new();
    let table = lines(&kennel);
    let known = format!("\"start_time\":{}", web.started);
    assert!(table.iter().any(|line| line.contains(&known)), "{table:?}");
    let unknown = |of: i32| {
        let pid =
            |line: &String| line.replace(&format!("\"pid\":{}", web.pid), &format!("\"pid\":{of}"));
        let start = |line: String| line.replace(&known, "\"start_time\":0");
        table.iter().map(|line| start(pid(line))).collect::<Vec<_>>()
    };
    rewrite(&kennel, &unknown(web.pid));
    kennel.start();
    kennel.wait_for_state("web", "up");
    assert_eq!(kennel.processes(), std::slice::from_ref(&web));
    kennel.kill_supervisor();
    rewrite(&kennel, &unknown(stranger.pid()));
    kennel.start();
    kennel.wait_for_state("web", "up");
    assert!(Process::find(stranger.pid()).is_some(), "it was never Kennel's");
    assert_ne!(kennel.process("web").pid, stranger.pid());
}
