//! What people are told of a sink: its state, and events, which are few.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use kennel_core::Human;
use serde_json::{Map, Value, json};
use tokio::time::Instant;

use super::cursor::Cursor;
use super::pace::News;
use crate::config::SinkConfig;
use crate::journal::{Journal, NewRecord};

/// Rejected batches are told at most that often; those in between are counted.
const REJECTED_EVERY: Duration = Duration::from_secs(60);

/// How a sink is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct SinkStatus {
    /// Its name.
    pub(crate) name: Arc<str>,
    /// The plugin behind it.
    pub(crate) plugin: Arc<str>,
    /// The number of the next event that it is to be given.
    pub(crate) next: u64,
    /// How many events of all kinds the journal has from there on.
    pub(crate) behind: u64,
    /// Events that it took since the supervisor started.
    pub(crate) taken: u64,
    /// Events that it rejected since then.
    pub(crate) rejected: u64,
    /// Events of all kinds that the journal gave up before it was given them.
    pub(crate) dropped: u64,
    /// Tries since then that brought nothing.
    pub(crate) failures: u64,
    /// Why the last try brought nothing; none after one that did.
    pub(crate) error: Option<String>,
}

/// A look at how sinks are. Clones see the same.
#[derive(Clone)]
pub(crate) struct SinkStates {
    journal: Journal,
    reports: Arc<Mutex<BTreeMap<Arc<str>, Arc<Report>>>>,
}

impl SinkStates {
    pub(crate) fn new(journal: Journal) -> SinkStates {
        SinkStates { journal, reports: Arc::default() }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Arc<str>, Arc<Report>>> {
        self.reports.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn add(&self, name: Arc<str>, report: Arc<Report>) {
        self.lock().insert(name, report);
    }

    pub(super) fn remove(&self, name: &str) {
        self.lock().remove(name);
    }

    /// How the sinks are, by name.
    pub(crate) fn all(&self) -> Vec<SinkStatus> {
        let last = self.journal.last_seq();
        self.lock().values().map(|report| report.status(last)).collect()
    }
}

/// What is known of a sink, and the way to tell.
pub(super) struct Report {
    name: Arc<str>,
    journal: Journal,
    state: Mutex<State>,
}

struct State {
    status: SinkStatus,
    /// When rejected batches were told last.
    told: Option<Instant>,
    untold: Rejected,
}

#[derive(Default)]
struct Rejected {
    batches: u64,
    events: u64,
    reason: String,
}

impl Report {
    pub(super) fn new(config: &SinkConfig, journal: &Journal) -> Report {
        let status = SinkStatus {
            name: config.name.clone(),
            plugin: config.plugin.plugin.clone(),
            next: 0,
            behind: 0,
            taken: 0,
            rejected: 0,
            dropped: 0,
            failures: 0,
            error: None,
        };
        let state = State { status, told: None, untold: Rejected::default() };
        let name = config.name.clone();
        Report { name, journal: journal.clone(), state: Mutex::new(state) }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How the sink is, in a journal whose last number is `last`.
    pub(super) fn status(&self, last: u64) -> SinkStatus {
        let mut status = self.lock().status.clone();
        status.behind = (last + 1).saturating_sub(status.next);
        status
    }

    /// It has another plugin.
    pub(super) fn plugin(&self, plugin: &Arc<str>) {
        self.lock().status.plugin = plugin.clone();
    }

    pub(super) fn at(&self, cursor: &Cursor) {
        self.lock().status.next = cursor.next;
    }

    pub(super) fn dropped(&self, events: u64) {
        self.lock().status.dropped += events;
    }

    pub(super) fn taken(&self, events: u64) {
        let mut state = self.lock();
        state.status.taken += events;
        state.status.error = None;
    }

    pub(super) fn failed(&self, error: &str) {
        let mut state = self.lock();
        state.status.failures += 1;
        state.status.error = Some(error.to_owned());
    }

    /// A batch was rejected; tells it, or counts it for later.
    pub(super) fn rejected(&self, events: u64, reason: &str, now: Instant) {
        let mut state = self.lock();
        state.status.rejected += events;
        state.status.error = Some(format!("rejected: {reason}"));
        state.untold.batches += 1;
        state.untold.events += events;
        reason.clone_into(&mut state.untold.reason);
        drop(state);
        self.tell_rejected(now);
    }

    /// When there are rejected batches to tell, if so.
    pub(super) fn due(&self) -> Option<Instant> {
        let state = self.lock();
        let told = state.told.filter(|_| state.untold.batches > 0)?;
        Some(told + REJECTED_EVERY)
    }

    /// Tells the rejected batches that are due.
    pub(super) fn tell_rejected(&self, now: Instant) {
        let mut state = self.lock();
        let is_early = state.told.is_some_and(|told| now.duration_since(told) < REJECTED_EVERY);
        if state.untold.batches == 0 || is_early {
            return;
        }
        state.told = Some(now);
        let Rejected { batches, events, reason } = std::mem::take(&mut state.untold);
        drop(state);
        let what = if events == 1 { "1 event".to_owned() } else { format!("{events} events") };
        let message = format!("sink {} rejected {what}: {reason}", self.name);
        tracing::warn!("{message}");
        let attributes = json!({"batches": batches, "events": events, "reason": reason});
        tell(&self.journal, "sink.rejected", &self.name, message, attributes);
    }

    /// Tells that it takes nothing, or something again.
    pub(super) fn tell(&self, news: News) {
        let name = &self.name;
        let (kind, message, attributes) = match news {
            News::Stalled => {
                let error = self.lock().status.error.clone().unwrap_or_default();
                let message = format!("sink {name} takes no events, they are kept: {error}");
                tracing::warn!("{message}");
                ("sink.stalled", message, json!({"error": error}))
            }
            News::Resumed(after) => {
                let message = format!("sink {name} takes events again after {}", Human(after));
                tracing::info!("{message}");
                let ms = u64::try_from(after.as_millis()).unwrap_or(u64::MAX);
                ("sink.resumed", message, json!({"after_ms": ms}))
            }
        };
        tell(&self.journal, kind, name, message, attributes);
    }
}

/// Tells that a sink cannot go on where it was.
pub(super) fn cursor_lost(journal: &Journal, config: &SinkConfig, reason: &str) {
    let SinkConfig { name, plugin: _, own: _, events: _ } = config;
    let message = format!(
        "how far sink {name} had come is not known ({reason}); it is given all that is kept"
    );
    tracing::error!("{message}");
    tell(journal, "sink.cursor_lost", name, message, json!({"reason": reason}));
}

fn tell(journal: &Journal, kind: &str, sink: &str, message: String, attributes: Value) {
    let mut all = Map::from_iter([("sink".to_owned(), Value::from(sink))]);
    if let Value::Object(attributes) = attributes {
        all.extend(attributes);
    }
    journal.append(NewRecord { kind: kind.to_owned(), service: None, message, attributes: all });
}
