//! `kennel events`

use std::io::Write as _;

use super::connect::{block_on, client};
use super::follow::{comes_back, is_cut};
use super::local_time::local;
use super::paint::{Colour, Paint};
use super::status::printable;
use super::{ExitKind, Failure, Global, Outcome};
use crate::api::client::EventQuery;
use crate::api::wire::{Event, EventLine, Gap};

/// Options of `kennel events`.
#[derive(clap::Args, Debug)]
pub(super) struct EventsArgs {
    /// Go on with new events
    #[arg(short, long)]
    follow: bool,
    /// Show only events with higher numbers than SEQ
    #[arg(long, value_name = "SEQ")]
    since: Option<u64>,
    /// Of the past, show only the last N events
    #[arg(short = 'n', long, value_name = "N")]
    last: Option<u64>,
    /// Show only events of this service or instance
    #[arg(long, value_name = "SERVICE")]
    service: Option<String>,
    /// Show only events of this kind, * stands for any text; may be given several times
    #[arg(long = "kind", value_name = "KIND")]
    kinds: Vec<String>,
    /// Print one JSON object a line
    #[arg(long)]
    json: bool,
}

pub(super) fn events(global: &Global, args: &EventsArgs) -> Outcome {
    let EventsArgs { follow, since, last, service, kinds, json } = args;
    let client = client(global)?;
    let mut query = EventQuery {
        since: *since,
        last: *last,
        follow: *follow,
        service: service.clone(),
        kinds: kinds.clone(),
    };
    let paint = Paint::stdout();
    block_on(async {
        let failed = |error| Failure::from(error).doing("show events");
        let mut lines = client.events(&query).await.map_err(failed)?;
        let mut out = std::io::stdout().lock();
        loop {
            let line = match lines.next().await {
                Ok(Some(line)) => line,
                Ok(None) => return Ok(ExitKind::Done),
                Err(error) if query.follow && is_cut(&error) && comes_back(&client).await => {
                    lines = client.events(&query).await.map_err(failed)?;
                    continue;
                }
                Err(error) => return Err(failed(error)),
            };
            if let EventLine::Event(event) = &line {
                (query.since, query.last) = (Some(event.seq), None);
            }
            let text = if *json {
                serde_json::to_string(&line).map_err(std::io::Error::from)?
            } else {
                match &line {
                    EventLine::Event(event) => human(event, paint),
                    EventLine::Gap(gap) => missing(gap, paint),
                }
            };
            writeln!(out, "{text}")?;
        }
    })
}

fn human(event: &Event, paint: Paint) -> String {
    let Event { seq, at, kind, service, message, attributes: _ } = event;
    let head = paint.paint(Colour::Dim, format!("{seq:>6}  {}  {kind:<20}", local(at)));
    let message = printable(message);
    match service {
        Some(service) => format!("{head}  {}: {message}", paint.paint(Colour::Bold, service)),
        None => format!("{head}  {message}"),
    }
}

pub(super) fn missing(gap: &Gap, paint: Paint) -> String {
    let Gap { missed, begins_anew } = gap;
    let text = match missed {
        _ if *begins_anew => "the numbers begin anew: this is another journal".to_owned(),
        1 => "1 event is no longer kept".to_owned(),
        missed => format!("{missed} events are no longer kept"),
    };
    paint.paint(Colour::Yellow, format!("     …  {text}"))
}
