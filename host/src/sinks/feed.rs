//! The task that gives one sink its events.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use kennel_wasm::model::sink::{Batch, Delivery};
use tokio::runtime::Handle;
use tokio::sync::{oneshot, watch};
use tokio::time::Instant;

use super::Deliver;
use super::cursor::{Cursor, CursorFile};
use super::event::{self, BATCH_EVENTS_MAX};
use super::pace::Pace;
use super::report::Report;
use crate::config::SinkConfig;
use crate::journal::{self, Filter, Journal, Record};
use crate::own::{EventBatch, OwnSink};

/// How long an event waits for others.
const LINGER: Duration = Duration::from_millis(200);
/// How long a sink that fails is left alone while the supervisor ends.
const LAST_TRIES: Duration = Duration::from_millis(250);
/// A cursor that has passed that many events nobody wanted is written too: the journal
/// may give those up, and they are none that the sink missed.
const PASSED_MAX: u64 = 1000;

/// What a sink is to do.
#[derive(Clone, PartialEq, Debug)]
pub(super) enum Order {
    /// Take what comes.
    Deliver(Wants),
    /// Take what there is up to this number, and end by then.
    Finish {
        /// The last number.
        until: u64,
        /// No later.
        deadline: Instant,
    },
    /// End, and leave nothing behind.
    Forget,
}

/// Which events a sink wants.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Wants {
    plugin: Arc<str>,
    /// Code of the program that takes the events instead.
    own: Option<OwnSink>,
    filter: Filter,
}

impl Wants {
    pub(super) fn of(config: &SinkConfig) -> Wants {
        let SinkConfig { name: _, plugin, own, events } = config;
        let filter = Filter { kinds: events.clone(), ..Filter::default() };
        Wants { plugin: plugin.plugin.clone(), own: own.clone(), filter }
    }
}

/// One sink and what is on its way to it.
pub(super) struct Feed {
    name: Arc<str>,
    journal: Journal,
    changes: watch::Receiver<u64>,
    orders: watch::Receiver<Order>,
    wants: Wants,
    cursor: Cursor,
    /// What is on disk.
    saved: Cursor,
    file: CursorFile,
    pace: Pace,
    report: Arc<Report>,
    /// The runtime of the program, for its code.
    runtime: Option<Handle>,
    /// A sink of the same name that is about to end.
    before: Option<oneshot::Receiver<()>>,
    /// For one that comes after: tells by being dropped.
    _ended: oneshot::Sender<()>,
}

/// What a sink and its task begin with.
pub(super) struct Parts {
    pub(super) name: Arc<str>,
    pub(super) journal: Journal,
    pub(super) cursor: Cursor,
    pub(super) file: CursorFile,
    pub(super) orders: watch::Receiver<Order>,
    pub(super) wants: Wants,
    pub(super) report: Arc<Report>,
    pub(super) before: Option<oneshot::Receiver<()>>,
    pub(super) ended: oneshot::Sender<()>,
}

/// Events for the sink, and where they end.
struct Window {
    records: Vec<Arc<Record>>,
    /// Behind the last that was looked at.
    next: u64,
    missed: u64,
}

/// Whether to go on.
enum Then {
    GoOn,
    End,
}

impl Feed {
    pub(super) fn new(parts: Parts) -> Feed {
        let Parts { name, journal, cursor, file, orders, wants, report, before, ended } = parts;
        report.at(&cursor);
        Feed {
            changes: journal.subscribe(),
            // Of a sink that comes with a reload nothing is on disk yet.
            saved: Cursor::from(0),
            pace: Pace::default(),
            _ended: ended,
            name,
            journal,
            orders,
            wants,
            cursor,
            file,
            report,
            runtime: None,
            before,
        }
    }

    /// Delivers until it is told to end. Code of the program runs on `runtime`.
    pub(super) async fn run(mut self, deliver: Arc<dyn Deliver>, runtime: Option<Handle>) {
        self.runtime = runtime;
        if let Some(before) = self.before.take() {
            let _ = before.await;
        }
        self.save().await;
        while let Then::GoOn = self.step(&*deliver).await {}
        let forget = *self.orders.borrow() == Order::Forget;
        if forget {
            let file = self.file.clone();
            let _ = tokio::task::spawn_blocking(move || file.remove()).await;
        } else {
            self.save().await;
        }
    }

    async fn step(&mut self, deliver: &dyn Deliver) -> Then {
        let order = self.orders.borrow_and_update().clone();
        match order {
            Order::Deliver(wants) => self.wants = wants,
            Order::Finish { until, deadline } => {
                if self.cursor.next > until || Instant::now() >= deadline {
                    return Then::End;
                }
            }
            Order::Forget => return Then::End,
        }
        self.changes.borrow_and_update();
        let window = match self.read().await {
            Ok(window) => window,
            Err(error) => return self.failed(&error.to_string(), None).await,
        };
        if window.records.is_empty() {
            let is_end = window.next == self.cursor.next;
            self.pass(&window).await;
            if is_end {
                self.wait_for_events().await;
            }
            return Then::GoOn;
        }
        self.give(window, deliver).await
    }

    /// The next events for the sink.
    async fn read(&self) -> Result<Window, journal::JournalReadError> {
        let (journal, from, filter) =
            (self.journal.clone(), self.cursor.next, self.wants.filter.clone());
        let read = move || journal.read_filtered(from, BATCH_EVENTS_MAX, &filter);
        let journal::Batch { mut records, missed, next } =
            match tokio::task::spawn_blocking(read).await {
                Ok(batch) => batch?,
                // The runtime ends.
                Err(_) => return std::future::pending().await,
            };
        // What follows the cut is read again.
        let all = records.len();
        event::cut(&mut records);
        let next = match records.last() {
            Some(last) if records.len() < all => last.seq + 1,
            Some(_) | None => next,
        };
        records.retain(|record| !event::is_about(record, &self.name, &self.wants.plugin));
        Ok(Window { records, next, missed })
    }

