//! Restart policies.

use std::cell::RefCell;
use std::time::Duration;

use super::{Component, NOT_CONFIGURED, changed, long_millis};
use crate::bindings::exports::kennel::plugin::restart_policy as wit;
use crate::config::Problems;
use crate::policy::{Action, Cause, Decision, PastRun, PolicyInput, RestartPolicy};
use crate::state::Saved;
use crate::typed;

/// The bit of this kind in a set of kinds.
pub const BIT: usize = 2;

trait Plugin {
    fn decide(
        &self,
        input: &PolicyInput,
        saved: Option<&Saved>,
    ) -> Result<(Decision, Option<Saved>), String>;
}

struct Kept<P>(P);

impl<P: RestartPolicy> Plugin for Kept<P> {
    fn decide(
        &self,
        input: &PolicyInput,
        saved: Option<&Saved>,
    ) -> Result<(Decision, Option<Saved>), String> {
        let mut state = Saved::open(saved);
        let decision = self.0.decide(input, &mut state)?;
        Ok((decision, Saved::of(&state)))
    }
}

thread_local! {
    static PLUGIN: RefCell<Option<Box<dyn Plugin>>> = const { RefCell::new(None) };
}

/// Creates the plugin and keeps it for the calls to come.
pub fn configure<P: RestartPolicy + 'static>(config: &str, problems: &mut Problems) {
    match typed::read(config).and_then(P::new) {
        Ok(plugin) => PLUGIN.set(Some(Box::new(Kept(plugin)))),
        Err(found) => problems.extend(found),
    }
}

impl wit::Guest for Component {
    fn decide(input: wit::Input) -> Result<wit::Decision, String> {
        let wit::Input {
            target,
            now_unix_ms,
            cause,
            history,
            restarts_in_window,
            default_action,
            state,
            ext,
        } = input;
        let saved = state.map(Saved::from);
        let input = PolicyInput {
            target: target.into(),
            now_unix_ms,
            cause: cause.into(),
            history: history.into_iter().map(PastRun::from).collect(),
            restarts_in_window,
            default_action: default_action.into(),
            ext,
        };
        let (decision, after) = PLUGIN.with_borrow(|plugin| {
            let plugin = plugin.as_ref().ok_or(NOT_CONFIGURED)?;
            plugin.decide(&input, saved.as_ref())
        })?;
        let Decision { action, reason, ext } = decision;
        Ok(wit::Decision { action: action.into(), reason, state: changed(saved, after), ext })
    }
}

impl From<wit::Cause> for Cause {
    fn from(cause: wit::Cause) -> Cause {
        let wit::Cause { kind, exit_code, signal, detail } = cause;
        Cause { kind, exit_code, signal, detail }
    }
}

impl From<wit::PastRun> for PastRun {
    fn from(run: wit::PastRun) -> PastRun {
        let wit::PastRun { ended_unix_ms, uptime_ms, cause } = run;
        let uptime = Duration::from_millis(uptime_ms);
        PastRun { ended_unix_ms, uptime, cause: cause.into() }
    }
}

impl From<wit::Action> for Action {
    fn from(action: wit::Action) -> Action {
        match action {
            wit::Action::UseDefault => Action::UseDefault,
            wit::Action::RestartAfterMs(delay) => {
                Action::RestartAfter(Duration::from_millis(delay))
            }
            wit::Action::GiveUp(reason) => Action::GiveUp(reason),
        }
    }
}

impl From<Action> for wit::Action {
    fn from(action: Action) -> wit::Action {
        match action {
            Action::UseDefault => wit::Action::UseDefault,
            Action::RestartAfter(delay) => wit::Action::RestartAfterMs(long_millis(delay)),
            Action::GiveUp(reason) => wit::Action::GiveUp(reason),
        }
    }
}
