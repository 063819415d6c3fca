//! Settling: intent first spreads through the dependency graph, then follow the stops
//! in reverse order, then the starts in order.
//!
//! One pass of each is enough: whether an instance may stop depends on dependents alone,
//! which were visited before it; whether it may start, on dependencies alone.

use std::collections::BTreeSet;

use crate::core::{Core, EndingStage};
use crate::effect::Effect;
use crate::event::{EventKind, StopReason, Wanted};
use crate::instance::{
    Entry, Instance, Membership, Phase, Starting, Target, Waiting, WhyDown, Word,
};
use crate::spec::{Condition, Kind};
use crate::topology::{Bond, Edge};
use crate::{InstanceId, RunId};

/// What keeps an instance from starting.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Obstacle {
    /// This dependency has not reached that condition.
    Dependency(InstanceId, Condition),
    /// This one of its group has to stop before.
    Group(InstanceId),
    /// Too many others are starting.
    Places,
    /// Too many others restart.
    Storm,
}

impl Core {
    pub(crate) fn settle(&mut self) {
        self.spread_intent();
        self.advance_rolls();
        self.stop_what_must();
        self.start_what_can();
        self.leave_when_over();
    }

    fn spread_intent(&mut self) {
        let order = std::mem::take(&mut self.topology.order);
        for &id in &order {
            let target = self.target(id);
            if let Some(instance) = self.instances.get_mut(&id) {
                instance.target = target;
            }
        }
        self.topology.order = order;
    }

    fn target(&self, id: InstanceId) -> Target {
        let Some(instance) = self.instances.get(&id) else {
            return Target::Down(WhyDown::Removed);
        };
        if self.ending.is_some() {
            return Target::Down(WhyDown::Shutdown);
        }
        if instance.membership != Membership::Configured {
            return Target::Down(WhyDown::Removed);
        }
        if instance.wanted == Wanted::Down {
            return Target::Down(WhyDown::Unwanted);
        }
        let blocking = self.topology.dependencies(id).iter().find(|edge| {
            edge.bond == Bond::Required
                && self.instances.get(&edge.to).is_some_and(|on| on.target != Target::Up)
        });
        match blocking {
            Some(edge) => Target::Down(WhyDown::Dependency(edge.to)),
            None => Target::Up,
        }
    }

    fn stop_what_must(&mut self) {
        let order = std::mem::take(&mut self.topology.order);
        for &id in order.iter().rev() {
            self.stop_if_must(id);
        }
        self.topology.order = order;
        let instances = &self.instances;
        self.topology.order.retain(|id| instances.contains_key(id));
    }

    fn stop_if_must(&mut self, id: InstanceId) {
        let Some(instance) = self.instances.get_mut(&id) else { return };
        let for_good = match instance.target {
            Target::Up | Target::Down(WhyDown::Dependency(_)) => false,
            Target::Down(WhyDown::Unwanted | WhyDown::Removed | WhyDown::Shutdown) => true,
        };
        match &instance.phase {
            Phase::Starting(_) | Phase::Up(_) => {
                if instance.must_stop()
                    && self.dependent_to_stop_first(id).is_none()
                    && let Some(reason) = self.stop_reason(id)
                {
                    self.begin_stop(id, reason);
                }
            }
            Phase::Stopping(_) => {}
            Phase::Down if for_good => match instance.membership {
                Membership::Removed { .. } => {
                    let place = (instance.spec.name.clone(), instance.index);
                    self.forgotten.push_back(place);
                    self.instances.remove(&id);
                }
                Membership::Configured => {}
            },
            Phase::Down => {
                self.enter(id, Phase::Waiting(Waiting { entry: Entry::Fresh, told: None }));
            }
            Phase::Waiting(_) | Phase::Backoff(_) | Phase::Failed { .. } | Phase::Done => {
                instance.renewal = None;
                if for_good {
                    self.tell(id, EventKind::Stopped);
                    self.enter(id, Phase::Down);
                    self.stop_if_must(id);
                }
            }
        }
    }

