//! Counts what plugins do, from any thread.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use crate::stats::{Histogram, LATENCY_BOUNDS};

/// What a plugin or a binding did.
#[derive(Default)]
pub(crate) struct Counters {
    pub(crate) calls: AtomicU64,
    pub(crate) faults: AtomicU64,
    pub(crate) skipped: AtomicU64,
    pub(crate) instances: AtomicU64,
    pub(crate) log_dropped: AtomicU64,
}

impl Counters {
    pub(crate) fn called(&self) {
        self.calls.fetch_add(1, Relaxed);
    }

    pub(crate) fn failed(&self) {
        self.faults.fetch_add(1, Relaxed);
    }

    pub(crate) fn skipped(&self) {
        self.skipped.fetch_add(1, Relaxed);
    }

    pub(crate) fn instantiated(&self) {
        self.instances.fetch_add(1, Relaxed);
    }

    pub(crate) fn log_dropped(&self, messages: u64) {
        self.log_dropped.fetch_add(messages, Relaxed);
    }
}

/// How long calls took.
#[derive(Default)]
pub(crate) struct Latency {
    counts: [AtomicU64; LATENCY_BOUNDS.len() + 1],
    total_nanos: AtomicU64,
}

impl Latency {
    pub(crate) fn record(&self, took: Duration) {
        let place = LATENCY_BOUNDS.iter().position(|bound| took <= *bound);
        self.counts[place.unwrap_or(LATENCY_BOUNDS.len())].fetch_add(1, Relaxed);
        self.total_nanos.fetch_add(took.as_nanos() as u64, Relaxed);
    }

    pub(crate) fn snapshot(&self) -> Histogram {
        let mut counts = [0; LATENCY_BOUNDS.len() + 1];
        for (count, counted) in counts.iter_mut().zip(&self.counts) {
            *count = counted.load(Relaxed);
        }
        let total = Duration::from_nanos(self.total_nanos.load(Relaxed));
        Histogram { counts, total }
    }
}
