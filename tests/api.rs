//! The API on the control socket: what it gives, and what nobody can do to it.

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::Signal;
use serde_json::Value;

use crate::support::{BOUND, Kennel, http, needs_program, needs_root, openmetrics, wait_for};

const WEB: &str = r#"
    services:
      web:
        command: [sleep, "1000"]
        labels: { tier: front }
        restart: { backoff: { initial: 50ms, max: 50ms }, limit: none }
    "#;

fn keys(value: &Value) -> Vec<&str> {
    let mut keys: Vec<_> =
        value.as_object().expect("an object").keys().map(String::as_str).collect();
    keys.sort_unstable();
    keys
}

/// Whether `value` has all of these keys; more may come.
#[track_caller]
fn assert_keys(value: &Value, expected: &str) {
    let found = keys(value);
    for key in expected.split(' ') {
        assert!(found.contains(&key), "{key} is missing in {value:#}");
    }
}

#[test]
fn the_status_has_the_documented_shape_in_the_api_and_in_the_command() {
    let kennel = Kennel::running(WEB);
    kennel.wait_for_state("web", "up");
    let from_command: Value =
        serde_json::from_str(&kennel.cli(&["status", "--json"]).ok()).expect("JSON");
    for status in [from_command, kennel.status()] {
        assert_keys(&status, "supervisor services");
        assert_keys(&status["supervisor"], "name pid version started_at role");
        assert_eq!(status["supervisor"]["name"], "house");
        assert_eq!(status["supervisor"]["role"], "single");
        assert_eq!(status["supervisor"]["pid"], kennel.supervisor_pid());
        let web = &status["services"][0];
        assert_keys(
            web,
            "name state wanted pid ready health restarts since exit reason next_restart_in_ms \
             memory_bytes cpu_ms labels",
        );
        assert_eq!(web["name"], "web");
        assert_eq!(web["wanted"], "up");
        assert_eq!(web["ready"], true);
        assert_eq!(web["health"], "unknown");
        assert_eq!(web["labels"]["tier"], "front");
        assert!(web["exit"].is_null() && web["next_restart_in_ms"].is_null());
        assert!(web["memory_bytes"].as_u64() > Some(10_000), "{web:#}");
        assert!(web["cpu_ms"].is_u64(), "{web:#}");
        for time in [&web["since"], &status["supervisor"]["started_at"]] {
            assert!(time.as_str().unwrap().parse::<jiff::Timestamp>().is_ok(), "{time}");
        }
    }
    let one = kennel.api("GET", "/v1/services/web");
    assert_eq!(serde_json::from_str::<Value>(&one.body).unwrap()["name"], "web");
    let all: Value = serde_json::from_str(&kennel.api("GET", "/v1/services").body).unwrap();
    assert_eq!(all["services"].as_array().unwrap().len(), 1);
    assert_eq!(kennel.cli(&["status", "--plain", "web"]).ok().lines().count(), 1);
    assert_eq!(kennel.api("GET", "/livez").status, 200);
    assert_eq!(kennel.api("GET", "/readyz").status, 200);
    let document: Value =
        serde_json::from_str(&kennel.api("GET", "/v1/openapi.json").body).unwrap();
    for path in ["/v1/status", "/v1/services/{name}", "/v1/events", "/metrics"] {
        assert!(document["paths"][path].is_object(), "{path} is missing");
    }
}

#[test]
fn verbs_answer_when_it_is_so() {
    let kennel = Kennel::running(WEB);
    kennel.wait_for_state("web", "up");
    let act = |verb: &str| {
        let answer = kennel.api("POST", &format!("/v1/services/web/{verb}"));
        assert_eq!(answer.status, 200, "{answer:?}");
        serde_json::from_str::<Value>(&answer.body).unwrap()["success"].clone()
    };
    assert_eq!(act("stop"), true);
    assert_eq!(kennel.service("web")["state"], "down");
    assert_eq!(kennel.api("GET", "/readyz").status, 200, "it is as it is wanted");
    assert_eq!(act("start"), true);
    assert_eq!(kennel.service("web")["state"], "up");
    assert_eq!(act("restart"), true);
    assert_eq!(act("reset"), true);
    assert_eq!(act("signal?signal=CONT"), true);
    assert_eq!(kennel.api("POST", "/v1/reload").status, 200);
    assert_eq!(kennel.api("GET", "/v1/plan").status, 200);
}

