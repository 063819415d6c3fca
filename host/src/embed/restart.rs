//! What follows when a service ends, described by a program.

use std::time::Duration;

use serde_json::Value;

use super::Keys;
use super::keys::written;
use crate::own::{OwnPolicy, RestartPolicy};

/// What follows when a service ends. What is not set is as in a configuration file.
#[derive(Clone, PartialEq, Debug)]
pub struct Restart {
    pub(super) keys: Keys,
    pub(super) policy: Option<OwnPolicy>,
}

impl Restart {
    fn policy(word: &str) -> Restart {
        let mut keys = Keys::default();
        keys.set("policy", word);
        Restart { keys, policy: None }
    }

    /// It starts again, however it ended.
    pub fn always() -> Restart {
        Restart::policy("always")
    }

    /// It starts again unless it ended with success.
    pub fn on_failure() -> Restart {
        Restart::policy("on_failure")
    }

    /// It does not start again.
    pub fn never() -> Restart {
        Restart::policy("never")
    }

    /// Waits that long before the first restart, doubling up to `max`.
    #[must_use]
    pub fn backoff(mut self, initial: Duration, max: Duration) -> Restart {
        self.keys.set("backoff.initial", written(initial));
        self.keys.set("backoff.max", written(max));
        self
    }

    /// Gives up after more than `max` restarts in that time.
    #[must_use]
    pub fn limit(mut self, max: u32, within: Duration) -> Restart {
        self.keys.set("limit.max", max);
        self.keys.set("limit.within", written(within));
        self
    }

    /// Never gives up.
    #[must_use]
    pub fn unlimited(mut self) -> Restart {
        self.keys.set("limit", "none");
        self
    }

    /// Ends the whole supervisor with code 1 when it gives up.
    #[must_use]
    pub fn exit_on_give_up(mut self) -> Restart {
        self.keys.set("on_give_up", "exit");
        self
    }

    /// Asks code of the program what shall follow, each time that it would start again.
    ///
    /// ```
    /// use std::time::Duration;
    /// use kennel::{Decision, EndedRun, Restart};
    ///
    /// let restart = Restart::on_failure().decided_by(async |ended: EndedRun| {
    ///     match ended.target.restarts {
    ///         0 => Decision::RestartAfter(Duration::ZERO),
    ///         1..10 => Decision::Default,
    ///         _ => Decision::GiveUp("ten times is enough".to_owned()),
    ///     }
    /// });
    /// ```
    #[must_use]
    pub fn decided_by(mut self, policy: impl RestartPolicy) -> Restart {
        self.policy = Some(OwnPolicy::new(policy));
        self
    }

    /// Sets any key under `restart` of a configuration file, by its dotted path.
    #[must_use]
    pub fn set(mut self, path: &str, value: impl Into<Value>) -> Restart {
        self.keys.set(path, value);
        self
    }
}
