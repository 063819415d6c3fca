//! Going on where an earlier supervisor ended.
//!
//! ```text
//!   Remembered ◄─ poll_memory ── Core        Core ◄─ Restore(Memory), then Configure
//!       │                          ╳           │
//!       └── the driver writes it   killed      └── phases as they were, runs adopted,
//!           down                                   ends that nobody saw follow at once
//! ```
//!
//! What was known goes on: what is wanted, counters, waits with their ends, stops with
//! their stage and reason. What must be seen to be known begins anew: checks, the proof
//! of being stable, the watchdog's period.

use std::sync::Arc;

use crate::core::Core;
use crate::effect::{Effect, Recipient};
use crate::event::{EventKind, StopReason};
use crate::instance::{
    Asked, Backoff, Instance, Phase, Proof, Stage, Starting, Stopping, Up, Waiting, Watchdog, Word,
};
use crate::memory::{Memory, MemoryChange, Progress, Remembered, RememberedPhase, RememberedRun};
use crate::restart::Stability;
use crate::spec::{Kind, Policy, Ready};
use crate::{ExitStatus, Graph, Group, InstanceId, RunId, ServiceSpec, Signal, Time};

impl Core {
    /// What must outlive this core.
    pub fn memory(&self) -> Memory {
        let known = self.instances.values().map(Remembered::of);
        Memory { instances: known.chain(self.restored.values().cloned()).collect() }
    }

    /// What has changed of [`Core::memory`] since the last call. To be asked until there is
    /// nothing, after the effects were performed: what is remembered has happened.
    pub fn poll_memory(&mut self) -> Option<MemoryChange> {
        if let Some((service, index)) = self.forgotten.pop_front() {
            return Some(MemoryChange::Gone { service, index });
        }
        while let Some(id) = self.changed.pop_first() {
            if let Some(instance) = self.instances.get(&id) {
                return Some(MemoryChange::Now(Box::new(Remembered::of(instance))));
            }
        }
        None
    }

    /// Something of it has changed that must be remembered.
    pub(crate) fn touch(&mut self, id: InstanceId) {
        self.changed.insert(id);
    }

    /// Takes what is to be gone on with. Too late after the first configuration.
    pub(crate) fn restore(&mut self, memory: Memory) {
        if self.configurations > 0 {
            return;
        }
        for old in memory.instances {
            if let Some(run) = old.run() {
                self.be_above(run.run);
            }
            self.restored.insert((old.service.clone(), old.index), old);
        }
    }

    /// Adds an instance, where an earlier supervisor had it if it did.
    pub(crate) fn add_or_go_on(&mut self, spec: &Arc<ServiceSpec>, index: u32) -> InstanceId {
        let id = self.add(spec, index);
        if let Some(old) = self.restored.remove(&(spec.name.clone(), index)) {
            let before = old.enabled;
            self.go_on(id, old);
            self.follow_enabled(id, before);
        }
        id
    }

    /// Adds what is no longer configured, for as long as its run lasts.
    pub(crate) fn add_the_removed(&mut self, graph: &Graph) {
        for ((service, index), old) in std::mem::take(&mut self.restored) {
            if old.run().is_none_or(|run| run.spawned_at.is_none()) {
                self.forgotten.push_back((service, index));
                continue;
            }
            let spec = graph.service(&service).cloned();
            let spec = spec.unwrap_or_else(|| Arc::new(ServiceSpec::daemon(service)));
            let id = self.add(&spec, index);
            let name = old.name.clone();
            self.go_on(id, old);
            if let Some(instance) = self.instances.get_mut(&id) {
                instance.name = name;
            }
        }
    }

