//! Several instances of a service: restarted a few at a time, more of them, fewer of them;
//! and the budget for getting up.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::support::{BOUND, Kennel, Process, wait_for};

/// Three instances; new runs fail, and never are ready, while there is a file "broken".
const THREE: &str = r#"
    services:
      web:
        shell: "test -e broken && exit 3; exec sleep 1000"
        replicas: 3
        ready: { command: [test, "!", -e, broken], every: 20ms }
        restart: { backoff: { initial: 60s } }
    "#;

fn pids(kennel: &Kennel) -> Vec<i32> {
    (0..3).map(|index| kennel.pid(&format!("web/{index}"))).collect()
}

fn wait_for_three(kennel: &Kennel) {
    for index in 0..3 {
        kennel.wait_for_state(&format!("web/{index}"), "up");
    }
}

/// What happened to instances of web, as "web/0 stopping", from this event on.
fn story(kennel: &Kennel, since: &str) -> Vec<String> {
    let events = kennel.events();
    let from = events.iter().position(|event| event["kind"] == since).expect("it happened");
    let told = |event: &Value| {
        let what = event["kind"].as_str()?.strip_prefix("service.")?;
        let name = event["service"].as_str()?;
        ["stopping", "ready", "rolled", "roll_failed"]
            .contains(&what)
            .then(|| format!("{name} {what}"))
    };
    events[from..].iter().filter_map(told).collect()
}

#[test]
fn a_rolling_restart_has_one_instance_down_at_a_time() {
    let kennel = Kennel::running(THREE);
    wait_for_three(&kennel);
    let before = pids(&kennel);
    let output = kennel.cli(&["restart", "web", "--rolling"]);
    assert_eq!(output.code, 0, "{output:#?}");
    assert_eq!(output.stdout.matches(": up in ").count(), 3, "{output:#?}");
    assert!(pids(&kennel).iter().all(|pid| !before.contains(pid)));
    assert_eq!(
        story(&kennel, "service.rolling"),
        [
            "web/0 stopping",
            "web/0 ready",
            "web/1 stopping",
            "web/1 ready",
            "web/2 stopping",
            "web/2 ready",
            "web rolled"
        ]
    );
}

#[test]
fn a_rolling_restart_stops_at_the_first_instance_that_does_not_come_up() {
    let kennel = Kennel::running(THREE);
    wait_for_three(&kennel);
    let before = pids(&kennel);
    kennel.write("broken", "");
    let output = kennel.cli(&["restart", "web", "--rolling"]);
    assert_eq!(output.code, 1, "{output:#?}");
    let said = &output.stderr;
    assert!(said.contains("cannot restart web/0: exited with code 3"), "{said}");
    for kept in ["web/1", "web/2"] {
        let line = format!("{kept}: not restarted, the rolling restart stopped before");
        assert!(said.contains(&line), "{said}");
    }
    assert_eq!(pids_of(&kennel, &["web/1", "web/2"]), before[1..], "they keep their runs");
    let failed = kennel.events_of("service.roll_failed", "web");
    let message = failed[0]["message"].as_str().unwrap();
    assert_eq!(
        message,
        "rolling restart stopped at web/0: exited with code 3; not restarted: web/1, web/2"
    );
    assert_eq!(failed[0]["attributes"]["not_restarted"], serde_json::json!(["web/1", "web/2"]));
}

#[test]
fn a_reload_of_several_instances_rolls_and_one_that_fails_leaves_the_others() {
    let kennel = Kennel::running(THREE);
    wait_for_three(&kennel);
    let before = pids(&kennel);
    kennel.configure(&THREE.replace("sleep 1000", "sleep 2000"));
    assert_eq!(kennel.cli(&["reload"]).code, 0);
    kennel.wait_for_event("service.rolled", "web");
    assert!(pids(&kennel).iter().all(|pid| !before.contains(pid)));

    let before = pids(&kennel);
    kennel.write("broken", "");
    kennel.configure(&THREE.replace("sleep 1000", "sleep 3000"));
    assert_eq!(kennel.cli(&["reload"]).code, 0);
    kennel.wait_for_event("service.roll_failed", "web");
    assert_eq!(kennel.service("web/0")["state"], "backoff");
    assert_eq!(pids_of(&kennel, &["web/1", "web/2"]), before[1..], "they keep what works");
}

/// The most instances of web that were unavailable at the same time since the rolling restart
/// began, by what is told: from its stop until it is healthy again.
fn most_unavailable(kennel: &Kennel) -> usize {
    let events = kennel.events();
    let from = events.iter().position(|event| event["kind"] == "service.rolling").unwrap();
    let mut unavailable = BTreeSet::new();
    let mut most = 0;
    for event in &events[from..] {
        let name = event["service"].as_str().unwrap_or_default();
        if event["kind"] == "service.stopping" {
            unavailable.insert(name);
        } else if event["kind"] == "health.changed" && event["attributes"]["to"] == "healthy" {
            assert!(unavailable.remove(name), "{name} was not stopped: {events:#?}");
        }
        most = most.max(unavailable.len());
    }
    assert_eq!(unavailable, BTreeSet::new(), "all are healthy in the end");
    most
}

