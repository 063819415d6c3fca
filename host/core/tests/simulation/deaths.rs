//! Supervisors that are killed: the core is dropped at any moment, the processes go on,
//! facts and commands get lost, and a new core goes on with what was written down.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use kennel_core::spec::{Policy, Ready};
use kennel_core::{
    Core, Graph, InstanceId, Memory, MemoryChange, Remembered, RunId, ServiceSpec, StopReason, Time,
};

use crate::account::Next;
use crate::checks::Question;
use crate::processes::{Found, Key, Processes};
use crate::random::Random;
use crate::rules::{Checked, Rules};

/// What the driver has written down, instance by instance.
#[derive(Default)]
pub(crate) struct Written(BTreeMap<Key, Remembered>);

impl Written {
    /// Writes down what has changed.
    pub(crate) fn follow(&mut self, core: &mut Core) {
        while let Some(change) = core.poll_memory() {
            match change {
                MemoryChange::Now(instance) => {
                    self.0.insert((instance.service.clone(), instance.index), *instance);
                }
                MemoryChange::Gone { service, index } => {
                    self.0.remove(&(service, index));
                }
            }
        }
    }

    /// What was written must be all there is to remember.
    pub(crate) fn is_complete(&self, core: &Core) -> Checked {
        let memory = core.memory().instances;
        rule!(memory.len() == self.0.len(), "it remembers others than were written down");
        for instance in memory {
            let key = (instance.service.clone(), instance.index);
            let known = self.0.get(&key);
            rule!(known == Some(&instance), "{key:?} is {instance:?} and was told as {known:?}");
        }
        Ok(())
    }

    /// What was written down, with what is found of the processes. How a process ended
    /// that is nobody's child may be unknown.
    pub(crate) fn memory(&self, processes: &Processes, random: &mut Random) -> Memory {
        let mut instances: Vec<Remembered> = self.0.values().cloned().collect();
        for run in instances.iter_mut().filter_map(Remembered::run_mut) {
            run.was_not_listened_to();
            match processes.found(run.run) {
                Found::Nothing => {}
                Found::Alive { since } => run.spawned_at = run.spawned_at.or(Some(since)),
                Found::Ended { since, status, group } => {
                    let told = random.chance(0.5);
                    let status = if told { status } else { kennel_core::ExitStatus::Unknown };
                    run.spawned_at = run.spawned_at.or(Some(since));
                    run.ended = Some((status, group));
                }
            }
        }
        Memory { instances }
    }
}

/// What the rules want of a new supervisor.
#[derive(Default)]
pub(crate) struct Adoption {
    pub(crate) adopted: BTreeSet<RunId>,
    /// How many were told of at once.
    pub(crate) told: Option<u32>,
}

/// The restarts that are counted for people.
pub(crate) fn restarts(core: &Core) -> BTreeMap<Key, u32> {
    let key = |view: kennel_core::InstanceView<'_>| (view.spec().name.clone(), view.index());
    core.view().instances().map(|view| (key(view), view.restarts())).collect()
}

/// Whether runs have ended unseen.
pub(crate) fn some_ended(memory: &Memory) -> bool {
    memory.instances.iter().filter_map(Remembered::run).any(|run| run.ended.is_some())
}

