//! Where events go besides the journal, described by a program.

use crate::config::WrittenSink;
use crate::own::{EventSink, OwnSink};

/// Where events go besides the journal: code of the program that is given each event at least
/// once, in order, also those of the time when it was not there. How far it has come is kept
/// in the state directory under its name.
#[derive(Clone, PartialEq, Debug)]
pub struct Sink {
    name: String,
    events: Option<Vec<String>>,
    sink: OwnSink,
}

impl Sink {
    /// Gives all events to this sink, which is given the name for its cursor and its status. A
    /// new one begins with the start of the supervisor.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let state = tempfile::tempdir()?;
    /// use kennel::{EventBatch, Sink, Supervisor};
    ///
    /// let supervisor = Supervisor::builder()
    /// #   .state_dir(state.path())
    ///     .sink(Sink::new("alerts", async |batch: EventBatch| {
    ///         for event in &batch.events {
    ///             eprintln!("{}: {}", event.kind, event.message);
    ///         }
    ///         Ok(())
    ///     }).events(["service.failed", "health.*"]))
    ///     .start()
    ///     .await?;
    /// # supervisor.shutdown().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn new(name: impl Into<String>, sink: impl EventSink) -> Sink {
        Sink { name: name.into(), events: None, sink: OwnSink::new(sink) }
    }

    /// Gives it events of these kinds only; `*` stands for any text.
    #[must_use]
    pub fn events<K: Into<String>>(mut self, kinds: impl IntoIterator<Item = K>) -> Sink {
        self.events = Some(kinds.into_iter().map(Into::into).collect());
        self
    }

    pub(super) fn define(self) -> WrittenSink {
        let Sink { name, events, sink } = self;
        WrittenSink { name, events, sink }
    }
}
