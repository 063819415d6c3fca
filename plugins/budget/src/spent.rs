//! How much of the budget is spent.
//!
//! Restarts count from level to level, each with a window of its own:
//!
//! ```text
//!   level 1 ──intensity reached──► level 2 ──► … ──► used up
//!      ▲                              │                 │
//!      └── a run lasted for its period ◄────────────────┘
//! ```
//!
//! Nothing depends on the clock but how far moments are apart, and a clock that is set back
//! makes no restart free: what lies in the future counts as now.

use std::time::Duration;

use kennel_plugin::State;
use serde::{Deserialize, Serialize};

use crate::Level;

/// What is remembered of earlier restarts.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Spent {
    /// The level that pays, from 0; the number of levels when all are used up.
    level: usize,
    /// When the restarts were that its window still counts, in milliseconds since 1970,
    /// oldest first.
    restarts: Vec<u64>,
}

impl State for Spent {}

impl Spent {
    /// Whether no restart is remembered.
    pub(crate) fn is_nothing(&self) -> bool {
        *self == Spent::default()
    }

    /// How many restarts the window counts.
    pub(crate) fn count(&self) -> usize {
        self.restarts.len()
    }

    /// Pays for the restart after a run that ended at `at` and had lasted for `uptime`. None
    /// when the budget is used up.
    pub(crate) fn spend<'a>(
        &mut self,
        levels: &'a [Level],
        at: u64,
        uptime: Duration,
    ) -> Option<(usize, &'a Level)> {
        // A state of a configuration that had more levels.
        self.level = self.level.min(levels.len());
        let current = levels.get(self.level).or(levels.last())?;
        if uptime >= current.period {
            *self = Spent::default();
        }
        while let Some(level) = levels.get(self.level) {
            self.forget_before(at, level.period);
            match level.intensity {
                Some(max) if self.restarts.len() >= max as usize => {
                    self.level += 1;
                    self.restarts.clear();
                }
                Some(_) => {
                    self.restarts.push(at);
                    return Some((self.level, level));
                }
                None => {
                    self.restarts.clear();
                    return Some((self.level, level));
                }
            }
        }
        None
    }

    fn forget_before(&mut self, at: u64, period: Duration) {
        let period_ms = u64::try_from(period.as_millis()).unwrap_or(u64::MAX);
        for restart in &mut self.restarts {
            *restart = at.min(*restart);
        }
        self.restarts.retain(|restart| at - restart < period_ms);
    }
}
