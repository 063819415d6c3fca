//! The examples in `host/examples`.

use std::net::{SocketAddr, TcpListener};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::{event, eventually, is_alive, pid, soon};

#[path = "../../host/examples/minimal.rs"]
mod minimal;
#[path = "../../host/examples/web.rs"]
mod web;

#[test]
fn the_smallest_program_runs_to_its_end() {
    minimal::main().unwrap();
}

async fn ask(address: SocketAddr, path: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    stream
}

async fn answer(mut stream: TcpStream) -> String {
    let mut text = String::new();
    soon("the answer", stream.read_to_string(&mut text)).await.unwrap();
    text
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_web_application_shows_its_health_and_finishes_its_requests_before_it_ends() {
    let dir = tempfile::tempdir().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let supervisor = web::start(listener, &dir.path().join("state")).await.unwrap();
    let handle = supervisor.handle().clone();
    let worker = pid(&handle, "worker").await;

    let health = answer(ask(address, "/healthz").await).await;
    assert!(health.starts_with("HTTP/1.1 200 "), "{health}");
    assert!(health.contains(&format!("\"pid\":{worker}")), "{health}");
    eventually("what the task does", async || {
        let health = answer(ask(address, "/healthz").await).await;
        health.contains("\"swept ").then_some(())
    })
    .await;

    let slow = ask(address, "/slow").await;
    eventually("the request", async || {
        let health = answer(ask(address, "/healthz").await).await;
        health.contains("answering slowly").then_some(())
    })
    .await;
    let mut events = supervisor.subscribe();
    let stopping = tokio::spawn(async move { supervisor.shutdown().await });
    event(&mut events, "service.stopping", "server").await;
    let answered = answer(slow).await;
    assert!(answered.starts_with("HTTP/1.1 200 ") && answered.contains("done"), "{answered}");
    event(&mut events, "service.stopped", "server").await;
    event(&mut events, "service.stopping", "worker").await;
    soon("the end", stopping).await.unwrap().unwrap();
    assert!(!is_alive(worker));
    assert!(TcpStream::connect(address).await.is_err());
}
