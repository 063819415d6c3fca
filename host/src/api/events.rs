//! The numbered events as a stream.
//!
//! A client reads at its own pace: it has a cursor into the journal and nothing else, so
//! one that is slow costs nothing and is told what it missed. Two forms: server-sent
//! events for browsers and for reconnecting by `Last-Event-ID`, and one JSON object a line.

use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse as _, Response};
use hyper::body::Bytes;
use tokio::sync::mpsc;

use super::context::Context;
use super::extract::Pairs;
use super::params::Params;
use super::problem::{Problem, near, quoted};
use super::routes::Param;
use super::stream::stream_body;
use super::wire::{Event, Gap};
use crate::journal::{Batch, Filter, Journal, Record};

/// How many records are read at once.
const BATCH: usize = 500;

/// How often a silent stream says that it is still there, so that both ends notice when
/// the other is gone.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// How events are written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Format {
    /// Server-sent events.
    Sse,
    /// One JSON object a line.
    Ndjson,
}

/// Which events are wanted.
struct Wanted {
    /// Instances; none: all events.
    names: Vec<String>,
    kinds: Filter,
}

impl Wanted {
    fn matches(&self, record: &Record) -> bool {
        let names = &self.names;
        let named = record.service.as_ref().is_some_and(|service| names.contains(service));
        (names.is_empty() || named) && self.kinds.matches(record)
    }
}

pub(crate) async fn events(
    State(context): State<Context>,
    Pairs(pairs): Pairs,
    headers: HeaderMap,
    known: &'static [Param],
) -> Result<Response, Problem> {
    let params = Params::check(pairs, known)?;
    let format = match params.one("format") {
        None | Some("sse") => Format::Sse,
        Some("ndjson") => Format::Ndjson,
        Some(other) => {
            let error = format!("format is {}, which is unknown here", quoted(other));
            return Err(Problem::bad_request(error).hint("write sse or ndjson"));
        }
    };
    let follow = params.flag("follow", true)?;
    let wanted = wanted(&context, &params).await?;
    // A browser that reconnects asks with the address of its first request, so what it
    // saw last says more than what stands there.
    let last_id = headers.get("last-event-id").and_then(|id| id.to_str().ok()?.parse().ok());
    let since = last_id.map_or_else(|| params.number("since"), |id| Ok(Some(id)))?;
    let last = params.number("last")?;
    let place = if follow { Some(context.follower()?) } else { None };
    let (sender, body) = stream_body(place);
    let stream = Stream { context, sender, format, wanted };
    tokio::spawn(stream.run(since, last, follow));
    let content_type = match format {
        Format::Sse => "text/event-stream",
        Format::Ndjson => "application/x-ndjson",
    };
    let headers = [(header::CONTENT_TYPE, content_type), (header::CACHE_CONTROL, "no-store")];
    Ok((headers, Body::new(body)).into_response())
}

/// Reads the filters; a service that nobody ever heard of is an error.
async fn wanted(context: &Context, params: &Params) -> Result<Wanted, Problem> {
    let kinds = Filter { service: None, kinds: params.all("kind") };
    let Some(name) = params.one("service") else { return Ok(Wanted { names: vec![], kinds }) };
    let status = context.glance().await?;
    let mut names = vec![name.to_owned()];
    let instances = status.services.iter().filter(|service| service.service == name);
    names.extend(instances.map(|service| service.name.clone()).filter(|instance| instance != name));
    let is_present = status.services.iter().any(|service| names.contains(&service.name));
    if !is_present {
        // It may be one that is no longer configured.
        let filter = Filter { service: Some(name.to_owned()), kinds: vec![] };
        let journal = context.handle.journal().clone();
        let past = context.blocking(move || journal.last(1, &filter)).await?;
        if past.map_err(|error| Problem::internal(error.to_string()))?.is_empty() {
            let known = status.services.iter().map(|service| service.name.as_str());
            return Err(Problem::unknown_service(name, &near(name, known)));
        }
    }
    Ok(Wanted { names, kinds })
}

struct Stream {
    context: Context,
    sender: mpsc::Sender<Bytes>,
    format: Format,
    wanted: Wanted,
}

