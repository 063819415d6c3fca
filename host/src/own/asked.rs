//! Asking code of the program: on its runtime, so many questions at a time, panics caught.

use std::pin::Pin;
use std::sync::Arc;

use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::task::panic_message;

/// An answer that comes later.
pub(super) type Later<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// How many questions there are at a time: who does not yield cannot be aborted, and questions
/// must not pile up behind it. Clones are the same.
#[derive(Clone, Debug)]
pub(super) struct Turn(Arc<Semaphore>);

/// One at a time.
impl Default for Turn {
    fn default() -> Turn {
        Turn::of(1)
    }
}

impl Turn {
    pub(super) fn of(questions: usize) -> Turn {
        Turn(Arc::new(Semaphore::new(questions)))
    }
}

/// Asks on `runtime`; dropping this takes the question back, at the next `.await` of who is
/// asked.
///
/// # Errors
/// Why there is no answer, as what follows a name: `panicked: …`.
pub(super) async fn ask<T: Send + 'static>(
    runtime: Option<&Handle>,
    turn: &Turn,
    question: impl FnOnce() -> Later<T> + Send + 'static,
) -> Result<T, String> {
    let runtime = runtime.ok_or("cannot run: the supervisor was not started on a tokio runtime")?;
    // Who asks has a bound for this too: what has not come back before is late again.
    let Ok(mine) = turn.0.clone().acquire_owned().await else {
        return Err("is asked no more".to_owned());
    };
    let mut tasks = JoinSet::new();
    // What makes the future is the program's too, and may panic.
    let answer = async move {
        let _mine = mine;
        question().await
    };
    tasks.spawn_on(answer, runtime);
    match tasks.join_next().await {
        Some(Ok(answer)) => Ok(answer),
        Some(Err(error)) => Err(match error.try_into_panic() {
            Ok(payload) => format!("panicked: {}", panic_message(&*payload)),
            Err(_) => "cannot run: the runtime of the program was shut down".to_owned(),
        }),
        None => Err("was not asked".to_owned()),
    }
}
