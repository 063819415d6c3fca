//! `kennel stop`

use super::act::{ActArgs, act};
use super::{Global, Outcome};
use crate::Verb;

pub(super) fn stop(global: &Global, args: &ActArgs) -> Outcome {
    act(global, Verb::Stop, "stop", args)
}
