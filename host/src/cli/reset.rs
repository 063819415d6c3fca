//! `kennel reset`

use super::act::{ActArgs, act};
use super::{Global, Outcome};
use crate::Verb;

pub(super) fn reset(global: &Global, args: &ActArgs) -> Outcome {
    act(global, Verb::Reset, "reset", args)
}
