//! Tasks: services that run inside the program, as futures or as threads.
//!
//! ```text
//!   TaskBody ──(a run begins)──► TaskContext ──► the program's code
//!                                  │   ▲
//!                    words to say ─┘   └─ cancellation
//! ```
//!
//! A context and the supervisor share one [`Talk`]: what the task says is kept there, the
//! latest of each kind, until it is fetched, so a task that talks all the time fills
//! nothing. The supervisor waits for none of its locks: who talks all the time may hold one
//! whenever it looks. What the task is to hear is one word: that it shall end.
//!
//! Deliberately absent: running them, which is the driver's, and any decision.

use std::any::Any;
use std::error::Error;
use std::fmt;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, TryLockError};
use std::task::{Context, Poll, Wake};
use std::thread::Thread;
use std::time::{Duration, Instant};

use tokio::sync::{Notify, watch};

/// An error of a task.
pub type TaskError = Box<dyn Error + Send + Sync>;

/// What a task can end with: nothing, or a [`Result`] whose error is a failure.
pub trait TaskOutput {
    /// The same as a result.
    fn into_result(self) -> Result<(), TaskError>;
}

impl TaskOutput for () {
    fn into_result(self) -> Result<(), TaskError> {
        Ok(())
    }
}

/// A task that never ends by itself.
impl TaskOutput for std::convert::Infallible {
    fn into_result(self) -> Result<(), TaskError> {
        match self {}
    }
}

impl<E: Into<TaskError>> TaskOutput for Result<(), E> {
    fn into_result(self) -> Result<(), TaskError> {
        self.map_err(Into::into)
    }
}

/// How a run of a task ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum TaskEnd {
    /// It returned. To restart policies this is exit code 0.
    Finished,
    /// It returned an error, whose text this is. To restart policies this is exit code 1.
    Failed(String),
    /// It panicked, with this message. To restart policies this is exit code 101, as of a
    /// program in Rust that panics.
    Panicked(String),
    /// It did not end when it was to, and was aborted. To restart policies it was killed by
    /// SIGKILL.
    Aborted,
    /// The runtime it ran on has been shut down. To restart policies it was killed by SIGKILL.
    RuntimeGone,
}

impl TaskEnd {
    /// The one word for it in events: `finished`, `failed`, `panicked`, `aborted`,
    /// `runtime-gone`.
    pub fn word(&self) -> &'static str {
        match self {
            TaskEnd::Finished => "finished",
            TaskEnd::Failed(_) => "failed",
            TaskEnd::Panicked(_) => "panicked",
            TaskEnd::Aborted => "aborted",
            TaskEnd::RuntimeGone => "runtime-gone",
        }
    }

    /// The end by a panic.
    pub(crate) fn of_panic(payload: &(dyn Any + Send)) -> TaskEnd {
        TaskEnd::Panicked(panic_message(payload))
    }
}

/// What a panic was given as its message.
pub(crate) fn panic_message(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().map(|text| (*text).to_owned());
    let text = text.or_else(|| payload.downcast_ref::<String>().cloned());
    text.unwrap_or_else(|| "without a message".to_owned())
}

impl fmt::Display for TaskEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TaskEnd::Finished => f.write_str("the task has finished"),
            TaskEnd::Failed(error) => write!(f, "the task failed: {error}"),
            TaskEnd::Panicked(message) => write!(f, "the task panicked: {message}"),
            TaskEnd::Aborted => f.write_str("the task was aborted"),
            TaskEnd::RuntimeGone => f.write_str("the runtime of the task was shut down"),
        }
    }
}

/// The future of a run.
pub(crate) type TaskFuture = Pin<Box<dyn Future<Output = Result<(), TaskError>> + Send>>;

/// What runs as a task, made anew for each run. Clones are the same.
#[derive(Clone)]
pub enum TaskBody {
    /// A future on the runtime of the program.
    Async(Arc<dyn Fn(TaskContext) -> TaskFuture + Send + Sync>),
    /// A function on a thread of its own.
    Blocking(Arc<dyn Fn(TaskContext) -> Result<(), TaskError> + Send + Sync>),
}

impl PartialEq for TaskBody {
    fn eq(&self, other: &TaskBody) -> bool {
        match (self, other) {
            (TaskBody::Async(one), TaskBody::Async(other)) => Arc::ptr_eq(one, other),
            (TaskBody::Blocking(one), TaskBody::Blocking(other)) => Arc::ptr_eq(one, other),
            (TaskBody::Async(_), TaskBody::Blocking(_))
            | (TaskBody::Blocking(_), TaskBody::Async(_)) => false,
        }
    }
}

impl Eq for TaskBody {}

impl fmt::Debug for TaskBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            TaskBody::Async(_) => "Async",
            TaskBody::Blocking(_) => "Blocking",
        })
    }
}

/// What a run of a task knows of itself, and how it talks to its supervisor. Clones are the
/// same.
#[derive(Clone, Debug)]
pub struct TaskContext {
    pub(crate) name: Arc<str>,
    pub(crate) talk: Arc<Talk>,
}

