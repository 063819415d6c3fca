//! Event sinks: the journal's events, given to plugins, each event at least once.
//!
//! # Theory of operation
//!
//! ```text
//!            ┌──────────── one task a sink ─────────────┐
//!  journal ──┼─► read at the cursor ─► batch ─► deliver ┼──► plugin
//!            │        ▲                            │    │
//!            │        └── cursor on disk ◄── taken ┘    │
//!            └──────────────────────────────────────────┘
//! ```
//!
//! A sink owns nothing but its cursor, the number of the next event it is to be given.
//! The cursor is written after an event was taken, never before: whoever is killed in
//! between gives the event once more. A sink that does not take events leaves them in
//! the journal, and is tried again after a while that grows; so a broken one costs a
//! timer. An event waits for others up to 200 ms, then for nobody.
//!
//! A sink that is new begins with the events from now on, at the start of the supervisor
//! with that start. One that is taken out of the configuration is forgotten.
//!
//! # What can go wrong
//!
//! - *The journal gave up events that a sink was not given yet*: the next batch says how
//!   many, of all kinds, for nobody knows their kinds any more.
//! - *The sink rejects a batch*: it is passed over, counted, and told in `sink.rejected`.
//! - *Nothing gets through for half a minute*: `sink.stalled`, and `sink.resumed` when
//!   something does.
//! - *A kill loses events that the journal had not written yet*, and their numbers are
//!   given to others: the cursor is taken back before the first new event has a number.
//! - *The cursor cannot be read*: the sink is given everything that is kept, once more.
//!
//! No event about a sink goes to that sink, and what a sink has to say for itself comes
//! at most once a minute: what it cannot take cannot make it busy for ever.
//!
//! Deliberately absent: a queue. The journal is one, on disk, and bounded.

mod cursor;
mod event;
mod feed;
mod pace;
mod report;
mod severity;

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use kennel_wasm::model::sink::{Batch, Delivery};
use kennel_wasm::probe::BoxFuture;
use tokio::runtime::Handle;
use tokio::sync::oneshot::{self, error::TryRecvError};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::config::SinkConfig;
use crate::journal::Journal;
use crate::plugins::Plugins;

pub(crate) use cursor::try_cursor;
use cursor::{Cursor, CursorFile};
use feed::{Feed, Order, Parts, Wants};
use report::Report;
pub(crate) use report::{SinkStates, SinkStatus};

/// Where batches go.
pub(crate) trait Deliver: Send + Sync + 'static {
    /// Gives a batch to the sink of that name.
    ///
    /// # Errors
    /// It was not taken, for this reason, and is to come again.
    fn deliver(&self, sink: Arc<str>, batch: Batch) -> BoxFuture<Result<Delivery, String>>;
}

impl Deliver for Plugins {
    fn deliver(&self, sink: Arc<str>, batch: Batch) -> BoxFuture<Result<Delivery, String>> {
        Box::pin(Plugins::deliver(self, sink, batch))
    }
}

/// The sinks of a supervisor.
pub(crate) struct Sinks {
    dir: PathBuf,
    journal: Journal,
    states: SinkStates,
    /// What there is to begin with, until it has begun.
    waiting: Vec<Feed>,
    sinks: HashMap<Arc<str>, Sink>,
    /// Those that were taken out and have not ended yet.
    ending: HashMap<Arc<str>, oneshot::Receiver<()>>,
    deliver: Option<Arc<dyn Deliver>>,
    /// The runtime of the program.
    program: Option<Handle>,
    tasks: JoinSet<()>,
}

struct Sink {
    orders: watch::Sender<Order>,
    report: Arc<Report>,
    ended: oneshot::Receiver<()>,
}

