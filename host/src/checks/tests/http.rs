//! Requests over plain HTTP/1.1 and HTTP/2.

use std::convert::Infallible;

use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper::{HeaderMap, Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use kennel_wasm::Grants;
use kennel_wasm::grants::Origin;
use kennel_wasm::probe::HttpRequest;
use tokio::net::TcpListener;

use super::super::{AllowAll, Deadline, ProbeError, Stage, http};
use super::support::{LONGER, SHORT, Then, ask, get, get_with, needs, nginx, says, soon, value};

const ECHO: &str = "server { listen 127.0.0.1:{port};
    location /health { add_header X-Kind echo; return 200 fine; }
    location /down { return 503 'not now'; }
    location /echo { return 200 '$request_method $request_uri $http_host $http_x_one $http_accept $http_user_agent'; }
    location /length { return 200 '$content_length $http_connection'; }
    }";

#[tokio::test]
async fn an_answer_has_status_headers_body_and_latency() {
    if needs("nginx") {
        return;
    }
    let server = nginx(&[("file", &[b'x'; 300])], ECHO);
    let answer = ask(get(&server.url("/health"))).await.unwrap();
    assert_eq!((answer.status, &*answer.body), (200, &b"fine"[..]));
    assert_eq!(value(&answer.headers, "x-kind"), Some("echo"));
    assert_eq!(answer.ext, [("http.version".to_owned(), "1.1".to_owned())]);
    assert!(!answer.latency.is_zero());
    // A status that says something is wrong is an answer like any other.
    let answer = ask(get(&server.url("/down"))).await.unwrap();
    assert_eq!((answer.status, &*answer.body), (503, &b"not now"[..]));
    assert_eq!(ask(get(&server.url("/nothing"))).await.unwrap().status, 404);
    let head = HttpRequest { method: "HEAD".into(), ..get(&server.url("/file")) };
    let answer = ask(head).await.unwrap();
    assert_eq!((answer.status, answer.body.len()), (200, 0));
    assert_eq!(value(&answer.headers, "content-length"), Some("300"));
    assert_eq!(value(&answer.ext, "http.truncated"), None, "a HEAD has all there is");
}

#[tokio::test]
async fn a_request_is_sent_as_it_was_asked_for() {
    if needs("nginx") {
        return;
    }
    let server = nginx(&[], ECHO);
    let request = HttpRequest {
        method: "PUT".into(),
        headers: vec![("X-One".into(), "1".into()), ("Connection".into(), "keep-alive".into())],
        body: b"body".to_vec(),
        ..get(&server.url("/echo?a=b%20c#part"))
    };
    let answer = ask(request).await.unwrap();
    let version = env!("CARGO_PKG_VERSION");
    let expected = format!("PUT /echo?a=b%20c {} 1 */* kennel/{version}", server.authority());
    assert_eq!(String::from_utf8_lossy(&answer.body), expected);
    let request = HttpRequest { body: b"12345".to_vec(), ..get(&server.url("/length")) };
    assert_eq!(ask(request).await.unwrap().body, b"5 close");
}

#[tokio::test]
async fn nothing_in_a_request_changes_its_shape() {
    let url = "http://127.0.0.1:9/";
    let header = |name: &str, value: &str| HttpRequest {
        headers: vec![(name.into(), value.into())],
        ..get(url)
    };
    let method = |method: &str| HttpRequest { method: method.into(), ..get(url) };
    for (request, why) in [
        (header("x", "1\r\nhost: evil"), "header \"x\": the value is not allowed"),
        (header("x y", "1"), "header \"x y\": the name is not allowed"),
        (header("x\r\nhost", "1"), "header \"x\\r\\nhost\": the name is not allowed"),
        (
            header("content-length", "7"),
            "header \"content-length\": it is not the length of the body",
        ),
        (header("transfer-encoding", "chunked"), "header \"transfer-encoding\": it cannot be sent"),
        (header("upgrade", "websocket"), "header \"upgrade\": it cannot be sent"),
        (header("te", "gzip"), "header \"te\": only \"trailers\" can be had"),
        (method("GET / HTTP/1.1\r\n"), "\"GET / HTTP/1.1\\r\\n\" is no method"),
        (method("CONNECT"), "\"CONNECT\" is no method"),
        (
            get("http://a b/"),
            "\"http://a b/\" is no URL for a request: a character in it is not allowed, or its port is no number",
        ),
        (
            get_with(url, &[("http.version", "3")]),
            "HTTP version \"3\" is neither \"1.1\" nor \"2\"",
        ),
        (
            get_with(url, &[("http.redirects", "21")]),
            "http.redirects \"21\" is not a number up to 20",
        ),
        (
            get_with(url, &[("tls.ca-file", "ca.pem")]),
            "cannot use the CA file \"ca.pem\": not absolute",
        ),
    ] {
        assert_eq!(ask(request).await, Err(ProbeError::Invalid(why.into())));
    }
}

