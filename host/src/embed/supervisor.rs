//! A supervisor with a thread of its own inside a program.
//!
//! ```text
//!   program's runtime              thread "kennel", a runtime of its own
//!   ─────────────────              ──────────────────────────────────────
//!   launch ──────────────────────► check ─► prepare ─► driver
//!          ◄──── Supervisor or what is wrong ───┘        │
//!   Handle ───────────── requests ─────────────────────► │ ──► processes
//!   tasks  ◄──────────── begin, cancel, abort ────────── │
//!   drop   ───────────── the owner is gone ────────────► │
//! ```
//!
//! So nothing that the program does, and no task that does not yield, holds up supervision.

use std::io;
use std::sync::{Mutex, PoisonError, mpsc};
use std::time::Duration;

use kennel_core::{State, Wanted};
use tokio::runtime::Runtime;
use tokio::sync::oneshot;

use super::{Events, OnDrop, SupervisorBuilder};
use crate::config::ConfigErrors;
use crate::fake_clock::FakeClock;
use crate::handle::{Handle, Outcome, ShutdownMode};
use crate::hooks::Hook;
use crate::status::{ServiceStatus, Status};
use crate::supervisor::{Builder, Prepared, StartError};

/// How long dropping waits until everything is killed.
const DROP_PATIENCE: Duration = Duration::from_secs(1);

/// How long blocking work that is still under way at the end may take.
const LAST_WORK: Duration = Duration::from_secs(1);

/// What a supervisor of a program has that no configuration has.
pub(super) struct Extras {
    pub(super) hooks: Vec<Hook>,
    pub(super) clock: Option<FakeClock>,
}

/// A supervisor inside a program. What becomes of everything that runs when this is dropped
/// is what [`SupervisorBuilder::on_drop`] says.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let state = tempfile::tempdir()?;
/// use kennel::{Service, Supervisor};
///
/// let supervisor = Supervisor::builder()
/// #   .state_dir(state.path())
///     .service(Service::command("worker", ["sleep", "1000"]))
///     .task("indexer", |context| async move {
///         context.cancelled().await;
///     })
///     .start()
///     .await?;
/// supervisor.handle().restart("worker").await?;
/// supervisor.shutdown().await?;
/// # Ok(())
/// # }
/// ```
pub struct Supervisor {
    handle: Handle,
    /// Services of the configuration it was started with.
    configured: usize,
    on_drop: OnDrop,
    /// Dropped: nobody owns it any more.
    owner: Option<oneshot::Sender<()>>,
    /// Disconnected when the thread has ended.
    over: Mutex<mpsc::Receiver<()>>,
}

/// A supervisor that ended otherwise than it was asked to.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the supervisor ended with code {code}")]
pub struct ShutdownError {
    /// 1: a service that gave up wanted it so, or the supervisor could not go on.
    pub code: i32,
}

impl Supervisor {
    /// What a supervisor is made of.
    pub fn builder() -> SupervisorBuilder {
        SupervisorBuilder::new()
    }

    /// A way to it, which can be cloned.
    pub fn handle(&self) -> &Handle {
        &self.handle
    }

    /// What happens from now on.
    pub fn subscribe(&self) -> Events {
        self.handle.subscribe()
    }

    /// Stops everything in reverse order; returns when nothing is left. Asked again it waits for
    /// the same end.
    ///
    /// # Errors
    /// It ended with another code than 0.
    pub async fn shutdown(&self) -> Result<(), ShutdownError> {
        // It has ended already when nobody listens.
        let _ = self.handle.shutdown(ShutdownMode::OrderlyOnce).await;
        match self.stopped().await {
            0 => Ok(()),
            code => Err(ShutdownError { code }),
        }
    }

    /// [`Handle::stopped`].
    pub async fn stopped(&self) -> i32 {
        self.handle.stopped().await
    }

    /// Checks and prepares on a thread of its own, which then supervises.
    pub(super) async fn launch(
        check: impl FnOnce() -> Result<Builder, ConfigErrors> + Send + 'static,
        extras: Extras,
        on_drop: OnDrop,
    ) -> Result<Supervisor, StartError> {
        let tasks = tokio::runtime::Handle::try_current().ok();
        let (told, begun) = oneshot::channel();
        let work = move || match prepare(check, extras, tasks) {
            Ok((prepared, runtime)) => supervise(prepared, runtime, on_drop, told),
            Err(error) => drop(told.send(Err(error))),
        };
        let thread = std::thread::Builder::new().name("kennel".to_owned());
        thread.spawn(work).map_err(StartError::Thread)?;
        let lost = |_| Err(StartError::Thread(io::Error::other("it ended while it started")));
        begun.await.unwrap_or_else(lost)
    }

