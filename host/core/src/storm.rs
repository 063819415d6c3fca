//! Storm control: how many restarts the whole supervisor makes per second.
//!
//! When a shared dependency fails, hundreds of services crash at once. Each has its own
//! backoff, yet all of them would come back in the same instant. So restarts are spaced
//! evenly, in two lanes:
//!
//! ```text
//!   it was stable ── spaced for the whole rate ─────┐
//!                                                   ├─► no more than the rate in any second
//!   it was not ───── spaced for three quarters ─────┘
//! ```
//!
//! Those that crash for ever leave a quarter of the rate free, so one that was stable does
//! not even wait for a gap between two of theirs.

use std::collections::VecDeque;
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

/// What a service that is to be restarted has shown so far.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Lane {
    /// The run that ended was stable.
    Stable,
    /// It was not: it may well fail again.
    Unstable,
}

impl Lane {
    /// How many restarts a second there may be in it; what it leaves is for the other one.
    fn rate(self, per_second: u32) -> u32 {
        match self {
            Lane::Stable => per_second,
            Lane::Unstable => per_second - per_second / 4,
        }
    }
}

/// When the next restart fits the rate.
#[derive(Clone, Debug, Default)]
pub(crate) struct Storm {
    /// No restart before this, in either lane.
    stable_at: Time,
    unstable_at: Time,
    /// When the restarts of the last second were, oldest first.
    recent: VecDeque<Time>,
}

impl Storm {
    /// Takes a place for a restart, or tells when there may be one.
    pub(crate) fn admit(&mut self, now: Time, lane: Lane, per_second: u32) -> Result<(), Time> {
        let per_second = per_second.max(1);
        while self.recent.front().is_some_and(|at| now.since(*at) >= SECOND) {
            self.recent.pop_front();
        }
        // The rate may have been a higher one.
        let too_many = self.recent.len().checked_sub(per_second as usize);
        let fits_at = too_many.and_then(|index| self.recent.get(index)).map(|at| *at + SECOND);
        let free_at = match lane {
            Lane::Stable => &mut self.stable_at,
            Lane::Unstable => &mut self.unstable_at,
        };
        let opens_at = fits_at.map_or(*free_at, |at| at.max(*free_at));
        if now < opens_at {
            return Err(opens_at);
        }
        // Rounded up: a nanosecond less would let one more into some second.
        let spacing = 1_000_000_000_u64.div_ceil(u64::from(lane.rate(per_second)));
        *free_at = now + Duration::from_nanos(spacing);
        self.recent.push_back(now);
        Ok(())
    }
}

const SECOND: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::{Lane, SECOND, Storm};
    use crate::Time;
    use std::time::Duration;

    #[test]
    fn restarts_are_spaced_evenly_and_the_first_after_a_quiet_time_is_not_delayed() {
        let mut storm = Storm::default();
        let start = Time::from_origin(Duration::from_secs(100));
        let mut now = start;
        let mut admitted = Vec::new();
        for _ in 0..4 {
            while let Err(at) = storm.admit(now, Lane::Stable, 10) {
                assert!(at > now, "a refusal must name a later time");
                now = at;
            }
            admitted.push(now.since(start).as_millis());
        }
        assert_eq!(admitted, [0, 100, 200, 300]);
    }

    #[test]
    fn who_was_not_stable_leaves_room_for_the_rest_and_the_rate_holds_for_all_together() {
        let mut storm = Storm::default();
        let millis = |millis| Time::from_origin(Duration::from_millis(100_000 + millis));
        let mut admitted = Vec::new();
        for now in (0..5000).map(millis) {
            // A crowd that always waits, and in the third second another one.
            while storm.admit(now, Lane::Unstable, 100).is_ok() {
                admitted.push((now, Lane::Unstable));
            }
            while now >= millis(2000) && storm.admit(now, Lane::Stable, 100).is_ok() {
                admitted.push((now, Lane::Stable));
            }
        }
        let within = |from: u64, lane| {
            let is_meant = |(at, of): &&(Time, Lane)| {
                *of == lane && (millis(from)..millis(from + 1000)).contains(at)
            };
            admitted.iter().filter(is_meant).count()
        };
        assert!(
            (70..=75).contains(&within(1000, Lane::Unstable)),
            "{}",
            within(1000, Lane::Unstable)
        );
        assert!(within(3000, Lane::Stable) >= 20, "{}", within(3000, Lane::Stable));
        let at_once = admitted.iter().find(|(_, lane)| *lane == Lane::Stable);
        assert_eq!(at_once.map(|(at, _)| *at), Some(millis(2000)));
        for (at, _) in &admitted {
            let second = admitted.iter().filter(|(one, _)| (*at..*at + SECOND).contains(one));
            assert!(second.count() <= 100, "more than 100 in the second from {at:?}");
        }
    }
}
