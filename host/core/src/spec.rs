//! What the core knows of a service: its life, not how its process is made.
//!
//! Commands, environments, users and log files are the driver's. A spec is plain data;
//! `Graph` is a set of specs that was checked as a whole.

use std::sync::Arc;
use std::time::Duration;

use crate::Signal;

/// A service as the operator described it.
#[derive(Clone, PartialEq, Debug)]
pub struct ServiceSpec {
    /// The name, unique in the configuration.
    pub name: Arc<str>,
    /// Whether it runs on or comes to an end.
    pub kind: Kind,
    /// Whether it is started when the supervisor starts.
    pub enabled: Enabled,
    /// How many instances run side by side; at least 1. Instances of a service with
    /// more than one are called `name/0`, `name/1` and so on.
    pub replicas: u32,
    /// What has to be there before it starts, and what stops after it.
    pub depends_on: Vec<Dependency>,
    /// When a run counts as ready.
    pub ready: Ready,
    /// What is looked at while it is ready; the worst of them is its health.
    pub health: Vec<CheckSpec>,
    /// How often it has to give a sign of life by itself, from being ready on; none: it
    /// need not.
    pub watchdog: Option<Duration>,
    /// How often in a row it may fail to become ready; none: `restart` alone decides.
    pub attempts: Option<Attempts>,
    /// What happens when a run ends by itself.
    pub restart: Restart,
    /// How a run is ended.
    pub stop: Stop,
    /// How many of its instances are restarted at a time, where that is asked for.
    pub rolling: Rolling,
}

impl ServiceSpec {
    /// A daemon of that name with the documented default of every key.
    pub fn daemon(name: impl Into<Arc<str>>) -> ServiceSpec {
        ServiceSpec {
            name: name.into(),
            kind: Kind::Daemon,
            enabled: Enabled::Yes,
            replicas: 1,
            depends_on: Vec::new(),
            ready: Ready::default(),
            health: Vec::new(),
            watchdog: None,
            attempts: None,
            restart: Restart::default(),
            stop: Stop::default(),
            rolling: Rolling::default(),
        }
    }

    /// A oneshot of that name with the documented default of every key.
    pub fn oneshot(name: impl Into<Arc<str>>) -> ServiceSpec {
        ServiceSpec { kind: Kind::Oneshot, ..ServiceSpec::daemon(name) }
    }
}

/// Whether a service runs on or comes to an end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// Runs until it is stopped.
    Daemon,
    /// Does its work and is done when it exits with success.
    Oneshot,
}

/// Whether a service is started when the supervisor starts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Enabled {
    /// Started.
    Yes,
    /// Known and shown, started only on request.
    No,
}

/// One edge of the dependency graph.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Dependency {
    /// The service depended on. With replicas: all of its instances.
    pub service: Arc<str>,
    /// What it has to have reached.
    pub condition: Condition,
    /// Whether there is no going on without it.
    pub strength: Strength,
}

/// What a dependency has to have reached before a dependent starts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Condition {
    /// Its process runs, or it is done.
    Started,
    /// It is ready; a oneshot: it is done.
    Ready,
    /// It has ended with success.
    Done,
}

/// Whether a dependent can go on without its dependency.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Strength {
    /// It cannot: it waits as long as it takes, is started together with it, and stops
    /// before it.
    Required,
    /// It can: it waits while the dependency is on its way up, and goes on without it
    /// when that is stopped, failed or waits for another try.
    Optional,
}

/// When a run counts as ready.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ready {
    /// When it has run for that long. Says nothing of the load it makes, so it holds no
    /// place in `Limits::max_concurrent_starts` once its process runs.
    After(Duration),
    /// When `Input::Ready` says so; not within `timeout` is a failed start.
    Reported {
        /// From the spawn of the run.
        timeout: Duration,
    },
    /// When a check says so that is made again and again; not within `timeout` is a
    /// failed start.
    Checked {
        /// From the beginning of one try to that of the next; tries never overlap.
        every: Duration,
        /// How long one try may take.
        attempt: Duration,
        /// From the spawn of the run.
        timeout: Duration,
    },
}

impl Default for Ready {
    fn default() -> Ready {
        Ready::After(Duration::from_secs(1))
    }
}

/// One health check, made again and again while a run is ready.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CheckSpec {
    /// Its name, unique among the checks of the service.
    pub name: Arc<str>,
    /// From the beginning of one to that of the next; they never overlap.
    pub every: Duration,
    /// An answer that takes longer is late.
    pub timeout: Duration,
    /// Definite failures in a row that make it unhealthy; at least 1.
    pub failures: u32,
    /// Late answers in a row that make it unhealthy; at least 1. It is degraded from the
    /// first.
    pub timeouts: u32,
    /// Good answers in a row that make it healthy again; at least 1.
    pub successes: u32,
    /// From the spawn of the run: until the first answer that is not bad, or until this
    /// has passed, bad answers do not count.
    pub grace: Duration,
    /// What follows when it is unhealthy.
    pub on_unhealthy: OnUnhealthy,
}

impl CheckSpec {
    /// A check of that name with the documented default of every key.
    pub fn named(name: impl Into<Arc<str>>) -> CheckSpec {
        CheckSpec {
            name: name.into(),
            every: Duration::from_secs(10),
            timeout: Duration::from_secs(3),
            failures: 3,
            timeouts: 6,
            successes: 1,
            grace: Duration::from_secs(10),
            on_unhealthy: OnUnhealthy::Restart,
        }
    }
}

