//! Requests and their answers.

use serde_json::Value;

use super::super::openapi::openapi;
use super::super::routes::{Method, ROUTES};
use super::*;
use crate::api::ClientError;
use crate::{ShutdownMode, Verb};

#[tokio::test]
async fn the_status_has_the_fields_that_are_promised_in_their_order() {
    let fixture = Fixture::start();
    let (code, body) = fixture.ask("GET", "/v1/status?service=worker").await;
    assert_eq!(code, 200);
    assert_eq!(
        body,
        "{\"supervisor\":{\"name\":\"demo\",\"pid\":42,\"version\":\"1.2.3\",\
         \"started_at\":\"2026-11-21T03:53:52.482Z\",\"role\":\"single\",\"stopping\":false,\
         \"cgroups\":{\"used\":false,\"place\":null,\"reason\":\"switched off\"}},\
         \"services\":[{\"name\":\"worker\",\"state\":\"backoff\",\"wanted\":\"up\",\"pid\":null,\
         \"ready\":false,\"health\":\"healthy\",\"restarts\":5,\
         \"since\":\"2026-11-21T03:53:52.482Z\",\
         \"exit\":{\"code\":3,\"at\":\"2026-11-21T03:53:52.482Z\"},\
         \"reason\":\"exited with code 3; next try in 7.2 s\",\"next_restart_in_ms\":7200,\
         \"memory_bytes\":null,\"cpu_ms\":null,\"labels\":{\"tier\":\"front\"},\
         \"service\":\"worker\",\"start_ms\":null,\"logs_to\":\"file\",\
         \"sockets\":[{\"name\":\"http\",\"address\":\"tcp://127.0.0.1:80\",\"open\":true}],\
         \"status_text\":null}]}"
    );
    let all = fixture.client.status(&[]).await.unwrap();
    assert_eq!(all, super::super::wire::Status::from(&status()));
    assert_eq!(
        fixture.client.plain_status(&["worker".to_owned()]).await.unwrap(),
        "Service worker: DOWN (restarts 5, backoff)\n"
    );
}

#[tokio::test]
async fn an_instance_is_found_with_its_slash_and_with_the_slash_encoded() {
    let fixture = Fixture::start();
    for path in ["/v1/services/web/0", "/v1/services/web%2F0"] {
        let (code, body) = fixture.ask("GET", path).await;
        assert_eq!(code, 200, "{path}: {body}");
        assert!(body.starts_with("{\"name\":\"web/0\","), "{body}");
    }
    let (_, body) = fixture.ask("GET", "/v1/services/web").await;
    assert_eq!(serde_json::from_str::<Value>(&body).unwrap()["services"][1]["name"], "web/1");
    for path in ["/v1/services/web/1/restart", "/v1/services/web%2F1/restart"] {
        let (code, body) = fixture.ask("POST", path).await;
        assert_eq!(code, 200);
        assert_eq!(
            body,
            "{\"success\":true,\"outcomes\":[{\"name\":\"web/1\",\"success\":true,\
             \"state\":\"up\",\"pid\":null,\"message\":\"as it was\"}]}"
        );
    }
}

