//! The processes that stand for a run: the one that was spawned, and those that it named.
//!
//! A service may hand its work to another process and say so (`MAINPID` of `sd_notify(3)`).
//! That one is the main process from then on: it is shown, it gets what is sent to the main
//! process, and when it ends the run ends. The spawned one may end before it, with success.
//!
//! Signals to the group go to the group of the spawned process, and to the group of each
//! named one that has left it. When such a process has ended, those whom it left behind are
//! looked for in `/proc`: they are in the group that it was in when it was named, and were
//! started with the mark of this run.
//!
//! How a named process ended is known when it is a child of ours by then, as orphans are of
//! a subreaper, or from the kernel once its parent has waited for it (Linux 6.15); else its
//! status is unknown.

use std::collections::HashSet;
use std::io;
use std::sync::Arc;

use tokio::sync::watch;

use crate::os::{self, Mark, Process, RunMark, proc};

/// How many named processes are known at a time.
const NAMED_MAX: usize = 16;

/// The processes of a run.
pub(super) struct Processes {
    spawned: Arc<Process>,
    /// What all of them were started with in their environment.
    mark: RunMark,
    named: watch::Sender<Named>,
}

/// Processes that were named.
#[derive(Clone, Default)]
pub(super) struct Named {
    /// The main process, unless it is the spawned one.
    pub(super) main: Option<Arc<Process>>,
    /// Each that was named and may have left somebody behind.
    all: Vec<Member>,
}

/// One that was named.
#[derive(Clone)]
struct Member {
    process: Arc<Process>,
    /// Its group when it was named, unless that is the one of the spawned process.
    group: Option<i32>,
}

impl Member {
    fn runs(&self) -> bool {
        matches!(self.process.try_exited(), Ok(None))
    }
}

impl Processes {
    pub(super) fn new(spawned: Process, mark: RunMark) -> Processes {
        Processes { spawned: Arc::new(spawned), mark, named: watch::Sender::default() }
    }

    /// The one that was spawned.
    pub(super) fn spawned(&self) -> &Arc<Process> {
        &self.spawned
    }

    /// The main process.
    pub(super) fn main(&self) -> Arc<Process> {
        self.named.borrow().main.clone().unwrap_or_else(|| Arc::clone(&self.spawned))
    }

    /// Whether the main process is another one than was spawned.
    pub(super) fn has_named(&self) -> bool {
        self.named.borrow().main.is_some()
    }

    /// Tells of every change of the main process.
    pub(super) fn watch(&self) -> watch::Receiver<Named> {
        self.named.subscribe()
    }

    /// Has another main process from now on; none: the spawned one. False: there are too
    /// many already, and nothing has changed.
    pub(super) fn name_main(&self, main: Option<Arc<Process>>) -> bool {
        self.named.send_if_modified(|named| {
            if let Some(process) = main.clone() {
                if named.all.len() >= NAMED_MAX {
                    named.all.retain(Member::runs);
                }
                if named.all.len() >= NAMED_MAX {
                    return false;
                }
                let group = process.group().filter(|group| *group != self.spawned.pid());
                named.all.push(Member { process, group });
            }
            named.main = main;
            true
        })
    }

    /// Sends a signal to the main process.
    pub(super) fn signal(&self, signal: i32) -> io::Result<()> {
        self.main().signal(signal)
    }

    /// Sends a signal to everything that is known of the run.
    pub(super) fn signal_group(&self, signal: i32) -> io::Result<()> {
        let mut sent = self.spawned.signal_group(signal);
        let mut reached = HashSet::from([self.spawned.pid()]);
        let mut left = Vec::new();
        for Member { process, group } in self.named.borrow().all.clone() {
            match process.group() {
                Some(present) => {
                    if reached.insert(present) {
                        let result = process.signal_present_group(signal);
                        // Whom it reaches counts, and else why it does not.
                        sent = if is_nobody(&sent) { result } else { sent };
                    }
                }
                None => left.extend(group),
            }
        }
        left.retain(|group| !reached.contains(group));
        if !left.is_empty() {
            let mark = self.mark;
            drop(tokio::task::spawn_blocking(move || signal_left(&left, mark, signal)));
            sent = if is_nobody(&sent) { Ok(()) } else { sent };
        }
        sent
    }

    /// Whether anything of the run is left, by a list of living groups made just before.
    pub(super) fn alive_among(&self, living: Option<&HashSet<i32>>) -> bool {
        let named = self.named.borrow().all.clone();
        let is_alive = |group: i32| living.is_some_and(|living| living.contains(&group));
        self.spawned.group_alive_among(living)
            || named.iter().any(|Member { process, group }| {
                process.group_alive_among(living) || group.is_some_and(is_alive)
            })
    }

    /// Whether nothing of the run is left for sure, without a look at `/proc`.
    pub(super) fn are_gone(&self) -> bool {
        self.named.borrow().all.is_empty() && is_nobody(&self.spawned.signal_group(0))
    }

    /// The groups that its signals go to.
    pub(super) fn groups(&self) -> HashSet<i32> {
        let named = self.named.borrow();
        let groups = named
            .all
            .iter()
            .flat_map(|Member { process, group }| [*group, process.group()].into_iter().flatten());
        groups.chain([self.spawned.pid()]).collect()
    }

    /// The sessions that its processes are in.
    pub(super) fn sessions(&self) -> Vec<i32> {
        let named = self.named.borrow();
        let mut sessions = vec![self.spawned.pid()];
        sessions.extend(named.all.iter().filter_map(|member| member.process.session()));
        sessions.sort_unstable();
        sessions.dedup();
        sessions
    }

    /// Gives up the numbers of all groups.
    pub(super) fn release(&self) {
        self.spawned.release();
        for member in &self.named.borrow().all {
            member.process.release();
        }
    }
}

fn is_nobody(sent: &io::Result<()>) -> bool {
    sent.as_ref().is_err_and(|error| error.raw_os_error() == Some(libc::ESRCH))
}

/// Signals the members of these groups that were started with `mark`: a number alone may
/// belong to somebody else by now.
fn signal_left(groups: &[i32], mark: RunMark, signal: i32) {
    let processes = proc::processes().unwrap_or_default();
    for process in processes.iter().filter(|process| groups.contains(&process.group)) {
        if Mark::of(process.pid).is_some_and(|found| found.run == mark) {
            // It may have ended at this moment.
            let _ = os::signal_exactly(process.pid, process.start_time, signal);
        }
    }
}
