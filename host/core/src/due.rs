//! What the time says: deadlines that have passed.

use crate::core::{Core, EndingStage};
use crate::effect::Effect;
use crate::event::{EventKind, Missed, Shutdown, StopReason};
use crate::instance::{Entry, Instance, Phase, Proof, Stage, Told, Up, Waiting, Watchdog, Word};
use crate::spec::Ready;
use crate::{InstanceId, Time};

impl Core {
    pub(crate) fn do_what_is_due(&mut self) {
        let now = self.now;
        let due = |at: Option<Time>| at.is_some_and(|at| at <= now);
        if due(self.storm_opens_at) {
            self.is_unsettled = true;
            self.storm_opens_at = None;
        }
        self.is_unsettled |= due(self.roll_deadline());
        let ids: Vec<InstanceId> = self
            .instances
            .values()
            .filter(|instance| due(instance.deadline()))
            .map(|instance| instance.id)
            .collect();
        for id in ids {
            // What ends the phase first: its checks are of no use any more.
            self.pass_phase_deadline_if_due(id);
            self.pass_check_deadlines(id);
        }
        self.pass_ending_deadline();
    }

    pub(crate) fn pass_phase_deadline_if_due(&mut self, id: InstanceId) {
        let deadline = self.instances.get(&id).and_then(Instance::phase_deadline);
        if deadline.is_some_and(|deadline| deadline <= self.now) {
            self.pass_phase_deadline(id);
        }
    }

    fn pass_phase_deadline(&mut self, id: InstanceId) {
        let now = self.now;
        let Some(instance) = self.instances.get_mut(&id) else { return };
        let not_ready = instance.ready_timeout();
        let is_told = matches!(instance.spec.ready, Ready::Reported { .. });
        match &mut instance.phase {
            Phase::Starting(starting) => {
                let run = starting.run;
                match not_ready {
                    // Better taken for ready than stopped for a word that nobody could hear.
                    Some(_) if starting.word == Word::MaybeMissed && is_told => self.ready(run),
                    Some(timeout) => {
                        let extended = starting.spawned_at.zip(starting.excused_until);
                        let timeout = extended
                            .map_or(timeout, |(from, until)| timeout.max(until.since(from)));
                        let last_try = starting.last_try.clone();
                        self.begin_stop(id, StopReason::NotReady(timeout, last_try));
                    }
                    None => self.ready(run),
                }
            }
            Phase::Up(Up { run, watchdog: Some(Watchdog { every, due }), .. }) if *due <= now => {
                let (run, missed) = (*run, Missed::Sign(*every));
                self.watchdog_missed(id, run, missed);
            }
            Phase::Up(up) => {
                let run = up.run;
                up.proof = Proof::Given;
                let news = instance.counters.failures > 0;
                instance.counters.forget();
                instance.last_failure = None;
                self.touch(id);
                if news {
                    self.tell(id, EventKind::Stable { run });
                }
            }
            Phase::Stopping(stopping) => match &mut stopping.stage {
                Stage::Killed { at, told } => {
                    *told = Told::Yes;
                    let (run, after) = (stopping.run, now.since(*at));
                    self.tell(id, EventKind::Stuck { run, after });
                }
                Stage::Step { wait, .. } | Stage::Aborted { wait, .. } => {
                    let waited = *wait;
                    self.next_step(id, Some(waited));
                }
                Stage::Announced { .. } | Stage::Command { .. } | Stage::Unborn => {
                    self.next_step(id, None);
                }
            },
            Phase::Backoff(backoff) => {
                let phase = Phase::Waiting(Waiting { entry: backoff.entry, told: None });
                self.enter(id, phase);
            }
            Phase::Failed { .. } => {
                instance.counters.forget();
                let phase = Phase::Waiting(Waiting { entry: Entry::Retry, told: None });
                self.enter(id, phase);
            }
            Phase::Down | Phase::Waiting(_) | Phase::Done => {}
        }
    }

    fn pass_ending_deadline(&mut self) {
        let Some(ending) = &mut self.ending else { return };
        let code = ending.code;
        match ending.stage {
            EndingStage::Orderly { deadline } if deadline <= self.now => {
                self.shut_down(Shutdown::TimedOut);
            }
            EndingStage::Killing { deadline } if deadline <= self.now => {
                ending.stage = EndingStage::Over;
                let left = self.instances.values().filter(|i| i.phase.is_live());
                let names: Vec<_> = left.map(|Instance { name, .. }| name.clone()).collect();
                if !names.is_empty() {
                    self.tell_all(EventKind::LeftBehind(names));
                }
                self.effect(Effect::Exit { code });
            }
            EndingStage::Orderly { .. } | EndingStage::Killing { .. } | EndingStage::Over => {}
        }
    }
}
