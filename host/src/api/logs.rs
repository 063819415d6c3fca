//! The output of services, as it was and as it comes.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse as _, Response};
use hyper::body::Bytes;
use tokio::sync::mpsc;

use super::context::{Context, select};
use super::extract::{NameParts, Pairs};
use super::params::Params;
use super::problem::{Problem, quoted};
use super::routes::Param;
use super::stream::stream_body;
use super::wire;
use crate::logs::{Follower, LogLine, Query as LogQuery};

/// How many lines are read at once.
const BATCH: usize = 1000;

/// How lines are written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Format {
    /// The bytes of each line.
    Text,
    /// The same after the name of the service.
    NamedText,
    /// The time of each line, or a dash, and its bytes.
    Timed,
    /// One JSON object a line.
    Ndjson,
}

pub(crate) async fn one(
    State(context): State<Context>,
    name: NameParts,
    Pairs(pairs): Pairs,
    headers: HeaderMap,
    known: &'static [Param],
) -> Result<Response, Problem> {
    let params = Params::check(pairs, known)?;
    answer(context, vec![name.name()], &params, &headers).await
}

pub(crate) async fn several(
    State(context): State<Context>,
    Pairs(pairs): Pairs,
    headers: HeaderMap,
    known: &'static [Param],
) -> Result<Response, Problem> {
    let params = Params::check(pairs, known)?;
    let names = params.all("service");
    answer(context, names, &params, &headers).await
}

async fn answer(
    context: Context,
    names: Vec<String>,
    params: &Params,
    headers: &HeaderMap,
) -> Result<Response, Problem> {
    let follow = params.flag("follow", false)?;
    let lines = params.number("lines")?;
    let since = params.time("since")?;
    let status = context.glance().await?;
    let services: Vec<Arc<str>> = select(&status.services, &names)?
        .into_iter()
        .map(|service| Arc::from(service.name.as_str()))
        .collect();
    let format = match (params.one("format"), services.len()) {
        (Some("ndjson"), _) => Format::Ndjson,
        (None, _) if accepts_ndjson(headers) => Format::Ndjson,
        (Some("timed"), _) => Format::Timed,
        (Some("text") | None, 1) => Format::Text,
        (Some("text") | None, _) => Format::NamedText,
        (Some(other), _) => {
            let error = format!("format is {}, which is unknown here", quoted(other));
            return Err(Problem::bad_request(error).hint("write text, timed or ndjson"));
        }
    };
    let last = lines.map(|lines| usize::try_from(lines).unwrap_or(usize::MAX));
    let query = LogQuery { services, last, since, follow };
    let logs = context.handle.logs().clone();
    let opened = context.blocking(move || logs.open(&query)).await?;
    let follower = opened.map_err(|error| Problem::internal(error.to_string()))?;
    let place = if follow { Some(context.follower()?) } else { None };
    let (sender, body) = stream_body(place);
    tokio::spawn(send_lines(context, follower, sender, format, follow));
    let content_type = match format {
        Format::Text | Format::NamedText | Format::Timed => "text/plain; charset=utf-8",
        Format::Ndjson => "application/x-ndjson",
    };
    Ok(([(header::CONTENT_TYPE, content_type)], Body::new(body)).into_response())
}

fn accepts_ndjson(headers: &HeaderMap) -> bool {
    let accept = headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok());
    accept.is_some_and(|accept| accept.contains("application/x-ndjson"))
}

async fn send_lines(
    context: Context,
    mut follower: Follower,
    sender: mpsc::Sender<Bytes>,
    format: Format,
    follow: bool,
) {
    let mut ended = std::pin::pin!(context.handle.ended());
    let mut is_over = !follow;
    loop {
        let read = context.blocking(move || {
            let batch = follower.next_batch(BATCH);
            (follower, batch)
        });
        let Ok((back, batch)) = read.await else { return };
        follower = back;
        let batch = match batch {
            Ok(batch) => batch,
            Err(error) => {
                // The answer has begun, so the client can only be told by its end.
                tracing::error!("{error}");
                return;
            }
        };
        if !batch.is_empty() {
            if sender.send(render(&batch, format)).await.is_err() {
                return;
            }
            continue;
        }
        if is_over {
            return;
        }
        tokio::select! {
            more = follower.wait() => is_over = !more,
            _ = &mut ended => is_over = true,
            () = sender.closed() => return,
        }
    }
}

fn render(lines: &[LogLine], format: Format) -> Bytes {
    let mut out = Vec::new();
    for line in lines {
        match format {
            Format::Text => out.extend_from_slice(&line.text),
            Format::NamedText => {
                out.extend_from_slice(format!("{} | ", line.service).as_bytes());
                out.extend_from_slice(&line.text);
            }
            Format::Timed => {
                let at = line.at.map_or("-".to_owned(), |at| format!("{at:.9}"));
                out.extend_from_slice(format!("{at} ").as_bytes());
                out.extend_from_slice(&line.text);
            }
            Format::Ndjson => serde_json::to_writer(&mut out, &wire::LogLine::from(line))
                .expect("strings can be written to memory"),
        }
        out.push(b'\n');
    }
    out.into()
}
