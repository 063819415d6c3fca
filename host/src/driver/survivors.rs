//! Which processes of an earlier supervisor still run.
//!
//! ```text
//!   run table: pid, start time, boot ──► pidfd ──┐
//!                                                ├─► living │ gone │ strays
//!   /proc: run mark in the environment ──────────┘
//! ```
//!
//! A process is taken over when it has the number and the start time that the table says,
//! in the same boot, leads a session as all processes of Kennel's do, and bears no mark of
//! somebody else. Where the table knows no process (its writer was killed between the
//! intention and the number, or the table is damaged), the run mark decides: the first
//! process of the run that leads a session is its main one. A number that belongs to
//! somebody else by now is never touched.
//!
//! Processes with our mark whose run is over are strays: they escaped from it.

use std::collections::{BTreeMap, BTreeSet};

use crate::os::{self, ExitStatus, Mark, Marked, Process, StateId, proc};
use crate::state::{Made, Table, TableRun, Who};

/// What is left of the runs of an earlier supervisor.
#[derive(Default)]
pub(super) struct Survivors {
    /// By number of the run.
    pub(super) living: BTreeMap<u64, Survivor>,
    /// Runs that had a process which is no more, and whose they were.
    pub(super) gone: BTreeMap<u64, Gone>,
    /// Processes of runs that are over.
    pub(super) strays: Vec<Marked>,
}

/// A run of which a process lives.
pub(super) struct Survivor {
    pub(super) who: Who,
    /// The process that was spawned; when that has ended, the one that it named.
    pub(super) process: Process,
    /// The one that it named, if that is the main one.
    pub(super) named: Option<Process>,
    /// What is known of how it was made.
    pub(super) made: Option<Made>,
    /// When it came to be, in nanoseconds of the boot's clock.
    pub(super) began_at: u64,
    /// All processes that are known to be of the run, the main one first.
    pub(super) members: Vec<i32>,
}

/// A run whose process is no more.
pub(super) struct Gone {
    pub(super) who: Who,
    pub(super) began_at: u64,
    /// How it ended, where the kernel tells.
    pub(super) status: Option<ExitStatus>,
}

/// Whether the table is all that was written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Completeness {
    Complete,
    /// Lines of it are damaged or it was not there: the mark alone makes a run.
    Doubtful,
}

/// Looks for the processes of the runs in `table`, which is of this boot. Looks at all of
/// `/proc` once.
pub(super) fn find(table: &Table, state: StateId, completeness: Completeness) -> Survivors {
    let mut by_run: BTreeMap<u64, Vec<Marked>> = BTreeMap::new();
    // Without /proc nothing can be found by its mark, and start times cannot be compared.
    for marked in os::marked(state).unwrap_or_default() {
        by_run.entry(marked.mark.run.run).or_default().push(marked);
    }
    let mut survivors = Survivors::default();
    for (number, run) in &table.runs {
        let marked = by_run.remove(number).unwrap_or_default();
        survivors.take(*number, run, marked, state);
    }
    match completeness {
        Completeness::Complete => {}
        Completeness::Doubtful => survivors.take_marked(&mut by_run),
    }
    survivors.strays.extend(by_run.into_values().flatten());
    survivors
}

