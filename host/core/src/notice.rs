//! What a run says of itself beside being ready, as in `sd_notify(3)`.

use std::time::Duration;

use crate::core::Core;
use crate::event::{EventKind, Missed, StopReason};
use crate::input::Notice;
use crate::instance::{Phase, Stage, Starting, Stopping, Up, Watchdog};
use crate::{InstanceId, RunId};

impl Core {
    pub(crate) fn notified(&mut self, run: RunId, notice: Notice) {
        // What speaks exists, even if that fact has not arrived yet.
        self.spawned(run);
        let Some(id) = self.instance_of(run) else { return };
        match notice {
            Notice::Extend(time) => self.extend(id, time),
            Notice::Alive => self.is_alive(id),
            Notice::Stuck => self.watchdog_missed(id, run, Missed::Nothing),
            Notice::WatchdogEvery(every) => self.change_watchdog(id, every),
            Notice::Stopping => self.begin_stop(id, StopReason::Announced),
        }
    }

    /// Puts off what would end the present phase by force. No deadline comes nearer.
    fn extend(&mut self, id: InstanceId, time: Duration) {
        let end = self.now + time;
        self.touch(id);
        let Some(instance) = self.instances.get_mut(&id) else { return };
        match &mut instance.phase {
            Phase::Starting(Starting { excused_until, .. }) => {
                *excused_until = (*excused_until).max(Some(end));
            }
            Phase::Up(Up { excused_until, watchdog, .. }) => {
                *excused_until = (*excused_until).max(Some(end));
                if let Some(Watchdog { due, .. }) = watchdog {
                    *due = (*due).max(end);
                }
            }
            Phase::Stopping(Stopping { stage, .. }) => match stage {
                Stage::Announced { until } | Stage::Command { until } => *until = (*until).max(end),
                Stage::Aborted { until, wait } | Stage::Step { until, wait, .. } => {
                    *wait += end.since(*until);
                    *until = (*until).max(end);
                }
                Stage::Unborn | Stage::Killed { .. } => {}
            },
            Phase::Down
            | Phase::Waiting(_)
            | Phase::Backoff(_)
            | Phase::Failed { .. }
            | Phase::Done => {}
        }
    }

    fn is_alive(&mut self, id: InstanceId) {
        let now = self.now;
        let phase = self.instances.get_mut(&id).map(|instance| &mut instance.phase);
        if let Some(Phase::Up(Up { watchdog: Some(Watchdog { every, due }), .. })) = phase {
            // Where it asked for more time than that, it keeps it.
            *due = (*due).max(now + *every);
        }
    }

    fn change_watchdog(&mut self, id: InstanceId, every: Duration) {
        let now = self.now;
        self.touch(id);
        let Some(instance) = self.instances.get_mut(&id) else { return };
        match &mut instance.phase {
            Phase::Starting(Starting { watchdog, .. }) => *watchdog = Some(every),
            Phase::Up(Up { watchdog, .. }) => *watchdog = Watchdog::armed(Some(every), now),
            Phase::Stopping(_)
            | Phase::Down
            | Phase::Waiting(_)
            | Phase::Backoff(_)
            | Phase::Failed { .. }
            | Phase::Done => {}
        }
    }

    /// A run that gives no sign of life is aborted, so that it leaves a core dump, and then
    /// stopped. Before it is ready there is another deadline.
    pub(crate) fn watchdog_missed(&mut self, id: InstanceId, run: RunId, missed: Missed) {
        let phase = self.instances.get(&id).map(|instance| &instance.phase);
        if let Some(Phase::Up(_) | Phase::Starting(Starting { spawned_at: Some(_), .. })) = phase {
            self.tell(id, EventKind::WatchdogMissed { run, missed });
            self.begin_stop(id, StopReason::Watchdog(missed));
        }
    }
}
