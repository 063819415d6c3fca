//! What must hold after every step, from a second, independent account of the rules.
//!
//! The account is fed with what the core was told (facts and commands) and what it said
//! (events, effects). It never asks the core what to expect.
//!
//! ```text
//!   rules.rs     what the core is told, and the state of all after each step
//!   said.rs      what the core says: every stop needs a cause, every spawn a right
//!   ledger.rs    wishes, dependencies and places, over all instances
//!   account.rs   one instance: the table of policies, limits and waits
//! ```

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use kennel_core::spec::{Kind, Ready};
use kennel_core::{
    Core, Graph, Group, Input, InstanceId, Limits, RunId, Shutdown, State, StopReason, Time, Wanted,
};

use crate::account::{Account, Bond, Next, SECOND, wanted};
use crate::checks::PATIENCE;
use crate::deaths::Adoption;
use crate::groups::{Groups, Own};
use crate::plan;
use crate::processes::Processes;
use crate::rolls::Roll;

/// A broken rule is told in one sentence.
pub(crate) type Checked = Result<(), String>;

pub(crate) struct Rules {
    pub(crate) now: Time,
    pub(crate) limits: Limits,
    pub(crate) accounts: BTreeMap<InstanceId, Account>,
    pub(crate) reloads: u64,
    pub(crate) automatic: VecDeque<Time>,
    pub(crate) ending: Option<(Time, Shutdown)>,
    pub(crate) killing: bool,
    pub(crate) left_behind: Vec<Arc<str>>,
    pub(crate) exited: Option<Time>,
    pub(crate) ticks_at: (Time, u32),
    pub(crate) continues: Option<RunId>,
    pub(crate) rolls: Vec<Roll>,
    pub(crate) groups: Groups,
    /// The last run that was to be made.
    pub(crate) last_run: RunId,
    pub(crate) last_spawn_at: Time,
    pub(crate) adoption: Adoption,
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
            rolls: Vec::new(),
            groups: Groups::default(),
            last_run: RunId(0),
            last_spawn_at: Time::ZERO,
            adoption: Adoption::default(),
        }
    }

    pub(crate) fn told(&mut self, now: Time, input: &Input, core: &Core) -> Checked {
        self.pass(now);
        match input {
            Input::Tick => {
                let (at, count) = self.ticks_at;
                self.ticks_at = if at == now { (at, count + 1) } else { (now, 1) };
                let most = 8 * self.accounts.len() as u32 + 32;
                rule!(count < most, "the deadline {now} comes back for ever");
            }
            Input::Restore(_) | Input::Configure { .. } => {}
            Input::Start(ids) => {
                for id in ids {
                    self.want_required(*id);
                    self.want(*id, Wanted::Up);
                    self.anew(*id);
                }
            }
            Input::Roll(ids) => {
                for id in ids {
                    self.want_required(*id);
                    self.want(*id, Wanted::Up);
                }
                self.rolls_begin(now, ids, &StopReason::Restart);
            }
            Input::Restart(ids) => {
                self.leave_rolls(ids);
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
                        let ends = |r| self.groups.ends(account, r);
                        if account.run.as_ref().is_some_and(ends) {
                            self.anew(*id);
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
            Input::Notified(run, notice) => {
                self.spawned(now, *run);
                if let Some((_, r)) = self.run(*run) {
                    r.says(now, notice);
                }
            }
            Input::HealthChanged(run, health, _) => {
                if let Some((spec, r)) = self.run(*run) {
                    r.changes(now, spec.restart.reset_after, |r| r.reported = *health);
                }
            }
            Input::Exited { run, status, group: Group::Empty | Group::Left } => {
                if let Some((_, r)) = self.run(*run) {
                    r.exit.get_or_insert(*status);
                }
            }
            Input::Checked(answer) => self.check_answered(now, answer),
            Input::PolicyDecided { instance, run, answer, reason: _ } => {
                let state = core.view().instance(*instance).map(|view| view.state());
                let in_backoff = state == Some(State::Backoff);
                self.policy_answered(now, *instance, *run, answer, in_backoff);
            }
            Input::GroupEnded(_) | Input::Swept(_) | Input::StopCommandEnded(_) => {}
        }
        Ok(())
    }

    /// The configuration that the core has just been given, instance by instance.
    pub(crate) fn configured(
        &mut self,
        now: Time,
        graph: &Graph,
        restart: &[Arc<str>],
        core: &Core,
    ) -> Checked {
        self.reloads += 1;
        self.groups.change(graph.groups());
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
                    by_policy: Own::No,
                    ended_with_group_at: None,
                    question: None,
                    done: false,
                    streak: 0,
                    attempts: 0,
                    is_attempt: false,
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
                account.rearrange_checks(now);
                if account.removed.take().is_some() {
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
        for name in restart {
            self.renew_all(now, name);
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
    pub(crate) fn after(&mut self, now: Time, processes: &Processes, core: &Core) -> Checked {
        rule!(self.continues.is_none(), "a stop signal without SIGCONT");
        let deadline = core.next_deadline();
        self.rolls_advance(now);
        self.shutdown_ends(now)?;
        self.groups.all_told()?;
        for roll in &self.rolls {
            rule!(
                deadline.is_some_and(|at| at <= roll.deadline),
                "the roll of {:?} has no end, at {} and not {deadline:?}",
                roll,
                roll.deadline
            );
        }
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
        // Whoever starts now may have stood between it and the one that it waited for.
        let goes_on = self.last_spawn_at < now && !down && !over && self.goes_on(id);
        rule!(!goes_on, "{} is to be replaced and goes on: {}", view.name(), view.reason(now));
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
        if let Some((_, since)) = account.run.as_ref().and_then(|r| r.stopping.as_ref()) {
            let bound = *since + plan::longest_stop(&account.spec);
            rule!(now <= bound, "the stop of {key:?} does not end");
        }
        let expected = match (&account.run, account.next) {
            (Some(r), _) if r.stopping.is_some() => State::Stopping,
            (Some(r), _) if r.is_up() => {
                rule!(!r.must_stop_for_health(), "{key:?} is unhealthy and stays up");
                rule!(
                    !r.must_stop_for_a_notice(now),
                    "{key:?} says nothing or too much and stays up"
                );
                let health = r.health();
                rule!(view.health() == health, "{key:?} is {} and not {health}", view.health());
                for check in &r.checks {
                    let wait = check.spec.every * 10 + check.spec.timeout + 3 * SECOND;
                    rule!(until(now + wait), "{key:?} is not checked any more");
                }
                State::Up
            }
            (Some(r), _) => {
                if let (Some(at), Kind::Daemon) = (r.spawned_at, account.spec.kind) {
                    let wait = match account.spec.ready {
                        Ready::After(wait)
                        | Ready::Reported { timeout: wait }
                        | Ready::Checked { timeout: wait, .. } => wait,
                    };
                    let end = match account.spec.ready {
                        Ready::After(_) => at + wait,
                        Ready::Reported { .. } | Ready::Checked { .. } => {
                            r.notices.excused_until.map_or(at + wait, |end| end.max(at + wait))
                        }
                    };
                    rule!(until(end), "{key:?} starts for ever");
                }
                State::Starting
            }
            (None, _) if over || account.wanted == Wanted::Down => State::Down,
            (None, Next::Free | Next::AtOnce) => State::Waiting,
            (None, Next::Backoff(from, to)) => match view.next_restart() {
                Some(at) => {
                    rule!(from <= at && at <= to, "{key:?} backs off until {at}: {from} to {to}");
                    let held = account.question.map(|(_, ended_at)| ended_at + PATIENCE);
                    let over = held.map_or(at, |held| at.max(held));
                    rule!(until(over), "{key:?} backs off and no timer runs");
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

    /// Whether it is to be replaced, and nothing stands against its end.
    fn goes_on(&self, id: InstanceId) -> bool {
        let Some(r) = self.accounts.get(&id).and_then(|account| account.run.as_ref()) else {
            return false;
        };
        r.renewal.is_some() && r.stopping.is_none() && self.live_dependents(id).is_empty()
    }

    /// Whether something stands against the start of an instance that waits.
    fn has_to_wait(&self, now: Time, id: InstanceId, core: &Core) -> bool {
        let unmet = self.edges(id).iter().any(|&(on, condition, bond)| {
            let renewed = core.view().instance(on).is_some_and(|view| view.is_being_renewed());
            let missing = renewed || self.is_down(on) || !self.reached(now, on, condition);
            missing
                && match bond {
                    Bond::Required => true,
                    Bond::Optional => !self.is_hopeless(now, on, core),
                    Bond::Ordered => !self.is_passed_over(now, on, core),
                }
        });
        let unmet = unmet || self.stops_before(id).is_some();
        let full = self.starting() >= self.limits.max_concurrent_starts.max(1) as usize;
        let storm = core.next_deadline().is_some_and(|at| at <= now + SECOND)
            && self.automatic.back().is_some_and(|at| now.since(*at) < SECOND);
        unmet || full || storm
    }
}
