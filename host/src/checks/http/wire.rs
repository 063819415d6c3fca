//! One request and its answer over a stream that is there.

use std::error::Error as _;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;
use std::time::Duration;

use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::{http1, http2};
use hyper::http::header::{CONNECTION, HOST, HeaderValue};
use hyper::rt::Executor;
use hyper::{Method, Request, Response, Uri, Version as HttpVersion};
use hyper_util::rt::TokioIo;
use kennel_wasm::model::Attributes;
use kennel_wasm::probe::HttpResponse;
use tokio::task::AbortHandle;

use super::order::{Keep, Order, Version};
use crate::checks::channel::{self, Stream};
use crate::checks::deadline::Deadline;
use crate::checks::error::{ProbeError, Stage};

/// Head of an answer: more is no answer to a probe.
const HEAD_BYTES_MAX: usize = 256 * 1024;
const HEADERS_MAX: usize = 500;

/// Sends `order` and reads the answer.
pub(super) async fn exchange(
    stream: Stream,
    version: Version,
    order: &Order,
    to: &str,
    deadline: Deadline,
) -> Result<HttpResponse, ProbeError> {
    let request = request(order, version)?;
    let io = TokioIo::new(stream);
    let failed = |error: hyper::Error| failed(to, version, &error);
    match version {
        Version::One => {
            let mut settings = http1::Builder::new();
            settings.max_buf_size(HEAD_BYTES_MAX).max_headers(HEADERS_MAX);
            let (mut sender, connection) = settings.handshake(io).await.map_err(failed)?;
            let answer = async {
                let head = async { sender.send_request(request).await.map_err(failed) };
                let head = deadline.limit(Stage::Answer, to, head).await?;
                read(head, order, version, to, deadline).await
            };
            beside(connection, answer).await
        }
        Version::Two => {
            let tasks = EndOnDrop(Tasks::default());
            let mut settings = http2::Builder::new(tasks.0.clone());
            settings.max_header_list_size(u32::try_from(HEAD_BYTES_MAX).unwrap_or(u32::MAX));
            let agreed = async { settings.handshake(io).await.map_err(failed) };
            let (mut sender, connection) = deadline.limit(Stage::Answer, to, agreed).await?;
            let answer = async {
                let head = async { sender.send_request(request).await.map_err(failed) };
                let head = deadline.limit(Stage::Answer, to, head).await?;
                read(head, order, version, to, deadline).await
            };
            beside(connection, answer).await
        }
    }
}

fn request(order: &Order, version: Version) -> Result<Request<Full<Bytes>>, ProbeError> {
    let url = &order.url;
    let invalid = |error: hyper::http::Error| ProbeError::Invalid(format!("{url}: {error}"));
    let mut headers = order.headers.clone();
    let own = url.authority();
    let host = match headers.remove(HOST) {
        Some(asked) => asked,
        None => HeaderValue::from_str(&own).map_err(|error| invalid(error.into()))?,
    };
    let uri = match version {
        Version::One => {
            headers.insert(HOST, host);
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
            Uri::builder().path_and_query(url.target.as_str())
        }
        Version::Two => Uri::builder()
            .scheme(url.scheme.to_string().as_str())
            .authority(host.as_bytes())
            .path_and_query(url.target.as_str()),
    };
    let mut request = Request::new(Full::new(order.body.clone()));
    *request.method_mut() = order.method.clone();
    *request.uri_mut() = uri.build().map_err(invalid)?;
    *request.headers_mut() = headers;
    *request.version_mut() = match version {
        Version::One => HttpVersion::HTTP_11,
        Version::Two => HttpVersion::HTTP_2,
    };
    Ok(request)
}

