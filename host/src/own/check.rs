//! Health checks of the program's own.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::runtime::Handle;

use super::asked::{self, Later, Turn};

/// A check that is code of the program, see [`Check::own`](crate::Check::own).
///
/// Closures are checks too: `async |target| Verdict::Healthy`.
///
/// ```
/// use kennel::{CheckTarget, HealthCheck, Verdict};
///
/// /// Is well as long as the directory has less than so many files.
/// struct Backlog {
///     directory: std::path::PathBuf,
///     max: usize,
/// }
///
/// impl HealthCheck for Backlog {
///     async fn check(&self, _: CheckTarget) -> Verdict {
///         match std::fs::read_dir(&self.directory) {
///             Ok(files) => match files.count() {
///                 count if count <= self.max => Verdict::Healthy,
///                 count => Verdict::Unhealthy(format!("{count} files wait")),
///             },
///             Err(error) => Verdict::Unknown(format!("cannot count: {error}")),
///         }
///     }
/// }
/// ```
pub trait HealthCheck: Send + Sync + 'static {
    /// Looks once. Runs on the tokio runtime on which the supervisor was started; when the
    /// timeout of the check has passed its future is dropped, and the answer is late. A panic
    /// is a check that could not be made.
    fn check(&self, target: CheckTarget) -> impl Future<Output = Verdict> + Send;
}

impl<F, Fut> HealthCheck for F
where
    F: Fn(CheckTarget) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Verdict> + Send,
{
    async fn check(&self, target: CheckTarget) -> Verdict {
        self(target).await
    }
}

/// Who is checked.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct CheckTarget {
    /// The service.
    pub service: String,
    /// The instance: `web`, or `web/0` where there are several.
    pub instance: String,
    /// Which of the replicas, from 0.
    pub index: u32,
    /// The main process; none of a task.
    pub pid: Option<i32>,
    /// How long the run has lasted; of a policy: how long the run was that has ended.
    pub uptime: Duration,
    /// Automatic restarts.
    pub restarts: u32,
    /// The labels of the service.
    pub labels: BTreeMap<String, String>,
}

/// What a check says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// All is well.
    Healthy,
    /// It works, but not well, for this reason: shown, and restarts nothing.
    Degraded(String),
    /// It does not work, for this reason: a definite failure, which counts.
    Unhealthy(String),
    /// Nobody knows, for this reason: proves nothing, and restarts nothing.
    Unknown(String),
}

/// What stands behind [`HealthCheck`], without its type.
trait AnyCheck: Send + Sync {
    fn ask(self: Arc<Self>, target: CheckTarget) -> Later<Verdict>;
}

impl<C: HealthCheck> AnyCheck for C {
    fn ask(self: Arc<C>, target: CheckTarget) -> Later<Verdict> {
        Box::pin(async move { self.check(target).await })
    }
}

/// A check of the program under its name. Clones are the same.
#[derive(Clone)]
pub struct OwnCheck {
    name: Arc<str>,
    check: Arc<dyn AnyCheck>,
    /// By instance, over its runs: one question at a time. Who blocks a thread has not come back
    /// because there is another run.
    turns: Arc<Mutex<HashMap<String, Turn>>>,
}

impl OwnCheck {
    pub(crate) fn new(name: &str, check: impl HealthCheck) -> OwnCheck {
        OwnCheck { name: Arc::from(name), check: Arc::new(check), turns: Arc::default() }
    }

    /// The same code under another name.
    pub(crate) fn named(&self, name: &str) -> OwnCheck {
        OwnCheck { name: Arc::from(name), ..self.clone() }
    }

    pub(crate) fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// Looks once. `Err` says why it could not.
    pub(crate) async fn look(
        &self,
        runtime: Option<&Handle>,
        target: CheckTarget,
    ) -> Result<Verdict, String> {
        let check = Arc::clone(&self.check);
        let turn = self.turn(&target.instance);
        let answer = asked::ask(runtime, &turn, move || check.ask(target)).await;
        answer.map_err(|why| format!("the check {why}"))
    }

    fn turn(&self, instance: &str) -> Turn {
        let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
        turns.entry(instance.to_owned()).or_default().clone()
    }
}

/// The same code, not code that does the same.
impl PartialEq for OwnCheck {
    fn eq(&self, other: &OwnCheck) -> bool {
        self.name == other.name && Arc::ptr_eq(&self.check, &other.check)
    }
}

impl Eq for OwnCheck {}

impl fmt::Debug for OwnCheck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("OwnCheck").field(&self.name).finish()
    }
}
