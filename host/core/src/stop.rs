//! The way of a run to its end, and what follows.
//!
//! ```text
//!   begin_stop ─► (stop command) ─► step 0 ─► step 1 … ─► SIGKILL ─► the kernel
//!                       │             │          │           │
//!                       └─────────────┴── group empty ───────┴──► end_run ─► next phase
//! ```
//!
//! Signals go to the whole group, and the run is over only when the whole group is: a
//! main process that ends first leaves its remnants to the remaining steps. So no new
//! run can meet a worker of the old one.

use std::time::Duration;

use crate::core::Core;
use crate::effect::{Effect, Recipient};
use crate::event::{Cause, DelayRule, EventKind, GaveUp, Shutdown, StopReason};
use crate::group::Failure;
use crate::instance::{
    Asked, Backoff, Entry, Membership, Phase, Stage, Stopping, Target, Told, Waiting, WhyDown,
};
use crate::restart::{PastRun, Stability, Verdict};
use crate::spec::{GiveUp, Stop, StopCommand};
use crate::{ExitStatus, Health, InstanceId, RunId, Signal};

/// How many ends of runs are remembered.
const REMEMBERED: usize = 32;

impl Core {
    /// Begins to stop the run of `id`. Nothing happens when there is none, or when it is
    /// being stopped already.
    pub(crate) fn begin_stop(&mut self, id: InstanceId, reason: StopReason) {
        let (stability, spawned_at) = self.standing(id);
        let Some(instance) = self.instances.get(&id) else { return };
        let run = match &instance.phase {
            Phase::Starting(starting) => starting.run,
            Phase::Up(up) => up.run,
            Phase::Down
            | Phase::Waiting(_)
            | Phase::Stopping(_)
            | Phase::Backoff(_)
            | Phase::Failed { .. }
            | Phase::Done => return,
        };
        self.tell(id, EventKind::Stopping { run, reason: reason.clone() });
        let stopped_for = reason.clone();
        let stopping =
            Stopping { run, spawned_at, stability, reason, stage: Stage::Unborn, main: None };
        self.enter(id, Phase::Stopping(stopping));
        if spawned_at.is_some() {
            match stopped_for {
                StopReason::Watchdog(_) => self.abort(id),
                StopReason::Announced => self.await_announced(id),
                StopReason::Operator
                | StopReason::Removed
                | StopReason::Shutdown
                | StopReason::Dependency(_)
                | StopReason::Restart
                | StopReason::Configuration
                | StopReason::DependencyRestarted(_)
                | StopReason::GroupRestarted(_)
                | StopReason::GroupGaveUp(..)
                | StopReason::NotReady(..)
                | StopReason::Unhealthy(_)
                | StopReason::Remnants(_) => self.first_stage(id),
            }
        }
    }

    /// Begins the way to the end of a process that exists.
    pub(crate) fn first_stage(&mut self, id: InstanceId) {
        let Some(instance) = self.instances.get(&id) else { return };
        let Some(run) = instance.phase.run() else { return };
        match instance.spec.stop.command {
            StopCommand::Run { timeout } if !self.is_killing() => {
                self.effect(Effect::RunStopCommand { run, timeout });
                let until = self.now + timeout;
                self.set_stage(id, Stage::Command { until });
            }
            StopCommand::Run { .. } | StopCommand::None => self.first_step(id),
        }
    }

    /// Ends a process that gave no sign of life so that it leaves a core dump, where it may.
    fn abort(&mut self, id: InstanceId) {
        if self.is_killing() {
            return self.kill(id);
        }
        let Some(instance) = self.instances.get(&id) else { return };
        let Some(run) = instance.phase.run() else { return };
        let wait = first_wait(&instance.spec.stop);
        let to = Recipient::Group;
        self.effect(Effect::Signal { run, signal: Signal::ABRT, to });
        self.effect(Effect::Signal { run, signal: Signal::CONT, to });
        self.set_stage(id, Stage::Aborted { wait, until: self.now + wait });
    }

