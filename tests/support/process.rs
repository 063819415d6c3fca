//! Processes as `/proc` shows them, and the mark that tells those of a test.

use std::fs;
use std::path::Path;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// In the environment of everything that a test starts; its value is the test's directory.
pub(crate) const MARK: &str = "KENNEL_TEST_MARK";

/// One process. With its start time it is told from a later one of the same number.
#[derive(Clone, Debug)]
pub(crate) struct Process {
    pub(crate) pid: i32,
    pub(crate) group: i32,
    pub(crate) command: String,
    pub(crate) started: u64,
}

impl PartialEq for Process {
    fn eq(&self, other: &Process) -> bool {
        // Its command line may change, and is empty while it dies.
        (self.pid, self.started) == (other.pid, other.started)
    }
}

impl Process {
    /// The process of that number; none when there is none or it is a zombie.
    pub(crate) fn find(pid: i32) -> Option<Process> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The name may hold anything, so what follows its last parenthesis counts, proc(5).
        let rest = stat.rsplit_once(") ")?.1;
        let fields: Vec<&str> = rest.split(' ').collect();
        if matches!(*fields.first()?, "Z" | "X") {
            return None;
        }
        let command = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        Some(Process {
            pid,
            group: fields.get(2)?.parse().ok()?,
            started: fields.get(19)?.parse().ok()?,
            command: String::from_utf8_lossy(&command).replace('\0', " ").trim().to_owned(),
        })
    }

    /// Whether it still runs.
    pub(crate) fn is_alive(&self) -> bool {
        Process::find(self.pid).is_some_and(|found| found.started == self.started)
    }

    /// Sends `signal` to it, unless it is gone.
    pub(crate) fn signal(&self, signal: Signal) {
        if self.is_alive() {
            // It may end at this very moment.
            let _ = kill(Pid::from_raw(self.pid), signal);
        }
    }
}

/// All processes that belong to the test in `directory`.
///
/// Servers overwrite their environment with a title, so a process whose working directory
/// is there belongs to it too.
pub(crate) fn marked(directory: &Path) -> Vec<Process> {
    let mark = format!("{MARK}={}", directory.display());
    pids()
        .into_iter()
        .filter(|pid| is_marked(*pid, &mark, directory))
        .filter_map(Process::find)
        .collect()
}

/// All processes of a process group.
pub(crate) fn of_group(group: i32) -> Vec<Process> {
    pids().into_iter().filter_map(Process::find).filter(|process| process.group == group).collect()
}

/// The children of a process, zombies too.
pub(crate) fn children(parent: i32) -> Vec<i32> {
    let is_child = |pid: &i32| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        stat.rsplit_once(") ").and_then(|(_, rest)| rest.split(' ').nth(1)?.parse().ok())
            == Some(parent)
    };
    pids().into_iter().filter(is_child).collect()
}

fn pids() -> Vec<i32> {
    let entries = fs::read_dir("/proc").expect("there is a /proc").flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}

fn is_marked(pid: i32, mark: &str, directory: &Path) -> bool {
    let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
    environment.split(|byte| *byte == 0).any(|variable| variable == mark.as_bytes())
        || fs::read_link(format!("/proc/{pid}/cwd")).is_ok_and(|place| place.starts_with(directory))
}