#[tokio::test]
async fn a_body_is_kept_as_far_as_was_agreed() {
    if needs("nginx") {
        return;
    }
    let (two_mib, six_mib) = (vec![b'2'; 2 << 20], vec![b'6'; 6 << 20]);
    let whole = vec![b'1'; 1 << 20];
    let files: &[(&str, &[u8])] = &[("1", &whole), ("2", &two_mib), ("6", &six_mib), ("0", b"")];
    let server = nginx(files, "server { listen 127.0.0.1:{port}; }");
    let keep = |path: &str, max_body| HttpRequest { max_body, ..get(&server.url(path)) };
    for (path, max_body, bytes, is_cut) in [
        ("/1", None, Some(1 << 20), false),
        ("/2", None, None, false),
        ("/2", Some(10), Some(10), true),
        ("/2", Some(2 << 20), Some(2 << 20), false),
        ("/2", Some(u32::MAX), Some(2 << 20), false),
        ("/6", Some(u32::MAX), Some(4 << 20), true),
        ("/2", Some(0), Some(0), true),
        ("/0", Some(0), Some(0), false),
        ("/0", None, Some(0), false),
    ] {
        let answer = ask(keep(path, max_body)).await;
        let Some(bytes) = bytes else {
            let to = server.authority();
            assert_eq!(answer, Err(ProbeError::TooLarge { to, max: 1 << 20 }));
            continue;
        };
        let answer = answer.unwrap();
        assert_eq!(answer.body.len(), bytes, "{path} with {max_body:?}");
        let told = value(&answer.ext, "http.truncated");
        assert_eq!(told, is_cut.then_some("true"), "{path} with {max_body:?}");
    }
}

#[tokio::test]
async fn what_is_no_proper_answer_is_told_as_what_it_is() {
    const LONG: &str = match std::str::from_utf8(&[b'x'; 300 * 1024]) {
        Ok(text) => text,
        Err(_) => "",
    };
    const OK: &str = "HTTP/1.1 200 OK\r\n";
    let table: &[(&[&str], Then, &str)] = &[
        (&["SSH-2.0-OpenSSH_9.2\r\n"], Then::Closes, "it is no HTTP: invalid HTTP version parsed"),
        (&[], Then::Closes, "the connection was closed before the answer was complete"),
        (&["HTTP/1.1 2"], Then::Closes, "the connection was closed before the answer was complete"),
        (
            &[OK, "content-length: 10\r\n\r\nhalf"],
            Then::Closes,
            "the connection was closed before the answer was complete",
        ),
        (
            &[OK, "content-length: x\r\n\r\n"],
            Then::Closes,
            "it is no HTTP: invalid content-length parsed",
        ),
        (&[OK, "transfer-encoding: chunked\r\n\r\nzz\r\n"], Then::Closes, "it is no HTTP"),
    ];
    for (pieces, then, why) in table {
        let server = says(pieces, *then).await;
        match ask(get(&server.url())).await {
            Err(ProbeError::Protocol { to, reason }) => {
                assert_eq!(to, server.address.to_string());
                assert!(reason.starts_with(why), "{reason:?} instead of {why:?}");
            }
            other => panic!("{why}: {other:?}"),
        }
    }
    let server = says(&[], Then::Resets).await;
    let error = ask(get(&server.url())).await.unwrap_err();
    let reset = format!("connection to {} broken by the other side", server.address);
    assert_eq!(error.to_string(), reset);
    let endless: &[&str] = &[OK, LONG];
    let server = says(endless, Then::IsSilent).await;
    assert!(matches!(ask(get(&server.url())).await, Err(ProbeError::TooLarge { .. })));
}

