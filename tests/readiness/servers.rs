//! Real servers, each by the ways in which it can be known to be ready.

use crate::support::servers::{
    ask_postgres, ask_redis, free_port, needs_nginx, needs_postgres, needs_redis, nginx, postgres,
    redis,
};
use crate::support::skip::find;
use crate::support::{Kennel, http, needs_program};

#[test]
fn postgres_is_ready_by_notification_and_by_pg_isready() {
    if needs_postgres() || needs_program("pg_isready") {
        return;
    }
    for by_command in [false, true] {
        let mut kennel = Kennel::new("");
        let port = free_port();
        let db = postgres(kennel.directory(), port);
        let pg_isready = find("pg_isready").unwrap().display().to_string();
        let ready = if by_command {
            format!("{{ command: [{pg_isready}, -q, -h, 127.0.0.1, -p, \"{port}\"] }}")
        } else {
            "{ notify: systemd }".to_owned()
        };
        kennel.configure(&format!("services:\n  db:\n    {db}\n    ready: {ready}\n"));
        kennel.start();
        let up = kennel.wait_for_state("db", "up");
        assert_eq!(up["restarts"], 0);
        // At once: whoever waited for it can use it.
        let answer = ask_postgres(port, "select 42");
        assert_eq!(answer.as_deref(), Some("42"), "ready: {ready}");
        kennel.cli(&["stop", "db"]).ok();
        assert_eq!(kennel.service("db")["exit"]["code"], 0);
        assert_eq!(kennel.terminate(), 0);
        kennel.assert_nothing_is_left();
    }
}

#[test]
fn redis_is_ready_by_notification_and_by_tcp() {
    if needs_redis() {
        return;
    }
    for by_tcp in [false, true] {
        let mut kennel = Kennel::new("");
        let port = free_port();
        let mut cache = redis(kennel.directory(), port);
        let ready = if by_tcp {
            format!("{{ tcp: \"127.0.0.1:{port}\" }}")
        } else {
            cache = cache.replace(", --port", ", --supervised, systemd, --port");
            "{ notify: systemd }".to_owned()
        };
        kennel.configure(&format!("services:\n  cache:\n    {cache}\n    ready: {ready}\n"));
        kennel.start();
        let up = kennel.wait_for_state("cache", "up");
        if !by_tcp {
            assert_eq!(up["status_text"], "Ready to accept connections");
        }
        assert_eq!(ask_redis(port, "PING").unwrap(), "+PONG\r\n", "ready: {ready}");
        kennel.cli(&["stop", "cache"]).ok();
        assert_eq!(kennel.terminate(), 0);
        kennel.assert_nothing_is_left();
    }
}

#[test]
fn nginx_is_ready_by_http() {
    if needs_nginx() {
        return;
    }
    let mut kennel = Kennel::new("");
    let port = free_port();
    let web = nginx(kennel.directory(), port);
    kennel.configure(&format!(
        "services:\n  web:\n    {web}\n    ready: {{ http: \"http://127.0.0.1:{port}/\" }}\n"
    ));
    kennel.start();
    kennel.wait_for_state("web", "up");
    assert_eq!(http::get_tcp(port, "/").unwrap().body, "served by nginx");
    assert_eq!(kennel.terminate(), 0);
    kennel.assert_nothing_is_left();
}

#[test]
fn a_line_of_output_a_unix_socket_and_a_second_of_running_make_ready() {
    let kennel = Kennel::running(
        r#"
        services:
          line:
            shell: "echo starting up; while [ ! -e go ]; do sleep 0.02; done; echo listening on port 80; exec sleep 1000"
            ready: { log: 'listening on port \d+$' }
          socket:
            command: [/usr/bin/perl, -MIO::Socket::UNIX, -e, 'select(undef, undef, undef, 0.02) until -e "go"; my $s = IO::Socket::UNIX->new(Local => "x.sock", Listen => 5) or die; while (my $c = $s->accept) { close $c }']
            ready: { unix: x.sock, every: 50ms }
          second: { command: [sleep, "1000"] }
        "#,
    );
    kennel.wait_for_event("service.started", "line");
    kennel.wait_for_event("service.started", "socket");
    let second = kennel.wait_for_state("second", "up");
    let after = second["start_ms"].as_u64().unwrap();
    assert!(after >= 1000, "ready after {after} ms");
    for name in ["line", "socket"] {
        assert_eq!(kennel.service(name)["state"], "starting", "{name} does not work yet");
    }
    kennel.write("go", "");
    for name in ["line", "socket"] {
        kennel.wait_for_state(name, "up");
    }
}

