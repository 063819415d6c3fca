//! The handle: what others can ask of a running supervisor.
//!
//! Cheap to clone, usable from any task. Every verb is a message to the driver and a
//! reply from it; nobody but the driver touches the core.

use std::path::PathBuf;
use std::time::Duration;

use kennel_core::{Signal, State};
use tokio::sync::{mpsc, oneshot, watch};

use crate::config::{ConfigErrors, Definition, Plan, REPLICAS_MAX};
use crate::gate::Gate;
use crate::journal::Journal;
use crate::logs::Logs;
use crate::plugins::Plugins;
use crate::sinks::SinkStates;
use crate::state::{Parcel, RunTable, unwritten};
use crate::status::Status;
use crate::tallies::CheckTallies;
use crate::upgrade::Succession;
use crate::usage::Meter;

/// A way to a running supervisor.
#[derive(Clone)]
pub struct Handle {
    pub(crate) requests: mpsc::Sender<Request>,
    pub(crate) ended: watch::Receiver<Option<i32>>,
    pub(crate) journal: Journal,
    pub(crate) logs: Logs,
    pub(crate) meter: Meter,
    pub(crate) plugins: Plugins,
    pub(crate) sinks: SinkStates,
    pub(crate) checks: CheckTallies,
    pub(crate) table: RunTable,
    /// What the driver learns of services passes here.
    pub(crate) gate: Gate,
    /// How this program replaces itself, if it does.
    pub(crate) succession: Option<Succession>,
}

/// What can be done to services.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verb {
    /// Want them up, and with them what they require. A oneshot that is done runs again.
    Start,
    /// Want them down. Given again during a stop: go to the next stop step.
    Stop,
    /// Want new runs of them.
    Restart,
    /// Want new runs of them, of each service a few at a time, as `rolling` says.
    RollingRestart,
    /// Want so many instances of each service, at least 1, all up. Holds until the
    /// configuration file says another number than it did. Takes names of services only.
    Scale(u32),
    /// Forget their failures; a failed one is tried again.
    Reset,
    /// Send a signal to their main processes.
    Signal(Signal),
}

/// Whether a verb returns at once or when what was wanted is so.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Wait {
    /// At once.
    No,
    /// When it is so, has failed, or that much time has passed.
    UpTo(Duration),
}

/// What became of one instance.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Outcome {
    /// `web`, or `web/0` when there are several.
    pub name: String,
    /// Whether it is as it was wanted; without waiting: whether it was accepted. False also
    /// where the order cannot be written down for the next supervisor, which is said then.
    pub success: bool,
    /// Its state now.
    pub state: State,
    /// Its main process now.
    pub pid: Option<i32>,
    /// What happened, as in `up in 0.4 s, pid 4711`.
    pub message: String,
}

/// Why a verb could not be carried out.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum VerbError {
    /// No service has this name.
    #[error("no service is named \"{name}\"")]
    UnknownService {
        /// What was asked for.
        name: String,
        /// Names that look like it, best first.
        near: Vec<String>,
    },
    /// A service has 1 to 1000 instances. Nothing was changed.
    #[error("a service has 1 to {REPLICAS_MAX} instances, not {replicas}")]
    Replicas {
        /// How many were asked for.
        replicas: u32,
    },
    /// The supervisor is shutting down and takes no orders but to hurry.
    #[error("the supervisor is shutting down")]
    ShuttingDown,
    /// The supervisor has ended.
    #[error("the supervisor has stopped")]
    Stopped,
    /// It was carried out, and what was wanted has not come about.
    #[error("{}", sentences(outcomes))]
    Failed {
        /// What became of each instance.
        outcomes: Vec<Outcome>,
    },
}

/// What became of those that are not as they were wanted.
fn sentences(outcomes: &[Outcome]) -> String {
    let failed = outcomes.iter().filter(|outcome| !outcome.success);
    let sentences = failed.map(|outcome| format!("{}: {}", outcome.name, outcome.message));
    sentences.collect::<Vec<_>>().join("; ")
}

/// Why a service was not added, changed or removed. Nothing was changed then.
#[derive(Clone, PartialEq, Debug, thiserror::Error)]
pub enum ChangeError {
    /// There is something wrong with it, or with others once it is there or gone.
    #[error("{0}")]
    Invalid(ConfigErrors),
    /// The program has a service of this name already.
    #[error("there is a service named \"{name}\" already")]
    Exists {
        /// The name.
        name: String,
    },
    /// The program has no service of this name. What stands in a file is changed there.
    #[error("the program has no service named \"{name}\"")]
    Unknown {
        /// The name.
        name: String,
    },
    /// Too many changes are waiting already.
    #[error("too many changes are waiting")]
    Busy,
    /// It was changed, and what was wanted has not come about.
    #[error("{}", sentences(outcomes))]
    Failed {
        /// What became of each instance.
        outcomes: Vec<Outcome>,
    },
    /// The supervisor is shutting down.
    #[error("the supervisor is shutting down")]
    ShuttingDown,
    /// The supervisor has ended.
    #[error("the supervisor has stopped")]
    Stopped,
}

/// Why a configuration was not taken.
#[derive(Debug, thiserror::Error)]
pub enum ReloadError {
    /// It has errors. Nothing was changed.
    #[error("{0}")]
    Invalid(ConfigErrors),
    /// This supervisor was not started from a file.
    #[error("this supervisor has no configuration file")]
    NoFile,
    /// Too many configurations are being read already: a file system hangs.
    #[error("other configurations are being read, and that does not come to an end")]
    Busy,
    /// The supervisor is shutting down.
    #[error("the supervisor is shutting down")]
    ShuttingDown,
    /// The supervisor has ended.
    #[error("the supervisor has stopped")]
    Stopped,
}

