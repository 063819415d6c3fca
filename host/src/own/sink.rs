//! Event sinks of the program's own.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;

use super::asked::{self, Later, Turn};
use crate::journal::Record;
use crate::task::TaskError;

/// How long a sink may take for a batch. Then its future is dropped, and the batch comes again.
const PATIENCE: Duration = Duration::from_secs(30);

/// An event sink that is code of the program, see [`Sink::new`](crate::Sink::new).
///
/// Closures are sinks too: `async |batch| Ok(())`.
///
/// ```
/// use kennel::{EventBatch, EventSink, TaskError};
///
/// /// Sends each event on as a line of text.
/// struct Audit(tokio::sync::mpsc::Sender<String>);
///
/// impl EventSink for Audit {
///     async fn deliver(&self, batch: EventBatch) -> Result<(), TaskError> {
///         for event in &batch.events {
///             self.0.send(format!("{} {} {}", event.at, event.kind, event.message)).await?;
///         }
///         Ok(())
///     }
/// }
/// ```
pub trait EventSink: Send + Sync + 'static {
    /// Takes a batch of events. Runs on the tokio runtime on which the supervisor was started.
    /// The next batch comes when this one was taken; a batch that was not, for an error, a
    /// panic or for want of an answer within 30 seconds, comes again after a while that grows,
    /// and after a restart of the program.
    ///
    /// # Errors
    /// The batch was not taken, and is to come again.
    fn deliver(&self, batch: EventBatch) -> impl Future<Output = Result<(), TaskError>> + Send;
}

impl<F, Fut> EventSink for F
where
    F: Fn(EventBatch) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<(), TaskError>> + Send,
{
    async fn deliver(&self, batch: EventBatch) -> Result<(), TaskError> {
        self(batch).await
    }
}

/// Events in the order of their numbers.
#[derive(Clone, PartialEq, Debug)]
#[non_exhaustive]
pub struct EventBatch {
    /// The events, at least one.
    pub events: Vec<Arc<Record>>,
    /// How many were lost before these because the journal was full, of all kinds.
    pub missed: u64,
}

/// What stands behind [`EventSink`], without its type.
trait AnySink: Send + Sync {
    fn ask(self: Arc<Self>, batch: EventBatch) -> Later<Result<(), TaskError>>;
}

impl<S: EventSink> AnySink for S {
    fn ask(self: Arc<S>, batch: EventBatch) -> Later<Result<(), TaskError>> {
        Box::pin(async move { self.deliver(batch).await })
    }
}

/// A sink of the program. Clones are the same.
#[derive(Clone)]
pub struct OwnSink {
    sink: Arc<dyn AnySink>,
    turn: Turn,
}

impl OwnSink {
    pub(crate) fn new(sink: impl EventSink) -> OwnSink {
        OwnSink { sink: Arc::new(sink), turn: Turn::default() }
    }

    /// Hands a batch over. `Err` says why it was not taken.
    pub(crate) async fn deliver(
        &self,
        runtime: Option<&Handle>,
        batch: EventBatch,
    ) -> Result<(), String> {
        let sink = Arc::clone(&self.sink);
        let asking = asked::ask(runtime, &self.turn, move || sink.ask(batch));
        match tokio::time::timeout(PATIENCE, asking).await {
            Ok(Ok(Ok(()))) => Ok(()),
            Ok(Ok(Err(error))) => Err(error.to_string()),
            Ok(Err(why)) => Err(format!("the sink {why}")),
            Err(_) => Err(format!("the sink has not answered for {} s", PATIENCE.as_secs())),
        }
    }
}

/// The same code, not code that does the same.
impl PartialEq for OwnSink {
    fn eq(&self, other: &OwnSink) -> bool {
        Arc::ptr_eq(&self.sink, &other.sink)
    }
}

impl Eq for OwnSink {}

impl fmt::Debug for OwnSink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OwnSink")
    }
}
