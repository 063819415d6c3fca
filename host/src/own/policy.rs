//! Restart policies of the program's own.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use kennel_core::Cause;
use tokio::runtime::Handle;

use super::CheckTarget;
use super::asked::{self, Later, Turn};

/// How many ends of runs it may be asked of at a time.
const QUESTIONS: usize = 64;

/// How long an answer may take; after that the built-in wait holds in any case.
const PATIENCE: Duration = Duration::from_secs(1);

/// A restart policy that is code of the program, see
/// [`Restart::decided_by`](crate::Restart::decided_by).
///
/// Closures are policies too: `async |ended| Decision::Default`.
///
/// ```
/// use std::time::Duration;
/// use kennel::{Decision, EndedRun, RestartPolicy};
///
/// /// A run that was out for so long is worth a quick try.
/// struct QuickAfterLongRuns;
///
/// impl RestartPolicy for QuickAfterLongRuns {
///     async fn decide(&self, ended: EndedRun) -> Decision {
///         if ended.target.uptime > Duration::from_secs(3600) {
///             Decision::RestartAfter(Duration::from_millis(100))
///         } else {
///             Decision::Default
///         }
///     }
/// }
/// ```
pub trait RestartPolicy: Send + Sync + 'static {
    /// Says what shall follow the end of a run that is to be followed by another one. Runs on
    /// the tokio runtime on which the supervisor was started. The built-in wait already runs;
    /// without an answer within a second, and after a panic, it holds. The restart limit
    /// stands above any answer, and what the operator wants above all.
    fn decide(&self, ended: EndedRun) -> impl Future<Output = Decision> + Send;
}

impl<F, Fut> RestartPolicy for F
where
    F: Fn(EndedRun) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Decision> + Send,
{
    async fn decide(&self, ended: EndedRun) -> Decision {
        self(ended).await
    }
}

/// A run that has ended by itself.
#[derive(Clone, PartialEq, Debug)]
#[non_exhaustive]
pub struct EndedRun {
    /// Whose run it was.
    pub target: CheckTarget,
    /// Why it ended.
    pub cause: Cause,
    /// Earlier runs that ended by themselves, newest first, without this one; the latest few.
    pub history: Vec<EarlierRun>,
    /// Automatic restarts that the limit counts now.
    pub restarts_in_window: u32,
    /// The built-in wait.
    pub default_delay: Duration,
}

/// A run that ended by itself before.
#[derive(Clone, PartialEq, Debug)]
#[non_exhaustive]
pub struct EarlierRun {
    /// When it ended.
    pub ended_at: SystemTime,
    /// How long it lasted.
    pub uptime: Duration,
    /// Why it ended.
    pub cause: Cause,
}

/// What shall follow.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Decision {
    /// What the configuration says.
    Default,
    /// Another run after this time, instead of the built-in wait.
    RestartAfter(Duration),
    /// No other run, for this reason; `on_give_up` says what follows.
    GiveUp(String),
}

/// What stands behind [`RestartPolicy`], without its type.
trait AnyPolicy: Send + Sync {
    fn ask(self: Arc<Self>, ended: EndedRun) -> Later<Decision>;
}

impl<P: RestartPolicy> AnyPolicy for P {
    fn ask(self: Arc<P>, ended: EndedRun) -> Later<Decision> {
        Box::pin(async move { self.decide(ended).await })
    }
}

/// A policy of the program. Clones are the same.
#[derive(Clone)]
pub struct OwnPolicy {
    policy: Arc<dyn AnyPolicy>,
    turn: Turn,
}

impl OwnPolicy {
    pub(crate) fn new(policy: impl RestartPolicy) -> OwnPolicy {
        OwnPolicy { policy: Arc::new(policy), turn: Turn::of(QUESTIONS) }
    }

    /// Asks what shall follow. `Err` says why nobody said.
    pub(crate) async fn decide(
        &self,
        runtime: Option<&Handle>,
        ended: EndedRun,
    ) -> Result<Decision, String> {
        let policy = Arc::clone(&self.policy);
        let asking = asked::ask(runtime, &self.turn, move || policy.ask(ended));
        match tokio::time::timeout(PATIENCE, asking).await {
            Ok(answer) => answer.map_err(|why| format!("the policy {why}")),
            Err(_) => Err(format!("the policy has not answered for {} s", PATIENCE.as_secs())),
        }
    }
}

/// The same code, not code that does the same.
impl PartialEq for OwnPolicy {
    fn eq(&self, other: &OwnPolicy) -> bool {
        Arc::ptr_eq(&self.policy, &other.policy)
    }
}

impl Eq for OwnPolicy {}

impl fmt::Debug for OwnPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OwnPolicy")
    }
}
