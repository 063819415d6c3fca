//! Dependents: what they wait for, at the first start and at every later one, what becomes
//! of them when a dependency fails, and how they come back with it.

use nix::sys::signal::Signal;

use crate::support::{BOUND, Kennel, wait_for};

/// The line of a service in the table of `kennel status`.
fn row(kennel: &Kennel, service: &str) -> String {
    let table = kennel.cli(&["status"]).ok();
    let row = table.lines().find(|line| line.split_whitespace().next() == Some(service));
    row.unwrap_or_else(|| panic!("no {service} in\n{table}")).to_owned()
}

/// Waits until the table says of a service that it waits, and this at the end of its line.
#[track_caller]
fn wait_for_row(kennel: &Kennel, service: &str, end: &str) {
    wait_for(&format!("{service} to be told as waiting: {end}"), BOUND, || {
        let row = row(kennel, service);
        let state = row.split_whitespace().nth(1)?;
        (state == "waiting" && row.trim_end().ends_with(end)).then_some(())
    });
}

/// `db` is ready while there is a file "open"; `web` notes whether there was one when it
/// started.
const GATED: &str = r#"
    services:
      db:
        command: [sleep, "1000"]
        ready: { command: [test, -e, open], every: 20ms }
        restart: { backoff: { initial: 10ms } }
      web:
        shell: "if test -e open; then echo open; else echo closed; fi >> starts; exec sleep 1000"
        depends_on: { db: ready }
        restart: { backoff: { initial: 10ms } }
    "#;

#[test]
fn a_dependent_waits_at_the_first_start_and_while_its_dependency_is_restarted() {
    let kennel = Kennel::running(GATED);
    kennel.wait_for_event("service.started", "db");
    wait_for_row(&kennel, "web", "waits for db to be ready, which is starting");
    assert!(kennel.service("web")["pid"].is_null());
    assert_eq!(kennel.read("starts"), "");
    kennel.write("open", "");
    kennel.wait_for_state("web", "up");
    let (db, web) = (kennel.process("db"), kennel.process("web"));

    // A crash of what it requires leaves it up; when it crashes itself meanwhile, it waits.
    std::fs::remove_file(kennel.path("open")).unwrap();
    db.signal(Signal::SIGKILL);
    let again = wait_for("db to have another process", BOUND, || {
        let db_now = kennel.service("db")["pid"].as_i64()? as i32;
        (db_now != db.pid).then_some(db_now)
    });
    assert_eq!(kennel.process("web"), web, "it stays up");
    web.signal(Signal::SIGKILL);
    wait_for_row(&kennel, "web", "waits for db to be ready, which is starting");
    assert_eq!(kennel.service("db")["state"], "starting");
    assert_eq!(kennel.read("starts"), "open\n", "it was not started again");
    kennel.write("open", "");
    kennel.wait_for_state("web", "up");
    assert_eq!(kennel.pid("db"), again);

    // The same when the operator restarts both.
    std::fs::remove_file(kennel.path("open")).unwrap();
    kennel.cli(&["restart", "db", "--no-wait"]).ok();
    kennel.cli(&["restart", "web", "--no-wait"]).ok();
    wait_for_row(&kennel, "web", "waits for db to be ready, which is starting");
    assert_eq!(kennel.read("starts"), "open\nopen\n");
    kennel.write("open", "");
    kennel.wait_for_state("web", "up");
    assert_eq!(kennel.wait_for_file("starts"), "open\nopen\nopen\n");
}

/// `cache` decides when there is a file "decide": it works if there is a file "good".
const SOFT: &str = r#"
    services:
      cache:
        shell: "until test -e decide; do sleep 0.02; done; test -e good || exit 3; exec sleep 1000"
        ready: { command: [test, -e, good], every: 20ms }
        restart: { backoff: { initial: 1h, max: 1h } }
      wants: { command: [sleep, "1000"], depends_on: { cache: { for: ready, required: false } } }
      needs: { command: [sleep, "1000"], depends_on: [cache] }
    "#;

