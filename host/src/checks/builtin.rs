//! The built-in checks: which probe they make, and what its answer means.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use hyper::StatusCode;
use kennel_core::ExitStatus;
use kennel_wasm::probe::HttpResponse;

use super::allow::AllowAll;
use super::channel::Channel;
use super::deadline::Deadline;
use super::error::{ConnectFailure, ProbeError, Stage};
use super::exec::{CommandEnd, exec};
use super::http::{self, Order};
use super::kind::{Pattern, Probe};
use super::launcher::Launcher;
use super::outcome::{Failure, Outcome};

/// How much of a body a pattern is looked for in.
const SEARCHED_BYTES: usize = 1 << 20;

/// How much of what a server or command said is shown.
const QUOTED_CHARS_MAX: usize = 120;

/// What a check needs beside its own configuration.
#[derive(Clone, Default)]
pub(crate) struct CheckContext {
    /// Starts commands as the service; none while it does not run.
    pub(crate) launcher: Option<Arc<dyn Launcher>>,
}

/// Makes one check, which takes no longer than `timeout`.
pub(crate) async fn run(probe: &Probe, context: &CheckContext, timeout: Duration) -> Outcome {
    let deadline = Deadline::after(timeout);
    // Boxed what is large, so that the others do not carry its room from place to place.
    let done = match probe {
        Probe::Http { url, expect_status, expect_body, ca_file } => {
            let expected = Expected { status: expect_status, body: expect_body.as_ref() };
            Box::pin(http(url, &expected, ca_file.as_deref(), deadline)).await
        }
        Probe::Tcp { address } => tcp(address, deadline).await,
        Probe::Unix { path } => unix(path, deadline).await,
        Probe::Command { argv } => Box::pin(command(argv, context, deadline)).await,
    };
    done.unwrap_or_else(|error| outcome_of(&error))
}

/// What an answer has to be like.
struct Expected<'a> {
    status: &'a [(u16, u16)],
    body: Option<&'a Pattern>,
}

async fn http(
    url: &str,
    expected: &Expected<'_>,
    ca_file: Option<&Path>,
    deadline: Deadline,
) -> Result<Outcome, ProbeError> {
    // Without a pattern the body is not waited for: some answers have no end.
    let keep_bytes = if expected.body.is_some() { SEARCHED_BYTES } else { 0 };
    let order = Order::get(url, ca_file, keep_bytes)?;
    let answer = http::run(order, &AllowAll, deadline).await;
    // The request is what the operator knows; the address of a refusal is in it.
    let answer = answer.map_err(|error| named(url, error))?;
    Ok(judge(url, &answer, expected))
}

fn judge(url: &str, answer: &HttpResponse, expected: &Expected<'_>) -> Outcome {
    let phrase = StatusCode::from_u16(answer.status).ok().and_then(|s| s.canonical_reason());
    let phrase = phrase.map(|phrase| format!(" {phrase}")).unwrap_or_default();
    let said = format!("GET {url} answered {}{phrase}", answer.status);
    let wrong = |reason: String| Outcome::Failed { how: Failure::Wrong, reason };
    if !expected.status.iter().any(|(low, high)| (*low..=*high).contains(&answer.status)) {
        return wrong(said);
    }
    let Some(pattern) = expected.body.filter(|pattern| !pattern.is_match(&answer.body)) else {
        return Outcome::Passed { reason: said };
    };
    let is_cut = answer.ext.iter().any(|(key, _)| key == "http.truncated");
    let part = if is_cut { "the first MiB of its body" } else { "its body" };
    let body = match quoted(&answer.body) {
        body if body.is_empty() => "an empty one".to_owned(),
        body => format!("\"{body}\""),
    };
    wrong(format!("{said}, but {part} does not match \"{}\": {body}", pattern.as_str()))
}

