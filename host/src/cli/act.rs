//! What start, stop, restart and reset have in common.

use std::io::Write as _;
use std::time::Duration;

use super::connect::{block_on, client};
use super::terminal::Progress;
use super::{ExitKind, Failure, Global, Outcome};
use crate::api::{self, Client, ClientError, wire};
use crate::{Verb, Wait};

/// How often the progress line is written anew.
const PROGRESS: Duration = Duration::from_millis(200);

/// Options of the verbs on services.
#[derive(clap::Args, Debug)]
pub(super) struct ActArgs {
    /// Services, or instances such as web/0
    #[arg(required = true, value_name = "SERVICE")]
    services: Vec<String>,
    #[command(flatten)]
    wait: WaitArgs,
}

/// Options of what can be waited for.
#[derive(clap::Args, Debug)]
pub(super) struct WaitArgs {
    /// Return at once instead of when it is so
    #[arg(long)]
    no_wait: bool,
    /// How long to wait at most
    #[arg(long, value_name = "T", default_value = "60s", value_parser = parse_timeout)]
    timeout: Duration,
    /// Print what became of each service as JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn parse_timeout(text: &str) -> Result<Duration, String> {
    api::parse_duration(text).ok_or_else(|| "write 250ms, 10s, 5m, 2h or 1d".to_owned())
}

/// Carries out `verb`, called `word`.
pub(super) fn act(global: &Global, verb: Verb, word: &str, args: &ActArgs) -> Outcome {
    let ActArgs { services, wait } = args;
    act_on(global, verb, word, services, wait)
}

/// Carries out `verb`, called `word`, on these services.
pub(super) fn act_on(
    global: &Global,
    verb: Verb,
    word: &str,
    services: &[String],
    args: &WaitArgs,
) -> Outcome {
    let WaitArgs { no_wait, timeout, json } = args;
    let client = client(global)?;
    let wait = if *no_wait { Wait::No } else { Wait::UpTo(*timeout) };
    let what = format!("{word} {}", services.join(", "));
    let outcomes = block_on(async {
        let acting = client.act(verb, services, wait);
        let outcomes =
            if *no_wait { acting.await } else { watched(&client, services, acting).await };
        outcomes.map_err(|error| Failure::from(error).doing(&what))
    })?;
    report(&outcomes, word, *json)
}

/// Says what became of each service: what went well is data.
pub(super) fn report(outcomes: &wire::Outcomes, word: &str, json: bool) -> Outcome {
    let wire::Outcomes { success, outcomes: each } = outcomes;
    let mut out = std::io::stdout().lock();
    if json {
        let text = serde_json::to_string(outcomes).map_err(std::io::Error::from)?;
        writeln!(out, "{text}")?;
    } else {
        for outcome in each.iter().filter(|outcome| outcome.success) {
            writeln!(out, "{}: {}", outcome.name, outcome.message)?;
        }
    }
    if *success {
        return Ok(ExitKind::Done);
    }
    if json {
        return Ok(ExitKind::Failed);
    }
    let failed: Vec<_> = each.iter().filter(|outcome| !outcome.success).collect();
    let lines: Vec<_> = failed
        .iter()
        .map(|outcome| format!("cannot {word} {}: {}", outcome.name, outcome.message))
        .collect();
    let failure = Failure::new(ExitKind::Failed, lines.join("\n"));
    Err(match failed.first() {
        Some(first) => failure.hint(format!(
            "\"kennel why {name}\" tells how it came to that, \"kennel logs {name}\" what it printed",
            name = first.name
        )),
        None => failure,
    })
}

/// Shows where the services are while `acting` is waited for.
async fn watched(
    client: &Client,
    services: &[String],
    acting: impl Future<Output = Result<wire::Outcomes, ClientError>>,
) -> Result<wire::Outcomes, ClientError> {
    let mut progress = Progress::new();
    if !progress.is_seen() {
        return acting.await;
    }
    let mut acting = std::pin::pin!(acting);
    loop {
        tokio::select! {
            outcomes = &mut acting => return outcomes,
            () = tokio::time::sleep(PROGRESS) => {}
        }
        // A status that cannot be had is no news; the verb itself will tell.
        if let Ok(status) = client.status(services).await {
            let states: Vec<_> = status.services.iter().map(where_it_is).collect();
            progress.show(&states.join("; "));
        }
    }
}

fn where_it_is(service: &wire::Service) -> String {
    let wire::Service { name, state, reason, .. } = service;
    if reason.is_empty() {
        format!("{name}: {state}")
    } else {
        format!("{name}: {state}, {reason}")
    }
}
