//! What the rules remember of one instance and its present run.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use kennel_core::spec::{Backoff, Condition, Enabled, GiveUp, Kind, Policy, Strength};
use kennel_core::{
    Cause, ExitStatus, Health, InstanceId, RunId, ServiceSpec, StopReason, Time, Wanted,
};

use crate::checks::{Counts, Question};
use crate::groups::Own;
use crate::notices::Notices;
use crate::processes::Key;

/// One edge of the dependency graph, seen from the dependent.
pub(crate) type Edge = (InstanceId, Condition, Bond);

/// What an edge means to the one that waits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Bond {
    Required,
    Optional,
    /// In a group that restarts several: it is waited for also while it is tried again.
    Ordered,
}

impl From<Strength> for Bond {
    fn from(strength: Strength) -> Bond {
        match strength {
            Strength::Required => Bond::Required,
            Strength::Optional => Bond::Optional,
        }
    }
}

/// A little more than nothing: what rounding may cost.
const ROUNDING: Duration = Duration::from_micros(1);
pub(crate) const SECOND: Duration = Duration::from_secs(1);

/// The account of one instance.
pub(crate) struct Account {
    pub(crate) key: Key,
    pub(crate) spec: Arc<ServiceSpec>,
    pub(crate) wanted: Wanted,
    /// The reload that took it out of the configuration.
    pub(crate) removed: Option<u64>,
    pub(crate) run: Option<Run>,
    pub(crate) next: Next,
    /// Whether it was its own policy that it failed by.
    pub(crate) by_policy: Own,
    /// When it failed because its group gave up, without a run of its own.
    pub(crate) ended_with_group_at: Option<Time>,
    /// A policy was asked after this run, which ended then.
    pub(crate) question: Option<(RunId, Time)>,
    pub(crate) done: bool,
    /// Failures that waited in the backoff.
    pub(crate) streak: u32,
    /// Runs in a row that ended before they were ready.
    pub(crate) attempts: u32,
    /// The next run is another attempt to get up: the restart limit does not count it.
    pub(crate) is_attempt: bool,
    /// Automatic restarts since the last time that the counters forgot.
    pub(crate) restarts: VecDeque<Time>,
    pub(crate) edges: Vec<Edge>,
    pub(crate) dependents: Vec<InstanceId>,
    pub(crate) down_since: Option<Time>,
    /// How long it may take to be down, dependents included.
    pub(crate) bound: Duration,
}

/// The present run of an instance.
pub(crate) struct Run {
    pub(crate) id: RunId,
    pub(crate) spawned_at: Option<Time>,
    pub(crate) ready_at: Option<Time>,
    /// What it says of itself.
    pub(crate) reported: Health,
    pub(crate) checks: Vec<Counts>,
    /// The check that answered last wants it restarted.
    pub(crate) check_says_restart: bool,
    /// The looks whether it is ready.
    pub(crate) looks: Question,
    pub(crate) notices: Notices,
    /// When it will have been healthy for long enough.
    pub(crate) stable_at: Option<Time>,
    pub(crate) stable: bool,
    pub(crate) stopping: Option<(StopReason, Time)>,
    /// It has to be replaced, for this reason.
    pub(crate) renewal: Option<StopReason>,
    /// Another reason that there was for it before, in the same moment perhaps.
    pub(crate) first_renewal: Option<StopReason>,
    /// Somebody has asked for the next one, temporary in its group or not.
    pub(crate) comes_back: bool,
    pub(crate) exit: Option<ExitStatus>,
    pub(crate) spawn_failed: bool,
    pub(crate) command: bool,
    pub(crate) killed: bool,
    /// An event said that it is ready.
    pub(crate) is_told_ready: bool,
    /// When another supervisor found it.
    pub(crate) restored_at: Option<Time>,
}

/// What may follow when there is no run.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) enum Next {
    /// A start at any time.
    Free,
    /// An automatic restart, in this span of time at the earliest.
    Backoff(Time, Time),
    AtOnce,
    /// Nothing by itself.
    Done,
    Failed,
    Retry(Time),
}

impl Account {
    pub(crate) fn want(&mut self, wanted: Wanted) {
        self.wanted = wanted;
        if wanted == Wanted::Down && self.run.is_none() {
            self.next = Next::Free;
            self.done = false;
        }
    }

    pub(crate) fn forget(&mut self) {
        self.streak = 0;
        self.attempts = 0;
        self.restarts.clear();
    }

    pub(crate) fn name(&self) -> Arc<str> {
        let (service, index) = &self.key;
        if self.spec.replicas == 1 { service.clone() } else { format!("{service}/{index}").into() }
    }

