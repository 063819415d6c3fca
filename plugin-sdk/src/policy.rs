//! Restart policies: a run has ended; what now?

use std::time::Duration;

use serde::de::DeserializeOwned;

use crate::config::Problems;
use crate::state::State;
use crate::target::{Attributes, Target, find};

/// A restart policy: a pure function of its input. It is asked while the built-in delay already
/// runs, gets no host to talk to, and its answer is held to the supervisor's own limits.
pub trait RestartPolicy: Sized {
    /// What stands under `config:`.
    type Config: DeserializeOwned;
    /// What is remembered from one decision to the next; `()` for nothing.
    type State: State;

    /// Takes a configuration, or says everything that is wrong with it.
    fn new(config: Self::Config) -> Result<Self, Problems>;

    /// Decides what follows the end of a run. An error is as good as no answer: the built-in
    /// policy decides.
    fn decide(&self, input: &PolicyInput, state: &mut Self::State) -> Result<Decision, String>;
}

/// Why a run ended.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Cause {
    /// `exit`, `signal`, `start-failed`, `not-ready`, `unhealthy`, `watchdog`, `out-of-memory`, …
    pub kind: String,
    /// The code it exited with.
    pub exit_code: Option<i32>,
    /// The signal that ended it.
    pub signal: Option<i32>,
    /// More, for people.
    pub detail: String,
}

/// An earlier run.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PastRun {
    /// When it ended, in milliseconds since 1970.
    pub ended_unix_ms: u64,
    /// How long it lasted.
    pub uptime: Duration,
    /// Why it ended.
    pub cause: Cause,
}

/// What follows the end of a run.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Action {
    /// What the built-in policy would do.
    #[default]
    UseDefault,
    /// A restart after this delay, counted from the end of the run.
    RestartAfter(Duration),
    /// No restart any more, and why. Needs the grant `give_up`.
    GiveUp(String),
}

/// What a restart policy is told.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PolicyInput {
    /// The service.
    pub target: Target,
    /// The time, in milliseconds since 1970: the only clock a policy has.
    pub now_unix_ms: u64,
    /// Why the run ended.
    pub cause: Cause,
    /// Earlier runs, newest first.
    pub history: Vec<PastRun>,
    /// How many restarts there were in the window of the restart limit.
    pub restarts_in_window: u32,
    /// What the built-in policy would do.
    pub default_action: Action,
    /// What else this host says.
    pub ext: Attributes,
}

impl PolicyInput {
    /// What this host says under `key` beyond the contract.
    pub fn ext(&self, key: &str) -> Option<&str> {
        find(&self.ext, key)
    }
}

/// What a restart policy decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// What follows.
    pub action: Action,
    /// Why, in one line for people.
    pub reason: String,
    /// What else is to be told to this host.
    pub ext: Attributes,
}

impl Decision {
    /// Leaves it to the built-in policy.
    pub fn use_default(reason: impl Into<String>) -> Decision {
        Decision { action: Action::UseDefault, reason: reason.into(), ext: Attributes::new() }
    }

    /// Restarts after `delay`, counted from the end of the run.
    pub fn restart_after(delay: Duration, reason: impl Into<String>) -> Decision {
        let action = Action::RestartAfter(delay);
        Decision { action, reason: reason.into(), ext: Attributes::new() }
    }

    /// Restarts no more. Needs the grant `give_up`.
    pub fn give_up(reason: impl Into<String>) -> Decision {
        let reason = reason.into();
        Decision { action: Action::GiveUp(reason.clone()), reason, ext: Attributes::new() }
    }
}
