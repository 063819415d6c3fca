//! Answers of plugins, brought within limits.
//!
//! An absurd answer is not a fault: what is in it is cut, and what makes no sense is left
//! out, so that supervision goes on with what remains.

use std::time::Duration;

use crate::engine::bounds::{LINE_BYTES, PROBLEMS, SAMPLE_NAME_BYTES, SAMPLES, WAIT_MAX, WAIT_MIN};
use crate::engine::log;
use crate::engine::store::State;
use crate::engine::text::line;
use crate::limits::RESTART_WAIT_MAX;
use crate::model::{Problem, STATE_BYTES_MAX, Sample, SavedState, check, policy, sink};
use crate::probe::Subject;

pub(crate) fn error(text: &str) -> String {
    line(text, LINE_BYTES)
}

pub(crate) fn problems(problems: Vec<Problem>) -> Vec<Problem> {
    let shown = |Problem { path, message }| Problem {
        path: line(&path, LINE_BYTES),
        message: line(&message, LINE_BYTES),
    };
    problems.into_iter().take(PROBLEMS).map(shown).collect()
}

pub(crate) fn verdict(of: &State, verdict: check::Verdict) -> check::Verdict {
    let check::Verdict { status, reason, samples, state, next_in, ext } = verdict;
    check::Verdict {
        status,
        reason: line(&reason, LINE_BYTES),
        samples: samples.into_iter().filter_map(sample).take(SAMPLES).collect(),
        state: saved(of, state),
        next_in: next_in.map(|wait| wait.clamp(WAIT_MIN, WAIT_MAX)),
        ext: log::fields(ext),
    }
}

pub(crate) fn decision(of: &State, decision: policy::Decision) -> policy::Decision {
    let policy::Decision { action, mut reason, state } = decision;
    let action = match action {
        policy::Action::UseDefault => policy::Action::UseDefault,
        policy::Action::RestartAfter(wait) => {
            policy::Action::RestartAfter(wait.min(RESTART_WAIT_MAX))
        }
        policy::Action::GiveUp(why) => match of.shared.grants.give_up() {
            Ok(()) => policy::Action::GiveUp(line(&why, LINE_BYTES)),
            Err(denied) => {
                let subject: Option<&Subject> = of.call.cx.subject.as_ref();
                of.shared.denied(subject, &denied.to_string());
                reason = format!("may not give up: {reason}");
                policy::Action::UseDefault
            }
        },
    };
    policy::Decision { action, reason: line(&reason, LINE_BYTES), state: saved(of, state) }
}

pub(crate) fn delivery(delivery: sink::Delivery, events: u32) -> sink::Delivery {
    match delivery {
        sink::Delivery::Taken(taken) => sink::Delivery::Taken(taken.min(events)),
        sink::Delivery::RetryAfter(Duration::ZERO) => sink::Delivery::RetryAfter(Duration::ZERO),
        sink::Delivery::RetryAfter(wait) => {
            sink::Delivery::RetryAfter(wait.clamp(WAIT_MIN, WAIT_MAX))
        }
        sink::Delivery::Rejected(why) => sink::Delivery::Rejected(line(&why, LINE_BYTES)),
    }
}

/// A measurement that can be exported.
fn sample(sample: Sample) -> Option<Sample> {
    let Sample { name, value, unit } = sample;
    let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    let fits = !name.is_empty() && name.len() <= SAMPLE_NAME_BYTES && name.chars().all(is_name);
    let unit = unit.map(|unit| line(&unit, SAMPLE_NAME_BYTES));
    (fits && value.is_finite()).then_some(Sample { name, value, unit })
}

/// What a plugin may have remembered for it.
fn saved(of: &State, state: Option<SavedState>) -> Option<SavedState> {
    let state = state?;
    let size = state.bytes.len();
    if size > STATE_BYTES_MAX {
        of.voice.remark(&format!(
            "state of {size} bytes was not saved, the limit is {STATE_BYTES_MAX} bytes"
        ));
        return None;
    }
    Some(state)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_that_no_metric_can_have_are_left_out() {
        let of = |name: &str, value: f64| {
            sample(Sample { name: name.into(), value, unit: Some("ms\n".into()) })
        };
        assert_eq!(of("a.b-c_1", 1.5).map(|sample| sample.unit), Some(Some("ms".into())));
        for (name, value) in
            [("", 1.0), ("a b", 1.0), ("ä", 1.0), ("a", f64::NAN), ("a", f64::INFINITY)]
        {
            assert_eq!(of(name, value), None, "{name:?} {value}");
        }
        assert_eq!(of(&"x".repeat(65), 1.0), None);
    }

    #[test]
    fn a_delivery_cannot_take_more_than_there_is_or_wait_for_ever() {
        let cases = [
            (sink::Delivery::Taken(u32::MAX), sink::Delivery::Taken(3)),
            (
                sink::Delivery::RetryAfter(Duration::ZERO),
                sink::Delivery::RetryAfter(Duration::ZERO),
            ),
            (
                sink::Delivery::RetryAfter(Duration::from_millis(u64::MAX)),
                sink::Delivery::RetryAfter(WAIT_MAX),
            ),
            (
                sink::Delivery::RetryAfter(Duration::from_millis(1)),
                sink::Delivery::RetryAfter(WAIT_MIN),
            ),
        ];
        for (answer, expected) in cases {
            assert_eq!(delivery(answer, 3), expected);
        }
    }
}
