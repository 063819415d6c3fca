//! Real servers under supervision: nginx, redis and PostgreSQL as Debian ships them.

use nix::sys::signal::Signal;

use crate::support::process::{marked, of_group};
use crate::support::servers::{
    ask_postgres, ask_redis, free_port, needs_nginx, needs_postgres, needs_redis, nginx, postgres,
    psql, redis,
};
use crate::support::{BOUND, Kennel, Process, http, wait_for};

/// What crashed comes back soon, however often.
const RESTART: &str = "{ backoff: { initial: 100ms, max: 1s }, limit: none }";

/// Kills the main process of `name` and waits for its next run. When that one stands,
/// nothing of the old process group may be left.
#[track_caller]
fn kill_and_wait(kennel: &Kennel, name: &str) -> Process {
    let before = kennel.process(name);
    let group = of_group(before.group);
    assert!(group.contains(&before), "a service leads a group of its own");
    before.signal(Signal::SIGKILL);
    let after = kennel.wait_for_new_run(name, &before);
    let left: Vec<_> = group.iter().filter(|process| process.is_alive()).collect();
    assert!(left.is_empty(), "left of the old group: {left:#?}");
    let exited = kennel.wait_for_event("service.exited", name);
    assert_eq!(exited["attributes"]["signal"], "SIGKILL", "{exited:#}");
    after
}

#[test]
fn nginx_comes_back_after_kill_9_and_its_old_workers_are_gone() {
    if needs_nginx() {
        return;
    }
    let mut kennel = Kennel::new("");
    let port = free_port();
    let web = nginx(kennel.directory(), port);
    kennel.configure(&format!("services:\n  web:\n    {web}\n    restart: {RESTART}\n"));
    kennel.start();
    kennel.wait_for_state("web", "up");
    let served = || http::get_tcp(port, "/").ok().filter(|answer| answer.status == 200);
    assert_eq!(wait_for("nginx to answer", BOUND, served).body, "served by nginx");
    let workers = of_group(kennel.process("web").group).len();
    assert!(workers >= 3, "a master and two workers, not {workers}");

    kill_and_wait(&kennel, "web");
    assert_eq!(wait_for("nginx to answer again", BOUND, served).body, "served by nginx");
    assert_eq!(kennel.service("web")["restarts"], 1);

    assert_eq!(kennel.cli(&["stop", "web"]).code, 0);
    assert!(http::get_tcp(port, "/").is_err(), "a stopped nginx does not answer");
    assert_eq!(kennel.processes(), [], "nothing of nginx is left");
    assert_eq!(kennel.terminate(), 0);
    kennel.assert_nothing_is_left();
}

#[test]
fn redis_comes_back_after_kill_9_with_its_data() {
    if needs_redis() {
        return;
    }
    let mut kennel = Kennel::new("");
    let port = free_port();
    let cache = redis(kennel.directory(), port);
    kennel.configure(&format!("services:\n  cache:\n    {cache}\n    restart: {RESTART}\n"));
    kennel.start();
    kennel.wait_for_state("cache", "up");
    assert_eq!(ask_redis(port, "SET answer 42").unwrap(), "+OK\r\n");

    kill_and_wait(&kennel, "cache");
    let answer = wait_for("redis to answer again", BOUND, || ask_redis(port, "GET answer").ok());
    assert_eq!(answer, "$2\r\n42\r\n");

    assert_eq!(kennel.cli(&["stop", "cache"]).code, 0);
    assert_eq!(kennel.processes(), []);
    assert_eq!(kennel.terminate(), 0);
    kennel.assert_nothing_is_left();
}

#[test]
fn postgres_comes_back_after_kill_9_with_its_data() {
    if needs_postgres() {
        return;
    }
    let mut kennel = Kennel::new("");
    let port = free_port();
    let db = postgres(kennel.directory(), port);
    kennel.configure(&format!("services:\n  db:\n    {db}\n    restart: {RESTART}\n"));
    kennel.start();
    kennel.wait_for_state("db", "up");
    let ask =
        |statement: &str| wait_for("postgres to answer", BOUND, || ask_postgres(port, statement));
    ask("create table kept (value int)");
    ask("insert into kept values (42)");

    // Its backends lead sessions of their own, so they belong to no group of the service;
    // they notice by themselves that the postmaster is gone.
    let backends = marked(kennel.directory());
    let old = kennel.process("db");
    kill_and_wait(&kennel, "db");
    assert_eq!(ask("select value from kept"), "42");
    let supervisor = kennel.supervisor_pid();
    wait_for("the old backends to be gone", BOUND, || {
        backends.iter().all(|p| p.pid == supervisor || !p.is_alive()).then_some(())
    });
    assert!(!old.is_alive());

    // SIGTERM waits for clients, and there are none.
    assert_eq!(kennel.cli(&["stop", "db"]).code, 0);
    assert_eq!(kennel.service("db")["exit"]["code"], 0, "a clean end");
    assert_eq!(kennel.processes(), []);
    assert_eq!(kennel.terminate(), 0);
    kennel.assert_nothing_is_left();
}

#[test]
fn a_house_of_servers_starts_in_dependency_order_and_stops_in_reverse() {
    if needs_nginx() || needs_redis() || needs_postgres() {
        return;
    }
    let mut kennel = Kennel::new("");
    let (web_port, cache_port, db_port) = (free_port(), free_port(), free_port());
    let web = nginx(kennel.directory(), web_port);
    let cache = redis(kennel.directory(), cache_port);
    let db = postgres(kennel.directory(), db_port);
    let create = psql(db_port, "create table if not exists pages (name text)");
    let create = create.iter().map(|word| format!("{word:?}")).collect::<Vec<_>>().join(", ");
    kennel.configure(&format!(
        "services:\n  \
           web:\n    depends_on: {{ migrate: done, cache: ready }}\n    {web}\n  \
           cache:\n    {cache}\n  \
           migrate:\n    type: oneshot\n    depends_on: {{ db: ready }}\n    command: [{create}]\n    restart: {RESTART}\n  \
           db:\n    {db}\n    restart: {RESTART}\n"
    ));
    kennel.start();
    kennel.wait_for_state("web", "up");
    assert_eq!(kennel.service("migrate")["state"], "done");
    assert_eq!(ask_postgres(db_port, "select count(*) from pages").as_deref(), Some("0"));

    let seq = |kind: &str, service: &str| kennel.seq(kind, service);
    assert!(seq("service.ready", "db") < seq("service.started", "migrate"));
    assert!(seq("service.done", "migrate") < seq("service.started", "web"));
    assert!(seq("service.ready", "cache") < seq("service.started", "web"));

    assert_eq!(kennel.terminate(), 0);
    kennel.assert_nothing_is_left();
    // The journal tells the next supervisor what this one did.
    kennel.start();
    let seq = |kind: &str, service: &str| kennel.seq(kind, service);
    assert!(seq("service.exited", "web") < seq("service.stopping", "db"));
    assert!(seq("service.exited", "web") < seq("service.stopping", "cache"));
}
