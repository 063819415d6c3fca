//! Rolling restarts: new runs for the instances of a service, a few at a time.
//!
//! ```text
//!   open ── next, while few enough are unavailable ──► under way ── has come up ──► done
//!     │                                                    │
//!     └──────── given up: they keep the run they have ◄── its run ended, or is unhealthy,
//!                                                          or nothing came up in time
//! ```
//!
//! A roll only says when an instance gets its new run; how a run ends and begins is the
//! same as ever. What is not available anyway goes first, for that costs nothing.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::core::Core;
use crate::event::{Cause, EventKind, StopReason, Wanted};
use crate::instance::{Instance, Membership, Phase};
use crate::spec::WaitFor;
use crate::{Health, InstanceId, RunId, Time};

/// The rolling restart of one service.
#[derive(Clone, Debug)]
pub(crate) struct Roll {
    pub(crate) service: Arc<str>,
    reason: StopReason,
    /// Runs from this one on are new.
    first_run: RunId,
    /// Those that still have to be restarted.
    open: VecDeque<InstanceId>,
    /// Those that were restarted and have not come up yet.
    under_way: Vec<InstanceId>,
    done: u32,
    /// When it is given up, unless something goes forward before.
    deadline: Time,
}

impl Core {
    /// The operator wants new runs of these, a few at a time.
    pub(crate) fn roll(&mut self, ids: &[InstanceId]) {
        for &id in ids {
            self.want_with_requirements(id);
        }
        let mut left = ids.to_vec();
        while let Some(service) = left.first().and_then(|id| self.service_of(*id)) {
            let (same, others): (Vec<_>, Vec<_>) =
                left.iter().partition(|id| self.service_of(**id).as_ref() == Some(&service));
            left = others;
            self.begin_roll(service, same, StopReason::Restart);
        }
    }

    /// Begins to restart `ids`, all of `service`. An earlier roll of the same service ends.
    pub(crate) fn begin_roll(
        &mut self,
        service: Arc<str>,
        ids: Vec<InstanceId>,
        reason: StopReason,
    ) {
        let Some(spec) = ids.first().and_then(|id| self.instances.get(id)).map(|i| i.spec.clone())
        else {
            return;
        };
        let deadline = self.now + spec.rolling.timeout;
        let (first_run, open) = (self.next_run(), VecDeque::from(ids));
        self.rolls.retain(|roll| roll.service != service);
        self.tell_service(
            &service,
            EventKind::RollBegan {
                instances: open.iter().map(|id| self.name(*id)).collect(),
                max_unavailable: spec.rolling.max_unavailable,
            },
        );
        let (under_way, done) = (Vec::new(), 0);
        self.rolls.push(Roll { service, reason, first_run, open, under_way, done, deadline });
    }

    /// These get their new run at once: no roll has to see to that.
    pub(crate) fn leave_rolls(&mut self, ids: &[InstanceId]) {
        for roll in &mut self.rolls {
            roll.open.retain(|id| !ids.contains(id));
        }
    }

    /// When the next roll is given up if nothing comes up.
    pub(crate) fn roll_deadline(&self) -> Option<Time> {
        self.rolls.iter().map(|roll| roll.deadline).min()
    }

    /// Lets every roll go on as far as it can.
    pub(crate) fn advance_rolls(&mut self) {
        if self.ending.is_some() {
            self.rolls.clear();
        }
        for mut roll in std::mem::take(&mut self.rolls) {
            match self.advance(&mut roll) {
                Course::Goes => self.rolls.push(roll),
                Course::Over => {
                    self.tell_service(&roll.service, EventKind::RollEnded { done: roll.done });
                }
                Course::Failed(at, why) => self.tell_failed_roll(roll, at, why),
            }
        }
    }

    /// A run has ended by itself: where a roll waits for it to come up, that is its end.
    pub(crate) fn fail_roll_of(&mut self, id: InstanceId, cause: &Cause) {
        if let Some(at) = self.rolls.iter().position(|roll| roll.under_way.contains(&id)) {
            let roll = self.rolls.remove(at);
            self.tell_failed_roll(roll, id, cause.to_string());
        }
    }

    fn tell_failed_roll(&mut self, roll: Roll, at: InstanceId, why: String) {
        let kept = roll.open.iter().map(|id| self.name(*id)).collect();
        let at = self.name(at);
        self.tell_service(&roll.service, EventKind::RollFailed { at, why, kept });
    }

