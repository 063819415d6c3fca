//! nginx, redis and PostgreSQL, watched by built-in checks, stopped in their tracks and killed.

use nix::sys::signal::Signal;

use crate::support::process::of_group;
use crate::support::servers::{
    free_port, needs_nginx, needs_postgres, needs_redis, nginx, postgres, psql, redis,
};
use crate::support::{Kennel, Process};

const RESTART: &str = "restart: { backoff: { initial: 100ms, max: 1s }, limit: none }\n    \
                       stop: { steps: [{ signal: SIGTERM, wait: 1s }] }";

/// Stops every process of a service as a debugger would: it answers nobody, and is there.
fn freeze(process: &Process) {
    of_group(process.group).iter().for_each(|one| one.signal(Signal::SIGSTOP));
}

#[test]
fn an_nginx_that_is_frozen_is_late_and_then_replaced() {
    if needs_nginx() {
        return;
    }
    let mut kennel = Kennel::new("");
    let port = free_port();
    let web = nginx(kennel.directory(), port);
    kennel.configure(&format!(
        "services:\n  web:\n    {web}\n    {RESTART}\n    \
         ready: {{ http: \"http://127.0.0.1:{port}/\" }}\n    \
         health: {{ http: \"http://127.0.0.1:{port}/\", expect: {{ body: by nginx }}, every: 100ms, \
         timeout: 500ms, timeouts: 4, grace: 0s }}\n"
    ));
    kennel.start();
    kennel.wait_for_verdict("web", "healthy", "");
    let before = kennel.process("web");
    freeze(&before);
    kennel.wait_for_new_run("web", &before);
    kennel.wait_for_verdict("web", "healthy", "");
    let changes = kennel.changes("web");
    assert_eq!(changes[1].0, "healthy>degraded", "slow at first: {changes:#?}");
    assert!(changes[1].1.contains("no answer of GET http://127.0.0.1:"), "{changes:#?}");
    let message = kennel.wait_for_event("service.stopping", "web")["message"].to_string();
    println!("{message}");
    for part in ["4 times in a row", "its processes used 0.0 s of CPU and wrote nothing"] {
        assert!(message.contains(part), "{message}");
    }
    assert_eq!(kennel.service("web")["restarts"], 1);
    kennel.end();
}

#[test]
fn a_redis_that_listens_no_more_is_refused_and_replaced() {
    if needs_redis() {
        return;
    }
    let mut kennel = Kennel::new("");
    let port = free_port();
    let cache = redis(kennel.directory(), port);
    kennel.configure(&format!(
        "services:\n  cache:\n    {cache}\n    {RESTART}\n    \
         ready: {{ tcp: \"127.0.0.1:{port}\" }}\n    \
         health: [{{ tcp: \"127.0.0.1:{port}\", every: 100ms, failures: 3, grace: 0s }}]\n"
    ));
    kennel.start();
    kennel.wait_for_verdict("cache", "healthy", "");
    let before = kennel.process("cache");
    // It goes on living, elsewhere.
    let other = free_port();
    crate::support::servers::ask_redis(port, &format!("CONFIG SET port {other}")).unwrap();
    kennel.wait_for_new_run("cache", &before);
    kennel.wait_for_verdict("cache", "healthy", "");
    let message = kennel.wait_for_event("service.stopping", "cache")["message"].to_string();
    println!("{message}");
    assert!(message.contains("refused") && message.contains("3 times in a row"), "{message}");
    kennel.end();
}

#[test]
fn a_postgres_that_is_asked_by_its_own_client_is_healthy_and_a_frozen_one_late() {
    if needs_postgres() {
        return;
    }
    let mut kennel = Kennel::new("");
    let port = free_port();
    let db = postgres(kennel.directory(), port);
    let ask =
        psql(port, "select 1").iter().map(|w| format!("{w:?}")).collect::<Vec<_>>().join(", ");
    kennel.configure(&format!(
        "services:\n  db:\n    {db}\n    {RESTART}\n    ready: {{ command: [{ask}] }}\n    \
         health: {{ command: [{ask}], every: 200ms, timeout: 2s, timeouts: 2, grace: 0s }}\n"
    ));
    kennel.start();
    kennel.wait_for_verdict("db", "healthy", "");
    let before = kennel.process("db");
    freeze(&before);
    kennel.wait_for_new_run("db", &before);
    kennel.wait_for_verdict("db", "healthy", "");
    let message = kennel.wait_for_event("service.stopping", "db")["message"].to_string();
    println!("{message}");
    assert!(message.contains("2 times in a row"), "{message}");
    kennel.end();
}
