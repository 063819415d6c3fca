//! The operator: commands aimed at states that last for milliseconds.
//!
//! A command at a random time finds everything up, or failed. What breaks supervisors
//! is the command that arrives while something is being made, stopped or waited for. So
//! the operator watches, and acts within milliseconds of a change.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::sync::Arc;
use std::time::Duration;

use kennel_core::spec::{Dependents, Enabled};
use kennel_core::{Core, Graph, Input, InstanceId, ServiceSpec, Signal, State, Time, Wanted};

use crate::layout::{self, Span};
use crate::plan::{self, Pace, Temper};
use crate::random::Random;

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Command {
    Start(InstanceId),
    Stop(InstanceId),
    StopWithDependents(InstanceId),
    StartWithDependents(InstanceId),
    Restart(InstanceId),
    RestartWithDependents(InstanceId),
    /// All instances of its service, a few at a time.
    Roll(InstanceId),
    Reset(InstanceId),
    Signal(InstanceId),
    /// A reload that changes something about this service.
    Change(InstanceId),
    Reload,
    /// Looks after what is stopped or has failed.
    Round,
    Shutdown,
    ShutdownNow,
}

/// How many commands found their target in which state; in the order of [`State`].
pub(crate) type Hits = [u64; 8];

/// Services have numbers below this one.
const NUMBERS: usize = 12;

pub(crate) struct Operator {
    pace: Pace,
    commands: BinaryHeap<Reverse<(Time, u64, Command)>>,
    number: u64,
    seen: BTreeMap<InstanceId, State>,
    services: BTreeMap<usize, ServiceSpec>,
    tempers: BTreeMap<Arc<str>, Temper>,
    /// The groups that services stand in; in many worlds there are none.
    spans: Vec<Span>,
    pub(crate) hits: Hits,
}

impl Operator {
    pub(crate) fn new(random: &mut Random, pace: Pace, ends_at: Time) -> Operator {
        let mut operator = Operator {
            pace,
            commands: BinaryHeap::new(),
            number: 0,
            seen: BTreeMap::new(),
            services: BTreeMap::new(),
            tempers: BTreeMap::new(),
            spans: Vec::new(),
            hits: Hits::default(),
        };
        for number in 0..3 + random.below(9) {
            operator.add(random, number);
        }
        if random.chance(0.5) {
            operator.spans = layout::random(random, pace, NUMBERS);
        }
        operator.plan(Time::ZERO + Duration::from_secs(1), Command::Round);
        operator.plan(ends_at, Command::Shutdown);
        if random.chance(0.3) {
            let at = ends_at + random.seconds(0.0001, 30.0);
            operator.plan(at, Command::ShutdownNow);
        }
        operator
    }

    /// The supervisor that was to shut down is dead, and its successor knows nothing of it.
    pub(crate) fn shut_down_at(&mut self, at: Time) {
        self.plan(at, Command::Shutdown);
    }

    /// A configuration that somebody changed while no supervisor ran.
    pub(crate) fn change_any(&mut self, random: &mut Random) -> Input {
        let number = random.below(NUMBERS);
        let changed = self.change(&plan::name(number), random);
        changed.unwrap_or_else(|| self.configuration(Vec::new()))
    }

    pub(crate) fn next(&self) -> Option<Time> {
        self.commands.peek().map(|Reverse((at, ..))| *at)
    }

    pub(crate) fn temper(&self, service: &str) -> Temper {
        self.tempers[service].clone()
    }

    /// The configuration as it is now.
    pub(crate) fn configuration(&self, restart: Vec<Arc<str>>) -> Input {
        let specs = self.services.values().cloned().collect();
        let groups = layout::groups(&self.spans, &self.services);
        let graph = Graph::grouped(specs, groups).expect("all leads to smaller numbers only");
        Input::Configure { graph, restart }
    }

