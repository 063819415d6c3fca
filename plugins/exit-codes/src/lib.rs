//! Restart policy `exit-codes`: what follows a run depends on how it ended.

#![forbid(unsafe_code)]

mod config;
mod ending;
mod sysexits;

use kennel_plugin::prelude::*;

pub use config::Config;

use config::Then;
use ending::{Ending, Endings};

/// The policy with its table.
#[derive(Debug)]
pub struct ExitCodes {
    rules: Vec<Rule>,
    otherwise: Then,
}

/// One line of the table.
#[derive(Debug)]
struct Rule {
    endings: Endings,
    then: Then,
}

impl RestartPolicy for ExitCodes {
    type Config = Config;
    type State = ();

    fn new(config: Config) -> Result<ExitCodes, Problems> {
        config.check()
    }

    fn decide(&self, input: &PolicyInput, (): &mut ()) -> Result<Decision, String> {
        let ending = Ending::of(&input.cause);
        let found = self.rules.iter().position(|rule| rule.endings.contain(&ending));
        let (then, place) = match found.and_then(|index| self.rules.get(index).zip(Some(index))) {
            Some((rule, index)) => (&rule.then, format!("rule {}", index + 1)),
            None => (&self.otherwise, "no rule".to_owned()),
        };
        let why = format!("{ending}: {place}");
        Ok(match then {
            Then::Default => Decision::use_default(why),
            Then::RestartAfter(delay) => Decision::restart_after(*delay, why),
            Then::GiveUp(None) => Decision::give_up(why),
            Then::GiveUp(Some(reason)) => Decision::give_up(format!("{ending}: {reason}")),
        })
    }
}

kennel_plugin::export!(restart_policy: ExitCodes);
