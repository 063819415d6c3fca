//! The restart decision: what follows when a run ended by itself.
//!
//! A pure function of the spec, the counters and the way the run ended. It knows no
//! mechanism: it neither spawns nor waits.

use std::collections::VecDeque;
use std::time::Duration;

use crate::event::DelayRule;
use crate::rng::Rng;
use crate::spec::{Attempts, Backoff, Kind, Policy, Restart, RestartLimit};
use crate::{Cause, ExitStatus, ServiceSpec, Time};

/// What is remembered of earlier runs. It forgets after `reset_after` of sustained
/// health, on `reset`, and when the operator starts the service anew; nothing else
/// makes it forget.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Counters {
    /// Automatic restarts since the service was added or reset. For people; no
    /// decision depends on it.
    pub restarts: u32,
    /// Failures that waited in the backoff since the last stable run: the exponent.
    pub streak: u32,
    /// Runs that ended by themselves since the last stable run.
    pub failures: u32,
    /// Runs that ended before they were ready, since the last one that was.
    pub attempts: u32,
    /// When the first of `failures` was.
    pub failing_since: Option<Time>,
    /// When the restarts were that the limit still counts, oldest first; never more
    /// than its `max`.
    pub recent: VecDeque<Time>,
}

/// Whether a run has been stable.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stability {
    /// It has not even been ready.
    NeverReady,
    /// It has been ready, but not for long enough to prove anything.
    Unproven,
    /// It has been ready and healthy for `reset_after`.
    Stable,
}

/// What follows the end of a run.
#[derive(Clone, PartialEq, Debug)]
pub(crate) enum Verdict {
    /// Another run after `delay`.
    Restart { delay: Duration, rule: DelayRule, counted: Option<Counted> },
    /// It has ended with success, and that was all.
    Done,
    /// It has failed and its policy wants no other run.
    Refused,
    /// The limit is reached.
    GiveUp(RestartLimit),
    /// So many attempts to get up have failed, and no more are wanted.
    NotUp(u32),
}

/// A run that ended by itself.
#[derive(Clone, PartialEq, Debug)]
pub struct PastRun {
    /// When.
    pub ended_at: Time,
    /// How long its process had existed.
    pub uptime: Duration,
    /// Why.
    pub cause: Cause,
}

/// Where a restart stands in the limit.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Counted {
    /// This is the how-manieth restart in the window.
    pub number: u32,
    /// The limit.
    pub limit: RestartLimit,
}

impl Counters {
    /// Forgets all but the total for people.
    pub(crate) fn forget(&mut self) {
        let Counters { restarts: _, streak, failures, attempts, failing_since, recent } = self;
        *streak = 0;
        *failures = 0;
        *attempts = 0;
        *failing_since = None;
        recent.clear();
    }

    /// Decides what follows a run that ended by itself at `now`.
    pub(crate) fn decide(
        &mut self,
        service: &ServiceSpec,
        cause: &Cause,
        stability: Stability,
        now: Time,
        rng: &mut Rng,
    ) -> Verdict {
        let (kind, spec) = (service.kind, &service.restart);
        let success = is_success(spec, cause);
        match (success, kind, spec.policy) {
            (true, Kind::Oneshot, Policy::Always | Policy::OnFailure | Policy::Never)
            | (true, Kind::Daemon, Policy::OnFailure | Policy::Never) => return Verdict::Done,
            (false, Kind::Oneshot | Kind::Daemon, Policy::Never) => return Verdict::Refused,
            (true, Kind::Daemon, Policy::Always)
            | (false, Kind::Oneshot | Kind::Daemon, Policy::Always | Policy::OnFailure) => {}
        }
        self.failures += 1;
        self.failing_since.get_or_insert(now);
        if let (Some(attempts), true) = (&service.attempts, was_getting_up(kind, cause, stability))
        {
            return self.next_attempt(attempts, rng);
        }
        let counted = match self.next_in_window(spec.limit, now) {
            Ok(counted) => counted,
            Err(limit) => return Verdict::GiveUp(limit),
        };
        match stability {
            Stability::Stable => Verdict::Restart {
                delay: Duration::ZERO,
                rule: DelayRule::FirstAfterStable,
                counted,
            },
            Stability::Unproven | Stability::NeverReady => {
                let wait = wait_after(&spec.backoff, self.streak);
                self.streak = self.streak.saturating_add(1);
                let delay = rng.vary(wait, spec.backoff.jitter);
                Verdict::Restart { delay, rule: DelayRule::Backoff, counted }
            }
        }
    }