    fn go_on(&mut self, id: InstanceId, old: Remembered) {
        let Some(instance) = self.instances.get_mut(&id) else { return };
        instance.wanted = old.wanted;
        instance.since = old.since;
        instance.counters = old.counters;
        instance.last_failure = old.last_failure;
        instance.last_exit = old.last_exit;
        instance.history = old.history.into();
        instance.phase = match old.phase {
            RememberedPhase::Down => Phase::Down,
            RememberedPhase::Waiting(entry) => Phase::Waiting(Waiting { entry, told: None }),
            RememberedPhase::Backoff { until, entry } => {
                Phase::Backoff(Backoff { until, entry, advice: Asked::Nothing })
            }
            RememberedPhase::Failed { reason, retry_at } => Phase::Failed { reason, retry_at },
            RememberedPhase::Done => Phase::Done,
            RememberedPhase::Run(run) => match run.spawned_at {
                // There was an intention, and nothing came of it.
                None => Phase::Down,
                Some(spawned_at) => {
                    self.runs.insert(run.run, id);
                    instance.renewal = run.renewal.clone();
                    instance.reported = run.reported.clone();
                    self.adopted.push((id, run.ended));
                    phase_of(run, spawned_at)
                }
            },
        };
    }

    /// Tells of the runs that were found, and lets what must follow: checks, or the end
    /// that nobody saw. To be called when all instances are there.
    pub(crate) fn adopt(&mut self) {
        let found = std::mem::take(&mut self.adopted);
        if found.is_empty() {
            return;
        }
        let ended = found.iter().filter(|(_, ended)| ended.is_some()).count() as u32;
        let adopted = found.len() as u32 - ended;
        self.tell_all(EventKind::WentOn { adopted, ended });
        for (id, ended) in found {
            let Some(run) = self.instances.get(&id).and_then(|instance| instance.phase.run())
            else {
                continue;
            };
            match ended {
                None => self.adopt_run(id, run),
                Some((status, group)) => {
                    self.is_catching_up = true;
                    self.ended_unseen(id, run, status, group);
                    self.is_catching_up = false;
                }
            }
        }
    }

    fn adopt_run(&mut self, id: InstanceId, run: RunId) {
        let now = self.now;
        self.tell(id, EventKind::Adopted { run });
        let Some(instance) = self.instances.get_mut(&id) else { return };
        match &mut instance.phase {
            Phase::Starting(starting) => {
                if let (Kind::Daemon, Ready::Checked { attempt, .. }) =
                    (instance.spec.kind, instance.spec.ready)
                {
                    // Whatever time has passed, somebody looks before it is judged.
                    let one_look = now + attempt.saturating_mul(2);
                    starting.excused_until = starting.excused_until.max(Some(one_look));
                }
                self.change_tries(id);
            }
            Phase::Up(up) => {
                up.watchdog = Watchdog::armed(up.watchdog.map(|watchdog| watchdog.every), now);
                let spawned_at = up.spawned_at;
                let checks = self.new_checks(id, spawned_at);
                if let Some(Phase::Up(up)) = self.instances.get_mut(&id).map(|i| &mut i.phase) {
                    up.checks = checks;
                }
                self.weigh_health(id);
            }
            Phase::Stopping(stopping) => {
                let (stage, main) = (stopping.stage, stopping.main);
                if main.is_some() {
                    self.effect(Effect::WatchGroup { run });
                }
                match stage {
                    Stage::Unborn => self.first_stage(id),
                    // Whether it was sent is not certain, and twice does no harm.
                    Stage::Killed { .. } => {
                        let (signal, to) = (Signal::KILL, Recipient::Group);
                        self.effect(Effect::Signal { run, signal, to });
                    }
                    Stage::Announced { .. }
                    | Stage::Aborted { .. }
                    | Stage::Command { .. }
                    | Stage::Step { .. } => {}
                }
            }
            Phase::Down
            | Phase::Waiting(_)
            | Phase::Backoff(_)
            | Phase::Failed { .. }
            | Phase::Done => {}
        }
    }

    /// A run has ended while no supervisor ran: what follows an end follows now.
    fn ended_unseen(&mut self, id: InstanceId, run: RunId, status: ExitStatus, group: Group) {
        let main = match self.instances.get(&id).map(|instance| &instance.phase) {
            Some(Phase::Stopping(stopping)) => stopping.main,
            Some(
                Phase::Starting(_)
                | Phase::Up(_)
                | Phase::Down
                | Phase::Waiting(_)
                | Phase::Backoff(_)
                | Phase::Failed { .. }
                | Phase::Done,
            )
            | None => None,
        };
        match (main, group) {
            (None, Group::Empty | Group::Left) => self.exited(run, status, group),
            (Some(_), Group::Empty) => self.group_ended(run),
            (Some(_), Group::Left) => self.effect(Effect::WatchGroup { run }),
        }
    }
}