#[tokio::test]
async fn answers_of_old_and_unusual_servers_are_understood() {
    let table: &[(&[&str], &str)] = &[
        (&["HTTP/1.0 200 OK\r\n\r\nto the end"], "to the end"),
        (
            &["HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n", "0\r\n\r\n"],
            "abc",
        ),
        (
            &["HTTP/1.1 100 Continue\r\n\r\n", "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"],
            "ok",
        ),
        (&["HTTP/1.1 200\r\ncontent-length: 2\r\n\r\nok and more than there should be"], "ok"),
        (&["HTTP/1.1 204 No Content\r\n\r\n"], ""),
    ];
    for (pieces, body) in table {
        let server = says(pieces, Then::Closes).await;
        let answer = ask(get(&server.url())).await.unwrap();
        assert_eq!(String::from_utf8_lossy(&answer.body), *body);
    }
    let pieces: &[&str] = &[
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntrailer: grade\r\n\r\n",
        "0\r\ngrade: A\r\n\r\n",
    ];
    let server = says(pieces, Then::IsSilent).await;
    let answer = ask(get(&server.url())).await.unwrap();
    assert_eq!(value(&answer.ext, "trailer:grade"), Some("A"));
}

#[tokio::test]
async fn a_server_that_is_slow_is_late_with_what_was_waited_for() {
    for (pieces, stage) in [
        (&[] as &[&str], Stage::Answer),
        (&["HTTP/1.1 200 OK\r\n"], Stage::Answer),
        (&["HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf"], Stage::Body),
    ] {
        let server = says(pieces, Then::IsSilent).await;
        let to = server.address.to_string();
        let within = if stage == Stage::Body { LONGER } else { SHORT };
        let late = http(get(&server.url()), &AllowAll, Deadline::after(within)).await;
        assert_eq!(late, Err(ProbeError::Late { stage, to: to.clone(), within }));
        // The request's own timeout shortens the deadline.
        let request = HttpRequest { timeout: Some(within), ..get(&server.url()) };
        let late = http(request, &AllowAll, soon()).await;
        assert_eq!(late, Err(ProbeError::Late { stage, to, within }));
    }
    // Without the body, what never ends is an answer all the same.
    let server = says(&["HTTP/1.1 200 OK\r\n\r\n", "and so on"], Then::IsSilent).await;
    let request = HttpRequest { max_body: Some(0), ..get(&server.url()) };
    let answer = ask(request).await.unwrap();
    assert_eq!((answer.status, value(&answer.ext, "http.truncated")), (200, Some("true")));
}

#[tokio::test]
async fn a_plugin_asks_only_the_hosts_that_it_was_granted() {
    if needs("nginx") {
        return;
    }
    let server = nginx(&[], ECHO);
    let origin = |text: &str| Origin::parse(text).unwrap();
    let own = format!("http://{}", server.authority());
    let grants = Grants { http: vec![origin(&own)], ..Grants::default() };
    assert_eq!(http(get(&server.url("/down")), &grants, soon()).await.unwrap().status, 503);
    let denied = |error: ProbeError| match error {
        ProbeError::Denied(denied) => denied.grant,
        other => panic!("{other}"),
    };
    let by_name = format!("http://localhost:{}/", server.port);
    let error = http(get(&by_name), &grants, soon()).await.unwrap_err();
    assert_eq!(denied(error), format!("http: [\"http://localhost:{}\"]", server.port));
    let error = http(get("http://example.com/"), &grants, soon()).await.unwrap_err();
    assert_eq!(denied(error), "http: [\"http://example.com\"]");
    // The header decides which site of a server is asked.
    let other_site = |host: &str| HttpRequest {
        headers: vec![("Host".into(), host.into())],
        ..get(&server.url("/echo"))
    };
    let error = http(other_site("other.example"), &grants, soon()).await.unwrap_err();
    assert_eq!(denied(error), "http: [\"http://other.example\"]");
    let both = Grants { http: vec![origin(&own), origin("http://other.example")], ..grants };
    let answer = http(other_site("other.example"), &both, soon()).await.unwrap();
    assert!(String::from_utf8_lossy(&answer.body).contains(" other.example "));
}