/// What follows when a check finds a service unhealthy.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum OnUnhealthy {
    /// The run is stopped, and that is a failure like any other.
    Restart,
    /// It is told, and that is all.
    Report,
}

/// What happens when a run ends by itself.
#[derive(Clone, PartialEq, Debug)]
pub struct Restart {
    /// Which ends lead to another run.
    pub policy: Policy,
    /// Exit codes that are success. A signal never is.
    pub success_exit_codes: Vec<i32>,
    /// How long to wait before the next run.
    pub backoff: Backoff,
    /// How many restarts are too many; none: no number is.
    pub limit: Option<RestartLimit>,
    /// Sustained health (ready and passing) after which a run is stable and the
    /// restart counters forget.
    pub reset_after: Duration,
    /// What follows when the limit is reached.
    pub on_give_up: GiveUp,
    /// Whether dependents restart when this service does.
    pub dependents: Dependents,
    /// Whether somebody is asked for another wait.
    pub advice: Advice,
}

impl Default for Restart {
    fn default() -> Restart {
        Restart {
            policy: Policy::Always,
            success_exit_codes: vec![0],
            backoff: Backoff::default(),
            limit: Some(RestartLimit::default()),
            reset_after: Duration::from_secs(30),
            on_give_up: GiveUp::Stay,
            dependents: Dependents::Keep,
            advice: Advice::None,
        }
    }
}

/// Whether a policy outside the core is asked before a restart. It is asked while the
/// built-in wait already runs; without an answer in time that one holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Advice {
    /// Nobody is.
    None,
    /// One is; see [`crate::Effect::AskPolicy`].
    Ask,
}

/// Which ends of a run lead to another run.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Policy {
    /// Every one; of a oneshot, every failure.
    Always,
    /// Every one but success.
    OnFailure,
    /// None.
    Never,
}

/// How the wait between restarts grows.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Backoff {
    /// The first wait.
    pub initial: Duration,
    /// What each wait is multiplied by to give the next; at least 1.
    pub factor: f64,
    /// No wait is longer, jitter aside.
    pub max: Duration,
    /// The share by which each wait varies at random in both directions, 0 to 1.
    pub jitter: f64,
}

impl Default for Backoff {
    fn default() -> Backoff {
        Backoff {
            initial: Duration::from_secs(1),
            factor: 2.0,
            max: Duration::from_secs(60),
            jitter: 0.1,
        }
    }
}

/// How many restarts are too many: after `max` restarts within `within`, the next
/// failure gives up.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RestartLimit {
    /// Restarts that are still fine.
    pub max: u32,
    /// The window they are counted in.
    pub within: Duration,
}

impl Default for RestartLimit {
    fn default() -> RestartLimit {
        RestartLimit { max: 10, within: Duration::from_secs(600) }
    }
}

/// What follows when the restart limit is reached.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum GiveUp {
    /// The service stays failed until the operator acts.
    Stay,
    /// The whole supervisor shuts down in order and exits with code 1.
    Exit,
    /// The service is failed for that long, then tried again with fresh counters.
    RetryAfter(Duration),
}

/// A budget for getting up, apart from that for crashes later: runs that end before they
/// are ready. It is whole again as soon as one is ready.
#[derive(Clone, PartialEq, Debug)]
pub struct Attempts {
    /// Attempts in a row; the failure of the last one gives up. At least 1.
    pub max: u32,
    /// How long to wait between two of them.
    pub backoff: Backoff,
    /// What follows when all have failed.
    pub on_give_up: GiveUp,
}

impl Default for Attempts {
    fn default() -> Attempts {
        Attempts {
            max: 5,
            backoff: Backoff { max: Duration::from_secs(8), ..Backoff::default() },
            on_give_up: GiveUp::Stay,
        }
    }
}

/// Whether dependents restart when the service they depend on does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Dependents {
    /// They stay up.
    Keep,
    /// Those that require it are stopped and start again once it is back.
    Restart,
}

/// How the instances of a service are restarted a few at a time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rolling {
    /// So many may be unavailable at the same time, those included that are so for other
    /// reasons; at least 1.
    pub max_unavailable: u32,
    /// What an instance has to be before the next one is restarted.
    pub wait_for: WaitFor,
    /// If nothing comes up for so long, the rest keep the runs they have.
    pub timeout: Duration,
}

impl Default for Rolling {
    fn default() -> Rolling {
        Rolling {
            max_unavailable: 1,
            wait_for: WaitFor::Healthy,
            timeout: Duration::from_secs(600),
        }
    }
}

/// What a restarted instance has to be before the next one is restarted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum WaitFor {
    /// Ready.
    Ready,
    /// Ready, and all of its checks are content; without any: ready.
    Healthy,
}

/// How a run is ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Stop {
    /// Whether the driver has a stop command to run first. Runs before the
    /// first step.
    pub command: StopCommand,
    /// Signals to the whole process group, each followed by SIGCONT and a wait. SIGKILL
    /// always follows the last.
    pub steps: Vec<StopStep>,
}

impl Default for Stop {
    fn default() -> Stop {
        Stop {
            command: StopCommand::None,
            steps: vec![StopStep { signal: Signal::TERM, wait: Duration::from_secs(10) }],
        }
    }
}

/// Whether there is a command to run before the first stop signal.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum StopCommand {
    /// There is none.
    None,
    /// There is one; it is cut after `timeout`.
    Run {
        /// How long it may take.
        timeout: Duration,
    },
}

/// One signal on the way to the end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct StopStep {
    /// Sent to the whole process group.
    pub signal: Signal,
    /// How long to wait for the group to end before the next step.
    pub wait: Duration,
}
