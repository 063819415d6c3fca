//! `stock:redis` with redis.

use std::fs;

use nix::sys::signal::Signal;

use crate::support::servers::{ask_redis, free_port, needs_redis};
use crate::support::skip::find;
use crate::support::{BOUND, Kennel, wait_for};

/// A check of `address` in YAML, with more configuration.
fn check(port: u16, more: &str) -> String {
    format!(
        "{{ plugin: redis, every: 100ms, timeout: 1s, config: {{ address: \"127.0.0.1:{port}\"{more} }} }}"
    )
}

fn command(port: u16, more: &str) -> String {
    let program = find("redis-server").expect("the test has looked for it");
    format!("[{}, --port, \"{port}\", --bind, 127.0.0.1, --save, \"\"{more}]", program.display())
}

#[test]
fn a_redis_that_loads_its_data_is_not_ready_and_one_that_hangs_is_degraded() {
    if needs_redis() {
        return;
    }
    let port = free_port();
    let slow = ", --dir, ., --appendonly, \"yes\", --key-load-delay, \"1200\", \
                --loading-process-events-interval-bytes, \"1024\", --requirepass, \"s3 cret\"";
    let (command, check) = (command(port, slow), check(port, ", password: \"${SECRET}\""));
    let ready = check.replace("timeout: 1s, ", "");
    let mut kennel = Kennel::new(&format!(
        r#"
        plugins:
          redis: {{ source: "stock:redis", grants: {{ net: ["127.0.0.1:{port}"] }} }}
        services:
          cache:
            command: {command}
            ready: {ready}
            health: {check}
        "#
    ))
    .env("SECRET", "s3 cret");
    let set = "*3\r\n$3\r\nSET\r\n$6\r\nanswer\r\n$2\r\n42\r\n";
    fs::write(kennel.path("appendonly.aof"), set.repeat(5000)).unwrap();
    kennel.start();
    kennel.wait_for_health("cache", "starting", "unknown", "is loading its data");
    kennel.wait_for_health("cache", "up", "healthy", "");
    kennel.wait_for_sample("redis", "cache", "keys", 1.0);
    kennel.wait_for_sample("redis", "cache", "primary", 1.0);

    // Slow is not dead.
    let redis = kennel.process("cache");
    redis.signal(Signal::SIGSTOP);
    kennel.wait_for_health("cache", "up", "degraded", "no answer in time");
    redis.signal(Signal::SIGCONT);
    kennel.wait_for_health("cache", "up", "healthy", "");
    assert_eq!(kennel.process("cache"), redis);
    assert!(kennel.events().iter().all(|event| !event.to_string().contains("s3 cret")));
    assert_eq!(kennel.terminate(), 0);
    kennel.assert_nothing_is_left();
}

#[test]
fn a_replica_without_its_primary_is_degraded_and_not_restarted() {
    if needs_redis() {
        return;
    }
    let (port, copy_port) = (free_port(), free_port());
    let primary = command(port, ", --repl-diskless-sync-delay, \"0\"");
    let replica = command(copy_port, &format!(", --replicaof, \"127.0.0.1 {port}\""));
    let mut kennel = Kennel::new(&format!(
        r#"
        plugins:
          redis: {{ source: "stock:redis", grants: {{ net: ["127.0.0.1:*"] }} }}
        services:
          primary:
            command: {primary}
            health: {}
          copy:
            command: {replica}
            health: {}
        "#,
        check(port, ", role: primary, min_replicas: 1"),
        check(copy_port, ", role: replica"),
    ));
    kennel.start();
    kennel.wait_for_health("copy", "up", "healthy", "");
    kennel.wait_for_health("primary", "up", "healthy", "");
    let copy = kennel.process("copy");
    kennel.cli(&["stop", "primary"]).ok();
    kennel.wait_for_health(
        "copy",
        "up",
        "degraded",
        &format!("has no link to its primary 127.0.0.1:{port}"),
    );
    kennel.wait_for_sample("redis", "copy", "link_up", 0.0);
    ask_redis(copy_port, "REPLICAOF NO ONE").unwrap();
    kennel.wait_for_health("copy", "up", "degraded", "is a primary, not a replica");
    assert_eq!(kennel.process("copy"), copy);
    assert_eq!(kennel.terminate(), 0);
    kennel.assert_nothing_is_left();
}

#[test]
fn what_is_no_redis_is_restarted_and_what_is_not_granted_is_not() {
    let (port, other) = (free_port(), free_port());
    let mut kennel = Kennel::new(&format!(
        r#"
        plugins:
          redis: {{ source: "stock:redis", grants: {{ net: ["127.0.0.1:{port}"] }} }}
        services:
          deaf:
            command: [sleep, "1000"]
            health: {{ plugin: redis, every: 100ms, failures: 2, grace: 0s, config: {{ address: "127.0.0.1:{port}" }} }}
          barred:
            command: [sleep, "1000"]
            health: {{ plugin: redis, every: 100ms, failures: 1, grace: 0s, config: {{ address: "127.0.0.1:{other}" }} }}
        "#
    ));
    kennel.start();
    kennel.wait_for_state("barred", "up");
    let before = kennel.process("barred");
    wait_for("a restart", BOUND, || {
        kennel.service("deaf")["restarts"].as_u64().filter(|restarts| *restarts > 0)
    });
    let grant = format!("net: [\"127.0.0.1:{other}\"]");
    kennel.wait_for_health("barred", "up", "unknown", &grant);
    assert_eq!(kennel.process("barred"), before);
    assert_eq!(kennel.terminate(), 0);
    kennel.assert_nothing_is_left();
}
