//! A conversation with a server: connect, then write, read, and perhaps TLS on the way.

use std::path::Path;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::{io, mem};

use kennel_wasm::grants::{Endpoint, Protocol};
use kennel_wasm::model::Attributes;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::client::TlsStream;

use super::allow::Allow;
use super::connect::{self, shown};
use super::deadline::Deadline;
use super::error::{ProbeError, Stage};
use super::tls::{self, Alpn, Options};

/// How much one read gives at most.
const READ_BYTES_MAX: usize = 1 << 20;

/// One connection to a server, made anew and closed when dropped.
#[derive(Debug)]
pub struct Channel {
    stream: Stream,
    /// The address or path, for messages.
    to: String,
}

/// What a channel runs over.
#[derive(Debug)]
pub(super) enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
    Tls(Box<TlsStream<Stream>>),
    /// It broke while TLS was being agreed on.
    Closed,
}

impl Channel {
    /// Connects to `host:port`; an IPv6 address stands in brackets.
    ///
    /// # Errors
    /// See [`ProbeError`].
    pub async fn tcp(
        authority: &str,
        allow: &dyn Allow,
        deadline: Deadline,
    ) -> Result<Channel, ProbeError> {
        let endpoint = endpoint(authority)?;
        let stream = connect::tcp(&endpoint, allow, deadline).await?;
        let to = connect::authority(&endpoint.host, endpoint.port);
        Ok(Channel { stream: Stream::Tcp(stream), to })
    }

    /// Connects to a Unix socket.
    ///
    /// # Errors
    /// See [`ProbeError`].
    pub async fn unix(path: &Path, deadline: Deadline) -> Result<Channel, ProbeError> {
        let stream = connect::unix(path, deadline).await?;
        Ok(Channel { stream: Stream::Unix(stream), to: shown(path) })
    }

    /// Writes all of `bytes`.
    ///
    /// # Errors
    /// See [`ProbeError`]; how much was written is not known then.
    pub async fn write(&mut self, bytes: &[u8], deadline: Deadline) -> Result<(), ProbeError> {
        let Channel { stream, to } = self;
        let written = async {
            let done = async {
                stream.write_all(bytes).await?;
                stream.flush().await
            };
            done.await.map_err(|error| broken(to, &error))
        };
        deadline.limit(Stage::Send, to, written).await
    }

    /// Waits for at least one byte and gives what there is, at most `max` bytes and at
    /// most 1 MiB; nothing when the other side has closed it.
    ///
    /// # Errors
    /// See [`ProbeError`].
    pub async fn read(&mut self, max: u32, deadline: Deadline) -> Result<Vec<u8>, ProbeError> {
        let Channel { stream, to } = self;
        let max = usize::try_from(max).unwrap_or(READ_BYTES_MAX).min(READ_BYTES_MAX);
        // What is asked for is a bound, not what comes.
        let mut bytes = Vec::with_capacity(max.min(16 * 1024));
        let some = async {
            let mut bounded = stream.take(max as u64);
            bounded.read_buf(&mut bytes).await.map_err(|error| broken(to, &error))
        };
        deadline.limit(Stage::Answer, to, some).await?;
        Ok(bytes)
    }

    /// Speaks TLS from here on, with the options and facts of an HTTP request.
    ///
    /// # Errors
    /// See [`ProbeError`]; the connection is closed then.
    pub async fn start_tls(
        &mut self,
        server_name: &str,
        ext: &Attributes,
        deadline: Deadline,
    ) -> Result<Attributes, ProbeError> {
        if matches!(self.stream, Stream::Tls(_)) {
            let error = format!("the connection to {} speaks TLS already", self.to);
            return Err(ProbeError::Invalid(error));
        }
        let options = Options::of(ext)?;
        let stream = mem::replace(&mut self.stream, Stream::Closed);
        let stream =
            tls::agree(stream, &self.to, server_name, &options, Alpn::None, deadline).await?;
        let facts = tls::facts(&stream);
        self.stream = Stream::Tls(Box::new(stream));
        Ok(facts)
    }
}

