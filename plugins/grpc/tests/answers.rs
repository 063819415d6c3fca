//! What a server can say, and what becomes of it.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "../../common/mod.rs"]
mod common;

use common::noise::Noise;
use kennel_plugin::prelude::*;
use kennel_plugin::testing::{Call, Checking, problems};
use kennel_plugin_grpc::Grpc;

const CALL: &str = "POST http://127.0.0.1:50051/grpc.health.v1.Health/Check";

fn checking(config: &str) -> Checking<Grpc> {
    Checking::new(&format!("{{\"address\":\"127.0.0.1:50051\"{config}}}"))
}

/// An answer as servers give it: a body, and the status in the trailers.
fn answer(body: &[u8], code: &str) -> Response {
    Response {
        status: 200,
        headers: vec![("content-type".to_owned(), "application/grpc".to_owned())],
        body: body.to_owned(),
        latency: Duration::from_millis(2),
        ext: vec![
            ("http.version".to_owned(), "2".to_owned()),
            ("trailer:grpc-status".to_owned(), code.to_owned()),
        ],
    }
}

fn serving(status: u8) -> Response {
    answer(&[0, 0, 0, 0, 2, 8, status], "0")
}

/// An answer that has nothing but headers.
fn failed(code: &str, message: &str) -> Response {
    let header = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    Response {
        headers: vec![header("grpc-status", code), header("grpc-message", message)],
        ext: Vec::new(),
        ..answer(b"", "")
    }
}

#[track_caller]
fn check(config: &str, response: Response, status: Status, ready: bool, reason: &str) {
    let mut run = checking(config);
    run.host.on_http(CALL, response);
    let verdict = run.check();
    assert_eq!((verdict.status, verdict.reason.as_str()), (status, reason));
    let not_ready = verdict.ext.contains(&("ready".to_owned(), "false".to_owned()));
    assert_eq!(!not_ready, ready, "whether it is ready: {reason}");
}

const API: &str = ",\"service\":\"api\"";

#[test]
fn every_word_of_the_standard_has_its_verdict() {
    check("", serving(1), Status::Healthy, true, "says SERVING");
    check(API, serving(1), Status::Healthy, true, "says SERVING of \"api\"");
    check(API, serving(2), Status::Unhealthy, true, "says NOT_SERVING of \"api\"");
    let lenient = ",\"on_not_serving\":\"degraded\"";
    check(lenient, serving(2), Status::Degraded, false, "says NOT_SERVING");
    let reason = "says UNKNOWN: it has not decided yet";
    check("", serving(0), Status::Degraded, false, reason);
    check("", answer(&[0; 5], "0"), Status::Degraded, false, reason);
    check(API, serving(3), Status::Unknown, true, "the server knows no service \"api\"");
    let reason = "says 7, which is no known status";
    check("", serving(7), Status::Unhealthy, true, reason);
}

#[test]
fn a_call_that_fails_for_us_says_nothing_of_the_server() {
    let reason = "the server knows no service \"api\"";
    check(API, failed("5", "unknown service"), Status::Unknown, true, reason);
    let reason = "the server does not say how it is as a whole, set \"service\"";
    check("", failed("5", ""), Status::Unknown, true, reason);
    let reason = "the server has no health service (grpc.health.v1.Health): UNIMPLEMENTED, \
                  unknown service grpc.health.v1.Health";
    let response = failed("12", "unknown%20service grpc.health.v1.Health");
    check("", response, Status::Unknown, true, reason);
    let reason = "may not be asked, see \"metadata\": UNAUTHENTICATED, no token";
    check("", failed("16", "no token"), Status::Unknown, true, reason);
    let unauthorised = Response { status: 401, ..Response::default() };
    let reason = "may not be asked: HTTP status 401; see \"metadata\"";
    check("", unauthorised, Status::Unknown, true, reason);
}

#[test]
fn a_call_that_fails_for_the_server_counts() {
    for (code, status, ready, reason) in [
        ("4", Status::Late, true, "gives up: DEADLINE_EXCEEDED, x"),
        ("8", Status::Degraded, false, "has too much to do: RESOURCE_EXHAUSTED, x"),
        ("13", Status::Unhealthy, true, "the call failed: INTERNAL, x"),
        ("14", Status::Unhealthy, true, "the call failed: UNAVAILABLE, x"),
        ("77", Status::Unhealthy, true, "the call failed: an unknown status, x"),
    ] {
        check("", failed(code, "x"), status, ready, reason);
    }
    let trailers = answer(b"", "14");
    check("", trailers, Status::Unhealthy, true, "the call failed: UNAVAILABLE");
    let mut run = checking("");
    run.host.on_http(CALL, ProbeError::Timeout);
    assert_eq!(run.check().status, Status::Late);
    run.host.on_http(CALL, ProbeError::Connect("refused".to_owned()));
    assert_eq!(run.check().status, Status::Unhealthy);
}

