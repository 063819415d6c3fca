//! A fresh connection.
//!
//! All addresses of a name are tried in their order. The next one is begun when the one
//! before has failed, or has said nothing for a quarter of a second (as RFC 8305 has it,
//! without its sorting); the first connection wins.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use kennel_wasm::grants::Endpoint;
use tokio::net::{TcpStream, UnixStream};
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::allow::Allow;
use super::deadline::Deadline;
use super::error::{ConnectFailure, ProbeError, Stage};
use super::resolve::resolve;

/// How long an address has before the next one is tried beside it.
const HEAD_START: Duration = Duration::from_millis(250);

/// How many addresses of a name are tried.
const ADDRESSES_MAX: usize = 16;

/// What fits into `sockaddr_un`, `unix(7)`.
const PATH_BYTES_MAX: usize = 107;

/// How often a Unix socket is tried again whose queue is full.
const QUEUE_POLL: Duration = Duration::from_millis(20);

/// Connects to a host and port.
pub(super) async fn tcp(
    endpoint: &Endpoint,
    allow: &dyn Allow,
    deadline: Deadline,
) -> Result<TcpStream, ProbeError> {
    let Endpoint { protocol: _, host, port } = endpoint;
    allow.before_dns(endpoint)?;
    let addresses = deadline.limit(Stage::Resolve, host, resolve(host, *port)).await?;
    let mut allowed = Vec::new();
    let mut denied = None;
    for address in addresses.into_iter().take(ADDRESSES_MAX) {
        match allow.after_dns(endpoint, address.ip()) {
            Ok(()) => allowed.push(address),
            Err(why) => denied = denied.or(Some(why)),
        }
    }
    if let (true, Some(denied)) = (allowed.is_empty(), denied) {
        return Err(denied.into());
    }
    let to = authority(host, *port);
    let first = async { first_of(&allowed).await.map_err(|error| failed(&to, &allowed, &error)) };
    let stream = deadline.limit(Stage::Connect, &to, first).await?;
    // What follows are short turns; a stream that cannot be told so is slower, not wrong.
    let _ = stream.set_nodelay(true);
    Ok(stream)
}

/// `host:port` as people write it.
pub(super) fn authority(host: &str, port: u16) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

/// The error with the addresses of a name, so that a wrong one can be seen.
fn failed(to: &str, addresses: &[SocketAddr], error: &io::Error) -> ProbeError {
    let literal = addresses.iter().any(|address| address.to_string() == to);
    let to = if literal || to.starts_with("localhost") {
        to.to_owned()
    } else {
        let shown: Vec<_> = addresses.iter().take(4).map(|a| a.ip().to_string()).collect();
        format!("{to} ({})", shown.join(", "))
    };
    ProbeError::Connect { to, how: ConnectFailure::of(error) }
}

pub(super) async fn first_of(addresses: &[SocketAddr]) -> io::Result<TcpStream> {
    if let [only] = addresses {
        return connect(*only).await;
    }
    let mut waiting = addresses.iter().copied();
    // Those under way end with this set.
    let mut trying = JoinSet::new();
    let mut worst: Option<io::Error> = None;
    loop {
        if let Some(next) = waiting.next() {
            trying.spawn(connect(next));
        }
        let ended = tokio::select! {
            ended = trying.join_next() => ended,
            () = sleep(HEAD_START), if waiting.len() > 0 => continue,
        };
        match ended {
            Some(Ok(Ok(stream))) => return Ok(stream),
            Some(Ok(Err(error))) => worst = Some(graver(worst, error)),
            Some(Err(_)) => {}
            None => return Err(worst.unwrap_or_else(|| errno(libc::EADDRNOTAVAIL))),
        }
    }
}

/// Of two errors the one that says more: a refusal is of the server, what cannot be
/// reached may be of this machine, as IPv6 often is.
fn graver(one: Option<io::Error>, other: io::Error) -> io::Error {
    let weight = |error: &io::Error| match ConnectFailure::of(error) {
        ConnectFailure::Refused | ConnectFailure::Reset | ConnectFailure::NoSocket => 2,
        ConnectFailure::Unreachable(_) => 1,
        ConnectFailure::Here(_) => 0,
    };
    match one {
        Some(one) if weight(&one) >= weight(&other) => one,
        Some(_) | None => other,
    }
}

async fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(address).await?;
    // TCP lets a socket connect to itself when its own port, chosen at random, is the one
    // asked for and nobody listens there.
    if stream.local_addr().is_ok_and(|own| own == address) {
        return Err(errno(libc::ECONNREFUSED));
    }
    Ok(stream)
}

fn errno(number: i32) -> io::Error {
    io::Error::from_raw_os_error(number)
}

/// Connects to a Unix socket.
pub(super) async fn unix(path: &Path, deadline: Deadline) -> Result<UnixStream, ProbeError> {
    let to = shown(path);
    if path.as_os_str().len() > PATH_BYTES_MAX {
        let limit = format!("the path of a socket has at most {PATH_BYTES_MAX} bytes");
        return Err(ProbeError::Invalid(format!("cannot connect to {to}: {limit}")));
    }
    let connected = async {
        loop {
            match UnixStream::connect(path).await {
                Ok(stream) => return Ok(stream),
                // Its queue is full, and unlike with TCP the kernel does not wait: the
                // server is there, and slow.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => sleep(QUEUE_POLL).await,
                Err(error) => return Err(ProbeError::broken(&to, &error)),
            }
        }
    };
    deadline.limit(Stage::Connect, &to, connected).await
}

/// A path as it stands in messages.
pub(super) fn shown(path: &Path) -> String {
    format!("\"{}\"", path.display())
}