#[tokio::test]
async fn http_2_without_tls_is_spoken_where_it_is_asked_for() {
    if needs("nginx") {
        return;
    }
    let server = nginx(&[], &ECHO.replace("{port};", "{port} http2;"));
    let answer = ask(get_with(&server.url("/health"), &[("http.version", "2")])).await.unwrap();
    assert_eq!((answer.status, &*answer.body), (200, &b"fine"[..]));
    assert_eq!(value(&answer.ext, "http.version"), Some("2"));
    let request = HttpRequest {
        headers: vec![("x-one".into(), "1".into()), ("te".into(), "trailers".into())],
        ..get_with(&server.url("/echo"), &[("http.version", "2")])
    };
    let answer = ask(request).await.unwrap();
    let expected = format!("GET /echo {} 1 */*", server.authority());
    assert!(String::from_utf8_lossy(&answer.body).starts_with(&expected));
    // A server that does not know it.
    let plain = nginx(&[], ECHO);
    let error = ask(get_with(&plain.url("/health"), &[("http.version", "2")])).await.unwrap_err();
    match error {
        ProbeError::Protocol { to, reason } => {
            assert_eq!(to, plain.authority());
            assert!(reason.starts_with("HTTP/2 failed"), "{reason}");
        }
        other => panic!("{other:?}"),
    }
}

/// As a gRPC server: a message, and how it went in the trailers.
async fn grpc(
    request: Request<Incoming>,
) -> Result<Response<impl hyper::body::Body<Data = Bytes, Error = Infallible>>, Infallible> {
    assert_eq!(request.headers()["te"], "trailers");
    let (path, sent) = (request.uri().path().to_owned(), request.into_body().collect().await);
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", "0".parse().unwrap());
    trailers.insert("grpc-message", path.parse().unwrap());
    let body = Full::new(sent.unwrap().to_bytes());
    Ok(Response::new(body.with_trailers(async move { Some(Ok(trailers)) })))
}

#[tokio::test]
async fn trailers_of_grpc_are_handed_over() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let serving = tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let settings = http2::Builder::new(TokioExecutor::new());
            tokio::spawn(settings.serve_connection(TokioIo::new(stream), service_fn(grpc)));
        }
    });
    let request = HttpRequest {
        method: "POST".into(),
        headers: vec![
            ("content-type".into(), "application/grpc".into()),
            ("te".into(), "trailers".into()),
        ],
        body: b"\0\0\0\0\0".to_vec(),
        ..get_with(
            &format!("http://{address}/grpc.health.v1.Health/Check"),
            &[("http.version", "2")],
        )
    };
    let answer = ask(request).await.unwrap();
    assert_eq!(answer.body, b"\0\0\0\0\0");
    assert_eq!(value(&answer.ext, "trailer:grpc-status"), Some("0"));
    let path = value(&answer.ext, "trailer:grpc-message");
    assert_eq!(path, Some("/grpc.health.v1.Health/Check"));
    serving.abort();
}

#[tokio::test]
async fn an_http_2_probe_that_is_cut_off_leaves_no_connection() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let probe = http(get_with(&url, &[("http.version", "2")]), &AllowAll, Deadline::after(SHORT));
    let (late, accepted) = tokio::join!(probe, listener.accept());
    assert!(matches!(late, Err(ProbeError::Late { .. })), "{late:?}");
    // The server, which said nothing, sees the end.
    let (mut stream, _) = accepted.unwrap();
    let mut sent = Vec::new();
    let end = tokio::io::AsyncReadExt::read_to_end(&mut stream, &mut sent);
    let _ = tokio::time::timeout(super::support::BOUND, end).await.expect("an end");
    assert!(sent.starts_with(b"PRI * HTTP/2.0"));
}
