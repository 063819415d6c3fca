//! The account of groups: who restarts together and who ends together, found out a second
//! time.
//!
//! Each service has a path here, from the outermost group it stands in to the innermost;
//! that, and how often members have failed, is all that the rules ask for.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use kennel_core::spec::{GiveUp, Policy, RestartLimit};
use kennel_core::{
    Core, GroupFailure, GroupSpec, InstanceId, Member, Shutdown, State, StopReason, Strategy, Time,
    Wanted,
};

use crate::account::{Account, Bond, Next, Run};
use crate::rules::{Checked, Rules};

/// The groups that there are.
#[derive(Default)]
pub(crate) struct Groups {
    known: BTreeMap<Arc<str>, Known>,
    paths: BTreeMap<Arc<str>, Vec<Place>>,
    /// Those that have failed and must be told of, with the group that decides what follows.
    untold: VecDeque<(Arc<str>, GroupFailure, Option<Arc<str>>)>,
    /// A supervisor has just begun: all that ended since then, when the last one was there, is
    /// one failure, and what became due since then has not happened yet.
    pub(crate) unseen_since: Option<Time>,
}

struct Known {
    strategy: Strategy,
    intensity: RestartLimit,
    on_give_up: GiveUp,
    failures: Vec<Time>,
}

/// Which member of a group a service is, or stands in.
#[derive(Clone, PartialEq)]
struct Place {
    group: Arc<str>,
    member: usize,
}

impl Groups {
    pub(crate) fn change(&mut self, specs: &[GroupSpec]) {
        let mut before = std::mem::take(&mut self.known);
        self.paths.clear();
        for spec in specs {
            self.add(spec, &[], &mut before);
        }
    }

    fn add(&mut self, spec: &GroupSpec, above: &[Place], before: &mut BTreeMap<Arc<str>, Known>) {
        let known = Known {
            strategy: spec.strategy,
            intensity: spec.intensity,
            on_give_up: spec.on_give_up,
            failures: before.remove(&spec.name).map(|known| known.failures).unwrap_or_default(),
        };
        self.known.insert(spec.name.clone(), known);
        for (member, what) in spec.members.iter().enumerate() {
            let mut path = above.to_vec();
            path.push(Place { group: spec.name.clone(), member });
            match what {
                Member::Service(name) => drop(self.paths.insert(name.clone(), path)),
                Member::Group(inner) => self.add(inner, &path, before),
            }
        }
    }

    /// A supervisor knows nothing of the failures under the last one.
    pub(crate) fn forget(&mut self) {
        self.known.clear();
        self.untold.clear();
    }

    fn path(&self, service: &str) -> &[Place] {
        self.paths.get(service).map_or(&[], Vec::as_slice)
    }

    fn member(&self, group: &str, service: &str) -> Option<usize> {
        let place = self.path(service).iter().find(|place| *place.group == *group);
        place.map(|place| place.member)
    }

    /// Who stands before `service`: in each of its groups the last one of the members before.
    pub(crate) fn before(&self, service: &str) -> Vec<(Arc<str>, Bond)> {
        let path = self.path(service).iter();
        let last = |place: &Place| {
            let stands_before = |other: &&Arc<str>| {
                self.member(&place.group, other).is_some_and(|member| member < place.member)
            };
            let bond = match self.known[&place.group].strategy {
                Strategy::OneForOne => Bond::Optional,
                Strategy::OneForAll | Strategy::RestForOne => Bond::Ordered,
            };
            // Their order is that of their names.
            self.paths.keys().rfind(stands_before).map(|name| (name.clone(), bond))
        };
        path.filter_map(last).collect()
    }

    /// Whether `group`, when it restarts, restarts these two together.
    fn are_together(&self, group: &str, one: &str, other: &str) -> bool {
        match (self.member(group, one), self.member(group, other)) {
            (Some(one), Some(other)) => {
                one == other || self.known[group].strategy != Strategy::OneForOne
            }
            (Some(_) | None, _) => false,
        }
    }

    /// Who restarts when the member `failed` of `group` has failed, which is a group or not.
    fn concerned(&self, group: &Place, is_group: bool) -> Vec<Arc<str>> {
        let strategy = self.known[&group.group].strategy;
        let restarts = |member: usize| match strategy {
            Strategy::OneForAll => true,
            Strategy::RestForOne => member > group.member || is_group && member == group.member,
            Strategy::OneForOne => is_group && member == group.member,
        };
        let of_group =
            |service: &&Arc<str>| self.member(&group.group, service).is_some_and(restarts);
        self.paths.keys().filter(of_group).cloned().collect()
    }

