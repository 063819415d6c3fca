//! What the host does for a plugin: probes, as far as services.yaml grants them.

mod channel;

use std::fmt;
use std::marker::PhantomData;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::Serialize;

pub use channel::Channel;

use crate::address::Address;
use crate::backend::Backend;
use crate::json;
use crate::target::{Attributes, find};

/// The kind of plugin that may run commands.
#[derive(Debug)]
pub struct Checks(());

/// The kind of plugin that may write files.
#[derive(Debug)]
pub struct Sinks(());

/// The host, as a health check sees it. Each call is bounded by the time left for the check.
#[derive(Debug)]
pub struct Host<K = Checks> {
    backend: Backend,
    kind: PhantomData<K>,
}

/// The host, as an event sink sees it.
pub type SinkHost = Host<Sinks>;

impl<K> Host<K> {
    pub(crate) fn new(backend: Backend) -> Host<K> {
        Host { backend, kind: PhantomData }
    }

    /// Makes an HTTP request. Needs the grant `http` with the URL's origin.
    pub fn http(&mut self, request: Request) -> Result<Response, ProbeError> {
        self.backend.http(request)
    }

    /// Connects to `authority` (`host:port`), sends, and reads. Needs the grant `net`.
    pub fn tcp(&mut self, authority: &str, exchange: Exchange) -> Result<Vec<u8>, ProbeError> {
        self.backend.tcp(authority, exchange)
    }

    /// Connects to a Unix socket, sends, and reads. Needs the grant `unix` with its path.
    pub fn unix(&mut self, path: &str, exchange: Exchange) -> Result<Vec<u8>, ProbeError> {
        self.backend.unix(path, exchange)
    }

    /// Connects to `authority` (`host:port`) for a conversation. Needs the grant `net`.
    pub fn connect(
        &mut self,
        authority: &str,
        timeout: Option<Duration>,
    ) -> Result<Channel, ProbeError> {
        self.backend.connect(authority, timeout).map(Channel::new)
    }

    /// Connects to a Unix socket for a conversation. Needs the grant `unix` with its path.
    pub fn connect_unix(
        &mut self,
        path: &str,
        timeout: Option<Duration>,
    ) -> Result<Channel, ProbeError> {
        self.backend.connect_unix(path, timeout).map(Channel::new)
    }

    /// Connects to either for a conversation.
    pub fn connect_to(
        &mut self,
        address: &Address,
        timeout: Option<Duration>,
    ) -> Result<Channel, ProbeError> {
        match address {
            Address::Tcp(authority) => self.connect(authority, timeout),
            Address::Unix(path) => self.connect_unix(path, timeout),
        }
    }
}

impl Host<Checks> {
    /// Runs a command as the service's user, in its directory and environment. Needs the grant
    /// `exec`. `timeout` shortens the time left, never extends it.
    pub fn exec<A: AsRef<str>>(
        &mut self,
        command: &[A],
        timeout: Option<Duration>,
    ) -> Result<Output, ProbeError> {
        let command = command.iter().map(|word| word.as_ref().to_owned()).collect();
        self.backend.exec(command, timeout)
    }
}

impl Host<Sinks> {
    /// Appends to a file, which it creates where there is none. Needs the grant `files` with its
    /// path.
    pub fn append(&mut self, path: &str, bytes: &[u8], rotate: Rotate) -> Result<(), ProbeError> {
        self.backend.append(path, bytes, rotate)
    }
}

/// Why a probe had no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProbeError {
    /// Not granted; names the grant that would allow it.
    Denied(String),
    /// No answer in time.
    Timeout,
    /// The name could not be resolved.
    Dns(String),
    /// No connection.
    Connect(String),
    /// No TLS session.
    Tls(String),
    /// An answer that is none.
    Protocol(String),
    /// More than the host is willing to hold.
    TooLarge,
    /// Something else.
    Other(String),
}

impl fmt::Display for ProbeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (what, detail) = match self {
            ProbeError::Denied(grant) => ("not granted", grant.as_str()),
            ProbeError::Timeout => ("no answer in time", ""),
            ProbeError::Dns(detail) => ("cannot resolve the name", detail.as_str()),
            ProbeError::Connect(detail) => ("cannot connect", detail.as_str()),
            ProbeError::Tls(detail) => ("TLS failed", detail.as_str()),
            ProbeError::Protocol(detail) => ("not a valid answer", detail.as_str()),
            ProbeError::TooLarge => ("the answer is too large", ""),
            ProbeError::Other(detail) => ("the probe failed", detail.as_str()),
        };
        f.write_str(what)?;
        if !detail.is_empty() {
            f.write_str(": ")?;
            f.write_str(detail)?;
        }
        Ok(())
    }
}

impl std::error::Error for ProbeError {}

