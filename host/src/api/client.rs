//! A typed client of a running supervisor.
//!
//! One connection a request, made anew each time: there is nothing to keep in order
//! between calls, and a supervisor that was restarted is simply the next one to answer.

use std::collections::VecDeque;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use http_body_util::{BodyExt as _, Empty};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use tokio::net::UnixStream;
use tokio::time::timeout;

use super::wire;
use crate::handle::{ShutdownMode, Verb, Wait};
use crate::os::Cause;

/// How long the supervisor may take to begin its answer, apart from what was to be waited
/// for.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long a reload may take: plugins are compiled, configured and tried before anything
/// is changed.
const RELOAD_PATIENCE: Duration = Duration::from_secs(90);

/// Answers beyond this are no answers of a supervisor.
const MAX_ANSWER_BYTES: usize = 64 * 1024 * 1024;

/// A client of the supervisor behind one control socket.
#[derive(Clone, Debug)]
pub struct Client {
    socket: PathBuf,
}

/// Why a request brought nothing.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nobody listens there.
    #[error("no supervisor listens on \"{}\"", socket.display())]
    NotRunning {
        /// The socket that was tried.
        socket: PathBuf,
    },
    /// The socket cannot be used.
    #[error("cannot connect to \"{}\": {}", socket.display(), Cause::from_io(source))]
    Unreachable {
        /// The socket that was tried.
        socket: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The supervisor did not answer in time.
    #[error("the supervisor on \"{}\" does not answer", socket.display())]
    Silent {
        /// Its socket.
        socket: PathBuf,
    },
    /// The connection broke before the answer was complete: the supervisor has ended.
    #[error("the supervisor on \"{}\" ended before it had answered", socket.display())]
    Interrupted {
        /// Its socket.
        socket: PathBuf,
    },
    /// The supervisor refused.
    #[error("{}", error.error)]
    Refused {
        /// The HTTP status.
        status: u16,
        /// What it said.
        error: wire::Error,
    },
    /// The answer is not what this version expects.
    #[error("cannot read the answer of the supervisor on \"{}\": {reason}", socket.display())]
    Unreadable {
        /// Its socket.
        socket: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
}

/// Which events [`Client::events`] gives; by default all that are kept.
#[derive(Clone, Debug, Default)]
pub struct EventQuery {
    /// Only events with higher numbers.
    pub since: Option<u64>,
    /// Of the past, only so many of the last events.
    pub last: Option<u64>,
    /// Whether to go on with new events.
    pub follow: bool,
    /// Only events of this service or instance.
    pub service: Option<String>,
    /// Only these kinds; `*` stands for any text.
    pub kinds: Vec<String>,
}

/// Which lines [`Client::logs`] gives; by default all that are kept, of all services.
#[derive(Clone, Debug, Default)]
pub struct LogQuery {
    /// Only those of these services or instances.
    pub services: Vec<String>,
    /// Only so many of the last lines.
    pub lines: Option<u64>,
    /// Only lines from this time on: RFC 3339, or how long ago.
    pub since: Option<String>,
    /// Whether to go on with what is written from now on.
    pub follow: bool,
}

impl Client {
    /// A client of the supervisor behind `socket`. Nothing is asked yet.
    pub fn new(socket: impl Into<PathBuf>) -> Client {
        Client { socket: socket.into() }
    }

    /// The socket it asks on.
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// The supervisor and these services; all when there are no names.
    ///
    /// # Errors
    /// See [`ClientError`], as for every request.
    pub async fn status(&self, services: &[String]) -> Result<wire::Status, ClientError> {
        self.json(Method::GET, "/v1/status", &named(services), Some(PATIENCE)).await
    }

    /// The plain status lines of these services.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn plain_status(&self, services: &[String]) -> Result<String, ClientError> {
        let mut query = named(services);
        query.push(("format", "plain".to_owned()));
        let answer = self.send(Method::GET, "/v1/status", &query, Some(PATIENCE)).await?;
        Ok(String::from_utf8_lossy(&self.whole(answer).await?).into_owned())
    }

    /// Carries out `verb` on these services.
    ///
    /// # Errors
    /// See [`ClientError`]. A service that did not become what was wanted is no error
    /// here, see [`wire::Outcomes`].
    pub async fn act(
        &self,
        verb: Verb,
        services: &[String],
        wait: Wait,
    ) -> Result<wire::Outcomes, ClientError> {
        let mut query = named(services);
        let path = match verb {
            Verb::Start => "/v1/start",
            Verb::Stop => "/v1/stop",
            Verb::Restart => "/v1/restart",
            Verb::RollingRestart => {
                query.push(("rolling", "true".to_owned()));
                "/v1/restart"
            }
            Verb::Scale(replicas) => {
                query.push(("replicas", replicas.to_string()));
                "/v1/scale"
            }
            Verb::Reset => "/v1/reset",
            Verb::Signal(signal) => {
                query.push(("signal", signal.number().to_string()));
                "/v1/signal"
            }
        };
        let mut patience = PATIENCE;
        let waits = match verb {
            Verb::Signal(_) => None,
            Verb::Start
            | Verb::Stop
            | Verb::Restart
            | Verb::RollingRestart
            | Verb::Scale(_)
            | Verb::Reset => Some(wait),
        };
        match waits {
            None => {}
            Some(Wait::No) => {
                query.push(("wait", "false".to_owned()));
            }
            Some(Wait::UpTo(time)) => {
                query.push(("timeout", format!("{}ms", time.as_millis())));
                patience = patience.saturating_add(time);
            }
        }
        self.json(Method::POST, path, &query, Some(patience)).await
    }

    /// What a reload would do, or what it would do were `file` the configuration.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn plan(&self, file: Option<&Path>) -> Result<wire::Plan, ClientError> {
        let file = file.map(|file| ("file", file.to_string_lossy().into_owned()));
        let query: Vec<_> = file.into_iter().collect();
        self.json(Method::GET, "/v1/plan", &query, Some(PATIENCE)).await
    }

    /// Reads the configuration again and changes what has changed.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn reload(&self) -> Result<wire::Plan, ClientError> {
        self.json(Method::POST, "/v1/reload", &[], Some(RELOAD_PATIENCE)).await
    }

    /// The plugins of the supervisor.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn plugins(&self) -> Result<wire::Plugins, ClientError> {
        self.json(Method::GET, "/v1/plugins", &[], Some(PATIENCE)).await
    }

    /// Asks the supervisor to end. It has not ended when this returns.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn shutdown(&self, mode: ShutdownMode) -> Result<(), ClientError> {
        let now = match mode {
            ShutdownMode::Orderly | ShutdownMode::OrderlyOnce => "false",
            ShutdownMode::Now => "true",
        };
        let query = [("now", now.to_owned())];
        let wire::Accepted { accepted: _ } =
            self.json(Method::POST, "/v1/shutdown", &query, Some(PATIENCE)).await?;
        Ok(())
    }

    /// Has the supervisor give way to another version of its program, which has to say within
    /// `timeout` that it can go on (30 s). It has not done so yet when this returns.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn upgrade(
        &self,
        binary: Option<&Path>,
        timeout: Option<Duration>,
    ) -> Result<wire::Upgrade, ClientError> {
        let binary = binary.map(|binary| ("binary", binary.to_string_lossy().into_owned()));
        let limit = timeout.map(|timeout| ("timeout", format!("{}ms", timeout.as_millis())));
        let query: Vec<_> = binary.into_iter().chain(limit).collect();
        let patience = RELOAD_PATIENCE + timeout.unwrap_or_default();
        self.json(Method::POST, "/v1/upgrade", &query, Some(patience)).await
    }

    /// Events, one after the other.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn events(&self, query: &EventQuery) -> Result<Lines<wire::EventLine>, ClientError> {
        let EventQuery { since, last, follow, service, kinds } = query;
        let mut pairs = vec![("format", "ndjson".to_owned()), ("follow", follow.to_string())];
        pairs.extend(since.map(|since| ("since", since.to_string())));
        pairs.extend(last.map(|last| ("last", last.to_string())));
        pairs.extend(service.clone().map(|service| ("service", service)));
        pairs.extend(kinds.iter().map(|kind| ("kind", kind.clone())));
        let answer = self.send(Method::GET, "/v1/events", &pairs, Some(PATIENCE)).await?;
        Ok(Lines::new(self, answer))
    }

    /// Lines of output, one after the other.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn logs(&self, query: &LogQuery) -> Result<Lines<wire::LogLine>, ClientError> {
        Ok(Lines::new(self, self.log_answer(query, "ndjson").await?))
    }

    /// Output as it was written, byte by byte; for one service.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn raw_logs(&self, query: &LogQuery) -> Result<RawBytes, ClientError> {
        let body = self.log_answer(query, "text").await?;
        Ok(RawBytes { socket: self.socket.clone(), body })
    }

    /// The same with the time of each line before it, or a dash, and a space.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn timed_logs(&self, query: &LogQuery) -> Result<RawBytes, ClientError> {
        let body = self.log_answer(query, "timed").await?;
        Ok(RawBytes { socket: self.socket.clone(), body })
    }

    async fn log_answer(&self, query: &LogQuery, format: &str) -> Result<Incoming, ClientError> {
        let LogQuery { services, lines, since, follow } = query;
        let mut pairs = named(services);
        pairs.extend([("format", format.to_owned()), ("follow", follow.to_string())]);
        pairs.extend(lines.map(|lines| ("lines", lines.to_string())));
        pairs.extend(since.clone().map(|since| ("since", since)));
        self.send(Method::GET, "/v1/logs", &pairs, Some(PATIENCE)).await
    }

    async fn json<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        query: &[(&str, String)],
        patience: Option<Duration>,
    ) -> Result<T, ClientError> {
        let body = self.send(method, path, query, patience).await?;
        let bytes = self.whole(body).await?;
        serde_json::from_slice(&bytes).map_err(|error| self.unreadable(error.to_string()))
    }

    /// The body of the answer when it is a success.
    async fn send(
        &self,
        method: Method,
        path: &str,
        query: &[(&str, String)],
        patience: Option<Duration>,
    ) -> Result<Incoming, ClientError> {
        let exchange = self.exchange(method, path, query);
        let answer = match patience {
            Some(patience) => timeout(patience, exchange)
                .await
                .unwrap_or_else(|_| Err(ClientError::Silent { socket: self.socket.clone() }))?,
            None => exchange.await?,
        };
        let status = answer.status();
        if status.is_success() {
            return Ok(answer.into_body());
        }
        let bytes = self.whole(answer.into_body()).await?;
        match serde_json::from_slice(&bytes) {
            Ok(error) => Err(ClientError::Refused { status: status.as_u16(), error }),
            Err(_) => Err(self.unreadable(format!("it is {status} without a reason"))),
        }
    }

    async fn exchange(
        &self,
        method: Method,
        path: &str,
        query: &[(&str, String)],
    ) -> Result<Response<Incoming>, ClientError> {
        let stream = self.connect().await?;
        let interrupted = |_| ClientError::Interrupted { socket: self.socket.clone() };
        let (mut sender, connection) =
            http1::handshake(TokioIo::new(stream)).await.map_err(interrupted)?;
        tokio::spawn(async move {
            // How it ended is seen where the answer is read.
            let _ = connection.await;
        });
        let request = Request::builder()
            .method(method)
            .uri(format!("{path}{}", encode(query)))
            .header("host", "kennel")
            .body(Empty::<Bytes>::new())
            .map_err(|error| self.unreadable(error.to_string()))?;
        sender.send_request(request).await.map_err(interrupted)
    }

    async fn connect(&self) -> Result<UnixStream, ClientError> {
        let socket = &self.socket;
        loop {
            match UnixStream::connect(socket).await {
                Ok(stream) => return Ok(stream),
                // The queue of the socket is full; it will not be for long.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
                Err(error) => {
                    return Err(match error.kind() {
                        io::ErrorKind::NotFound
                        | io::ErrorKind::ConnectionRefused
                        | io::ErrorKind::NotADirectory => {
                            ClientError::NotRunning { socket: socket.clone() }
                        }
                        _ => ClientError::Unreachable { socket: socket.clone(), source: error },
                    });
                }
            }
        }
    }

    async fn whole(&self, body: Incoming) -> Result<Bytes, ClientError> {
        let limited = http_body_util::Limited::new(body, MAX_ANSWER_BYTES);
        let collected = limited.collect().await;
        Ok(collected
            .map_err(|_| ClientError::Interrupted { socket: self.socket.clone() })?
            .to_bytes())
    }

    fn unreadable(&self, reason: String) -> ClientError {
        ClientError::Unreadable { socket: self.socket.clone(), reason }
    }
}