impl TaskContext {
    /// The name of the instance: `indexer`, or `indexer/0` where there are several.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Says that it is ready. Counts for a task that says so itself, see
    /// [`Task::ready_when_told`](crate::Task::ready_when_told).
    pub fn ready(&self) {
        self.talk.ready.store(true, Ordering::Release);
        self.talk.said.notify_one();
    }

    /// A sign of life, see [`Task::heartbeat`](crate::Task::heartbeat).
    pub fn heartbeat(&self) {
        self.talk.alive.store(true, Ordering::Release);
        self.talk.said.notify_one();
    }

    /// One line on what it is doing, which is shown in its status. Empty: none.
    pub fn status(&self, text: impl Into<String>) {
        let text = text.into();
        *self.talk.status.lock().unwrap_or_else(PoisonError::into_inner) = Some(text);
        self.talk.said.notify_one();
    }

    /// Whether it is to end.
    pub fn is_cancelled(&self) -> bool {
        self.talk.is_cancelled.load(Ordering::Acquire)
    }

    /// Returns when it is to end. What has not ended by itself when the time for that is over
    /// is aborted.
    pub async fn cancelled(&self) {
        let mut cancelled = self.talk.cancelled.subscribe();
        // Its sender is in `self`.
        let _ = cancelled.wait_for(|is_cancelled| *is_cancelled).await;
    }

    /// Blocks until it is to end, for `timeout` at most; whether it is to. For tasks that are
    /// functions.
    pub fn cancelled_within(&self, timeout: Duration) -> bool {
        let begun = Instant::now();
        let waker = Arc::new(Unpark(std::thread::current())).into();
        let mut context = Context::from_waker(&waker);
        let mut cancelled = std::pin::pin!(self.cancelled());
        loop {
            if cancelled.as_mut().poll(&mut context).is_ready() {
                return true;
            }
            match timeout.checked_sub(begun.elapsed()) {
                None | Some(Duration::ZERO) => return false,
                Some(left) => std::thread::park_timeout(left),
            }
        }
    }
}

/// Wakes a thread that waits for its cancellation.
struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Unpark>) {
        self.0.unpark();
    }
}

/// What a task and its supervisor tell each other.
#[derive(Debug)]
pub(crate) struct Talk {
    ready: AtomicBool,
    alive: AtomicBool,
    status: Mutex<Option<String>>,
    /// For the supervisor: there are words.
    pub(crate) said: Notify,
    is_cancelled: AtomicBool,
    cancelled: watch::Sender<bool>,
    origin: Instant,
    /// When the future began to work without a break, in ms from `origin` and one more; 0
    /// while it waits.
    working_since: AtomicU64,
}

/// The latest of each kind that a task has said.
#[derive(Debug)]
pub(crate) struct Words {
    pub(crate) ready: bool,
    pub(crate) alive: bool,
    pub(crate) status: Option<String>,
}

impl Talk {
    pub(crate) fn new() -> Talk {
        Talk {
            ready: AtomicBool::new(false),
            alive: AtomicBool::new(false),
            status: Mutex::default(),
            said: Notify::new(),
            is_cancelled: AtomicBool::new(false),
            cancelled: watch::Sender::new(false),
            origin: Instant::now(),
            working_since: AtomicU64::new(0),
        }
    }

    /// What was said since this was asked last. A status that is being said comes with the
    /// next ones.
    pub(crate) fn fetch(&self) -> Words {
        let status = match self.status.try_lock() {
            Ok(mut status) => status.take(),
            Err(TryLockError::Poisoned(status)) => status.into_inner().take(),
            Err(TryLockError::WouldBlock) => {
                self.said.notify_one();
                None
            }
        };
        let ready = self.ready.swap(false, Ordering::AcqRel);
        let alive = self.alive.swap(false, Ordering::AcqRel);
        Words { ready, alive, status }
    }

    /// Tells the task to end.
    pub(crate) fn cancel(&self) {
        self.is_cancelled.store(true, Ordering::Release);
        self.cancelled.send_replace(true);
    }

    /// How long the future has worked without a break.
    pub(crate) fn has_worked_for(&self) -> Option<Duration> {
        let since = self.working_since.load(Ordering::Relaxed).checked_sub(1)?;
        Some(self.origin.elapsed().saturating_sub(Duration::from_millis(since)))
    }

    fn note_work(&self) {
        let now = u64::try_from(self.origin.elapsed().as_millis()).unwrap_or(u64::MAX - 1);
        self.working_since.store(now + 1, Ordering::Relaxed);
    }
}

/// A task's future that notes when it works.
pub(crate) struct Noted {
    pub(crate) future: TaskFuture,
    pub(crate) talk: Arc<Talk>,
}

impl Future for Noted {
    type Output = Result<(), TaskError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        self.talk.note_work();
        let polled = self.future.as_mut().poll(context);
        self.talk.working_since.store(0, Ordering::Relaxed);
        polled
    }
}