/// An HTTP request.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Request {
    /// `GET`, `HEAD`, `POST`, …
    pub method: String,
    /// An absolute URL.
    pub url: String,
    /// Headers beyond those that the host sends anyway.
    pub headers: Vec<(String, String)>,
    /// What to send.
    pub body: Vec<u8>,
    /// Shortens the time left, never extends it.
    pub timeout: Option<Duration>,
    /// How many bytes of the answer's body to keep; the host caps it.
    pub max_body: Option<u32>,
    /// What else this host is to know.
    pub ext: Attributes,
}

impl Request {
    /// A request without headers and body.
    pub fn new(method: impl Into<String>, url: impl Into<String>) -> Request {
        Request { method: method.into(), url: url.into(), ..Request::default() }
    }

    /// A GET request.
    pub fn get(url: impl Into<String>) -> Request {
        Request::new("GET", url)
    }

    /// A POST request.
    pub fn post(url: impl Into<String>, body: impl Into<Vec<u8>>) -> Request {
        Request { body: body.into(), ..Request::new("POST", url) }
    }

    /// A POST request with `body` as JSON, and the header that says so.
    ///
    /// # Panics
    ///
    /// Where `body` cannot be JSON: a map whose keys are no texts.
    pub fn post_json(url: impl Into<String>, body: &impl Serialize) -> Request {
        let body = json::to_vec(body).expect("a body can be written as JSON");
        Request::post(url, body).header("content-type", "application/json")
    }

    /// Adds a header.
    #[must_use]
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Request {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// Says who asks (RFC 7617). `username` has no `:`.
    #[must_use]
    pub fn basic_auth(self, username: &str, password: &str) -> Request {
        let both = BASE64.encode(format!("{username}:{password}"));
        self.header("authorization", format!("Basic {both}"))
    }

    /// Adds an option for the host.
    #[must_use]
    pub fn option(mut self, key: impl Into<String>, value: impl Into<String>) -> Request {
        self.ext.push((key.into(), value.into()));
        self
    }

    /// Waits no longer than this.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Request {
        self.timeout = Some(timeout);
        self
    }

    /// Keeps no more of the answer's body than this.
    #[must_use]
    pub fn max_body(mut self, bytes: u32) -> Request {
        self.max_body = Some(bytes);
        self
    }
}

/// An HTTP answer.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Response {
    /// Its status code.
    pub status: u16,
    /// Its headers.
    pub headers: Vec<(String, String)>,
    /// Its body, as far as it was kept.
    pub body: Vec<u8>,
    /// From the start of the request to the end of the answer.
    pub latency: Duration,
    /// What else this host says: `tls.not-after-unix-s`, `tls.subject`, `http.version`, …
    pub ext: Attributes,
}

impl Response {
    /// The first header of that name, in any case.
    pub fn header(&self, name: &str) -> Option<&str> {
        let named = |(key, _): &&(String, String)| key.eq_ignore_ascii_case(name);
        self.headers.iter().find(named).map(|(_, value)| value.as_str())
    }

    /// The body as text; what is not UTF-8 is replaced.
    pub fn text(&self) -> std::borrow::Cow<'_, str> {
        String::from_utf8_lossy(&self.body)
    }

    /// The body as JSON.
    pub fn json(&self) -> Result<json::Value, json::Error> {
        json::from_slice(&self.body)
    }

    /// What this host says under `key` beyond the contract.
    pub fn ext(&self, key: &str) -> Option<&str> {
        find(&self.ext, key)
    }
}

/// What to say on a connection and how much to read.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Exchange {
    /// What is sent.
    pub send: Vec<u8>,
    /// Reading ends at so many bytes, at the end of the stream, or when time is up.
    pub max_read: u32,
    /// Shortens the time left, never extends it.
    pub timeout: Option<Duration>,
}

impl Exchange {
    /// Connects, and no more.
    pub fn connect() -> Exchange {
        Exchange::default()
    }

    /// Sends this first.
    pub fn send(bytes: impl Into<Vec<u8>>) -> Exchange {
        Exchange { send: bytes.into(), max_read: 0, timeout: None }
    }

    /// Reads at most so many bytes.
    #[must_use]
    pub fn read(mut self, max_bytes: u32) -> Exchange {
        self.max_read = max_bytes;
        self
    }

    /// Waits no longer than this.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Exchange {
        self.timeout = Some(timeout);
        self
    }
}

/// What a command did.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Output {
    /// The code it exited with; none when a signal ended it.
    pub exit_code: Option<i32>,
    /// Its standard output.
    pub stdout: Vec<u8>,
    /// Its standard error.
    pub stderr: Vec<u8>,
}

/// When a file is full, and how many full ones are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Rotate {
    /// A file that would grow past this is renamed first; none lets it grow.
    pub max_bytes: Option<u64>,
    /// How many renamed files are kept; none is up to the host.
    pub keep: Option<u32>,
}