impl Rules {
    /// A new core was given `memory` and its first configuration.
    pub(crate) fn restored(
        &mut self,
        now: Time,
        (graph, restart): (&Graph, &[Arc<str>]),
        memory: &Memory,
        core: &Core,
    ) -> Checked {
        self.rolls.clear();
        self.automatic.clear();
        let has_rested = self.ending.take().is_some();
        self.killing = false;
        self.left_behind.clear();
        self.adoption = Adoption::default();
        self.groups.forget();
        self.groups.unseen_since = Some(self.now);
        let ids: BTreeMap<Key, InstanceId> = core
            .view()
            .instances()
            .map(|view| ((view.spec().name.clone(), view.index()), view.id()))
            .collect();
        let known: BTreeMap<RunId, _> = memory
            .instances
            .iter()
            .filter_map(|one| one.run())
            .map(|run| (run.run, (run.spawned_at, run.ended)))
            .collect();
        for (_, mut account) in std::mem::take(&mut self.accounts) {
            account.removed = None;
            account.question = None;
            // A shutdown puts to rest also what was done.
            account.done &= !has_rested;
            account.down_since = None;
            let found = account.run.as_ref().and_then(|r| known.get(&r.id).copied());
            match (&mut account.run, found) {
                (Some(r), Some((Some(since), ended))) => {
                    r.survives(now, since, ended, account.spec.restart.policy);
                }
                (Some(_), Some((None, _))) => {
                    account.run = None;
                    account.next = Next::Free;
                }
                (Some(r), None) => return Err(format!("run {} was not remembered", r.id)),
                (None, _) => {}
            }
            let (service, index) = &account.key;
            let spec = graph.service(service);
            if spec.is_none_or(|spec| *index >= spec.replicas) {
                let gone = || Arc::new(ServiceSpec::daemon(service.clone()));
                account.spec = spec.cloned().unwrap_or_else(gone);
            }
            match ids.get(&account.key) {
                Some(id) => drop(self.accounts.insert(*id, account)),
                None => {
                    let is_over = account.run.as_ref().is_none_or(|r| r.exit.is_some());
                    rule!(is_over, "{:?} runs and was forgotten", account.key);
                }
            }
        }
        self.configured(now, graph, restart, core)?;
        for account in self.accounts.values_mut() {
            let spec = account.spec.clone();
            let Some(r) = account.run.as_mut().filter(|r| r.exit.is_none()) else { continue };
            if r.is_up() {
                r.notices.arm(now);
                let reset_after = spec.restart.reset_after;
                r.stable_at = (!r.stable && r.is_passing()).then(|| now + reset_after);
            } else if let (Ready::Checked { attempt, .. }, None) = (spec.ready, &r.stopping) {
                let until = &mut r.notices.excused_until;
                *until = (*until).max(Some(now + 2 * attempt));
            }
        }
        self.pass(now);
        Ok(())
    }

    /// After the first step of a new core: is every run adopted that is left?
    pub(crate) fn all_adopted(&mut self) -> Checked {
        self.groups.unseen_since = None;
        let Adoption { adopted, told } = &self.adoption;
        rule!(told.unwrap_or(0) as usize == adopted.len(), "{told:?} were adopted, it says");
        Ok(())
    }

    /// It says that it adopts a run: is that right?
    pub(crate) fn adopts(&mut self, id: InstanceId, run: RunId) -> Checked {
        let present = self.accounts.get(&id).and_then(|account| account.run.as_ref());
        let rightly = present.is_some_and(|r| r.id == run && r.spawned_at.is_some());
        rule!(rightly, "run {run} is adopted, which is not the present one");
        rule!(self.adoption.adopted.insert(run), "run {run} is adopted twice");
        Ok(())
    }
}

impl crate::account::Run {
    /// Its supervisor died, and it is found by the next.
    fn survives(
        &mut self,
        now: Time,
        since: Time,
        ended: Option<(kennel_core::ExitStatus, kennel_core::Group)>,
        policy: Policy,
    ) {
        self.spawned_at.get_or_insert(since);
        if let Some((status, _)) = ended {
            self.exit.get_or_insert(status);
        }
        // What was asked for meanwhile is remembered as that.
        if std::mem::take(&mut self.comes_back)
            && matches!(self.renewal, Some(StopReason::GroupRestarted(_)))
            && policy == Policy::Never
        {
            self.renewal = Some(StopReason::Restart);
        }
        self.checks.clear();
        self.check_says_restart = false;
        self.looks = Question::default();
        self.killed = false;
        self.stable_at = None;
        self.restored_at = Some(now);
        if let Some((_, since)) = &mut self.stopping {
            *since = now;
        }
    }
}

/// How long nobody supervises.
pub(crate) fn gap(random: &mut Random) -> Duration {
    match random.below(3) {
        0 => Duration::ZERO,
        1 => random.seconds(0.0001, 0.1),
        _ => random.seconds(0.1, 60.0),
    }
}