    /// Lets a process that said so stop by itself, for as long as it has after the first
    /// signal of any other stop.
    fn await_announced(&mut self, id: InstanceId) {
        let Some(instance) = self.instances.get(&id) else { return };
        let until = self.now + first_wait(&instance.spec.stop);
        self.set_stage(id, Stage::Announced { until });
    }

    /// Goes through the stop steps for what a main process left behind in its group.
    pub(crate) fn stop_remnants(&mut self, id: InstanceId, status: ExitStatus) {
        let (stability, spawned_at) = self.standing(id);
        let Some(run) = self.instances.get(&id).and_then(|instance| instance.phase.run()) else {
            return;
        };
        let reason = StopReason::Remnants(status);
        self.tell(id, EventKind::Stopping { run, reason: reason.clone() });
        let main = Some(status);
        let stopping = Stopping { run, spawned_at, stability, reason, stage: Stage::Unborn, main };
        self.enter(id, Phase::Stopping(stopping));
        self.first_step(id);
    }

    /// The first signal: the last one when everything is being killed.
    pub(crate) fn first_step(&mut self, id: InstanceId) {
        if self.is_killing() {
            self.kill(id);
        } else {
            self.step(id, 0);
        }
    }

    /// Leaves the present stage for the next. `waited`: how long it was given; none when
    /// it was cut by request.
    pub(crate) fn next_step(&mut self, id: InstanceId, waited: Option<Duration>) {
        let Some(instance) = self.instances.get(&id) else { return };
        let Phase::Stopping(stopping) = &instance.phase else { return };
        let run = stopping.run;
        match stopping.stage {
            Stage::Unborn | Stage::Killed { .. } => {}
            Stage::Announced { .. } => self.first_stage(id),
            Stage::Command { .. } => self.first_step(id),
            Stage::Aborted { .. } => {
                let first = instance.spec.stop.steps.first();
                let signal = first.map_or(Signal::KILL, |step| step.signal);
                self.tell(id, EventKind::Escalated { run, signal, waited });
                self.first_step(id);
            }
            Stage::Step { index, .. } => {
                let next = instance.spec.stop.steps.get(index + 1);
                let signal = next.map_or(Signal::KILL, |step| step.signal);
                self.tell(id, EventKind::Escalated { run, signal, waited });
                self.step(id, index + 1);
            }
        }
    }

    fn step(&mut self, id: InstanceId, index: usize) {
        let Some(instance) = self.instances.get(&id) else { return };
        let Some(run) = instance.phase.run() else { return };
        match instance.spec.stop.steps.get(index).copied() {
            Some(step) => {
                self.end_stop_command(id);
                let to = Recipient::Group;
                self.effect(Effect::Signal { run, signal: step.signal, to });
                self.effect(Effect::Signal { run, signal: Signal::CONT, to });
                let until = self.now + step.wait;
                self.set_stage(id, Stage::Step { index, wait: step.wait, until });
            }
            None => self.kill(id),
        }
    }

    pub(crate) fn kill(&mut self, id: InstanceId) {
        self.end_stop_command(id);
        let Some(run) = self.instances.get(&id).and_then(|instance| instance.phase.run()) else {
            return;
        };
        self.effect(Effect::Signal { run, signal: Signal::KILL, to: Recipient::Group });
        self.set_stage(id, Stage::Killed { at: self.now, told: Told::No });
    }

    fn end_stop_command(&mut self, id: InstanceId) {
        let Some(Phase::Stopping(stopping)) = self.instances.get(&id).map(|i| &i.phase) else {
            return;
        };
        let run = stopping.run;
        match stopping.stage {
            Stage::Command { .. } => self.effect(Effect::EndStopCommand { run }),
            Stage::Unborn
            | Stage::Announced { .. }
            | Stage::Aborted { .. }
            | Stage::Step { .. }
            | Stage::Killed { .. } => {}
        }
    }

    fn set_stage(&mut self, id: InstanceId, stage: Stage) {
        if let Some(Phase::Stopping(stopping)) =
            self.instances.get_mut(&id).map(|instance| &mut instance.phase)
        {
            stopping.stage = stage;
            self.touch(id);
        }
    }

