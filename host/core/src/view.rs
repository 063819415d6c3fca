//! What others may see, and in one sentence why it is so.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::core::Core;
use crate::event::{GaveUp, Wanted};
use crate::health::Check;
use crate::human::Human;
use crate::instance::{Asked, Instance, Membership, Phase, Stage, Target, WhyDown};
use crate::restart::PastRun;
use crate::spec::{Condition, Enabled, Kind};
use crate::{ExitStatus, Health, InstanceId, RunId, ServiceSpec, Signal, Time};

/// A read-only snapshot of the core.
#[derive(Clone, Copy)]
pub struct View<'a> {
    core: &'a Core,
}

/// The state of an instance, as people know it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum State {
    /// Not running, and nobody wants it to.
    Down,
    /// Wants to start, and waits for a dependency or its turn.
    Waiting,
    /// Its process is being made or runs and is not ready yet; a oneshot: at work.
    Starting,
    /// Ready.
    Up,
    /// On its way down.
    Stopping,
    /// It ended by itself and starts again after a wait.
    Backoff,
    /// It ended by itself and does not start again by itself.
    Failed,
    /// It ended with success, and that was all.
    Done,
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            State::Down => "down",
            State::Waiting => "waiting",
            State::Starting => "starting",
            State::Up => "up",
            State::Stopping => "stopping",
            State::Backoff => "backoff",
            State::Failed => "failed",
            State::Done => "done",
        })
    }
}

/// Whether the supervisor goes on or comes to its end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Course {
    /// It supervises.
    Running,
    /// It shuts down.
    ShuttingDown,
}

impl<'a> View<'a> {
    pub(crate) fn new(core: &'a Core) -> View<'a> {
        View { core }
    }

    /// Every instance, dependencies before dependents.
    pub fn instances(self) -> impl Iterator<Item = InstanceView<'a>> {
        let order = self.core.topology.order.iter();
        order.filter_map(move |id| self.instance(*id))
    }

    /// One instance.
    pub fn instance(self, id: InstanceId) -> Option<InstanceView<'a>> {
        let instance = self.core.instances.get(&id)?;
        Some(InstanceView { core: self.core, instance })
    }

    /// The instances that `name` means: an instance of that name, or all instances of a
    /// service of that name. Empty when nothing is called so.
    pub fn find(self, name: &str) -> Vec<InstanceId> {
        let configured = || {
            let instances =
                self.core.topology.order.iter().filter_map(|i| self.core.instances.get(i));
            instances.filter(|instance| instance.membership == Membership::Configured)
        };
        let exact = configured().find(|instance| &*instance.name == name);
        match exact {
            Some(instance) => vec![instance.id],
            None => configured().filter(|i| &*i.spec.name == name).map(|i| i.id).collect(),
        }
    }

    /// The instance that this run is the present one of.
    pub fn instance_of(self, run: RunId) -> Option<InstanceId> {
        self.core.instance_of(run)
    }

    /// Whether a rolling restart of that service is under way.
    pub fn is_rolling(self, service: &str) -> bool {
        self.core.is_rolling(service)
    }

    /// Whether the supervisor is on its way to its end.
    pub fn course(self) -> Course {
        if self.core.ending.is_some() { Course::ShuttingDown } else { Course::Running }
    }
}

/// What one check says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CheckView<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its word.
    pub health: Health,
    /// What its last answer was; empty before the first.
    pub reason: &'a str,
}

/// One instance, read-only.
#[derive(Clone, Copy)]
pub struct InstanceView<'a> {
    core: &'a Core,
    instance: &'a Instance,
}

impl<'a> InstanceView<'a> {
    /// Its id.
    pub fn id(self) -> InstanceId {
        self.instance.id
    }

