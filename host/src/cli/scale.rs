//! `kennel scale`

use super::act::{WaitArgs, act_on};
use super::{Global, Outcome};
use crate::Verb;

/// Options of `kennel scale`.
#[derive(clap::Args, Debug)]
pub(super) struct ScaleArgs {
    /// A service
    #[arg(value_name = "SERVICE")]
    service: String,
    /// How many instances of it
    #[arg(value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1000))]
    replicas: u32,
    #[command(flatten)]
    wait: WaitArgs,
}

pub(super) fn scale(global: &Global, args: &ScaleArgs) -> Outcome {
    let ScaleArgs { service, replicas, wait } = args;
    act_on(global, Verb::Scale(*replicas), "scale", std::slice::from_ref(service), wait)
}