    fn stop_reason(&self, id: InstanceId) -> Option<StopReason> {
        let instance = self.instances.get(&id)?;
        match instance.target {
            Target::Up => instance.renewal.clone(),
            Target::Down(why) => Some(match why {
                WhyDown::Unwanted => StopReason::Operator,
                WhyDown::Removed => StopReason::Removed,
                WhyDown::Shutdown => StopReason::Shutdown,
                WhyDown::Dependency(on) => StopReason::Dependency(self.name(on)),
            }),
        }
    }

    /// A dependent of `id` that has to stop too, and has not yet.
    pub(crate) fn dependent_to_stop_first(&self, id: InstanceId) -> Option<&Instance> {
        self.dependents_to_stop_first(id).first().copied()
    }

    /// The dependents of `id` that have to stop too, and have not yet. Behind a dependent
    /// that does not run may stand others that still do.
    pub(crate) fn dependents_to_stop_first(&self, id: InstanceId) -> Vec<&Instance> {
        let mut seen = BTreeSet::new();
        let mut open = vec![id];
        let mut first = Vec::new();
        while let Some(next) = open.pop() {
            for edge in self.topology.dependents(next) {
                let Some(dependent) = self.instances.get(&edge.to) else { continue };
                if !seen.insert(edge.to) {
                    continue;
                }
                if !dependent.phase.is_live() {
                    open.push(edge.to);
                } else if dependent.must_stop() {
                    first.push(dependent);
                }
            }
        }
        first
    }

    fn start_what_can(&mut self) {
        self.storm_opens_at = None;
        let mut waiting: Vec<InstanceId> = self
            .topology
            .order
            .iter()
            .copied()
            .filter(|id| {
                matches!(self.instances.get(id).map(|i| &i.phase), Some(Phase::Waiting(_)))
            })
            .collect();
        if waiting.is_empty() {
            return;
        }
        waiting.sort_by_key(|id| self.instances.get(id).map(Instance::turn));
        let mut places = self.instances.values().filter(|i| i.holds_start_slot()).count();
        for id in waiting {
            match self.obstacle(id, places) {
                None => {
                    self.begin_run(id);
                    places += 1;
                }
                Some(Obstacle::Dependency(on, condition)) => self.tell_waiting(id, on, condition),
                Some(Obstacle::Group(_) | Obstacle::Places | Obstacle::Storm) => {}
            }
        }
    }

    /// What keeps a waiting instance from starting. Passing storm control takes a place
    /// there, so it is asked last.
    fn obstacle(&mut self, id: InstanceId, places: usize) -> Option<Obstacle> {
        if let Some(edge) = self.unmet_dependency(id) {
            return Some(Obstacle::Dependency(edge.to, edge.condition));
        }
        if let Some(on) = self.stops_before_start(id) {
            return Some(Obstacle::Group(on));
        }
        if places >= self.limits.max_concurrent_starts.max(1) as usize {
            return Some(Obstacle::Places);
        }
        let instance = self.instances.get(&id)?;
        let Phase::Waiting(waiting) = &instance.phase else { return None };
        match waiting.entry {
            Entry::Fresh => None,
            Entry::Automatic | Entry::Attempt | Entry::Retry => {
                let (lane, rate) = (instance.lane(), self.limits.max_restarts_per_second);
                match self.storm.admit(self.now, lane, rate) {
                    Ok(()) => None,
                    Err(at) => {
                        let opens_at = self.storm_opens_at.map_or(at, |other| other.min(at));
                        self.storm_opens_at = Some(opens_at);
                        Some(Obstacle::Storm)
                    }
                }
            }
        }
    }

    pub(crate) fn unmet_dependency(&self, id: InstanceId) -> Option<Edge> {
        let edges = self.topology.dependencies(id);
        edges.iter().copied().find(|edge| !self.is_met(edge))
    }

    fn is_met(&self, edge: &Edge) -> bool {
        self.is_there(edge)
            || match edge.bond {
                Bond::Required => false,
                Bond::Optional => self.is_hopeless(edge.to),
                Bond::Ordered => self.is_passed_over(edge.to),
            }
    }

