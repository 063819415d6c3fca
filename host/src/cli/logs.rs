//! `kennel logs`

use std::collections::BTreeMap;
use std::io::{IsTerminal as _, Write};

use jiff::Timestamp;

use super::connect::{block_on, client};
use super::follow::{Shown, comes_back, is_cut};
use super::paint::{Colour, Paint};
use super::{ExitKind, Global, Outcome};
use crate::api::client::{Lines, LogQuery};
use crate::api::{self, Client, ClientError, wire};

/// How many lines of the past are shown before new ones when nothing is said.
const LINES_BEFORE_FOLLOWING: u64 = 10;

/// Options of `kennel logs`.
#[derive(clap::Args, Debug)]
pub(super) struct LogsArgs {
    /// Services, or instances such as web/0; all when none is named
    #[arg(value_name = "SERVICE")]
    services: Vec<String>,
    /// Show only the last N lines [default: all, with --follow 10]
    #[arg(short = 'n', long, value_name = "N")]
    lines: Option<u64>,
    /// Go on with what is written from now on
    #[arg(short, long)]
    follow: bool,
    /// Show only lines from a time on: how long ago (10m) or 2026-11-21T08:00:00Z
    #[arg(long, value_name = "T", value_parser = parse_since)]
    since: Option<String>,
    /// Print one JSON object a line
    #[arg(long)]
    json: bool,
}

fn parse_since(text: &str) -> Result<String, String> {
    match api::parse_time(text, Timestamp::now()) {
        Some(_) => Ok(text.to_owned()),
        None => Err(format!("write how long ago, as in 10m, or {}", api::TIME_EXAMPLE)),
    }
}

pub(super) fn logs(global: &Global, args: &LogsArgs) -> Outcome {
    let LogsArgs { services, lines, follow, since, json } = args;
    let client = client(global)?;
    let default = (*follow && since.is_none()).then_some(LINES_BEFORE_FOLLOWING);
    let query = LogQuery {
        services: services.clone(),
        lines: lines.or(default),
        since: since.clone(),
        follow: *follow,
    };
    block_on(async {
        let shown =
            if *json { json_lines(&client, &query).await } else { text(&client, &query).await };
        shown.map_err(|failure| failure.doing("show logs"))
    })
}

/// For people: with names before lines, unless there is one instance only.
async fn text(client: &Client, query: &LogQuery) -> Outcome {
    let status = client.status(&query.services).await?;
    for note in notes(&status.services, !query.services.is_empty()) {
        // Without a standard error there is nobody to tell.
        let _ = writeln!(std::io::stderr(), "{note}");
    }
    let names: Vec<String> = status.services.into_iter().map(|service| service.name).collect();
    match names.as_slice() {
        [name] if query.follow => raw_followed(client, query, name).await,
        [_] => raw(client, query).await,
        names => prefixed(client, query, names).await,
    }
}

/// Why there is nothing new to see of a service: to be said of those that were asked for,
/// and of all when none keeps a log.
fn notes(services: &[wire::Service], are_named: bool) -> Vec<String> {
    let is_kept = |service: &wire::Service| service.logs_to == wire::LogsTo::File;
    if !are_named && services.iter().any(is_kept) {
        return Vec::new();
    }
    let note = |service: &wire::Service| {
        let why = match service.logs_to {
            wire::LogsTo::File => return None,
            wire::LogsTo::Inherit => {
                "goes where \"kennel run\" writes and is not kept (logs.to: inherit)"
            }
            wire::LogsTo::None => "is not kept (logs.to: none)",
        };
        Some(format!("{}: its output {why}", service.name))
    };
    services.iter().filter_map(note).collect()
}

/// Byte by byte what the service wrote.
async fn raw(client: &Client, query: &LogQuery) -> Outcome {
    let mut bytes = client.raw_logs(query).await?;
    let mut out = std::io::stdout().lock();
    while let Some(bytes) = bytes.next().await? {
        out.write_all(&bytes)?;
        out.flush()?;
    }
    Ok(ExitKind::Done)
}

/// The same from a supervisor to the next.
async fn raw_followed(client: &Client, query: &LogQuery, name: &str) -> Outcome {
    let (mut query, mut shown) = (query.clone(), Shown::new());
    let mut bytes = client.timed_logs(&query).await?;
    let mut out = std::io::stdout().lock();
    let mut partial = Vec::new();
    loop {
        match bytes.next().await {
            Ok(Some(more)) => partial.extend_from_slice(&more),
            Ok(None) => return Ok(ExitKind::Done),
            Err(error) if is_cut(&error) && comes_back(client).await => {
                // Part of a line comes again as a whole.
                partial.clear();
                (query.since, query.lines) = (shown.again(), None);
                bytes = client.timed_logs(&query).await?;
                continue;
            }
            Err(error) => return Err(error.into()),
        }
        let Some(end) = partial.iter().rposition(|byte| *byte == b'\n') else { continue };
        let rest = partial.split_off(end + 1);
        for line in std::mem::replace(&mut partial, rest).split_inclusive(|byte| *byte == b'\n') {
            let space = line.iter().position(|byte| *byte == b' ').unwrap_or_default();
            let (time, text) = line.split_at(space);
            let at = std::str::from_utf8(time).ok().and_then(|time| time.parse().ok());
            if shown.is_new(name, at) {
                out.write_all(text.get(1..).unwrap_or_default())?;
            }
        }
        out.flush()?;
    }
}