impl ClientError {
    /// Whether the supervisor said that its configuration has errors.
    pub fn is_invalid_configuration(&self) -> bool {
        matches!(self, ClientError::Refused { status, .. }
            if *status == StatusCode::UNPROCESSABLE_ENTITY.as_u16())
    }
}

/// Bytes as they come.
#[derive(Debug)]
pub struct RawBytes {
    socket: PathBuf,
    body: Incoming,
}

impl RawBytes {
    /// The next ones; none at the end.
    ///
    /// # Errors
    /// [`ClientError::Interrupted`].
    pub async fn next(&mut self) -> Result<Option<Bytes>, ClientError> {
        loop {
            match self.body.frame().await {
                None => return Ok(None),
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        return Ok(Some(data));
                    }
                }
                Some(Err(_)) => {
                    return Err(ClientError::Interrupted { socket: self.socket.clone() });
                }
            }
        }
    }
}

/// JSON objects as they come, one a line.
#[derive(Debug)]
pub struct Lines<T> {
    client: Client,
    bytes: RawBytes,
    partial: Vec<u8>,
    ready: VecDeque<T>,
}

impl<T: DeserializeOwned> Lines<T> {
    fn new(client: &Client, body: Incoming) -> Lines<T> {
        let bytes = RawBytes { socket: client.socket.clone(), body };
        Lines { client: client.clone(), bytes, partial: Vec::new(), ready: VecDeque::new() }
    }