    /// Whether the dependency is what it has to be, and stays.
    fn is_there(&self, edge: &Edge) -> bool {
        let Some(on) = self.instances.get(&edge.to) else { return true };
        let reached = match (&on.phase, edge.condition) {
            (Phase::Starting(starting), Condition::Started) => starting.spawned_at.is_some(),
            (Phase::Up(_), Condition::Started | Condition::Ready) => true,
            (Phase::Done, Condition::Started | Condition::Done) => true,
            (Phase::Done, Condition::Ready) => on.spec.kind == Kind::Oneshot,
            (Phase::Starting(_), Condition::Ready | Condition::Done)
            | (Phase::Up(_), Condition::Done)
            | (
                Phase::Down
                | Phase::Waiting(_)
                | Phase::Stopping(_)
                | Phase::Backoff(_)
                | Phase::Failed { .. },
                Condition::Started | Condition::Ready | Condition::Done,
            ) => false,
        };
        reached && !on.must_stop()
    }

    /// Whether nobody waits for it in its group; whoever stands before it counts all the same.
    fn is_passed_over(&self, id: InstanceId) -> bool {
        // With replicas many ways lead to each of those before: each is looked at once.
        let mut seen = BTreeSet::from([id]);
        let mut open = vec![id];
        while let Some(next) = open.pop() {
            let Some(instance) = self.instances.get(&next) else { continue };
            if instance.is_tried_again() || !self.is_hopeless(next) {
                return false;
            }
            let before = self.topology.dependencies(next).iter();
            let missing = before.filter(|edge| edge.bond == Bond::Ordered && !self.is_there(edge));
            open.extend(missing.map(|edge| edge.to).filter(|to| seen.insert(*to)));
        }
        true
    }

    /// Whether there is no use in waiting for `id`: it is not on its way up, or waits for
    /// something that is not.
    fn is_hopeless(&self, id: InstanceId) -> bool {
        let mut seen = BTreeSet::new();
        let mut open = vec![id];
        while let Some(next) = open.pop() {
            let Some(instance) = self.instances.get(&next) else { return true };
            if instance.target != Target::Up {
                return true;
            }
            match &instance.phase {
                Phase::Backoff(_) | Phase::Failed { .. } | Phase::Done => return true,
                Phase::Waiting(_) => {
                    if seen.insert(next) {
                        let unmet = self
                            .topology
                            .dependencies(next)
                            .iter()
                            .filter(|edge| edge.bond == Bond::Required && !self.is_met(edge));
                        open.extend(unmet.map(|edge| edge.to));
                    }
                }
                Phase::Down | Phase::Starting(_) | Phase::Up(_) | Phase::Stopping(_) => {}
            }
        }
        false
    }

    fn begin_run(&mut self, id: InstanceId) {
        let now = self.now;
        let run: RunId = self.new_run(id);
        let Some(instance) = self.instances.get_mut(&id) else { return };
        if let Phase::Waiting(Waiting { entry, .. }) = instance.phase {
            match entry {
                Entry::Fresh => {}
                Entry::Automatic => instance.counters.restarted(now, &instance.spec.restart),
                Entry::Attempt | Entry::Retry => instance.counters.retried(),
            }
        }
        instance.renewal = None;
        let starting = Starting {
            run,
            spawned_at: None,
            tries: None,
            last_try: None,
            excused_until: None,
            watchdog: instance.spec.watchdog,
            word: Word::Heard,
        };
        self.enter(id, Phase::Starting(starting));
        self.effect(Effect::Spawn { instance: id, run });
    }

    fn tell_waiting(&mut self, id: InstanceId, on: InstanceId, condition: Condition) {
        let sentence = self.waits_for(on, condition);
        let Some(instance) = self.instances.get_mut(&id) else { return };
        let Phase::Waiting(waiting) = &mut instance.phase else { return };
        if waiting.told != Some(on) {
            waiting.told = Some(on);
            self.tell(id, EventKind::Waiting(sentence));
        }
    }

    fn leave_when_over(&mut self) {
        let Some(ending) = &mut self.ending else { return };
        if ending.stage == EndingStage::Over || self.instances.values().any(|i| i.phase.is_live()) {
            return;
        }
        ending.stage = EndingStage::Over;
        let code = ending.code;
        self.effect(Effect::Exit { code });
    }

    pub(crate) fn name(&self, id: InstanceId) -> std::sync::Arc<str> {
        self.instances.get(&id).map_or_else(|| "?".into(), |instance| instance.name.clone())
    }
}
