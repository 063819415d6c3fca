//! Commands: what the operator wants and what the configuration says.
//!
//! Commands change what is wanted, counters and phases without a process. They never
//! signal and never spawn; that follows when the core settles.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use crate::core::{Core, Ending, EndingStage};
use crate::effect::Recipient;
use crate::event::{EventKind, Origin, Shutdown, StopReason, Wanted};
use crate::group;
use crate::instance::{
    Entry, Instance, KILL_PATIENCE, Membership, Phase, Stage, Target, Waiting, WhyDown,
};
use crate::restart::Counters;
use crate::spec::{Dependents, Enabled};
use crate::topology::{Bond, Topology};
use crate::{Effect, Graph, Health, InstanceId, ServiceSpec, Signal};

impl Core {
    pub(crate) fn configure(&mut self, graph: &Graph, restart: &[Arc<str>]) {
        self.configurations += 1;
        let by = self.configurations;
        let mut configured = BTreeSet::new();
        let mut back = Vec::new();
        for spec in graph.services() {
            for index in 0..spec.replicas {
                let known = self
                    .instances
                    .values_mut()
                    .find(|instance| instance.index == index && instance.spec.name == spec.name);
                let id = match known {
                    Some(instance) => {
                        let id = instance.id;
                        match instance.membership {
                            Membership::Configured => {}
                            Membership::Removed { .. } => back.push(id),
                        }
                        instance.membership = Membership::Configured;
                        self.change(id, spec);
                        id
                    }
                    None => self.add_or_go_on(spec, index),
                };
                configured.insert(id);
            }
        }
        self.add_the_removed(graph);
        for instance in self.instances.values_mut() {
            let gone = !configured.contains(&instance.id);
            if gone && instance.membership == Membership::Configured {
                instance.membership = Membership::Removed { by };
            }
        }
        self.groups.change(graph.groups());
        self.topology = Topology::new(&self.instances, &group::turns(graph.groups()));
        self.adopt();
        // Its process is of a configuration that nobody compared with this one.
        for id in back {
            self.renew(id, StopReason::Configuration);
        }
        for name in restart {
            self.renew_all(name);
        }
    }

    /// Gives a service what it needs for a changed configuration: one instance at once,
    /// several a few at a time. What does not run starts with it anyway.
    fn renew_all(&mut self, service: &Arc<str>) {
        let ids = self.configured_instances(service);
        let is_live = |id: &&InstanceId| {
            self.instances.get(id).is_some_and(|instance| instance.phase.is_live())
        };
        let live: Vec<InstanceId> = ids.iter().filter(is_live).copied().collect();
        if live.len() > 1 {
            self.begin_roll(service.clone(), live.clone(), StopReason::Configuration);
        }
        for id in ids {
            if live.len() < 2 || !live.contains(&id) {
                self.renew(id, StopReason::Configuration);
            }
        }
    }

    pub(crate) fn add(&mut self, spec: &Arc<ServiceSpec>, index: u32) -> InstanceId {
        let id = self.new_instance_id();
        let wanted = match spec.enabled {
            Enabled::Yes => Wanted::Up,
            Enabled::No => Wanted::Down,
        };
        let instance = Instance {
            id,
            spec: spec.clone(),
            index,
            name: instance_name(spec, index),
            wanted,
            target: Target::Down(WhyDown::Unwanted),
            membership: Membership::Configured,
            renewal: None,
            comes_back: false,
            phase: Phase::Down,
            since: self.now,
            health: Health::Unknown,
            counters: Counters::default(),
            last_failure: None,
            last_exit: None,
            reported: (Health::Unknown, "".into()),
            history: VecDeque::new(),
        };
        self.instances.insert(id, instance);
        self.touch(id);
        id
    }

    /// Puts a new spec in place. Waits that have begun keep their end; how long a run may
    /// take to become ready is asked anew.
    fn change(&mut self, id: InstanceId, spec: &Arc<ServiceSpec>) {
        let Some(instance) = self.instances.get_mut(&id) else { return };
        let before = instance.spec.enabled;
        instance.spec = spec.clone();
        instance.name = instance_name(spec, instance.index);
        self.touch(id);
        self.follow_enabled(id, before);
        self.change_checks(id);
        self.change_tries(id);
    }