    async fn give(&mut self, window: Window, deliver: &dyn Deliver) -> Then {
        let Window { records, next, missed } = window;
        let dropped = self.cursor.dropped + missed;
        let count = records.len();
        let delivery = tokio::select! {
            delivery = self.deliver(&records, dropped, deliver) => delivery,
            () = cut(self.orders.clone()) => return Then::End,
        };
        match delivery {
            Ok(Delivery::Taken(0)) => self.failed("it took no event", None).await,
            Ok(Delivery::Taken(taken)) => {
                let taken = usize::try_from(taken).unwrap_or(count).min(count);
                let last = &records[taken - 1];
                let next = if taken == count { next } else { last.seq + 1 };
                self.cursor = Cursor::after(last, next);
                self.report.taken(taken as u64);
                self.progressed(missed).await;
                Then::GoOn
            }
            Ok(Delivery::RetryAfter(wait)) => {
                self.failed("it asked to be given them later", Some(wait)).await
            }
            Ok(Delivery::Rejected(reason)) => {
                // What was dropped before them is still to be told.
                self.cursor = Cursor { next, dropped, ..self.cursor };
                self.report.rejected(count as u64, &reason, Instant::now());
                self.progressed(missed).await;
                Then::GoOn
            }
            Err(error) => self.failed(&error, None).await,
        }
    }

    async fn deliver(
        &self,
        records: &[Arc<Record>],
        dropped: u64,
        deliver: &dyn Deliver,
    ) -> Result<Delivery, String> {
        if let Some(own) = &self.wants.own {
            let batch = EventBatch { events: records.to_vec(), missed: dropped };
            own.deliver(self.runtime.as_ref(), batch).await?;
            return Ok(Delivery::Taken(u32::try_from(records.len()).unwrap_or(u32::MAX)));
        }
        let batch = Batch {
            events: records.iter().map(|record| event::event(record)).collect(),
            dropped,
            now_unix_ms: u64::try_from(Timestamp::now().as_millisecond()).unwrap_or(0),
        };
        deliver.deliver(self.name.clone(), batch).await
    }

    async fn progressed(&mut self, missed: u64) {
        self.report.dropped(missed);
        if let Some(news) = self.pace.progressed(Instant::now()) {
            self.report.tell(news);
        }
        self.report.at(&self.cursor);
        self.save().await;
    }

    /// Nothing was taken: waits, until another order comes at the latest.
    async fn failed(&mut self, error: &str, asked: Option<Duration>) -> Then {
        self.report.failed(error);
        let (wait, news) = self.pace.failed(Instant::now(), asked);
        if let Some(news) = news {
            self.report.tell(news);
        }
        let deadline = match *self.orders.borrow() {
            Order::Finish { until: _, deadline } => Some(deadline),
            Order::Deliver(_) | Order::Forget => None,
        };
        if let Some(deadline) = deadline {
            // There is no later, so what is left of the time is used.
            let again = Instant::now() + asked.unwrap_or_default().max(LAST_TRIES);
            if again >= deadline {
                return Then::End;
            }
            tokio::time::sleep_until(again).await;
            return Then::GoOn;
        }
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            _ = self.orders.changed() => {}
        }
        Then::GoOn
    }

    /// Goes past events that the sink does not want.
    async fn pass(&mut self, window: &Window) {
        let Window { records: _, next, missed } = window;
        self.cursor.next = *next;
        self.cursor.dropped += missed;
        self.report.dropped(*missed);
        self.report.at(&self.cursor);
        if next.saturating_sub(self.saved.next) >= PASSED_MAX {
            self.save().await;
        }
    }

    /// Returns when there may be enough for a batch, or another order.
    async fn wait_for_events(&mut self) {
        let due = self.report.due();
        tokio::select! {
            _ = self.changes.changed() => {}
            _ = self.orders.changed() => return,
            () = until(due) => return self.report.tell_rejected(Instant::now()),
        }
        let deadline = Instant::now() + LINGER;
        let enough = self.cursor.next + BATCH_EVENTS_MAX as u64;
        while *self.changes.borrow_and_update() < enough {
            tokio::select! {
                _ = self.changes.changed() => {}
                _ = self.orders.changed() => return,
                () = tokio::time::sleep_until(deadline) => return,
            }
        }
    }

    /// Puts the cursor on disk, where it says something new. A disk that refuses costs
    /// events that come twice, and none that are lost.
    async fn save(&mut self) {
        if self.saved == self.cursor {
            return;
        }
        let (file, cursor) = (self.file.clone(), self.cursor);
        match tokio::task::spawn_blocking(move || file.write(&cursor)).await {
            Ok(Ok(())) => self.saved = cursor,
            Ok(Err(error)) => self.not_saved(&error),
            Err(_) => {}
        }
    }

    fn not_saved(&self, error: &io::Error) {
        tracing::warn!("cannot keep how far sink {} has come: {error}", self.name);
    }
}

/// Returns when what is under way is to be given up.
async fn cut(mut orders: watch::Receiver<Order>) {
    loop {
        let order = orders.borrow_and_update().clone();
        match order {
            Order::Deliver(_) => {}
            Order::Finish { until: _, deadline } => {
                tokio::time::sleep_until(deadline).await;
                return;
            }
            Order::Forget => return,
        }
        if orders.changed().await.is_err() {
            return std::future::pending().await;
        }
    }
}

async fn until(due: Option<Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due).await,
        None => std::future::pending().await,
    }
}
