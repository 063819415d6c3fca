//! What follows when a service ends, described by a program.

use std::time::Duration;

use serde_json::Value;

use super::Keys;
use super::keys::written;

/// What follows when a service ends. What is not set is as in a configuration file.
#[derive(Clone, PartialEq, Debug)]
pub struct Restart {
    pub(super) keys: Keys,
}

impl Restart {
    fn policy(word: &str) -> Restart {
        let mut keys = Keys::default();
        keys.set("policy", word);
        Restart { keys }
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

    /// Sets any key under `restart` of a configuration file, by its dotted path.
    #[must_use]
    pub fn set(mut self, path: &str, value: impl Into<Value>) -> Restart {
        self.keys.set(path, value);
        self
    }
}
