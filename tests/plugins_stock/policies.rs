//! `exit-codes`, `budget` and `quiet-hours` decide over real processes.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::support::{BOUND, Kennel, wait_for};

/// What the policy of an instance chose: milliseconds, and why.
fn choices(kennel: &Kennel, instance: &str) -> Vec<(u64, String)> {
    let events = kennel.events_of("service.policy", instance);
    events
        .iter()
        .map(|event| (event["attributes"]["delay_ms"].as_u64().unwrap(), why(event)))
        .collect()
}

/// The policy's own words.
fn why(event: &Value) -> String {
    let message = event["message"].as_str().unwrap();
    message.split_once(": ").map(|(_, why)| why.to_owned()).unwrap_or_default()
}

#[test]
fn what_follows_a_run_depends_on_its_exit_code() {
    let kennel = Kennel::running(
        r#"
        plugins: { codes: { source: "stock:exit-codes", grants: { give_up: true } } }
        defaults:
          restart:
            backoff: { initial: 10m, max: 10m }
            policy_plugin:
              plugin: codes
              required: true
              config:
                rules:
                  - { exit: EX_TEMPFAIL, restart_after: 1h }
                  - { exit: 64-78, give_up: "wrong configuration" }
                  - { exit: 42, then: restart_now }
                  - { signal: [KILL, SEGV], restart_after: 2h }
                  - { cause: start-failed, restart_after: 3h }
        services:
          temporary: { shell: "exit 75" }
          wrong: { shell: "exit 78" }
          other: { shell: "exit 3" }
          quick:
            shell: "echo >> quick; test -e repaired || exit 42; exec sleep 1000"
            restart: { limit: none }
          killed: { command: [sleep, "1000"] }
          missing: { command: [./no-such-program] }
        "#,
    );
    kennel.wait_for_state("killed", "up");
    kennel.process("killed").signal(Signal::SIGKILL);

    let wrong = kennel.wait_for_state("wrong", "failed");
    let reason = wrong["reason"].as_str().unwrap();
    assert!(reason.contains("exit code 78 (EX_CONFIG): wrong configuration"), "{reason}");
    assert_eq!(wrong["restarts"], 0);

    for (service, hours, because) in [
        ("temporary", 1, "exit code 75 (EX_TEMPFAIL): rule 1"),
        ("killed", 2, "SIGKILL: rule 4"),
        ("missing", 3, "start failed: rule 5"),
    ] {
        let chosen = kennel.wait_for_event("service.policy", service);
        assert_eq!(why(&chosen), because);
        let left = kennel.service(service)["next_restart_in_ms"].as_u64().unwrap();
        let hour = 3_600_000;
        assert!((hour * hours - 120_000..=hour * hours).contains(&left), "{service}: {left}");
    }

    // Nothing in the table: the built-in wait.
    let other = kennel.wait_for_state("other", "backoff");
    assert!(other["next_restart_in_ms"].as_u64().unwrap() <= 660_000, "{other:#}");
    assert_eq!(choices(&kennel, "other"), []);

    // At once, although the built-in wait is ten minutes.
    wait_for("restarts without a wait", BOUND, || {
        (kennel.read("quick").lines().count() >= 5).then_some(())
    });
    kennel.write("repaired", "");
    kennel.wait_for_state("quick", "up");
    assert!(choices(&kennel, "quick").iter().all(|(ms, why)| *ms == 0 && why.ends_with("rule 3")));
}

#[test]
fn a_policy_without_the_grant_gives_nothing_up() {
    let kennel = Kennel::running(
        r#"
        plugins: { codes: { source: "stock:exit-codes" } }
        services:
          worker:
            shell: "exit 78"
            restart:
              backoff: { initial: 20ms, max: 20ms }
              limit: none
              policy_plugin:
                { plugin: codes, required: true, config: { rules: [{ exit: 78, then: give_up }] } }
        "#,
    );
    let denied = kennel.wait_for_event("plugin.denied", "worker");
    assert!(denied["message"].as_str().unwrap().contains("give_up"), "{denied:#}");
    wait_for("restarts all the same", BOUND, || {
        (kennel.service("worker")["restarts"].as_u64() >= Some(3)).then_some(())
    });
}

#[test]
fn the_limit_of_the_service_stands_above_its_policy() {
    let kennel = Kennel::running(
        r#"
        plugins: { codes: { source: "stock:exit-codes" } }
        services:
          worker:
            shell: "exit 1"
            restart:
              limit: { max: 4, within: 1m }
              policy_plugin:
                plugin: codes
                required: true
                config: { rules: [{ exit: 1, then: restart_now }] }
        "#,
    );
    let worker = kennel.wait_for_state("worker", "failed");
    assert_eq!(worker["restarts"], 4);
    let reason = worker["reason"].as_str().unwrap();
    assert!(reason.ends_with("more than 4 restarts within 1 min"), "{reason}");
}

