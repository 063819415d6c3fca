//! What the host says of the service that a call is about.

use std::time::Duration;

use serde::Deserialize;

/// An open set of keys and values. Keys that a reader does not know are ignored.
pub type Attributes = Vec<(String, String)>;

/// How much a log line or an event matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Of interest while something is being worked on.
    Debug,
    /// As it should be.
    #[default]
    Info,
    /// Somebody may want to look at it.
    Warn,
    /// Somebody has to look at it.
    Error,
}

impl Severity {
    /// `debug`, `info`, `warn` or `error`.
    pub fn name(self) -> &'static str {
        match self {
            Severity::Debug => "debug",
            Severity::Info => "info",
            Severity::Warn => "warn",
            Severity::Error => "error",
        }
    }
}

/// What the service's process uses at the moment of the call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    /// Resident memory, in bytes.
    pub memory_bytes: u64,
    /// Processor time since its start, in milliseconds.
    pub cpu_ms: u64,
    /// How many threads it has.
    pub threads: u32,
    /// How many files it holds open.
    pub open_fds: u32,
}

/// A supervised service at the moment of the call.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Target {
    /// Its name in `services.yaml`.
    pub service: String,
    /// Which of its replicas, from 0.
    pub instance: u32,
    /// Its process, while it runs.
    pub pid: Option<u32>,
    /// How long this run has lasted.
    pub uptime: Duration,
    /// How often it was restarted.
    pub restarts: u32,
    /// What its process uses, where the host could find out.
    pub usage: Option<Usage>,
    /// Its `labels:`.
    pub labels: Attributes,
}

impl Target {
    /// The value of a label.
    pub fn label(&self, name: &str) -> Option<&str> {
        find(&self.labels, name)
    }
}

/// The first value under `name`.
pub(crate) fn find<'a>(attributes: &'a Attributes, name: &str) -> Option<&'a str> {
    attributes.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
}
