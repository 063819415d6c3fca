//! The mark of a run: what every process of it is started with in its environment.
//!
//! ```text
//! KENNEL_STATE_ID=5f0c3a9be1d27784   which state directory, so which supervisor
//! KENNEL_RUN=17                      which run of it
//! KENNEL_SERVICE=web KENNEL_INSTANCE=0
//! ```
//!
//! Children inherit it, wherever they go: it is how a process is known that has left its
//! group, its session and its parent, and how a supervisor knows the runs of the one before
//! it. A supervisor within a run gives its services its own mark in place of this one.
//!
//! `/proc/pid/environ` shows the environment as the program was executed with
//! (`proc_pid_environ(5)`). It cannot be read of another user's process without privilege,
//! nor of one that is not dumpable, and programs that write their title over it (nginx,
//! PostgreSQL) have wiped it: such processes are not found by the mark.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::str::FromStr;

use super::proc::{self, Stat};

const STATE_ID: &str = "KENNEL_STATE_ID";
const RUN: &str = "KENNEL_RUN";
const SERVICE: &str = "KENNEL_SERVICE";
const INSTANCE: &str = "KENNEL_INSTANCE";

/// The id of a state directory, made at random once: 16 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StateId(pub u64);

impl fmt::Display for StateId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl fmt::Debug for StateId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StateId({self})")
    }
}

/// The text is not the id of a state directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not 16 hexadecimal digits")]
pub struct NoStateId;

impl FromStr for StateId {
    type Err = NoStateId;

    fn from_str(text: &str) -> Result<StateId, NoStateId> {
        let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        if text.len() != 16 || !text.bytes().all(is_digit) {
            return Err(NoStateId);
        }
        u64::from_str_radix(text, 16).map(StateId).map_err(|_| NoStateId)
    }
}

/// Which run of which state directory.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
pub struct RunMark {
    /// The state directory.
    pub state: StateId,
    /// The number of the run.
    pub run: u64,
}

/// A mark with all that it says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Mark {
    /// Which run.
    pub run: RunMark,
    /// The service that it is a run of.
    pub service: String,
    /// Which of its replicas.
    pub instance: u32,
}

impl Mark {
    /// The variables that say so.
    #[must_use]
    pub fn variables(&self) -> [(OsString, OsString); 4] {
        let RunMark { state, run } = self.run;
        [
            (STATE_ID.into(), state.to_string().into()),
            (RUN.into(), run.to_string().into()),
            (SERVICE.into(), self.service.clone().into()),
            (INSTANCE.into(), self.instance.to_string().into()),
        ]
    }

    /// What the variables of an environment say; none unless they say all.
    pub(super) fn among(variables: &[(OsString, OsString)]) -> Option<Mark> {
        let mut environment = Vec::new();
        for (name, value) in variables {
            for part in [name.as_bytes(), b"=", value.as_bytes(), b"\0"] {
                environment.extend_from_slice(part);
            }
        }
        Mark::in_environment(&environment)
    }

    /// What an environment in the form of `/proc/pid/environ` says; none unless it says all.
    #[must_use]
    pub fn in_environment(environment: &[u8]) -> Option<Mark> {
        let value = |name: &str| {
            let of_name = |variable: &[u8]| {
                let value = variable.strip_prefix(name.as_bytes())?.strip_prefix(b"=")?;
                OsStr::from_bytes(value).to_str().map(str::to_owned)
            };
            // The first of a name is what getenv(3) finds.
            environment.split(|byte| *byte == 0).find_map(of_name)
        };
        let state = value(STATE_ID)?.parse().ok()?;
        let run = value(RUN)?.parse().ok()?;
        let instance = value(INSTANCE)?.parse().ok()?;
        Some(Mark { run: RunMark { state, run }, service: value(SERVICE)?, instance })
    }

    /// The mark that the process with this number was started with; none where there is
    /// none or it cannot be read. May block when the process is stuck in the kernel.
    #[must_use]
    pub fn of(pid: i32) -> Option<Mark> {
        Mark::in_environment(&fs::read(format!("/proc/{pid}/environ")).ok()?)
    }
}