/// Reads `host:port`.
pub(super) fn endpoint(authority: &str) -> Result<Endpoint, ProbeError> {
    let bad = |why: &str| ProbeError::Invalid(format!("{authority:?} is not host:port: {why}"));
    let (host, port) = authority.rsplit_once(':').ok_or_else(|| bad("it has no port"))?;
    let port = match port.parse::<u16>() {
        Ok(port) if port > 0 => port,
        Ok(_) | Err(_) => return Err(bad("a port is a number from 1 to 65535")),
    };
    let host = match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        Some(inside) => inside,
        None if host.contains(':') => return Err(bad("an IPv6 address stands in brackets")),
        None if host.is_empty() => return Err(bad("it has no host")),
        None => host,
    };
    Ok(Endpoint { protocol: Protocol::Tcp, host: host.to_owned(), port })
}

/// Connects, sends, and reads until there are `max_read` bytes, the other side ends, or
/// the deadline: what has come by then is the answer.
///
/// # Errors
/// See [`ProbeError`]; it is late only when nothing came at all.
pub async fn tcp(
    authority: &str,
    send: &[u8],
    max_read: u32,
    allow: &dyn Allow,
    deadline: Deadline,
) -> Result<Vec<u8>, ProbeError> {
    let channel = Channel::tcp(authority, allow, deadline).await?;
    exchange(channel, send, max_read, deadline).await
}

/// The same over a Unix socket.
///
/// # Errors
/// See [`ProbeError`].
pub async fn unix(
    path: &Path,
    send: &[u8],
    max_read: u32,
    deadline: Deadline,
) -> Result<Vec<u8>, ProbeError> {
    let channel = Channel::unix(path, deadline).await?;
    exchange(channel, send, max_read, deadline).await
}

async fn exchange(
    mut channel: Channel,
    send: &[u8],
    max_read: u32,
    deadline: Deadline,
) -> Result<Vec<u8>, ProbeError> {
    if !send.is_empty() {
        channel.write(send, deadline).await?;
    }
    let max = usize::try_from(max_read).unwrap_or(READ_BYTES_MAX).min(READ_BYTES_MAX);
    let mut answer = Vec::new();
    while answer.len() < max {
        let more = u32::try_from(max - answer.len()).unwrap_or(u32::MAX);
        match channel.read(more, deadline).await {
            Ok(bytes) if bytes.is_empty() => break,
            Ok(bytes) => answer.extend(bytes),
            Err(ProbeError::Late { .. }) if !answer.is_empty() => break,
            Err(error) => return Err(error),
        }
    }
    Ok(answer)
}

/// What an error on a connection means: TLS speaks through those of the stream.
pub(super) fn broken(to: &str, error: &io::Error) -> ProbeError {
    if let Some(reason) = tls::reason_within(error) {
        return ProbeError::Tls { to: to.to_owned(), reason };
    }
    match error.kind() {
        io::ErrorKind::UnexpectedEof | io::ErrorKind::NotConnected => ProbeError::Protocol {
            to: to.to_owned(),
            reason: "the connection was closed in the middle".to_owned(),
        },
        _ => ProbeError::broken(to, error),
    }
}

/// Whether an error is one of the connection, and not of what was made of its bytes.
pub(super) fn is_of_stream(error: &io::Error) -> bool {
    error.raw_os_error().is_some() || tls::reason_within(error).is_some()
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Tcp(stream) => Pin::new(stream).poll_read(cx, buffer),
            Stream::Unix(stream) => Pin::new(stream).poll_read(cx, buffer),
            Stream::Tls(stream) => Pin::new(stream).poll_read(cx, buffer),
            Stream::Closed => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Stream::Tcp(stream) => Pin::new(stream).poll_write(cx, bytes),
            Stream::Unix(stream) => Pin::new(stream).poll_write(cx, bytes),
            Stream::Tls(stream) => Pin::new(stream).poll_write(cx, bytes),
            Stream::Closed => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Tcp(stream) => Pin::new(stream).poll_flush(cx),
            Stream::Unix(stream) => Pin::new(stream).poll_flush(cx),
            Stream::Tls(stream) => Pin::new(stream).poll_flush(cx),
            Stream::Closed => Poll::Ready(Ok(())),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Tcp(stream) => Pin::new(stream).poll_shutdown(cx),
            Stream::Unix(stream) => Pin::new(stream).poll_shutdown(cx),
            Stream::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
            Stream::Closed => Poll::Ready(Ok(())),
        }
    }
}
