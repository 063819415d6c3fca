//! One instance of a service and the phase of its life.
//!
//! What exists only in a phase lives inside that phase: a deadline is a field of the
//! phase it belongs to, so leaving the phase cancels it. `wanted` stands beside the
//! phase and is changed by commands only.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use crate::event::{Cause, GaveUp, StopReason, Wanted};
use crate::health::{Check, Rhythm};
use crate::restart::{Counters, PastRun, Stability};
use crate::spec::{Kind, Ready};
use crate::storm::Lane;
use crate::{ExitStatus, Health, InstanceId, RunId, ServiceSpec, Time};

#[derive(Clone, Debug)]
pub(crate) struct Instance {
    pub(crate) id: InstanceId,
    pub(crate) spec: Arc<ServiceSpec>,
    /// Which of the replicas, from 0.
    pub(crate) index: u32,
    pub(crate) name: Arc<str>,
    pub(crate) wanted: Wanted,
    /// What follows from `wanted` here and in the dependencies; see [`crate::settle`].
    pub(crate) target: Target,
    pub(crate) membership: Membership,
    /// The present run is to be replaced by a new one, for this reason.
    pub(crate) renewal: Option<StopReason>,
    /// Somebody has asked for the new one: it comes although it is temporary in the group that
    /// restarts.
    pub(crate) comes_back: bool,
    pub(crate) phase: Phase,
    /// When the phase was entered.
    pub(crate) since: Time,
    /// What its checks and it itself say.
    pub(crate) health: Health,
    /// What it says of itself, and why.
    pub(crate) reported: (Health, Arc<str>),
    pub(crate) counters: Counters,
    /// How the last run that ended by itself ended.
    pub(crate) last_failure: Option<Cause>,
    /// How the last process ended, whoever wanted it.
    pub(crate) last_exit: Option<(ExitStatus, Time)>,
    /// Runs that ended by themselves since somebody last wanted a new beginning, newest first.
    pub(crate) history: VecDeque<PastRun>,
}

/// Whether the instance is part of the configuration. The order is that of leaving it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Membership {
    /// It is gone as soon as its last run has ended, unless a later configuration
    /// brings it back before.
    Removed {
        /// The configuration that no longer had it.
        by: u32,
    },
    Configured,
}

/// Where an instance has to go.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Target {
    Up,
    Down(WhyDown),
}

/// Why an instance may not run.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum WhyDown {
    Unwanted,
    Removed,
    Shutdown,
    /// It requires this one, which may not run.
    Dependency(InstanceId),
}

#[derive(Clone, PartialEq, Debug)]
pub(crate) enum Phase {
    Down,
    Waiting(Waiting),
    Starting(Starting),
    Up(Up),
    Stopping(Stopping),
    Backoff(Backoff),
    Failed { reason: GaveUp, retry_at: Option<Time> },
    Done,
}

/// Wants to start and may not yet.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Waiting {
    pub(crate) entry: Entry,
    /// The obstacle that was told last, so that it is told once.
    pub(crate) told: Option<InstanceId>,
}

/// What brings the next run about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Entry {
    /// Somebody's will. Not subject to storm control.
    Fresh,
    /// The restart policy.
    Automatic,
    /// The budget for getting up, which the restart limit does not count.
    Attempt,
    /// `on_give_up: retry_after`: like the restart policy, but nothing is counted yet.
    Retry,
}

#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Starting {
    pub(crate) run: RunId,
    /// When its process came to be; none while the driver makes it.
    pub(crate) spawned_at: Option<Time>,
    /// When to look whether it is ready, if looking tells; from the spawn on.
    pub(crate) tries: Option<Rhythm>,
    /// What the last look said.
    pub(crate) last_try: Option<Arc<str>>,
    /// Until when it asked for time.
    pub(crate) excused_until: Option<Time>,
    /// How often it will give a sign of life once it is ready.
    pub(crate) watchdog: Option<Duration>,
    pub(crate) word: Word,
}

/// Whether every word of a run that is not ready yet has been heard.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Word {
    /// Somebody has listened all the time.
    Heard,
    /// It ran while no supervisor listened, and may have said that it is ready.
    MaybeMissed,
}

/// Between two runs.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Backoff {
    /// Another run follows then, as far as is known.
    pub(crate) until: Time,
    /// How it begins.
    pub(crate) entry: Entry,
    pub(crate) advice: Asked,
}

