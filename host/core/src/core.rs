//! The core itself: its parts, the way in and the ways out.
//!
//! `handle` first lets everything happen that is due by now, then takes the input, then
//! settles: what is wanted spreads through the dependency graph, and only then are
//! effects made. The parts live beside this file:
//!
//! ```text
//!   command.rs   what the operator and the configuration say      ┐
//!   fact.rs      what the operating system says                   ├─► settle.rs ─► effects
//!   notice.rs    what a run says of itself                        │
//!   health.rs    what checks say                                  │
//!   advice.rs    what a restart policy says                       │
//!   due.rs       what the time says                               ┘
//!   restore.rs   what must outlive the supervisor, and going on with it
//!   roll.rs      who gets a new run next, a few at a time, told by settle.rs
//!   group.rs     who restarts together (pure), done in together.rs
//!   stop.rs      the way of a run to its end
//!   restart.rs   what follows an end (pure)
//!   view.rs      what others may see, and why it is so
//! ```
//!
//! Absent on purpose: pids, wall-clock time, commands, file names, errors. A fact about
//! a run that is over is not an error; it changes nothing.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use crate::event::{Event, EventKind, Shutdown};
use crate::group::Groups;
use crate::instance::{Instance, Phase};
use crate::memory::Remembered;
use crate::rng::Rng;
use crate::roll::Roll;
use crate::storm::Storm;
use crate::table::Table;
use crate::topology::Topology;
use crate::view::View;
use crate::{Effect, ExitStatus, Group, Input, InstanceId, Limits, RunId, Time};

/// The state machine of the whole supervisor.
#[derive(Clone, Debug)]
pub struct Core {
    pub(crate) limits: Limits,
    pub(crate) rng: Rng,
    pub(crate) now: Time,
    pub(crate) instances: Table<Instance>,
    /// Which instance a run belongs to, for runs that are not over.
    pub(crate) runs: BTreeMap<RunId, InstanceId>,
    pub(crate) topology: Topology,
    pub(crate) groups: Groups,
    pub(crate) rolls: Vec<Roll>,
    pub(crate) storm: Storm,
    /// When storm control lets the next waiting instance pass, if one waits for it.
    pub(crate) storm_opens_at: Option<Time>,
    /// Whether something has changed that may let instances start or make them stop.
    pub(crate) is_unsettled: bool,
    /// Whether what is told now happened while no supervisor ran.
    pub(crate) is_catching_up: bool,
    pub(crate) ending: Option<Ending>,
    /// How many configurations there were.
    pub(crate) configurations: u32,
    /// What is remembered of instances that no configuration has had yet.
    pub(crate) restored: BTreeMap<(Arc<str>, u32), Remembered>,
    /// Runs that an earlier supervisor began, and how they ended, not told of yet.
    pub(crate) adopted: Vec<(InstanceId, Option<(ExitStatus, Group)>)>,
    /// What must be remembered of these has changed.
    pub(crate) changed: BTreeSet<InstanceId>,
    /// These instances are gone.
    pub(crate) forgotten: VecDeque<(Arc<str>, u32)>,
    next_instance: u32,
    next_run: RunId,
    effects: VecDeque<Effect>,
    events: VecDeque<Event>,
}

/// The end of the supervisor.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Ending {
    pub(crate) code: i32,
    pub(crate) stage: EndingStage,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum EndingStage {
    /// Services stop in order; past the deadline they are killed.
    Orderly { deadline: Time },
    /// Everything was killed; past the deadline the supervisor leaves all the same.
    Killing { deadline: Time },
    /// The effect to leave was given.
    Over,
}

impl Core {
    /// A core without services. `seed` is for jitter; `first_run` must be above every
    /// run that an earlier supervisor on the same state has named.
    pub fn new(limits: Limits, seed: u64, first_run: RunId) -> Core {
        Core {
            limits,
            rng: Rng::new(seed),
            now: Time::ZERO,
            instances: Table::default(),
            runs: BTreeMap::new(),
            topology: Topology::default(),
            groups: Groups::default(),
            rolls: Vec::new(),
            storm: Storm::default(),
            storm_opens_at: None,
            is_unsettled: false,
            is_catching_up: false,
            ending: None,
            configurations: 0,
            restored: BTreeMap::new(),
            adopted: Vec::new(),
            changed: BTreeSet::new(),
            forgotten: VecDeque::new(),
            next_instance: 0,
            next_run: first_run,
            effects: VecDeque::new(),
            events: VecDeque::new(),
        }
    }