#[test]
fn what_the_operator_wants_stands_above_a_policy() {
    let kennel = Kennel::running(
        r#"
        plugins: { codes: { source: "stock:exit-codes" } }
        services:
          worker:
            shell: "test -e repaired || exit 75; exec sleep 1000"
            restart:
              policy_plugin:
                plugin: codes
                required: true
                config: { rules: [{ exit: 75, restart_after: 5h }] }
          stopped:
            shell: "exit 75"
            restart:
              policy_plugin:
                plugin: codes
                required: true
                config: { rules: [{ exit: 75, then: restart_now }] }
              limit: none
        "#,
    );
    kennel.wait_for_event("service.policy", "worker");
    kennel.write("repaired", "");
    assert_eq!(kennel.cli(&["start", "worker"]).code, 0);
    kennel.wait_for_state("worker", "up");

    kennel.wait_for_event("service.policy", "stopped");
    assert_eq!(kennel.cli(&["stop", "stopped"]).code, 0);
    let runs = kennel.service("stopped")["restarts"].clone();
    // Another decision of the other one's is a moment in which this could have come back.
    kennel.process("worker").signal(Signal::SIGKILL);
    kennel.wait_for_state("worker", "up");
    let stopped = kennel.service("stopped");
    assert_eq!((&stopped["state"], &stopped["restarts"]), (&"down".into(), &runs));
}

/// Two restarts as built in, two slower ones, then none.
const BUDGET: &str = r#"
    plugins: { budget: { source: "stock:budget", grants: { give_up: true } } }
    services:
      worker:
        shell: "echo >> runs; exit 1"
        restart:
          backoff: { initial: 10ms, max: 10ms, jitter: 0% }
          limit: none
          policy_plugin:
            plugin: budget
            required: true
            config:
              levels:
                - { intensity: 2, period: 1m }
                - { intensity: 2, period: 1h, restart_after: 50ms }
    "#;

#[test]
fn a_budget_is_spent_level_by_level() {
    let kennel = Kennel::running(BUDGET);
    let worker = kennel.wait_for_state("worker", "failed");
    let reason = worker["reason"].as_str().unwrap();
    let expected = "all 2 levels of the budget are used up: more than 2 restarts within 1 h";
    assert!(reason.ends_with(expected), "{reason}");
    assert_eq!(kennel.read("runs").lines().count(), 5, "the first run and four restarts");
    let slow: Vec<_> = choices(&kennel, "worker").into_iter().map(|(_, why)| why).collect();
    assert_eq!(
        slow,
        ["level 2: restart 1 of 2 within 1 h", "level 2: restart 2 of 2 within 1 h"],
        "the first level leaves it to the built-in wait"
    );

    // Whoever starts it anew has the whole budget.
    assert_eq!(kennel.cli(&["reset", "worker"]).code, 0);
    wait_for("the second budget to be spent", BOUND, || {
        let is_over = kennel.service("worker")["state"] == "failed";
        (is_over && kennel.read("runs").lines().count() == 10).then_some(())
    });
}

#[test]
fn what_is_spent_is_remembered_over_a_new_supervisor() {
    let slow = BUDGET.replace("restart_after: 50ms", "restart_after: 20m");
    let mut kennel = Kennel::running(&slow);
    let spent = kennel.wait_for_event("service.policy", "worker");
    assert_eq!(why(&spent), "level 2: restart 1 of 2 within 1 h");
    assert_eq!(kennel.terminate(), 0);
    kennel.start();
    let reason = wait_for("the next decision", BOUND, || {
        let choices = choices(&kennel, "worker");
        choices.get(1).map(|(_, why)| why.clone())
    });
    assert_eq!(reason, "level 2: restart 2 of 2 within 1 h");
}

/// The hour of the day, in UTC.
fn hour() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    now.as_secs() / 3600 % 24
}

/// Hours around this one; in the next hour too it is no other hour of the day.
fn around(before: u64, after: u64) -> String {
    let (from, to) = ((hour() + 24 - before) % 24, (hour() + after) % 24);
    format!("{{ from: \"{from:02}:00\", to: \"{to:02}:00\" }}")
}

fn hours(kind: &str, hours: &str) -> String {
    format!(
        r#"
        plugins: {{ hours: {{ source: "stock:quiet-hours" }} }}
        services:
          worker:
            shell: "echo >> runs; test -e repaired || exit 1; exec sleep 1000"
            restart:
              backoff: {{ initial: 10ms, max: 10ms }}
              limit: none
              policy_plugin:
                {{ plugin: hours, required: true, config: {{ {kind}: [{hours}] }} }}
        "#
    )
}

#[test]
fn restarts_wait_for_the_end_of_the_quiet_hours_unless_somebody_wants_one() {
    for (kind, around, because) in [
        ("quiet", around(1, 3), "quiet hours: restarts "),
        ("maintenance", around(20, 22), "outside of the maintenance windows: restarts "),
    ] {
        let kennel = Kennel::running(&hours(kind, &around));
        let chosen = kennel.wait_for_event("service.policy", "worker");
        let reason = why(&chosen);
        assert!(reason.starts_with(because) && reason.contains(" UTC, in "), "{reason}");
        let worker = kennel.service("worker");
        assert_eq!(worker["state"], "backoff");
        let left = Duration::from_millis(worker["next_restart_in_ms"].as_u64().unwrap());
        let (least, most) = (Duration::from_secs(3600), Duration::from_secs(4 * 3600));
        assert!((least..most).contains(&left), "{left:?}");

        kennel.write("repaired", "");
        assert_eq!(kennel.cli(&["restart", "worker"]).code, 0);
        kennel.wait_for_state("worker", "up");
    }
}

#[test]
fn restarts_outside_of_the_quiet_hours_are_as_built_in() {
    for (kind, around) in [("quiet", around(20, 22)), ("maintenance", around(1, 3))] {
        let kennel = Kennel::running(&hours(kind, &around));
        wait_for("restarts", BOUND, || (kennel.read("runs").lines().count() >= 4).then_some(()));
        assert_eq!(choices(&kennel, "worker"), [], "{kind}");
    }
}
