//! Restart policy `budget`: so many restarts in so much time, then longer pauses, then none.

#![forbid(unsafe_code)]

mod config;
mod spent;

use kennel_core::Human;
use kennel_plugin::prelude::*;

pub use config::Config;
pub use spent::Spent;

/// The policy with its levels; there is at least one.
#[derive(Debug)]
pub struct Budget {
    levels: Vec<Level>,
}

/// A number of restarts that is affordable, and how they are made.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Level {
    /// At most so many restarts; none is no limit.
    intensity: Option<u32>,
    /// Within this time.
    period: Duration,
    /// How long each waits; none is as the built-in policy says.
    restart_after: Option<Duration>,
}

impl RestartPolicy for Budget {
    type Config = Config;
    type State = Spent;

    fn new(config: Config) -> Result<Budget, Problems> {
        Ok(Budget { levels: config.check()? })
    }

    fn decide(&self, input: &PolicyInput, spent: &mut Spent) -> Result<Decision, String> {
        if let Action::GiveUp(_) = input.default_action {
            return Ok(Decision::use_default("there is no restart that could be counted"));
        }
        if spent.is_nothing() {
            // Nothing is remembered, because the policy is new here or its memory was lost.
            for run in input.history.iter().rev() {
                spent.spend(&self.levels, run.ended_unix_ms, run.uptime);
            }
        }
        let affordable = spent.spend(&self.levels, input.now_unix_ms, input.target.uptime);
        Ok(match affordable {
            Some((index, level)) => self.restart(index, level, spent),
            None => Decision::give_up(self.used_up()),
        })
    }
}

impl Budget {
    fn restart(&self, index: usize, level: &Level, spent: &Spent) -> Decision {
        let stage = match (self.levels.len(), index) {
            (1, _) => String::new(),
            (_, index) => format!("level {}: ", index + 1),
        };
        let counted = match level.intensity {
            Some(max) => {
                format!("restart {} of {max} within {}", spent.count(), Human(level.period))
            }
            None => "restarts are not counted".to_owned(),
        };
        match level.restart_after {
            None => Decision::use_default(stage + &counted),
            Some(delay) => Decision::restart_after(delay, stage + &counted),
        }
    }

    fn used_up(&self) -> String {
        let last = self.levels.last();
        let what = match last.and_then(|level| level.intensity.zip(Some(level.period))) {
            Some((max, period)) => {
                let s = if max == 1 { "" } else { "s" };
                format!("more than {max} restart{s} within {}", Human(period))
            }
            None => "no restart is left".to_owned(),
        };
        match self.levels.len() {
            1 => what,
            levels => format!("all {levels} levels of the budget are used up: {what}"),
        }
    }
}

kennel_plugin::export!(restart_policy: Budget);