/// The error with the whole URL where it names only the server.
fn named(url: &str, error: ProbeError) -> ProbeError {
    match error {
        ProbeError::Late { stage: stage @ (Stage::Answer | Stage::Body), to: _, within } => {
            ProbeError::Late { stage, to: format!("GET {url}"), within }
        }
        ProbeError::Protocol { to: _, reason } => {
            ProbeError::Protocol { to: format!("GET {url}"), reason }
        }
        ProbeError::Denied(_)
        | ProbeError::Late { .. }
        | ProbeError::Dns { .. }
        | ProbeError::Connect { .. }
        | ProbeError::Tls { .. }
        | ProbeError::TooLarge { .. }
        | ProbeError::Command(_)
        | ProbeError::Invalid(_) => error,
    }
}

async fn tcp(address: &str, deadline: Deadline) -> Result<Outcome, ProbeError> {
    Channel::tcp(address, &AllowAll, deadline).await?;
    Ok(Outcome::Passed { reason: format!("{address} accepts connections") })
}

async fn unix(path: &Path, deadline: Deadline) -> Result<Outcome, ProbeError> {
    Channel::unix(path, deadline).await?;
    Ok(Outcome::Passed { reason: format!("\"{}\" accepts connections", path.display()) })
}

async fn command(
    argv: &[String],
    context: &CheckContext,
    deadline: Deadline,
) -> Result<Outcome, ProbeError> {
    let Some(launcher) = &context.launcher else {
        return Ok(Outcome::Impossible { reason: "the service does not run".into() });
    };
    let end = exec(Arc::clone(launcher), argv.to_vec(), deadline).await?;
    let program = argv.first().map_or("", String::as_str);
    let CommandEnd { status, stdout, stderr } = &end;
    let said = format!("\"{program}\" {status}");
    Ok(match status {
        ExitStatus::Code(0) => Outcome::Passed { reason: said },
        ExitStatus::Code(_) | ExitStatus::Signal { .. } | ExitStatus::OutOfMemory => {
            let words = [stderr, stdout].map(|bytes| first_line(bytes));
            let words = words.into_iter().find(|line| !line.is_empty());
            let reason = match words {
                Some(words) => format!("{said}: {words}"),
                None => said,
            };
            Outcome::Failed { how: Failure::Wrong, reason }
        }
        ExitStatus::Unknown => Outcome::Impossible { reason: said },
    })
}

fn first_line(bytes: &[u8]) -> String {
    let lines = bytes.split(|byte| *byte == b'\n');
    lines.map(quoted).find(|line| !line.is_empty()).unwrap_or_default()
}

/// Bytes of somebody else, fit for a line of ours.
fn quoted(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(&bytes[..bytes.len().min(4 * QUOTED_CHARS_MAX)]);
    let words = text.split(|c: char| c.is_whitespace() || c.is_control());
    let words: Vec<&str> = words.filter(|word| !word.is_empty()).collect();
    let line = words.join(" ");
    let mut shown: String = line.chars().take(QUOTED_CHARS_MAX).collect();
    if shown.len() < line.len() {
        shown.push('…');
    }
    shown
}

/// What it means for a service that a probe of it brought no answer.
fn outcome_of(error: &ProbeError) -> Outcome {
    let reason = error.to_string();
    match error {
        ProbeError::Late { stage: Stage::Resolve, .. } | ProbeError::Dns { .. } => {
            Outcome::Unresolved { reason }
        }
        ProbeError::Late { .. } => Outcome::Late { reason },
        ProbeError::Connect { how: ConnectFailure::Here(_), .. } => Outcome::Impossible { reason },
        ProbeError::Connect { .. } => Outcome::Failed { how: Failure::Refused, reason },
        ProbeError::Tls { .. } | ProbeError::Protocol { .. } | ProbeError::TooLarge { .. } => {
            Outcome::Failed { how: Failure::Wrong, reason }
        }
        ProbeError::Denied(_) | ProbeError::Command(_) | ProbeError::Invalid(_) => {
            Outcome::Impossible { reason }
        }
    }
}
