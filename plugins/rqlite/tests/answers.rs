//! What a node can say, and what becomes of it.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "../../common/mod.rs"]
mod common;

use common::noise::Noise;
use kennel_plugin::prelude::*;
use kennel_plugin::testing::{Call, Checking, problems};
use kennel_plugin_rqlite::Rqlite;
use kennel_plugin_rqlite::readyz::{self, Readiness};

const READYZ: &str = "GET http://127.0.0.1:4001/readyz?timeout=2500ms";
const STATUS: &str = "GET http://127.0.0.1:4001/status";

const READY: &str = "[+]node ok\n[+]leader ok\n[+]store ok";

fn checking(config: &str) -> Checking<Rqlite> {
    Checking::new(&format!("{{\"url\":\"http://127.0.0.1:4001\"{config}}}"))
}

fn response(status: u16, body: impl Into<Vec<u8>>) -> Response {
    let latency = Duration::from_millis(3);
    Response { status, body: body.into(), latency, ..Response::default() }
}

fn status_of(state: &str) -> Response {
    let text = format!(
        r#"{{"store": {{"leader": {{"addr": "10.0.0.1:4002"}}, "nodes": [{{}}, {{}}, {{}}],
            "sqlite3": {{"db_size": 8192}},
            "raft": {{"state": "{state}", "commit_index": 9, "applied_index": 7, "term": 2}}}}}}"#
    );
    response(200, text)
}

/// The verdict on these two answers.
fn verdict(config: &str, readyz: Response, status: Response) -> Verdict {
    let mut run = checking(config);
    let path = if config.contains("sync") { format!("{READYZ}&sync") } else { READYZ.to_owned() };
    run.host.on_http(&path, readyz);
    run.host.on_http(STATUS, status);
    run.check()
}

#[track_caller]
fn check(verdict: &Verdict, status: Status, ready: bool, reason: &str) {
    assert_eq!((verdict.status, verdict.reason.as_str()), (status, reason));
    let not_ready = verdict.ext.contains(&("ready".to_owned(), "false".to_owned()));
    assert_eq!(!not_ready, ready, "whether it is ready: {reason}");
}

fn value(verdict: &Verdict, name: &str) -> Option<f64> {
    verdict.samples.iter().find(|sample| sample.name == name).map(|sample| sample.value)
}

#[test]
fn a_ready_node_is_healthy_and_measured() {
    let found = verdict("", response(200, READY), status_of("Leader"));
    check(&found, Status::Healthy, true, "ready; leader");
    for (name, expected) in [
        ("leader", 1.0),
        ("nodes", 3.0),
        ("behind", 2.0),
        ("term", 2.0),
        ("size", 8192.0),
        ("latency", 3.0),
    ] {
        assert_eq!(value(&found, name), Some(expected), "{name}");
    }
    let found = verdict("", response(200, READY), status_of("Follower"));
    check(&found, Status::Healthy, true, "ready; follower of 10.0.0.1:4002");
    assert_eq!(value(&found, "leader"), Some(0.0));
}

#[test]
fn a_node_that_lives_and_takes_no_requests_is_degraded_and_not_ready() {
    for (status, body, reason) in [
        (503, "[+]node ok\n[+]leader does not exist", "has no leader yet"),
        (
            503,
            "[+]node ok\n[+]leader not contactable: timeout",
            "its leader is not contactable: timeout",
        ),
        (503, "[+]node ok\n[+]leader ok\n[+]store not ready", "its store is not ready yet"),
        (500, "leader address: store not open", "is still opening its store"),
    ] {
        // What it says of itself does not matter then, nor that it says nothing.
        for config in ["", ",\"role\":\"leader\",\"min_nodes\":3"] {
            let found = verdict(config, response(status, body), status_of("Candidate"));
            check(&found, Status::Degraded, false, reason);
            assert_eq!(value(&found, "term"), Some(2.0));
            let found = verdict(config, response(status, body), response(401, ""));
            check(&found, Status::Degraded, false, reason);
        }
    }
    let behind = response(503, format!("{READY}\n[+]sync timeout"));
    let found = verdict(",\"sync\":true", behind, status_of("Follower"));
    let reason = "has not caught up with its leader: timeout";
    check(&found, Status::Degraded, false, reason);
}

#[test]
fn a_dead_node_is_unhealthy_and_a_slow_one_late() {
    let mut run = checking("");
    run.host.on_http(READYZ, ProbeError::Connect("refused".to_owned()));
    assert_eq!(run.check().status, Status::Unhealthy);
    run.host.on_http(READYZ, ProbeError::Timeout);
    assert_eq!(run.check().status, Status::Late);
    run.host.on_http(READYZ, response(502, "bad gateway"));
    let found = run.check();
    check(&found, Status::Unhealthy, true, "answers with HTTP status 502: bad gateway");
}

#[test]
fn the_role_and_the_size_of_the_cluster_are_as_configured() {
    let found = |config: &str, state: &str| verdict(config, response(200, READY), status_of(state));
    let wrong = found(",\"role\":\"leader\"", "Follower");
    check(&wrong, Status::Degraded, true, "is a follower, not the leader");
    let strict = found(",\"role\":\"follower\",\"on_wrong_role\":\"unhealthy\"", "Leader");
    check(&strict, Status::Unhealthy, true, "is the leader, not a follower");
    let neither = found(",\"role\":\"follower\"", "Candidate");
    check(&neither, Status::Degraded, true, "neither leads nor follows");
    check(&found(",\"role\":\"leader\"", "Leader"), Status::Healthy, true, "ready; leader");
    let small = found(",\"min_nodes\":5", "Leader");
    check(&small, Status::Degraded, true, "its cluster has 3 of 5 nodes");
}

