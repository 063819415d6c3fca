//! `kennel restart`

use super::act::{ActArgs, act};
use super::{Global, Outcome};
use crate::Verb;

pub(super) fn restart(global: &Global, args: &ActArgs) -> Outcome {
    act(global, Verb::Restart, "restart", args)
}
