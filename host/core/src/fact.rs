//! Facts: what the operating system and the checks say of a run.
//!
//! Each names a run. A fact about a run that is over finds no instance and is dropped:
//! that is the whole defence against late news.

use crate::core::Core;
use crate::effect::Effect;
use crate::event::{Cause, EventKind, StopReason};
use crate::input::Group;
use crate::instance::{Instance, Phase, Proof, Stage, Starting, Stopping, Up, Watchdog};
use crate::restart::Stability;
use crate::spec::Kind;
use crate::{ExitStatus, Health, InstanceId, RunId, Time};

impl Core {
    fn instance_and_run(&mut self, run: RunId) -> Option<&mut Instance> {
        let id = self.instance_of(run)?;
        self.instances.get_mut(&id)
    }

    /// Said twice, or after other facts have shown it, it changes nothing: a stop under
    /// way must not begin anew, and the time to become ready must not grow.
    pub(crate) fn spawned(&mut self, run: RunId) {
        let now = self.now;
        let Some(instance) = self.instance_and_run(run) else { return };
        let id = instance.id;
        let restarts = instance.counters.restarts;
        match &mut instance.phase {
            Phase::Starting(Starting { spawned_at: spawned_at @ None, .. }) => {
                *spawned_at = Some(now);
                self.is_unsettled = true;
                self.tell(id, EventKind::Started { run, restarts });
                self.change_tries(id);
            }
            Phase::Stopping(Stopping { spawned_at, stage: Stage::Unborn, .. }) => {
                *spawned_at = Some(now);
                self.tell(id, EventKind::Started { run, restarts });
                self.first_stage(id);
            }
            Phase::Starting(_)
            | Phase::Stopping(_)
            | Phase::Down
            | Phase::Waiting(_)
            | Phase::Up(_)
            | Phase::Backoff(_)
            | Phase::Failed { .. }
            | Phase::Done => {}
        }
    }

    pub(crate) fn spawn_failed(&mut self, run: RunId, error: String) {
        let Some(id) = self.instance_of(run) else { return };
        let (_, spawned_at) = self.standing(id);
        if spawned_at.is_none() {
            self.end_run(id, Cause::StartFailed(error));
        }
    }

    /// What is ready exists, even if that fact has not arrived yet.
    pub(crate) fn ready(&mut self, run: RunId) {
        let now = self.now;
        self.spawned(run);
        let Some(instance) = self.instance_and_run(run) else { return };
        let (id, kind) = (instance.id, instance.spec.kind);
        let Phase::Starting(starting) = &instance.phase else { return };
        let Some(spawned_at) = starting.spawned_at else { return };
        let excused_until = starting.excused_until;
        let watchdog = Watchdog::armed(starting.watchdog, now);
        if kind == Kind::Oneshot {
            return;
        }
        // Nothing is proved yet; what its health says of that is weighed at once.
        let proof = Proof::Interrupted;
        let checks = self.new_checks(id, spawned_at);
        let up = Up { run, spawned_at, proof, checks, excused_until, watchdog };
        self.enter(id, Phase::Up(up));
        if let Some(instance) = self.instances.get_mut(&id) {
            instance.counters.attempts = 0;
        }
        self.tell(id, EventKind::Ready { run, after: now.since(spawned_at) });
        self.weigh_health(id);
        self.stop_if_unhealthy(id);
    }

    /// What it said of itself while it was not ready yet counts from now on; it will not
    /// be said again.
    fn stop_if_unhealthy(&mut self, id: InstanceId) {
        let reported = self.instances.get(&id).map(|instance| instance.reported.0);
        if reported == Some(Health::Unhealthy) {
            let reason = "it was unhealthy before it was ready".to_owned();
            self.begin_stop(id, StopReason::Unhealthy(reason));
        }
    }

    pub(crate) fn health_changed(&mut self, run: RunId, health: Health, reason: String) {
        let Some(instance) = self.instance_and_run(run) else { return };
        let id = instance.id;
        if instance.reported.0 == health {
            return;
        }
        instance.reported = (health, reason.as_str().into());
        let stops = match &instance.phase {
            Phase::Up(_) => health == Health::Unhealthy,
            Phase::Down
            | Phase::Waiting(_)
            | Phase::Starting(_)
            | Phase::Stopping(_)
            | Phase::Backoff(_)
            | Phase::Failed { .. }
            | Phase::Done => false,
        };
        self.touch(id);
        self.weigh_health(id);
        if stops {
            self.begin_stop(id, StopReason::Unhealthy(reason));
        }
    }