#[test]
fn what_is_no_grpc_is_unhealthy() {
    for (status, reason) in [
        (200, "is no gRPC server: HTTP status 200"),
        (404, "is no gRPC server: HTTP status 404"),
        (503, "is not reached: HTTP status 503"),
    ] {
        let response = Response { status, body: b"<html>".to_vec(), ..Response::default() };
        check("", response, Status::Unhealthy, true, reason);
    }
    for (body, reason) in [
        (b"".as_slice(), "its answer is cut off"),
        (b"\x01\0\0\0\x02\x08\x01", "its answer is compressed, which was not asked for"),
        (b"<html>", "its answer is no HealthCheckResponse"),
    ] {
        check("", answer(body, "0"), Status::Unhealthy, true, reason);
    }
}

#[test]
fn the_call_is_as_the_standard_wants_it() {
    let mut run = Checking::<Grpc>::new(
        r#"{"address": "api.local:443", "service": "api", "tls": true, "ca_file": "/etc/ca.pem",
            "tls_server_name": "api.example.com", "metadata": {"authorization": "Bearer x"}}"#,
    );
    run.host.on_http("POST https://api.local:443/grpc.health.v1.Health/Check", serving(1));
    let verdict = run.check();
    assert_eq!(verdict.samples.len(), 1);
    assert_eq!((verdict.samples[0].name.as_str(), verdict.samples[0].value), ("latency", 2.0));
    let calls = run.host.calls();
    let [Call::Http(request)] = calls.as_slice() else { panic!("not one request: {calls:?}") };
    assert_eq!(request.body, b"\0\0\0\0\x05\x0a\x03api");
    let pair = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
    for header in [
        ("content-type", "application/grpc"),
        ("te", "trailers"),
        ("grpc-timeout", "5000m"),
        ("authorization", "Bearer x"),
    ] {
        assert!(request.headers.contains(&pair(header)), "{header:?}");
    }
    for option in [
        ("http.version", "2"),
        ("tls.ca-file", "/etc/ca.pem"),
        ("tls.server-name", "api.example.com"),
    ] {
        assert!(request.ext.contains(&pair(option)), "{option:?}");
    }
}

#[test]
fn no_answer_breaks_the_check() {
    for seed in 0..4000 {
        let mut noise = Noise::new(seed);
        let body = if noise.below(3) == 0 {
            noise.bytes(40)
        } else {
            let status = noise.next() as u8 % 5;
            noise.spoil(&[0, 0, 0, 0, 2, 8, status])
        };
        let code = String::from_utf8_lossy(&noise.bytes(3)).into_owned();
        let response = match noise.below(3) {
            0 => answer(&body, "0"),
            1 => answer(&body, &code),
            _ => failed(&code, &String::from_utf8_lossy(&body)),
        };
        let mut run = checking(noise.one_of(&["", API]));
        run.host.on_http(CALL, response);
        assert!(!run.check().reason.is_empty());
    }
}

#[test]
fn every_problem_of_a_configuration_is_told_at_its_place() {
    for (config, expected) in [
        (r#"{"address": "/run/grpc.sock"}"#, "address"),
        (r#"{"address": "a:1", "ca_file": "/x"}"#, "ca_file"),
        (r#"{"address": "a:1", "tls_server_name": "x"}"#, "tls_server_name"),
        (r#"{"address": "a:1", "metadata": {"Authorization": "x"}}"#, "metadata.Authorization"),
        (r#"{"address": "a:1", "metadata": {"te": "x"}}"#, "metadata.te"),
        (r#"{"address": "a:1", "metadata": {"grpc-timeout": "x"}}"#, "metadata.grpc-timeout"),
        (r#"{"address": "a:1", "metadata": {"x": "a\nb"}}"#, "metadata.x"),
    ] {
        let problems = problems(Grpc::new, config);
        assert_eq!(problems.iter().map(|p| p.path.as_str()).collect::<Vec<_>>(), [expected]);
    }
    for refused in ["{}", r#"{"address": "a"}"#, r#"{"address": "a:1", "servise": "x"}"#] {
        assert!(!problems(Grpc::new, refused).is_empty(), "{refused}");
    }
}
