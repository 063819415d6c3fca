//! What must hold after every step, from a second, independent account of the rules.
//!
//! The account is fed with what the core was told (facts and commands) and what it said
//! (events, effects). It never asks the core what to expect.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use kennel_core::spec::{Condition, Dependents, Enabled, GiveUp, Kind, Policy, Ready, Strength};
use kennel_core::{
    Cause, Core, Effect, Event, EventKind, ExitStatus, Graph, Group, Health, Input, InstanceId,
    Limits, Recipient, RunId, ServiceSpec, Shutdown, Signal, State, StopReason, Time, Wanted,
};

use crate::plan;
use crate::processes::{Key, Processes};

type Checked = Result<(), String>;
type Edge = (InstanceId, Condition, Strength);

macro_rules! rule {
    ($holds:expr, $($broken:tt)+) => {
        if !$holds {
            return Err(format!($($broken)+));
        }
    };
}

/// A little more than nothing: what rounding may cost.
const ROUNDING: Duration = Duration::from_micros(1);
const SECOND: Duration = Duration::from_secs(1);

/// The account of one instance.
struct Account {
    key: Key,
    spec: Arc<ServiceSpec>,
    wanted: Wanted,
    /// The reload that took it out of the configuration.
    removed: Option<u64>,
    run: Option<Run>,
    next: Next,
    done: bool,
    /// Failures that waited in the backoff.
    streak: u32,
    /// Automatic restarts since the last time that the counters forgot.
    restarts: VecDeque<Time>,
    edges: Vec<Edge>,
    dependents: Vec<InstanceId>,
    down_since: Option<Time>,
    /// How long it may take to be down, dependents included.
    bound: Duration,
}

/// The present run of an instance.
struct Run {
    id: RunId,
    spawned_at: Option<Time>,
    ready_at: Option<Time>,
    health: Health,
    /// When it will have been healthy for long enough.
    stable_at: Option<Time>,
    stable: bool,
    stopping: Option<(StopReason, Time)>,
    /// It has to be replaced, for this reason.
    renewal: Option<StopReason>,
    exit: Option<ExitStatus>,
    spawn_failed: bool,
    command: bool,
    killed: bool,
}

/// What may follow when there is no run.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Next {
    /// A start at any time.
    Free,
    /// An automatic restart, in this span of time at the earliest.
    Backoff(Time, Time),
    AtOnce,
    /// Nothing by itself.
    Done,
    Failed,
    Retry(Time),
}

pub(crate) struct Rules {
    now: Time,
    limits: Limits,
    accounts: BTreeMap<InstanceId, Account>,
    reloads: u64,
    automatic: VecDeque<Time>,
    ending: Option<(Time, Shutdown)>,
    killing: bool,
    left_behind: Vec<Arc<str>>,
    pub(crate) exited: Option<Time>,
    ticks_at: (Time, u32),
    continues: Option<RunId>,
}

impl Rules {
    pub(crate) fn new(limits: Limits) -> Rules {
        Rules {
            now: Time::ZERO,
            limits,
            accounts: BTreeMap::new(),
            reloads: 0,
            automatic: VecDeque::new(),
            ending: None,
            killing: false,
            left_behind: Vec::new(),
            exited: None,
            ticks_at: (Time::ZERO, 0),
            continues: None,
        }
    }

    // ---- what the core is told ---------------------------------------------------