    /// Its name: that of the service, with `/0`, `/1` … when there are several.
    pub fn name(self) -> &'a Arc<str> {
        &self.instance.name
    }

    /// Which of the replicas it is, from 0.
    pub fn index(self) -> u32 {
        self.instance.index
    }

    /// The spec of its service.
    pub fn spec(self) -> &'a Arc<ServiceSpec> {
        &self.instance.spec
    }

    /// What the operator wants.
    pub fn wanted(self) -> Wanted {
        self.instance.wanted
    }

    /// Where it is.
    pub fn state(self) -> State {
        match &self.instance.phase {
            Phase::Down => State::Down,
            Phase::Waiting(_) => State::Waiting,
            Phase::Starting(_) => State::Starting,
            Phase::Up(_) => State::Up,
            Phase::Stopping(_) => State::Stopping,
            Phase::Backoff(_) => State::Backoff,
            Phase::Failed { .. } => State::Failed,
            Phase::Done => State::Done,
        }
    }

    /// When it came there.
    pub fn since(self) -> Time {
        self.instance.since
    }

    /// Its present run.
    pub fn run(self) -> Option<RunId> {
        self.instance.phase.run()
    }

    /// What the checks say.
    pub fn health(self) -> Health {
        self.instance.health
    }

    /// Why its health is what it is, where it is not good.
    pub fn health_reason(self) -> Option<Arc<str>> {
        match self.instance.health {
            Health::Healthy => None,
            Health::Unknown | Health::Degraded | Health::Unhealthy => {
                let (_, why) = self.instance.present_health();
                (!why.is_empty()).then_some(why)
            }
        }
    }

    /// What each of its checks says, in the order of the spec; empty unless it is up.
    pub fn checks(self) -> impl Iterator<Item = CheckView<'a>> {
        let checks: &'a [Check] = match &self.instance.phase {
            Phase::Up(up) => &up.checks,
            Phase::Down
            | Phase::Waiting(_)
            | Phase::Starting(_)
            | Phase::Stopping(_)
            | Phase::Backoff(_)
            | Phase::Failed { .. }
            | Phase::Done => &[],
        };
        checks.iter().map(|check| CheckView {
            name: &check.spec.name,
            health: check.word,
            reason: &check.reason,
        })
    }

    /// Runs that ended by themselves since the operator last began anew, newest first; the
    /// last 32.
    pub fn history(self) -> impl Iterator<Item = &'a PastRun> {
        self.instance.history.iter()
    }

    /// How many automatic restarts the limit counts at `now`.
    pub fn restarts_in_window(self, now: Time) -> u32 {
        self.instance.counters.in_window(self.instance.spec.restart.limit, now)
    }

    /// When the process of its present run came to be.
    pub fn spawned_at(self) -> Option<Time> {
        let (_, spawned_at) = self.core.standing(self.instance.id);
        spawned_at
    }

    /// Automatic restarts since it was added or reset.
    pub fn restarts(self) -> u32 {
        self.instance.counters.restarts
    }

    /// How its last process ended, and when.
    pub fn last_exit(self) -> Option<(ExitStatus, Time)> {
        self.instance.last_exit
    }

    /// When the next run is due, where that is known.
    pub fn next_restart(self) -> Option<Time> {
        match &self.instance.phase {
            Phase::Backoff(backoff) => Some(backoff.until),
            Phase::Failed { retry_at, .. } => *retry_at,
            Phase::Down
            | Phase::Waiting(_)
            | Phase::Starting(_)
            | Phase::Up(_)
            | Phase::Stopping(_)
            | Phase::Done => None,
        }
    }

    /// Whether a rolling restart still has to restart it.
    pub fn awaits_roll(self) -> bool {
        self.core.awaits_roll(self.instance.id)
    }

    /// Whether the present run has to be replaced by another one.
    pub fn is_being_renewed(self) -> bool {
        self.instance.renewal.is_some()
    }

    /// One sentence on why it is where it is, with what comes next; empty when there is
    /// nothing to say.
    pub fn reason(self, now: Time) -> String {
        let instance = self.instance;
        match &instance.phase {
            Phase::Down => match (instance.wanted, instance.spec.enabled) {
                (Wanted::Down, Enabled::No) if instance.last_exit.is_none() => "not enabled".into(),
                (Wanted::Down, Enabled::Yes | Enabled::No) => "stopped by the operator".into(),
                (Wanted::Up, Enabled::Yes | Enabled::No) => String::new(),
            },
            Phase::Waiting(_) => match self.core.unmet_dependency(instance.id) {
                Some(edge) => self.core.waits_for(edge.to, edge.condition),
                None => match self.core.stops_before_start(instance.id) {
                    Some(other) => {
                        format!(
                            "waits for {} to stop, as its group restarts",
                            self.core.name(other)
                        )
                    }
                    None => "waits for its turn: many others start".into(),
                },
            },
            Phase::Starting(starting) => match (starting.spawned_at, instance.spec.kind) {
                (None, Kind::Daemon | Kind::Oneshot) => "its process is being made".into(),
                (Some(_), Kind::Oneshot) => String::new(),
                (Some(_), Kind::Daemon) => match instance.ready_timeout() {
                    Some(timeout) => {
                        let last = starting.last_try.as_ref();
                        let last = last.map_or(String::new(), |why| format!("; {why}"));
                        format!("not ready yet; has to be within {}{last}", Human(timeout))
                    }
                    None => String::new(),
                },
            },
            Phase::Up(_) => match self.core.dependent_to_stop_first(instance.id) {
                Some(dependent) if instance.must_stop() => {
                    format!("stops after {}", dependent.name)
                }
                Some(_) | None => match self.health_reason() {
                    Some(why) => why.to_string(),
                    None if self.awaits_roll() => "to be restarted when its turn comes".into(),
                    None => String::new(),
                },
            },
            Phase::Stopping(stopping) => {
                let stage = match stopping.stage {
                    Stage::Unborn => "its process is still being made".into(),
                    Stage::Announced { until } => {
                        format!("has {} to do so", Human(until.since(now)))
                    }
                    Stage::Aborted { until, .. } => {
                        let next = instance.spec.stop.steps.first();
                        let next = next.map_or(Signal::KILL, |step| step.signal);
                        format!("SIGABRT sent, {next} follows in {}", Human(until.since(now)))
                    }
                    Stage::Command { until } => {
                        format!("stop command runs, {} left", Human(until.since(now)))
                    }
                    Stage::Step { index, until, .. } => {
                        let next = instance.spec.stop.steps.get(index + 1);
                        let next = next.map_or(Signal::KILL, |step| step.signal);
                        format!("{next} follows in {}", Human(until.since(now)))
                    }
                    Stage::Killed { at, .. } => {
                        format!("SIGKILL sent {} ago", Human(now.since(at)))
                    }
                };
                format!("{}; {stage}", stopping.reason)
            }
            Phase::Backoff(backoff) => {
                let wait = Human(backoff.until.since(now));
                match &backoff.advice {
                    Asked::Nothing | Asked::Open { .. } => {
                        format!("{}; next try in {wait}", self.failure())
                    }
                    Asked::Chosen(why) => {
                        format!("{}; its policy: {why}; next try in {wait}", self.failure())
                    }
                }
            }
            Phase::Failed { reason, retry_at } => {
                let mut sentence = match reason {
                    // It need not have failed itself.
                    GaveUp::Group(_) => reason.to_string(),
                    GaveUp::Limit(_) | GaveUp::Attempts(_) | GaveUp::Policy | GaveUp::Advice(_) => {
                        format!("{}; {reason}", self.failure())
                    }
                };
                if let Some(at) = retry_at {
                    sentence.push_str(&format!("; next try in {}", Human(at.since(now))));
                }
                sentence
            }
            Phase::Done => match instance.last_exit {
                Some((status, _)) => status.to_string(),
                None => String::new(),
            },
        }
    }

    /// How it failed, and how often in how long: from the first failure to the last, which
    /// brought the present phase about.
    fn failure(self) -> String {
        let counters = &self.instance.counters;
        let Some(cause) = &self.instance.last_failure else { return "failed".into() };
        let how_long =
            counters.failing_since.map_or(Duration::ZERO, |first| self.instance.since.since(first));
        if counters.failures > 1 {
            format!("{cause}, failed {} times in {}", counters.failures, Human(how_long))
        } else {
            cause.to_string()
        }
    }
}

