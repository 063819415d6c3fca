//! What of the instances must outlive the supervisor.
//!
//! Plain data, to be written down by the driver and handed to the core of the next
//! supervisor with [`crate::Input::Restore`]. What is worth nothing later is not in it:
//! answers of checks, who waits for whom, rolling restarts.
//!
//! Times are comparable as long as the driver's clock goes on, which is that of the boot;
//! see [`Remembered::of_another_boot`].

use std::sync::Arc;
use std::time::Duration;

use crate::event::{Cause, GaveUp, StopReason, Wanted};
use crate::instance::{Entry, Stage, Word};
use crate::restart::{Counters, PastRun, Stability};
use crate::spec::Enabled;
use crate::{ExitStatus, Group, Health, RunId, Time};

/// What of a core must outlive it.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Memory {
    /// Every instance, in no particular order.
    pub instances: Vec<Remembered>,
}

/// What of one instance must outlive the supervisor.
#[derive(Clone, PartialEq, Debug)]
pub struct Remembered {
    /// Its service.
    pub service: Arc<str>,
    /// Which of the replicas, from 0.
    pub index: u32,
    /// Its name: that of the service, with `/0`, `/1` … when there are several.
    pub name: Arc<str>,
    /// What the operator wants of it.
    pub wanted: Wanted,
    /// What the configuration wanted when it was last looked at: a change is news.
    pub enabled: Enabled,
    /// Where it was in its life.
    pub phase: RememberedPhase,
    /// When it came there.
    pub since: Time,
    /// What the restart policy counts.
    pub counters: Counters,
    /// How the last run that ended by itself ended.
    pub last_failure: Option<Cause>,
    /// How the last process ended, and when, whoever wanted it.
    pub last_exit: Option<(ExitStatus, Time)>,
    /// Runs that ended by themselves, newest first.
    pub history: Vec<PastRun>,
}

/// Where an instance was in its life.
#[derive(Clone, PartialEq, Debug)]
pub enum RememberedPhase {
    /// At rest.
    Down,
    /// It had to wait before it could start.
    Waiting(Entry),
    /// Between two runs.
    Backoff {
        /// Another run follows then.
        until: Time,
        /// How it begins.
        entry: Entry,
    },
    /// No other run was to follow.
    Failed {
        /// Why not.
        reason: GaveUp,
        /// When it is tried again, if ever.
        retry_at: Option<Time>,
    },
    /// It had ended with success.
    Done,
    /// There was a process, or one was being made.
    Run(RememberedRun),
}

/// A run that was not over.
#[derive(Clone, PartialEq, Debug)]
pub struct RememberedRun {
    /// Its name.
    pub run: RunId,
    /// When its process came to be; none: it was being made. Whoever restores it says
    /// when, if there is one after all; otherwise it is as if the run had never begun.
    pub spawned_at: Option<Time>,
    /// How far it had come.
    pub progress: Progress,
    /// It was to be replaced by a new one, for this reason.
    pub renewal: Option<StopReason>,
    /// How often it gives a sign of life.
    pub watchdog: Option<Duration>,
    /// Until when it had asked for time.
    pub excused_until: Option<Time>,
    /// Whether all that it has said of being ready was heard.
    pub word: Word,
    /// What it said of its health, and why.
    pub reported: (Health, Arc<str>),
    /// How its main process has ended since, and whether others of its group are left. A
    /// core never sets it; whoever restores it does, if nothing of it is there any more.
    pub ended: Option<(ExitStatus, Group)>,
}

/// How far a run had come.
#[derive(Clone, PartialEq, Debug)]
pub enum Progress {
    /// Not ready yet, as far as is known.
    Starting,
    /// Ready.
    Up(Stability),
    /// On its way to the end.
    Stopping {
        /// Why.
        reason: StopReason,
        /// Whether it had been stable.
        stability: Stability,
        /// How far it had come.
        stage: Stage,
        /// How the main process ended, if it had; others of its group were left.
        main: Option<ExitStatus>,
    },
}

/// One change of what must be remembered.
#[derive(Clone, PartialEq, Debug)]
pub enum MemoryChange {
    /// This is the instance now.
    Now(Box<Remembered>),
    /// There is no such instance any more.
    Gone {
        /// The service.
        service: Arc<str>,
        /// Which of the replicas.
        index: u32,
    },
}

impl RememberedRun {
    /// Nobody has listened to it for a while. Whoever restores it says so, where that is so.
    pub fn was_not_listened_to(&mut self) {
        match self.progress {
            Progress::Starting => self.word = Word::MaybeMissed,
            // Nothing that it has to say is waited for.
            Progress::Up(_) | Progress::Stopping { .. } => {}
        }
    }
}

impl Remembered {
    /// An instance of which nothing is remembered; it is wanted up.
    pub fn nothing(service: impl Into<Arc<str>>, index: u32, name: impl Into<Arc<str>>) -> Self {
        Remembered {
            service: service.into(),
            index,
            name: name.into(),
            wanted: Wanted::Up,
            enabled: Enabled::Yes,
            phase: RememberedPhase::Down,
            since: Time::ZERO,
            counters: Counters::default(),
            last_failure: None,
            last_exit: None,
            history: Vec::new(),
        }
    }

    /// Its run, if one was not over.
    pub fn run(&self) -> Option<&RememberedRun> {
        match &self.phase {
            RememberedPhase::Run(run) => Some(run),
            RememberedPhase::Down
            | RememberedPhase::Waiting(_)
            | RememberedPhase::Backoff { .. }
            | RememberedPhase::Failed { .. }
            | RememberedPhase::Done => None,
        }
    }

    /// The same, to be changed.
    pub fn run_mut(&mut self) -> Option<&mut RememberedRun> {
        match &mut self.phase {
            RememberedPhase::Run(run) => Some(run),
            RememberedPhase::Down
            | RememberedPhase::Waiting(_)
            | RememberedPhase::Backoff { .. }
            | RememberedPhase::Failed { .. }
            | RememberedPhase::Done => None,
        }
    }

    /// A process of this run was found, which is newer than what is remembered.
    pub fn has_run(&mut self, run: RunId, spawned_at: Time) {
        self.since = spawned_at;
        self.phase = RememberedPhase::Run(RememberedRun {
            run,
            spawned_at: Some(spawned_at),
            progress: Progress::Starting,
            renewal: None,
            watchdog: None,
            excused_until: None,
            word: Word::MaybeMissed,
            reported: (Health::Unknown, "".into()),
            ended: None,
        });
    }

    /// What is left of it after another boot: what the operator wants, and how often it
    /// was restarted. Times mean nothing any more, no process is left, and a machine that
    /// begins anew does so with everything that is to run on it: also with oneshots that
    /// were done and services that had failed, as after an orderly end.
    pub fn of_another_boot(self) -> Self {
        let counters = Counters { restarts: self.counters.restarts, ..Counters::default() };
        Remembered {
            wanted: self.wanted,
            enabled: self.enabled,
            counters,
            ..Remembered::nothing(self.service, self.index, self.name)
        }
    }
}
