//! Groups: who restarts together, and how many restarts are too many for all of them.
//!
//! ```text
//!   a member failed ─► too many in the window? ─no─► strategy ─► who restarts with it
//!                            │yes
//!                            ▼
//!                the group is the failed member of the group above, or gives up
//! ```
//!
//! The rules are those of supervisors in Erlang, `supervisor(3)` of OTP. Pure: what follows is
//! done in `together.rs`.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use crate::graph::GraphError;
use crate::spec::{GiveUp, RestartLimit};
use crate::topology::Bond;
use crate::{ServiceSpec, Time};

/// Services and groups that start in this order and stop in the reverse one.
#[derive(Clone, PartialEq, Debug)]
pub struct GroupSpec {
    /// The name, unique among groups.
    pub name: Arc<str>,
    /// Who restarts with a member that has failed.
    pub strategy: Strategy,
    /// How many restarts for failed members are too many.
    pub intensity: RestartLimit,
    /// What follows when they are, where no group stands above.
    pub on_give_up: GiveUp,
    /// What is in it, in the order of starts.
    pub members: Vec<Member>,
}

/// What a group can have in it.
#[derive(Clone, PartialEq, Debug)]
pub enum Member {
    /// The service of this name, with all of its instances.
    Service(Arc<str>),
    /// A group.
    Group(GroupSpec),
}

/// Who restarts with a member that has failed.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum Strategy {
    /// Nobody.
    #[default]
    OneForOne,
    /// Everybody.
    OneForAll,
    /// Those that stand after it.
    RestForOne,
}

impl GroupSpec {
    /// A group without members, with the defaults of OTP: `one_for_one`, one restart in 5 s.
    pub fn named(name: impl Into<Arc<str>>) -> GroupSpec {
        GroupSpec {
            name: name.into(),
            strategy: Strategy::default(),
            intensity: RestartLimit { max: 1, within: Duration::from_secs(5) },
            on_give_up: GiveUp::Stay,
            members: Vec::new(),
        }
    }

    /// Whether a service stands in it, or in a group within it.
    pub fn has(&self, service: &str) -> bool {
        self.services().iter().any(|one| **one == *service)
    }

    /// Every service in it, those of its groups too, in the order of starts.
    fn services(&self) -> Vec<Arc<str>> {
        let of = |member: &Member| match member {
            Member::Service(name) => vec![name.clone()],
            Member::Group(group) => group.services(),
        };
        self.members.iter().flat_map(of).collect()
    }
}

/// Each service of a group starts after the one before it.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Turn {
    pub(crate) service: Arc<str>,
    pub(crate) after: Arc<str>,
    pub(crate) bond: Bond,
}

/// The order in which the services of groups start.
pub(crate) fn turns(groups: &[GroupSpec]) -> Vec<Turn> {
    let mut turns = Vec::new();
    for group in groups {
        add_turns(group, &mut turns);
    }
    turns
}

fn add_turns(group: &GroupSpec, turns: &mut Vec<Turn>) {
    // Whoever fails alone holds nobody else up; a start of several begins where it failed.
    let bond = match group.strategy {
        Strategy::OneForOne => Bond::Optional,
        Strategy::OneForAll | Strategy::RestForOne => Bond::Ordered,
    };
    let mut last: Option<Arc<str>> = None;
    for member in &group.members {
        let services = match member {
            Member::Service(name) => vec![name.clone()],
            Member::Group(inner) => {
                add_turns(inner, turns);
                inner.services()
            }
        };
        if let Some(after) = &last {
            // Each of an inner group, of which the first may not be there to be waited for.
            let turn =
                |service: &Arc<str>| Turn { service: service.clone(), after: after.clone(), bond };
            turns.extend(services.iter().map(turn));
        }
        last = services.last().cloned().or(last);
    }
}