    /// These begin anew: so do the groups below `group` that they stand in.
    fn forget_below(&mut self, group: &str, services: &[Arc<str>]) {
        for service in services {
            let path = self.paths.get(service).into_iter().flatten();
            for place in path.skip_while(|place| *place.group != *group).skip(1) {
                if let Some(known) = self.known.get_mut(&place.group) {
                    known.failures.clear();
                }
            }
        }
    }

    /// Counts a failure. Whether that is too much.
    fn count(&mut self, now: Time, group: &str) -> bool {
        let is_catching_up = self.unseen_since.is_some();
        let Some(known) = self.known.get_mut(group) else { return false };
        if !(is_catching_up && known.failures.contains(&now)) {
            known.failures.push(now);
        }
        let window = known.intensity.within;
        known.failures.retain(|at| now.since(*at) <= window);
        known.failures.len() > known.intensity.max as usize
    }

    fn is_temporary_in(&self, group: &str, account: &Account, run: &Run) -> bool {
        account.spec.restart.policy == Policy::Never
            && !run.comes_back
            && self.path(&account.key.0).last().is_some_and(|place| *place.group == *group)
    }

    /// Whether there is no other run after this one, because of its group.
    pub(crate) fn ends(&self, account: &Account, run: &Run) -> bool {
        match &run.renewal {
            Some(StopReason::GroupGaveUp(..)) => true,
            Some(StopReason::GroupRestarted(group)) => self.is_temporary_in(group, account, run),
            Some(_) | None => false,
        }
    }

    /// What follows the end of this run, if its group decides that.
    pub(crate) fn follows(&self, now: Time, account: &Account, run: &Run) -> Option<(Next, Own)> {
        match &run.renewal {
            Some(StopReason::GroupGaveUp(_, then)) => Some((gone(*then, now), Own::No)),
            Some(_) if self.ends(account, run) => Some((Next::Failed, Own::Yes)),
            Some(_) | None => None,
        }
    }

    /// A group is told to have failed: is it so?
    pub(crate) fn failed(
        &mut self,
        group: &Arc<str>,
        why: &GroupFailure,
        above: &Option<Arc<str>>,
    ) -> Checked {
        let told = Some((group.clone(), why.clone(), above.clone()));
        let known = self.untold.pop_front();
        rule!(known == told, "of groups has failed {known:?}, and is told {told:?}");
        Ok(())
    }

    pub(crate) fn all_told(&self) -> Checked {
        rule!(self.untold.is_empty(), "nobody is told that these failed: {:?}", self.untold);
        Ok(())
    }
}

/// Whether an instance has failed by its own policy, which is of no concern to a group.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Own {
    Yes,
    No,
}

fn gone(then: GiveUp, now: Time) -> Next {
    match then {
        GiveUp::Stay | GiveUp::Exit => Next::Failed,
        GiveUp::RetryAfter(delay) => Next::Retry(now + delay),
    }
}

impl Rules {
    /// A member has failed. What becomes of the others?
    pub(crate) fn member_failed(&mut self, now: Time, id: InstanceId, gave_up: bool) {
        let Some(account) = self.accounts.get(&id).filter(|_| self.ending.is_none()) else {
            return;
        };
        let name = account.name();
        let path = self.groups.path(&account.key.0).to_vec();
        let mut why = gave_up.then_some(GroupFailure::Member(name));
        for (level, place) in path.iter().enumerate().rev() {
            let is_group = level + 1 < path.len();
            if self.groups.count(now, &place.group) {
                let intensity = self.groups.known[&place.group].intensity;
                why = why.or(Some(GroupFailure::Limit(intensity)));
            }
            let Some(why) = why.take() else {
                let services = self.groups.concerned(place, is_group);
                self.groups.forget_below(&place.group, &services);
                for member in self.wanted_of(&services) {
                    self.restarts_with(member, &place.group);
                }
                return;
            };
            let above = level.checked_sub(1).map(|above| path[above].group.clone());
            self.groups.untold.push_back((place.group.clone(), why, above));
        }
        if let Some(top) = path.first() {
            self.gives_up(now, &top.group);
        }
    }

    fn gives_up(&mut self, now: Time, group: &Arc<str>) {
        let mut services: Vec<Arc<str>> = self.groups.paths.keys().cloned().collect();
        services.retain(|service| self.groups.member(group, service).is_some());
        self.groups.forget_below(group, &services);
        let Some(known) = self.groups.known.get_mut(group) else { return };
        known.failures.clear();
        let then = known.on_give_up;
        let members = self.wanted_of(&services);
        self.leave_rolls(&members);
        for member in members {
            self.ends_with(now, member, group, then);
        }
        if then == GiveUp::Exit {
            self.end(now, Shutdown::GaveUp);
        }
    }

