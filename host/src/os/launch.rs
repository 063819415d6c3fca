//! What one process is started with, with nothing left to look up.
//!
//! A [`Launch`] owns every value, so that it can be made on one thread and spawned on
//! another, and so that the descriptors it hands to the service are closed in the
//! supervisor as soon as [`spawn`](super::spawn()) returns.

use std::ffi::OsString;
use std::os::fd::{OwnedFd, RawFd};
use std::path::PathBuf;

use super::credentials::Credentials;
use super::rlimit::Rlimit;

/// Everything needed to start one process.
///
/// Standard input is always `/dev/null`. The process gets its own session and process
/// group, default signal dispositions, an empty signal mask, and no descriptor that is
/// not named here.
#[derive(Debug)]
pub struct Launch {
    /// The program as the user wrote it, then its arguments. A program without a slash
    /// is looked for in `PATH` of [`env`](Self::env).
    pub argv: Vec<OsString>,
    /// The complete environment; nothing is inherited.
    pub env: Vec<(OsString, OsString)>,
    /// Names of variables that are set to the process's own pid, which nobody knows
    /// earlier: `LISTEN_PID` of `sd_listen_fds(3)`, `WATCHDOG_PID` of
    /// `sd_watchdog_enabled(3)`. They replace those of the same name in [`env`](Self::env).
    pub pid_variables: Vec<OsString>,
    /// Where the process starts, entered with its own rights; `None`: as the supervisor.
    pub working_dir: Option<PathBuf>,
    /// Who it runs as; `None`: as the supervisor.
    pub credentials: Option<Credentials>,
    /// File mode bits that are never given, `umask(2)`; `None`: as the supervisor.
    pub umask: Option<u32>,
    /// Resource limits; those not named are the supervisor's own, except that a raise
    /// of the supervisor's own `nofile` is undone.
    pub rlimits: Vec<Rlimit>,
    /// Scheduling priority, -20 (first) to 19, absolute; `None`: as the supervisor.
    pub nice: Option<i32>,
    /// Bias of the out-of-memory killer, -1000 (never) to 1000, `proc(5)`.
    pub oom_score_adj: Option<i32>,
    /// Where standard output goes.
    pub stdout: Output,
    /// Where standard error goes.
    pub stderr: Output,
    /// The cgroup that it is in before it does anything, by
    /// [`Cgroup::entrance`](super::Cgroup::entrance).
    pub cgroup: Option<OwnedFd>,
    /// More descriptors that the process is given.
    pub inherit: Vec<Inherited>,
}

impl Launch {
    /// A launch of `argv` with an empty environment and its output discarded.
    pub fn new(argv: impl IntoIterator<Item = impl Into<OsString>>) -> Self {
        Self {
            argv: argv.into_iter().map(Into::into).collect(),
            env: Vec::new(),
            pid_variables: Vec::new(),
            working_dir: None,
            credentials: None,
            umask: None,
            rlimits: Vec::new(),
            nice: None,
            oom_score_adj: None,
            stdout: Output::Null,
            stderr: Output::Null,
            cgroup: None,
            inherit: Vec::new(),
        }
    }
}

/// Where one output stream of a process goes.
#[derive(Debug)]
pub enum Output {
    /// To `/dev/null`.
    Null,
    /// To the supervisor's own stream of the same number.
    Inherit,
    /// To this descriptor.
    Descriptor(OwnedFd),
}

/// A descriptor that a process is given under a number of its own.
#[derive(Debug)]
pub struct Inherited {
    /// What is given.
    pub descriptor: OwnedFd,
    /// Its number in the process: 3 or more, each number once.
    pub number: RawFd,
}