fn phase_of(run: RememberedRun, spawned_at: Time) -> Phase {
    let RememberedRun { run, progress, watchdog, excused_until, word, .. } = run;
    match progress {
        Progress::Starting => Phase::Starting(Starting {
            run,
            spawned_at: Some(spawned_at),
            tries: None,
            last_try: None,
            excused_until,
            watchdog,
            word,
        }),
        Progress::Up(stability) => {
            let proof = match stability {
                Stability::Stable => Proof::Given,
                Stability::Unproven | Stability::NeverReady => Proof::Interrupted,
            };
            // Armed when it is adopted.
            let watchdog = watchdog.map(|every| Watchdog { every, due: Time::ZERO });
            let checks = Vec::new();
            Phase::Up(Up { run, spawned_at, proof, checks, excused_until, watchdog })
        }
        Progress::Stopping { reason, stability, stage, main } => {
            let spawned_at = Some(spawned_at);
            Phase::Stopping(Stopping { run, spawned_at, stability, reason, stage, main })
        }
    }
}

impl Remembered {
    fn of(instance: &Instance) -> Remembered {
        let phase = match &instance.phase {
            Phase::Down => RememberedPhase::Down,
            Phase::Waiting(waiting) => RememberedPhase::Waiting(waiting.entry),
            Phase::Backoff(backoff) => {
                RememberedPhase::Backoff { until: backoff.until, entry: backoff.entry }
            }
            Phase::Failed { reason, retry_at } => {
                RememberedPhase::Failed { reason: reason.clone(), retry_at: *retry_at }
            }
            Phase::Done => RememberedPhase::Done,
            Phase::Starting(starting) => RememberedPhase::Run(RememberedRun {
                spawned_at: starting.spawned_at,
                watchdog: starting.watchdog,
                excused_until: starting.excused_until,
                word: starting.word,
                ..run_of(instance, starting.run, Progress::Starting)
            }),
            Phase::Up(up) => {
                let stability = match up.proof {
                    Proof::Given => Stability::Stable,
                    Proof::Until(_) | Proof::Interrupted => Stability::Unproven,
                };
                RememberedPhase::Run(RememberedRun {
                    spawned_at: Some(up.spawned_at),
                    watchdog: up.watchdog.map(|watchdog| watchdog.every),
                    excused_until: up.excused_until,
                    ..run_of(instance, up.run, Progress::Up(stability))
                })
            }
            Phase::Stopping(stopping) => {
                let progress = Progress::Stopping {
                    reason: stopping.reason.clone(),
                    stability: stopping.stability,
                    stage: stopping.stage,
                    main: stopping.main,
                };
                RememberedPhase::Run(RememberedRun {
                    spawned_at: stopping.spawned_at,
                    ..run_of(instance, stopping.run, progress)
                })
            }
        };
        Remembered {
            service: instance.spec.name.clone(),
            index: instance.index,
            name: instance.name.clone(),
            wanted: instance.wanted,
            enabled: instance.spec.enabled,
            phase,
            since: instance.since,
            counters: instance.counters.clone(),
            last_failure: instance.last_failure.clone(),
            last_exit: instance.last_exit,
            history: instance.history.iter().cloned().collect(),
        }
    }
}

fn run_of(instance: &Instance, run: RunId, progress: Progress) -> RememberedRun {
    RememberedRun {
        run,
        spawned_at: None,
        progress,
        renewal: match &instance.renewal {
            // Remembered is what was asked for, lest it stays away.
            Some(StopReason::GroupRestarted(_))
                if instance.comes_back && instance.spec.restart.policy == Policy::Never =>
            {
                Some(StopReason::Restart)
            }
            renewal => renewal.clone(),
        },
        watchdog: None,
        excused_until: None,
        word: Word::Heard,
        reported: instance.reported.clone(),
        ended: None,
    }
}
