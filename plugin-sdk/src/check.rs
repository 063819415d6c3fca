//! Health checks: is this service well?

use std::time::Duration;

use serde::de::DeserializeOwned;

use crate::config::Problems;
use crate::host::{Host, ProbeError};
use crate::state::State;
use crate::target::{Attributes, Target};

/// A health check. The host creates one with [`new`](HealthCheck::new) for each
/// configuration, calls [`check`](HealthCheck::check) as often as services.yaml says, and may
/// throw it away between any two calls: what has to be remembered belongs in `state`.
pub trait HealthCheck: Sized {
    /// What stands under `config:`.
    type Config: DeserializeOwned;
    /// What is remembered from one check to the next; `()` for nothing.
    type State: State;

    /// Takes a configuration, or says everything that is wrong with it.
    fn new(config: Self::Config) -> Result<Self, Problems>;

    /// Makes one check.
    ///
    /// An error of a probe may be passed on with `?`: see [`CheckError`] for what becomes of it.
    fn check(
        &self,
        input: &CheckInput,
        state: &mut Self::State,
        host: &mut Host,
    ) -> Result<Verdict, CheckError>;
}

/// What a health check is told.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CheckInput {
    /// The service.
    pub target: Target,
    /// The time, in milliseconds since 1970.
    pub now_unix_ms: u64,
    /// 1 for the first check after a start.
    pub sequence: u64,
    /// How long the host waits for this call.
    pub budget: Duration,
    /// What else this host says.
    pub ext: Attributes,
}

/// How the service is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// It does its work.
    Healthy,
    /// It does its work, but not as well as it should. Shown, never restarted.
    Degraded,
    /// It does not do its work. Restarted after `failures` in a row.
    Unhealthy,
    /// It did not answer in time. Slow is not dead: degraded at first, and restarted only after
    /// `timeouts` in a row.
    Late,
    /// It cannot be told. Shown, never restarted.
    Unknown,
}

/// A measurement, exported as a metric.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// Its name: lower case, words joined by `_`.
    pub name: String,
    /// Its value.
    pub value: f64,
    /// Its unit, where it has one.
    pub unit: Option<String>,
}

/// What a health check found.
#[derive(Debug, Clone, PartialEq)]
pub struct Verdict {
    /// How the service is.
    pub status: Status,
    /// Why, in one line for people.
    pub reason: String,
    /// What was measured.
    pub samples: Vec<Sample>,
    /// When to check again; none is as configured. The host clamps it.
    pub next_in: Option<Duration>,
    /// What else is to be told to this host.
    pub ext: Attributes,
}

impl Verdict {
    /// A verdict without samples.
    pub fn new(status: Status, reason: impl Into<String>) -> Verdict {
        let reason = reason.into();
        Verdict { status, reason, samples: Vec::new(), next_in: None, ext: Attributes::new() }
    }

    /// It does its work.
    pub fn healthy(reason: impl Into<String>) -> Verdict {
        Verdict::new(Status::Healthy, reason)
    }

    /// It does its work, but not as well as it should.
    pub fn degraded(reason: impl Into<String>) -> Verdict {
        Verdict::new(Status::Degraded, reason)
    }

    /// It does not do its work.
    pub fn unhealthy(reason: impl Into<String>) -> Verdict {
        Verdict::new(Status::Unhealthy, reason)
    }

    /// It did not answer in time.
    pub fn late(reason: impl Into<String>) -> Verdict {
        Verdict::new(Status::Late, reason)
    }

    /// It cannot be told.
    pub fn unknown(reason: impl Into<String>) -> Verdict {
        Verdict::new(Status::Unknown, reason)
    }

    /// Adds a measurement; an empty `unit` is none.
    #[must_use]
    pub fn sample(mut self, name: &str, value: f64, unit: &str) -> Verdict {
        let unit = (!unit.is_empty()).then(|| unit.to_owned());
        self.samples.push(Sample { name: name.to_owned(), value, unit });
        self
    }

    /// What works so far does not make the service ready: where readiness is looked for
    /// (`ready: { plugin: … }`), it has to be looked for again.
    #[must_use]
    pub fn not_ready(mut self) -> Verdict {
        self.ext.push(("ready".to_owned(), "false".to_owned()));
        self
    }

    /// Asks for an earlier or later next check.
    #[must_use]
    pub fn next_in(mut self, delay: Duration) -> Verdict {
        self.next_in = Some(delay);
        self
    }
}

/// Why a check ended early.
///
/// A [`ProbeError`] becomes one by `?`, as what it says of the service:
///
/// | probe error | becomes |
/// |---|---|
/// | `Connect`, `Tls`, `Protocol`, `TooLarge` | [`Failed`](CheckError::Failed): unhealthy, with the error as reason |
/// | `Timeout` | [`Failed`](CheckError::Failed): late |
/// | `Denied`, `Dns`, `Other` | [`NotMade`](CheckError::NotMade): unknown, never a restart |
#[derive(Debug, Clone, PartialEq)]
pub enum CheckError {
    /// The check was made, and this came out.
    Failed(Verdict),
    /// The check could not be made, which says nothing of the service.
    NotMade(String),
}

impl CheckError {
    /// The check could not be made.
    pub fn not_made(reason: impl Into<String>) -> CheckError {
        CheckError::NotMade(reason.into())
    }
}

impl From<ProbeError> for CheckError {
    fn from(error: ProbeError) -> CheckError {
        let reason = error.to_string();
        match error {
            ProbeError::Connect(_)
            | ProbeError::Tls(_)
            | ProbeError::Protocol(_)
            | ProbeError::TooLarge => CheckError::Failed(Verdict::unhealthy(reason)),
            ProbeError::Timeout => CheckError::Failed(Verdict::late(reason)),
            ProbeError::Denied(_) | ProbeError::Dns(_) | ProbeError::Other(_) => {
                CheckError::NotMade(reason)
            }
        }
    }
}

impl From<Verdict> for CheckError {
    fn from(verdict: Verdict) -> CheckError {
        CheckError::Failed(verdict)
    }
}