    /// Gives the next command.
    pub(crate) fn step(&mut self, core: &Core, random: &mut Random) -> Option<Input> {
        let Reverse((at, _, command)) = self.commands.pop()?;
        let target = match command {
            Command::Start(id)
            | Command::Stop(id)
            | Command::StopWithDependents(id)
            | Command::StartWithDependents(id)
            | Command::Restart(id)
            | Command::RestartWithDependents(id)
            | Command::Roll(id)
            | Command::Reset(id)
            | Command::Signal(id)
            | Command::Change(id) => Some(id),
            Command::Reload | Command::Round | Command::Shutdown | Command::ShutdownNow => None,
        };
        let state = target.and_then(|id| core.view().instance(id)).map(|view| view.state());
        if let Some(state) = state {
            self.hits[state as usize] += 1;
        }
        match command {
            Command::Start(id) => Some(Input::Start(vec![id])),
            Command::Stop(id) => Some(Input::Stop(vec![id])),
            Command::StopWithDependents(id) => Some(Input::Stop(all_from(core, id))),
            Command::StartWithDependents(id) => Some(Input::Start(all_from(core, id))),
            Command::RestartWithDependents(id) => Some(Input::Restart(all_from(core, id))),
            Command::Restart(id) => Some(Input::Restart(vec![id])),
            Command::Roll(id) => {
                let service = core.view().instance(id)?.spec().name.clone();
                Some(Input::Roll(core.view().find(&service)))
            }
            Command::Reset(id) => Some(Input::Reset(vec![id])),
            Command::Signal(id) => Some(Input::Signal(vec![id], Signal::HUP)),
            Command::Change(id) => {
                let name = core.view().instance(id)?.spec().name.clone();
                self.change(&name, random)
            }
            Command::Reload => self.add_or_remove(random),
            Command::Round => {
                self.round(at, core, random);
                None
            }
            Command::Shutdown => Some(Input::Shutdown),
            Command::ShutdownNow => Some(Input::ShutdownNow),
        }
    }

    /// Looks at what has changed, and aims at it.
    pub(crate) fn watch(&mut self, now: Time, core: &Core, random: &mut Random) {
        let odds = match self.pace {
            Pace::Busy => 0.12,
            Pace::Calm => 0.03,
        };
        for view in core.view().instances() {
            let (id, state) = (view.id(), view.state());
            if self.seen.insert(id, state) == Some(state) || !random.chance(odds) {
                continue;
            }
            let after =
                if random.chance(0.3) { Duration::ZERO } else { random.seconds(0.00005, 0.01) };
            let target = match random.below(6) {
                0 => related(core, id, random),
                _ => id,
            };
            let command = match random.below(20) {
                0..=4 => Command::Stop(target),
                5..=8 => Command::Start(target),
                9..=10 => Command::Restart(target),
                11..=12 => Command::Roll(target),
                13 => Command::Reset(target),
                14 => Command::Signal(target),
                15..=17 => Command::Change(target),
                18 => match random.below(4) {
                    0 => Command::StartWithDependents(target),
                    1 => Command::RestartWithDependents(target),
                    _ => Command::StopWithDependents(target),
                },
                _ => Command::Reload,
            };
            self.plan(now + after, command);
            if random.chance(0.4) {
                let again = now + after + random.seconds(0.00005, 2.0);
                let second = random.pick(&[
                    command,
                    Command::Stop(target),
                    Command::Start(target),
                    Command::Restart(target),
                ]);
                self.plan(again, second);
            }
        }
    }