    /// The next one; none at the end.
    ///
    /// # Errors
    /// [`ClientError::Interrupted`] and [`ClientError::Unreadable`].
    pub async fn next(&mut self) -> Result<Option<T>, ClientError> {
        while self.ready.is_empty() {
            let Some(bytes) = self.bytes.next().await? else { return Ok(None) };
            self.partial.extend_from_slice(&bytes);
            let Some(end) = self.partial.iter().rposition(|byte| *byte == b'\n') else {
                continue;
            };
            let rest = self.partial.split_off(end + 1);
            let whole = std::mem::replace(&mut self.partial, rest);
            for line in whole.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
                let read = serde_json::from_slice(line);
                self.ready.push_back(read.map_err(|e| self.client.unreadable(e.to_string()))?);
            }
        }
        Ok(self.ready.pop_front())
    }
}

fn named(services: &[String]) -> Vec<(&'static str, String)> {
    services.iter().map(|service| ("service", service.clone())).collect()
}

/// `?service=web%2F0&lines=10`
fn encode(query: &[(&str, String)]) -> String {
    let mut out = String::new();
    for (name, value) in query {
        out.push(if out.is_empty() { '?' } else { '&' });
        out.push_str(name);
        out.push('=');
        for byte in value.bytes() {
            // Unreserved characters of RFC 3986.
            if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
                out.push(char::from(byte));
            } else {
                out.push_str(&format!("%{byte:02X}"));
            }
        }
    }
    out
}