    fn wanted_of(&self, services: &[Arc<str>]) -> Vec<InstanceId> {
        let is_wanted = |account: &Account| {
            account.wanted == Wanted::Up
                && account.removed.is_none()
                && services.contains(&account.key.0)
        };
        self.accounts.iter().filter(|(_, account)| is_wanted(account)).map(|(id, _)| *id).collect()
    }

    fn restarts_with(&mut self, id: InstanceId, group: &Arc<str>) {
        let seen_until = self.groups.unseen_since.unwrap_or(self.now);
        let Some(account) = self.accounts.get_mut(&id) else { return };
        if let Some(r) = &mut account.run {
            if matches!(r.renewal, Some(StopReason::GroupGaveUp(..))) {
                return;
            }
            r.comes_back |=
                matches!(r.renewal, Some(StopReason::Restart | StopReason::Configuration));
            r.is_renewed(StopReason::GroupRestarted(group.clone()));
            self.renew_dependents(id);
            return;
        }
        let is_temporary = account.spec.restart.policy == Policy::Never
            && self.groups.path(&account.key.0).last().is_some_and(|place| place.group == *group);
        let is_over = match account.next {
            Next::Failed | Next::Done => true,
            Next::Retry(at) => seen_until < at,
            Next::Free | Next::Backoff(..) | Next::AtOnce => false,
        };
        if is_over && !is_temporary {
            account.forget();
            account.next = Next::Free;
            account.done = false;
        }
    }

    fn ends_with(&mut self, now: Time, id: InstanceId, group: &Arc<str>, then: GiveUp) {
        let seen_until = self.groups.unseen_since.unwrap_or(now);
        let Some(account) = self.accounts.get_mut(&id) else { return };
        if let Some(r) = &mut account.run {
            r.is_renewed(StopReason::GroupGaveUp(group.clone(), then));
            self.renew_dependents(id);
            return;
        }
        let is_own = match account.next {
            Next::Done => true,
            Next::Failed => account.by_policy == Own::Yes,
            Next::Retry(at) => seen_until < at && account.by_policy == Own::Yes,
            Next::Free | Next::Backoff(..) | Next::AtOnce => false,
        };
        if !is_own {
            account.next = gone(then, now);
            account.by_policy = Own::No;
            account.ended_with_group_at = Some(now);
        }
    }

    /// One of its group that has to stop before `id` may start.
    pub(crate) fn stops_before(&self, id: InstanceId) -> Option<&Account> {
        let service = &self.accounts.get(&id)?.key.0;
        if self.groups.path(service).is_empty() {
            return None;
        }
        self.accounts.values().find(|other| {
            match other.run.as_ref().and_then(|r| r.renewal.as_ref()) {
                Some(StopReason::GroupRestarted(group)) => {
                    self.groups.are_together(group, service, &other.key.0)
                }
                Some(_) | None => false,
            }
        })
    }

    /// Whether nobody in its group waits for it, nor for whoever stands before it.
    pub(crate) fn is_passed_over(&self, now: Time, id: InstanceId, core: &Core) -> bool {
        let Some(account) = self.accounts.get(&id) else { return true };
        let is_tried_again = backs_off(core, id) && !self.is_down(id);
        !is_tried_again
            && self.is_hopeless(now, id, core)
            && account.edges.iter().all(|&(on, condition, bond)| {
                bond != Bond::Ordered
                    || self.reached(now, on, condition) && !self.is_down(on)
                    || self.is_passed_over(now, on, core)
            })
    }

    /// Whether there is no use in waiting for `id`.
    pub(crate) fn is_hopeless(&self, now: Time, id: InstanceId, core: &Core) -> bool {
        let Some(account) = self.accounts.get(&id) else { return true };
        let requires_what_is_hopeless = || {
            account.edges.iter().any(|&(on, condition, bond)| {
                bond == Bond::Required
                    && !self.reached(now, on, condition)
                    && self.is_hopeless(now, on, core)
            })
        };
        let is_over = match (&account.run, account.next) {
            (Some(_), _) => return self.is_down(id),
            (None, Next::Failed | Next::Done) => true,
            (None, Next::Retry(at)) => now < at,
            // How long it waits is known within bounds only.
            (None, Next::Backoff(..)) => backs_off(core, id),
            (None, Next::Free | Next::AtOnce) => false,
        };
        is_over || self.is_down(id) || requires_what_is_hopeless()
    }
}

fn backs_off(core: &Core, id: InstanceId) -> bool {
    core.view().instance(id).is_some_and(|view| view.state() == State::Backoff)
}