    /// Wants what the configuration wants, where that has changed.
    pub(crate) fn follow_enabled(&mut self, id: InstanceId, before: Enabled) {
        let Some(instance) = self.instances.get(&id) else { return };
        match (before, instance.spec.enabled) {
            (Enabled::No, Enabled::Yes) => self.want(id, Wanted::Up, Origin::Configuration),
            (Enabled::Yes, Enabled::No) => self.want(id, Wanted::Down, Origin::Configuration),
            (Enabled::Yes, Enabled::Yes) | (Enabled::No, Enabled::No) => {}
        }
    }

    pub(crate) fn start(&mut self, ids: &[InstanceId]) {
        for &id in ids {
            self.want_with_requirements(id);
            self.begin_anew(id);
        }
    }

    pub(crate) fn restart(&mut self, ids: &[InstanceId]) {
        self.leave_rolls(ids);
        for &id in ids {
            self.want_with_requirements(id);
            self.renew(id, StopReason::Restart);
        }
    }

    pub(crate) fn stop(&mut self, ids: &[InstanceId]) {
        let asked_before = |id: &&InstanceId| {
            self.instances.get(id).is_some_and(|instance| instance.wanted == Wanted::Down)
        };
        let again: Vec<InstanceId> = ids.iter().filter(asked_before).copied().collect();
        for &id in ids {
            self.want(id, Wanted::Down, Origin::Operator);
        }
        self.hurry(again);
    }

    pub(crate) fn reset(&mut self, ids: &[InstanceId]) {
        for &id in ids {
            let Some(instance) = self.instances.get_mut(&id) else { continue };
            instance.counters = Counters::default();
            instance.history.clear();
            instance.last_failure = None;
            let waits = match instance.phase {
                Phase::Backoff(_) | Phase::Failed { .. } => true,
                Phase::Down
                | Phase::Waiting(_)
                | Phase::Starting(_)
                | Phase::Up(_)
                | Phase::Stopping(_)
                | Phase::Done => false,
            };
            self.tell(id, EventKind::Reset);
            if waits {
                self.wake(id);
            } else if self.ends_with_its_group(id) {
                self.begin_anew(id);
            }
        }
    }

    pub(crate) fn signal(&mut self, ids: &[InstanceId], signal: Signal) {
        for &id in ids {
            let Some(run) = self.instances.get(&id).and_then(Instance::run_with_process) else {
                continue;
            };
            self.effect(Effect::Signal { run, signal, to: Recipient::Main });
            self.tell(id, EventKind::Signalled { run, signal });
        }
    }

    pub(crate) fn shut_down(&mut self, how: Shutdown) {
        self.is_unsettled = true;
        let code = match (self.ending, how) {
            (Some(ending), _) => ending.code,
            (None, Shutdown::GaveUp) => 1,
            (None, Shutdown::Orderly | Shutdown::Now | Shutdown::TimedOut) => 0,
        };
        let stage = match (self.ending.map(|ending| ending.stage), how) {
            (Some(EndingStage::Killing { .. } | EndingStage::Over), _) => return,
            (Some(EndingStage::Orderly { .. }), Shutdown::Orderly | Shutdown::GaveUp) => return,
            (None, Shutdown::Orderly | Shutdown::GaveUp) => {
                EndingStage::Orderly { deadline: self.now + self.limits.shutdown_timeout }
            }
            (None | Some(EndingStage::Orderly { .. }), Shutdown::Now | Shutdown::TimedOut) => {
                EndingStage::Killing { deadline: self.now + KILL_PATIENCE }
            }
        };
        self.ending = Some(Ending { code, stage });
        self.tell_all(EventKind::ShuttingDown(how));
        if matches!(stage, EndingStage::Killing { .. }) {
            self.kill_everything();
        }
    }

    fn want(&mut self, id: InstanceId, wanted: Wanted, origin: Origin) {
        let Some(instance) = self.instances.get_mut(&id) else { return };
        if instance.wanted != wanted {
            instance.wanted = wanted;
            self.tell(id, EventKind::Wanted(wanted, origin));
        }
    }

    /// Wants `id` up, and with it whatever it requires. What it requires and has failed
    /// gets another chance.
    pub(crate) fn want_with_requirements(&mut self, id: InstanceId) {
        let Some(instance) = self.instances.get(&id) else { return };
        let name = instance.name.clone();
        for required in self.topology.required_by(id) {
            self.want(required, Wanted::Up, Origin::RequiredBy(name.clone()));
            let phase = self.instances.get(&required).map(|instance| &instance.phase);
            if matches!(phase, Some(Phase::Failed { .. })) || self.ends_with_its_group(required) {
                self.begin_anew(required);
            }
        }
        self.want(id, Wanted::Up, Origin::Operator);
    }

