//! The check against a real redis, over a plain connection in place of the host's.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "../../common/mod.rs"]
mod common;

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::Command;

use common::server::{Server, find, free_port, wait_for};
use common::socket::Socket;
use kennel_plugin::prelude::*;
use kennel_plugin_redis::Redis;
use kennel_plugin_redis::talk::Wire;

struct Plain(Socket);

impl Wire for Plain {
    fn write(&mut self, bytes: &[u8]) -> Result<(), ProbeError> {
        self.0.write(bytes)
    }

    fn read(&mut self, max: u32) -> Result<Vec<u8>, ProbeError> {
        self.0.read(max)
    }
}

fn check(address: &str, config: &str) -> Verdict {
    let text = format!("{{\"address\":\"{address}\"{config}}}");
    let redis = Redis::new(json::from_slice(text.as_bytes()).unwrap()).unwrap();
    let answer = Socket::open(&Address::parse(address).unwrap())
        .map_err(CheckError::from)
        .and_then(|socket| redis.check_over(&mut Plain(socket)));
    match answer {
        Ok(verdict) | Err(CheckError::Failed(verdict)) => verdict,
        Err(CheckError::NotMade(reason)) => Verdict::unknown(reason),
    }
}

/// Waits for a verdict that begins like this.
#[track_caller]
fn wait_for_verdict(address: &str, config: &str, status: Status, reason: &str) -> Verdict {
    wait_for(reason, || {
        let verdict = check(address, config);
        (verdict.status == status && verdict.reason.starts_with(reason)).then_some(verdict)
    })
}

fn start(directory: &Path, port: u16, arguments: &[&str]) -> Option<Server> {
    let mut command = Command::new(find("redis-server")?);
    command.args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", ""]);
    command.arg("--dir").arg(directory).args(arguments);
    Some(Server::start(command, directory))
}

fn value(verdict: &Verdict, name: &str) -> Option<f64> {
    verdict.samples.iter().find(|sample| sample.name == name).map(|sample| sample.value)
}

/// What redis answers to a line.
fn ask(address: &str, line: &str) -> String {
    let mut socket = Socket::open(&Address::parse(address).unwrap()).unwrap();
    socket.write(format!("{line}\r\n").as_bytes()).unwrap();
    String::from_utf8_lossy(&socket.read(4096).unwrap()).into_owned()
}

#[test]
fn a_primary_and_its_replica_are_told_apart_and_a_lost_link_is_degraded() {
    let place = tempfile::tempdir().unwrap();
    let (port, copy_port) = (free_port(), free_port());
    let (address, copy) = (format!("127.0.0.1:{port}"), format!("127.0.0.1:{copy_port}"));
    let refused = check(&address, "");
    assert_eq!(refused.status, Status::Unhealthy, "nobody listens yet: {}", refused.reason);

    let Some(primary) = start(place.path(), port, &["--repl-diskless-sync-delay", "0"]) else {
        return;
    };
    wait_for_verdict(&address, "", Status::Healthy, "PONG; primary");
    assert_eq!(ask(&address, "SET answer 42"), "+OK\r\n");
    let _replica = start(place.path(), copy_port, &["--replicaof", "127.0.0.1", &port.to_string()]);
    let expected = format!("PONG; replica of {address}");
    let verdict = wait_for_verdict(&copy, ",\"role\":\"replica\"", Status::Healthy, &expected);
    assert_eq!(value(&verdict, "link_up"), Some(1.0));
    assert_eq!(value(&verdict, "keys"), Some(1.0));
    let verdict = wait_for_verdict(&address, "", Status::Healthy, "PONG; primary of 1 replica");
    assert_eq!(value(&verdict, "replicas"), Some(1.0));
    assert!(value(&verdict, "memory").unwrap() > 100_000.0);

    let wrong = check(&copy, ",\"role\":\"primary\"");
    assert_eq!(wrong.reason, "is a replica, not the primary");

    drop(primary);
    let expected = format!("has no link to its primary {address}");
    let verdict = wait_for_verdict(&copy, "", Status::Degraded, &expected);
    assert_eq!(value(&verdict, "link_up"), Some(0.0));
    assert_eq!(ask(&copy, "CONFIG SET replica-serve-stale-data no"), "+OK\r\n");
    let verdict = check(&copy, "");
    assert_eq!(verdict.status, Status::Degraded);
    assert!(verdict.reason.starts_with("has lost its primary"), "{}", verdict.reason);
}