impl Sinks {
    /// Finds out where each sink goes on. Comes before the first event of this supervisor
    /// gets its number. Blocks as long as a disk does.
    pub(crate) fn open(dir: PathBuf, journal: Journal, configs: &[SinkConfig]) -> Sinks {
        let mut sinks = Sinks {
            dir,
            states: SinkStates::new(journal.clone()),
            journal,
            waiting: Vec::new(),
            sinks: HashMap::new(),
            ending: HashMap::new(),
            deliver: None,
            program: None,
            tasks: JoinSet::new(),
        };
        cursor::forget_others(&sinks.dir, |name| configs.iter().any(|of| &*of.name == name));
        for config in configs {
            let file = CursorFile::new(&sinks.dir, &config.name);
            let (cursor, lost) = file.resume(&sinks.journal);
            if let Some(reason) = lost {
                report::cursor_lost(&sinks.journal, config, &reason);
            }
            sinks.add(config, file, cursor);
        }
        sinks
    }

    /// Begins to deliver, on the present runtime; code of the program runs on `program`.
    pub(crate) fn start(&mut self, deliver: Arc<dyn Deliver>, program: Option<Handle>) {
        self.program = program;
        self.deliver = Some(deliver);
        self.start_waiting();
    }

    fn start_waiting(&mut self) {
        let Some(deliver) = &self.deliver else { return };
        for feed in self.waiting.drain(..) {
            self.tasks.spawn(feed.run(Arc::clone(deliver), self.program.clone()));
        }
    }

    /// Changes to another configuration: a sink of the same name goes on where it is.
    pub(crate) fn configure(&mut self, configs: &[SinkConfig]) {
        // What has ended is of no more use.
        while self.tasks.try_join_next().is_some() {}
        let gone = |name: &Arc<str>| !configs.iter().any(|config| config.name == *name);
        self.ending.retain(|_, ended| ended.try_recv() == Err(TryRecvError::Empty));
        for (name, Sink { orders, report: _, ended }) in self.sinks.extract_if(|name, _| gone(name))
        {
            orders.send_replace(Order::Forget);
            self.states.remove(&name);
            self.ending.insert(name, ended);
        }
        for config in configs {
            match self.sinks.get(&config.name) {
                // Also when nothing changed: the plugin may have, and waits for a try.
                Some(sink) => {
                    sink.report.plugin(&config.plugin.plugin);
                    sink.orders.send_replace(Order::Deliver(Wants::of(config)));
                }
                None => {
                    let cursor = Cursor::from(self.journal.last_seq() + 1);
                    let file = CursorFile::new(&self.dir, &config.name);
                    self.add(config, file, cursor);
                }
            }
        }
        self.start_waiting();
    }

    fn add(&mut self, config: &SinkConfig, file: CursorFile, cursor: Cursor) {
        let report = Arc::new(Report::new(config, &self.journal));
        let wants = Wants::of(config);
        let (orders, taken) = watch::channel(Order::Deliver(wants.clone()));
        let (ends, ended) = oneshot::channel();
        self.states.add(config.name.clone(), Arc::clone(&report));
        self.waiting.push(Feed::new(Parts {
            name: config.name.clone(),
            journal: self.journal.clone(),
            cursor,
            file,
            orders: taken,
            wants,
            report: Arc::clone(&report),
            before: self.ending.remove(&config.name),
            ended: ends,
        }));
        self.sinks.insert(config.name.clone(), Sink { orders, report, ended });
    }

    /// A look at how the sinks are, that outlives this.
    pub(crate) fn states(&self) -> SinkStates {
        self.states.clone()
    }

    /// Gives the sinks what is in the journal by now, and ends them; what they did not take
    /// within `patience` comes at the next start.
    pub(crate) async fn finish(mut self, patience: Duration) {
        let (until, deadline) = (self.journal.last_seq(), Instant::now() + patience);
        for sink in self.sinks.values() {
            sink.orders.send_replace(Order::Finish { until, deadline });
        }
        // A task ends by itself at the deadline; the rest is for its last write.
        let end = async { while self.tasks.join_next().await.is_some() {} };
        if tokio::time::timeout_at(deadline + LAST_WRITE, end).await.is_err() {
            tracing::warn!("a disk holds up what event sinks were given last");
        }
    }
}

/// How long the cursors may take to reach the disk at the end.
const LAST_WRITE: Duration = Duration::from_secs(1);

/// Where cursors are, in a state directory.
pub(crate) fn dir_in(state_dir: &Path) -> PathBuf {
    state_dir.join("sinks")
}