    pub(crate) fn exited(&mut self, run: RunId, status: ExitStatus, group: Group) {
        let now = self.now;
        let Some(instance) = self.instance_and_run(run) else { return };
        let id = instance.id;
        if matches!(instance.phase, Phase::Stopping(Stopping { main: Some(_), .. })) {
            return;
        }
        instance.last_exit = Some((status, now));
        match (&mut instance.phase, group) {
            (Phase::Starting(_) | Phase::Up(_) | Phase::Stopping(_), Group::Empty) => {
                self.end_run(id, Cause::Exited(status));
            }
            (Phase::Stopping(stopping), Group::Left) => {
                stopping.main = Some(status);
                let stage = stopping.stage;
                self.touch(id);
                self.effect(Effect::WatchGroup { run });
                match stage {
                    Stage::Unborn
                    | Stage::Announced { .. }
                    | Stage::Aborted { .. }
                    | Stage::Command { .. } => self.first_step(id),
                    Stage::Step { .. } | Stage::Killed { .. } => {}
                }
            }
            (Phase::Starting(_) | Phase::Up(_), Group::Left) => {
                self.effect(Effect::WatchGroup { run });
                self.stop_remnants(id, status);
            }
            (
                Phase::Down
                | Phase::Waiting(_)
                | Phase::Backoff(_)
                | Phase::Failed { .. }
                | Phase::Done,
                Group::Empty | Group::Left,
            ) => {}
        }
    }

    pub(crate) fn group_ended(&mut self, run: RunId) {
        let Some(instance) = self.instance_and_run(run) else { return };
        let id = instance.id;
        let Phase::Stopping(Stopping { main: Some(status), stage, .. }) = &instance.phase else {
            return;
        };
        let status = *status;
        match stage {
            Stage::Killed { .. } => self.swept(run),
            Stage::Unborn
            | Stage::Announced { .. }
            | Stage::Aborted { .. }
            | Stage::Command { .. }
            | Stage::Step { .. } => self.end_run(id, Cause::Exited(status)),
        }
    }

    /// After the main process all others have ended, and not all of them as they should.
    pub(crate) fn swept(&mut self, run: RunId) {
        let Some(instance) = self.instance_and_run(run) else { return };
        let id = instance.id;
        let Phase::Stopping(Stopping { main: Some(status), .. }) = &instance.phase else { return };
        let status = *status;
        self.tell(id, EventKind::Swept { run });
        self.end_run(id, Cause::Exited(status));
    }

    pub(crate) fn stop_command_ended(&mut self, run: RunId) {
        let Some(id) = self.instance_of(run) else { return };
        let Some(Phase::Stopping(stopping)) = self.instances.get(&id).map(|i| &i.phase) else {
            return;
        };
        match stopping.stage {
            Stage::Command { .. } => self.first_step(id),
            Stage::Unborn
            | Stage::Announced { .. }
            | Stage::Aborted { .. }
            | Stage::Step { .. }
            | Stage::Killed { .. } => {}
        }
    }

    /// How stable the present run is, and since when its process exists.
    pub(crate) fn standing(&self, id: InstanceId) -> (Stability, Option<Time>) {
        let Some(instance) = self.instances.get(&id) else { return (Stability::Unproven, None) };
        match &instance.phase {
            Phase::Starting(starting) => (Stability::NeverReady, starting.spawned_at),
            Phase::Up(up) => match up.proof {
                Proof::Given => (Stability::Stable, Some(up.spawned_at)),
                Proof::Until(_) | Proof::Interrupted => (Stability::Unproven, Some(up.spawned_at)),
            },
            Phase::Stopping(stopping) => (stopping.stability, stopping.spawned_at),
            Phase::Down
            | Phase::Waiting(_)
            | Phase::Backoff(_)
            | Phase::Failed { .. }
            | Phase::Done => (Stability::Unproven, None),
        }
    }
}