    pub(crate) fn told(&mut self, now: Time, input: &Input, core: &Core) -> Checked {
        self.pass(now);
        match input {
            Input::Tick => {
                let (at, count) = self.ticks_at;
                self.ticks_at = if at == now { (at, count + 1) } else { (now, 1) };
                let most = 8 * self.accounts.len() as u32 + 32;
                rule!(count < most, "the deadline {now} comes back for ever");
            }
            Input::Configure { .. } => {}
            Input::Start(ids) => {
                for id in ids {
                    self.want_required(*id);
                    self.want(*id, Wanted::Up);
                    self.anew(*id);
                }
            }
            Input::Restart(ids) => {
                for id in ids {
                    self.want_required(*id);
                    self.want(*id, Wanted::Up);
                    self.renew(*id, StopReason::Restart);
                }
            }
            Input::Stop(ids) => {
                for id in ids {
                    self.want(*id, Wanted::Down);
                }
            }
            Input::Reset(ids) => {
                for id in ids {
                    let state = core.view().instance(*id).map(|view| view.state());
                    if let Some(account) = self.accounts.get_mut(id) {
                        account.forget();
                        if matches!(state, Some(State::Backoff | State::Failed)) {
                            account.next = Next::Free;
                        }
                    }
                }
            }
            Input::Signal(..) => {}
            Input::Shutdown => self.end(now, Shutdown::Orderly),
            Input::ShutdownNow => {
                self.end(now, Shutdown::Now);
                if !self.killing {
                    self.killing = true;
                    self.ending = self.ending.map(|(_, how)| (now, how));
                }
            }
            Input::Spawned(run) => self.spawned(now, *run),
            Input::SpawnFailed(run, _) => {
                if let Some((_, r)) = self.run(*run) {
                    r.spawn_failed |= r.spawned_at.is_none();
                }
            }
            Input::Ready(run) => {
                self.spawned(now, *run);
                if let Some((spec, r)) = self.run(*run) {
                    r.becomes_ready(now, &spec);
                }
            }
            Input::HealthChanged(run, health, _) => {
                if let Some((spec, r)) = self.run(*run) {
                    let before = passing(r.health);
                    r.health = *health;
                    match (before, passing(*health)) {
                        (true, false) => r.stable_at = None,
                        (false, true) if r.is_up() => {
                            r.stable_at = Some(now + spec.restart.reset_after);
                        }
                        (true, true) | (false, false) | (false, true) => {}
                    }
                }
            }
            Input::Exited { run, status, group: Group::Empty | Group::Left } => {
                if let Some((_, r)) = self.run(*run) {
                    r.exit.get_or_insert(*status);
                }
            }
            Input::GroupEnded(_) | Input::StopCommandEnded(_) => {}
        }
        Ok(())
    }

    /// The configuration that the core has just been given, instance by instance.
    pub(crate) fn configured(
        &mut self,
        graph: &Graph,
        restart: &[Arc<str>],
        core: &Core,
    ) -> Checked {
        self.reloads += 1;
        let mut present = BTreeSet::new();
        let mut renewed = Vec::new();
        for spec in graph.services() {
            let ids = core.view().find(&spec.name);
            rule!(ids.len() == spec.replicas as usize, "{} has other replicas", spec.name);
            for id in ids {
                let index = core.view().instance(id).map_or(0, |view| view.index());
                present.insert(id);
                let twin = self.accounts.iter().any(|(other, account)| {
                    *other != id && account.key == (spec.name.clone(), index)
                });
                rule!(!twin, "{} was added beside itself", spec.name);
                let account = self.accounts.entry(id).or_insert_with(|| Account {
                    key: (spec.name.clone(), index),
                    spec: spec.clone(),
                    wanted: wanted(spec.enabled),
                    removed: None,
                    run: None,
                    next: Next::Free,
                    done: false,
                    streak: 0,
                    restarts: VecDeque::new(),
                    edges: Vec::new(),
                    dependents: Vec::new(),
                    down_since: None,
                    bound: Duration::ZERO,
                });
                if account.spec.enabled != spec.enabled {
                    account.want(wanted(spec.enabled));
                }
                account.spec = spec.clone();
                if account.removed.take().is_some() || restart.contains(&spec.name) {
                    renewed.push(id);
                }
            }
        }
        for (id, account) in &mut self.accounts {
            if !present.contains(id) {
                account.removed.get_or_insert(self.reloads);
            }
        }
        let gone = |id: &InstanceId| core.view().instance(*id).is_none();
        for (id, account) in &self.accounts {
            rule!(!gone(id) || account.run.is_none(), "{:?} is forgotten with a run", account.key);
        }
        self.bounds();
        for id in renewed {
            self.renew(id, StopReason::Configuration);
        }
        Ok(())
    }

    fn bounds(&mut self) {
        let edges: Vec<_> =
            self.accounts.values().map(|account| self.find_edges(account)).collect();
        let ids: Vec<InstanceId> = self.accounts.keys().copied().collect();
        for (account, edges) in self.accounts.values_mut().zip(&edges) {
            account.edges.clone_from(edges);
            account.dependents.clear();
        }
        for (id, edges) in ids.iter().zip(&edges) {
            for (on, ..) in edges {
                if let Some(on) = self.accounts.get_mut(on) {
                    on.dependents.push(*id);
                }
            }
        }
        let ids: Vec<InstanceId> = self.in_order().into_iter().rev().collect();
        for id in ids {
            let longest =
                self.dependents(id).filter_map(|d| self.accounts.get(&d)).map(|d| d.bound);
            let longest = longest.max().unwrap_or_default();
            if let Some(account) = self.accounts.get_mut(&id) {
                account.bound = plan::longest_stop(&account.spec) + longest;
            }
        }
    }