/// What came of asking a restart policy.
#[derive(Clone, PartialEq, Debug)]
pub(crate) enum Asked {
    /// None was asked, or it wants nothing else.
    Nothing,
    /// One was asked after this run, which ended then; it may answer until the deadline.
    Open { after: RunId, ended_at: Time, deadline: Time },
    /// It has chosen the wait, for this reason.
    Chosen(Arc<str>),
}

#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Up {
    pub(crate) run: RunId,
    pub(crate) spawned_at: Time,
    pub(crate) proof: Proof,
    pub(crate) checks: Vec<Check>,
    /// Until when it asked for time: late answers do not count.
    pub(crate) excused_until: Option<Time>,
    pub(crate) watchdog: Option<Watchdog>,
}

/// A sign of life is expected.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Watchdog {
    pub(crate) every: Duration,
    /// Missed without one by then.
    pub(crate) due: Time,
}

impl Watchdog {
    /// Waits for the next sign of life; none when there is no period to wait for.
    pub(crate) fn armed(every: Option<Duration>, now: Time) -> Option<Watchdog> {
        let every = every.filter(|every| !every.is_zero())?;
        Some(Watchdog { every, due: now + every })
    }
}

/// How far a run is on the way to being stable.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Proof {
    /// Stable if it stays healthy until then.
    Until(Time),
    /// Not healthy: the time starts anew when it is.
    Interrupted,
    /// It was healthy for long enough.
    Given,
}

#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Stopping {
    pub(crate) run: RunId,
    pub(crate) spawned_at: Option<Time>,
    pub(crate) stability: Stability,
    pub(crate) reason: StopReason,
    pub(crate) stage: Stage,
    /// How the main process ended; others of its group may be left.
    pub(crate) main: Option<ExitStatus>,
}

/// How far a stop has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stage {
    /// The driver still makes the process; there is nothing to signal yet.
    Unborn,
    /// It said that it stops, and is given that time to do so by itself.
    Announced {
        /// Then the first step follows.
        until: Time,
    },
    /// SIGABRT was sent to a process that gave no sign of life.
    Aborted {
        /// How long it is given.
        wait: Duration,
        /// Then the first step follows.
        until: Time,
    },
    /// The stop command runs.
    Command {
        /// Then it is cut.
        until: Time,
    },
    /// The signal of a step was sent.
    Step {
        /// Which of [`crate::spec::Stop::steps`].
        index: usize,
        /// How long it is given.
        wait: Duration,
        /// Then the next step follows, or SIGKILL.
        until: Time,
    },
    /// SIGKILL was sent.
    Killed {
        /// When.
        at: Time,
        /// Whether people were told that it does not help.
        told: Told,
    },
}

/// Whether people were told that SIGKILL does not help.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Told {
    /// Not yet.
    No,
    /// They were.
    Yes,
}

/// How many seconds a restart stands behind others at most, for failing again and again.
const BEHIND_AT_MOST: u32 = 10;

/// How long after SIGKILL a process that is still there is news.
pub(crate) const KILL_PATIENCE: Duration = Duration::from_secs(10);

impl Backoff {
    /// When it is over: not before the policy that was asked has had its time.
    pub(crate) fn deadline(&self) -> Time {
        match self.advice {
            Asked::Open { deadline, .. } => self.until.max(deadline),
            Asked::Nothing | Asked::Chosen(_) => self.until,
        }
    }
}

impl Phase {
    /// The run of this phase, if it has one: then a process exists or may exist.
    pub(crate) fn run(&self) -> Option<RunId> {
        match self {
            Phase::Starting(starting) => Some(starting.run),
            Phase::Up(up) => Some(up.run),
            Phase::Stopping(stopping) => Some(stopping.run),
            Phase::Down
            | Phase::Waiting(_)
            | Phase::Backoff(_)
            | Phase::Failed { .. }
            | Phase::Done => None,
        }
    }

    pub(crate) fn is_live(&self) -> bool {
        self.run().is_some()
    }
}

impl Instance {
    /// The present run, if its main process is known to exist.
    pub(crate) fn run_with_process(&self) -> Option<RunId> {
        match &self.phase {
            Phase::Starting(Starting { run, spawned_at: Some(_), .. }) => Some(*run),
            Phase::Up(up) => Some(up.run),
            Phase::Stopping(Stopping { run, spawned_at: Some(_), main: None, .. }) => Some(*run),
            Phase::Starting(_)
            | Phase::Stopping(_)
            | Phase::Down
            | Phase::Waiting(_)
            | Phase::Backoff(_)
            | Phase::Failed { .. }
            | Phase::Done => None,
        }
    }

