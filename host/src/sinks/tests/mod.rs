//! Sinks over a real journal, with real cursors on a real disk.

mod ending;
mod kills;
mod pacing;
mod reloading;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use kennel_wasm::model::sink::{Batch, Delivery};
use kennel_wasm::probe::BoxFuture;
use serde_json::{Map, json};

use super::{Deliver, Sinks};
use crate::config::{PluginUse, SinkConfig};
use crate::journal::{Journal, JournalOptions, NewRecord};

/// Long enough for a slow machine under load.
const SOON: Duration = Duration::from_secs(60);

type Answer = dyn Fn(&str, &Batch) -> BoxFuture<Result<Delivery, String>> + Send + Sync;

/// A sink that remembers what it was given and answers as a test says.
struct Scripted {
    given: Mutex<Vec<Given>>,
    answer: Box<Answer>,
}

struct Given {
    sink: String,
    batch: Batch,
    taken: bool,
}

impl Scripted {
    fn new(
        answer: impl Fn(&str, &Batch) -> Result<Delivery, String> + Send + Sync + 'static,
    ) -> Arc<Scripted> {
        Scripted::slow(move |sink, batch| {
            let answer = answer(sink, batch);
            Box::pin(async move { answer })
        })
    }

    fn slow(
        answer: impl Fn(&str, &Batch) -> BoxFuture<Result<Delivery, String>> + Send + Sync + 'static,
    ) -> Arc<Scripted> {
        Arc::new(Scripted { given: Mutex::default(), answer: Box::new(answer) })
    }

    /// One that takes everything.
    fn willing() -> Arc<Scripted> {
        Scripted::new(|_, batch| Ok(all(batch)))
    }

    fn read<T>(&self, look: impl FnOnce(&[Given]) -> T) -> T {
        look(&self.given.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The numbers of the events that `sink` took, in the order it took them.
    fn taken(&self, sink: &str) -> Vec<u64> {
        self.read(|given| {
            let taken = given.iter().filter(|given| given.sink == sink && given.taken);
            taken.flat_map(|given| given.batch.events.iter().map(|e| e.sequence)).collect()
        })
    }

    /// How many batches `sink` was given, taken or not.
    fn batches(&self, sink: &str) -> usize {
        self.read(|given| given.iter().filter(|given| given.sink == sink).count())
    }
}

impl Deliver for Scripted {
    fn deliver(&self, sink: Arc<str>, batch: Batch) -> BoxFuture<Result<Delivery, String>> {
        let answer = (self.answer)(&sink, &batch);
        let mut given = self.given.lock().unwrap_or_else(PoisonError::into_inner);
        let place = given.len();
        given.push(Given { sink: sink.to_string(), batch, taken: false });
        drop(given);
        // What a test asks for is taken at once; only the answer may be late.
        let answer = match futures_now(answer) {
            Ok(answer) => answer,
            Err(answer) => return answer,
        };
        if let Ok(Delivery::Taken(count)) = &answer {
            let mut given = self.given.lock().unwrap_or_else(PoisonError::into_inner);
            given[place].taken = true;
            given[place].batch.events.truncate(*count as usize);
        }
        Box::pin(async move { answer })
    }
}

/// The answer, if it is there already.
fn futures_now<T>(mut future: BoxFuture<T>) -> Result<T, BoxFuture<T>> {
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    match future.as_mut().poll(&mut context) {
        std::task::Poll::Ready(value) => Ok(value),
        std::task::Poll::Pending => Err(future),
    }
}

fn all(batch: &Batch) -> Delivery {
    Delivery::Taken(u32::try_from(batch.events.len()).unwrap())
}

/// A state directory with a journal.
struct Rig {
    dir: tempfile::TempDir,
    journal: Journal,
}

impl Rig {
    fn new() -> Rig {
        Rig::with(JournalOptions::default())
    }

    fn with(options: JournalOptions) -> Rig {
        let dir = tempfile::tempdir().unwrap();
        let journal = Journal::open(&dir.path().join("journal"), options).unwrap();
        Rig { dir, journal }
    }

    fn cursors(&self) -> PathBuf {
        super::dir_in(self.dir.path())
    }

    fn open(&self, sinks: &[SinkConfig]) -> Sinks {
        Sinks::open(self.cursors(), self.journal.clone(), sinks)
    }

    fn start(&self, sinks: &[SinkConfig], deliver: &Arc<Scripted>) -> Sinks {
        let mut sinks = self.open(sinks);
        let deliver: Arc<Scripted> = Arc::clone(deliver);
        sinks.start(deliver, None);
        sinks
    }

    fn append(&self, kind: &str) -> u64 {
        append(&self.journal, kind)
    }
}

fn append(journal: &Journal, kind: &str) -> u64 {
    let attributes = Map::from_iter([("n".to_owned(), json!(1))]);
    journal.append(NewRecord {
        kind: kind.to_owned(),
        service: Some("web/1".to_owned()),
        message: format!("{kind} happened"),
        attributes,
    })
}

fn sink(name: &str, events: &[&str]) -> SinkConfig {
    let plugin =
        PluginUse { plugin: format!("{name}-plugin").into(), config: json!({}), required: false };
    let events = events.iter().map(|&event| event.to_owned()).collect();
    SinkConfig { name: name.into(), plugin, own: None, events }
}

/// Waits until `done` says so.
async fn until(what: &str, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + SOON;
    while !done() {
        assert!(Instant::now() < deadline, "not within {SOON:?}: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// The numbers from `first` to `last` that are not among `numbers`.
fn missing(numbers: &[u64], first: u64, last: u64) -> Vec<u64> {
    let there: BTreeSet<u64> = numbers.iter().copied().collect();
    (first..=last).filter(|number| !there.contains(number)).collect()
}

/// The kinds of the events in the journal, in order.
fn kinds(journal: &Journal) -> Vec<String> {
    let records = journal.read(1, usize::MAX).unwrap().records;
    records.iter().map(|record| record.kind.clone()).collect()
}

fn files(dir: &Path) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(dir) else { return Vec::new() };
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}
