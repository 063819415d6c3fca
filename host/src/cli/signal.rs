//! `kennel signal`

use kennel_core::Signal;

use super::act::report;
use super::connect::{block_on, client};
use super::{ExitKind, Failure, Global, Outcome};
use crate::{Verb, Wait};

/// Options of `kennel signal`.
#[derive(clap::Args, Debug)]
pub(super) struct SignalArgs {
    /// The signal, by name or number: HUP, SIGUSR1, 10
    #[arg(value_name = "SIGNAL")]
    signal: String,
    /// Services, or instances such as web/0
    #[arg(required = true, value_name = "SERVICE")]
    services: Vec<String>,
    /// Print what became of each service as JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn signal(global: &Global, args: SignalArgs) -> Outcome {
    let SignalArgs { signal: name, services, json } = args;
    let Some(signal) = Signal::parse(&name) else {
        let error = format!("no signal is named \"{name}\"");
        let hint = match crate::suggest::near(&name.to_uppercase(), Signal::names(), 1).first() {
            Some(near) => format!("did you mean {near}?"),
            None => "write a name as in signal(7), such as HUP, or a number".to_owned(),
        };
        return Err(Failure::new(ExitKind::Invalid, error).hint(hint));
    };
    let client = client(global)?;
    let word = format!("send {signal} to");
    let what = format!("{word} {}", services.join(", "));
    let outcomes = block_on(async {
        let outcomes = client.act(Verb::Signal(signal), &services, Wait::No).await;
        outcomes.map_err(|error| Failure::from(error).doing(&what))
    })?;
    report(&outcomes, &word, json)
}