/// Checks names: of groups, and that each member is there and stands in one place.
pub(crate) fn check(
    groups: &[GroupSpec],
    services: &BTreeMap<Arc<str>, Arc<ServiceSpec>>,
) -> Result<(), GraphError> {
    let (mut names, mut members) = (BTreeSet::new(), BTreeSet::new());
    let mut open: Vec<&GroupSpec> = groups.iter().collect();
    while let Some(group) = open.pop() {
        if !names.insert(group.name.clone()) {
            return Err(GraphError::DuplicateGroup(group.name.clone()));
        }
        for member in &group.members {
            match member {
                Member::Group(inner) => open.push(inner),
                Member::Service(name) if !services.contains_key(name) => {
                    let (group, member) = (group.name.clone(), name.clone());
                    return Err(GraphError::UnknownMember { group, member });
                }
                Member::Service(name) if !members.insert(name.clone()) => {
                    return Err(GraphError::TwoGroups(name.clone()));
                }
                Member::Service(_) => {}
            }
        }
    }
    Ok(())
}

/// The groups of a configuration, and how often their members have failed.
#[derive(Clone, Default, Debug)]
pub(crate) struct Groups {
    nodes: Vec<Node>,
    /// The group that a service stands in.
    of_service: BTreeMap<Arc<str>, usize>,
}

#[derive(Clone, Debug)]
struct Node {
    spec: Arc<GroupSpec>,
    /// The group it stands in.
    above: Option<usize>,
    /// When the failures were that count, oldest first.
    failures: VecDeque<Time>,
}

/// Where in a group a service stands.
struct Place<'a> {
    /// The name of the member.
    of: &'a str,
    /// That of the group.
    strategy: Strategy,
}

/// What a member does that has failed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Failure {
    /// It starts again.
    Restarts,
    /// It does not any more.
    GaveUp,
}

/// What follows for others when a member has failed.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Course {
    /// The groups that it was too much for, innermost first.
    pub(crate) failed: Vec<Arc<GroupSpec>>,
    /// What becomes of these services.
    pub(crate) fate: Fate,
    pub(crate) services: Vec<Arc<str>>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Fate {
    /// They are stopped and start again, because this group restarts them.
    Restart(Arc<str>),
    /// They are stopped, because this group gave up.
    GiveUp(Arc<str>, GiveUp),
}

impl Groups {
    /// What has failed in a group that is still there is remembered.
    pub(crate) fn change(&mut self, groups: &[GroupSpec]) {
        let before = std::mem::take(self);
        for group in groups {
            self.add(group, None, &before);
        }
    }

    fn add(&mut self, spec: &GroupSpec, above: Option<usize>, before: &Groups) {
        let known = before.nodes.iter().find(|node| node.spec.name == spec.name);
        let failures = known.map(|node| node.failures.clone()).unwrap_or_default();
        let at = self.nodes.len();
        self.nodes.push(Node { spec: Arc::new(spec.clone()), above, failures });
        for member in &spec.members {
            match member {
                Member::Service(name) => drop(self.of_service.insert(name.clone(), at)),
                Member::Group(inner) => self.add(inner, Some(at), before),
            }
        }
    }

    /// Whether a service stands in a group.
    pub(crate) fn has(&self, service: &str) -> bool {
        self.of_service.contains_key(service)
    }

    /// The name of the group that a service stands in.
    pub(crate) fn of(&self, service: &str) -> Option<&str> {
        let node = self.nodes.get(*self.of_service.get(service)?)?;
        Some(&node.spec.name)
    }

    /// Whether two services are among those that `group` restarts together: where its strategy
    /// is that each member fails alone, only those of one member are.
    pub(crate) fn restart_together(&self, group: &str, one: &str, other: &str) -> bool {
        let (Some(one), Some(other)) = (self.member(group, one), self.member(group, other)) else {
            return false;
        };
        match one.strategy {
            Strategy::OneForAll | Strategy::RestForOne => true,
            Strategy::OneForOne => one.of == other.of,
        }
    }