    // ---- what the core says ------------------------------------------------------

    pub(crate) fn heard(&mut self, now: Time, event: &Event) -> Checked {
        rule!(event.at == now, "an event bears another time than its input");
        let id = event.instance.unwrap_or(InstanceId(u32::MAX));
        match &event.kind {
            EventKind::Stopping { run, reason } => self.stopping(now, id, *run, reason)?,
            EventKind::Ended { run, cause, .. } => self.ended(now, id, *run, cause)?,
            EventKind::ShuttingDown(how) => {
                let rightly = match how {
                    Shutdown::Orderly | Shutdown::Now => self.ending.is_some(),
                    Shutdown::GaveUp => true,
                    Shutdown::TimedOut => {
                        self.ending.is_some_and(|(at, _)| now >= at + self.limits.shutdown_timeout)
                    }
                };
                rule!(rightly, "it shuts down ({how:?}) without a reason");
                if *how == Shutdown::TimedOut {
                    self.killing = true;
                    self.ending = self.ending.map(|(_, first)| (now, first));
                }
                self.end(now, *how);
            }
            EventKind::LeftBehind(names) => self.left_behind.clone_from(names),
            EventKind::Stable { run } => {
                let stable = self.run(*run).is_some_and(|(_, r)| r.stable);
                rule!(stable, "run {run} is called stable and is not");
            }
            EventKind::Wanted(..)
            | EventKind::Waiting(_)
            | EventKind::Started { .. }
            | EventKind::Ready { .. }
            | EventKind::Escalated { .. }
            | EventKind::Stuck { .. }
            | EventKind::Swept { .. }
            | EventKind::Stopped
            | EventKind::Done
            | EventKind::Backoff { .. }
            | EventKind::Failed { .. }
            | EventKind::HealthChanged { .. }
            | EventKind::Signalled { .. }
            | EventKind::Reset => {}
        }
        Ok(())
    }

    /// A stop has begun: it must have a cause, and be in order.
    fn stopping(&mut self, now: Time, id: InstanceId, run: RunId, reason: &StopReason) -> Checked {
        let down = self.is_down(id);
        let live: Vec<Key> = if self.killing { Vec::new() } else { self.live_dependents(id) };
        let ending = self.ending.is_some();
        let Some(account) = self.accounts.get_mut(&id) else { return Ok(()) };
        let key = account.key.clone();
        let Some(r) = account.run.as_mut().filter(|r| r.id == run) else {
            return Err(format!("{key:?} stops run {run}, which is not its present one"));
        };
        rule!(r.stopping.is_none(), "{key:?} stops run {run} twice");
        let (rightly, ordered) = match reason {
            StopReason::Operator => (account.wanted == Wanted::Down, true),
            StopReason::Removed => (account.removed.is_some(), true),
            StopReason::Shutdown => (ending, true),
            StopReason::Dependency(_) => (down && account.wanted == Wanted::Up, true),
            StopReason::Restart
            | StopReason::Configuration
            | StopReason::DependencyRestarted(_) => (r.renewal.as_ref() == Some(reason), true),
            StopReason::NotReady(timeout) => {
                let late = r.spawned_at.is_some_and(|at| now >= at + *timeout);
                let asked = account.spec.ready == Ready::Reported { timeout: *timeout };
                (late && asked && r.ready_at.is_none(), false)
            }
            StopReason::Unhealthy(_) => (r.health == Health::Unhealthy && r.is_up(), false),
            StopReason::Remnants(status) => (r.exit == Some(*status), false),
        };
        rule!(rightly, "{key:?} stops without a cause: {reason:?}");
        rule!(
            !ordered || live.is_empty(),
            "{key:?} stops ({reason:?}) before its dependents {live:?}"
        );
        r.stopping = Some((reason.clone(), now));
        r.stable_at = None;
        Ok(())
    }