#[test]
fn what_is_only_wanted_is_waited_for_on_its_way_up_and_not_once_it_has_failed() {
    let kennel = Kennel::running(SOFT);
    kennel.wait_for_event("service.started", "cache");
    for name in ["wants", "needs"] {
        wait_for_row(&kennel, name, "waits for cache to be ready, which is starting");
    }
    kennel.write("decide", "");
    kennel.wait_for_state("wants", "up");
    let wants = kennel.process("wants");
    assert_eq!(kennel.service("cache")["state"], "backoff");
    wait_for_row(&kennel, "needs", "waits for cache to be ready, which failed and is tried again");

    // It works after all: who requires it comes, and who runs is left alone.
    kennel.write("good", "");
    kennel.cli(&["start", "cache"]).ok();
    kennel.wait_for_state("needs", "up");
    assert_eq!(kennel.process("wants"), wants);

    // Stopped by the operator, it takes along only who requires it.
    kennel.cli(&["stop", "cache"]).ok();
    assert!(kennel.service("needs")["pid"].is_null());
    assert_eq!(kennel.service("needs")["wanted"], "up");
    wait_for_row(&kennel, "needs", "waits for cache to be ready, which is stopped");
    assert_eq!(kennel.service("wants")["state"], "up");
    assert_eq!(kennel.process("wants"), wants);
}

#[test]
fn dependents_restart_with_what_they_require_where_it_says_so() {
    let kennel = Kennel::running(
        r#"
        defaults: { command: [sleep, "1000"], restart: { backoff: { initial: 10ms } } }
        services:
          db: { restart: { restart_dependents: true } }
          web: { depends_on: [db], restart: { restart_dependents: true } }
          proxy: { depends_on: [web] }
          tail: { depends_on: [proxy] }
          report: { depends_on: { db: { for: ready, required: false } } }
        "#,
    );
    let names = ["db", "web", "proxy", "tail", "report"];
    let [db, web, proxy, tail, report] = names.map(|name| {
        kennel.wait_for_state(name, "up");
        kennel.process(name)
    });
    db.signal(Signal::SIGKILL);
    kennel.wait_for_new_run("proxy", &proxy);
    assert!(!web.is_alive() && !proxy.is_alive());
    kennel.wait_for_new_run("web", &web);
    kennel.wait_for_new_run("db", &db);
    // What only wants it stays, and so do dependents of who does not say so.
    assert_eq!((kennel.process("report"), kennel.process("tail")), (report, tail));

    // In order: nobody was started again before what it requires was ready again.
    let events = kennel.events();
    let last = |kind: &str, service: &str| {
        events.iter().rposition(|event| event["kind"] == kind && event["service"] == service)
    };
    assert!(last("service.ready", "db") < last("service.started", "web"), "{events:#?}");
    assert!(last("service.ready", "web") < last("service.started", "proxy"), "{events:#?}");
    assert!(last("service.exited", "proxy") < last("service.exited", "web"), "{events:#?}");
}

#[test]
fn dependents_come_up_when_a_dependency_that_had_failed_is_tried_again_and_works() {
    let kennel = Kennel::running(
        r#"
        services:
          db:
            shell: "test -e repaired || exit 3; exec sleep 1000"
            restart:
              backoff: { initial: 10ms, max: 10ms }
              limit: { max: 1, within: 1h }
              on_give_up: { retry_after: 2s }
          web: { command: [sleep, "1000"], depends_on: [db] }
          proxy: { command: [sleep, "1000"], depends_on: [web] }
        "#,
    );
    // It fails for good, again and again; nobody who requires it is started.
    wait_for("two failures for good", BOUND, || {
        (kennel.events_of("service.failed", "db").len() >= 2).then_some(())
    });
    for name in ["web", "proxy"] {
        assert_eq!(kennel.service(name)["state"], "waiting");
        assert_eq!(kennel.events_of("service.started", name), [] as [serde_json::Value; 0]);
    }
    wait_for_row(&kennel, "web", "waits for db to be ready, which has failed");
    wait_for_row(&kennel, "proxy", "waits for web to be ready, which is waiting");
    kennel.write("repaired", "");
    for name in ["db", "web", "proxy"] {
        kennel.wait_for_state(name, "up");
    }
}
