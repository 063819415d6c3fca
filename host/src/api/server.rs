//! The server on the control socket.
//!
//! ```text
//!  accept ─► peer's uid ─► a place among 256 ─► one task: hyper, one request at a time
//!                │               │                  │
//!            403, closed   idle longest goes        ├─ header within 10 s, 64 KiB at most
//!                                                   ├─ writes within 30 s
//!                                                   └─ router ─► Handle (message to the driver)
//! ```
//!
//! Nothing here can hold the supervisor up: requests are messages to the driver and wait
//! for its reply, files are read on threads for that, and each bound has a number below.
//!
//! Deliberately absent: a limit of requests per second (peers are the owner or root), and
//! authentication beyond the kernel's word on who connects (`SO_PEERCRED`).

use std::convert::Infallible;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::response::Response;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tower::ServiceExt as _;

use super::connections::{Activity, Connections, Place};
use super::context::Context;
use super::patient::Patient;
use super::routes;
use super::socket::{self, BindError};
use crate::handle::Handle;
use crate::os::SocketFile;

/// Connections at once.
const MAX_CONNECTIONS: usize = 256;
/// A request's header has to be complete after this; a connection may be idle as long.
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);
/// A client has to take something of its answer within this.
const WRITE_TIMEOUT: Duration = Duration::from_secs(30);
/// Header fields of a request.
const MAX_HEADERS: usize = 64;
/// Bytes of a request's header, and of an answer that waits to be sent.
const MAX_BUFFER_BYTES: usize = 64 * 1024;
/// How long answers may take to be sent when the server ends.
const FAREWELL: Duration = Duration::from_secs(1);
/// A connection that has been idle that long may be given up for a new one when
/// descriptors run out.
const QUIET: Duration = Duration::from_secs(1);
/// How long to wait after the system refused a connection (too many open files).
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// A control socket on which nobody is answered yet: clients that connect wait.
#[derive(Debug)]
pub struct Server {
    listener: std::os::unix::net::UnixListener,
    file: SocketFile,
}

impl Server {
    /// Makes the socket, 0600, and missing directories, 0700. A socket that nobody listens
    /// on is replaced; the caller holds the lock on the state directory.
    ///
    /// # Errors
    /// Something else stands there, or the system refuses.
    pub fn bind(path: &Path) -> Result<Server, BindError> {
        let (listener, file) = socket::bind(path)?;
        Ok(Server { listener, file })
    }

    /// The socket at `path` that was passed on to this program.
    ///
    /// # Errors
    /// There is no such socket any more.
    pub(crate) fn carried_over(listener: OwnedFd, path: &Path) -> std::io::Result<Server> {
        Ok(Server { listener: listener.into(), file: SocketFile::made_at(path)? })
    }

    /// Another descriptor of the socket, to be passed on.
    ///
    /// # Errors
    /// `EMFILE`.
    pub(crate) fn descriptor(&self) -> std::io::Result<OwnedFd> {
        Ok(self.listener.try_clone()?.into())
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.file.path()
    }

    /// Answers requests from now on, on a task of its own.
    ///
    /// # Panics
    /// Outside a tokio runtime with I/O and time.
    pub fn serve(self, handle: Handle) -> Serving {
        self.serve_within(handle, Bounds::default())
    }

    pub(super) fn serve_within(self, handle: Handle, bounds: Bounds) -> Serving {
        let Server { listener, file } = self;
        let router = routes::router(Context::new(handle));
        let (stop, stopped) = watch::channel(false);
        let task = tokio::spawn(async move {
            match UnixListener::from_std(listener) {
                Ok(listener) => accept(listener, router, stopped, bounds).await,
                Err(error) => tracing::error!("cannot listen on the control socket: {error}"),
            }
            drop(file);
        });
        Serving { stop, task }
    }
}

/// A server that answers. Dropped, it stops soon.
#[derive(Debug)]
pub struct Serving {
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Serving {
    /// Accepts nobody any more, finishes what is being answered, for a second at most, and
    /// removes the socket.
    pub async fn stop(self) {
        let Serving { stop, task } = self;
        stop.send_replace(true);
        // It can only have panicked, which was reported.
        let _ = task.await;
    }
}

/// The bounds of a server; tests have smaller ones.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    pub(super) connections: usize,
    pub(super) header: Duration,
    pub(super) write: Duration,
}

