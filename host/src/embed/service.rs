//! A process to be supervised, described by a program.

use std::path::Path;
use std::time::Duration;

use serde_json::Value;

use super::keys::{common_keys, written};
use super::{Check, Keys, Restart, sealed};
use crate::config::{Definition, Own};

/// A process to be supervised.
///
/// Relative paths start from the present directory of the program when the supervisor is
/// built. What is not set is as in a configuration file that does not say it.
#[derive(Clone, PartialEq, Debug)]
pub struct Service {
    name: String,
    keys: Keys,
    own: Own,
}

impl Service {
    /// Runs a program with arguments, without a shell.
    pub fn command<W: Into<String>>(
        name: impl Into<String>,
        command: impl IntoIterator<Item = W>,
    ) -> Service {
        let words: Vec<Value> = command.into_iter().map(|word| Value::from(word.into())).collect();
        Service::of(name).set("command", words)
    }

    /// Runs a line by `/bin/sh -c`.
    pub fn shell(name: impl Into<String>, line: impl Into<String>) -> Service {
        Service::of(name).set("shell", line.into())
    }

    fn of(name: impl Into<String>) -> Service {
        Service { name: name.into(), keys: Keys::default(), own: Own::default() }
    }

    common_keys!();

    /// Has this variable in its environment, over those of the program.
    #[must_use]
    pub fn env(mut self, name: impl Into<String>, value: impl Into<String>) -> Service {
        self.keys.enter("env", name.into(), value.into());
        self
    }

    /// Runs in this directory.
    #[must_use]
    pub fn working_dir(self, dir: impl AsRef<Path>) -> Service {
        self.set("working_dir", dir.as_ref().to_string_lossy().into_owned())
    }

    /// Is ready when it says so: `READY=1` of `sd_notify(3)` within `timeout`.
    #[must_use]
    pub fn ready_when_notified(self, timeout: Duration) -> Service {
        self.set("ready.notify", "systemd").set("ready.timeout", written(timeout))
    }

    /// Is ready when a line of its output matches this regular expression.
    #[must_use]
    pub fn ready_when_logged(self, pattern: impl Into<String>) -> Service {
        self.set("ready.log", pattern.into())
    }

    /// Gets SIGTERM when it is to end, and SIGKILL that much later.
    #[must_use]
    pub fn stop_within(self, wait: Duration) -> Service {
        self.set("stop.steps", stop_steps(wait))
    }
}

/// SIGTERM and so much time; SIGKILL always follows.
pub(super) fn stop_steps(wait: Duration) -> Value {
    serde_json::json!([{ "signal": "SIGTERM", "wait": written(wait) }])
}

impl sealed::Sealed for Service {
    fn define(self) -> Definition {
        Definition { name: self.name, keys: self.keys.0, task: None, own: self.own }
    }
}
