//! Doing what a group wants: who is stopped and started with a member that has failed.
//!
//! A restart of several is a renewal of each, so they stop in reverse order and start in order
//! as ever. Until the last of them has stopped none starts again.

use std::sync::Arc;

use crate::InstanceId;
use crate::core::Core;
use crate::event::{EventKind, GaveUp, GroupFailure, Shutdown, StopReason, Wanted};
use crate::group::{Course, Failure, Fate};
use crate::instance::{Entry, Instance, Membership, Phase, Waiting};
use crate::spec::{GiveUp, Policy};

impl Core {
    /// A run of `id` has failed; others of its groups may have to follow.
    pub(crate) fn concern_groups(&mut self, id: InstanceId, failure: Failure) {
        let Some(service) = self.instances.get(&id).map(|i| i.spec.name.clone()) else { return };
        if self.ending.is_some() {
            return;
        }
        let Some(Course { failed, fate, services }) =
            self.groups.failed(&service, failure, self.now, self.is_catching_up)
        else {
            return;
        };
        for (nth, group) in failed.iter().enumerate() {
            let why = match (nth, failure) {
                (0, Failure::GaveUp) => GroupFailure::Member(self.name(id)),
                (_, Failure::Restarts | Failure::GaveUp) => GroupFailure::Limit(group.intensity),
            };
            let above = failed.get(nth + 1).map(|above| above.name.clone());
            let above = above.or_else(|| match &fate {
                Fate::Restart(group) => Some(group.clone()),
                Fate::GiveUp(..) => None,
            });
            self.tell_all(EventKind::GroupFailed { group: group.name.clone(), why, above });
        }
        let members = self.members(&services);
        if let Fate::GiveUp(..) = fate {
            self.leave_rolls(&members);
        }
        for member in members {
            match &fate {
                Fate::Restart(group) => self.restart_with_group(member, group),
                Fate::GiveUp(group, then) => self.give_up_with_group(member, group, *then),
            }
        }
        match fate {
            Fate::GiveUp(_, GiveUp::Exit) => self.shut_down(Shutdown::GaveUp),
            Fate::GiveUp(_, GiveUp::Stay | GiveUp::RetryAfter(_)) | Fate::Restart(_) => {}
        }
    }

    /// The instances of these services that are to run.
    fn members(&self, services: &[Arc<str>]) -> Vec<InstanceId> {
        let is_member = |instance: &&Instance| {
            instance.membership == Membership::Configured
                && instance.wanted == Wanted::Up
                && services.contains(&instance.spec.name)
        };
        self.instances.values().filter(is_member).map(|instance| instance.id).collect()
    }

    /// Whether it does not come back when this group restarts it. A group that is restarted
    /// by the one above begins anew, with all that it has.
    pub(crate) fn is_temporary_in(&self, id: InstanceId, group: &str) -> bool {
        self.instances.get(&id).is_some_and(|instance| {
            instance.spec.restart.policy == Policy::Never
                && !instance.comes_back
                && self.groups.of(&instance.spec.name) == Some(group)
        })
    }

    /// Whether its run is about to end, and there will be no other one because of its group.
    pub(crate) fn ends_with_its_group(&self, id: InstanceId) -> bool {
        match self.instances.get(&id).and_then(|instance| instance.renewal.as_ref()) {
            Some(StopReason::GroupGaveUp(..)) => true,
            Some(StopReason::GroupRestarted(group)) => self.is_temporary_in(id, group),
            Some(_) | None => false,
        }
    }

    fn restart_with_group(&mut self, id: InstanceId, group: &Arc<str>) {
        let starts_again = !self.is_temporary_in(id, group);
        let Some(instance) = self.instances.get_mut(&id) else { return };
        match &instance.phase {
            // A group around this one has given up, and somebody has started who failed now.
            Phase::Starting(_) | Phase::Up(_) | Phase::Stopping(_)
                if matches!(instance.renewal, Some(StopReason::GroupGaveUp(..))) => {}
            Phase::Starting(_) | Phase::Up(_) | Phase::Stopping(_) => {
                instance.comes_back |= instance.renewal.as_ref().is_some_and(is_asked_for);
                instance.renewal = Some(StopReason::GroupRestarted(group.clone()));
                self.is_unsettled = true;
                self.touch(id);
                self.renew_dependents(id);
            }
            Phase::Failed { .. } | Phase::Done if starts_again => {
                instance.counters.forget();
                self.enter(id, Phase::Waiting(Waiting { entry: Entry::Fresh, told: None }));
            }
            // What waits starts in its turn.
            Phase::Down
            | Phase::Waiting(_)
            | Phase::Backoff(_)
            | Phase::Failed { .. }
            | Phase::Done => {}
        }
    }

    fn give_up_with_group(&mut self, id: InstanceId, group: &Arc<str>, then: GiveUp) {
        let Some(instance) = self.instances.get_mut(&id) else { return };
        match &instance.phase {
            Phase::Starting(_) | Phase::Up(_) | Phase::Stopping(_) => {
                instance.renewal = Some(StopReason::GroupGaveUp(group.clone(), then));
                self.is_unsettled = true;
                self.touch(id);
                self.renew_dependents(id);
            }
            // It was of no concern to the group.
            Phase::Failed { reason: GaveUp::Policy, .. } | Phase::Done => {}
            // Down is who is wanted and has not had its turn yet, when a supervisor begins.
            Phase::Down | Phase::Waiting(_) | Phase::Backoff(_) | Phase::Failed { .. } => {
                self.fail_with_group(id, group.clone(), then);
            }
        }
    }

    /// A member of a group that gave up has come to rest.
    pub(crate) fn fail_with_group(&mut self, id: InstanceId, group: Arc<str>, then: GiveUp) {
        let reason = GaveUp::Group(group);
        self.tell(id, EventKind::Failed { reason: reason.clone(), then });
        let retry_at = match then {
            GiveUp::Stay | GiveUp::Exit => None,
            GiveUp::RetryAfter(delay) => Some(self.now + delay),
        };
        self.enter(id, Phase::Failed { reason, retry_at });
    }

    /// Who has to stop before `id` may start again with its group.
    pub(crate) fn stops_before_start(&self, id: InstanceId) -> Option<InstanceId> {
        let service = &self.instances.get(&id)?.spec.name;
        if !self.groups.has(service) {
            return None;
        }
        let stops = |other: &&Instance| match &other.renewal {
            Some(StopReason::GroupRestarted(group)) => {
                other.phase.is_live()
                    && self.groups.restart_together(group, service, &other.spec.name)
            }
            Some(_) | None => false,
        };
        self.instances.values().find(stops).map(|other| other.id)
    }
}

impl Instance {
    /// Has its run replaced, as somebody has asked. One that stops with its group goes on doing
    /// that, and the others of the group wait for its end.
    pub(crate) fn renew_for(&mut self, reason: StopReason) {
        match self.renewal {
            Some(StopReason::GroupRestarted(_)) => self.comes_back = true,
            Some(_) | None => self.renewal = Some(reason),
        }
    }
}

/// Whether a new run was asked for, rather than following from that of somebody else.
fn is_asked_for(reason: &StopReason) -> bool {
    matches!(reason, StopReason::Restart | StopReason::Configuration)
}