    fn advance(&mut self, roll: &mut Roll) -> Course {
        let now = self.now;
        roll.under_way.retain(|id| self.takes_part(*id));
        let before = roll.under_way.len();
        roll.under_way.retain(|id| !self.has_come_up(*id, roll.first_run));
        let mut goes_forward = roll.under_way.len() < before;
        roll.done += (before - roll.under_way.len()) as u32;
        let sick = roll.under_way.iter().find_map(|id| Some((*id, self.sickness(*id, roll)?)));
        if let Some((id, why)) = sick {
            return Course::Failed(id, why);
        }
        roll.open.retain(|id| self.takes_part(*id));
        while let Some(next) = self.next_of(roll) {
            roll.open.retain(|id| *id != next);
            self.renew(next, roll.reason.clone());
            roll.under_way.push(next);
            goes_forward = true;
        }
        if roll.open.is_empty() && roll.under_way.is_empty() {
            return Course::Over;
        }
        let timeout = self.rolling_of(roll).map(|rolling| rolling.timeout);
        if let (true, Some(timeout)) = (goes_forward, timeout) {
            roll.deadline = now + timeout;
        } else if roll.deadline <= now
            && let Some(&stuck) = roll.under_way.first().or(roll.open.front())
        {
            let timeout = timeout.unwrap_or_default();
            let why = format!("nothing came up within {}", crate::human::Human(timeout));
            return Course::Failed(stuck, why);
        }
        Course::Goes
    }

    /// Who is to be restarted next, if one may be: first what is not available anyway.
    fn next_of(&self, roll: &Roll) -> Option<InstanceId> {
        if let Some(id) = roll.open.iter().find(|id| !self.is_available(**id)) {
            return Some(*id);
        }
        let most = self.rolling_of(roll)?.max_unavailable.max(1) as usize;
        let unavailable = self.instances.values().filter(|instance| {
            instance.spec.name == roll.service
                && self.takes_part(instance.id)
                && (roll.under_way.contains(&instance.id) || !self.is_available(instance.id))
        });
        if unavailable.count() < most { roll.open.front().copied() } else { None }
    }

    fn rolling_of(&self, roll: &Roll) -> Option<crate::spec::Rolling> {
        let of_service = |instance: &&Instance| instance.spec.name == roll.service;
        self.instances.values().find(of_service).map(|instance| instance.spec.rolling)
    }

    /// Whether a roll has anything to do with it: nobody restarts what is to be down.
    fn takes_part(&self, id: InstanceId) -> bool {
        self.instances.get(&id).is_some_and(|instance| {
            instance.wanted == Wanted::Up && instance.membership == Membership::Configured
        })
    }

    /// Whether people can use it now.
    fn is_available(&self, id: InstanceId) -> bool {
        self.instances.get(&id).is_some_and(|instance| {
            matches!(instance.phase, Phase::Up(_))
                && !instance.must_stop()
                && instance.health != Health::Unhealthy
        })
    }

    /// Whether its new run is what the roll waits for.
    fn has_come_up(&self, id: InstanceId, first_run: RunId) -> bool {
        let Some(instance) = self.instances.get(&id) else { return true };
        let Phase::Up(up) = &instance.phase else { return false };
        let is_well = match (instance.spec.rolling.wait_for, instance.health) {
            (WaitFor::Ready, _) | (WaitFor::Healthy, Health::Healthy) => true,
            (WaitFor::Healthy, Health::Unknown) => up.checks.is_empty(),
            (WaitFor::Healthy, Health::Degraded | Health::Unhealthy) => false,
        };
        up.run >= first_run && instance.renewal.is_none() && is_well
    }

    /// Why its new run will not do, where that is certain.
    fn sickness(&self, id: InstanceId, roll: &Roll) -> Option<String> {
        let instance = self.instances.get(&id)?;
        let Phase::Up(up) = &instance.phase else { return None };
        let is_sick = up.run >= roll.first_run
            && instance.renewal.is_none()
            && instance.health == Health::Unhealthy;
        is_sick.then(|| format!("unhealthy: {}", instance.present_health().1))
    }

    fn service_of(&self, id: InstanceId) -> Option<Arc<str>> {
        self.instances.get(&id).map(|instance| instance.spec.name.clone())
    }

    /// Whether a roll still has to restart it.
    pub(crate) fn awaits_roll(&self, id: InstanceId) -> bool {
        self.rolls.iter().any(|roll| roll.open.contains(&id))
    }

    /// Whether a roll of that service is under way.
    pub(crate) fn is_rolling(&self, service: &str) -> bool {
        self.rolls.iter().any(|roll| &*roll.service == service)
    }
}

enum Course {
    Goes,
    Over,
    /// At this instance, for this reason.
    Failed(InstanceId, String),
}
