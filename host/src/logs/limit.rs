//! The rate limit of one service: a token bucket of bytes.
//!
//! The bucket holds one second's worth and lets a line through while anything is left in
//! it, so that a line longer than the bucket still passes and is paid for afterwards. Once
//! empty it lets go only when half full again: a flood then gives a few notes per second
//! about what was dropped, not one for each line.

use std::time::{Duration, Instant};

#[derive(Debug)]
pub(crate) struct Limiter {
    rate: f64,
    tokens: f64,
    filled_at: Instant,
    /// Lines dropped since the limit took hold; `None` while it does not.
    dropped: Option<u64>,
}

impl Limiter {
    /// `rate` in bytes per second.
    pub(crate) fn new(rate: u64, now: Instant) -> Self {
        let rate = (rate.max(1)) as f64;
        Limiter { rate, tokens: rate, filled_at: now, dropped: None }
    }

    /// Lets time pass; the number of lines dropped if the limit lets go now.
    pub(crate) fn refill(&mut self, now: Instant) -> Option<u64> {
        let passed = now.saturating_duration_since(self.filled_at);
        self.filled_at = now;
        self.tokens = (self.tokens + passed.as_secs_f64() * self.rate).min(self.rate);
        if self.tokens * 2.0 >= self.rate { self.dropped.take() } else { None }
    }

    /// Whether a record of `len` bytes passes; one that does is paid for.
    pub(crate) fn admit(&mut self, len: usize) -> bool {
        if self.dropped.is_some() {
            return false;
        }
        if self.tokens <= 0.0 {
            self.dropped = Some(0);
            return false;
        }
        self.tokens -= len as f64;
        true
    }

    /// Counts a dropped line.
    pub(crate) fn count(&mut self) {
        self.dropped = Some(self.dropped.unwrap_or(0) + 1);
    }

    /// Takes the count while the limit still holds.
    pub(crate) fn take_count(&mut self) -> u64 {
        self.dropped.as_mut().map_or(0, std::mem::take)
    }

    /// When the limit lets go, if it holds.
    pub(crate) fn lets_go_at(&self) -> Option<Instant> {
        self.dropped?;
        let missing = (self.rate / 2.0 - self.tokens).max(0.0) / self.rate;
        // A millisecond more: rounding must not bring us back a moment too early.
        Some(self.filled_at + Duration::from_secs_f64(missing) + Duration::from_millis(1))
    }
}

/// `10MiB/s`, as it stands in the configuration.
pub(crate) fn rate_text(rate: u64) -> String {
    for (shift, unit) in [(30, "GiB"), (20, "MiB"), (10, "KiB")] {
        if rate > 0 && rate.trailing_zeros() >= shift {
            return format!("{}{unit}/s", rate >> shift);
        }
    }
    format!("{rate}B/s")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_takes_hold_when_empty_and_lets_go_half_full() {
        let start = Instant::now();
        let mut limiter = Limiter::new(1000, start);
        assert!(limiter.admit(999));
        assert!(limiter.admit(500), "a line passes while anything is left");
        assert!(!limiter.admit(1));
        limiter.count();
        limiter.count();
        let free_at = limiter.lets_go_at().expect("it holds");
        assert!(free_at >= start + Duration::from_millis(999), "499 owed and 500 to refill");
        assert_eq!(limiter.refill(start + Duration::from_millis(900)), None);
        assert!(!limiter.admit(1));
        assert_eq!(limiter.refill(free_at), Some(2));
        assert!(limiter.admit(1));
        assert_eq!(limiter.lets_go_at(), None);
    }

    #[test]
    fn a_rate_reads_as_it_is_configured() {
        for (rate, text) in [
            (10 << 20, "10MiB/s"),
            (64 << 10, "64KiB/s"),
            (3 << 30, "3GiB/s"),
            (1500, "1500B/s"),
            (0, "0B/s"),
        ] {
            assert_eq!(rate_text(rate), text);
        }
    }
}
