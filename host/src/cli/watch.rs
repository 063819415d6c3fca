//! `kennel status --watch`: the status again at every change.
//!
//! What changes is told by the event stream; what a terminal shows of age and memory goes
//! on by itself, so there it is also drawn anew every few seconds.

use std::io::{IsTerminal as _, Write as _};
use std::time::Duration;

use super::status::{StatusArgs, text};
use super::{ExitKind, Failure, Outcome, terminal};
use crate::api::client::EventQuery;
use crate::api::{Client, ClientError};

/// How long further events are waited for: they come in bursts.
const BURST: Duration = Duration::from_millis(50);
/// How often a terminal is drawn anew without any event.
const REDRAW: Duration = Duration::from_secs(2);

pub(super) async fn watch(client: &Client, args: &StatusArgs) -> Outcome {
    let mut shown = Shown::new(args);
    let query = EventQuery { last: Some(0), follow: true, ..EventQuery::default() };
    let failed = |error: ClientError| Failure::from(error).doing("watch the status");
    // Before the first look, so that nothing falls between.
    let mut events = client.events(&query).await.map_err(failed)?;
    loop {
        shown.show(client, args).await?;
        let is_over = tokio::select! {
            event = events.next() => matches!(event, Ok(None) | Err(_)),
            () = tokio::time::sleep(REDRAW), if shown.redraws => continue,
        };
        let burst = async { while let Ok(Some(_)) = events.next().await {} };
        let _ = tokio::time::timeout(BURST, burst).await;
        if is_over {
            return Err(Failure::new(ExitKind::NoSupervisor, "the supervisor has ended"));
        }
    }
}

/// What has been printed.
struct Shown {
    /// Whether the screen is drawn anew, or changes are printed.
    redraws: bool,
    /// What was printed last: plain lines, or one JSON text.
    lines: Vec<String>,
}

impl Shown {
    fn new(args: &StatusArgs) -> Shown {
        let is_for_people = !args.json && !args.plain;
        let redraws = std::io::stdout().is_terminal() && is_for_people && !terminal::is_dumb();
        Shown { redraws, lines: Vec::new() }
    }

    async fn show(&mut self, client: &Client, args: &StatusArgs) -> Result<(), Failure> {
        let mut out = std::io::stdout();
        let failed = |error: ClientError| Failure::from(error).doing("watch the status");
        if self.redraws || args.json {
            let status = client.status(&args.services).await.map_err(failed)?;
            let text = text(&status, args.json);
            if self.redraws {
                // Home, the text with each line cleared to its end, and what is below it.
                let text = text.replace('\n', "\x1b[K\n");
                write!(out, "\x1b[H{text}\x1b[J")?;
            } else if self.lines.first() != Some(&text) {
                // Events of services that are not looked at change nothing here.
                out.write_all(text.as_bytes())?;
                self.lines = vec![text];
            }
        } else {
            let text = client.plain_status(&args.services).await.map_err(failed)?;
            let lines: Vec<String> = text.lines().map(str::to_owned).collect();
            for line in lines.iter().filter(|line| !self.lines.contains(line)) {
                writeln!(out, "{line}")?;
            }
            self.lines = lines;
        }
        out.flush()?;
        Ok(())
    }
}
