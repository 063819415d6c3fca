//! Clients that mean no good, or know no better.

use std::time::Instant;

use tokio::io::Interest;

use super::*;

/// A call must not take longer, whatever others do.
const PROMPT: Duration = Duration::from_secs(1);

/// A status call works, and soon.
async fn is_prompt(fixture: &Fixture) {
    let began = Instant::now();
    let status = tokio::time::timeout(PROMPT, fixture.client.status(&[])).await;
    status.expect("a status call takes too long").unwrap();
    assert!(began.elapsed() < PROMPT);
}

/// Waits until the server closes the connection.
async fn is_closed(stream: &mut UnixStream) -> String {
    let mut rest = Vec::new();
    // A reset is a close too.
    let _ = tokio::time::timeout(SOON, stream.read_to_end(&mut rest)).await.expect("it stays open");
    String::from_utf8_lossy(&rest).into_owned()
}

#[tokio::test]
async fn a_thousand_connections_that_send_nothing_keep_nobody_out() {
    let fixture = Fixture::start();
    let mut silent = Vec::new();
    for round in 0..1000 {
        match UnixStream::connect(fixture.socket()).await {
            Ok(stream) => silent.push(stream),
            // The queue is full for a moment; that is as good as connected.
            Err(_) => tokio::task::yield_now().await,
        }
        if round % 250 == 0 {
            is_prompt(&fixture).await;
        }
    }
    is_prompt(&fixture).await;
    assert!(silent.len() > 256);
    // The first ones had to go.
    is_closed(&mut silent[0]).await;
}

#[tokio::test]
async fn requests_at_work_are_not_pushed_out_by_idle_connections() {
    let bounds = Bounds { connections: 4, ..Bounds::default() };
    let fixture = Fixture::with(bounds, JournalOptions::default());
    let client = fixture.client.clone();
    let services = ["worker".to_owned()];
    let slow = async {
        client.act(crate::Verb::Start, &services, Wait::UpTo(Duration::from_millis(500))).await
    };
    let flood = async {
        let mut silent = Vec::new();
        for _ in 0..50 {
            silent.push(UnixStream::connect(fixture.socket()).await.unwrap());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        is_prompt(&fixture).await;
    };
    let (outcomes, ()) = tokio::join!(slow, flood);
    outcomes.unwrap();
}

#[tokio::test]
async fn half_a_request_is_given_up_and_so_is_an_idle_connection() {
    let bounds = Bounds { header: Duration::from_millis(200), ..Bounds::default() };
    let fixture = Fixture::with(bounds, JournalOptions::default());
    let mut half = UnixStream::connect(fixture.socket()).await.unwrap();
    half.write_all(b"GET /v1/status HTTP/1.1\r\nho").await.unwrap();
    let mut idle = UnixStream::connect(fixture.socket()).await.unwrap();
    idle.write_all(b"GET /livez HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    is_closed(&mut half).await;
    let answer = is_closed(&mut idle).await;
    assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
    is_prompt(&fixture).await;
}

#[tokio::test]
async fn endless_headers_are_refused_before_they_take_memory() {
    let fixture = Fixture::start();
    let mut stream = UnixStream::connect(fixture.socket()).await.unwrap();
    stream.write_all(b"GET /v1/status HTTP/1.1\r\nx: ").await.unwrap();
    let chunk = vec![b'x'; 64 * 1024];
    let mut sent = 0;
    // 10 MB, if the server took them.
    while sent < 10_000_000 {
        match stream.write(&chunk).await {
            Ok(count) => sent += count,
            Err(_) => break,
        }
    }
    assert!(sent < 2_000_000, "{sent} bytes of header were taken");
    is_prompt(&fixture).await;
    let many = "x: y\r\n".repeat(100);
    let answer = fixture.raw(&format!("GET /livez HTTP/1.1\r\nhost: x\r\n{many}\r\n")).await;
    assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
}

#[tokio::test]
async fn large_bodies_and_what_is_no_http_are_refused() {
    let fixture = Fixture::start();
    let head = "POST /v1/reload HTTP/1.1\r\nhost: x\r\nconnection: close\r\n";
    let answer = fixture.raw(&format!("{head}content-length: 9999999\r\n\r\nxxx")).await;
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    let answer = fixture.raw("\x16\x03\x01 hello\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    let long = "x".repeat(5000);
    let (code, body) = fixture.ask("GET", &format!("/v1/services/{long}%1b%5b31m")).await;
    assert_eq!(code, 404);
    assert!(body.len() < 300 && !body.contains('\x1b'), "{body}");
    is_prompt(&fixture).await;
}

#[tokio::test]
async fn a_client_that_never_reads_is_dropped() {
    let bounds = Bounds { write: Duration::from_millis(300), ..Bounds::default() };
    let fixture = Fixture::with(bounds, JournalOptions::default());
    for _ in 0..20_000 {
        fixture.happens("service.started", "web/0");
    }
    let mut greedy = UnixStream::connect(fixture.socket()).await.unwrap();
    greedy.write_all(b"GET /v1/events?since=0 HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    is_prompt(&fixture).await;
    // Closed by the server while its answer, megabytes of it, was not read.
    let closed = greedy.ready(Interest::ERROR | Interest::READABLE);
    tokio::time::timeout(SOON, closed).await.unwrap().unwrap();
    tokio::time::sleep(bounds.write * 2).await;
    let rest = is_closed(&mut greedy).await;
    assert!(rest.len() < 2_000_000, "{} bytes were sent", rest.len());
    is_prompt(&fixture).await;
}

#[tokio::test]
async fn followers_have_places_of_their_own() {
    let fixture = Fixture::start();
    let mut followers = Vec::new();
    for _ in 0..128 {
        let query = crate::api::client::EventQuery {
            follow: true,
            ..crate::api::client::EventQuery::default()
        };
        followers.push(fixture.client.events(&query).await.unwrap());
    }
    let (code, body) = fixture.ask("GET", "/v1/events").await;
    assert_eq!(code, 503, "{body}");
    is_prompt(&fixture).await;
    drop(followers);
    let again = async { while fixture.ask("GET", "/v1/events?follow=false").await.0 != 200 {} };
    tokio::time::timeout(SOON, again).await.unwrap();
}

#[tokio::test]
async fn waiting_requests_have_places_of_their_own() {
    let fixture = Fixture::start();
    let mut waiting = Vec::new();
    for _ in 0..64 {
        let mut stream = UnixStream::connect(fixture.socket()).await.unwrap();
        let request = "POST /v1/services/worker/start?timeout=1h HTTP/1.1\r\nhost: x\r\n\r\n";
        stream.write_all(request.as_bytes()).await.unwrap();
        waiting.push(stream);
    }
    let refused = async {
        while fixture.ask("POST", "/v1/services/worker/start?timeout=1ms").await.0 != 503 {}
    };
    tokio::time::timeout(SOON, refused).await.unwrap();
    assert_eq!(fixture.ask("POST", "/v1/services/worker/start?wait=false").await.0, 200);
    is_prompt(&fixture).await;
    // Who goes away waits no longer.
    drop(waiting);
    let again = async {
        while fixture.ask("POST", "/v1/services/worker/start?timeout=1ms").await.0 != 200 {}
    };
    tokio::time::timeout(SOON, again).await.unwrap();
}
