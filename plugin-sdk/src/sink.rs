//! Event sinks: where events go.

use std::time::Duration;

use serde::de::DeserializeOwned;

use crate::config::Problems;
use crate::host::{ProbeError, SinkHost};
use crate::target::{Attributes, Severity, find};

/// An event sink. The host keeps the events and its place among them on disk, so a sink needs no
/// memory: an event comes again until it was taken, twice perhaps, never not at all.
pub trait EventSink: Sized {
    /// What stands under `config:`.
    type Config: DeserializeOwned;

    /// Takes a configuration, or says everything that is wrong with it.
    fn new(config: Self::Config) -> Result<Self, Problems>;

    /// Delivers events.
    ///
    /// An error of a probe may be passed on with `?`: see [`Failure`] for what becomes of it.
    fn deliver(&self, batch: &Batch, host: &mut SinkHost) -> Result<Taken, Failure>;
}

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Event {
    /// Its number: higher than that of every earlier event.
    pub sequence: u64,
    /// When, in milliseconds since 1970.
    pub at_unix_ms: u64,
    /// `service.exited`, `health.changed`, …: more may come.
    pub kind: String,
    /// How much it matters.
    pub severity: Severity,
    /// The service it is about.
    pub service: Option<String>,
    /// Which of the service's replicas, from 0.
    pub instance: Option<u32>,
    /// What happened, in one line for people.
    pub message: String,
    /// What happened, for programs.
    pub attributes: Attributes,
}

impl Event {
    /// The value of an attribute.
    pub fn attribute(&self, key: &str) -> Option<&str> {
        find(&self.attributes, key)
    }
}

/// Events to deliver, oldest first.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Batch {
    /// The events.
    pub events: Vec<Event>,
    /// How many were lost before these because the journal was full.
    pub dropped: u64,
    /// The time, in milliseconds since 1970.
    pub now_unix_ms: u64,
    /// What else this host says.
    pub ext: Attributes,
}

/// How many events were taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    /// The whole batch.
    All,
    /// The first so many; the host comes again with the rest.
    First(u32),
}

/// Why events were not taken.
///
/// A [`ProbeError`] becomes one by `?`: always a retry, so that nothing is lost, when the host
/// sees fit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// Try again after this time.
    Retry {
        /// The time, within limits of the host. Zero: when the host sees fit, which is soon at
        /// first and then less and less often.
        after: Duration,
        /// Why, for the log.
        reason: String,
    },
    /// Give up on this batch: it will never be taken.
    Reject {
        /// Why, for people.
        reason: String,
    },
}

impl Failure {
    /// Try again after this time; zero leaves it to the host.
    pub fn retry(after: Duration, reason: impl Into<String>) -> Failure {
        Failure::Retry { after, reason: reason.into() }
    }

    /// Give up on this batch.
    pub fn reject(reason: impl Into<String>) -> Failure {
        Failure::Reject { reason: reason.into() }
    }
}

impl From<ProbeError> for Failure {
    fn from(error: ProbeError) -> Failure {
        Failure::retry(Duration::ZERO, error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_a_request_that_failed_the_host_says_when_it_is_tried_again() {
        let errors = [ProbeError::Timeout, ProbeError::Denied("net: [\"a:1\"]".to_owned())];
        for error in errors {
            let reason = error.to_string();
            assert_eq!(Failure::from(error), Failure::retry(Duration::ZERO, reason));
        }
    }
}
