//! Until when a probe has to be done.

use std::future::Future;
use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use super::error::{ProbeError, Stage};

/// The moment at which a probe is cut off. Every step of it is held to the same one, so
/// that many slow steps together take no longer than one.
#[derive(Clone, Copy, Debug)]
pub struct Deadline {
    at: Instant,
    /// How long that was when it was set, for messages.
    whole: Duration,
}

impl Deadline {
    /// So long from now.
    pub fn after(timeout: Duration) -> Deadline {
        let now = Instant::now();
        // An instant that cannot be told is as far away as one can be.
        let at = now.checked_add(timeout).unwrap_or(now + Duration::from_secs(u32::MAX.into()));
        Deadline { at, whole: timeout }
    }

    /// At this moment.
    pub fn until(at: Instant) -> Deadline {
        Deadline { at, whole: at.saturating_duration_since(Instant::now()) }
    }

    /// The earlier one of this and `timeout` from now.
    #[must_use]
    pub fn shorten(self, timeout: Option<Duration>) -> Deadline {
        match timeout.map(Deadline::after) {
            Some(other) if other.at < self.at => other,
            Some(_) | None => self,
        }
    }

    /// When it is.
    pub fn at(self) -> Instant {
        self.at
    }

    /// Runs one step of a probe of `to`.
    pub(super) async fn limit<T>(
        self,
        stage: Stage,
        to: &str,
        step: impl Future<Output = Result<T, ProbeError>>,
    ) -> Result<T, ProbeError> {
        match timeout_at(self.at, step).await {
            Ok(done) => done,
            Err(_) => Err(self.late(stage, to)),
        }
    }

    /// The error of a step that was not done in time.
    pub(super) fn late(self, stage: Stage, to: &str) -> ProbeError {
        ProbeError::Late { stage, to: to.to_owned(), within: self.whole }
    }
}
