//! What a supervisor knows of its runs and its instances, for the one that comes after it.
//!
//! ```text
//!   Began (intention) ──► Made (pid, start time, pipes) ──► Named (MAINPID) ──► Over
//!   Instance: intent, counters, history, phase            Scaled: kennel scale
//! ```
//!
//! A change is a record; the table is what all of them add up to.

use std::collections::BTreeMap;
use std::path::PathBuf;

use kennel_core::Remembered;
use serde::{Deserialize, Serialize};

use super::memory::RememberedDef;
use crate::os::StateId;

/// One change of the table, a line of its file.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Record {
    /// Where and when the records that follow were written. The first one.
    Origin(Origin),
    /// A process is about to be made.
    Began(Began),
    /// It was made.
    Made(Box<Made>),
    /// Another process is the main one of a run; none: the one that was made.
    Named(Named),
    /// Nothing is left of the run of this number.
    Over(u64),
    /// What is remembered of an instance.
    Instance(Box<Instance>),
    /// An instance is gone.
    Gone(Who),
    /// The operator wants another number of instances than the file says.
    Scaled(Scaled),
    /// The operator wants what the file says.
    Unscaled(String),
    /// The supervisor has ended in order, and stopped everything before.
    Ended,
}

/// Where and when a table was written.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Origin {
    /// Identifies the boot of the kernel, `random(4)`. Empty without `/proc`.
    pub(crate) boot: String,
    /// Identifies the host, `machine-id(5)`, else its name.
    pub(crate) host: String,
    /// Above every run that had been named by then.
    pub(crate) next_run: u64,
    /// The id of the state directory, which the processes of the runs bear; empty when it
    /// is not known.
    #[serde(default)]
    pub(crate) state_id: String,
}

impl Origin {
    /// The id of the state directory.
    pub(crate) fn state_id(&self) -> Option<StateId> {
        self.state_id.parse().ok()
    }
}

/// Which instance.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub(crate) struct Who {
    /// Its service.
    pub(crate) service: String,
    /// Which of the replicas, from 0.
    pub(crate) index: u32,
}

/// An intention: a process is about to be made for a run.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct Began {
    /// The run.
    pub(crate) run: u64,
    /// Whose.
    #[serde(flatten)]
    pub(crate) who: Who,
    /// When, in nanoseconds of `CLOCK_MONOTONIC`.
    pub(crate) at: u64,
}

/// The process of a run exists.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Made {
    /// The run.
    pub(crate) run: u64,
    /// Its number.
    pub(crate) pid: i32,
    /// When it began, in clock ticks since boot, `proc_pid_stat(5)`; 0 where that could not
    /// be read.
    pub(crate) start_time: u64,
    /// What identifies the definition it was made of.
    pub(crate) digest: String,
    /// Its cgroup.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) cgroup: Option<PathBuf>,
    /// The inodes of the pipes for stdout and stderr.
    #[serde(default)]
    pub(crate) outputs: [Option<u64>; 2],
    /// What its notification socket is called, as `NOTIFY_SOCKET` says it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) notify: Option<String>,
    /// The descriptor on which it says that it is ready, and the inode of its pipe.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) ready_pipe: Option<(i32, u64)>,
    /// The sockets that it was given: where each is, and its inode.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) sockets: Vec<(String, u64)>,
}

/// Another process is the main one of a run.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct Named {
    /// The run.
    pub(crate) run: u64,
    /// The process: number and start time; none: the one that was made.
    pub(crate) main: Option<(i32, u64)>,
}

/// What is remembered of an instance.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Instance(#[serde(with = "RememberedDef")] pub(crate) Remembered);

/// The operator wants another number of instances than the file says.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct Scaled {
    /// Of this service.
    pub(crate) service: String,
    /// What the file said then.
    pub(crate) written: u32,
    /// How many.
    pub(crate) to: u32,
}

/// A run that is not over.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct TableRun {
    pub(crate) began: Began,
    pub(crate) made: Option<Made>,
    pub(crate) main: Option<(i32, u64)>,
}

/// How the supervisor before has ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) enum LastEnd {
    /// It died, or gave way to its successor.
    #[default]
    Abrupt,
    /// It stopped everything before.
    Orderly,
}

/// What all records add up to.
#[derive(Clone, PartialEq, Debug, Default)]
pub(crate) struct Table {
    pub(crate) origin: Origin,
    pub(crate) runs: BTreeMap<u64, TableRun>,
    pub(crate) instances: BTreeMap<Who, Remembered>,
    pub(crate) scaled: BTreeMap<String, Scaled>,
    pub(crate) last_end: LastEnd,
}

impl Table {
    /// Takes one more record into account.
    pub(crate) fn apply(&mut self, record: Record) {
        match record {
            Record::Origin(origin) => {
                let next_run = self.origin.next_run.max(origin.next_run);
                self.origin = Origin { next_run, ..origin };
            }
            Record::Began(began) => {
                self.last_end = LastEnd::Abrupt;
                self.origin.next_run = self.origin.next_run.max(began.run.saturating_add(1));
                let run = TableRun { began, made: None, main: None };
                self.runs.insert(run.began.run, run);
            }
            // Without the intention it is a run of which the record was lost.
            Record::Made(made) => {
                if let Some(run) = self.runs.get_mut(&made.run) {
                    run.made = Some(*made);
                }
            }
            Record::Named(Named { run, main }) => {
                if let Some(run) = self.runs.get_mut(&run) {
                    run.main = main;
                }
            }
            Record::Over(run) => drop(self.runs.remove(&run)),
            Record::Instance(remembered) => {
                let Instance(memory) = *remembered;
                let service = memory.service.to_string();
                self.instances.insert(Who { service, index: memory.index }, memory);
            }
            Record::Gone(who) => drop(self.instances.remove(&who)),
            Record::Scaled(scaled) => {
                self.scaled.insert(scaled.service.clone(), scaled);
            }
            Record::Unscaled(service) => drop(self.scaled.remove(&service)),
            Record::Ended => {
                self.last_end = LastEnd::Orderly;
                self.runs.clear();
            }
        }
    }

    /// The shortest list of records that adds up to this table.
    pub(crate) fn records(&self) -> Vec<Record> {
        let Table { origin, runs, instances, scaled, last_end } = self;
        let mut records = vec![Record::Origin(origin.clone())];
        for memory in instances.values() {
            records.push(Record::Instance(Box::new(Instance(memory.clone()))));
        }
        records.extend(scaled.values().cloned().map(Record::Scaled));
        for TableRun { began, made, main } in runs.values() {
            records.push(Record::Began(began.clone()));
            records.extend(made.iter().map(|made| Record::Made(Box::new(made.clone()))));
            if main.is_some() {
                records.push(Record::Named(Named { run: began.run, main: *main }));
            }
        }
        match last_end {
            LastEnd::Abrupt => {}
            LastEnd::Orderly => records.push(Record::Ended),
        }
        records
    }
}
