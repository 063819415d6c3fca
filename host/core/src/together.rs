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
        // Whoever restarts with its group needs no roll, and who ends with it wants none.
        self.leave_rolls(&members);
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

    /// Whether its run is about to be replaced because of its group.
    pub(crate) fn restarts_with_its_group(&self, id: InstanceId) -> bool {
        let renewal = self.instances.get(&id).and_then(|instance| instance.renewal.as_ref());
        matches!(renewal, Some(StopReason::GroupRestarted(_))) && !self.ends_with_its_group(id)
    }

    fn restart_with_group(&mut self, id: InstanceId, group: &Arc<str>) {
        let starts_again = !self.is_temporary_in(id, group);
        let Some(instance) = self.instances.get_mut(&id) else { return };
        match &instance.phase {
            // Somebody has asked for another run, whatever becomes of its group.
            Phase::Starting(_) | Phase::Up(_) | Phase::Stopping(_)
                if !starts_again && instance.renewal.is_some() => {}
            Phase::Starting(_) | Phase::Up(_) | Phase::Stopping(_) => {
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
            Phase::Failed { reason: GaveUp::Policy, .. } | Phase::Down | Phase::Done => {}
            Phase::Waiting(_) | Phase::Backoff(_) | Phase::Failed { .. } => {
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
        let stops = |other: &&Instance| {
            let name = &other.spec.name;
            let group = match &other.renewal {
                Some(StopReason::GroupRestarted(group)) => Some(&**group),
                // It was to end with its group, and somebody wants it to be there again.
                Some(StopReason::Restart) if other.spec.restart.policy == Policy::Never => {
                    self.groups.of(name)
                }
                Some(_) | None => None,
            };
            other.id != id
                && other.phase.is_live()
                && group.is_some_and(|group| self.groups.restart_together(group, service, name))
        };
        self.instances.values().find(stops).map(|other| other.id)
    }
}