    /// A run is over: what has to follow?
    fn ended(&mut self, now: Time, id: InstanceId, run: RunId, cause: &Cause) -> Checked {
        let over = self.ending.is_some();
        let Some(account) = self.accounts.get_mut(&id) else { return Ok(()) };
        let key = account.key.clone();
        let Some(r) = account.run.take().filter(|r| r.id == run) else {
            return Err(format!("{key:?} ended run {run}, which is not its present one"));
        };
        rule!(r.exit.is_some() || r.spawn_failed, "{key:?} ended run {run} without a fact");
        let for_itself = match &r.stopping {
            None => true,
            Some((StopReason::NotReady(_) | StopReason::Unhealthy(_), _)) => true,
            Some((StopReason::Remnants(_), _)) => true,
            Some((
                StopReason::Operator
                | StopReason::Removed
                | StopReason::Shutdown
                | StopReason::Dependency(_)
                | StopReason::Restart
                | StopReason::Configuration
                | StopReason::DependencyRestarted(_),
                _,
            )) => false,
        };
        let may_not = account.wanted == Wanted::Down || account.removed.is_some() || over;
        account.next = Next::Free;
        if may_not || !for_itself || r.renewal.is_some() {
            return Ok(());
        }
        let success = match (&r.stopping, r.exit) {
            (None | Some((StopReason::Remnants(_), _)), Some(ExitStatus::Code(code))) => {
                !r.spawn_failed && account.spec.restart.success_exit_codes.contains(&code)
            }
            _ => false,
        };
        let told_success = matches!(cause, Cause::Exited(ExitStatus::Code(0)));
        rule!(success == told_success, "{key:?} ended well or not? {cause:?}");
        account.next = account.decide(now, success, r.stable);
        account.done = account.next == Next::Done;
        let gives_up = matches!(account.next, Next::Failed | Next::Retry(_));
        if gives_up && account.spec.restart.on_give_up == GiveUp::Exit {
            self.end(now, Shutdown::GaveUp);
        }
        if !self.accounts.get(&id).is_some_and(|account| account.done) {
            self.renew_dependents(id);
        }
        Ok(())
    }

    /// An effect is to be performed.
    pub(crate) fn seen(
        &mut self,
        now: Time,
        effect: Effect,
        processes: &Processes,
        core: &Core,
    ) -> Checked {
        if let Some(run) = self.continues.take() {
            let to = Recipient::Group;
            let right = effect == Effect::Signal { run, signal: Signal::CONT, to };
            rule!(right, "run {run} got a stop signal and no SIGCONT after it");
        }
        match effect {
            Effect::Spawn { instance, run } => self.spawns(now, instance, run, processes, core)?,
            Effect::Signal { run, signal, to: Recipient::Group } => {
                let Some((_, r)) = self.run(run) else {
                    return Err(format!("a signal to run {run}, which is over"));
                };
                rule!(r.stopping.is_some(), "run {run} gets {signal} although it is not stopping");
                rule!(r.spawned_at.is_some() || r.exit.is_some(), "{signal} to no process yet");
                rule!(!r.command, "run {run} gets {signal} while its stop command runs");
                rule!(!r.killed, "run {run} gets {signal} after SIGKILL");
                r.killed = signal == Signal::KILL;
                if signal != Signal::KILL && signal != Signal::CONT {
                    self.continues = Some(run);
                }
            }
            Effect::Signal { run, to: Recipient::Main, .. } => {
                let there = self.run(run).is_some_and(|(_, r)| r.spawned_at.is_some());
                rule!(there, "a signal to the main process of run {run}, which there is not");
            }
            Effect::RunStopCommand { run, .. } => {
                let Some((_, r)) = self.run(run) else {
                    return Err(format!("a stop command for run {run}, which is over"));
                };
                rule!(!r.command && !r.killed, "run {run} gets its stop command late");
                r.command = true;
            }
            Effect::EndStopCommand { run } => {
                if let Some((_, r)) = self.run(run) {
                    rule!(r.command, "a stop command of run {run} is ended that never ran");
                    r.command = false;
                }
            }
            Effect::WatchGroup { run } => {
                rule!(self.run(run).is_some(), "the group of run {run} is watched, which is over");
            }
            Effect::Release { run } => {
                rule!(self.run(run).is_none(), "run {run} is released and goes on");
                rule!(!processes.exists(run), "run {run} is released and its group lives on");
            }
            Effect::Exit { code } => {
                rule!(self.exited.is_none(), "it exits twice");
                self.exited = Some(now);
                let Some((_, how)) = self.ending else {
                    return Err("it exits although nobody asked".into());
                };
                let right = i32::from(how == Shutdown::GaveUp);
                rule!(code == right, "it exits with code {code}");
                for view in core.view().instances().filter(|view| view.run().is_some()) {
                    let told = self.left_behind.contains(view.name());
                    rule!(told, "{} is left behind and nobody is told", view.name());
                }
            }
        }
        Ok(())
    }

