//! Storm control: how many restarts the whole supervisor makes per second.
//!
//! When a shared dependency fails, hundreds of services crash at once. Each has its own
//! backoff, yet all of them would come back in the same instant. Spacing them evenly
//! needs one point in time and no timer, and keeps to the rate in every window.

use std::time::Duration;

use crate::Time;

/// Limits that span all services.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Runs that may be on their way to ready at the same time; at least 1.
    pub max_concurrent_starts: u32,
    /// Automatic restarts per second, all services together, evenly spaced; at least 1.
    pub max_restarts_per_second: u32,
    /// How long an orderly shutdown may take; past it everything left is killed.
    pub shutdown_timeout: Duration,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            max_concurrent_starts: 64,
            max_restarts_per_second: 100,
            shutdown_timeout: Duration::from_secs(60),
        }
    }
}

/// When the next restart fits the rate.
#[derive(Clone, Debug, Default)]
pub(crate) struct Storm {
    /// No restart before this.
    free_at: Time,
}

impl Storm {
    /// Takes a place for a restart, or tells when there will be one.
    pub(crate) fn admit(&mut self, now: Time, per_second: u32) -> Result<(), Time> {
        if now < self.free_at {
            return Err(self.free_at);
        }
        // Rounded up: a nanosecond less would let one more into some second.
        let spacing = 1_000_000_000_u64.div_ceil(u64::from(per_second.max(1)));
        self.free_at = now + Duration::from_nanos(spacing);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::Storm;
    use crate::Time;
    use std::time::Duration;

    #[test]
    fn restarts_are_spaced_evenly_and_the_first_after_a_quiet_time_is_not_delayed() {
        let mut storm = Storm::default();
        let start = Time::from_origin(Duration::from_secs(100));
        let mut now = start;
        let mut admitted = Vec::new();
        for _ in 0..4 {
            while let Err(at) = storm.admit(now, 10) {
                assert!(at > now, "a refusal must name a later time");
                now = at;
            }
            admitted.push(now.since(start).as_millis());
        }
        assert_eq!(admitted, [0, 100, 200, 300]);
    }
}