    /// Starts some of what is stopped, resets some of what has failed; now and then
    /// something else, and at last the end.
    fn round(&mut self, now: Time, core: &Core, random: &mut Random) {
        for view in core.view().instances() {
            let (id, soon) = (view.id(), now + random.seconds(0.0001, 0.1));
            match view.state() {
                State::Down if view.wanted() == Wanted::Down && random.chance(0.4) => {
                    self.plan(soon, Command::Start(id));
                }
                State::Failed if random.chance(0.3) => {
                    let command = random.pick(&[Command::Reset(id), Command::Start(id)]);
                    self.plan(soon, command);
                }
                State::Up if random.chance(0.05) => {
                    let all = [Command::Stop(id), Command::Restart(id), Command::Change(id)];
                    self.plan(soon, random.pick(&all));
                }
                State::Down
                | State::Failed
                | State::Up
                | State::Waiting
                | State::Starting
                | State::Stopping
                | State::Backoff
                | State::Done => {}
            }
        }
        let pause = match self.pace {
            Pace::Busy => random.seconds(0.5, 60.0),
            Pace::Calm => random.seconds(600.0, 86_400.0),
        };
        self.plan(now + pause, Command::Round);
    }

    fn add(&mut self, random: &mut Random, number: usize) {
        let known: Vec<usize> = self.services.keys().copied().collect();
        let spec = plan::spec(random, self.pace, number, &known);
        let temper = plan::temper(random, self.pace);
        self.tempers.insert(spec.name.clone(), temper);
        self.services.insert(number, spec);
    }

    fn add_or_remove(&mut self, random: &mut Random) -> Option<Input> {
        let number = random.below(NUMBERS);
        if self.services.remove(&number).is_some() {
            let name = plan::name(number);
            for spec in self.services.values_mut() {
                spec.depends_on.retain(|dependency| *dependency.service != *name);
            }
        } else {
            self.add(random, number);
        }
        Some(self.configuration(Vec::new()))
    }

    /// Limits stay as they are: how an old window is counted under a new limit is not a
    /// rule.
    fn change(&mut self, name: &str, random: &mut Random) -> Option<Input> {
        let known: Vec<usize> = self.services.keys().copied().collect();
        let number = known.iter().copied().find(|number| plan::name(*number) == name)?;
        let spec = self.services.get_mut(&number)?;
        let mut restart = Vec::new();
        if !self.spans.is_empty() && random.chance(0.15) {
            if random.chance(0.2) {
                self.spans = layout::random(random, self.pace, NUMBERS);
            } else {
                layout::change(random, self.pace, &mut self.spans);
            }
            return Some(self.configuration(Vec::new()));
        }
        match random.below(8) {
            0 => {
                spec.enabled = match spec.enabled {
                    Enabled::Yes => Enabled::No,
                    Enabled::No => Enabled::Yes,
                };
            }
            1 => spec.replicas = 1 + random.below(3) as u32,
            2 if random.chance(0.5) => spec.health = plan::checks(random, self.pace),
            2 => plan::stop(random, spec),
            3 => spec.depends_on = plan::dependencies(random, number, &known),
            4 => {
                spec.restart.dependents = match spec.restart.dependents {
                    Dependents::Keep => Dependents::Restart,
                    Dependents::Restart => Dependents::Keep,
                };
            }
            5 => return self.add_or_remove(random),
            _ => restart.push(spec.name.clone()),
        }
        Some(self.configuration(restart))
    }

    fn plan(&mut self, at: Time, command: Command) {
        self.number += 1;
        self.commands.push(Reverse((at, self.number, command)));
    }
}

/// `id`, and everything that was added after it.
fn all_from(core: &Core, id: InstanceId) -> Vec<InstanceId> {
    core.view().instances().map(|view| view.id()).filter(|other| *other >= id).collect()
}

/// A dependency or a dependent of `id`, if it has one.
fn related(core: &Core, id: InstanceId, random: &mut Random) -> InstanceId {
    let Some(view) = core.view().instance(id) else { return id };
    let on = |one: &ServiceSpec, other: &str| {
        one.depends_on.iter().any(|dependency| *dependency.service == *other)
    };
    let name = &view.spec().name;
    let near: Vec<InstanceId> = core
        .view()
        .instances()
        .filter(|other| on(other.spec(), name) || on(view.spec(), &other.spec().name))
        .map(|other| other.id())
        .collect();
    if near.is_empty() { id } else { random.pick(&near) }
}