impl Default for Bounds {
    fn default() -> Bounds {
        Bounds { connections: MAX_CONNECTIONS, header: HEADER_TIMEOUT, write: WRITE_TIMEOUT }
    }
}

async fn accept(
    listener: UnixListener,
    router: Router,
    mut stop: watch::Receiver<bool>,
    bounds: Bounds,
) {
    let connections = Arc::new(Connections::new(bounds.connections));
    let mut is_failing = false;
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = told(&mut stop) => break,
        };
        match accepted {
            Ok((stream, _)) => {
                is_failing = false;
                admit(stream, &connections, &router, &stop, bounds);
            }
            Err(error) => {
                if !is_failing {
                    tracing::warn!("cannot accept a connection: {error}");
                }
                is_failing = true;
                // Most likely there are too many open files; here is one less. A client sends
                // its request at once, so one that has been quiet for a while has none.
                connections.push_out(QUIET);
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop(listener);
    let quiet = async {
        while connections.count() > 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    if tokio::time::timeout(FAREWELL, quiet).await.is_err() {
        connections.abort_all();
    }
}

/// Returns when the server is to stop.
async fn told(stop: &mut watch::Receiver<bool>) {
    // An error says that nobody is left who could tell: that is the end too.
    let _ = stop.wait_for(|stop| *stop).await;
}

fn admit(
    stream: UnixStream,
    connections: &Arc<Connections>,
    router: &Router,
    stop: &watch::Receiver<bool>,
    bounds: Bounds,
) {
    let peer = stream.peer_cred().map(|peer| peer.uid());
    let own = nix::unistd::geteuid().as_raw();
    if !peer.as_ref().is_ok_and(|uid| *uid == own || *uid == 0) {
        tracing::warn!(?peer, "refused a connection of another user");
        refuse(&stream, "403 Forbidden", "only the user of this supervisor, and root, may do that");
        return;
    }
    if !connections.make_room() {
        refuse(&stream, "503 Service Unavailable", "too many requests at once");
        return;
    }
    let (router, stop) = (router.clone(), stop.clone());
    connections.add(|place, activity| {
        connection(stream, router, stop, bounds, place, activity, Arc::clone(connections))
    });
}

/// Says why, as far as that goes without waiting; whoever does not read it is not missed.
fn refuse(stream: &UnixStream, status: &str, error: &str) {
    let body = format!("{{\"error\":\"{error}\",\"hint\":null}}");
    let answer = format!(
        "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\
         connection: close\r\n\r\n{body}",
        body.len()
    );
    let _ = stream.try_write(answer.as_bytes());
}

async fn connection(
    stream: UnixStream,
    router: Router,
    mut stop: watch::Receiver<bool>,
    bounds: Bounds,
    place: Place,
    activity: Arc<Activity>,
    connections: Arc<Connections>,
) {
    let _place = place;
    let service = service_fn(move |request: hyper::Request<Incoming>| {
        let working = connections.begin(&activity);
        let router = router.clone();
        async move {
            let answer: Result<Response, Infallible> =
                router.oneshot(request.map(axum::body::Body::new) as Request).await;
            answer.map(|answer| answer.map(|body| Occupied { body, _working: working }))
        }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(bounds.header)
        .max_headers(MAX_HEADERS)
        .max_buf_size(MAX_BUFFER_BYTES)
        .serve_connection(TokioIo::new(Patient::new(stream, bounds.write)), service);
    let mut connection = std::pin::pin!(connection);
    let served = tokio::select! {
        served = connection.as_mut() => Some(served),
        () = told(&mut stop) => None,
    };
    let served = match served {
        Some(served) => served,
        None => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = served {
        // A client that goes away in the middle is its own affair.
        tracing::debug!("connection ended: {error}");
    }
}

/// A body during which its connection counts as working.
struct Occupied {
    body: axum::body::Body,
    _working: super::connections::Working,
}

impl hyper::body::Body for Occupied {
    type Data = hyper::body::Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<hyper::body::Frame<Self::Data>, Self::Error>>> {
        std::pin::Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> hyper::body::SizeHint {
        self.body.size_hint()
    }
}
