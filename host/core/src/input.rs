//! What the core is told: commands, facts of the operating system, and time.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::{Graph, InstanceId, Memory, RunId, Signal};

/// One thing that the core is told. Facts are past tense, commands imperative.
#[derive(Clone, PartialEq, Debug)]
pub enum Input {
    /// Time has passed; see [`crate::Core::next_deadline`].
    Tick,

    /// This is where an earlier supervisor ended. Before the first `Configure`; later it
    /// changes nothing.
    Restore(Memory),
    /// These are the services from now on. New ones are added, missing ones stopped and
    /// forgotten, others changed in place, and those named in `restart` started anew; where
    /// they have several instances, a few at a time.
    Configure {
        /// Every service.
        graph: Graph,
        /// Services whose process must be replaced for the change to take effect.
        restart: Vec<Arc<str>>,
    },
    /// The operator wants these up, and with them whatever they require.
    Start(Vec<InstanceId>),
    /// The operator wants these down. Given again during the stop: go to the next step.
    Stop(Vec<InstanceId>),
    /// The operator wants new runs of these.
    Restart(Vec<InstanceId>),
    /// The operator wants new runs of these, a few at a time, as `ServiceSpec::rolling`
    /// says.
    Roll(Vec<InstanceId>),
    /// Forget failures: counters start at zero, and what has failed or backs off is tried
    /// again. What is done stays done.
    Reset(Vec<InstanceId>),
    /// Send a signal to the main process of these, where there is one.
    Signal(Vec<InstanceId>, Signal),
    /// Stop everything in order, then exit.
    Shutdown,
    /// Kill everything now, then exit.
    ShutdownNow,

    /// The process of the run exists and has executed its program.
    Spawned(RunId),
    /// There is no process: it could not be made, for this reason.
    SpawnFailed(RunId, String),
    /// The run is ready, as its service or a probe says.
    Ready(RunId),
    /// The run says something of itself.
    Notified(RunId, Notice),
    /// The run says of itself that its health is this, for this reason. Checks have their
    /// own say; the worse of both counts.
    HealthChanged(RunId, Health, String),
    /// A check has an answer.
    Checked(CheckAnswer),
    /// The policy that was asked after the end of this run of this instance wants this.
    PolicyDecided {
        /// The instance.
        instance: InstanceId,
        /// The run that has ended.
        run: RunId,
        /// What it wants.
        answer: PolicyAnswer,
        /// Why, for people.
        reason: String,
    },
    /// The main process of the run ended.
    Exited {
        /// The run.
        run: RunId,
        /// How it ended.
        status: ExitStatus,
        /// Whether that was the last process of its group.
        group: Group,
    },
    /// After the main process, the rest of its group has ended too.
    GroupEnded(RunId),
    /// The same, and processes of the run had to be ended that had left its group.
    Swept(RunId),
    /// The stop command has ended, or could not be run.
    StopCommandEnded(RunId),
}

/// What a run can say of itself beside being ready, as in `sd_notify(3)`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Notice {
    /// It needs that much time from now on for what it is doing: starting, stopping, or a
    /// sign of life. Meanwhile late answers to checks do not count.
    Extend(Duration),
    /// A sign of life.
    Alive,
    /// It has found out that it is stuck: like a missed sign of life.
    Stuck,
    /// From now on it gives a sign of life that often; zero: none any more.
    WatchdogEvery(Duration),
    /// It is about to end by itself.
    Stopping,
}

/// How a process ended, `waitid(2)`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ExitStatus {
    /// It exited with this code.
    Code(i32),
    /// This signal ended it.
    Signal {
        /// The signal.
        signal: Signal,
        /// Whether a core dump was written.
        core_dumped: bool,
    },
    /// The kernel killed it, because its memory had reached a limit or there was none left.
    OutOfMemory,
    /// Nobody can tell: the process was not a child when it ended.
    Unknown,
}

impl fmt::Display for ExitStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ExitStatus::Code(code) => write!(f, "exited with code {code}"),
            ExitStatus::Signal { signal, core_dumped: false } => {
                write!(f, "was killed by {signal}")
            }
            ExitStatus::Signal { signal, core_dumped: true } => {
                write!(f, "was killed by {signal} (core dumped)")
            }
            ExitStatus::OutOfMemory => f.write_str("ran out of memory and was killed"),
            ExitStatus::Unknown => f.write_str("ended with an unknown status"),
        }
    }
}

/// Whether anything is left of a process group whose main process ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Group {
    /// Nothing is.
    Empty,
    /// Other processes are.
    Left,
}

/// Which check of an instance.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CheckId {
    /// The one that finds out whether it is ready.
    Ready,
    /// The one at this place of [`crate::ServiceSpec::health`].
    Health(u32),
}

/// The answer to [`crate::Effect::Check`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CheckAnswer {
    /// The run that was looked at.
    pub run: RunId,
    /// The check.
    pub check: CheckId,
    /// The number of the question.
    pub number: u32,
    /// How it went.
    pub outcome: CheckOutcome,
    /// One sentence for people; may be empty.
    pub reason: String,
    /// When the next one is asked for, from the beginning of this one; none: as
    /// configured. From a tenth of the period to ten times the period.
    pub next: Option<Duration>,
}

/// How a check went.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CheckOutcome {
    /// All is well.
    Passed,
    /// It works, but not well.
    Degraded,
    /// Nobody was there to be asked: a definite failure.
    Refused,
    /// It answered, and not as it should: a definite failure.
    Wrong,
    /// There was no answer in time. Slow is not dead.
    Late,
    /// The check itself could not be made; says nothing of the service.
    Impossible,
}

/// What a restart policy wants.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum PolicyAnswer {
    /// What the built-in policy does.
    Default,
    /// A restart that long after the end of the run; at most a week.
    RestartAfter(Duration),
    /// No other run.
    GiveUp,
}

/// What the checks say of a run.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Health {
    /// There is no check, or none has said anything yet.
    #[default]
    Unknown,
    /// All is well.
    Healthy,
    /// It works, but not well. Restarts nothing.
    Degraded,
    /// It does not work.
    Unhealthy,
}

impl fmt::Display for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Health::Unknown => "unknown",
            Health::Healthy => "healthy",
            Health::Degraded => "degraded",
            Health::Unhealthy => "unhealthy",
        })
    }
}