    /// The member of `group` that a service is, or stands in.
    fn member<'a>(&'a self, group: &str, service: &'a str) -> Option<Place<'a>> {
        let mut of = service;
        let mut at = self.of_service.get(service).copied();
        while let Some(node) = at.and_then(|at| self.nodes.get(at)) {
            if *node.spec.name == *group {
                return Some(Place { of, strategy: node.spec.strategy });
            }
            of = &node.spec.name;
            at = node.above;
        }
        None
    }

    /// What follows for others when `service` has failed; none when it stands in no group.
    pub(crate) fn failed(
        &mut self,
        service: &Arc<str>,
        failure: Failure,
        now: Time,
        is_catching_up: bool,
    ) -> Option<Course> {
        let mut at = *self.of_service.get(service)?;
        let mut member = Member::Service(service.clone());
        let mut is_too_much = failure == Failure::GaveUp;
        let mut failed = Vec::new();
        loop {
            let node = self.nodes.get_mut(at)?;
            is_too_much |= node.count(now, is_catching_up);
            let spec = node.spec.clone();
            if !is_too_much {
                let services = spec.restarts_with(&member);
                self.forget_below(at, &services);
                return Some(Course { failed, fate: Fate::Restart(spec.name.clone()), services });
            }
            failed.push(spec.clone());
            match node.above {
                Some(above) => at = above,
                None => {
                    let services = spec.services();
                    self.forget_below(at, &services);
                    self.nodes.get_mut(at)?.failures.clear();
                    let fate = Fate::GiveUp(spec.name.clone(), spec.on_give_up);
                    return Some(Course { failed, fate, services });
                }
            }
            member = Member::Group((*spec).clone());
            is_too_much = false;
        }
    }

    /// Groups below `at` with any of these services begin anew.
    fn forget_below(&mut self, at: usize, services: &[Arc<str>]) {
        for service in services {
            let mut below = self.of_service.get(service).copied();
            while let Some(index) = below.filter(|index| *index != at) {
                let Some(node) = self.nodes.get_mut(index) else { break };
                node.failures.clear();
                below = node.above;
            }
        }
    }
}

impl Node {
    /// Counts a failure; whether that is one too many. All that nobody saw are one: tasks end
    /// with the program that they are in.
    fn count(&mut self, now: Time, is_catching_up: bool) -> bool {
        let RestartLimit { max, within } = self.spec.intensity;
        if !is_catching_up || self.failures.back() != Some(&now) {
            self.failures.push_back(now);
        }
        while self.failures.front().is_some_and(|at| now.since(*at) > within) {
            self.failures.pop_front();
        }
        self.failures.len() > max as usize
    }
}

impl GroupSpec {
    /// Who is stopped and started because `failed` has failed. A group that has failed is
    /// itself among them; a service is for its other instances, where all are.
    fn restarts_with(&self, failed: &Member) -> Vec<Arc<str>> {
        let is_it = |member: &&Member| match (member, failed) {
            (Member::Service(name), Member::Service(failed)) => name == failed,
            (Member::Group(group), Member::Group(failed)) => group.name == failed.name,
            (Member::Service(_), Member::Group(_)) | (Member::Group(_), Member::Service(_)) => {
                false
            }
        };
        let rest = self.members.iter().skip_while(|member| !is_it(member));
        let concerned: Vec<&Member> = match (self.strategy, failed) {
            (Strategy::OneForAll, _) => self.members.iter().collect(),
            (Strategy::RestForOne, Member::Group(_)) => rest.collect(),
            (Strategy::RestForOne, Member::Service(_)) => rest.skip(1).collect(),
            (Strategy::OneForOne, Member::Group(_)) => rest.take(1).collect(),
            (Strategy::OneForOne, Member::Service(_)) => Vec::new(),
        };
        let services = |member: &Member| match member {
            Member::Service(name) => vec![name.clone()],
            Member::Group(group) => group.services(),
        };
        concerned.into_iter().flat_map(services).collect()
    }
}