    /// The table of policies, limits and waits, written down a second time.
    pub(crate) fn decide(&mut self, now: Time, cause: &Cause, success: bool, r: &Run) -> Next {
        let spec = self.spec.clone();
        let restart = &spec.restart;
        self.is_attempt = false;
        self.by_policy = if restart.policy == Policy::Never { Own::Yes } else { Own::No };
        if success && (spec.kind == Kind::Oneshot || restart.policy != Policy::Always) {
            return Next::Done;
        }
        let counts = match spec.kind {
            Kind::Daemon => r.ready_at.is_none(),
            Kind::Oneshot => matches!(cause, Cause::StartFailed(_)),
        };
        if let (Some(budget), true) = (&spec.attempts, counts && restart.policy != Policy::Never) {
            self.attempts += 1;
            self.is_attempt = true;
            if self.attempts >= budget.max {
                return gives_up(budget.on_give_up, now);
            }
            return backs_off(&budget.backoff, self.attempts - 1, now);
        }
        let stable = r.stable;
        let mut full = restart.policy == Policy::Never;
        if let Some(limit) = restart.limit {
            let recent = self.restarts.iter().filter(|at| now.since(**at) < limit.within).count();
            full |= recent >= limit.max as usize;
        }
        if full {
            return gives_up(restart.on_give_up, now);
        }
        if stable {
            return Next::AtOnce;
        }
        self.streak += 1;
        backs_off(&restart.backoff, self.streak - 1, now)
    }

    /// What follows when it gives up.
    pub(crate) fn on_give_up(&self) -> GiveUp {
        match &self.spec.attempts {
            Some(attempts) if self.is_attempt => attempts.on_give_up,
            Some(_) | None => self.spec.restart.on_give_up,
        }
    }
}

fn gives_up(then: GiveUp, now: Time) -> Next {
    match then {
        GiveUp::Stay | GiveUp::Exit => Next::Failed,
        GiveUp::RetryAfter(delay) => Next::Retry(now + delay),
    }
}

/// The wait after so many others, with what jitter makes of it.
fn backs_off(backoff: &Backoff, earlier: u32, now: Time) -> Next {
    let mut wait = backoff.initial.as_secs_f64();
    for _ in 0..earlier {
        wait = (wait * backoff.factor).min(backoff.max.as_secs_f64());
    }
    wait = wait.min(backoff.max.as_secs_f64());
    let low = Duration::from_secs_f64(wait * (1.0 - backoff.jitter)).saturating_sub(ROUNDING);
    let high = Duration::from_secs_f64(wait * (1.0 + backoff.jitter)) + ROUNDING;
    Next::Backoff(now + low, now + high)
}

impl Run {
    pub(crate) fn new(id: RunId) -> Run {
        Run {
            id,
            spawned_at: None,
            ready_at: None,
            reported: Health::Unknown,
            checks: Vec::new(),
            check_says_restart: false,
            looks: Question::default(),
            notices: Notices::default(),
            stable_at: None,
            stable: false,
            stopping: None,
            renewal: None,
            first_renewal: None,
            comes_back: false,
            exit: None,
            spawn_failed: false,
            command: false,
            killed: false,
            restored_at: None,
            is_told_ready: false,
        }
    }

    /// It has to be replaced, now for this reason.
    pub(crate) fn is_renewed(&mut self, reason: StopReason) {
        self.first_renewal = self.renewal.replace(reason).or(self.first_renewal.take());
    }

    /// Somebody wants another one. What stops with its group goes on doing that.
    pub(crate) fn is_asked_for(&mut self, reason: StopReason) {
        match self.renewal {
            Some(StopReason::GroupRestarted(_)) => self.comes_back = true,
            Some(_) | None => self.is_renewed(reason),
        }
    }

    pub(crate) fn is_up(&self) -> bool {
        self.ready_at.is_some() && self.stopping.is_none()
    }

    pub(crate) fn becomes_ready(&mut self, at: Time, spec: &ServiceSpec) {
        let may = spec.kind == Kind::Daemon && self.stopping.is_none() && self.exit.is_none();
        if may && self.spawned_at.is_some() && self.ready_at.is_none() {
            self.ready_at = Some(at);
            let spawned_at = self.spawned_at.unwrap_or(at);
            self.checks = spec.health.iter().map(|check| Counts::new(check, spawned_at)).collect();
            self.notices.becomes_ready(at);
            self.stable_at = self.is_passing().then(|| at + spec.restart.reset_after);
        }
    }
}

pub(crate) fn wanted(enabled: Enabled) -> Wanted {
    match enabled {
        Enabled::Yes => Wanted::Up,
        Enabled::No => Wanted::Down,
    }
}
