//! What a program wants done before anything is stopped.

use std::fmt;
use std::pin::Pin;
use std::time::{Duration, Instant};

use tokio::runtime::Handle;
use tokio::task::JoinSet;

use crate::task::{TaskEnd, TaskError, panic_message};

/// What a hook does.
pub(crate) type Work = Pin<Box<dyn Future<Output = Result<(), TaskError>> + Send>>;

/// Something to be done once, with a time for it.
pub(crate) struct Hook {
    pub(crate) name: String,
    pub(crate) timeout: Duration,
    pub(crate) work: Box<dyn FnOnce() -> Work + Send>,
}

/// How a hook went.
pub(crate) struct HookEnd {
    pub(crate) name: String,
    pub(crate) took: Duration,
    pub(crate) outcome: HookOutcome,
}

/// What became of a hook.
#[derive(PartialEq, Eq, Debug)]
pub(crate) enum HookOutcome {
    /// It has ended.
    Done,
    /// It has failed, for this reason, or panicked.
    Failed(String),
    /// It had not ended in time, and was aborted.
    Late,
}

impl HookOutcome {
    /// The one word for it in events.
    pub(crate) fn word(&self) -> &'static str {
        match self {
            HookOutcome::Done => "done",
            HookOutcome::Failed(_) => "failed",
            HookOutcome::Late => "late",
        }
    }
}

impl fmt::Display for HookEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let HookEnd { name, took, outcome } = self;
        let took = kennel_core::Human(*took);
        match outcome {
            HookOutcome::Done => write!(f, "the shutdown hook {name} was done after {took}"),
            HookOutcome::Failed(why) => write!(f, "the shutdown hook {name} failed: {why}"),
            HookOutcome::Late => {
                write!(f, "the shutdown hook {name} was not done in {took}, and was aborted")
            }
        }
    }
}

/// Runs all, the last first, one after the other; dropping this aborts the one that runs.
pub(crate) async fn run(hooks: Vec<Hook>, program: Option<Handle>, tell: impl Fn(HookEnd)) {
    for Hook { name, timeout, work } in hooks.into_iter().rev() {
        let began = Instant::now();
        let outcome = match &program {
            Some(program) => run_one(work, timeout, program).await,
            None => {
                HookOutcome::Failed("the supervisor was not started on a tokio runtime".to_owned())
            }
        };
        tell(HookEnd { name, took: began.elapsed(), outcome });
    }
}

async fn run_one(
    work: Box<dyn FnOnce() -> Work + Send>,
    timeout: Duration,
    program: &Handle,
) -> HookOutcome {
    let mut tasks = JoinSet::new();
    // What makes the future is the program's too, and may panic.
    tasks.spawn_on(async move { work().await }, program);
    match tokio::time::timeout(timeout, tasks.join_next()).await {
        Ok(Some(Ok(Ok(())))) | Ok(None) => HookOutcome::Done,
        Ok(Some(Ok(Err(error)))) => HookOutcome::Failed(error.to_string()),
        Ok(Some(Err(error))) => HookOutcome::Failed(match error.try_into_panic() {
            Ok(payload) => format!("it panicked: {}", panic_message(&*payload)),
            Err(_) => TaskEnd::RuntimeGone.to_string(),
        }),
        Err(_) => HookOutcome::Late,
    }
}