#[test]
fn without_the_right_to_ask_for_the_status_a_ready_node_is_healthy_unless_more_is_wanted() {
    let found = verdict("", response(200, READY), response(401, ""));
    check(&found, Status::Healthy, true, "ready");
    let found = verdict("", response(200, READY), response(200, "no JSON"));
    check(&found, Status::Healthy, true, "ready");
    let found = verdict(",\"role\":\"leader\"", response(200, READY), response(401, ""));
    assert_eq!(found.status, Status::Unknown);
    assert!(found.reason.contains("permission \"status\""), "{}", found.reason);
    let mut run = checking("");
    run.host.on_http(READYZ, response(401, ""));
    let found = run.check();
    assert_eq!(found.status, Status::Unknown);
    assert!(found.reason.contains("permission \"ready\""), "{}", found.reason);
}

#[test]
fn an_old_node_is_asked_for_its_status() {
    let unknown = || response(404, "404 page not found");
    let found = verdict("", unknown(), status_of("Follower"));
    check(&found, Status::Healthy, true, "ready; follower of 10.0.0.1:4002");
    let lost = response(200, r#"{"store": {"leader": "", "raft": {"state": "Candidate"}}}"#);
    check(&verdict("", unknown(), lost), Status::Degraded, false, "has no leader yet");
    let reason = "this is no rqlite: it has no /readyz, and no raft in /status";
    for other in [response(404, ""), response(200, "{}"), response(200, "<html>")] {
        check(&verdict("", unknown(), other), Status::Unhealthy, true, reason);
    }
}

#[test]
fn the_password_and_the_options_of_tls_go_with_both_requests() {
    let mut run = Checking::<Rqlite>::new(
        r#"{"url": "https://db:4001/", "username": "kennel", "password": "s3cret",
            "ca_file": "/etc/ca.pem", "tls_server_name": "db.example.com"}"#,
    );
    run.host.on_http("GET https://db:4001/readyz?timeout=2500ms", response(200, READY));
    run.host.on_http("GET https://db:4001/status", status_of("Leader"));
    assert_eq!(run.check().status, Status::Healthy);
    let calls = run.host.calls();
    assert_eq!(calls.len(), 2);
    for call in calls {
        let Call::Http(request) = call else { panic!("not a request: {call:?}") };
        let credentials = ("authorization".to_owned(), "Basic a2VubmVsOnMzY3JldA==".to_owned());
        assert!(request.headers.contains(&credentials));
        assert!(request.ext.contains(&("tls.ca-file".to_owned(), "/etc/ca.pem".to_owned())));
        let name = ("tls.server-name".to_owned(), "db.example.com".to_owned());
        assert!(request.ext.contains(&name));
    }
}

#[test]
fn no_answer_breaks_the_check() {
    let statuses = [200, 204, 301, 401, 404, 500, 503];
    let bodies = [READY, "[+]node ok\n[+]leader does not exist", "leader address: store not open"];
    let documents = [status_of("Leader").body, status_of("Follower").body];
    for seed in 0..2000 {
        let mut noise = Noise::new(seed);
        let body = noise.one_of(&bodies);
        let readyz = response(noise.one_of(&statuses), noise.spoil(body.as_bytes()));
        let document = noise.one_of(&documents);
        let document = if noise.below(3) == 0 { noise.bytes(200) } else { noise.spoil(&document) };
        let status = response(noise.one_of(&[200, 200, 200, 401]), document);
        let mut run = checking(noise.one_of(&["", ",\"role\":\"leader\"", ",\"min_nodes\":2"]));
        let over = matches!(readyz::read(&readyz), Readiness::NotAllowed | Readiness::Strange(_));
        run.host.on_http(READYZ, readyz);
        if !over {
            run.host.on_http(STATUS, status);
        }
        let verdict = run.check();
        assert!(!verdict.reason.is_empty());
        assert!(verdict.samples.iter().all(|sample| sample.value.is_finite()));
    }
}

#[test]
fn every_problem_of_a_configuration_is_told_at_its_place() {
    for (config, expected) in [
        (r#"{"url": "localhost:4001"}"#, "url"),
        (r#"{"url": "http://"}"#, "url"),
        (r#"{"url": "http://a b"}"#, "url"),
        (r#"{"url": "http://a?b"}"#, "url"),
        (r#"{"url": "http://u:p@a"}"#, "url"),
        (r#"{"url": "http://a", "username": "u"}"#, "username"),
        (r#"{"url": "http://a", "password": "p"}"#, "password"),
        (r#"{"url": "http://a", "username": "u:v", "password": "p"}"#, "username"),
        (r#"{"url": "http://a", "ca_file": "/x"}"#, "ca_file"),
        (r#"{"url": "http://a", "tls_server_name": "x"}"#, "tls_server_name"),
    ] {
        let problems = problems(Rqlite::new, config);
        assert_eq!(problems.iter().map(|p| p.path.as_str()).collect::<Vec<_>>(), [expected]);
    }
    for refused in ["{}", r#"{"url": "http://a", "rule": "leader"}"#, r#"{"url": 1}"#] {
        assert!(!problems(Rqlite::new, refused).is_empty(), "{refused}");
    }
}