impl Core {
    /// The instance at the end of a chain of dependencies that may not run.
    fn stopped_root(&self, mut id: InstanceId) -> InstanceId {
        // There are no cycles, so the chain has an end.
        while let Some(Target::Down(WhyDown::Dependency(next))) =
            self.instances.get(&id).map(|instance| instance.target)
        {
            id = next;
        }
        id
    }

    /// What an instance waits for, with what stands in the way.
    pub(crate) fn waits_for(&self, on: InstanceId, condition: Condition) -> String {
        let name = self.name(on);
        let what = match condition {
            Condition::Started => "to start",
            Condition::Ready => "to be ready",
            Condition::Done => "to be done",
        };
        let Some(view) = self.view().instance(on) else {
            return format!("waits for {name} {what}");
        };
        let state = match (view.state(), self.instances.get(&on).map(|i| i.target)) {
            (State::Down | State::Waiting, Some(Target::Down(WhyDown::Unwanted))) => {
                "which is stopped".into()
            }
            (_, Some(Target::Down(WhyDown::Dependency(next)))) => {
                format!("which requires {}, which is stopped", self.name(self.stopped_root(next)))
            }
            (State::Failed, _) => "which has failed".into(),
            (State::Backoff, _) => "which failed and is tried again".into(),
            (State::Up, Some(Target::Down(_))) => "which is about to stop".into(),
            (state, _) => format!("which is {state}"),
        };
        format!("waits for {name} {what}, {state}")
    }
}
