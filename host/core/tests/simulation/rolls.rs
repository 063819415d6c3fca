//! The account of rolling restarts: who gets a new run next, found out a second time.

use std::sync::Arc;

use kennel_core::spec::WaitFor;
use kennel_core::{Health, InstanceId, RunId, StopReason, Time, Wanted};

use crate::rules::{Checked, Rules};

/// One that is under way.
#[derive(Debug)]
pub(crate) struct Roll {
    service: Arc<str>,
    reason: StopReason,
    after: RunId,
    open: Vec<InstanceId>,
    pub(crate) under_way: Vec<InstanceId>,
    pub(crate) deadline: Time,
}

impl Rules {
    pub(crate) fn rolls_begin(&mut self, now: Time, ids: &[InstanceId], reason: &StopReason) {
        let Some(first) = ids.first().and_then(|id| self.accounts.get(id)) else { return };
        let service = first.key.0.clone();
        let deadline = now + first.spec.rolling.timeout;
        self.rolls.retain(|roll| roll.service != service);
        self.rolls.push(Roll {
            service,
            reason: reason.clone(),
            after: self.last_run,
            open: ids.to_vec(),
            under_way: Vec::new(),
            deadline,
        });
    }

    /// A reload wants new runs of all instances of a service.
    pub(crate) fn renew_all(&mut self, now: Time, service: &Arc<str>) {
        let of_service = |id: &InstanceId| {
            let account = &self.accounts[id];
            account.key.0 == *service && account.removed.is_none()
        };
        let ids: Vec<InstanceId> = self.accounts.keys().copied().filter(of_service).collect();
        let (live, others): (Vec<_>, Vec<_>) =
            ids.into_iter().partition(|id| self.accounts[id].run.is_some());
        if live.len() > 1 {
            self.rolls_begin(now, &live, &StopReason::Configuration);
        } else {
            live.into_iter().for_each(|id| self.renew(id, StopReason::Configuration));
        }
        others.into_iter().for_each(|id| self.renew(id, StopReason::Configuration));
    }

    pub(crate) fn leave_rolls(&mut self, ids: &[InstanceId]) {
        for roll in &mut self.rolls {
            roll.open.retain(|id| !ids.contains(id));
        }
    }

    /// It is told that a roll failed: is it so, and who keeps its run?
    pub(crate) fn roll_failed(&mut self, now: Time, at: &str, kept: &[Arc<str>]) -> Checked {
        let service = at.split('/').next().unwrap_or(at);
        let Some(known) = self.rolls.iter().position(|roll| *roll.service == *service) else {
            // The end of a run was told first, and ended it here.
            return Ok(());
        };
        let roll = self.rolls.remove(known);
        let sick = roll.under_way.iter().any(|id| self.is_sick(*id, &roll));
        rule!(sick || now >= roll.deadline, "the roll of {service} fails for nothing at {at}");
        let left = roll.open.iter().filter(|id| self.takes_part(**id)).count();
        rule!(left == kept.len(), "{left} keep their runs, and {} are told", kept.len());
        Ok(())
    }

    /// Lets every roll go on. To be called when all facts of a step are known.
    pub(crate) fn rolls_advance(&mut self, now: Time) {
        if self.ending.is_some() {
            self.rolls.clear();
        }
        for mut roll in std::mem::take(&mut self.rolls) {
            if self.roll_advances(now, &mut roll) {
                self.rolls.push(roll);
            }
        }
    }

    fn roll_advances(&mut self, now: Time, roll: &mut Roll) -> bool {
        let before = roll.under_way.len();
        let mut left = 0;
        let under_way = std::mem::take(&mut roll.under_way);
        for id in under_way {
            if !self.takes_part(id) {
                left += 1;
            } else if !self.has_come_up(id, roll) {
                roll.under_way.push(id);
            }
        }
        let came_up = before - left > roll.under_way.len();
        if roll.under_way.iter().any(|id| self.is_sick(*id, roll)) {
            // Who it is and who keeps its run is told.
            return true;
        }
        roll.open.retain(|id| self.takes_part(*id));
        let mut began = false;
        loop {
            let idle = roll.open.iter().position(|id| !self.is_available(*id));
            let out = self.accounts.iter().filter(|(id, account)| {
                account.key.0 == roll.service
                    && self.takes_part(**id)
                    && (roll.under_way.contains(id) || !self.is_available(**id))
            });
            let most = self.rolling(roll).0;
            let next = match (idle, out.count() < most, roll.open.is_empty()) {
                (Some(at), _, _) => at,
                (None, true, false) => 0,
                (None, _, _) => break,
            };
            let id = roll.open.remove(next);
            self.renew(id, roll.reason.clone());
            roll.under_way.push(id);
            began = true;
        }
        if came_up || began {
            roll.deadline = now + self.rolling(roll).1;
        }
        !roll.open.is_empty() || !roll.under_way.is_empty()
    }

    fn rolling(&self, roll: &Roll) -> (usize, std::time::Duration) {
        let account = self.accounts.values().find(|account| account.key.0 == roll.service);
        let rolling = account.map(|account| account.spec.rolling).unwrap_or_default();
        (rolling.max_unavailable as usize, rolling.timeout)
    }

    fn takes_part(&self, id: InstanceId) -> bool {
        let account = self.accounts.get(&id);
        account.is_some_and(|a| a.wanted == Wanted::Up && a.removed.is_none())
    }

    fn is_available(&self, id: InstanceId) -> bool {
        let Some(r) = self.accounts.get(&id).and_then(|account| account.run.as_ref()) else {
            return false;
        };
        // Its time was over when it was found. A roll that begins with that does not know yet.
        let is_found_ready =
            r.restored_at == Some(self.now) && r.ready_at == Some(self.now) && !r.is_told_ready;
        r.is_up()
            && !is_found_ready
            && r.renewal.is_none()
            && r.health() != Health::Unhealthy
            && !self.is_down(id)
    }

    fn has_come_up(&self, id: InstanceId, roll: &Roll) -> bool {
        let account = &self.accounts[&id];
        let Some(r) = account.run.as_ref().filter(|r| r.is_up() && r.id > roll.after) else {
            return false;
        };
        let is_well = match (account.spec.rolling.wait_for, r.health()) {
            (WaitFor::Ready, _) | (WaitFor::Healthy, Health::Healthy) => true,
            (WaitFor::Healthy, Health::Unknown) => r.checks.is_empty(),
            (WaitFor::Healthy, Health::Degraded | Health::Unhealthy) => false,
        };
        is_well && r.renewal.is_none()
    }

    fn is_sick(&self, id: InstanceId, roll: &Roll) -> bool {
        let run = self.accounts.get(&id).and_then(|account| account.run.as_ref());
        run.is_some_and(|r| {
            r.is_up() && r.id > roll.after && r.renewal.is_none() && r.health() == Health::Unhealthy
        })
    }
}
