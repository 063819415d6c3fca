//! `kennel upgrade`

use std::io::Write as _;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::act::parse_timeout;
use super::connect::{block_on, client};
use super::why::past;
use super::{ExitKind, Failure, Global, Outcome};
use crate::api::client::EventQuery;
use crate::api::{Client, ClientError};

/// How long the new program may take to answer. It takes over thousands of services in less.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long nobody may listen on the socket, which goes from one program to the next: for longer,
/// it has ended.
const GONE: Duration = Duration::from_secs(2);
/// How often it is looked whether it answers.
const POLL: Duration = Duration::from_millis(20);

/// Options of `kennel upgrade`.
#[derive(clap::Args, Debug)]
pub(super) struct UpgradeArgs {
    /// The program that takes the place [default: the file that the supervisor was started from]
    #[arg(long, value_name = "FILE")]
    binary: Option<PathBuf>,
    /// How long it may take to say that it can go on [default: 30s]
    #[arg(long, value_name = "T", value_parser = parse_timeout)]
    timeout: Option<Duration>,
}

pub(super) fn upgrade(global: &Global, args: &UpgradeArgs) -> Outcome {
    let client = client(global)?;
    let binary = args.binary.as_ref().map(std::path::absolute).transpose()?;
    let failed = |error: ClientError| Failure::from(error).doing("upgrade");
    block_on(async {
        let before = client.status(&[]).await.map_err(failed)?.supervisor;
        let last = EventQuery { last: Some(1), ..EventQuery::default() };
        let last = past(&client, &last).await.map_err(failed)?.last().map(|event| event.seq);
        match client.upgrade(binary.as_deref(), args.timeout).await {
            // It may have given way before its answer had arrived.
            Ok(_) | Err(ClientError::Interrupted { .. }) => {}
            Err(error) => return Err(failed(error)),
        }
        let deadline = Instant::now() + PATIENCE;
        let mut heard = Instant::now();
        loop {
            tokio::time::sleep(POLL).await;
            let now = client.status(&[]).await;
            match now {
                Err(error @ ClientError::NotRunning { .. }) if heard.elapsed() >= GONE => {
                    return Err(failed(error).hint(
                        "it has ended meanwhile; its services go on, and \"kennel run\" \
                         takes them over",
                    ));
                }
                Err(ClientError::NotRunning { .. }) => {}
                Ok(_) | Err(_) => heard = Instant::now(),
            }
            if let Ok(status) = &now
                && status.supervisor.started_at != before.started_at
            {
                let (pid, old, new) =
                    (status.supervisor.pid, &before.version, &status.supervisor.version);
                writeln!(std::io::stdout(), "upgraded from {old} to {new}, pid {pid}")?;
                return Ok(ExitKind::Done);
            }
            if let Some(why) = failure_since(&client, last).await {
                return Err(
                    Failure::new(ExitKind::Failed, why).hint("the supervisor goes on as it was")
                );
            }
            if Instant::now() >= deadline {
                return Err(match now {
                    Ok(_) => {
                        let text = "cannot upgrade: the supervisor goes on as it was";
                        Failure::new(ExitKind::Failed, text)
                            .hint("see its log, or \"kennel events\"")
                    }
                    Err(error) => failed(error),
                });
            }
        }
    })
}

/// Why there was no upgrade, if the supervisor has said so after its event `last`.
async fn failure_since(client: &Client, last: Option<u64>) -> Option<String> {
    let kinds = vec!["supervisor.upgrade_failed".to_owned()];
    let query = EventQuery { since: last, kinds, ..EventQuery::default() };
    // Who gives way at this moment does not answer.
    let said = past(client, &query).await.ok()?;
    Some(said.last()?.message.clone())
}