#[tokio::test]
async fn a_refusal_says_what_is_wrong_and_what_to_do() {
    let fixture = Fixture::start();
    for (method, path, code, error, hint) in [
        ("GET", "/v1/statu", 404, "nothing is at \"/v1/statu\"", "did you mean \"/v1/status\"?"),
        (
            "GET",
            "/v1/failover",
            501,
            "\"/v1/failover\" is not available yet",
            "GET /v1/openapi.json lists what there is",
        ),
        ("POST", "/v1/services/web/scale", 400, "replicas is missing", "add ?replicas=3"),
        ("POST", "/v1/services/web/scale?replicas=0", 400, "replicas is 0", "stop it instead"),
        ("GET", "/v1/reload", 405, "\"/v1/reload\" does not take GET", "use POST"),
        ("POST", "/v1/status", 405, "\"/v1/status\" does not take POST", "use GET"),
        (
            "GET",
            "/v1/services/wrker",
            404,
            "no service is named \"wrker\"",
            "did you mean \"worker\"?",
        ),
        (
            "POST",
            "/v1/services/wrker/stop",
            404,
            "no service is named \"wrker\"",
            "did you mean \"worker\"?",
        ),
        (
            "POST",
            "/v1/start?wait=perhaps&service=web",
            400,
            "wait is \"perhaps\", which is neither true nor false",
            "",
        ),
        (
            "POST",
            "/v1/services/web/stop?timeout=10",
            400,
            "timeout is \"10\", which is no duration",
            "write 250ms, 10s, 5m, 2h or 1d",
        ),
        ("POST", "/v1/start", 400, "no service is named", "add ?service=NAME"),
        ("POST", "/v1/services/web/signal", 400, "signal is missing", "add ?signal=SIGUSR1"),
        (
            "POST",
            "/v1/services/web/signal?signal=sigtrem",
            400,
            "no signal is named \"sigtrem\"",
            "did you mean SIGTERM?",
        ),
        (
            "GET",
            "/v1/services/web/logs?line=1",
            400,
            "unknown query parameter \"line\"",
            "known here: follow, lines, since, format",
        ),
        (
            "GET",
            "/v1/plan?file=services.yaml",
            400,
            "file is \"services.yaml\", which is no absolute path",
            "start it with /",
        ),
        ("POST", "/v1/reload", 409, "this supervisor has no configuration file", ""),
        ("GET", "/readyz", 503, "worker is in backoff", "GET /v1/status says why"),
    ] {
        let (found, body) = fixture.ask(method, path).await;
        let body: Value = serde_json::from_str(&body).unwrap();
        assert_eq!((found, body["error"].as_str()), (code, Some(error)), "{path}");
        assert_eq!(body["hint"].as_str().unwrap_or_default(), hint, "{path}");
    }
    assert_eq!(fixture.ask("GET", "/livez").await, (200, "ok\n".to_owned()));
}

#[tokio::test]
async fn a_page_in_a_browser_cannot_use_the_socket() {
    let fixture = Fixture::start();
    let answer = fixture
        .raw("GET /v1/status HTTP/1.1\r\nhost: x\r\norigin: http://x\r\nconnection: close\r\n\r\n")
        .await;
    assert!(answer.starts_with("HTTP/1.1 403 "), "{answer}");
}

#[tokio::test]
async fn the_client_gets_outcomes_and_refusals_as_values() {
    let fixture = Fixture::start();
    let services = |names: &[&str]| names.iter().map(ToString::to_string).collect::<Vec<_>>();
    let client = &fixture.client;
    let done = client.act(Verb::Stop, &services(&["web"]), Wait::No).await.unwrap();
    assert!(done.success && done.outcomes.len() == 2);
    let waited = Wait::UpTo(Duration::from_millis(10));
    let late = client.act(Verb::Start, &services(&["web", "worker"]), waited).await.unwrap();
    assert!(!late.success && !late.outcomes[2].success);
    let hup = Verb::Signal(kennel_core::Signal::HUP);
    assert!(client.act(hup, &services(&["web/0"]), Wait::No).await.unwrap().success);
    assert!(client.plan(None).await.unwrap().empty);
    match client.act(Verb::Stop, &services(&["wrker"]), Wait::No).await {
        Err(ClientError::Refused { status: 404, error }) => {
            assert_eq!(error.hint.as_deref(), Some("did you mean \"worker\"?"));
        }
        other => panic!("{other:?}"),
    }
    let nobody = Client::new(fixture.dir.path().join("nobody.sock"));
    let error = nobody.status(&[]).await.unwrap_err();
    assert!(matches!(error, ClientError::NotRunning { .. }), "{error}");
    assert!(error.to_string().contains("nobody.sock"), "{error}");
}