    /// The run of `id` is over: its process and its group are gone, or never were.
    /// `ended` is what the operating system said; the cause that people are told is why
    /// it was being stopped, where it was.
    pub(crate) fn end_run(&mut self, id: InstanceId, ended: Cause) {
        self.end_stop_command(id);
        let now = self.now;
        let (stability, spawned_at) = self.standing(id);
        let Some(instance) = self.instances.get_mut(&id) else { return };
        let Some(run) = instance.phase.run() else { return };
        let reason = match &instance.phase {
            Phase::Stopping(stopping) => Some(stopping.reason.clone()),
            Phase::Starting(_) | Phase::Up(_) => None,
            Phase::Down
            | Phase::Waiting(_)
            | Phase::Backoff(_)
            | Phase::Failed { .. }
            | Phase::Done => None,
        };
        let renewal = instance.renewal.take();
        instance.health = Health::Unknown;
        instance.reported = (Health::Unknown, "".into());
        let cause = match reason.as_ref() {
            Some(StopReason::NotReady(timeout, why)) => Cause::NotReady(*timeout, why.clone()),
            Some(StopReason::Unhealthy(why)) => Cause::Unhealthy(why.clone()),
            Some(StopReason::Watchdog(missed)) => Cause::Watchdog(*missed),
            Some(_) | None => ended,
        };
        let planned = renewal.is_some() || reason.is_some_and(|reason| is_planned(&reason));
        self.runs.remove(&run);
        self.effect(Effect::Release { run });
        let uptime = spawned_at.map_or_else(Default::default, |at| now.since(at));
        self.tell(id, EventKind::Ended { run, cause: cause.clone(), uptime });
        if planned || self.may_not_run(id) {
            self.rest(id, renewal);
        } else {
            self.remember(id, &cause, uptime);
            self.decide(id, run, cause, stability);
        }
    }

    /// Whether the operator, the configuration or the end of the supervisor stands
    /// against another run.
    fn may_not_run(&self, id: InstanceId) -> bool {
        self.instances.get(&id).is_none_or(|instance| {
            instance.wanted == crate::Wanted::Down
                || instance.membership != Membership::Configured
                || self.ending.is_some()
        })
    }

    /// The phase of an instance whose last run ended as wanted.
    fn rest(&mut self, id: InstanceId, renewal: Option<StopReason>) {
        let is_temporary = matches!(&renewal, Some(StopReason::GroupRestarted(group))
            if self.is_temporary_in(id, group));
        if let Some(instance) = self.instances.get_mut(&id) {
            instance.comes_back = false;
        }
        if self.may_not_run(id) {
            self.tell(id, EventKind::Stopped);
            self.enter(id, Phase::Down);
        } else if let Some(StopReason::GroupGaveUp(group, then)) = renewal {
            self.fail_with_group(id, group, then);
        } else if is_temporary {
            let (reason, then) = (GaveUp::Policy, GiveUp::Stay);
            self.tell(id, EventKind::Failed { reason: reason.clone(), then });
            self.enter(id, Phase::Failed { reason, retry_at: None });
        } else {
            let blocked = self.instances.get(&id).is_some_and(|instance| {
                matches!(instance.target, Target::Down(WhyDown::Dependency(_)))
            });
            if blocked {
                self.tell(id, EventKind::Stopped);
            }
            self.enter(id, Phase::Waiting(Waiting { entry: Entry::Fresh, told: None }));
        }
    }

    /// Keeps the end of a run for who decides about later ones.
    fn remember(&mut self, id: InstanceId, cause: &Cause, uptime: Duration) {
        let ended_at = self.now;
        let Some(instance) = self.instances.get_mut(&id) else { return };
        instance.history.truncate(REMEMBERED - 1);
        instance.history.push_front(PastRun { ended_at, uptime, cause: cause.clone() });
    }

