//! The rules for what the core says: events, then effects.

use std::time::Duration;

use kennel_core::spec::{GiveUp, Ready};
use kennel_core::{
    Cause, Core, Effect, Event, EventKind, ExitStatus, InstanceId, Recipient, RunId, Shutdown,
    Signal, StopReason, Time, Wanted,
};

use crate::account::{Bond, Next, Run, SECOND};
use crate::groups::Own;
use crate::processes::{Key, Processes};
use crate::rules::{Checked, Rules};

impl Rules {
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
            EventKind::GroupFailed { group, why, above } => {
                self.groups.failed(group, why, above)?;
            }
            EventKind::RollFailed { at, kept, .. } => self.roll_failed(now, at, kept)?,
            EventKind::RollEnded { .. } => self.rolls_advance(now),
            EventKind::Adopted { run } => self.adopts(id, *run)?,
            EventKind::WentOn { adopted, ended: _ } => self.adoption.told = Some(*adopted),
            EventKind::LeftBehind(names) => self.left_behind.clone_from(names),
            EventKind::Ready { run, .. } => {
                if let Some((_, r)) = self.run(*run) {
                    r.is_told_ready = true;
                }
            }
            EventKind::Stable { run } => {
                let stable = self.run(*run).is_some_and(|(_, r)| r.stable);
                rule!(stable, "run {run} is called stable and is not");
            }
            EventKind::Wanted(..)
            | EventKind::Waiting(_)
            | EventKind::Started { .. }
            | EventKind::Escalated { .. }
            | EventKind::Stuck { .. }
            | EventKind::Swept { .. }
            | EventKind::Stopped
            | EventKind::Done
            | EventKind::Backoff { .. }
            | EventKind::Failed { .. }
            | EventKind::HealthChanged { .. }
            | EventKind::PolicyDecided { .. }
            | EventKind::WatchdogMissed { .. }
            | EventKind::Signalled { .. }
            | EventKind::RollBegan { .. }
            | EventKind::Reset => {}
        }
        Ok(())
    }

    /// A stop has begun: it must have a cause, and be in order.
    fn stopping(&mut self, now: Time, id: InstanceId, run: RunId, reason: &StopReason) -> Checked {
        match reason {
            StopReason::Operator
            | StopReason::Removed
            | StopReason::Shutdown
            | StopReason::Dependency(_)
            | StopReason::Restart
            | StopReason::Configuration
            | StopReason::DependencyRestarted(_)
            | StopReason::GroupRestarted(_)
            | StopReason::GroupGaveUp(..) => self.rolls_advance(now),
            // These come before it settles.
            StopReason::NotReady(..)
            | StopReason::Unhealthy(_)
            | StopReason::Watchdog(_)
            | StopReason::Announced
            | StopReason::Remnants(_) => {}
        }
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
            | StopReason::DependencyRestarted(_)
            | StopReason::GroupRestarted(_)
            | StopReason::GroupGaveUp(..) => (
                r.renewal.as_ref() == Some(reason) || r.first_renewal.as_ref() == Some(reason),
                true,
            ),
            StopReason::NotReady(timeout, _) => {
                let late = r.spawned_at.is_some_and(|at| now >= at + *timeout);
                let more = r.spawned_at.zip(r.notices.excused_until);
                let more = more.map_or(Duration::ZERO, |(from, until)| until.since(from));
                let asked = match account.spec.ready {
                    Ready::Reported { timeout: within }
                    | Ready::Checked { timeout: within, .. } => within.max(more) == *timeout,
                    Ready::After(_) => false,
                };
                let unheard =
                    r.restored_at.is_some() && matches!(account.spec.ready, Ready::Reported { .. });
                let asked = asked && !unheard;
                (late && asked && r.ready_at.is_none(), false)
            }
            StopReason::Unhealthy(_) => (r.must_stop_for_health() && r.is_up(), false),
            StopReason::Watchdog(missed) => (r.misses(now, *missed), false),
            StopReason::Announced => (r.notices.is_announced, false),
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
        if r.ready_at.is_some() {
            account.attempts = 0;
        }
        rule!(r.exit.is_some() || r.spawn_failed, "{key:?} ended run {run} without a fact");
        let for_itself = match &r.stopping {
            None => true,
            Some((StopReason::NotReady(..) | StopReason::Unhealthy(_), _)) => true,
            Some((
                StopReason::Remnants(_) | StopReason::Watchdog(_) | StopReason::Announced,
                _,
            )) => true,
            Some((
                StopReason::Operator
                | StopReason::Removed
                | StopReason::Shutdown
                | StopReason::Dependency(_)
                | StopReason::Restart
                | StopReason::Configuration
                | StopReason::DependencyRestarted(_)
                | StopReason::GroupRestarted(_)
                | StopReason::GroupGaveUp(..),
                _,
            )) => false,
        };
        let may_not = account.wanted == Wanted::Down || account.removed.is_some() || over;
        account.next = Next::Free;
        if may_not || !for_itself || r.renewal.is_some() {
            if let Some((next, own)) = self.groups.follows(now, account, &r).filter(|_| !may_not) {
                (account.next, account.by_policy) = (next, own);
            }
            return Ok(());
        }
        let success = match (&r.stopping, r.exit) {
            (
                None | Some((StopReason::Remnants(_) | StopReason::Announced, _)),
                Some(ExitStatus::Code(code)),
            ) => !r.spawn_failed && account.spec.restart.success_exit_codes.contains(&code),
            _ => false,
        };
        let told_success = matches!(cause, Cause::Exited(ExitStatus::Code(0)));
        rule!(success == told_success, "{key:?} ended well or not? {cause:?}");
        account.next = account.decide(now, cause, success, &r);
        self.rolls.retain(|roll| !roll.under_way.contains(&id));
        let Some(account) = self.accounts.get_mut(&id) else { return Ok(()) };
        account.done = account.next == Next::Done;
        let gives_up = matches!(account.next, Next::Failed | Next::Retry(_));
        if gives_up && account.on_give_up() == GiveUp::Exit {
            self.end(now, Shutdown::GaveUp);
        }
        let Some(account) = self.accounts.get(&id).filter(|account| !account.done) else {
            return Ok(());
        };
        let concerns_group = match account.next {
            Next::Backoff(..) | Next::AtOnce => Some(false),
            Next::Failed if account.by_policy == Own::No => {
                (account.on_give_up() == GiveUp::Stay).then_some(true)
            }
            Next::Failed | Next::Retry(_) | Next::Free | Next::Done => None,
        };
        self.renew_dependents(id);
        if let Some(gave_up) = concerns_group {
            self.member_failed(now, id, gave_up);
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
            Effect::Check { run, check, number, timeout } => {
                self.check_asked(now, run, check, number, timeout, processes)?;
            }
            Effect::AskPolicy { instance, run, delay: _ } => {
                self.policy_asked(now, instance, run)?;
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
        self.rolls_advance(now);
        (self.last_run, self.last_spawn_at) = (run, now);
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
        let other = self.stops_before(id).map(|other| &other.key);
        rule!(other.is_none(), "{key:?} starts before {other:?} has stopped with its group");
        for &(on, condition, bond) in self.edges(id) {
            let met = self.reached(now, on, condition) && !self.is_down(on);
            let Some(other) = self.accounts.get(&on) else { continue };
            let on_its_way = other.run.as_ref().is_some_and(|r| r.stopping.is_none())
                && !self.is_down(on)
                && !self.reached(now, on, condition);
            let is_free = match bond {
                Bond::Required => false,
                Bond::Optional => !on_its_way,
                // What is due when a supervisor begins is due after the first starts.
                Bond::Ordered => {
                    self.groups.unseen_since.is_some() || self.is_passed_over(now, on, core)
                }
            };
            rule!(met || is_free, "{key:?} starts before {:?} is {condition:?}", other.key);
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
            account.question = None;
            account.done = false;
            let mut new = Run::new(run);
            new.notices.every = account.spec.watchdog;
            account.run = Some(new);
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
        if account.is_attempt {
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
}
