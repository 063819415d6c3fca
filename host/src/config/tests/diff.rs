//! What a reload would do, as it is shown.

use super::super::plan;
use super::config;

const BASE: &str = "services: { web: { command: x, env: { PORT: 1 } }, db: { command: y } }";

#[test]
fn a_plan_says_what_changes_and_why() {
    for (new, expected) in [
        (BASE, "nothing to do"),
        ("services: { db: { command: y }, web: { shell: x, env: { PORT: 1 } } }", "web: restart, command changed"),
        (
            "services: { web: { command: x, env: { PORT: 2, HOST: h } }, db: { command: y } }",
            "web: restart, env \"HOST\" added, env \"PORT\" changed",
        ),
        (
            "services: { web: { command: x }, db: { command: y, restart: { limit: none } } }",
            "web: restart, env \"PORT\" removed\ndb: in place, restart.limit changed",
        ),
        (
            "services: { web: { command: x, env: { PORT: 1 } }, cache: { command: z } }",
            "cache: start, new\ndb: stop, removed",
        ),
        (
            "services: { web: { command: x, env: { PORT: 1 } }, db: { command: y, enabled: false, nice: 1 } }",
            "db: stop, no longer enabled, nice changed",
        ),
        (
            "services: { web: { command: x, env: { PORT: 1 }, replicas: 3, labels: { a: b } }, db: { command: y, type: oneshot } }",
            "web: in place, replicas changed, labels changed\ndb: restart, type changed",
        ),
        (
            "kennel: { name: y, shutdown_timeout: 5s }
services: { web: { command: x, env: { PORT: 1 } }, db: { command: y, logs: { keep: 1 }, stop: { command: z, steps: [{ signal: INT }] }, depends_on: [web] }, new: { command: z, enabled: false } }",
            "kennel: name changed, which takes a restart of kennel itself
kennel: state_dir changed, which takes a restart of kennel itself
kennel: socket changed, which takes a restart of kennel itself
kennel: in place, shutdown_timeout changed
db: in place, depends_on changed, stop.command changed, stop.steps changed, logs.keep changed
new: in place, new, not enabled",
        ),
        (
            "services: { web: { command: x, env: { PORT: 1 } }, db: { command: y, logs: { to: none }, restart: { policy: never, backoff: { max: 2m } } } }",
            "db: restart, logs.to changed, restart.policy changed, restart.backoff changed",
        ),
    ] {
        assert_eq!(plan(&config(BASE), &config(new)).to_string(), expected, "{new}");
    }
}

#[test]
fn a_service_that_becomes_enabled_starts() {
    let off = BASE.replace("command: y", "command: y, enabled: false");
    let plan = plan(&config(&off), &config(BASE));
    assert_eq!(plan.to_string(), "db: start, enabled");
    assert_eq!(plan.needs_supervisor_restart().count(), 0);
}

#[test]
fn values_of_the_environment_are_never_shown() {
    let secret = BASE.replace("PORT: 1", "PORT: hunter2");
    assert!(!plan(&config(BASE), &config(&secret)).to_string().contains("hunter2"));
}