/// Reads the body as far as it is wanted, and puts the answer together.
async fn read(
    head: Response<Incoming>,
    order: &Order,
    version: Version,
    to: &str,
    deadline: Deadline,
) -> Result<HttpResponse, ProbeError> {
    let (head, mut incoming) = head.into_parts();
    let mut ext: Attributes = vec![("http.version".into(), version_text(head.version).into())];
    let mut body = Vec::new();
    let max = order.keep.bytes();
    let mut is_cut = false;
    loop {
        if max == 0 || is_cut {
            break;
        }
        let frame = async {
            let frame = incoming.frame().await.transpose();
            frame.map_err(|error| failed(to, version, &error))
        };
        let Some(frame) = deadline.limit(Stage::Body, to, frame).await? else { break };
        match frame.into_data() {
            Ok(data) => {
                let room = max - body.len();
                is_cut = data.len() > room;
                body.extend_from_slice(&data[..data.len().min(room)]);
            }
            Err(frame) => {
                for (name, value) in frame.into_trailers().iter().flatten() {
                    let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
                    ext.push((format!("trailer:{name}"), value));
                }
            }
        }
    }
    match order.keep {
        Keep::Whole if is_cut => return Err(ProbeError::TooLarge { to: to.into(), max }),
        Keep::Whole | Keep::First(_) => {}
    }
    let unread =
        max == 0 && order.method != Method::HEAD && !hyper::body::Body::is_end_stream(&incoming);
    if is_cut || unread {
        ext.push(("http.truncated".into(), "true".into()));
    }
    let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    let headers = head.headers.iter().map(|(name, value)| (name.to_string(), text(value)));
    Ok(HttpResponse {
        status: head.status.as_u16(),
        headers: headers.collect(),
        body,
        // It is the whole that counts, which who asked for it knows.
        latency: Duration::ZERO,
        ext,
    })
}

fn version_text(version: HttpVersion) -> &'static str {
    if version == HttpVersion::HTTP_2 {
        "2"
    } else if version == HttpVersion::HTTP_10 {
        "1.0"
    } else {
        "1.1"
    }
}

/// Runs a connection for as long as the answer takes, in one task.
async fn beside<T>(connection: impl Future, answer: impl Future<Output = T>) -> T {
    let mut connection = pin!(connection);
    let mut answer = pin!(answer);
    let mut is_over = false;
    poll_fn(|cx| {
        if !is_over {
            // How it ends is told to who waits for the answer.
            is_over = matches!(connection.as_mut().poll(cx), Poll::Ready(_));
        }
        answer.as_mut().poll(cx)
    })
    .await
}

/// What an error of the library means.
fn failed(to: &str, version: Version, error: &hyper::Error) -> ProbeError {
    let to = to.to_owned();
    let protocol = |reason: String| ProbeError::Protocol { to: to.clone(), reason };
    let closed = || protocol("the connection was closed before the answer was complete".into());
    let mut cause = error.source();
    while let Some(inner) = cause {
        match inner.downcast_ref::<io::Error>() {
            Some(inner) if inner.kind() == io::ErrorKind::UnexpectedEof => return closed(),
            Some(inner) if channel::is_of_stream(inner) => return channel::broken(&to, inner),
            Some(_) | None => cause = inner.source(),
        }
    }
    // The library has a name for it only where it is built as a server too.
    if error.is_parse() && error.to_string().contains("too large") {
        return ProbeError::TooLarge { to, max: HEAD_BYTES_MAX };
    }
    if error.is_incomplete_message() || error.is_canceled() || error.is_closed() {
        return closed();
    }
    let detail = error.source().map(|cause| format!(" ({cause})")).unwrap_or_default();
    match version {
        Version::One => protocol(format!("it is no HTTP: {error}{detail}")),
        Version::Two => protocol(format!("HTTP/2 failed{detail}")),
    }
}

/// Runs what HTTP/2 needs to have run.
#[derive(Clone, Default)]
struct Tasks(Arc<Mutex<Vec<AbortHandle>>>);

impl<F> Executor<F> for Tasks
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, future: F) {
        let task = tokio::spawn(future).abort_handle();
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(task);
    }
}

/// Ends the tasks with the probe, also where that is cut off at its deadline: one that
/// waits for a server would hold its connection for ever.
struct EndOnDrop(Tasks);

impl Drop for EndOnDrop {
    fn drop(&mut self) {
        for task in self.0.0.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            task.abort();
        }
    }
}