    /// Returns when everything is up that is wanted so. When something fails, all is stopped
    /// before the error returns.
    pub(super) async fn until_all_up(&self) -> Result<(), StartError> {
        let mut events = self.subscribe();
        loop {
            let Ok(status) = self.handle.glance().await else {
                let code = self.stopped().await;
                return Err(StartError::Services { failed: Vec::new(), code });
            };
            match self.outlook(&status) {
                Outlook::Up => return Ok(()),
                Outlook::Pending => drop(events.next().await),
                Outlook::Failed(failed) => {
                    let _ = self.handle.shutdown(ShutdownMode::OrderlyOnce).await;
                    let code = self.stopped().await;
                    return Err(StartError::Services { failed, code });
                }
            }
        }
    }

    fn outlook(&self, status: &Status) -> Outlook {
        if status.services.is_empty() && self.configured > 0 {
            return Outlook::Pending;
        }
        let wanted = || status.services.iter().filter(|service| service.wanted == Wanted::Up);
        let failed: Vec<Outcome> =
            wanted().filter(|service| has_failed(service)).map(told).collect();
        if !failed.is_empty() || status.supervisor.stopping {
            return Outlook::Failed(failed);
        }
        let is_there = |service: &ServiceStatus| matches!(service.state, State::Up | State::Done);
        if wanted().all(is_there) { Outlook::Up } else { Outlook::Pending }
    }
}

/// How a start goes.
enum Outlook {
    Up,
    Pending,
    Failed(Vec<Outcome>),
}

fn has_failed(service: &ServiceStatus) -> bool {
    match service.state {
        State::Backoff | State::Failed => true,
        State::Down
        | State::Waiting
        | State::Starting
        | State::Up
        | State::Stopping
        | State::Done => false,
    }
}

fn told(service: &ServiceStatus) -> Outcome {
    Outcome {
        name: service.name.clone(),
        success: false,
        state: service.state,
        pid: service.pid,
        message: service.reason.clone(),
    }
}

fn prepare(
    check: impl FnOnce() -> Result<Builder, ConfigErrors>,
    extras: Extras,
    tasks: Option<tokio::runtime::Handle>,
) -> Result<(Prepared, Runtime), StartError> {
    let builder = check()?;
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_all().thread_name("kennel-work").build();
    let runtime = runtime.map_err(StartError::Thread)?;
    let inside = runtime.enter();
    let Extras { hooks, clock } = extras;
    let prepared = builder.prepare()?.within_program(tasks).hooks(hooks).clock(clock);
    drop(inside);
    Ok((prepared, runtime))
}

type Told = oneshot::Sender<Result<Supervisor, StartError>>;

fn supervise(prepared: Prepared, runtime: Runtime, on_drop: OnDrop, told: Told) {
    let handle = prepared.handle().clone();
    let (owner, owned) = oneshot::channel();
    let (is_over, over) = mpsc::channel();
    let supervisor = Supervisor {
        handle: handle.clone(),
        configured: prepared.services(),
        on_drop,
        owner: Some(owner),
        over: Mutex::new(over),
    };
    if let Err(unwanted) = told.send(Ok(supervisor)) {
        // Nobody waits any more, so nothing begins; what is to be dropped waits for this.
        drop((is_over, prepared));
        return drop(unwanted);
    }
    runtime.block_on(async {
        if on_drop == OnDrop::Stop {
            tokio::spawn(async move {
                let _: Result<(), _> = owned.await;
                let _ = handle.shutdown(ShutdownMode::Now).await;
            });
        }
        prepared.run().await;
    });
    drop(is_over);
    // What hangs in the file system must not keep the thread.
    runtime.shutdown_timeout(LAST_WORK);
}

impl Drop for Supervisor {
    fn drop(&mut self) {
        drop(self.owner.take());
        // A supervisor that goes on is not waited for.
        if self.on_drop == OnDrop::Detach {
            return;
        }
        let over = self.over.get_mut().unwrap_or_else(PoisonError::into_inner);
        let _: Result<(), _> = over.recv_timeout(DROP_PATIENCE);
    }
}