    /// What follows a run that ended by itself, or was stopped for its own failure.
    fn decide(&mut self, id: InstanceId, run: RunId, cause: Cause, stability: Stability) {
        let now = self.now;
        self.fail_roll_of(id, &cause);
        let Some(instance) = self.instances.get_mut(&id) else { return };
        let spec = instance.spec.clone();
        let verdict = instance.counters.decide(&spec, &cause, stability, now, &mut self.rng);
        match verdict {
            Verdict::Restart { delay, rule, counted } => {
                instance.last_failure = Some(cause);
                self.tell(id, EventKind::Backoff { delay, rule, counted });
                let advice = self.ask_policy(id, run, delay);
                match (rule, &advice) {
                    (DelayRule::FirstAfterStable, Asked::Nothing) => {
                        let waiting = Waiting { entry: Entry::Automatic, told: None };
                        self.enter(id, Phase::Waiting(waiting));
                    }
                    (DelayRule::Backoff | DelayRule::FirstAfterStable, _) => {
                        let entry = Entry::Automatic;
                        let until = now + delay;
                        self.enter(id, Phase::Backoff(Backoff { until, entry, advice }));
                    }
                    (DelayRule::Attempt { .. }, _) => {
                        let entry = Entry::Attempt;
                        let until = now + delay;
                        self.enter(id, Phase::Backoff(Backoff { until, entry, advice }));
                    }
                }
                self.renew_dependents(id);
                self.concern_groups(id, Failure::Restarts);
            }
            Verdict::Done => {
                instance.last_failure = None;
                self.tell(id, EventKind::Done);
                self.enter(id, Phase::Done);
            }
            Verdict::Refused => {
                instance.last_failure = Some(cause);
                self.give_up(id, GaveUp::Policy);
            }
            Verdict::GiveUp(limit) => {
                instance.last_failure = Some(cause);
                self.give_up(id, GaveUp::Limit(limit));
            }
            Verdict::NotUp(attempts) => {
                instance.last_failure = Some(cause);
                self.give_up(id, GaveUp::Attempts(attempts));
            }
        }
    }

    pub(crate) fn give_up(&mut self, id: InstanceId, reason: GaveUp) {
        let Some(instance) = self.instances.get(&id) else { return };
        let spec = &instance.spec;
        let then = match (&reason, &spec.attempts) {
            (GaveUp::Attempts(_), Some(attempts)) => attempts.on_give_up,
            (GaveUp::Attempts(_), None)
            | (GaveUp::Limit(_) | GaveUp::Policy | GaveUp::Advice(_) | GaveUp::Group(_), _) => {
                spec.restart.on_give_up
            }
        };
        self.tell(id, EventKind::Failed { reason: reason.clone(), then });
        let retry_at = match then {
            GiveUp::Stay | GiveUp::Exit => None,
            GiveUp::RetryAfter(delay) => Some(self.now + delay),
        };
        self.enter(id, Phase::Failed { reason: reason.clone(), retry_at });
        self.renew_dependents(id);
        match (then, reason) {
            (GiveUp::Exit, _) => self.shut_down(Shutdown::GaveUp),
            // A group is not whole without a member that wanted to go on.
            (GiveUp::Stay, GaveUp::Limit(_) | GaveUp::Attempts(_) | GaveUp::Advice(_)) => {
                self.concern_groups(id, Failure::GaveUp);
            }
            (GiveUp::Stay, GaveUp::Policy | GaveUp::Group(_)) | (GiveUp::RetryAfter(_), _) => {}
        }
    }
}

/// Whether a stop for this reason says nothing against the service.
fn is_planned(reason: &StopReason) -> bool {
    match reason {
        StopReason::Operator
        | StopReason::Removed
        | StopReason::Shutdown
        | StopReason::Dependency(_)
        | StopReason::Restart
        | StopReason::Configuration
        | StopReason::DependencyRestarted(_)
        | StopReason::GroupRestarted(_)
        | StopReason::GroupGaveUp(..) => true,
        StopReason::NotReady(..)
        | StopReason::Unhealthy(_)
        | StopReason::Watchdog(_)
        | StopReason::Announced
        | StopReason::Remnants(_) => false,
    }
}

/// How long a process has after the first signal of a stop.
fn first_wait(stop: &Stop) -> Duration {
    stop.steps.first().map_or(Duration::from_secs(10), |step| step.wait)
}
