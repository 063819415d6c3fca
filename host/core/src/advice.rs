//! What a restart policy outside the core says.
//!
//! It is asked when the built-in policy has decided for another run, while that wait
//! already runs. It may choose another wait, or that there is no other run; the limits of
//! the supervisor stand above it. An answer that nobody waits for any more, because the
//! operator spoke or the time is up, changes nothing.

use std::time::Duration;

use crate::core::Core;
use crate::effect::Effect;
use crate::event::{EventKind, GaveUp};
use crate::input::PolicyAnswer;
use crate::instance::{Asked, Backoff, Phase};
use crate::spec::Advice;
use crate::{InstanceId, RunId};

/// How long the end of the built-in wait is held back for an answer.
const PATIENCE: Duration = Duration::from_secs(1);

/// No policy puts a restart off for longer.
const LONGEST_WAIT: Duration = Duration::from_secs(7 * 86_400);

impl Core {
    /// Asks about the run that has just ended, if there is somebody to ask.
    pub(crate) fn ask_policy(&mut self, id: InstanceId, run: RunId, delay: Duration) -> Asked {
        let advice = self.instances.get(&id).map(|instance| instance.spec.restart.advice);
        match advice {
            None | Some(Advice::None) => Asked::Nothing,
            Some(Advice::Ask) => {
                self.effect(Effect::AskPolicy { instance: id, run, delay });
                let ended_at = self.now;
                Asked::Open { after: run, ended_at, deadline: ended_at + PATIENCE }
            }
        }
    }

    pub(crate) fn policy_decided(
        &mut self,
        id: InstanceId,
        run: RunId,
        answer: PolicyAnswer,
        reason: String,
    ) {
        let now = self.now;
        let Some(instance) = self.instances.get_mut(&id) else { return };
        let Phase::Backoff(Backoff { until, entry: _, advice }) = &mut instance.phase else {
            return;
        };
        let Asked::Open { after, ended_at, .. } = *advice else { return };
        if after != run {
            return;
        }
        match answer {
            PolicyAnswer::Default => *advice = Asked::Nothing,
            PolicyAnswer::RestartAfter(wait) => {
                *until = (ended_at + wait.min(LONGEST_WAIT)).max(now);
                *advice = Asked::Chosen(reason.as_str().into());
                let delay = until.since(now);
                self.tell(id, EventKind::PolicyDecided { run, delay, reason });
            }
            PolicyAnswer::GiveUp => self.give_up(id, GaveUp::Advice(reason.into())),
        }
        // With nothing left to wait for it goes on at once.
        self.pass_phase_deadline_if_due(id);
    }
}
