//! `kennel shutdown`

use std::time::Duration;

use super::connect::{block_on, client};
use super::terminal::Progress;
use super::{ExitKind, Failure, Global, Outcome};
use crate::ShutdownMode;
use crate::api::wire::State;
use crate::api::{Client, ClientError};
use crate::os::proc;

/// How often it is looked whether the supervisor is gone.
const POLL: Duration = Duration::from_millis(20);
/// How often the progress line is written anew.
const PROGRESS: Duration = Duration::from_millis(200);

/// Options of `kennel shutdown`.
#[derive(clap::Args, Debug)]
pub(super) struct ShutdownArgs {
    /// Kill everything instead of stopping in order
    #[arg(long)]
    now: bool,
    /// Return at once instead of when the supervisor has ended
    #[arg(long)]
    no_wait: bool,
}

pub(super) fn shutdown(global: &Global, args: &ShutdownArgs) -> Outcome {
    let ShutdownArgs { now, no_wait } = args;
    let client = client(global)?;
    let mode = if *now { ShutdownMode::Now } else { ShutdownMode::Orderly };
    let failed = |error: ClientError| Failure::from(error).doing("shut down");
    block_on(async {
        let supervisor = client.status(&[]).await.map_err(failed)?.supervisor;
        // Before it is asked to end: afterwards the number may be another process's.
        let pid = i32::try_from(supervisor.pid).unwrap_or(i32::MAX);
        let began = proc::start_time(pid).ok();
        client.shutdown(mode).await.map_err(failed)?;
        if !no_wait {
            gone(&client, pid, began).await;
        }
        Ok(ExitKind::Done)
    })
}

/// Returns when the process has ended: then its lock is free and another supervisor can
/// start. How long that may take is the supervisor's own affair (`shutdown_timeout`).
async fn gone(client: &Client, pid: i32, began: Option<u64>) {
    let mut progress = Progress::new();
    let mut shown = tokio::time::Instant::now();
    loop {
        match proc::stat(pid) {
            Ok(stat) if Some(stat.start_time) == began && stat.runs() => {}
            Ok(_) | Err(_) => return,
        }
        if progress.is_seen() && shown.elapsed() >= PROGRESS {
            shown = tokio::time::Instant::now();
            if let Ok(status) = client.status(&[]).await {
                let left = status
                    .services
                    .iter()
                    .filter(|service| service.pid.is_some() || service.state == State::Stopping);
                let left: Vec<_> = left.map(|service| service.name.as_str()).collect();
                progress.show(&format!("waits for {}", left.join(", ")));
            }
        }
        tokio::time::sleep(POLL).await;
    }
}
