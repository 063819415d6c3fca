//! How often and how fast a service is started again, and in which portions.

use std::time::Duration;

use kennel_core::spec::{Attempts, Backoff, GiveUp, Rolling, WaitFor};

use super::checker::Checker;
use super::raw::{
    RawBackoff, RawDuration, RawGiveUpWord, RawOnGiveUp, RawPercent, RawRetryAfter, RawRolling,
    RawStart, RawWaitFor,
};
use super::tree::Node;

/// `start`: a budget for getting up; none: there is no such key.
pub(super) fn attempts(
    raw: Option<&RawStart>,
    node: &Node,
    checker: &mut Checker<'_>,
) -> Option<Attempts> {
    let RawStart { attempts, backoff: raw_backoff, on_give_up: raw_action } = raw?;
    let default = Attempts::default();
    let max = attempts.unwrap_or(default.max);
    Some(Attempts {
        max: checker.within(node, "start.attempts", max, 1..=10_000),
        backoff: backoff(raw_backoff.as_ref(), node, "start", default.backoff, checker),
        on_give_up: on_give_up(raw_action.as_ref(), node, "start", checker),
    })
}

/// `rolling`: how replicas are restarted a few at a time.
pub(super) fn rolling(raw: Option<&RawRolling>, node: &Node, checker: &mut Checker<'_>) -> Rolling {
    let default = Rolling::default();
    let Some(RawRolling { max_unavailable, wait_for, timeout }) = raw else { return default };
    let most = max_unavailable.unwrap_or(default.max_unavailable);
    Rolling {
        max_unavailable: checker.within(node, "rolling.max_unavailable", most, 1..=1000),
        wait_for: match wait_for {
            Some(RawWaitFor::Ready) => WaitFor::Ready,
            None | Some(RawWaitFor::Healthy) => WaitFor::Healthy,
        },
        timeout: checker.positive(node, "rolling.timeout", timeout.as_ref(), default.timeout),
    }
}

/// `on_give_up` below `parent`.
pub(super) fn on_give_up(
    raw: Option<&RawOnGiveUp>,
    node: &Node,
    parent: &str,
    checker: &mut Checker<'_>,
) -> GiveUp {
    match raw {
        // Resigning is refused as not available before it gets here.
        None | Some(RawOnGiveUp::Scalar(RawGiveUpWord::Stay | RawGiveUpWord::Resign)) => {
            GiveUp::Stay
        }
        Some(RawOnGiveUp::Scalar(RawGiveUpWord::Exit)) => GiveUp::Exit,
        Some(RawOnGiveUp::Mapping(RawRetryAfter { retry_after })) => {
            let path = format!("{parent}.on_give_up.retry_after");
            if node.find(&path).is_none_or(Node::is_null) {
                let hint = Some("write { retry_after: 10m }");
                let message = "\"retry_after\" is missing".to_owned();
                checker.error(node, &format!("{parent}.on_give_up"), message, hint);
            }
            let default = Duration::from_secs(600);
            GiveUp::RetryAfter(checker.positive(node, &path, retry_after.as_ref(), default))
        }
    }
}

/// `backoff` below `parent`.
pub(super) fn backoff(
    raw: Option<&RawBackoff>,
    node: &Node,
    parent: &str,
    default: Backoff,
    checker: &mut Checker<'_>,
) -> Backoff {
    let Some(RawBackoff { initial, factor, max, jitter }) = raw else { return default };
    let at = |key: &str| format!("{parent}.backoff.{key}");
    let initial = initial.as_ref().map_or(default.initial, |RawDuration(initial)| *initial);
    let max_given = max.is_some();
    let max = checker.positive(node, &at("max"), max.as_ref(), default.max);
    if max < initial {
        let path = at(if max_given { "max" } else { "initial" });
        let message = format!("\"{parent}.backoff.max\" is shorter than \"initial\"");
        let hint = format!("max is {}s when it is not given", default.max.as_secs());
        checker.error(node, &path, message, (!max_given).then_some(&*hint));
    }
    let factor = factor.unwrap_or(default.factor);
    let jitter = match jitter {
        Some(RawPercent(jitter)) if !(0.0..=1.0).contains(jitter) => {
            let message = format!("\"{parent}.backoff.jitter\" has to be from 0% to 100%");
            checker.error(node, &at("jitter"), message, None);
            default.jitter
        }
        Some(RawPercent(jitter)) => *jitter,
        None => default.jitter,
    };
    Backoff {
        initial,
        factor: checker.within(node, &at("factor"), factor, 1.0..=1000.0),
        max,
        jitter,
    }
}