    /// Notes an automatic restart. It counts from when it happens, not from when it was
    /// decided: between the two may lie a long wait, and the window is one of restarts.
    pub(crate) fn restarted(&mut self, now: Time, spec: &Restart) {
        self.retried();
        match spec.limit {
            Some(limit) => {
                self.recent.push_back(now);
                while self.recent.len() > limit.max as usize {
                    self.recent.pop_front();
                }
            }
            None => self.recent.clear(),
        }
    }

    /// Notes an automatic restart that no limit counts.
    pub(crate) fn retried(&mut self) {
        self.restarts = self.restarts.saturating_add(1);
    }

    /// How many restarts the limit counts now.
    pub(crate) fn in_window(&self, limit: Option<RestartLimit>, now: Time) -> u32 {
        let counts = |at: &&Time| limit.is_some_and(|limit| now.since(**at) < limit.within);
        self.recent.iter().filter(counts).count() as u32
    }

    /// Where the next restart would stand in the window of the limit; the limit itself
    /// when the window is full.
    fn next_in_window(
        &mut self,
        limit: Option<RestartLimit>,
        now: Time,
    ) -> Result<Option<Counted>, RestartLimit> {
        let Some(limit) = limit else {
            self.recent.clear();
            return Ok(None);
        };
        while self.recent.front().is_some_and(|at| now.since(*at) >= limit.within) {
            self.recent.pop_front();
        }
        if self.recent.len() >= limit.max as usize {
            return Err(limit);
        }
        Ok(Some(Counted { number: self.recent.len() as u32 + 1, limit }))
    }

    /// One more attempt to get up, if the budget has one.
    fn next_attempt(&mut self, spec: &Attempts, rng: &mut Rng) -> Verdict {
        let wait = wait_after(&spec.backoff, self.attempts);
        self.attempts = self.attempts.saturating_add(1);
        if self.attempts >= spec.max {
            return Verdict::NotUp(self.attempts);
        }
        let delay = rng.vary(wait, spec.backoff.jitter);
        let rule = DelayRule::Attempt { next: self.attempts + 1, max: spec.max };
        Verdict::Restart { delay, rule, counted: None }
    }
}

/// The wait after `earlier` others, jitter aside.
fn wait_after(backoff: &Backoff, earlier: u32) -> Duration {
    let growth = backoff.factor.powf(f64::from(earlier)).min(f64::MAX);
    let seconds = backoff.initial.as_secs_f64() * growth;
    Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX).min(backoff.max)
}

/// Whether the run ended on its way to being ready. The work of a oneshot is no such way.
fn was_getting_up(kind: Kind, cause: &Cause, stability: Stability) -> bool {
    let never_ran = matches!(cause, Cause::StartFailed(_));
    match (stability, kind) {
        (Stability::NeverReady, Kind::Daemon) => true,
        (Stability::NeverReady, Kind::Oneshot) => never_ran,
        (Stability::Unproven | Stability::Stable, Kind::Daemon | Kind::Oneshot) => false,
    }
}

/// Whether the run ended as its service meant it to.
fn is_success(spec: &Restart, cause: &Cause) -> bool {
    match cause {
        Cause::Exited(ExitStatus::Code(code)) => spec.success_exit_codes.contains(code),
        Cause::Exited(
            ExitStatus::Signal { .. } | ExitStatus::OutOfMemory | ExitStatus::Unknown,
        )
        | Cause::StartFailed(_)
        | Cause::NotReady(..)
        | Cause::Unhealthy(_)
        | Cause::Watchdog(_) => false,
    }
}