    /// Whether the present run has to end.
    pub(crate) fn must_stop(&self) -> bool {
        self.target != Target::Up || self.renewal.is_some()
    }

    /// Whether it is between two runs.
    pub(crate) fn is_tried_again(&self) -> bool {
        matches!(self.phase, Phase::Backoff(_)) && self.target == Target::Up
    }

    /// Whether it holds one of the places of `max_concurrent_starts`.
    pub(crate) fn holds_start_slot(&self) -> bool {
        match &self.phase {
            Phase::Starting(starting) => {
                starting.spawned_at.is_none() || self.ready_timeout().is_some()
            }
            Phase::Down
            | Phase::Waiting(_)
            | Phase::Up(_)
            | Phase::Stopping(_)
            | Phase::Backoff(_)
            | Phase::Failed { .. }
            | Phase::Done => false,
        }
    }

    /// How long a run may take to become ready, if somebody has to say that it is.
    pub(crate) fn ready_timeout(&self) -> Option<Duration> {
        match (self.spec.kind, self.spec.ready) {
            (Kind::Daemon, Ready::Reported { timeout } | Ready::Checked { timeout, .. }) => {
                Some(timeout)
            }
            (Kind::Daemon, Ready::After(_)) | (Kind::Oneshot, _) => None,
        }
    }

    /// How long a run must have lasted to count as ready, if nobody says so.
    pub(crate) fn ready_after(&self) -> Option<Duration> {
        match (self.spec.kind, self.spec.ready) {
            (Kind::Daemon, Ready::After(delay)) => Some(delay),
            (Kind::Daemon, Ready::Reported { .. } | Ready::Checked { .. }) | (Kind::Oneshot, _) => {
                None
            }
        }
    }

    /// When it came to its present phase, or as if later the more often it has failed without
    /// a stable run in between: who waits goes in this order. So many that crash for ever do
    /// not hold up one that was stable, and since there is an end to that, everybody's turn
    /// comes.
    pub(crate) fn turn(&self) -> Time {
        let behind = self.unstable_failures().min(BEHIND_AT_MOST);
        self.since + Duration::from_secs(behind.into())
    }

    /// Where storm control lets it pass.
    pub(crate) fn lane(&self) -> Lane {
        if self.unstable_failures() == 0 { Lane::Stable } else { Lane::Unstable }
    }

    /// Failures of runs that had not been stable, since the last that was.
    fn unstable_failures(&self) -> u32 {
        self.counters.streak.max(self.counters.attempts)
    }

    /// When something is due in the present phase.
    pub(crate) fn deadline(&self) -> Option<Time> {
        [self.phase_deadline(), self.check_deadline()].into_iter().flatten().min()
    }

    /// When the phase itself goes on, its checks aside.
    pub(crate) fn phase_deadline(&self) -> Option<Time> {
        match &self.phase {
            Phase::Starting(starting) => {
                let spawned_at = starting.spawned_at?;
                if let Some(delay) = self.ready_after() {
                    return Some(spawned_at + delay);
                }
                let deadline = spawned_at + self.ready_timeout()?;
                Some(starting.excused_until.map_or(deadline, |until| deadline.max(until)))
            }
            Phase::Up(up) => {
                let proven = match up.proof {
                    Proof::Until(at) => Some(at),
                    Proof::Interrupted | Proof::Given => None,
                };
                let missed = up.watchdog.map(|watchdog| watchdog.due);
                [proven, missed].into_iter().flatten().min()
            }
            Phase::Stopping(stopping) => match stopping.stage {
                Stage::Unborn | Stage::Killed { told: Told::Yes, .. } => None,
                Stage::Announced { until }
                | Stage::Aborted { until, .. }
                | Stage::Command { until }
                | Stage::Step { until, .. } => Some(until),
                Stage::Killed { at, told: Told::No } => Some(at + KILL_PATIENCE),
            },
            Phase::Backoff(backoff) => Some(backoff.deadline()),
            Phase::Failed { retry_at, .. } => *retry_at,
            Phase::Down | Phase::Waiting(_) | Phase::Done => None,
        }
    }
}