#[test]
fn not_ready_in_time_is_a_failed_start_with_the_reason_of_the_last_attempt() {
    let port = free_port();
    let kennel = Kennel::running(&format!(
        r#"
        defaults: {{ restart: {{ policy: never }} }}
        services:
          tcp: {{ command: [sleep, "1000"], ready: {{ tcp: "127.0.0.1:{port}", timeout: 700ms }} }}
          command: {{ command: [sleep, "1000"], ready: {{ command: [sh, -c, "echo no luck >&2; exit 3"], timeout: 700ms }} }}
          unix: {{ command: [sleep, "1000"], ready: {{ unix: nowhere.sock, timeout: 700ms }} }}
          http: {{ command: [sleep, "1000"], ready: {{ http: "http://127.0.0.1:{port}/", timeout: 700ms }} }}
          log: {{ command: [sleep, "1000"], ready: {{ log: "never (any)?", timeout: 700ms }} }}
        "#
    ));
    for (name, expected) in [
        ("tcp", "refused"),
        ("command", "no luck"),
        ("unix", "nowhere.sock"),
        ("http", "refused"),
        ("log", "; no line of output matches \"never (any)?\""),
    ] {
        let web = kennel.wait_for_state(name, "failed");
        let reason = web["reason"].as_str().unwrap();
        assert!(reason.contains("not ready within 700 ms"), "{name}: {reason}");
        assert!(reason.contains(expected), "{name}: {reason}");
        let exited = kennel.wait_for_event("service.exited", name);
        assert_eq!(exited["attributes"]["cause"], "not-ready");
        let message = exited["message"].as_str().unwrap();
        assert!(message.contains(expected), "{name}: {message}");
    }
}

#[test]
fn a_line_counts_on_either_stream_and_where_no_log_is_kept() {
    let mut kennel = Kennel::new("");
    let mut yaml = "services:\n".to_owned();
    let mut names = Vec::new();
    for (stream, redirection) in [("out", ""), ("err", " >&2")] {
        for to in ["file", "inherit", "none"] {
            let name = format!("{stream}-{to}");
            // What it writes before is no such line, and what comes after changes nothing.
            let shell = format!(
                "echo not listening yet{redirection}; until test -e go; do sleep 0.02; done; \
                 echo listening on 80{redirection}; echo more{redirection}; exec sleep 1000"
            );
            yaml += &format!(
                "  {name}: {{ shell: \"{shell}\", ready: {{ log: '^listening on [0-9]+$' }}, \
                 logs: {{ to: {to} }} }}\n"
            );
            names.push(name);
        }
    }
    kennel.configure(&yaml);
    kennel.start();
    for name in &names {
        kennel.wait_for_event("service.started", name);
        let waiting = kennel.service(name);
        assert_eq!(waiting["state"], "starting", "{waiting:#}");
        let reason = waiting["reason"].as_str().unwrap();
        let part = "no line of output matches \"^listening on [0-9]+$\"";
        assert!(reason.contains(part), "{reason}");
    }
    kennel.write("go", "");
    for name in &names {
        assert_eq!(kennel.wait_for_state(name, "up")["reason"], "", "{name}");
    }
    assert!(!kennel.path("state/logs/out-none.log").exists(), "nothing is kept that nobody wants");
    assert!(kennel.path("state/logs/out-file.log").exists());
}

#[cfg(feature = "plugins")]
#[test]
fn a_plugin_that_never_finds_it_ready_says_why() {
    use crate::support::guest::{self, Does};

    let mut kennel = Kennel::new("");
    for (name, does) in [("refuses", Does::Refuses), ("traps", Does::Traps)] {
        std::fs::write(kennel.path(&format!("{name}.wasm")), guest::check("no route", does))
            .unwrap();
    }
    kennel.configure(
        r#"
        plugins:
          refuses: { source: ./refuses.wasm }
          traps: { source: ./traps.wasm }
        defaults: { restart: { policy: never } }
        services:
          one: { command: [sleep, "1000"], ready: { plugin: refuses, every: 50ms, timeout: 2s } }
          two: { command: [sleep, "1000"], ready: { plugin: traps, every: 50ms, timeout: 2s } }
        "#,
    );
    kennel.start();
    for (name, why) in [("one", "plugin refuses: no route"), ("two", "plugin traps: the plugin ")] {
        let service = kennel.wait_for_state(name, "failed");
        let reason = service["reason"].as_str().unwrap();
        let expected = format!("not ready within 2 s: {why}");
        assert!(reason.contains(&expected), "{reason}");
        let exited = kennel.wait_for_event("service.exited", name);
        assert_eq!(exited["attributes"]["cause"], "not-ready");
        assert!(exited["message"].as_str().unwrap().contains(&expected), "{exited}");
    }
}
