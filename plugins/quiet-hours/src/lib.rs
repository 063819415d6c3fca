//! Restart policy `quiet-hours`: restarts wait for the end of quiet hours, or for a
//! maintenance window.

#![forbid(unsafe_code)]

mod config;
mod names;
#[cfg(test)]
mod tests;
mod week;
mod zone;

use std::time::Duration;

use kennel_core::Human;
use kennel_plugin::prelude::*;

pub use config::Config;

use config::Kind;
use week::Week;
use zone::Zone;

/// The policy with its configuration.
#[derive(Debug)]
pub struct QuietHours {
    zone: Zone,
    week: Week,
    kind: Kind,
}

/// No built-in delay that is longer is looked at: ten years.
const DELAY_MAX: Duration = Duration::from_secs(3650 * 86_400);

impl RestartPolicy for QuietHours {
    type Config = Config;
    type State = ();

    fn new(config: Config) -> Result<QuietHours, Problems> {
        let (zone, week, kind) = config.check()?;
        Ok(QuietHours { zone, week, kind })
    }

    fn decide(&self, input: &PolicyInput, (): &mut ()) -> Result<Decision, String> {
        let delay = match &input.default_action {
            Action::RestartAfter(delay) => (*delay).min(DELAY_MAX),
            Action::UseDefault => Duration::ZERO,
            Action::GiveUp(_) => {
                return Ok(Decision::use_default("there is no restart that could wait"));
            }
        };
        let now = Duration::from_millis(input.now_unix_ms);
        let planned = now + delay;
        let until = self.quiet_until(planned);
        if until <= planned {
            return Ok(Decision::use_default(match self.kind {
                Kind::Quiet => "no quiet hours",
                Kind::Maintenance => "within a maintenance window",
            }));
        }
        let wait = until - now;
        let at = until.as_secs().cast_signed();
        let clock = self.zone.clock(at);
        let why = match self.kind {
            Kind::Quiet => "quiet hours",
            Kind::Maintenance => "outside of the maintenance windows",
        };
        let shown = week::shown(at + clock.offset);
        Ok(Decision::restart_after(
            wait,
            format!("{why}: restarts {shown} {clock}, in {}", Human(wait)),
        ))
    }
}

impl QuietHours {
    /// When the quiet hours end that hold at `at`; both since 1970.
    fn quiet_until(&self, at: Duration) -> Duration {
        let seconds = at.as_secs().cast_signed();
        let until = self.week.quiet_until(seconds, &self.zone);
        if until > seconds { Duration::from_secs(until.cast_unsigned()) } else { at }
    }
}

kennel_plugin::export!(restart_policy: QuietHours);