#[test]
fn bad_input_is_answered_with_an_error_and_a_hint() {
    let kennel = Kennel::running(WEB);
    for (method, target, status) in [
        ("GET", "/v1/services/wbe", 404),
        ("POST", "/v1/services/wbe/start", 404),
        ("GET", "/v1/nothing", 404),
        ("GET", "/v1/services/%ff%00", 400),
        ("DELETE", "/v1/status", 405),
        ("GET", "/v1/services/web/stop", 405),
        ("GET", "/v1/status?colour=red", 400),
        ("GET", "/v1/events?since=soon", 400),
        ("GET", "/v1/services/web/logs?lines=-1", 400),
        ("POST", "/v1/services/web/signal", 400),
        ("POST", "/v1/services/web/signal?signal=SIGNOTHING", 400),
        ("POST", "/v1/services/web/stop?timeout=soon", 400),
    ] {
        let answer = kennel.api(method, target);
        let is_as_expected = answer.status == status || (status == 400 && answer.status == 404);
        assert!(is_as_expected, "{method} {target}: {answer:?}");
        let body: Value = serde_json::from_str(&answer.body)
            .unwrap_or_else(|_| panic!("{method} {target}: no JSON in {answer:?}"));
        assert!(body["error"].as_str().is_some_and(|text| !text.is_empty()), "{target}: {body}");
        assert!(body.get("hint").is_some(), "{target}: {body}");
    }
    let page = http::ask_with(
        &kennel.socket(),
        "POST",
        "/v1/shutdown",
        "Origin: http://evil.example\r\nContent-Length: 0\r\n",
    );
    assert_eq!(page.unwrap().status, 403, "no web page drives a supervisor");
    assert_eq!(kennel.status()["supervisor"]["stopping"], false);
}

#[test]
fn the_socket_and_the_state_are_closed_to_others() {
    let kennel = Kennel::running(WEB);
    kennel.wait_for_state("web", "up");
    let mode = |name: &str| fs::metadata(kennel.path(name)).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode("k.sock"), 0o600);
    assert_eq!(mode("state"), 0o700);
    assert_eq!(mode("state/lock"), 0o600);
}

