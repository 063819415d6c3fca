//! How plugins are, for people.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use kennel_wasm::model::Kind;
use kennel_wasm::stats::{BreakerState, Histogram, LATENCY_BOUNDS};

/// One plugin at one moment.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct PluginStatus {
    /// The name it is configured under.
    pub(crate) name: Arc<str>,
    /// Where it comes from: `stock:redis`, or a path.
    pub(crate) source: String,
    /// The SHA-256 of the component; none while there is none.
    pub(crate) sha256: Option<String>,
    /// What it is for.
    pub(crate) kinds: Vec<Kind>,
    /// Where it is.
    pub(crate) state: PluginState,
    /// Why it is so; empty when there is nothing to say.
    pub(crate) reason: String,
    /// Who asks it.
    pub(crate) uses: Vec<UseStatus>,
    /// Calls that were answered or failed.
    pub(crate) calls: u64,
    /// Calls that failed.
    pub(crate) faults: u64,
    /// Calls that were not made: too many waited, or it was disabled.
    pub(crate) skipped: u64,
    /// Messages that were too many.
    pub(crate) log_dropped: u64,
    /// How long calls took, with the wait for their turn.
    pub(crate) latency: Histogram,
    /// Memory of all its instances.
    pub(crate) memory_bytes: u64,
    /// Its last fault.
    pub(crate) last_fault: Option<LastFault>,
}

/// Where a plugin is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum PluginState {
    /// It is being read and compiled.
    Loading,
    /// It is asked.
    Ready,
    /// It was refused.
    Failed,
    /// It failed too often, and rests.
    Disabled,
}

/// One who asks a plugin.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct UseStatus {
    /// Who: `web health redis`, `sink webhook`.
    pub(crate) by: String,
    /// As what.
    pub(crate) kind: Kind,
    /// Why it cannot be asked; none when it can.
    pub(crate) error: Option<String>,
}

/// A fault of a plugin.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct LastFault {
    /// When.
    pub(crate) at: SystemTime,
    /// The fault in one word.
    pub(crate) word: &'static str,
    /// The fault in a sentence.
    pub(crate) reason: String,
}

/// Whether the breaker of some of them is open.
pub(super) fn is_resting(breakers: impl IntoIterator<Item = BreakerState>) -> bool {
    breakers.into_iter().any(|breaker| match breaker {
        BreakerState::Open { .. } => true,
        BreakerState::Closed | BreakerState::HalfOpen => false,
    })
}

/// Adds what another one counted.
pub(super) fn add(to: &mut Histogram, from: &Histogram) {
    let Histogram { counts, total } = from;
    for (sum, count) in to.counts.iter_mut().zip(counts) {
        *sum += count;
    }
    to.total += *total;
}

/// The time within which `share` of the calls were answered, as near as the buckets tell;
/// none without calls. What is over the last bound counts as that bound.
pub(crate) fn quantile(histogram: &Histogram, share: f64) -> Option<Duration> {
    let Histogram { counts, total: _ } = histogram;
    let all: u64 = counts.iter().sum();
    if all == 0 {
        return None;
    }
    let wanted = share * all as f64;
    let (mut below, mut lower) = (0.0, Duration::ZERO);
    for (count, upper) in counts.iter().zip(LATENCY_BOUNDS) {
        let within = *count as f64;
        if within > 0.0 && below + within >= wanted {
            let part = ((wanted - below) / within).clamp(0.0, 1.0);
            return Some(lower + (upper - lower).mul_f64(part));
        }
        below += within;
        lower = upper;
    }
    Some(lower)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantile_lies_in_the_bucket_that_it_falls_into() {
        let mut histogram = Histogram::default();
        assert_eq!(quantile(&histogram, 0.5), None);
        histogram.counts[1] = 98;
        histogram.counts[5] = 2;
        let p50 = quantile(&histogram, 0.5).unwrap();
        assert!(p50 > LATENCY_BOUNDS[0] && p50 <= LATENCY_BOUNDS[1], "{p50:?}");
        let p99 = quantile(&histogram, 0.99).unwrap();
        assert!(p99 > LATENCY_BOUNDS[4] && p99 <= LATENCY_BOUNDS[5], "{p99:?}");
        let last = LATENCY_BOUNDS.len();
        histogram.counts = Default::default();
        histogram.counts[last] = 1;
        assert_eq!(quantile(&histogram, 0.5), Some(LATENCY_BOUNDS[last - 1]));
    }
}
