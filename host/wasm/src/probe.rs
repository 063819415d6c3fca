//! What the host does for a plugin: the seam between the sandbox and the world.
//!
//! The runtime holds no socket and starts no process. It hands each request of a plugin
//! to a [`Host`], with the grants that hold and the time that is left; the supervisor,
//! the tests and `kennel plugin test` each bring their own. An answer that is late is
//! cut off by the runtime, a panic is contained: an implementation can do neither harm
//! to supervision nor to another plugin.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use crate::grants::Grants;
use crate::model::{Attributes, Severity};

/// A future that runs on the threads of the runtime.
pub type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send + 'static>>;

/// Why the host could not do what a plugin asked for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProbeError {
    /// Not granted; names the grant that would allow it.
    #[error("denied: {0}")]
    Denied(String),
    /// It took longer than was left.
    #[error("timed out")]
    Timeout,
    /// The name could not be resolved.
    #[error("cannot resolve the name: {0}")]
    Dns(String),
    /// No connection.
    #[error("cannot connect: {0}")]
    Connect(String),
    /// No secure connection.
    #[error("cannot agree on TLS: {0}")]
    Tls(String),
    /// The other side broke the protocol.
    #[error("wrong protocol: {0}")]
    Protocol(String),
    /// The answer is larger than allowed.
    #[error("too large")]
    TooLarge,
    /// Anything else.
    #[error("{0}")]
    Other(String),
}

/// An HTTP request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HttpRequest {
    /// GET, HEAD, POST, …
    pub method: String,
    /// With scheme: `http://` or `https://`.
    pub url: String,
    /// In order; a name may come twice.
    pub headers: Vec<(String, String)>,
    /// What is sent.
    pub body: Vec<u8>,
    /// Shortens, never extends, the time left.
    pub timeout: Option<Duration>,
    /// How many bytes of the answer to keep.
    pub max_body: Option<u32>,
    /// Options, an open set.
    pub ext: Attributes,
}

/// The answer to an HTTP request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HttpResponse {
    /// 200, 404, …
    pub status: u16,
    /// In order; a name may come twice.
    pub headers: Vec<(String, String)>,
    /// What came, up to the limit.
    pub body: Vec<u8>,
    /// From the start of the first connection, the resolution of its name included, to the
    /// last byte read.
    pub latency: Duration,
    /// Facts, an open set: `tls.not-after-unix-s`, `http.version`, `http.truncated`, …
    pub ext: Attributes,
}

/// Where a conversation goes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// `host:port`.
    Tcp(String),
    /// The path of a Unix socket.
    Unix(String),
}

/// A channel that comes back, and what came of using it.
pub type Handed<T> = BoxFuture<(Box<dyn Channel>, Result<T, ProbeError>)>;

/// A channel that speaks TLS, and facts as in [`HttpResponse::ext`].
pub type Secured = (Box<dyn Channel>, Attributes);

/// One conversation of a plugin with a server.
///
/// Each call takes the channel and hands it back with what came of it; when the time of
/// the call is up the future is dropped, and the connection with it.
pub trait Channel: Send + 'static {
    /// Writes all of `bytes`.
    fn write(self: Box<Self>, bytes: Vec<u8>, timeout: Option<Duration>) -> Handed<()>;

    /// Waits for at least one byte and gives what there is, at most `max` bytes; nothing
    /// when the other side closed it.
    fn read(self: Box<Self>, max: u32, timeout: Option<Duration>) -> Handed<Vec<u8>>;

    /// Speaks TLS from here on. After an error the connection is gone.
    fn start_tls(
        self: Box<Self>,
        server_name: String,
        ext: Attributes,
        timeout: Option<Duration>,
    ) -> BoxFuture<Result<Secured, ProbeError>>;
}

/// What became of a command.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExecOutput {
    /// None if a signal ended it.
    pub exit_code: Option<i32>,
    /// What it wrote to its standard output, up to the limit.
    pub stdout: Vec<u8>,
    /// What it wrote to its standard error, up to the limit.
    pub stderr: Vec<u8>,
}

/// When a file that is appended to starts anew.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rotate {
    /// Past this size the file is renamed and a new one begins; none: never.
    pub max_bytes: Option<u64>,
    /// How many renamed files are kept; none: the host's default.
    pub keep: Option<u32>,
}

/// Who a call is about.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Subject {
    /// The service.
    pub service: Arc<str>,
    /// Which of its replicas, from 0.
    pub instance: u32,
}

/// For whom and until when the host acts.
#[derive(Clone, Debug)]
pub struct CallContext {
    /// The name the plugin is configured under.
    pub plugin: Arc<str>,
    /// What it may do.
    pub grants: Arc<Grants>,
    /// Who the call is about; commands run as that service's user. None for sinks and
    /// while a plugin is being configured.
    pub subject: Option<Subject>,
    /// When the answer is of no more use.
    pub deadline: tokio::time::Instant,
}

/// Does what plugins ask for, within their grants.
///
/// The futures run on threads of the runtime, within a tokio runtime with timers and
/// I/O, beside the plugin's own computation: they must not block. The runtime drops a
/// future that is not done by the deadline.
pub trait Host: Send + Sync + 'static {
    /// Sends an HTTP request.
    fn http(
        &self,
        cx: CallContext,
        request: HttpRequest,
    ) -> BoxFuture<Result<HttpResponse, ProbeError>>;

    /// Connects to `host:port`, sends, and reads until `max_read` bytes, the end of the
    /// stream or the deadline.
    fn tcp(
        &self,
        cx: CallContext,
        authority: String,
        send: Vec<u8>,
        max_read: u32,
        timeout: Option<Duration>,
    ) -> BoxFuture<Result<Vec<u8>, ProbeError>>;

    /// The same over a Unix socket.
    fn unix(
        &self,
        cx: CallContext,
        path: String,
        send: Vec<u8>,
        max_read: u32,
        timeout: Option<Duration>,
    ) -> BoxFuture<Result<Vec<u8>, ProbeError>>;

    /// Begins a conversation. It ends with the call at the latest.
    fn open(
        &self,
        cx: CallContext,
        endpoint: Endpoint,
        timeout: Option<Duration>,
    ) -> BoxFuture<Result<Box<dyn Channel>, ProbeError>>;

    /// Runs a command as the user of the service that the call is about.
    fn exec(
        &self,
        cx: CallContext,
        command: Vec<String>,
        timeout: Option<Duration>,
    ) -> BoxFuture<Result<ExecOutput, ProbeError>>;

    /// Appends to a file, all or nothing.
    fn append(
        &self,
        cx: CallContext,
        path: String,
        bytes: Vec<u8>,
        rotate: Rotate,
    ) -> BoxFuture<Result<(), ProbeError>>;

    /// Takes a message of the plugin, cut to the limits already. Must not block.
    fn log(&self, cx: &CallContext, severity: Severity, message: String, fields: Attributes);

    /// The plugin was denied something; `grant` is what would have allowed it. The runtime
    /// calls this itself, also for each [`ProbeError::Denied`] that it passes on, with the
    /// text of that. Must not block.
    fn denied(&self, plugin: &str, subject: Option<&Subject>, grant: &str);
}
