//! A task to be supervised, described by a program.

use std::sync::Arc;
use std::time::Duration;

use super::keys::{common_keys, written};
use super::service::stop_steps;
use super::{Check, Keys, Restart, sealed};
use crate::config::{Definition, Own};
use crate::task::{TaskBody, TaskContext, TaskError, TaskOutput};

/// A task of the program itself, supervised as processes are: it becomes ready, is checked,
/// restarted and given up like them, and is told of in the same events.
#[derive(Clone, PartialEq, Debug)]
pub struct Task {
    name: String,
    keys: Keys,
    own: Own,
    body: TaskBody,
}

impl Task {
    /// A future, made anew for each run, on the tokio runtime on which the supervisor was
    /// started. When it is to end it is told through its [`TaskContext`]; a future that has
    /// not ended [in time](Task::stop_within) is aborted.
    ///
    /// A future that works for long without an `.await` holds up others on its runtime. It is
    /// told of after a second, and cannot hold up supervision, which has a thread of its own;
    /// nor can it be aborted. Use [`Task::blocking`] for such work.
    pub fn new<F, Fut>(name: impl Into<String>, body: F) -> Task
    where
        F: Fn(TaskContext) -> Fut + Send + Sync + 'static,
        Fut: Future + Send + 'static,
        Fut::Output: TaskOutput,
    {
        let body = TaskBody::Async(Arc::new(move |context| {
            let future = body(context);
            Box::pin(async move { future.await.into_result() })
        }));
        Task { name: name.into(), keys: Keys::default(), own: Own::default(), body }
    }

    /// A function on a thread of its own for each run, which may block. It looks at
    /// [`TaskContext::is_cancelled`] or waits in [`TaskContext::cancelled_within`]: nothing can
    /// end a thread from outside, so one that does not end is reported as stuck, and no other
    /// run begins.
    pub fn blocking<F, T>(name: impl Into<String>, body: F) -> Task
    where
        F: Fn(TaskContext) -> T + Send + Sync + 'static,
        T: TaskOutput,
    {
        let run = move |context| -> Result<(), TaskError> { body(context).into_result() };
        let body = TaskBody::Blocking(Arc::new(run));
        Task { name: name.into(), keys: Keys::default(), own: Own::default(), body }
    }

    common_keys!();

    /// Is ready when it says so by [`TaskContext::ready`], within `timeout`.
    #[must_use]
    pub fn ready_when_told(self, timeout: Duration) -> Task {
        self.set("ready.notify", "systemd").set("ready.timeout", written(timeout))
    }

    /// Gives a sign of life by [`TaskContext::heartbeat`] at least that often once it is ready,
    /// or is restarted. Takes [`Task::ready_when_told`].
    #[must_use]
    pub fn heartbeat(self, every: Duration) -> Task {
        self.set("watchdog", written(every))
    }

    /// Has that much time to end when it is told to, then it is aborted. Unless said otherwise
    /// 10 seconds.
    #[must_use]
    pub fn stop_within(self, wait: Duration) -> Task {
        self.set("stop.steps", stop_steps(wait))
    }
}

impl sealed::Sealed for Task {
    fn define(self) -> Definition {
        Definition { name: self.name, keys: self.keys.0, task: Some(self.body), own: self.own }
    }
}