/// A process that was started with a mark.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Marked {
    /// The process.
    pub stat: Stat,
    /// Its mark.
    pub mark: Mark,
}

/// Every process that runs with the mark of this state directory, in one pass over `/proc`
/// that reads every environment: not for the driver's thread. Zombies have none.
///
/// # Errors
/// When `/proc` cannot be listed.
pub fn marked(state: StateId) -> io::Result<Vec<Marked>> {
    let found = proc::processes()?.into_iter().filter_map(Marked::read);
    Ok(found.filter(|marked| marked.mark.run.state == state).collect())
}

impl Marked {
    /// The process of `stat` with its mark, if it has one and is still the same process.
    #[must_use]
    pub fn read(stat: Stat) -> Option<Marked> {
        let mark = Mark::of(stat.pid)?;
        // The number may have gone to somebody else since.
        (proc::start_time(stat.pid).ok()? == stat.start_time).then_some(Marked { stat, mark })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::os::{Launch, spawn};

    fn mark(run: u64) -> Mark {
        let run = RunMark { state: StateId(0xab), run };
        Mark { run, service: "web".into(), instance: 3 }
    }

    #[test]
    fn a_mark_is_read_as_it_was_written() {
        let variables = mark(17).variables();
        let joined: Vec<String> = variables
            .iter()
            .map(|(name, value)| format!("{}={}\0", name.display(), value.display()))
            .collect();
        assert_eq!(joined[0], "KENNEL_STATE_ID=00000000000000ab\0");
        let environment = format!("PATH=/bin\0{}HOME=/\0", joined.concat());
        assert_eq!(Mark::in_environment(environment.as_bytes()), Some(mark(17)));
        for missing in 0..joined.len() {
            let mut some = joined.clone();
            some.remove(missing);
            assert_eq!(Mark::in_environment(some.concat().as_bytes()), None, "{missing}");
        }
        assert_eq!(Mark::in_environment(b""), None);
        assert_eq!(Mark::among(&mark(17).variables()), Some(mark(17)));
        assert_eq!(Mark::among(&mark(17).variables()[1..]), None);
    }

    #[test]
    fn an_id_has_sixteen_hexadecimal_digits() {
        assert_eq!("00000000000000ab".parse(), Ok(StateId(0xab)));
        for text in ["", "ab", "+0000000000000ab", "00000000000000AB", "00000000000000abc"] {
            assert_eq!(text.parse::<StateId>(), Err(NoStateId), "{text}");
        }
    }

    #[test]
    fn a_process_that_has_left_everything_is_found_by_its_mark() {
        let script = "setsid sh -c 'sleep 1000 & sleep 1000' & wait";
        let launch = |run: u64, state| {
            let mut launch = Launch::new(["/bin/sh", "-c", script]);
            let mut mark = mark(run);
            mark.run.state = state;
            launch.env = mark.variables().into();
            launch.env.push(("PATH".into(), "/usr/bin:/bin".into()));
            spawn(launch).unwrap()
        };
        let own = StateId(u64::from(std::process::id()) << 32);
        let all = [launch(1, own), launch(2, own), launch(1, StateId(own.0 + 1))];
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
        let found = loop {
            let found = marked(own).unwrap();
            // Two that wait and two that sleep, in each.
            if found.len() == 8 {
                break found;
            }
            assert!(std::time::Instant::now() < deadline, "{found:?}");
            std::thread::sleep(std::time::Duration::from_millis(2));
        };
        for run in [1, 2] {
            let of_run = found.iter().filter(|marked| marked.mark.run.run == run);
            let groups: std::collections::BTreeSet<i32> =
                of_run.map(|marked| marked.stat.group).collect();
            assert_eq!(groups.len(), 2, "{found:?}");
        }
        for marked in marked(own).unwrap().iter().chain(&marked(StateId(own.0 + 1)).unwrap()) {
            let _ = crate::os::signal_exactly(marked.stat.pid, marked.stat.start_time, 9);
        }
        drop(all);
    }
}