    /// A process is to be made: may it?
    fn spawns(
        &mut self,
        now: Time,
        id: InstanceId,
        run: RunId,
        processes: &Processes,
        core: &Core,
    ) -> Checked {
        let Some(account) = self.accounts.get(&id) else {
            return Err(format!("run {run} is of an instance that nobody knows"));
        };
        let key = account.key.clone();
        rule!(account.run.is_none(), "{key:?} gets a second run");
        rule!(!processes.occupied(&key, run), "{key:?} would run twice");
        rule!(self.ending.is_none(), "{key:?} starts during the shutdown");
        rule!(!self.is_down(id), "{key:?} starts although it or what it requires is to be down");
        let automatic = match account.next {
            Next::Free => false,
            Next::Backoff(from, _) | Next::Retry(from) => {
                rule!(now >= from, "{key:?} starts at {now}, before {from}");
                true
            }
            Next::AtOnce => true,
            Next::Done | Next::Failed => return Err(format!("{key:?} starts by itself again")),
        };
        for &(on, condition, strength) in self.edges(id) {
            let met = self.reached(now, on, condition) && !self.is_down(on);
            let Some(other) = self.accounts.get(&on) else { continue };
            let on_its_way = other.run.as_ref().is_some_and(|r| r.stopping.is_none())
                && !self.is_down(on)
                && !self.reached(now, on, condition);
            rule!(
                met || strength == Strength::Optional && !on_its_way,
                "{key:?} starts before {:?} is {condition:?}",
                other.key
            );
        }
        let places = 1 + self.starting();
        rule!(
            places <= self.limits.max_concurrent_starts.max(1) as usize,
            "{places} start at the same time"
        );
        if automatic {
            self.count_automatic(now, id)?;
        }
        let restarts = core.view().instance(id).map_or(0, |view| view.restarts());
        rule!(!automatic || restarts > 0, "{key:?} restarts and nobody counts it");
        if let Some(account) = self.accounts.get_mut(&id) {
            account.next = Next::Free;
            account.done = false;
            account.run = Some(Run::new(run));
        }
        Ok(())
    }

    fn count_automatic(&mut self, now: Time, id: InstanceId) -> Checked {
        self.automatic.retain(|at| now.since(*at) < SECOND);
        self.automatic.push_back(now);
        let rate = self.limits.max_restarts_per_second.max(1) as usize;
        rule!(self.automatic.len() <= rate, "{} restarts in a second", self.automatic.len());
        let Some(account) = self.accounts.get_mut(&id) else { return Ok(()) };
        if matches!(account.next, Next::Retry(_)) {
            account.forget();
            return Ok(());
        }
        account.restarts.push_back(now);
        if let Some(limit) = account.spec.restart.limit {
            let recent = account.restarts.iter().filter(|at| now.since(**at) < limit.within);
            let recent = recent.count();
            rule!(
                recent <= limit.max as usize,
                "{:?}: {recent} restarts in the window",
                account.key
            );
            while account.restarts.len() > limit.max as usize + 1 {
                account.restarts.pop_front();
            }
        } else {
            account.restarts.clear();
        }
        Ok(())
    }

    // ---- after every step --------------------------------------------------------

    pub(crate) fn after(&mut self, now: Time, processes: &Processes, core: &Core) -> Checked {
        rule!(self.continues.is_none(), "a stop signal without SIGCONT");
        let deadline = core.next_deadline();
        self.shutdown_ends(now)?;
        let gone: Vec<InstanceId> = self
            .accounts
            .iter()
            .filter(|(id, account)| {
                account.removed.is_some() && core.view().instance(**id).is_none()
            })
            .map(|(id, _)| *id)
            .collect();
        for id in gone {
            if let Some(account) = self.accounts.remove(&id) {
                rule!(account.run.is_none(), "{:?} is forgotten with a run", account.key);
            }
        }
        let ids: Vec<InstanceId> = self.accounts.keys().copied().collect();
        for id in ids {
            self.check_instance(now, id, processes, core, deadline)?;
        }
        Ok(())
    }

    fn shutdown_ends(&self, now: Time) -> Checked {
        let Some((since, _)) = self.ending else { return Ok(()) };
        let patience = Duration::from_secs(10);
        let most = if self.killing { patience } else { self.limits.shutdown_timeout + patience };
        rule!(self.exited.is_some() || now <= since + most, "the shutdown does not end");
        Ok(())
    }