#[test]
fn a_rolling_restart_takes_as_many_as_may_be_unavailable_until_they_are_healthy() {
    // Each run is healthy once the test says so, by a file that is gone before it is ready.
    let kennel = Kennel::running(
        r#"
        services:
          web:
            shell: 'rm -f "well.$KENNEL_INSTANCE"; echo >&3; exec sleep 1000 3>&-'
            replicas: 5
            ready: { notify: { fd: 3 } }
            health: { command: [sh, -c, 'test -e "well.$KENNEL_INSTANCE"'], every: 50ms, timeout: 30s, grace: 1h }
            rolling: { max_unavailable: 2, wait_for: healthy }
        "#,
    );
    let names: Vec<String> = (0..5).map(|index| format!("web/{index}")).collect();
    let up = |name: &str| {
        let service = kennel.service(name);
        let is_up = service["state"] == "up";
        is_up.then(|| Process::find(service["pid"].as_i64()? as i32)).flatten()
    };
    let heal = |name: &str| kennel.write(&name.replace("web/", "well."), "");
    let old: Vec<Process> = names
        .iter()
        .map(|name| {
            let process = wait_for(&format!("{name} to be up"), BOUND, || up(name));
            heal(name);
            process
        })
        .collect();
    for name in &names {
        wait_for(&format!("{name} to be healthy"), BOUND, || {
            (kennel.service(name)["health"] == "healthy").then_some(())
        });
    }

    let rolling = kennel.background(&["restart", "web", "--rolling"]);
    let mut renewed = BTreeSet::new();
    for most in [2, 4, 5] {
        // So many have new runs, and wait for their health; all others are the old ones.
        wait_for(&format!("{most} new runs"), BOUND, || {
            for (name, old) in names.iter().zip(&old) {
                if up(name).is_some_and(|now| now != *old) {
                    renewed.insert(name.clone());
                }
            }
            (renewed.len() >= most).then_some(())
        });
        let left = old.iter().filter(|process| process.is_alive()).count();
        assert_eq!((renewed.len(), left), (most, 5 - most), "{renewed:?}");
        renewed.iter().for_each(|name| heal(name));
    }
    let output = rolling.end();
    assert_eq!(output.code, 0, "{output:#?}");
    kennel.wait_for_event("service.rolled", "web");
    assert_eq!(most_unavailable(&kennel), 2);
}

fn pids_of(kennel: &Kennel, names: &[&str]) -> Vec<i32> {
    names.iter().map(|name| kennel.pid(name)).collect()
}