/// Lines one after the other, when they are followed from a supervisor to the next.
struct Followed<'a> {
    client: &'a Client,
    query: LogQuery,
    lines: Lines<wire::LogLine>,
    shown: Shown,
}

impl<'a> Followed<'a> {
    async fn begin(client: &'a Client, query: &LogQuery) -> Result<Followed<'a>, ClientError> {
        let (shown, lines) = (Shown::new(), client.logs(query).await?);
        Ok(Followed { client, query: query.clone(), lines, shown })
    }

    async fn next(&mut self) -> Result<Option<wire::LogLine>, ClientError> {
        loop {
            match self.lines.next().await {
                Ok(Some(line)) if self.query.follow => {
                    let at = line.at.as_deref().and_then(|at| at.parse().ok());
                    if self.shown.is_new(&line.service, at) {
                        return Ok(Some(line));
                    }
                }
                Err(error)
                    if self.query.follow && is_cut(&error) && comes_back(self.client).await =>
                {
                    (self.query.since, self.query.lines) = (self.shown.again(), None);
                    self.lines = self.client.logs(&self.query).await?;
                }
                end => return end,
            }
        }
    }
}

async fn json_lines(client: &Client, query: &LogQuery) -> Outcome {
    let mut lines = Followed::begin(client, query).await?;
    let mut out = std::io::stdout().lock();
    while let Some(line) = lines.next().await? {
        let text = serde_json::to_string(&line).map_err(std::io::Error::from)?;
        writeln!(out, "{text}")?;
    }
    Ok(ExitKind::Done)
}

/// With the name of its service before each line.
async fn prefixed(client: &Client, query: &LogQuery, names: &[String]) -> Outcome {
    let prefixes = Prefixes::new(names, Paint::stdout());
    let mut lines = Followed::begin(client, query).await?;
    let stdout = std::io::stdout();
    let eager = query.follow || stdout.is_terminal();
    let mut out = std::io::BufWriter::new(stdout.lock());
    while let Some(line) = lines.next().await? {
        writeln!(out, "{}", prefixes.line(&line))?;
        if eager {
            out.flush()?;
        }
    }
    out.flush()?;
    Ok(ExitKind::Done)
}

/// The names before lines, padded to one width, each service in a colour of its own.
struct Prefixes {
    width: usize,
    colours: BTreeMap<String, Colour>,
    paint: Paint,
}

impl Prefixes {
    fn new(names: &[String], paint: Paint) -> Prefixes {
        Prefixes {
            width: names.iter().map(|name| name.chars().count()).max().unwrap_or(0),
            colours: names.iter().cloned().zip(Colour::APART.into_iter().cycle()).collect(),
            paint,
        }
    }

    fn line(&self, line: &wire::LogLine) -> String {
        let name = format!("{:width$} |", line.service, width = self.width);
        let colour = self.colours.get(&line.service).copied().unwrap_or(Colour::Bold);
        format!("{} {}", self.paint.paint(colour, name), line.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_before_lines_are_padded_to_one_width() {
        let names = ["web/0".to_owned(), "db".to_owned()];
        let prefixes = Prefixes::new(&names, Paint::never());
        let line = |service: &str| wire::LogLine {
            service: service.into(),
            at: None,
            stream: None,
            text: "hello".into(),
        };
        assert_eq!(prefixes.line(&line("web/0")), "web/0 | hello");
        assert_eq!(prefixes.line(&line("db")), "db    | hello");
    }

    #[test]
    fn who_asks_for_output_that_is_not_kept_is_told_so() {
        let text = r#"{"name":"web","state":"up","wanted":"up","pid":1,"ready":true,
            "health":"unknown","restarts":0,"since":"2026-11-21T08:00:00Z","exit":null,
            "reason":"","next_restart_in_ms":null,"memory_bytes":null,"cpu_ms":null,
            "labels":{},"service":"web","start_ms":null,"logs_to":"file"}"#;
        let kept: wire::Service = serde_json::from_str(text).unwrap();
        let inherited = wire::Service { logs_to: wire::LogsTo::Inherit, ..kept.clone() };
        let dropped = wire::Service { logs_to: wire::LogsTo::None, ..kept.clone() };
        assert!(notes(std::slice::from_ref(&kept), true).is_empty());
        assert!(notes(&[kept.clone(), inherited.clone()], false).is_empty());
        assert_eq!(notes(&[kept, inherited.clone()], true).len(), 1);
        let all = notes(&[inherited, dropped], false);
        assert!(all[0].contains("logs.to: inherit") && all[1].contains("logs.to: none"), "{all:?}");
    }
}