    fn check_instance(
        &mut self,
        now: Time,
        id: InstanceId,
        processes: &Processes,
        core: &Core,
        deadline: Option<Time>,
    ) -> Checked {
        let down = self.is_down(id);
        let Some(view) = core.view().instance(id) else {
            return Err("an instance was forgotten that is configured".into());
        };
        let over = self.ending.is_some();
        let waits = view.state() == State::Waiting && !self.has_to_wait(now, id, core);
        let Some(account) = self.accounts.get_mut(&id) else { return Ok(()) };
        let key = &account.key;
        rule!(view.wanted() == account.wanted, "{key:?}: what the operator wants was overwritten");
        rule!(view.run() == account.run.as_ref().map(|r| r.id), "{key:?} has another run");
        let until = |limit: Time| deadline.is_some_and(|at| at <= limit);

        account.down_since = if down { account.down_since.or(Some(now)) } else { None };
        if let (Some(since), Some(r)) = (account.down_since, &account.run)
            && processes.exists(r.id)
            && self.exited.is_none()
        {
            let bound = since + account.bound;
            rule!(now <= bound, "{key:?} is to be down since {since} and still runs");
        }
        if let Some(r) = &account.run {
            if let Some((_, since)) = &r.stopping {
                let bound = *since + plan::longest_stop(&account.spec);
                rule!(now <= bound, "the stop of {key:?} does not end");
            }
        }
        let expected = match (&account.run, account.next) {
            (Some(r), _) if r.stopping.is_some() => State::Stopping,
            (Some(r), _) if r.is_up() => State::Up,
            (Some(r), _) => {
                if let (Some(at), Kind::Daemon) = (r.spawned_at, account.spec.kind) {
                    let wait = match account.spec.ready {
                        Ready::After(wait) | Ready::Reported { timeout: wait } => wait,
                    };
                    rule!(until(at + wait), "{key:?} starts for ever");
                }
                State::Starting
            }
            (None, _) if over || account.wanted == Wanted::Down => State::Down,
            (None, Next::Free | Next::AtOnce) => State::Waiting,
            (None, Next::Backoff(from, to)) => match view.next_restart() {
                Some(at) => {
                    rule!(from <= at && at <= to, "{key:?} backs off until {at}: {from} to {to}");
                    rule!(until(at), "{key:?} backs off and no timer runs");
                    State::Backoff
                }
                None => {
                    rule!(now >= from, "{key:?} waits no longer at {now}, {from} to {to}");
                    State::Waiting
                }
            },
            (None, Next::Done) => State::Done,
            (None, Next::Failed) => State::Failed,
            (None, Next::Retry(at)) if now < at => {
                rule!(view.next_restart() == Some(at) && until(at), "{key:?} is not retried");
                State::Failed
            }
            (None, Next::Retry(_)) => State::Waiting,
        };
        rule!(view.state() == expected, "{key:?} is {} and should be {expected}", view.state());
        rule!(!waits, "{key:?} waits for nothing: {}", view.reason(now));
        Ok(())
    }

    /// Whether something stands against the start of an instance that waits.
    fn has_to_wait(&self, now: Time, id: InstanceId, core: &Core) -> bool {
        let unmet = self.edges(id).iter().any(|&(on, condition, _)| {
            let renewed = core.view().instance(on).is_some_and(|view| view.is_being_renewed());
            renewed || self.is_down(on) || !self.reached(now, on, condition)
        });
        let full = self.starting() >= self.limits.max_concurrent_starts.max(1) as usize;
        let storm = core.next_deadline().is_some_and(|at| at <= now + SECOND)
            && self.automatic.back().is_some_and(|at| now.since(*at) < SECOND);
        unmet || full || storm
    }

    // ---- the account itself ------------------------------------------------------

    /// What the time alone brings about.
    fn pass(&mut self, now: Time) {
        self.now = now;
        for account in self.accounts.values_mut() {
            if matches!(account.next, Next::Retry(at) if now >= at) {
                account.forget();
            }
            let Some(r) = &mut account.run else { continue };
            if let (Ready::After(wait), Some(at)) = (account.spec.ready, r.spawned_at)
                && now >= at + wait
            {
                r.becomes_ready(at + wait, &account.spec);
            }
            if r.stable_at.is_some_and(|at| now >= at) {
                r.stable_at = None;
                r.stable = true;
                account.forget();
            }
        }
    }

    fn run(&mut self, run: RunId) -> Option<(Arc<ServiceSpec>, &mut Run)> {
        let mut accounts = self.accounts.values_mut();
        accounts.find_map(|account| {
            let spec = account.spec.clone();
            account.run.as_mut().filter(|r| r.id == run).map(|r| (spec, r))
        })
    }

