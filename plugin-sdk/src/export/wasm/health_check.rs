//! Health checks.

use std::cell::RefCell;
use std::time::Duration;

use super::{Component, NOT_CONFIGURED, changed, millis};
use crate::backend::Backend;
use crate::bindings::exports::kennel::plugin::health_check as wit;
use crate::bindings::kennel::plugin::types;
use crate::check::{CheckError, CheckInput, HealthCheck, Sample, Status, Verdict};
use crate::config::Problems;
use crate::host::Host;
use crate::state::Saved;
use crate::typed;

/// The bit of this kind in a set of kinds.
pub const BIT: usize = 1;

trait Plugin {
    fn check(
        &self,
        input: &CheckInput,
        saved: Option<&Saved>,
    ) -> Result<(Verdict, Option<Saved>), String>;
}

struct Kept<P>(P);

impl<P: HealthCheck> Plugin for Kept<P> {
    fn check(
        &self,
        input: &CheckInput,
        saved: Option<&Saved>,
    ) -> Result<(Verdict, Option<Saved>), String> {
        let mut state = Saved::open(saved);
        match self.0.check(input, &mut state, &mut Host::new(Backend)) {
            Ok(verdict) | Err(CheckError::Failed(verdict)) => Ok((verdict, Saved::of(&state))),
            Err(CheckError::NotMade(reason)) => Err(reason),
        }
    }
}

thread_local! {
    static PLUGIN: RefCell<Option<Box<dyn Plugin>>> = const { RefCell::new(None) };
}

/// Creates the plugin and keeps it for the calls to come.
pub fn configure<P: HealthCheck + 'static>(config: &str, problems: &mut Problems) {
    match typed::read(config).and_then(P::new) {
        Ok(plugin) => PLUGIN.set(Some(Box::new(Kept(plugin)))),
        Err(found) => problems.extend(found),
    }
}

impl wit::Guest for Component {
    fn check(input: wit::Input) -> Result<wit::Verdict, String> {
        let wit::Input { target, now_unix_ms, sequence, budget_ms, state, ext } = input;
        let saved = state.map(Saved::from);
        let budget = Duration::from_millis(budget_ms.into());
        let target = target.into();
        let input = CheckInput { target, now_unix_ms, sequence, budget, ext };
        let (verdict, after) = PLUGIN.with_borrow(|plugin| {
            let plugin = plugin.as_ref().ok_or(NOT_CONFIGURED)?;
            plugin.check(&input, saved.as_ref())
        })?;
        let Verdict { status, reason, samples, next_in, ext } = verdict;
        let samples = samples.into_iter().map(|Sample { name, value, unit }| types::Sample {
            name,
            value,
            unit,
        });
        Ok(wit::Verdict {
            status: status.into(),
            reason,
            samples: samples.collect(),
            state: changed(saved, after),
            next_in_ms: next_in.map(millis),
            ext,
        })
    }
}

impl From<Status> for wit::Status {
    fn from(status: Status) -> wit::Status {
        match status {
            Status::Healthy => wit::Status::Healthy,
            Status::Degraded => wit::Status::Degraded,
            Status::Unhealthy => wit::Status::Unhealthy,
            Status::Late => wit::Status::Late,
            Status::Unknown => wit::Status::Unknown,
        }
    }
}
