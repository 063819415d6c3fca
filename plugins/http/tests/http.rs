//! The check `http`: what is asked, and what becomes of the answers.

use std::time::Duration;

use kennel_plugin::testing::{Call, Checking, problems};
use kennel_plugin::{HealthCheck as _, ProbeError, Response, Status, Verdict};
use kennel_plugin_http::Http;

const URL: &str = "http://127.0.0.1:8080/health";

fn answer(status: u16, body: &str) -> Response {
    Response {
        status,
        body: body.into(),
        headers: vec![("Content-Type".into(), "application/json; charset=utf-8".into())],
        latency: Duration::from_millis(12),
        ..Response::default()
    }
}

/// A check with `rest` beside the URL, and what it makes of this answer.
fn verdict(rest: &str, answer: Response) -> Verdict {
    let mut run = Checking::<Http>::new(&format!(r#"{{ "url": "{URL}" {rest} }}"#));
    run.host.on_http(&format!("GET {URL}"), answer);
    run.check()
}

/// Rest of the configuration, answer, status and reason.
#[track_caller]
fn check(rest: &str, answer: Response, status: Status, reason: &str) {
    let verdict = verdict(rest, answer);
    assert_eq!((verdict.status, verdict.reason.as_str()), (status, reason), "{rest}");
}

#[test]
fn the_status_decides_where_nothing_else_is_said() {
    let healthy = "GET http://127.0.0.1:8080/health: 200 OK after 12 ms";
    check("", answer(200, ""), Status::Healthy, healthy);
    let moved = "GET http://127.0.0.1:8080/health: 302 Found after 12 ms";
    check("", answer(302, ""), Status::Healthy, moved);
    let reason = "GET http://127.0.0.1:8080/health: 503 Service Unavailable, expected 200-399";
    check("", answer(503, ""), Status::Unhealthy, reason);
    let expect = r#", "expect": { "status": [204, "5xx"] }"#;
    let reason = "GET http://127.0.0.1:8080/health: 200 OK, expected 204 or 500-599";
    check(expect, answer(200, ""), Status::Unhealthy, reason);
    assert_eq!(verdict(expect, answer(503, "")).status, Status::Healthy);
    assert_eq!(verdict(expect, answer(204, "")).status, Status::Healthy);
}

#[test]
fn errors_say_what_they_say_of_the_service() {
    let mut run = Checking::<Http>::new(&format!(r#"{{ "url": "{URL}" }}"#));
    for (error, status) in [
        (ProbeError::Connect("refused".into()), Status::Unhealthy),
        (ProbeError::Tls("the certificate expired".into()), Status::Unhealthy),
        (ProbeError::Protocol("not HTTP".into()), Status::Unhealthy),
        (ProbeError::Timeout, Status::Late),
        (ProbeError::Denied("http: [\"http://127.0.0.1:8080\"]".into()), Status::Unknown),
        (ProbeError::Dns("no such host".into()), Status::Unknown),
    ] {
        run.host.on_http(&format!("GET {URL}"), error.clone());
        assert_eq!(run.check().status, status, "{error}");
    }
}

#[test]
fn what_is_sent_is_what_is_configured() {
    let config = r#"{
        "url": "https://localhost:8443/q?token=hunter2",
        "method": "POST", "headers": { "x-id": 7 }, "body": "ping",
        "timeout": "2s", "redirects": 3, "max_body": "1KiB",
        "tls": { "ca_file": "/ca.pem", "server_name": "web" },
        "expect": { "contains": "pong" }
    }"#;
    let mut run = Checking::<Http>::new(config);
    run.host.on_http("POST https://localhost:8443/q?token=hunter2", answer(200, "ping"));
    let verdict = run.check();
    assert_eq!(
        verdict.reason,
        "POST https://localhost:8443/q: the body does not contain \"pong\": \"ping\""
    );
    let [Call::Http(request)] = &run.host.calls()[..] else { panic!("one request") };
    assert_eq!(request.body, b"ping");
    assert_eq!(request.headers, [("x-id".to_owned(), "7".to_owned())]);
    assert_eq!(request.timeout, Some(Duration::from_secs(2)));
    assert_eq!(request.max_body, Some(1024));
    let ext = [("http.redirects", "3"), ("tls.ca-file", "/ca.pem"), ("tls.server-name", "web")];
    assert_eq!(request.ext, ext.map(|(key, value)| (key.to_owned(), value.to_owned())));
}

#[test]
fn a_body_that_nobody_looks_at_is_not_read() {
    let mut run = Checking::<Http>::new(&format!(r#"{{ "url": "{URL}" }}"#));
    run.host.on_http(&format!("GET {URL}"), answer(200, ""));
    run.check();
    let [Call::Http(request)] = &run.host.calls()[..] else { panic!("one request") };
    assert_eq!(request.max_body, Some(0));
}

#[test]
fn headers_contain_what_is_expected() {
    let expect = r#", "expect": { "headers": { "content-type": "application/JSON" } }"#;
    assert_eq!(verdict(expect, answer(200, "")).status, Status::Healthy);
    let expect = r#", "expect": { "headers": { "content-type": "html", "x-id": "" } }"#;
    let reason = "GET http://127.0.0.1:8080/health: \
                  header content-type is \"application/json; charset=utf-8\", without \"html\"; \
                  there is no header x-id";
    check(expect, answer(200, ""), Status::Unhealthy, reason);
}

#[test]
fn texts_and_patterns_are_looked_for_in_the_body() {
    let expect = r#", "expect": {
        "contains": ["ready", "up"], "lacks": "error", "matches": "up for [0-9]+ s" }"#;
    assert_eq!(verdict(expect, answer(200, "ready, up for 12 s")).status, Status::Healthy);
    let reason = "GET http://127.0.0.1:8080/health: \
                  the body does not contain \"ready\": \"up: error\"; \
                  the body contains \"error\"; \
                  the body does not match \"up for [0-9]+ s\": \"up: error\"";
    check(expect, answer(200, "up: error"), Status::Unhealthy, reason);
    let mut cut = answer(200, "read");
    cut.ext.push(("http.truncated".into(), "true".into()));
    let reason = verdict(r#", "expect": { "contains": "ready" }"#, cut).reason;
    assert!(reason.ends_with("the first part of the body does not contain \"ready\": \"read\""));
}

const JSON: &str = r#", "expect": { "json": [
    { "path": "status", "one_of": ["ok", "starting"] },
    { "path": "/db/0/connected", "equals": true },
    { "path": "queue.length", "at_most": 100, "at_least": 0.5, "otherwise": "degraded",
      "sample": "queue_length" },
    { "path": "errors[0]", "exists": false },
    { "path": "version", "sample": "version" }
] }"#;

#[test]
fn values_of_a_json_body_are_compared_and_exported() {
    let body = r#"{"status": "ok", "db": [{"connected": true}], "queue": {"length": 12.5},
                   "errors": [], "version": 3}"#;
    let verdict = verdict(JSON, answer(200, body));
    assert_eq!(verdict.status, Status::Healthy, "{}", verdict.reason);
    let samples: Vec<_> = verdict.samples.iter().map(|s| (s.name.as_str(), s.value)).collect();
    assert_eq!(samples, [("latency", 12.0), ("queue_length", 12.5), ("version", 3.0)]);
}

#[test]
fn the_worst_of_what_is_wrong_is_said() {
    let body = r#"{"status": "ok", "db": [{"connected": 1}], "queue": {"length": 101},
                   "errors": ["disk"]}"#;
    let reason = "GET http://127.0.0.1:8080/health: /db/0/connected is 1, expected true; \
                  errors[0] is \"disk\", expected none";
    check(JSON, answer(200, body), Status::Unhealthy, reason);
    let body = r#"{"status": "starting", "db": [{"connected": true}], "queue": {"length": 0}}"#;
    let reason = "GET http://127.0.0.1:8080/health: queue.length is 0, expected 0.5 or more";
    check(JSON, answer(200, body), Status::Degraded, reason);
    let reason = "GET http://127.0.0.1:8080/health: the body is not JSON: \
                  expected value at line 1 column 1: \"oops\"";
    check(JSON, answer(200, "oops"), Status::Unhealthy, reason);
    let reason = "GET http://127.0.0.1:8080/health: 500 Internal Server Error, expected 200-399";
    check(JSON, answer(500, "oops"), Status::Unhealthy, reason);
}

#[test]
fn numbers_are_equal_however_they_are_written() {
    let rule = r#", "expect": { "json": [{ "path": "$", "equals": 1.0 }] }"#;
    assert_eq!(verdict(rule, answer(200, "1")).status, Status::Healthy);
    assert_eq!(verdict(rule, answer(200, "1e0")).status, Status::Healthy);
    assert_eq!(verdict(rule, answer(200, "\"1\"")).status, Status::Unhealthy);
    let rule = r#", "expect": { "json": [{ "path": "a", "one_of": [null] }] }"#;
    assert_eq!(verdict(rule, answer(200, r#"{"a": null}"#)).status, Status::Healthy);
    assert_eq!(verdict(rule, answer(200, "{}")).status, Status::Unhealthy);
}

#[test]
fn a_slow_answer_is_degraded() {
    let reason = "GET http://127.0.0.1:8080/health: it took 12 ms";
    check(r#", "slow": "12ms""#, answer(200, ""), Status::Degraded, reason);
    assert_eq!(verdict(r#", "slow": "13ms""#, answer(200, "")).status, Status::Healthy);
}

#[test]
fn a_certificate_is_degraded_before_it_expires_and_unhealthy_after_it() {
    let config = r#"{ "url": "https://localhost/", "certificate": { "degraded_below": "14d" } }"#;
    let mut run = Checking::<Http>::new(config);
    let now_s = run.input.now_unix_ms / 1000;
    let day = 86_400;
    for (left, status, reason) in [
        (14 * day, Status::Healthy, "200 OK after 12 ms"),
        (14 * day - 1, Status::Degraded, "the certificate expires in 13 days"),
        (3600, Status::Degraded, "the certificate expires in 1 hour"),
        (0, Status::Unhealthy, "the certificate expired 0 hours ago"),
        (-3 * day, Status::Unhealthy, "the certificate expired 3 days ago"),
    ] {
        let mut answer = answer(200, "");
        let end = now_s.checked_add_signed(left).unwrap();
        answer.ext.push(("tls.not-after-unix-s".into(), end.to_string()));
        run.host.on_http("GET https://localhost/", answer);
        let verdict = run.check();
        assert_eq!(verdict.status, status, "{left}");
        assert_eq!(verdict.reason, format!("GET https://localhost/: {reason}"));
        let sample = verdict.samples.iter().find(|s| s.name == "certificate_left");
        assert_eq!(sample.unwrap().value, left as f64);
    }
}

#[test]
fn every_problem_of_a_configuration_is_named() {
    let config = r#"{
        "url": "ftp://x", "method": "get", "redirects": 11, "max_body": "2MiB",
        "tls": { "ca_file": "ca.pem" }, "headers": { "a b": "c" },
        "certificate": { "degraded_below": "14d" },
        "expect": {
            "status": ["ok", 200], "matches": "(", "headers": { "": "x" },
            "json": [{ "path": "a..b", "equals": 1 }, { "path": "a" }, { "path": "a", "sample": "a b" }]
        }
    }"#;
    let found = problems(Http::new, config);
    let paths: Vec<&str> = found.iter().map(|problem| problem.path.as_str()).collect();
    let expected = [
        "url",
        "method",
        "redirects",
        "tls.ca_file",
        "headers.a b",
        "expect.headers.",
        "expect.status[0]",
        "expect.matches",
        "expect.json[0].path",
        "expect.json[1]",
        "expect.json[2].sample",
        "max_body",
        "certificate.degraded_below",
    ];
    assert_eq!(paths, expected, "{found:#?}");
    assert!(problems(Http::new, &format!(r#"{{ "url": "{URL}" }}"#)).is_empty());
    let head = format!(r#"{{ "url": "{URL}", "method": "HEAD", "expect": {{ "lacks": "x" }} }}"#);
    assert_eq!(problems(Http::new, &head)[0].path, "method");
}