impl Stream {
    async fn run(self, since: Option<u64>, last: Option<u64>, follow: bool) {
        let journal = self.context.handle.journal().clone();
        let mut changes = journal.subscribe();
        let Some(mut cursor) = self.begin(&journal, since, last).await else { return };
        let mut ended = std::pin::pin!(self.context.handle.ended());
        let mut has_ended = false;
        loop {
            changes.borrow_and_update();
            let Some(batch) = self.read(&journal, cursor).await else { return };
            let at_end = batch.records.is_empty() && batch.missed == 0;
            if !self.send(self.render(&batch, Some(cursor))).await {
                return;
            }
            cursor = batch.next;
            if !at_end {
                continue;
            }
            if !follow || has_ended {
                return;
            }
            tokio::select! {
                changed = changes.changed() => if changed.is_err() { return },
                () = tokio::time::sleep(KEEP_ALIVE) => {
                    let sign: &[u8] = match self.format {
                        Format::Sse => b":\n\n",
                        Format::Ndjson => b"\n",
                    };
                    if !self.send(sign.to_vec()).await { return }
                }
                _ = &mut ended => has_ended = true,
                () = self.sender.closed() => return,
            }
        }
    }

    /// The number to begin with. Sends the last few when only those are wanted. A number that
    /// was never given is one of another journal, and says nothing about this one.
    async fn begin(&self, journal: &Journal, since: Option<u64>, last: Option<u64>) -> Option<u64> {
        let first = journal.stats().first_seq.max(1);
        let from = match since {
            Some(since) if since > journal.last_seq() => {
                let gap = Gap { missed: 0, begins_anew: true };
                let mut out = String::new();
                self.push(&mut out, None, "gap", &gap);
                if !self.send(out.into_bytes()).await {
                    return None;
                }
                first
            }
            Some(since) => since + 1,
            None => first,
        };
        let Some(last) = last else { return Some(from) };
        // Numbers given from here on are read as they come.
        let next = journal.last_seq() + 1;
        let count = usize::try_from(last).unwrap_or(usize::MAX);
        let (names, kinds) = (self.wanted.names.clone(), self.wanted.kinds.kinds.clone());
        let source = journal.clone();
        let read = self.context.blocking(move || {
            let services: Vec<Option<String>> =
                if names.is_empty() { vec![None] } else { names.into_iter().map(Some).collect() };
            let mut found = Vec::new();
            for service in services {
                let filter = Filter { service, kinds: kinds.clone() };
                found.extend(source.last(count, &filter)?);
            }
            found.sort_by_key(|record| record.seq);
            Ok::<_, crate::journal::JournalReadError>(found)
        });
        let mut records = self.logged(read.await.ok()?)?;
        records.retain(|record| (from..next).contains(&record.seq));
        records.drain(..records.len().saturating_sub(count));
        let batch = Batch { records, missed: 0, next };
        self.send(self.render(&batch, None)).await.then_some(next)
    }

    async fn read(&self, journal: &Journal, cursor: u64) -> Option<Batch> {
        let journal = journal.clone();
        let read = self.context.blocking(move || journal.read(cursor, BATCH));
        self.logged(read.await.ok()?)
    }

    /// The answer has begun, so the client can only be told by its end.
    fn logged<T>(&self, read: Result<T, crate::journal::JournalReadError>) -> Option<T> {
        read.inspect_err(|error| tracing::error!("{error}")).ok()
    }

    /// The wanted records of a batch. Numbers have no holes when they are given, so where
    /// one is missing after `from`, its event is gone, and that is said in its place.
    fn render(&self, batch: &Batch, from: Option<u64>) -> Vec<u8> {
        let mut out = String::new();
        let mut expected = from;
        let mut gap = |out: &mut String, found: u64| {
            let missed = expected.map_or(0, |expected| found.saturating_sub(expected));
            expected = expected.map(|expected| expected.max(found + 1));
            if missed > 0 {
                self.push(out, None, "gap", &Gap { missed, begins_anew: false });
            }
        };
        for record in &batch.records {
            gap(&mut out, record.seq);
            if self.wanted.matches(record) {
                self.push(&mut out, Some(record.seq), &record.kind, &Event::from(&**record));
            }
        }
        gap(&mut out, batch.next);
        out.into_bytes()
    }

    fn push(&self, out: &mut String, id: Option<u64>, kind: &str, data: &impl serde::Serialize) {
        let data = serde_json::to_string(data).expect("strings and numbers can be written");
        match self.format {
            Format::Sse => {
                if let Some(id) = id {
                    out.push_str(&format!("id: {id}\n"));
                }
                // JSON has no line breaks, and kinds are ours.
                out.push_str(&format!("event: {kind}\ndata: {data}\n\n"));
            }
            Format::Ndjson => {
                out.push_str(&data);
                out.push('\n');
            }
        }
    }

    /// Whether the client is still there.
    async fn send(&self, text: Vec<u8>) -> bool {
        text.is_empty() || self.sender.send(Bytes::from(text)).await.is_ok()
    }
}