    fn spawned(&mut self, now: Time, run: RunId) {
        if let Some((_, r)) = self.run(run)
            && r.exit.is_none()
        {
            r.spawned_at.get_or_insert(now);
        }
    }

    fn want(&mut self, id: InstanceId, wanted: Wanted) {
        if let Some(account) = self.accounts.get_mut(&id) {
            account.want(wanted);
        }
    }

    fn want_required(&mut self, id: InstanceId) {
        for (on, _, strength) in self.edges(id).to_vec() {
            if strength == Strength::Required {
                self.want(on, Wanted::Up);
                // A retry whose time has come waits like any other restart.
                let failed = self.accounts.get(&on).is_some_and(|account| match account.next {
                    Next::Failed => true,
                    Next::Retry(at) => self.now < at,
                    Next::Free | Next::Backoff(..) | Next::AtOnce | Next::Done => false,
                });
                if failed {
                    self.anew(on);
                }
                self.want_required(on);
            }
        }
    }

    fn anew(&mut self, id: InstanceId) {
        if let Some(account) = self.accounts.get_mut(&id)
            && account.run.is_none()
        {
            account.forget();
            account.next = Next::Free;
            account.done = false;
        }
    }

    fn renew(&mut self, id: InstanceId, reason: StopReason) {
        let Some(account) = self.accounts.get_mut(&id) else { return };
        account.forget();
        match &mut account.run {
            Some(r) => {
                r.renewal = Some(reason);
                self.renew_dependents(id);
            }
            None => {
                account.next = Next::Free;
                account.done = false;
            }
        }
    }

    fn renew_dependents(&mut self, id: InstanceId) {
        let Some(account) = self.accounts.get(&id) else { return };
        let name = account.name();
        match account.spec.restart.dependents {
            Dependents::Keep => return,
            Dependents::Restart => {}
        }
        let dependents: Vec<InstanceId> = self
            .dependents(id)
            .filter(|d| self.edges(*d).iter().any(|e| e.0 == id && e.2 == Strength::Required))
            .collect();
        for dependent in dependents {
            let Some(r) = self.accounts.get_mut(&dependent).and_then(|a| a.run.as_mut()) else {
                continue;
            };
            if r.renewal.is_none() {
                r.renewal = Some(StopReason::DependencyRestarted(name.clone()));
                self.renew_dependents(dependent);
            }
        }
    }

    fn end(&mut self, now: Time, how: Shutdown) {
        if self.ending.is_none() {
            self.ending = Some((now, how));
            for account in self.accounts.values_mut().filter(|account| account.run.is_none()) {
                account.next = Next::Free;
            }
        }
    }

    fn edges(&self, id: InstanceId) -> &[Edge] {
        self.accounts.get(&id).map_or(&[], |account| &account.edges)
    }

    /// What `account` depends on: those that did not leave the configuration before it.
    fn find_edges(&self, account: &Account) -> Vec<Edge> {
        let mut found = Vec::new();
        for dependency in &account.spec.depends_on {
            for (other, on) in &self.accounts {
                let older = on.removed.unwrap_or(u64::MAX) < account.removed.unwrap_or(u64::MAX);
                if on.key.0 == dependency.service && !older {
                    found.push((*other, dependency.condition, dependency.strength));
                }
            }
        }
        found
    }

    fn dependents(&self, id: InstanceId) -> impl Iterator<Item = InstanceId> {
        self.accounts.get(&id).into_iter().flat_map(|account| account.dependents.iter().copied())
    }

    /// Dependents of `id`, near and far, that have to be down too and still run.
    fn live_dependents(&self, id: InstanceId) -> Vec<Key> {
        let mut seen = BTreeSet::new();
        let mut open = vec![id];
        let mut live = Vec::new();
        while let Some(next) = open.pop() {
            for dependent in self.dependents(next) {
                if self.is_down(dependent) && seen.insert(dependent) {
                    open.push(dependent);
                    let account = self.accounts.get(&dependent);
                    if let Some(account) = account.filter(|account| account.run.is_some()) {
                        live.push(account.key.clone());
                    }
                }
            }
        }
        live
    }

    /// Names lead from dependencies to dependents, see [`plan::name`].
    fn in_order(&self) -> Vec<InstanceId> {
        let mut ids: Vec<InstanceId> = self.accounts.keys().copied().collect();
        ids.sort_by_key(|id| self.accounts[id].key.clone());
        ids
    }