impl Survivors {
    /// Takes a run of the table over.
    fn take(&mut self, number: u64, run: &TableRun, marked: Vec<Marked>, state: StateId) {
        let TableRun { began, made, main } = run;
        let (who, began_at) = (began.who.clone(), began.at);
        let is_other = |pid: i32| {
            Mark::of(pid).is_some_and(|mark| mark.run != os::RunMark { state, run: number })
        };
        let adopt = |pid: i32, start_time: u64| {
            Process::adopt(pid, start_time).ok().filter(|_| !is_other(pid))
        };
        let spawned = match made {
            // When it began could not be read: the mark tells whether it is still the same.
            Some(Made { pid, start_time: 0, .. }) => main_of(&marked)
                .filter(|main| main.pid == *pid)
                .and_then(|main| adopt(main.pid, main.start_time)),
            Some(made) => {
                let adopted = adopt(made.pid, made.start_time);
                adopted.filter(|process| process.session() == Some(process.pid()) || ended(process))
            }
            None => main_of(&marked).and_then(|main| adopt(main.pid, main.start_time)),
        };
        let mut named = main.and_then(|(pid, start_time)| adopt(pid, start_time));
        let process = match (spawned, main) {
            (Some(process), _) => Some(process),
            // It has handed over and ended. The other one stands for both.
            (None, Some((pid, start_time))) if named.is_some() => adopt(*pid, *start_time),
            (None, _) => None,
        };
        let Some(process) = process else {
            // Nothing was made, as far as anybody knows, unless the table says so.
            if made.is_some() || !marked.is_empty() {
                self.gone.insert(number, Gone { who, began_at, status: None });
            }
            self.strays.extend(marked);
            return;
        };
        // A zombie, which nobody has waited for yet. With others of its group left it ends as
        // under a supervisor.
        if named.is_none() && marked.is_empty() && ended(&process) && !process.group_alive() {
            let status = process.try_exited().ok().flatten();
            self.gone.insert(number, Gone { who, began_at, status });
            return;
        }
        if named.as_ref().is_some_and(ended) {
            named = None;
        }
        let main = named.as_ref().unwrap_or(&process).pid();
        let mut members = vec![main, process.pid()];
        members.extend(marked.iter().map(|marked| marked.stat.pid));
        let made = made.clone();
        let survivor = Survivor { who, process, named, made, began_at, members };
        self.living.insert(number, survivor);
    }

    /// Takes runs over of which only the mark tells; of each instance the last one.
    fn take_marked(&mut self, by_run: &mut BTreeMap<u64, Vec<Marked>>) {
        let mut taken: BTreeSet<Who> = BTreeSet::new();
        for survivor in self.living.values() {
            taken.insert(survivor.who.clone());
        }
        let numbers: Vec<u64> = by_run.keys().copied().rev().collect();
        for number in numbers {
            let Some(marked) = by_run.get(&number) else { continue };
            let Some(main) = main_of(marked) else { continue };
            let Some(mark) = marked.first().map(|marked| &marked.mark) else { continue };
            let who = Who { service: mark.service.clone(), index: mark.instance };
            if taken.contains(&who) {
                continue;
            }
            let Ok(process) = Process::adopt(main.pid, main.start_time) else { continue };
            let mut members = vec![main.pid];
            members.extend(marked.iter().map(|marked| marked.stat.pid));
            let began_at = nanos(main.start_time);
            let survivor =
                Survivor { who: who.clone(), process, named: None, made: None, began_at, members };
            self.living.insert(number, survivor);
            taken.insert(who);
            by_run.remove(&number);
        }
    }
}

/// A number and a start time.
#[derive(Clone, Copy)]
struct Identity {
    pid: i32,
    start_time: u64,
}

/// The main process among those of one run: the first that leads a session.
fn main_of(marked: &[Marked]) -> Option<Identity> {
    let leaders = marked.iter().filter(|marked| marked.stat.session == marked.stat.pid);
    let first = leaders.min_by_key(|marked| (marked.stat.start_time, marked.stat.pid))?;
    Some(Identity { pid: first.stat.pid, start_time: first.stat.start_time })
}

/// Whether it has ended: a zombie can be adopted, and how it ended is known then.
fn ended(process: &Process) -> bool {
    !matches!(process.try_exited(), Ok(None))
}

/// When a process began by the clock of the boot, but for the time that the machine slept.
fn nanos(start_time: u64) -> u64 {
    let began = proc::since_boot(start_time).min(os::monotonic());
    u64::try_from(began.as_nanos()).unwrap_or(u64::MAX)
}
