//! When to stop asking a plugin that fails, and when to try again.
//!
//! ```text
//!            3 faults in a row             time is up
//! closed ────────────────────────► open ───────────────► half open ─ success ─► closed
//!                                    ▲                       │
//!                                    └── fault, twice as long┘
//! ```
//!
//! A pure state machine: time is an argument. What was asked before the breaker opened says
//! nothing after it, so each permission names the period it belongs to.

use std::time::{Duration, Instant};

use crate::stats::BreakerState;

/// When a breaker opens and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BreakerSettings {
    /// So many faults in a row open it.
    pub faults: u32,
    /// How long it stays open at first; each time that it opens again twice as long.
    pub rest: Duration,
    /// How long it stays open at most.
    pub rest_max: Duration,
}

impl Default for BreakerSettings {
    fn default() -> Self {
        Self { faults: 3, rest: Duration::from_secs(5), rest_max: Duration::from_secs(30 * 60) }
    }
}

/// Permission for one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Pass {
    period: u64,
}

enum State {
    Closed { faults: u32 },
    Open { until: Instant },
    HalfOpen,
}

/// The breaker of one binding.
pub(crate) struct Breaker {
    settings: BreakerSettings,
    state: State,
    /// How long it opens next time.
    rest: Duration,
    /// Grows with each change of state.
    period: u64,
}

impl Breaker {
    pub(crate) fn new(settings: BreakerSettings) -> Self {
        Self { settings, state: State::Closed { faults: 0 }, rest: settings.rest, period: 0 }
    }

    /// Whether a call may be made, or for how much longer not.
    pub(crate) fn admit(&mut self, now: Instant) -> Result<Pass, Duration> {
        match self.state {
            State::Closed { faults: _ } => {}
            State::Open { until } if now < until => return Err(until - now),
            State::Open { until: _ } => self.become_(State::HalfOpen),
            State::HalfOpen => return Err(Duration::ZERO),
        }
        Ok(Pass { period: self.period })
    }

    /// The call was answered. Says whether that closed the breaker.
    pub(crate) fn succeeded(&mut self, pass: Pass) -> bool {
        if pass.period != self.period {
            return false;
        }
        match &mut self.state {
            State::Closed { faults } => {
                *faults = 0;
                false
            }
            State::Open { until: _ } => false,
            State::HalfOpen => {
                self.rest = self.settings.rest;
                self.become_(State::Closed { faults: 0 });
                true
            }
        }
    }

    /// The call failed. Says for how long the breaker opened, if it did.
    pub(crate) fn failed(&mut self, pass: Pass, now: Instant) -> Option<Duration> {
        if pass.period != self.period {
            return None;
        }
        match &mut self.state {
            State::Closed { faults } => {
                *faults += 1;
                (*faults >= self.settings.faults).then(|| self.open(now))
            }
            State::Open { until: _ } => None,
            State::HalfOpen => Some(self.open(now)),
        }
    }

    /// The call was not made after all: who is next may try.
    pub(crate) fn abandoned(&mut self, pass: Pass, now: Instant) {
        if pass.period == self.period && matches!(self.state, State::HalfOpen) {
            self.become_(State::Open { until: now });
        }
    }

    /// What it is now.
    pub(crate) fn state(&self, now: Instant) -> BreakerState {
        match self.state {
            State::Closed { faults: _ } => BreakerState::Closed,
            State::Open { until } => {
                BreakerState::Open { for_: until.saturating_duration_since(now) }
            }
            State::HalfOpen => BreakerState::HalfOpen,
        }
    }

    fn open(&mut self, now: Instant) -> Duration {
        let rest = self.rest;
        self.rest = (rest * 2).min(self.settings.rest_max);
        self.become_(State::Open { until: now + rest });
        rest
    }

    fn become_(&mut self, state: State) {
        self.state = state;
        self.period += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn breaker() -> (Breaker, Instant) {
        (Breaker::new(BreakerSettings::default()), Instant::now())
    }

    fn fail(breaker: &mut Breaker, now: Instant) -> Option<Duration> {
        let pass = breaker.admit(now).expect("asked");
        breaker.failed(pass, now)
    }

    #[test]
    fn three_faults_in_a_row_open_it_and_a_success_between_them_does_not_count() {
        let (mut it, now) = breaker();
        assert_eq!(fail(&mut it, now), None);
        assert_eq!(fail(&mut it, now), None);
        let pass = it.admit(now).expect("asked");
        assert!(!it.succeeded(pass));
        assert_eq!(fail(&mut it, now), None);
        assert_eq!(fail(&mut it, now), None);
        assert_eq!(fail(&mut it, now), Some(5 * SECOND));
        assert_eq!(it.admit(now + SECOND), Err(4 * SECOND));
    }

    #[test]
    fn rests_double_up_to_half_an_hour_and_a_success_begins_anew() {
        let (mut it, mut now) = breaker();
        for _ in 0..2 {
            assert_eq!(fail(&mut it, now), None);
        }
        let mut rests = Vec::new();
        for _ in 0..12 {
            let rest = fail(&mut it, now).expect("opens");
            rests.push(rest.as_secs());
            now += rest;
        }
        assert_eq!(rests, [5, 10, 20, 40, 80, 160, 320, 640, 1280, 1800, 1800, 1800]);
        let pass = it.admit(now).expect("half open");
        assert!(it.succeeded(pass), "closes");
        for _ in 0..2 {
            assert_eq!(fail(&mut it, now), None);
        }
        assert_eq!(fail(&mut it, now), Some(5 * SECOND));
    }

    #[test]
    fn half_open_lets_one_call_through_and_the_next_once_that_was_abandoned() {
        let (mut it, now) = breaker();
        for _ in 0..3 {
            fail(&mut it, now);
        }
        let later = now + 5 * SECOND;
        let pass = it.admit(later).expect("one");
        assert_eq!(it.admit(later), Err(Duration::ZERO));
        assert_eq!(it.state(later), BreakerState::HalfOpen);
        it.abandoned(pass, later);
        assert!(it.admit(later).is_ok());
    }

    #[test]
    fn what_was_asked_before_it_opened_changes_nothing_after() {
        let (mut it, now) = breaker();
        let early = it.admit(now).expect("asked");
        for _ in 0..3 {
            fail(&mut it, now);
        }
        assert!(!it.succeeded(early));
        assert_eq!(it.failed(early, now), None);
        it.abandoned(early, now);
        assert_eq!(it.state(now), BreakerState::Open { for_: 5 * SECOND });
    }
}
