//! `kennel start`

use super::act::{ActArgs, act};
use super::{Global, Outcome};
use crate::Verb;

pub(super) fn start(global: &Global, args: &ActArgs) -> Outcome {
    act(global, Verb::Start, "start", args)
}