#[tokio::test]
async fn every_route_is_described_and_answered() {
    let fixture = Fixture::start();
    let (_, served) = fixture.ask("GET", "/v1/openapi.json").await;
    let document: Value = serde_json::from_str(&served).unwrap();
    assert_eq!(document, openapi());
    let mut operations = std::collections::BTreeSet::new();
    for route in ROUTES {
        let method = match route.method {
            Method::Get => "get",
            Method::Post => "post",
        };
        let operation = &document["paths"][route.path][method];
        let id = operation["operationId"].as_str().expect(route.path).to_owned();
        assert!(operations.insert(id.clone()), "{id} is given twice");
        // No service is called so: what is there says that rather than "nothing is here".
        let path = route.path.replace("{name}", "nobody").replace("{index}", "0");
        let path = if route.path == "/v1/events" { format!("{path}?follow=false") } else { path };
        if route.path == "/v1/shutdown" {
            continue;
        }
        let (code, body) = fixture.ask(&method.to_uppercase(), &path).await;
        assert!(code != 405 && !body.contains("nothing is at"), "{path}: {body}");
    }
    let paths = document["paths"].as_object().unwrap();
    let described: usize = paths.values().map(|path| path.as_object().unwrap().len()).sum();
    assert_eq!(described, ROUTES.len());
    check_references(&document, &document);
}

/// Every `$ref` leads somewhere.
fn check_references(document: &Value, part: &Value) {
    match part {
        Value::Object(map) => {
            if let Some(Value::String(to)) = map.get("$ref") {
                let found = document.pointer(to.trim_start_matches('#'));
                assert!(found.is_some(), "{to} is not there");
            }
            map.values().for_each(|part| check_references(document, part));
        }
        Value::Array(parts) => parts.iter().for_each(|part| check_references(document, part)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[tokio::test]
async fn metrics_are_openmetrics_with_help_for_each_family() {
    let fixture = Fixture::start();
    let (code, text) = fixture.ask("GET", "/metrics").await;
    assert_eq!(code, 200);
    assert!(text.ends_with("# EOF\n"));
    for line in [
        "kennel_supervisor_info{name=\"demo\",version=\"1.2.3\",role=\"single\"} 1.0",
        "kennel_service_up{service=\"web\",instance=\"web/1\"} 1.0",
        "kennel_service_state{service=\"worker\",instance=\"worker\",state=\"backoff\"} 1.0",
        "kennel_service_state{service=\"worker\",instance=\"worker\",state=\"up\"} 0.0",
        "kennel_service_health{service=\"web\",instance=\"web/0\",health=\"healthy\"} 1.0",
        "kennel_service_restarts_total{service=\"worker\",instance=\"worker\",cause=\"exit\"} 5.0",
        "kennel_service_restarts_total{service=\"worker\",instance=\"worker\",cause=\"signal\"} 0.0",
        "kennel_journal_failing 0.0",
        "# TYPE kennel_service_restarts counter",
        "# UNIT kennel_journal_size_bytes bytes",
    ] {
        assert!(text.lines().any(|found| found == line), "{line} is missing in\n{text}");
    }
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let name = line.split(['{', ' ']).next().unwrap();
        let name = name.strip_suffix("_total").unwrap_or(name);
        assert!(text.contains(&format!("# HELP {name} ")), "{name} has no help");
    }
}

#[tokio::test]
async fn a_shutdown_ends_followers_and_the_socket_goes_with_the_server() {
    let fixture = Fixture::start();
    let query = crate::api::client::EventQuery {
        follow: true,
        ..crate::api::client::EventQuery::default()
    };
    let mut events = fixture.client.events(&query).await.unwrap();
    fixture.client.shutdown(ShutdownMode::Orderly).await.unwrap();
    let end = tokio::time::timeout(SOON, events.next()).await.unwrap();
    assert_eq!(end.unwrap(), None);
    let socket = fixture.socket();
    let Fixture { serving, dir: _dir, .. } = fixture;
    tokio::time::timeout(SOON, serving.stop()).await.unwrap();
    assert!(!socket.exists());
}
