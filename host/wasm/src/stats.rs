//! What plugins did, in numbers.

use std::time::Duration;

/// Upper bounds of the buckets of [`Histogram`].
pub const LATENCY_BOUNDS: [Duration; 12] = [
    Duration::from_micros(50),
    Duration::from_micros(100),
    Duration::from_micros(250),
    Duration::from_micros(500),
    Duration::from_millis(1),
    Duration::from_millis(5),
    Duration::from_millis(10),
    Duration::from_millis(50),
    Duration::from_millis(100),
    Duration::from_millis(500),
    Duration::from_secs(1),
    Duration::from_secs(5),
];

/// How long calls took, from the question to the answer.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Histogram {
    /// How many took at most the bound of the same place in [`LATENCY_BOUNDS`] and more
    /// than the one before; the last place counts what took longer than all.
    pub counts: [u64; LATENCY_BOUNDS.len() + 1],
    /// The sum of all.
    pub total: Duration,
}

/// Whether a binding is asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BreakerState {
    /// It is.
    #[default]
    Closed,
    /// It failed too often and rests.
    Open {
        /// For how much longer.
        for_: Duration,
    },
    /// One call is let through to see whether it works again.
    HalfOpen,
}

/// What one binding did.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct BindingStats {
    /// Calls that were answered or failed; not those that were skipped.
    pub calls: u64,
    /// Calls that failed.
    pub faults: u64,
    /// Calls that the plugin was not asked: queue full, or resting.
    pub skipped: u64,
    /// Whether it is asked.
    pub breaker: BreakerState,
    /// How long calls took.
    pub latency: Histogram,
    /// Instances that wait for the next call.
    pub warm_instances: u64,
}

/// What one plugin did, over all its bindings.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PluginStats {
    /// Calls that were answered or failed; not those that were skipped.
    pub calls: u64,
    /// Calls that failed.
    pub faults: u64,
    /// Calls that the plugin was not asked: queue full, or resting.
    pub skipped: u64,
    /// Calls that wait or run now.
    pub pending: u64,
    /// Instances made so far.
    pub instances: u64,
    /// Memory of all its instances now.
    pub memory_bytes: u64,
    /// Messages that were too many.
    pub log_dropped: u64,
}

/// What a runtime does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RuntimeStats {
    /// Instances that wait for their next call, over all plugins.
    pub warm_instances: u64,
    /// How often the thread that interrupts plugins woke up so far.
    pub ticker_wake_ups: u64,
}
