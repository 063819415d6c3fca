//! What a plugin is told and what it answers, as plain data.
//!
//! These types mirror the contract in `wit/`, but belong to no version of it: the
//! adapters in `contract/` translate between them and one frozen version each. Nothing
//! of the WebAssembly engine shows here, so that callers, tests and a supervisor built
//! without plugins can use them.

use std::fmt;
use std::time::Duration;

/// An open set of names and values. Both sides ignore names they do not know.
pub type Attributes = Vec<(String, String)>;

/// How many bytes of saved state a plugin may hand back.
pub const STATE_BYTES_MAX: usize = 64 * 1024;

/// What a plugin is for: found by what it exports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// Says how a service is.
    HealthCheck,
    /// Decides what follows the end of a run.
    RestartPolicy,
    /// Takes events to somewhere else.
    EventSink,
}

impl Kind {
    /// Every kind there is.
    pub const ALL: [Self; 3] = [Self::HealthCheck, Self::RestartPolicy, Self::EventSink];

    /// The word for it in configuration, on the command line and in metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::HealthCheck => "health-check",
            Self::RestartPolicy => "restart-policy",
            Self::EventSink => "event-sink",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// How much a message matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Of use to somebody who looks for a fault.
    Debug,
    /// The ordinary course of things.
    Info,
    /// Worth a look.
    Warn,
    /// Something failed.
    Error,
}

/// What the process of a service uses, read at the moment of the call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage {
    /// Resident memory.
    pub memory_bytes: u64,
    /// Processor time since the process started.
    pub cpu_ms: u64,
    /// Threads.
    pub threads: u32,
    /// Open file descriptors.
    pub open_fds: u32,
}

/// A supervised service at the moment of the call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The name it is configured under.
    pub service: String,
    /// Which of its replicas, from 0.
    pub instance: u32,
    /// None while the process is not running.
    pub pid: Option<u32>,
    /// How long the process has run.
    pub uptime: Duration,
    /// How many times the supervisor restarted it.
    pub restarts: u32,
    /// What the process uses, where that could be read.
    pub usage: Option<Usage>,
    /// The labels it is configured with.
    pub labels: Attributes,
}

/// What a plugin wants to remember between calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SavedState {
    /// The plugin's own version of the form of `bytes`.
    pub version: u32,
    /// At most [`STATE_BYTES_MAX`].
    pub bytes: Vec<u8>,
}

/// A measurement, exported as a metric.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// What is measured.
    pub name: String,
    /// The measured value.
    pub value: f64,
    /// The unit of `value`, as people write it.
    pub unit: Option<String>,
}

/// What a plugin finds wrong with its configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Where, as `key.key[index]`; empty: the whole.
    pub path: String,
    /// What is wrong there.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { path, message } = self;
        if path.is_empty() { f.write_str(message) } else { write!(f, "{path}: {message}") }
    }
}

/// Health checks.
pub mod check {
    use super::{Attributes, Duration, Sample, SavedState, Target};

    /// What a check is told.
    #[derive(Clone, Debug, PartialEq)]
    pub struct Input {
        /// Who is checked.
        pub target: Target,
        /// Milliseconds since 1970, UTC.
        pub now_unix_ms: u64,
        /// 1 for the first check after a start.
        pub sequence: u64,
        /// What the plugin last asked to remember for this instance.
        pub state: Option<SavedState>,
    }

    /// How the service is.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub enum Status {
        /// It does its work.
        Healthy,
        /// It works, but not as it should.
        Degraded,
        /// It does not work.
        Unhealthy,
        /// It did not answer in time: slow is not dead.
        Late,
        /// The check cannot tell. Never restarts.
        Unknown,
    }

    /// What a check answers, with the limits applied.
    #[derive(Clone, Debug, PartialEq)]
    pub struct Verdict {
        /// How the service is.
        pub status: Status,
        /// One line for people.
        pub reason: String,
        /// Measurements taken on the way.
        pub samples: Vec<Sample>,
        /// None keeps what there is.
        pub state: Option<SavedState>,
        /// When the plugin wants to be asked next.
        pub next_in: Option<Duration>,
        /// More facts, an open set.
        pub ext: Attributes,
    }
}

/// Restart policies.
pub mod policy {
    use super::{Duration, SavedState, Target};

    /// Why a run ended.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub struct Cause {
        /// `exit`, `signal`, `start-failed`, `not-ready`, `unhealthy`, `watchdog`, …
        pub kind: String,
        /// The exit code, where it exited.
        pub exit_code: Option<i32>,
        /// The number of the signal that ended it.
        pub signal: Option<i32>,
        /// One line for people.
        pub detail: String,
    }

    /// One earlier run.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub struct PastRun {
        /// Milliseconds since 1970, UTC.
        pub ended_unix_ms: u64,
        /// How long it lasted.
        pub uptime: Duration,
        /// Why it ended.
        pub cause: Cause,
    }

    /// What follows.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub enum Action {
        /// What the built-in policy would do.
        UseDefault,
        /// Restart once this has passed.
        RestartAfter(Duration),
        /// Stop restarting, because of this.
        GiveUp(String),
    }

    /// What a policy is told.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub struct Input {
        /// Whose run ended.
        pub target: Target,
        /// Milliseconds since 1970, UTC.
        pub now_unix_ms: u64,
        /// Why the run ended.
        pub cause: Cause,
        /// Earlier runs, newest first.
        pub history: Vec<PastRun>,
        /// Restarts that count against the limit.
        pub restarts_in_window: u32,
        /// What the built-in policy does.
        pub default_action: Action,
        /// What the plugin last asked to remember for this instance.
        pub state: Option<SavedState>,
    }

    /// What a policy answers, with the limits applied.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub struct Decision {
        /// What follows.
        pub action: Action,
        /// One line for people.
        pub reason: String,
        /// None keeps what there is.
        pub state: Option<SavedState>,
    }
}

/// Event sinks.
pub mod sink {
    use super::{Attributes, Duration, Severity};

    /// One event of the journal.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub struct Event {
        /// Its number: later events have higher ones.
        pub sequence: u64,
        /// Milliseconds since 1970, UTC.
        pub at_unix_ms: u64,
        /// Dotted, an open set: `service.exited`, `health.changed`, …
        pub kind: String,
        /// How much it matters.
        pub severity: Severity,
        /// The service it is about, where it is about one.
        pub service: Option<String>,
        /// Which of its replicas.
        pub instance: Option<u32>,
        /// One line for people.
        pub message: String,
        /// The facts in it.
        pub attributes: Attributes,
    }

    /// Events in the order of their numbers.
    #[derive(Clone, Debug, Default, PartialEq, Eq)]
    pub struct Batch {
        /// The events.
        pub events: Vec<Event>,
        /// How many were lost before these because the journal was full.
        pub dropped: u64,
        /// Milliseconds since 1970, UTC.
        pub now_unix_ms: u64,
    }

    /// What became of a batch.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub enum Delivery {
        /// So many leading events were taken.
        Taken(u32),
        /// None was; try again after this. Zero: the plugin has no opinion when.
        RetryAfter(Duration),
        /// None was, and trying again is of no use.
        Rejected(String),
    }
}