    /// Whether it may not run: by the operator's will here, or at what it requires.
    fn is_down(&self, id: InstanceId) -> bool {
        let Some(account) = self.accounts.get(&id) else { return false };
        self.ending.is_some()
            || account.removed.is_some()
            || account.wanted == Wanted::Down
            || !account.spec.depends_on.is_empty()
                && self
                    .edges(id)
                    .iter()
                    .any(|(on, _, strength)| *strength == Strength::Required && self.is_down(*on))
    }

    fn reached(&self, now: Time, id: InstanceId, condition: Condition) -> bool {
        let Some(account) = self.accounts.get(&id) else { return true };
        match &account.run {
            Some(r) if r.stopping.is_none() && r.renewal.is_none() => match condition {
                Condition::Started => r.spawned_at.is_some_and(|at| at <= now),
                Condition::Ready => r.is_up(),
                Condition::Done => false,
            },
            Some(_) => false,
            None => {
                account.done
                    && (condition != Condition::Ready || account.spec.kind == Kind::Oneshot)
            }
        }
    }

    fn starting(&self) -> usize {
        let on_their_way = self.accounts.values().filter(|account| {
            account.run.as_ref().is_some_and(|r| {
                let reported = matches!(account.spec.ready, Ready::Reported { .. })
                    && account.spec.kind == Kind::Daemon;
                r.stopping.is_none() && !r.is_up() && (r.spawned_at.is_none() || reported)
            })
        });
        on_their_way.count()
    }
}

impl Account {
    fn want(&mut self, wanted: Wanted) {
        self.wanted = wanted;
        if wanted == Wanted::Down && self.run.is_none() {
            self.next = Next::Free;
            self.done = false;
        }
    }

    fn forget(&mut self) {
        self.streak = 0;
        self.restarts.clear();
    }

    fn name(&self) -> Arc<str> {
        let (service, index) = &self.key;
        if self.spec.replicas == 1 { service.clone() } else { format!("{service}/{index}").into() }
    }

    /// The table of policies, limits and waits, written down a second time.
    fn decide(&mut self, now: Time, success: bool, stable: bool) -> Next {
        let restart = &self.spec.restart;
        if success && (self.spec.kind == Kind::Oneshot || restart.policy != Policy::Always) {
            return Next::Done;
        }
        let mut full = restart.policy == Policy::Never;
        if let Some(limit) = restart.limit {
            let recent = self.restarts.iter().filter(|at| now.since(**at) < limit.within).count();
            full |= recent >= limit.max as usize;
        }
        if full {
            return match restart.on_give_up {
                GiveUp::Stay | GiveUp::Exit => Next::Failed,
                GiveUp::RetryAfter(delay) => Next::Retry(now + delay),
            };
        }
        if stable {
            return Next::AtOnce;
        }
        let mut wait = restart.backoff.initial.as_secs_f64();
        for _ in 0..self.streak {
            wait = (wait * restart.backoff.factor).min(restart.backoff.max.as_secs_f64());
        }
        wait = wait.min(restart.backoff.max.as_secs_f64());
        self.streak += 1;
        let jitter = restart.backoff.jitter;
        let low = Duration::from_secs_f64(wait * (1.0 - jitter)).saturating_sub(ROUNDING);
        let high = Duration::from_secs_f64(wait * (1.0 + jitter)) + ROUNDING;
        Next::Backoff(now + low, now + high)
    }
}

impl Run {
    fn new(id: RunId) -> Run {
        Run {
            id,
            spawned_at: None,
            ready_at: None,
            health: Health::Unknown,
            stable_at: None,
            stable: false,
            stopping: None,
            renewal: None,
            exit: None,
            spawn_failed: false,
            command: false,
            killed: false,
        }
    }

    fn is_up(&self) -> bool {
        self.ready_at.is_some() && self.stopping.is_none()
    }

    fn becomes_ready(&mut self, at: Time, spec: &ServiceSpec) {
        let may = spec.kind == Kind::Daemon && self.stopping.is_none() && self.exit.is_none();
        if may && self.spawned_at.is_some() && self.ready_at.is_none() {
            self.ready_at = Some(at);
            self.stable_at = passing(self.health).then(|| at + spec.restart.reset_after);
        }
    }
}

fn wanted(enabled: Enabled) -> Wanted {
    match enabled {
        Enabled::Yes => Wanted::Up,
        Enabled::No => Wanted::Down,
    }
}

fn passing(health: Health) -> bool {
    match health {
        Health::Unknown | Health::Healthy => true,
        Health::Degraded | Health::Unhealthy => false,
    }
}