#[test]
fn another_user_is_refused_even_where_the_socket_lets_him_in() {
    if needs_root("to be another user") || needs_program("perl") {
        return;
    }
    let kennel = Kennel::running(WEB);
    let ask = || {
        let script =
            "my $s = IO::Socket::UNIX->new(Peer => $ARGV[0]) or do { print \"closed: $!\"; exit };
            $SIG{PIPE} = 'IGNORE';
            print $s \"POST /v1/shutdown HTTP/1.1\\r\\nHost: x\\r\\nContent-Length: 0\\r\\n\\r\\n\";
            $s->flush; print while <$s>;";
        let output = Command::new("setpriv")
            .args(["--reuid=65534", "--regid=65534", "--clear-groups", "--"])
            .args(["perl", "-MIO::Socket::UNIX", "-e", script])
            .arg(kennel.socket())
            .current_dir("/")
            .output()
            .unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    assert_eq!(ask(), "closed: Permission denied");
    fs::set_permissions(kennel.socket(), fs::Permissions::from_mode(0o666)).unwrap();
    let answer = ask();
    assert!(answer.starts_with("HTTP/1.1 403"), "{answer}");
    assert_eq!(kennel.status()["supervisor"]["stopping"], false);
}

#[test]
fn metrics_are_openmetrics_with_the_promised_series() {
    let kennel = Kennel::running(WEB);
    kennel.wait_for_state("web", "up");
    let before = kennel.process("web");
    before.signal(Signal::SIGKILL);
    kennel.wait_for_new_run("web", &before);
    let answer = kennel.api("GET", "/metrics");
    assert!(answer.head.contains("application/openmetrics-text; version=1.0.0"), "{}", answer.head);
    let series =
        openmetrics::parse(&answer.body).unwrap_or_else(|e| panic!("{e}\n{}", answer.body));
    let web = "service=\"web\",instance=\"web\"";
    for (name, value) in [
        (format!("kennel_service_up{{{web}}}"), 1.0),
        (format!("kennel_service_wanted{{{web}}}"), 1.0),
        (format!("kennel_service_state{{{web},state=\"up\"}}"), 1.0),
        (format!("kennel_service_state{{{web},state=\"failed\"}}"), 0.0),
        (format!("kennel_service_restarts_total{{{web},cause=\"signal\"}}"), 1.0),
        (format!("kennel_service_restarts_total{{{web},cause=\"exit\"}}"), 0.0),
        (format!("kennel_service_health{{{web},health=\"unknown\"}}"), 1.0),
        ("kennel_journal_failing".into(), 0.0),
        ("kennel_journal_dropped_events_total".into(), 0.0),
    ] {
        assert_eq!(series.get(&name), Some(&value), "{name} in\n{}", answer.body);
    }
    for name in [
        "kennel_supervisor_start_time_seconds".to_owned(),
        "kennel_supervisor_memory_bytes".into(),
        format!("kennel_service_memory_bytes{{{web}}}"),
        "kennel_journal_last_seq".into(),
    ] {
        assert!(series.get(&name).is_some_and(|value| *value > 0.0), "{name}\n{}", answer.body);
    }
}

#[test]
fn events_are_streamed_with_their_numbers_and_a_client_can_go_on_where_it_was() {
    let kennel = Kennel::running(WEB);
    kennel.wait_for_state("web", "up");
    let stream = kennel.api("GET", "/v1/events?follow=false");
    assert!(stream.head.contains("text/event-stream"), "{}", stream.head);
    let ids = |body: &str| -> Vec<u64> {
        body.lines().filter_map(|line| line.strip_prefix("id: ")?.parse().ok()).collect()
    };
    let all = ids(&stream.body);
    assert_eq!(all, (1..=all.len() as u64).collect::<Vec<_>>());
    assert!(stream.body.contains("event: service.ready\ndata: {"), "{}", stream.body);
    let rest =
        http::ask_with(&kennel.socket(), "GET", "/v1/events?follow=false", "Last-Event-ID: 2\r\n");
    assert_eq!(ids(&rest.unwrap().body), all[2..]);
}

#[test]
fn missing_events_are_announced_and_never_silent() {
    let mut kennel = Kennel::running(WEB);
    kennel.wait_for_state("web", "up");
    assert_eq!(kennel.terminate(), 0);
    // One record in the middle rots.
    let file = fs::read_dir(kennel.path("state/journal")).unwrap().next().unwrap().unwrap().path();
    let text = fs::read_to_string(&file).unwrap();
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    assert!(lines[2].contains("service"), "{}", lines[2]);
    lines[2] = lines[2].replace("service", "sErvice");
    fs::write(&file, lines.join("\n") + "\n").unwrap();
    kennel.start();
    let body = kennel.api("GET", "/v1/events?follow=false").body;
    assert!(body.contains("event: gap\ndata: {\"missed\":1}\n"), "{body}");
    assert!(!body.contains("id: 3\n") && body.contains("id: 4\n"), "{body}");
    let human = kennel.cli(&["events"]).ok();
    assert!(human.contains("1 event is no longer kept"), "{human}");
}

/// Sends as much as the other side takes within a moment.
fn push(stream: &mut UnixStream, bytes: &[u8]) {
    stream.set_write_timeout(Some(Duration::from_millis(200))).unwrap();
    // It may close the connection or not read on: both are its right.
    let _ = stream.write_all(bytes);
}

#[test]
fn malicious_clients_delay_neither_a_restart_nor_other_clients() {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    // For the thousand connections of this test itself.
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard).unwrap();
    let kennel = Kennel::running(WEB);
    kennel.wait_for_state("web", "up");
    let connect = || UnixStream::connect(kennel.socket());
    let mut held = Vec::new();

    // One that asks for everything, over and over, and never reads.
    for _ in 0..20 {
        let mut stream = connect().unwrap();
        push(&mut stream, "GET /v1/events HTTP/1.1\r\nHost: x\r\n\r\n".repeat(50).as_bytes());
        held.push(stream);
    }
    for _ in 0..20 {
        let mut stream = connect().unwrap();
        push(&mut stream, "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n".repeat(2000).as_bytes());
        held.push(stream);
    }
    // One that sends half a request.
    for _ in 0..20 {
        let mut stream = connect().unwrap();
        push(&mut stream, b"POST /v1/serv");
        held.push(stream);
    }
    // One whose header is ten megabytes long.
    let mut huge = connect().unwrap();
    let socket = kennel.socket();
    let sender = thread::spawn(move || {
        push(&mut huge, b"GET / HTTP/1.1\r\nHost: x\r\nX-Long: ");
        let chunk = vec![b'a'; 1 << 20];
        for _ in 0..10 {
            push(&mut huge, &chunk);
        }
        let mut answer = Vec::new();
        huge.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let end = huge.read_to_end(&mut answer);
        let still_open = matches!(&end, Err(e) if e.kind() == ErrorKind::WouldBlock);
        assert!(!still_open, "ten megabytes of header are accepted");
        drop(socket);
    });
    // A thousand that say nothing.
    let mut refused = 0;
    for _ in 0..1000 {
        match connect() {
            Ok(stream) => held.push(stream),
            Err(_) => refused += 1,
        }
    }
    println!("{} connections are held, {refused} were refused", held.len());

    let before = kennel.process("web");
    before.signal(Signal::SIGKILL);
    let begun = Instant::now();
    // From the outside: nobody but the kernel is asked whether there is a new process.
    wait_for("a new process", Duration::from_secs(5), || {
        let is_new = |p: &crate::support::Process| p.command == "sleep 1000" && *p != before;
        kennel.processes().into_iter().find(is_new)
    });
    println!("restarted after {:?}", begun.elapsed());
    for _ in 0..5 {
        let begun = Instant::now();
        assert_eq!(kennel.cli(&["status", "--plain"]).code, 0);
        assert!(begun.elapsed() < Duration::from_secs(10), "a status took {:?}", begun.elapsed());
    }
    sender.join().unwrap();
    drop(held);
    wait_for("the API without them", BOUND, || {
        (kennel.api("GET", "/livez").status == 200).then_some(())
    });
}

#[test]
fn a_client_that_goes_away_in_the_middle_is_no_matter() {
    let kennel = Kennel::running(WEB);
    kennel.wait_for_state("web", "up");
    for _ in 0..50 {
        let mut stream = UnixStream::connect(kennel.socket()).unwrap();
        push(
            &mut stream,
            b"POST /v1/services/web/restart HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nab",
        );
        drop(stream);
        let mut stream = UnixStream::connect(kennel.socket()).unwrap();
        push(&mut stream, b"GET /v1/events HTTP/1.1\r\nHost: x\r\n\r\n");
        drop(stream);
        let mut stream = UnixStream::connect(kennel.socket()).unwrap();
        push(&mut stream, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\n\n\n");
        drop(stream);
    }
    assert_eq!(kennel.status()["supervisor"]["stopping"], false);
}