#[test]
fn passwords_and_rights_are_as_redis_has_them() {
    let place = tempfile::tempdir().unwrap();
    let port = free_port();
    let address = format!("127.0.0.1:{port}");
    let socket = place.path().join("redis.sock");
    let socket = socket.to_str().unwrap();
    let Some(_redis) = start(
        place.path(),
        port,
        &["--requirepass", "s3 cret\"", "--unixsocket", socket, "--maxclients", "3"],
    ) else {
        return;
    };
    let verdict = wait_for_verdict(&address, "", Status::Unknown, "wants a password");
    assert!(verdict.reason.contains("NOAUTH"), "{}", verdict.reason);
    let password = ",\"password\":\"s3 cret\\\"\"";
    assert_eq!(check(&address, password).reason, "PONG; primary");
    assert_eq!(check(socket, password).reason, "PONG; primary");
    let wrong = check(&address, ",\"password\":\"other\"");
    assert_eq!(wrong.status, Status::Unknown);
    assert!(wrong.reason.starts_with("does not take this username"), "{}", wrong.reason);

    let mut admin = Socket::open(&Address::parse(&address).unwrap()).unwrap();
    let mut say = |line: &str| {
        admin.write(format!("{line}\r\n").as_bytes()).unwrap();
        String::from_utf8_lossy(&admin.read(4096).unwrap()).into_owned()
    };
    assert_eq!(say("AUTH \"s3 cret\\\"\""), "+OK\r\n");
    assert_eq!(say("ACL SETUSER probe on >pw +ping"), "+OK\r\n");
    let probe = ",\"username\":\"probe\",\"password\":\"pw\"";
    assert_eq!(check(&address, probe).reason, "PONG");
    let curious = check(&address, &format!("{probe},\"role\":\"primary\""));
    assert_eq!(curious.status, Status::Unknown);
    assert!(curious.reason.contains("may not ask for INFO"), "{}", curious.reason);
    assert_eq!(say("ACL SETUSER probe -ping"), "+OK\r\n");
    assert_eq!(check(&address, probe).status, Status::Unknown);

    // The admin is one client, these are the other two.
    let _held: Vec<_> = (0..2)
        .map(|_| {
            let mut socket = Socket::open(&Address::parse(&address).unwrap()).unwrap();
            socket.write(b"AUTH x\r\n").unwrap();
            assert!(!socket.read(4096).unwrap().is_empty());
            socket
        })
        .collect();
    let full = check(&address, password);
    assert_eq!(full.status, Status::Degraded, "{}", full.reason);
    assert!(full.reason.starts_with("has no room for another client"), "{}", full.reason);
}

#[test]
fn an_unneeded_password_a_failed_save_and_a_busy_script_are_degraded() {
    let place = tempfile::tempdir().unwrap();
    let port = free_port();
    let address = format!("127.0.0.1:{port}");
    let Some(_redis) = start(place.path(), port, &["--busy-reply-threshold", "20"]) else {
        return;
    };
    wait_for_verdict(&address, "", Status::Healthy, "PONG; primary");
    let open = check(&address, ",\"password\":\"x\"");
    assert_eq!(open.status, Status::Degraded);
    assert_eq!(open.reason, "it has no password, but one is configured here");

    let mut script = Socket::open(&Address::parse(&address).unwrap()).unwrap();
    script.write(b"EVAL \"while true do end\" 0\r\n").unwrap();
    wait_for_verdict(&address, "", Status::Degraded, "is held up by a script");
    assert_eq!(ask(&address, "SCRIPT KILL"), "+OK\r\n");
    wait_for_verdict(&address, "", Status::Healthy, "PONG; primary");

    // A file where the dump belongs cannot be replaced by one.
    let dump = place.path().join("dump.rdb");
    fs::create_dir(&dump).unwrap();
    fs::write(dump.join("x"), "").unwrap();
    assert_eq!(ask(&address, "CONFIG SET save \"3600 1\""), "+OK\r\n");
    assert_eq!(ask(&address, "SET answer 42"), "+OK\r\n");
    ask(&address, "BGSAVE");
    wait_for_verdict(&address, "", Status::Degraded, "cannot save its data");
}

#[test]
fn a_redis_that_loads_its_data_is_degraded_and_not_ready() {
    let place = tempfile::tempdir().unwrap();
    let port = free_port();
    let address = format!("127.0.0.1:{port}");
    let mut log = fs::File::create(place.path().join("appendonly.aof")).unwrap();
    let command = b"*3\r\n$3\r\nSET\r\n$6\r\nanswer\r\n$2\r\n42\r\n";
    log.write_all(&command.repeat(5_000)).unwrap();
    let slow = [
        "--appendonly",
        "yes",
        "--key-load-delay",
        "500",
        "--loading-process-events-interval-bytes",
        "1024",
    ];
    let Some(_redis) = start(place.path(), port, &slow) else { return };
    let verdict = wait_for_verdict(&address, "", Status::Degraded, "is loading its data");
    assert!(verdict.ext.contains(&("ready".to_owned(), "false".to_owned())));
    wait_for_verdict(&address, "", Status::Healthy, "PONG; primary");
}
