//! What others may know of the log threads without asking them: counters, and a number
//! per service that changes when there is more to read.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

/// What was captured of one service since its first output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LogCounters {
    /// Lines kept.
    pub lines: u64,
    /// Bytes of them, newlines included, without time stamps.
    pub bytes: u64,
    /// Lines dropped by the rate limit.
    pub dropped: u64,
    /// How often the file was rotated.
    pub rotations: u64,
}

/// The shared side of one service.
#[derive(Debug)]
pub(crate) struct Entry {
    lines: AtomicU64,
    bytes: AtomicU64,
    dropped: AtomicU64,
    rotations: AtomicU64,
    changed: watch::Sender<u64>,
}

impl Entry {
    pub(crate) fn new() -> Self {
        Entry {
            lines: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
            rotations: AtomicU64::new(0),
            changed: watch::Sender::new(0),
        }
    }

    pub(crate) fn add(&self, more: LogCounters) {
        let LogCounters { lines, bytes, dropped, rotations } = more;
        self.lines.fetch_add(lines, Relaxed);
        self.bytes.fetch_add(bytes, Relaxed);
        self.dropped.fetch_add(dropped, Relaxed);
        self.rotations.fetch_add(rotations, Relaxed);
    }

    /// Wakes up who follows this service.
    pub(crate) fn tell(&self) {
        self.changed.send_modify(|generation| *generation += 1);
    }

    fn counters(&self) -> LogCounters {
        LogCounters {
            lines: self.lines.load(Relaxed),
            bytes: self.bytes.load(Relaxed),
            dropped: self.dropped.load(Relaxed),
            rotations: self.rotations.load(Relaxed),
        }
    }
}

/// All services with output.
#[derive(Debug, Default)]
pub(crate) struct Registry {
    entries: Mutex<BTreeMap<Arc<str>, Arc<Entry>>>,
}

impl Registry {
    pub(crate) fn entry(&self, service: &Arc<str>) -> Arc<Entry> {
        let mut entries = self.lock();
        Arc::clone(entries.entry(Arc::clone(service)).or_insert_with(|| Arc::new(Entry::new())))
    }

    pub(crate) fn remove(&self, service: &str) {
        self.lock().remove(service);
    }

    pub(crate) fn counters_of(&self, service: &str) -> LogCounters {
        self.lock().get(service).map(|entry| entry.counters()).unwrap_or_default()
    }

    pub(crate) fn counters(&self) -> Vec<(Arc<str>, LogCounters)> {
        self.lock().iter().map(|(name, entry)| (Arc::clone(name), entry.counters())).collect()
    }

    pub(crate) fn subscribe(&self, service: &Arc<str>) -> watch::Receiver<u64> {
        self.entry(service).changed.subscribe()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Arc<str>, Arc<Entry>>> {
        // A map of counters is whole after any panic.
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
