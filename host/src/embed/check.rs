//! What is looked at to know whether a service is ready or well, described by a program.

use std::path::Path;
use std::time::Duration;

use serde_json::Value;

use super::Keys;
use super::keys::written;
use crate::own::{HealthCheck, OwnCheck};

/// What is looked at to know whether a service is ready, or well. What is not set is as in a
/// configuration file.
#[derive(Clone, PartialEq, Debug)]
pub struct Check {
    keys: Keys,
    own: Option<OwnCheck>,
}

/// Checks over HTTP.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Http;

impl Http {
    /// [`Check::http`].
    pub fn get(url: impl Into<String>) -> Check {
        Check::http(url)
    }
}

impl Check {
    fn of(kind: &str, value: impl Into<Value>) -> Check {
        let mut keys = Keys::default();
        keys.set(kind, value);
        Check { keys, own: None }
    }

    /// A URL answers GET with a status from 200 to 399.
    pub fn http(url: impl Into<String>) -> Check {
        Check::of("http", url.into())
    }

    /// An address `host:port` accepts a connection.
    pub fn tcp(address: impl Into<String>) -> Check {
        Check::of("tcp", address.into())
    }

    /// A Unix socket accepts a connection.
    pub fn unix(path: impl AsRef<Path>) -> Check {
        Check::of("unix", path.as_ref().to_string_lossy().into_owned())
    }

    /// A command exits with 0.
    pub fn command<W: Into<String>>(command: impl IntoIterator<Item = W>) -> Check {
        let words: Vec<Value> = command.into_iter().map(|word| Value::from(word.into())).collect();
        Check::of("command", words)
    }

    /// Asks code of the program, under this name.
    ///
    /// ```
    /// use kennel::{Check, Verdict};
    ///
    /// let check = Check::own("queue", async |_| match 3 {
    ///     length if length < 100 => Verdict::Healthy,
    ///     length => Verdict::Unhealthy(format!("{length} jobs wait")),
    /// });
    /// ```
    pub fn own(name: impl Into<String>, check: impl HealthCheck) -> Check {
        let name = name.into();
        let own = OwnCheck::new(&name, check);
        Check { own: Some(own), ..Check::of("plugin", name) }
    }

    /// Asks the plugin that has this name in the configuration file
    /// ([`SupervisorBuilder::config_from_file`](crate::SupervisorBuilder::config_from_file)).
    /// What the plugin is to be told is set by `.set("config.KEY", …)`.
    pub fn plugin(name: impl Into<String>) -> Check {
        Check::of("plugin", name.into())
    }

    /// Is made that often.
    #[must_use]
    pub fn every(self, every: Duration) -> Check {
        self.set("every", written(every))
    }

    /// Of a health check: how long an answer may take. Of readiness: how long the service may
    /// take to become ready.
    #[must_use]
    pub fn timeout(self, timeout: Duration) -> Check {
        self.set("timeout", written(timeout))
    }

    /// So many definite failures in a row make the service unhealthy.
    #[must_use]
    pub fn failures(self, failures: u32) -> Check {
        self.set("failures", failures)
    }

    /// Bad answers do not count that long after the start of a run.
    #[must_use]
    pub fn grace(self, grace: Duration) -> Check {
        self.set("grace", written(grace))
    }

    /// What it says is shown, and restarts nothing.
    #[must_use]
    pub fn report_only(self) -> Check {
        self.set("on_unhealthy", "report")
    }

    /// Sets any key that a check has in a configuration file, by its dotted path.
    #[must_use]
    pub fn set(mut self, path: &str, value: impl Into<Value>) -> Check {
        self.keys.set(path, value);
        self
    }

    pub(super) fn health(mut self) -> (Value, Option<OwnCheck>) {
        if let Some(own) = &self.own
            && !self.keys.0.contains_key("name")
        {
            self.keys.set("name", &**own.name());
        }
        (Value::Object(self.keys.0), self.own)
    }

    pub(super) fn ready(mut self) -> (Value, Option<OwnCheck>) {
        if let Some(own) = self.own.take() {
            // Health may be looked at by other code of the same name.
            let own = own.named(&format!("ready/{}", own.name()));
            self.keys.set("plugin", &**own.name());
            self.own = Some(own);
        }
        (Value::Object(self.keys.0), self.own)
    }
}