/// How to come to the end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ShutdownMode {
    /// In reverse dependency order; asked for a second time: [`ShutdownMode::Now`].
    Orderly,
    /// In reverse dependency order; asked for again, it goes on as it does.
    OrderlyOnce,
    /// Kill everything at once.
    Now,
}

/// What the program wants of its services.
#[derive(Clone, Debug)]
pub(crate) enum Change {
    /// Another one.
    Add(Definition),
    /// This one instead of the one of the same name.
    Replace(Definition),
    /// The one of this name is to go.
    Remove(String),
}

/// What has become of the services, once that is certain.
pub(crate) type Later = oneshot::Receiver<Result<Vec<Outcome>, VerbError>>;

/// A message to the driver.
pub(crate) enum Request {
    Status {
        reply: oneshot::Sender<Status>,
    },
    Act {
        verb: Verb,
        names: Vec<String>,
        wait: Wait,
        reply: oneshot::Sender<Result<Vec<Outcome>, VerbError>>,
    },
    Plan {
        file: Option<PathBuf>,
        reply: oneshot::Sender<Result<Plan, ReloadError>>,
    },
    Reload {
        reply: oneshot::Sender<Result<Plan, ReloadError>>,
    },
    Announce,
    /// What is to be passed on to a successor; none on the way down. Then nothing is done
    /// until it is said why there is none.
    HandOver {
        reply: oneshot::Sender<Option<Parcel>>,
        failed: oneshot::Receiver<String>,
    },
    Await {
        names: Vec<String>,
        reply: oneshot::Sender<Result<Vec<Outcome>, VerbError>>,
    },
    Change {
        change: Box<Change>,
        reply: oneshot::Sender<Result<Later, ChangeError>>,
    },
    Shutdown(ShutdownMode),
}

impl Handle {
    /// Everything there is to see, memory and CPU use included.
    pub async fn status(&self) -> Result<Status, VerbError> {
        let mut status = self.glance().await?;
        // Reading /proc takes its time and must not take the driver's.
        self.meter.fill_in(&mut status).await;
        Ok(status)
    }

    /// The same without memory and CPU use.
    pub(crate) async fn glance(&self) -> Result<Status, VerbError> {
        let (reply, answer) = oneshot::channel();
        self.requests.send(Request::Status { reply }).await.map_err(|_| VerbError::Stopped)?;
        answer.await.map_err(|_| VerbError::Stopped)
    }

    /// Carries out `verb` on the services or instances called `names`, and tells what
    /// became of each.
    pub async fn act(
        &self,
        verb: Verb,
        names: Vec<String>,
        wait: Wait,
    ) -> Result<Vec<Outcome>, VerbError> {
        let (reply, answer) = oneshot::channel();
        // A signal is nothing to be remembered.
        let is_order = !matches!(verb, Verb::Signal(_));
        let request = Request::Act { verb, names, wait, reply };
        self.requests.send(request).await.map_err(|_| VerbError::Stopped)?;
        let mut outcomes = answer.await.map_err(|_| VerbError::Stopped)??;
        // Who is told that it was accepted may rely on it, whatever happens to the supervisor.
        if is_order && let Err(cause) = self.table.written().await {
            let why = unwritten(cause);
            for outcome in &mut outcomes {
                outcome.success = false;
                outcome.message.push_str(&format!(
                    "; not remembered, should the supervisor die now: cannot write its state: {why}"
                ));
            }
        }
        Ok(outcomes)
    }

    /// What [`Handle::reload`] would do, or what it would do were `file` the
    /// configuration.
    pub async fn plan(&self, file: Option<PathBuf>) -> Result<Plan, ReloadError> {
        let (reply, answer) = oneshot::channel();
        let request = Request::Plan { file, reply };
        self.requests.send(request).await.map_err(|_| ReloadError::Stopped)?;
        answer.await.map_err(|_| ReloadError::Stopped)?
    }

    /// Reads the configuration file again and changes what has changed. On an error
    /// nothing is changed.
    pub async fn reload(&self) -> Result<Plan, ReloadError> {
        let (reply, answer) = oneshot::channel();
        self.requests.send(Request::Reload { reply }).await.map_err(|_| ReloadError::Stopped)?;
        answer.await.map_err(|_| ReloadError::Stopped)?
    }

    /// Has the service manager told that this program is ready, where there is one: see
    /// [`Builder::service_manager`](crate::Builder::service_manager).
    pub async fn announce_ready(&self) -> Result<(), VerbError> {
        self.requests.send(Request::Announce).await.map_err(|_| VerbError::Stopped)
    }

    /// Asks the supervisor to stop everything and end. Returns at once; see
    /// [`Handle::ended`].
    pub async fn shutdown(&self, mode: ShutdownMode) -> Result<(), VerbError> {
        self.requests.send(Request::Shutdown(mode)).await.map_err(|_| VerbError::Stopped)
    }

    /// Returns when the supervisor has ended and nothing of it is left, with its exit
    /// code.
    pub async fn ended(&self) -> i32 {
        let mut ended = self.ended.clone();
        match ended.wait_for(Option::is_some).await {
            Ok(code) => code.unwrap_or(1),
            Err(_) => 1,
        }
    }

    /// The numbered events of this supervisor.
    pub fn journal(&self) -> &Journal {
        &self.journal
    }

    /// The output of its services.
    pub fn logs(&self) -> &Logs {
        &self.logs
    }
}
