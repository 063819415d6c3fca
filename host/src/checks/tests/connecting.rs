//! How a connection fails, and which of several addresses is taken.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use tokio::net::{TcpListener, UnixListener, UnixStream};

use super::super::connect::first_of;
use super::super::{AllowAll, Channel, ConnectFailure, Deadline, ProbeError, Stage};
use super::support::{SHORT, full, nobody, soon};

async fn tcp(authority: &str, deadline: Deadline) -> Result<(), ProbeError> {
    Channel::tcp(authority, &AllowAll, deadline).await.map(drop)
}

async fn unix(path: &Path, deadline: Deadline) -> Result<(), ProbeError> {
    Channel::unix(path, deadline).await.map(drop)
}

#[tokio::test]
async fn a_port_where_nobody_listens_refuses() {
    let (_taken, address) = nobody();
    let to = address.to_string();
    let error = tcp(&to, soon()).await.unwrap_err();
    assert_eq!(error.to_string(), format!("connection to {to} refused"));
    // Under a name, the refusal counts and not that another address cannot be had here.
    let to = to.replace("127.0.0.1", "localhost");
    let error = tcp(&to, soon()).await.unwrap_err();
    assert_eq!(error, ProbeError::Connect { to, how: ConnectFailure::Refused });
}

#[tokio::test]
async fn a_queue_that_is_full_is_late_and_not_refused() {
    let full = full().await;
    let to = full.address.to_string();
    let error = tcp(&to, Deadline::after(SHORT)).await.unwrap_err();
    assert_eq!(error, ProbeError::Late { stage: Stage::Connect, to, within: SHORT });
}

#[tokio::test]
async fn a_name_is_taken_at_any_of_its_addresses() {
    let Ok(listener) = TcpListener::bind("[::1]:0").await else {
        println!("skipped: there is no IPv6 here");
        return;
    };
    // Nobody listens on the same port of 127.0.0.1, which is tried first.
    let port = listener.local_addr().unwrap().port();
    assert_eq!(tcp(&format!("localhost:{port}"), soon()).await, Ok(()));
    assert_eq!(tcp(&format!("[::1]:{port}"), soon()).await, Ok(()));
}

#[tokio::test]
async fn an_address_that_is_silent_holds_the_next_one_up_but_shortly() {
    let (silent, good) = (full().await, TcpListener::bind("127.0.0.1:0").await.unwrap());
    let (_taken, refusing) = nobody();
    let good = good.local_addr().unwrap();
    for addresses in [
        vec![silent.address, good],
        vec![refusing, good],
        vec![silent.address, refusing, good],
        vec![good, silent.address],
    ] {
        let stream = first_of(&addresses).await.unwrap();
        assert_eq!(stream.peer_addr().unwrap(), good, "{addresses:?}");
    }
    let error = first_of(&[refusing, refusing]).await.unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionRefused);
}

#[tokio::test]
async fn a_unix_socket_fails_as_what_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let shown = |name: &str| format!("\"{}\"", path(name).display());
    let _listener = UnixListener::bind(path("good")).unwrap();
    assert_eq!(unix(&path("good"), soon()).await, Ok(()));
    drop(UnixListener::bind(path("stale")).unwrap());
    std::fs::write(path("file"), "").unwrap();
    let how = async |name: &str| unix(&path(name), soon()).await.unwrap_err().to_string();
    assert_eq!(how("nothing").await, format!("there is no socket {}", shown("nothing")));
    assert_eq!(how("stale").await, format!("connection to {} refused", shown("stale")));
    assert_eq!(how("file").await, format!("connection to {} refused", shown("file")));
    if !nix::unistd::geteuid().is_root() {
        std::fs::set_permissions(path("good"), PermissionsExt::from_mode(0o000)).unwrap();
        let expected = format!("cannot connect to {}: permission denied", shown("good"));
        assert_eq!(how("good").await, expected);
    }
}

#[tokio::test]
async fn a_unix_socket_whose_queue_is_full_is_late() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("full");
    let listener = UnixListener::bind(&path).unwrap();
    let mut waiting = Vec::new();
    while let Ok(stream) = UnixStream::connect(&path).await {
        waiting.push(stream);
        assert!(waiting.len() < 100_000, "the queue is never full");
    }
    let error = unix(&path, Deadline::after(SHORT)).await.unwrap_err();
    let to = format!("\"{}\"", path.display());
    assert_eq!(error, ProbeError::Late { stage: Stage::Connect, to, within: SHORT });
    // As soon as the server goes on, so does whoever waits.
    let (connected, accepted) = tokio::join!(unix(&path, soon()), listener.accept());
    assert_eq!(connected, Ok(()));
    drop(accepted.unwrap());
}
