//! The account of what runs say of themselves.

use std::time::Duration;

use kennel_core::{Missed, Notice, Time};

use crate::account::Run;

/// What the present run has said.
#[derive(Default)]
pub(crate) struct Notices {
    /// It asked for time until then.
    pub(crate) excused_until: Option<Time>,
    pub(crate) is_announced: bool,
    is_stuck: bool,
    /// How often it gives a sign of life.
    pub(crate) every: Option<Duration>,
    /// When the next one is due.
    due: Option<Time>,
}

impl Notices {
    pub(crate) fn becomes_ready(&mut self, at: Time) {
        self.arm(at);
    }

    pub(crate) fn arm(&mut self, from: Time) {
        self.due = self.every.filter(|every| !every.is_zero()).map(|every| from + every);
    }
}

impl Run {
    pub(crate) fn says(&mut self, now: Time, notice: &Notice) {
        if self.exit.is_some() || self.spawned_at.is_none() || self.stopping.is_some() {
            return;
        }
        let is_up = self.is_up();
        let notices = &mut self.notices;
        match notice {
            Notice::Extend(time) => {
                notices.excused_until = notices.excused_until.max(Some(now + *time));
                notices.due = notices.due.map(|due| due.max(now + *time));
            }
            Notice::Alive => {
                let next = notices.every.map(|every| now + every);
                notices.due = notices.due.max(next.filter(|_| notices.due.is_some()));
            }
            Notice::Stuck => notices.is_stuck = true,
            Notice::WatchdogEvery(every) => {
                notices.every = Some(*every);
                if is_up {
                    notices.arm(now);
                }
            }
            Notice::Stopping => notices.is_announced = true,
        }
    }

    /// Whether it may be stopped for a sign of life that is missing.
    pub(crate) fn misses(&self, now: Time, missed: Missed) -> bool {
        match missed {
            Missed::Sign(every) => {
                self.notices.every == Some(every) && self.notices.due.is_some_and(|due| due <= now)
            }
            Missed::Nothing => self.notices.is_stuck,
        }
    }

    /// Whether it has to be stopped for what it said, or did not say.
    pub(crate) fn must_stop_for_a_notice(&self, now: Time) -> bool {
        let missed = self.notices.due.is_some_and(|due| due <= now);
        missed || self.notices.is_stuck || self.notices.is_announced
    }
}