    /// Somebody wants a run now: earlier failures do not count and no delay holds.
    fn begin_anew(&mut self, id: InstanceId) {
        let ends = self.ends_with_its_group(id);
        let Some(instance) = self.instances.get_mut(&id) else { return };
        if !instance.phase.is_live() {
            instance.counters.forget();
            instance.history.clear();
            self.touch(id);
        } else if ends {
            instance.renew_for(StopReason::Restart);
            self.touch(id);
        }
        self.wake(id);
    }

    /// Ends a phase that waits for time or for the operator.
    fn wake(&mut self, id: InstanceId) {
        let Some(instance) = self.instances.get(&id) else { return };
        match instance.phase {
            Phase::Backoff(_) | Phase::Failed { .. } | Phase::Done | Phase::Waiting(_) => {
                self.enter(id, Phase::Waiting(Waiting { entry: Entry::Fresh, told: None }));
            }
            Phase::Down | Phase::Starting(_) | Phase::Up(_) | Phase::Stopping(_) => {}
        }
    }

    /// Replaces the run of `id` by a new one, and those of dependents that follow it.
    pub(crate) fn renew(&mut self, id: InstanceId, reason: StopReason) {
        let Some(instance) = self.instances.get_mut(&id) else { return };
        instance.counters.forget();
        instance.history.clear();
        self.changed.insert(id);
        if instance.phase.is_live() {
            instance.renew_for(reason);
            self.renew_dependents(id);
        } else {
            self.wake(id);
        }
    }

    /// Where the spec of `id` wants it: those that require `id` start anew with it.
    pub(crate) fn renew_dependents(&mut self, id: InstanceId) {
        let Some(instance) = self.instances.get(&id) else { return };
        let name = instance.name.clone();
        match instance.spec.restart.dependents {
            Dependents::Keep => return,
            Dependents::Restart => {}
        }
        for edge in self.topology.dependents(id).to_vec() {
            let Some(dependent) = self.instances.get_mut(&edge.to) else { continue };
            let follows = edge.bond == Bond::Required && dependent.phase.is_live();
            if follows && dependent.renewal.is_none() {
                dependent.renewal = Some(StopReason::DependencyRestarted(name.clone()));
                self.touch(edge.to);
                self.renew_dependents(edge.to);
            }
        }
    }

    /// A second request to stop: go to the next step, here or, while one of `ids` waits
    /// for dependents to stop first, there. One request is one step, however many ways
    /// lead to an instance.
    fn hurry(&mut self, ids: Vec<InstanceId>) {
        let mut seen = BTreeSet::new();
        let mut open = ids;
        while let Some(id) = open.pop() {
            let Some(instance) = self.instances.get(&id) else { continue };
            if !seen.insert(id) {
                continue;
            }
            match &instance.phase {
                Phase::Stopping(_) => self.next_step(id, None),
                Phase::Starting(_) | Phase::Up(_) => {
                    open.extend(self.dependents_to_stop_first(id).iter().map(|i| i.id));
                }
                Phase::Down
                | Phase::Waiting(_)
                | Phase::Backoff(_)
                | Phase::Failed { .. }
                | Phase::Done => {}
            }
        }
    }

    fn kill_everything(&mut self) {
        let live: Vec<InstanceId> =
            self.instances.values().filter(|i| i.phase.is_live()).map(|i| i.id).collect();
        for id in live {
            self.begin_stop(id, StopReason::Shutdown);
            let Some(Phase::Stopping(stopping)) = self.instances.get(&id).map(|i| &i.phase) else {
                continue;
            };
            match stopping.stage {
                Stage::Unborn | Stage::Killed { .. } => {}
                Stage::Announced { .. }
                | Stage::Aborted { .. }
                | Stage::Command { .. }
                | Stage::Step { .. } => self.kill(id),
            }
        }
    }

    fn configured_instances(&self, service: &str) -> Vec<InstanceId> {
        let of_service = self.instances.values().filter(|instance| {
            instance.membership == Membership::Configured && &*instance.spec.name == service
        });
        of_service.map(|instance| instance.id).collect()
    }
}

/// `web`, or `web/0` when there are several.
fn instance_name(spec: &ServiceSpec, index: u32) -> Arc<str> {
    if spec.replicas == 1 { spec.name.clone() } else { format!("{}/{index}", spec.name).into() }
}
