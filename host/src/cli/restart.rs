//! `kennel restart`

use super::act::{ActArgs, act};
use super::{Global, Outcome};
use crate::Verb;

/// Options of `kennel restart`.
#[derive(clap::Args, Debug)]
pub(super) struct RestartArgs {
    #[command(flatten)]
    act: ActArgs,
    /// A few instances at a time, as rolling: says; stops at the first that does not come up
    #[arg(long)]
    rolling: bool,
}

pub(super) fn restart(global: &Global, args: &RestartArgs) -> Outcome {
    let RestartArgs { act: args, rolling } = args;
    let verb = if *rolling { Verb::RollingRestart } else { Verb::Restart };
    act(global, verb, "restart", args)
}