#[test]
fn a_service_is_scaled_up_and_down_and_that_holds_over_a_reload() {
    let kennel = Kennel::running(THREE);
    wait_for_three(&kennel);
    let before = pids(&kennel);

    let output = kennel.cli(&["scale", "web", "5"]);
    assert_eq!(output.code, 0, "{output:#?}");
    assert!(output.stdout.contains("web/4: up in "), "{output:#?}");
    assert!(output.stdout.contains("web/0: already up"), "{output:#?}");
    assert_eq!(pids(&kennel), before, "those that ran run on");
    assert_eq!(kennel.status()["services"].as_array().unwrap().len(), 5);

    assert_eq!(kennel.cli(&["reload"]).code, 0);
    assert_eq!(kennel.status()["services"].as_array().unwrap().len(), 5, "the file is as it was");

    let output = kennel.cli(&["scale", "web", "2"]);
    assert_eq!(output.code, 0, "{output:#?}");
    assert!(output.stdout.contains("web/4: removed"), "{output:#?}");
    let names: Vec<String> = kennel.status()["services"]
        .as_array()
        .unwrap()
        .iter()
        .map(|service| service["name"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(names, ["web/0", "web/1"]);

    kennel.configure(&THREE.replace("replicas: 3", "replicas: 4"));
    assert_eq!(kennel.cli(&["reload"]).code, 0);
    assert_eq!(kennel.status()["services"].as_array().unwrap().len(), 4, "the file has changed");
}

#[test]
fn what_cannot_be_scaled_is_said() {
    let kennel = Kennel::running(THREE);
    wait_for_three(&kennel);
    let output = kennel.cli(&["scale", "web/1", "3"]);
    assert_eq!(output.code, 1, "{output:#?}");
    assert!(output.stderr.contains("web/1") && output.stderr.contains("did you mean"));
    let output = kennel.cli(&["scale", "wbe", "3"]);
    assert!(output.stderr.contains("did you mean \"web\"?"), "{output:#?}");
    assert_eq!(kennel.cli(&["scale", "web", "0"]).code, 2);
    assert_eq!(kennel.status()["services"].as_array().unwrap().len(), 3);
}

#[test]
fn attempts_to_get_up_have_a_budget_of_their_own() {
    let kennel = Kennel::running(
        r#"
        services:
          web:
            shell: "echo run >> runs; test -e repaired || exit 7; exec sleep 1000"
            ready: { command: ["false"], every: 20ms, timeout: 10s }
            start: { attempts: 4, backoff: { initial: 10ms, factor: 2, max: 80ms } }
            restart: { limit: { max: 1, within: 1h } }
        "#,
    );
    let web = kennel.wait_for_state("web", "failed");
    let reason = web["reason"].as_str().unwrap();
    assert!(reason.ends_with("4 attempts to get up have failed"), "{reason}");
    assert!(reason.starts_with("exited with code 7, failed 4 times in "), "{reason}");
    assert_eq!(kennel.read("runs").lines().count(), 4);
    let attempts: Vec<u64> = kennel
        .events_of("service.backoff", "web")
        .iter()
        .map(|event| event["attributes"]["attempt"].as_u64().unwrap())
        .collect();
    assert_eq!(attempts, [2, 3, 4]);
    let failed = kennel.wait_for_event("service.failed", "web");
    assert_eq!(failed["attributes"]["reason"], "attempts");

    // Getting up and then crashing is another matter, with the limit of restarts.
    kennel.write("repaired", "");
    kennel.configure(
        r#"
        services:
          web:
            shell: "echo run >> runs; sleep 0.1; exit 8"
            ready: { command: ["true"], every: 20ms }
            start: { attempts: 4, backoff: { initial: 10ms } }
            restart: { limit: { max: 1, within: 1h }, backoff: { initial: 10ms } }
        "#,
    );
    assert_eq!(kennel.cli(&["reload"]).code, 0);
    wait_for("the restart limit to be reached", BOUND, || {
        let web = kennel.service("web");
        let reason = web["reason"].as_str()?.to_owned();
        (web["state"] == "failed" && reason.ends_with("more than 1 restart within 1 h"))
            .then_some(())
    });
}

#[test]
fn attempts_that_fail_retry_later_where_it_says_so() {
    let kennel = Kennel::running(
        r#"
        services:
          web:
            shell: "test -e repaired || exit 7; exec sleep 1000"
            ready: { command: [test, -e, repaired], every: 20ms, timeout: 30s }
            start: { attempts: 2, backoff: { initial: 10ms }, on_give_up: { retry_after: 300ms } }
            restart: { limit: { max: 1, within: 1h } }
        "#,
    );
    let failed = wait_for("a second failure for good", BOUND, || {
        kennel.events_of("service.failed", "web").into_iter().nth(1)
    });
    assert_eq!(failed["attributes"]["reason"], "attempts");
    // No attempt was counted as a restart, of which one is allowed.
    let waits = kennel.events_of("service.backoff", "web");
    assert!(waits.iter().all(|event| event["attributes"]["attempt"] == 2), "{waits:#?}");
    kennel.write("repaired", "");
    kennel.wait_for_state("web", "up");
}

#[test]
fn attempts_that_fail_end_the_supervisor_where_it_says_so() {
    let mut kennel = Kennel::running(
        r#"
        services:
          other: { command: [sleep, "1000"] }
          web:
            shell: "until test -e go; do sleep 0.02; done; exit 7"
            ready: { command: ["false"], every: 20ms }
            start: { attempts: 3, backoff: { initial: 10ms }, on_give_up: exit }
        "#,
    );
    kennel.wait_for_state("other", "up");
    let other = kennel.process("other");
    kennel.write("go", "");
    assert_eq!(kennel.wait_for_exit(), 1);
    assert!(!other.is_alive(), "what else ran was stopped");
    kennel.assert_nothing_is_left();

    // The journal has it, attempt by attempt, with a reason of its own.
    kennel.configure("services: { other: { command: [sleep, '1000'] } }");
    kennel.start();
    let runs = kennel.events_of("service.exited", "web");
    let codes: Vec<_> = runs.iter().map(|event| event["attributes"]["code"].clone()).collect();
    assert_eq!(codes, [7, 7, 7], "{runs:#?}");
    let attempts: Vec<_> = kennel
        .events_of("service.backoff", "web")
        .iter()
        .map(|event| event["attributes"]["attempt"].clone())
        .collect();
    assert_eq!(attempts, [2, 3]);
    let failed = kennel.events_of("service.failed", "web");
    assert_eq!(failed.len(), 1);
    assert_eq!(failed[0]["attributes"]["reason"], "attempts");
    assert!(failed[0]["message"].as_str().unwrap().contains("3 attempts to get up have failed"));
    let stopped = kennel.events_of("service.stopping", "other");
    assert_eq!(stopped.len(), 1);
    assert!(failed[0]["seq"].as_u64() < stopped[0]["seq"].as_u64());
}
