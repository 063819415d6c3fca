//! What a plugin said beside what it should have said.

use std::fmt::Display;

use kennel_wasm::Fault;
use kennel_wasm::model::{SavedState, check, policy, sink};

use super::scenario::{ActionName, Expect, Pattern, Period, StatusName};
use super::trial::Said;

/// Everything that is not as expected.
pub(super) fn differences(expected: &Expect, said: &Result<Said, Fault>) -> Vec<String> {
    let mut found = Vec::new();
    match said {
        Err(fault) => found.push(fault.to_string()),
        Ok(Said::Check(Ok(verdict))) => of_verdict(expected, verdict, &mut found),
        Ok(Said::Decide(Ok(decision))) => of_decision(expected, decision, &mut found),
        Ok(Said::Check(Err(error)) | Said::Decide(Err(error))) => match &expected.error {
            Some(pattern) => same_text("error", Some(pattern), error, &mut found),
            None => found.push(format!("it could not do it: {error}")),
        },
        Ok(Said::Deliver(delivery)) => of_delivery(expected, delivery, &mut found),
    }
    found
}

fn of_verdict(expected: &Expect, verdict: &check::Verdict, found: &mut Vec<String>) {
    let check::Verdict { status, reason, samples, state, next_in, ext: _ } = verdict;
    let status = status_name(*status);
    if let Some(error) = &expected.error {
        let error = &error.written;
        found.push(format!("expected the error \"{error}\", got {}: {reason}", word(status)));
    }
    if let Some(wanted) = expected.status.filter(|wanted| *wanted != status) {
        found.push(format!("expected {}, got {}: {reason}", word(wanted), word(status)));
    }
    same_text("reason", expected.reason.as_ref(), reason, found);
    for (name, wanted) in &expected.samples {
        match samples.iter().find(|sample| sample.name == *name) {
            Some(sample) => same(&format!("sample {name}"), Some(*wanted), sample.value, found),
            None => found.push(format!("the sample {name} is missing")),
        }
    }
    if let Some(Period(wanted)) = expected.next_in
        && *next_in != Some(wanted)
    {
        found.push(format!("next_in: expected {wanted:?}, got {next_in:?}"));
    }
    same_state(expected.state.as_ref(), state.as_ref(), found);
}

fn of_decision(expected: &Expect, decision: &policy::Decision, found: &mut Vec<String>) {
    let policy::Decision { action, reason, state } = decision;
    if let Some(error) = &expected.error {
        found.push(format!("expected the error \"{}\", got {action:?}", error.written));
    }
    let (name, after) = match action {
        policy::Action::UseDefault => (ActionName::UseDefault, None),
        policy::Action::RestartAfter(after) => (ActionName::Restart, Some(*after)),
        policy::Action::GiveUp(_) => (ActionName::GiveUp, None),
    };
    if expected.action.is_some_and(|wanted| wanted != name) {
        found.push(format!("expected {:?}, got {action:?}: {reason}", expected.action));
    }
    if let Some(Period(wanted)) = expected.after
        && after != Some(wanted)
    {
        found.push(format!("after: expected {wanted:?}, got {action:?}"));
    }
    same_text("reason", expected.reason.as_ref(), reason, found);
    same_state(expected.state.as_ref(), state.as_ref(), found);
}

fn of_delivery(expected: &Expect, delivery: &sink::Delivery, found: &mut Vec<String>) {
    match delivery {
        sink::Delivery::Taken(count) => same("taken", expected.taken, *count, found),
        sink::Delivery::RetryAfter(after) => {
            let wanted = expected.retry_after.map(|Period(after)| after);
            if wanted != Some(*after) {
                found.push(format!("it wants to be asked again after {after:?}"));
            }
            return;
        }
        sink::Delivery::Rejected(reason) => {
            match &expected.rejected {
                Some(pattern) => same_text("rejected", Some(pattern), reason, found),
                None => found.push(format!("it rejected the events: {reason}")),
            }
            return;
        }
    }
    if expected.retry_after.is_some() || expected.rejected.is_some() {
        found.push(format!("expected that the events are not taken, got {delivery:?}"));
    }
}

fn same_state(expected: Option<&Pattern>, got: Option<&SavedState>, found: &mut Vec<String>) {
    let Some(expected) = expected else { return };
    match got {
        Some(state) => {
            let text = String::from_utf8_lossy(&state.bytes);
            same_text("state", Some(expected), &text, found);
        }
        None => found.push(format!("state: expected {:?}, got none", expected.written)),
    }
}

fn same_text(what: &str, expected: Option<&Pattern>, got: &str, found: &mut Vec<String>) {
    if let Some(pattern) = expected.filter(|pattern| !pattern.fits(got)) {
        found.push(format!("{what}: expected {:?}, got {got:?}", pattern.written));
    }
}

fn same<T: PartialEq + Display>(what: &str, expected: Option<T>, got: T, found: &mut Vec<String>) {
    if let Some(expected) = expected.filter(|expected| *expected != got) {
        found.push(format!("{what}: expected {expected}, got {got}"));
    }
}

/// The word of the contract for a status.
pub(super) fn status_name(status: check::Status) -> StatusName {
    match status {
        check::Status::Healthy => StatusName::Healthy,
        check::Status::Degraded => StatusName::Degraded,
        check::Status::Unhealthy => StatusName::Unhealthy,
        check::Status::Late => StatusName::Late,
        check::Status::Unknown => StatusName::Unknown,
    }
}

fn word(status: StatusName) -> &'static str {
    match status {
        StatusName::Healthy => "healthy",
        StatusName::Degraded => "degraded",
        StatusName::Unhealthy => "unhealthy",
        StatusName::Late => "late",
        StatusName::Unknown => "unknown",
    }
}