    /// Takes one input at `now`. Cannot fail and cannot block. A `now` before that of
    /// an earlier call counts as that one.
    pub fn handle(&mut self, now: Time, input: Input) {
        self.now = self.now.max(now);
        self.do_what_is_due();
        // A check that only counts, or a sign of life, changes no phase and no wish. There
        // may be thousands a second of them, and settling looks at every instance.
        self.is_unsettled |=
            !matches!(input, Input::Tick | Input::Checked(_) | Input::Notified(..));
        match input {
            Input::Tick => {}
            Input::Restore(memory) => self.restore(memory),
            Input::Configure { graph, restart } => self.configure(&graph, &restart),
            Input::Start(ids) => self.start(&ids),
            Input::Stop(ids) => self.stop(&ids),
            Input::Restart(ids) => self.restart(&ids),
            Input::Roll(ids) => self.roll(&ids),
            Input::Reset(ids) => self.reset(&ids),
            Input::Signal(ids, signal) => self.signal(&ids, signal),
            Input::Shutdown => self.shut_down(Shutdown::Orderly),
            Input::ShutdownNow => self.shut_down(Shutdown::Now),
            Input::Spawned(run) => self.spawned(run),
            Input::SpawnFailed(run, error) => self.spawn_failed(run, error),
            Input::Ready(run) => self.ready(run),
            Input::Notified(run, notice) => self.notified(run, notice),
            Input::HealthChanged(run, health, reason) => self.health_changed(run, health, reason),
            Input::Checked(answer) => self.checked(answer),
            Input::PolicyDecided { instance, run, answer, reason } => {
                self.policy_decided(instance, run, answer, reason);
            }
            Input::Exited { run, status, group } => self.exited(run, status, group),
            Input::GroupEnded(run) => self.group_ended(run),
            Input::Swept(run) => self.swept(run),
            Input::StopCommandEnded(run) => self.stop_command_ended(run),
        }
        if std::mem::take(&mut self.is_unsettled) {
            self.settle();
        }
    }

    /// The next thing that the driver must do. To be asked until there is none.
    pub fn poll_effect(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    /// The next thing that people are told. To be asked until there is none.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// When to come back with [`Input::Tick`] if nothing else comes before.
    pub fn next_deadline(&self) -> Option<Time> {
        let ending = self.ending.and_then(|ending| match ending.stage {
            EndingStage::Orderly { deadline } | EndingStage::Killing { deadline } => Some(deadline),
            EndingStage::Over => None,
        });
        let instances = self.instances.values().filter_map(Instance::deadline).min();
        [ending, self.storm_opens_at, self.roll_deadline(), instances].into_iter().flatten().min()
    }

    /// What there is to see.
    pub fn view(&self) -> View<'_> {
        View::new(self)
    }

    /// Sets the limits that span all services, from now on.
    pub fn set_limits(&mut self, limits: Limits) {
        self.limits = limits;
        self.is_unsettled = true;
    }

    /// Whether nothing is asked politely any more.
    pub(crate) fn is_killing(&self) -> bool {
        match self.ending.map(|ending| ending.stage) {
            Some(EndingStage::Killing { .. } | EndingStage::Over) => true,
            Some(EndingStage::Orderly { .. }) | None => false,
        }
    }

    pub(crate) fn effect(&mut self, effect: Effect) {
        self.effects.push_back(effect);
    }

    pub(crate) fn tell(&mut self, id: InstanceId, kind: EventKind) {
        self.touch(id);
        let name = self.instances.get(&id).map(|instance| instance.name.clone());
        self.events.push_back(Event { at: self.now, instance: Some(id), name, kind });
    }

    pub(crate) fn tell_service(&mut self, service: &Arc<str>, kind: EventKind) {
        let name = Some(service.clone());
        self.events.push_back(Event { at: self.now, instance: None, name, kind });
    }

    pub(crate) fn tell_all(&mut self, kind: EventKind) {
        self.events.push_back(Event { at: self.now, instance: None, name: None, kind });
    }

    pub(crate) fn enter(&mut self, id: InstanceId, phase: Phase) {
        let now = self.now;
        self.is_unsettled = true;
        self.touch(id);
        if let Some(instance) = self.instances.get_mut(&id) {
            instance.phase = phase;
            instance.since = now;
        }
    }

    /// The instance whose present run this is; none when the run is over.
    pub(crate) fn instance_of(&self, run: RunId) -> Option<InstanceId> {
        self.runs.get(&run).copied()
    }

    /// What the next run will be called.
    pub fn next_run(&self) -> RunId {
        self.next_run
    }

    /// Names later runs so that `run` is below them.
    pub(crate) fn be_above(&mut self, run: RunId) {
        self.next_run = self.next_run.max(RunId(run.0 + 1));
    }

    pub(crate) fn new_run(&mut self, id: InstanceId) -> RunId {
        let run = self.next_run;
        self.next_run = RunId(run.0 + 1);
        self.runs.insert(run, id);
        run
    }

    pub(crate) fn new_instance_id(&mut self) -> InstanceId {
        let id = InstanceId(self.next_instance);
        self.next_instance += 1;
        id
    }
}
