//! What a supervisor says of itself and its services.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use kennel_core::{ExitStatus, Health, State, Wanted};

use crate::config::LogTarget;
use crate::task::TaskEnd;

/// A supervisor and everything it supervises, at one moment.
#[derive(Clone, Debug)]
pub struct Status {
    /// The supervisor itself.
    pub supervisor: SupervisorStatus,
    /// Every instance of every service, dependencies before dependents.
    pub services: Vec<ServiceStatus>,
}

/// The supervisor itself.
#[derive(Clone, Debug)]
pub struct SupervisorStatus {
    /// `kennel.name` of the configuration.
    pub name: String,
    /// The process that supervises.
    pub pid: u32,
    /// The version of this crate.
    pub version: &'static str,
    /// When it started, wall-clock time.
    pub started_at: SystemTime,
    /// Its place in a failover group.
    pub role: Role,
    /// Whether it is on its way to its end.
    pub stopping: bool,
    /// How processes are found that have left their group.
    pub cgroups: CgroupStatus,
}

/// Whether runs have cgroups of their own.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum CgroupStatus {
    /// They have.
    Used {
        /// The directory that they are made in.
        place: PathBuf,
    },
    /// They have none.
    Unavailable {
        /// Why, in words.
        reason: String,
    },
}

/// The place of a supervisor in a failover group.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Role {
    /// There is no group.
    Single,
}

impl Role {
    /// The word for it: `single`.
    pub fn as_str(self) -> &'static str {
        match self {
            Role::Single => "single",
        }
    }
}

/// One instance of a service.
#[derive(Clone, Debug)]
pub struct ServiceStatus {
    /// `web`, or `web/0` when there are several.
    pub name: String,
    /// The service it is an instance of.
    pub service: String,
    /// Where it is.
    pub state: State,
    /// What the operator wants.
    pub wanted: Wanted,
    /// The main process, while there is one.
    pub pid: Option<i32>,
    /// The sessions that its processes are in.
    pub sessions: Vec<i32>,
    /// Whether it is up.
    pub ready: bool,
    /// What the checks say.
    pub health: Health,
    /// Automatic restarts since it was added or reset.
    pub restarts: u32,
    /// When it came into this state, wall-clock time.
    pub since: SystemTime,
    /// How its last process ended, and when.
    pub exit: Option<(ExitStatus, SystemTime)>,
    /// Of a task: how its last run ended.
    pub task_end: Option<TaskEnd>,
    /// One sentence on why it is so; empty when there is nothing to say.
    pub reason: String,
    /// What the present run says of itself, `STATUS=` of `sd_notify(3)`.
    pub status_text: Option<String>,
    /// Messages to its notification socket that did not count: from somebody who is no part
    /// of it, or unreadable.
    pub ignored_notifications: u64,
    /// When the next run is due.
    pub next_restart_in: Option<Duration>,
    /// Resident memory of all processes of its session, in bytes; none when it does not
    /// run or was not asked for.
    pub memory_bytes: Option<u64>,
    /// CPU time, user and system, of all living processes of its session.
    pub cpu: Option<Duration>,
    /// How long the present or last run took from its spawn until it was ready.
    pub start_time: Option<Duration>,
    /// Automatic restarts by what made them necessary: `exit`, `signal`, `start-failed`,
    /// `not-ready`, `unhealthy`, `watchdog`.
    pub restarts_by_cause: BTreeMap<&'static str, u64>,
    /// Labels of the configuration.
    pub labels: BTreeMap<String, String>,
    /// The sockets that are held for it and its replicas.
    pub sockets: Vec<SocketStatus>,
    /// Where its output goes.
    pub logs_to: LogTarget,
}

/// A socket that is held for a service.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SocketStatus {
    /// How the service knows it.
    pub name: String,
    /// Where it is, as it is written in the configuration.
    pub address: String,
    /// Whether the sockets of the service are open at present.
    pub open: bool,
}

impl ServiceStatus {
    /// The plain status line: `Service web: UP (pid 1234, restarts 0)`.
    pub fn plain_line(&self) -> String {
        plain_line(&self.name, self.state, self.pid, self.restarts)
    }
}

/// `Service web: UP (pid 1234, restarts 0)`, `Service worker: DOWN (restarts 5, failed)`.
/// Only a service that is ready is UP.
pub(crate) fn plain_line(name: &str, state: State, pid: Option<i32>, restarts: u32) -> String {
    match (state, pid) {
        (State::Up, Some(pid)) => format!("Service {name}: UP (pid {pid}, restarts {restarts})"),
        (State::Up, None) => format!("Service {name}: UP (restarts {restarts})"),
        (State::Down, _) => format!("Service {name}: DOWN (restarts {restarts})"),
        (
            State::Waiting
            | State::Starting
            | State::Stopping
            | State::Backoff
            | State::Failed
            | State::Done,
            _,
        ) => format!("Service {name}: DOWN (restarts {restarts}, {state})"),
    }
}
