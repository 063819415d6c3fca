//! Restarting: what ends by itself comes back, waits, gives up, and what the operator
//! says stands above all of it.

use std::fs;

use nix::sys::signal::Signal;

use crate::support::{BOUND, Kennel, wait_for};

/// Fails until there is a file "repaired".
const BROKEN: &str = r#"
    services:
      worker:
        shell: "echo run >> runs; test -e repaired || exit 3; exec sleep 1000"
        restart: { backoff: { initial: 10ms, max: 20ms }, limit: { max: 5, within: 1m } }
    "#;

#[test]
fn a_service_that_fails_too_often_is_given_up() {
    let kennel = Kennel::running(BROKEN);
    let worker = kennel.wait_for_state("worker", "failed");
    assert_eq!(worker["restarts"], 5);
    assert_eq!(worker["wanted"], "up");
    assert_eq!(worker["exit"]["code"], 3);
    let reason = worker["reason"].as_str().unwrap();
    assert!(reason.contains("exited with code 3"), "{reason}");
    assert!(reason.ends_with("more than 5 restarts within 1 min"), "{reason}");
    assert_eq!(kennel.read("runs").lines().count(), 6, "the first run and five restarts");

    let line = "Service worker: DOWN (restarts 5, failed)\n";
    assert_eq!(kennel.cli(&["status", "--plain"]).ok(), line);
    wait_for("the line in the supervisor's own output", BOUND, || {
        kennel.stdout().ends_with(line).then_some(())
    });
}

#[test]
fn the_supervisor_prints_a_line_at_every_change() {
    let mut kennel = Kennel::running("services: { web: { command: [sleep, '1000'] } }");
    kennel.wait_for_state("web", "up");
    let pid = kennel.pid("web");
    assert_eq!(
        kennel.cli(&["status", "--plain"]).ok(),
        format!("Service web: UP (pid {pid}, restarts 0)\n")
    );
    assert_eq!(kennel.terminate(), 0);
    assert_eq!(
        kennel.stdout(),
        format!(
            "Service web: DOWN (restarts 0, starting)\n\
             Service web: UP (pid {pid}, restarts 0)\n\
             Service web: DOWN (restarts 0, stopping)\n\
             Service web: DOWN (restarts 0)\n"
        )
    );
}

#[test]
fn a_reset_tries_what_has_failed_again_and_forgets_the_count() {
    let kennel = Kennel::running(BROKEN);
    kennel.wait_for_state("worker", "failed");
    kennel.write("repaired", "");
    assert_eq!(kennel.cli(&["reset", "worker"]).code, 0);
    let worker = kennel.wait_for_state("worker", "up");
    assert_eq!(worker["restarts"], 0);
}

#[test]
fn start_tries_what_has_failed_again_and_tells_how_that_went() {
    let kennel = Kennel::running(BROKEN);
    kennel.wait_for_state("worker", "failed");
    let output = kennel.cli(&["start", "worker"]);
    assert_eq!(output.code, 1, "{output:#?}");
    let said = output.stdout + &output.stderr;
    assert!(said.contains("worker") && said.contains("exited with code 3"), "{said}");

    kennel.wait_for_state("worker", "failed");
    kennel.write("repaired", "");
    assert_eq!(kennel.cli(&["start", "worker"]).code, 0);
    assert_eq!(kennel.service("worker")["state"], "up");
}

#[test]
fn a_missing_program_is_counted_and_backed_off_and_recovers_when_it_appears() {
    let kennel = Kennel::running(
        r#"
        services:
          late:
            command: [./late.sh]
            restart: { backoff: { initial: 50ms, max: 200ms }, limit: none }
        "#,
    );
    let late = wait_for("three attempts", BOUND, || {
        Some(kennel.service("late")).filter(|late| late["restarts"].as_u64() >= Some(3))
    });
    assert!(late["pid"].is_null(), "{late:#}");
    let failed = kennel.wait_for_event("service.start_failed", "late");
    let message = failed["message"].as_str().unwrap();
    assert!(message.contains("late.sh\": no such file"), "{message}");

    // Put there in one step: half a script must not be run.
    kennel.program("new", "#!/bin/sh\nexec sleep 1000\n");
    fs::rename(kennel.path("new"), kennel.path("late.sh")).unwrap();
    kennel.wait_for_state("late", "up");
}

#[test]
fn the_waits_grow_and_the_next_one_is_visible() {
    let kennel = Kennel::running(
        r#"
        services:
          quick:
            shell: "exit 1"
            restart: { backoff: { initial: 20ms, factor: 3, max: 300ms, jitter: 0% }, limit: { max: 5, within: 1m } }
          slow:
            shell: "exit 1"
            restart: { backoff: { initial: 10m, max: 10m, jitter: 0% } }
        "#,
    );
    kennel.wait_for_state("quick", "failed");
    let backoffs = kennel.events_of("service.backoff", "quick");
    let delays: Vec<_> = backoffs.iter().map(|event| &event["attributes"]["delay_ms"]).collect();
    assert_eq!(delays, [20, 60, 180, 300, 300]);

    let slow = kennel.wait_for_state("slow", "backoff");
    let left = slow["next_restart_in_ms"].as_u64().expect("a wait in milliseconds");
    assert!((540_000..=600_000).contains(&left), "{left}");
    assert!(slow["reason"].as_str().unwrap().contains("next try in"), "{slow:#}");
    assert!(kennel.service("quick")["next_restart_in_ms"].is_null());
    // Nobody has to wait for it.
    assert_eq!(kennel.cli(&["stop", "slow"]).code, 0);
    assert_eq!(kennel.service("slow")["state"], "down");
}

#[test]
fn jitter_stays_within_what_is_configured() {
    let kennel = Kennel::running(
        r#"
        services:
          quick:
            shell: "exit 1"
            restart: { backoff: { initial: 100ms, factor: 1, jitter: 50% }, limit: { max: 20, within: 1m } }
        "#,
    );
    kennel.wait_for_state("quick", "failed");
    let backoffs = kennel.events_of("service.backoff", "quick");
    let delays: Vec<_> =
        backoffs.iter().map(|event| event["attributes"]["delay_ms"].as_u64().unwrap()).collect();
    assert_eq!(delays.len(), 20);
    assert!(delays.iter().all(|delay| (50..=150).contains(delay)), "{delays:?}");
    assert!(delays.iter().any(|delay| *delay != delays[0]), "{delays:?}");
}

#[test]
fn the_first_failure_after_a_stable_run_restarts_at_once() {
    let kennel = Kennel::running(
        r#"
        services:
          web:
            shell: "test -e failed || { echo > failed; exit 1; }; exec sleep 1000"
            restart: { backoff: { initial: 300ms, jitter: 0% }, reset_after: 200ms }
        "#,
    );
    kennel.wait_for_event("service.stable", "web");
    let before = kennel.process("web");
    before.signal(Signal::SIGKILL);
    kennel.wait_for_new_run("web", &before);
    let backoffs = kennel.events_of("service.backoff", "web");
    let told: Vec<_> = backoffs
        .iter()
        .map(|event| (&event["attributes"]["delay_ms"], &event["attributes"]["rule"]))
        .collect();
    assert_eq!(told, [(&300.into(), &"backoff".into()), (&0.into(), &"first-after-stable".into())]);
}

#[test]
fn a_signal_reaches_the_main_process() {
    let kennel = Kennel::running(
        r#"
        services:
          web: { shell: "trap 'echo HUP >> got' HUP; while :; do sleep 0.05; done" }
          off: { command: [sleep, "1000"], enabled: false }
        "#,
    );
    kennel.wait_for_state("web", "up");
    let pid = kennel.pid("web");
    for name in ["HUP", "SIGHUP", "hup", "1"] {
        let _ = fs::remove_file(kennel.path("got"));
        assert_eq!(kennel.cli(&["signal", name, "web"]).code, 0, "{name}");
        assert_eq!(kennel.wait_for_file("got"), "HUP\n");
    }
    assert_eq!(kennel.pid("web"), pid);
    assert_eq!(kennel.events_of("service.signalled", "web").len(), 4);
    kennel.cli(&["signal", "SIGHUB", "web"]).fails_saying(2, &["SIGHUB", "HUP"]);
    let output = kennel.cli(&["signal", "HUP", "off"]);
    assert_eq!(output.code, 1, "{output:#?}");
}

#[test]
fn restart_replaces_the_process_and_counts_nothing() {
    let kennel = Kennel::running("services: { web: { command: [sleep, '1000'] } }");
    kennel.wait_for_state("web", "up");
    let before = kennel.process("web");
    assert_eq!(kennel.cli(&["restart", "web"]).code, 0);
    assert!(!before.is_alive());
    let web = kennel.service("web");
    assert_eq!((&web["state"], &web["restarts"]), (&"up".into(), &0.into()));
    assert_ne!(web["pid"], before.pid);
}

#[test]
fn what_the_operator_stopped_stays_stopped_whatever_the_policy_says() {
    let kennel = Kennel::running(
        r#"
        services:
          web:
            shell: "exit 1"
            restart: { policy: always, backoff: { initial: 50ms, max: 50ms }, limit: none }
        "#,
    );
    wait_for("some restarts", BOUND, || {
        (kennel.service("web")["restarts"].as_u64() >= Some(2)).then_some(())
    });
    assert_eq!(kennel.cli(&["stop", "web"]).code, 0);
    let stopped = kennel.service("web");
    assert_eq!((&stopped["state"], &stopped["wanted"]), (&"down".into(), &"down".into()));
    // A reload that changes it is no order to start it.
    kennel.configure("services: { web: { command: [sleep, '1000'] } }");
    assert_eq!(kennel.cli(&["reload"]).code, 0);
    assert_eq!(kennel.cli(&["reset", "web"]).code, 0);
    let after = kennel.service("web");
    assert_eq!((&after["state"], &after["wanted"]), (&"down".into(), &"down".into()));
    let stopped = kennel.seq("service.wanted", "web").max(kennel.seq("service.stopped", "web"));
    let later = |event: &&serde_json::Value| event["seq"].as_u64() > Some(stopped);
    assert_eq!(kennel.events_of("service.started", "web").iter().find(later), None);
    assert_eq!(kennel.cli(&["start", "web"]).code, 0);
    assert_eq!(kennel.service("web")["state"], "up");
}

#[test]
fn a_oneshot_is_done_once_and_repeated_only_on_failure() {
    let kennel = Kennel::running(
        r#"
        services:
          prepare: { type: oneshot, shell: "echo run >> prepared" }
          flaky:
            type: oneshot
            shell: "echo run >> tried; test $(wc -l < tried) -ge 3"
            restart: { policy: on_failure, backoff: { initial: 10ms } }
          after:
            depends_on: { prepare: done, flaky: done }
            command: [sleep, "1000"]
        "#,
    );
    kennel.wait_for_state("after", "up");
    assert_eq!(kennel.read("prepared"), "run\n");
    assert_eq!(kennel.read("tried"), "run\nrun\nrun\n");
    assert_eq!(kennel.service("prepare")["state"], "done");
    assert_eq!(kennel.service("flaky")["state"], "done");
    assert_eq!(kennel.service("flaky")["restarts"], 2);
    assert!(
        kennel.cli(&["status", "--plain", "prepare"]).ok()
            == "Service prepare: DOWN (restarts 0, done)\n"
    );
}

#[test]
fn replicas_are_told_apart_and_handled_together_or_alone() {
    let kennel = Kennel::running(
        r#"
        services:
          web:
            replicas: 2
            shell: "echo $KENNEL_SERVICE $KENNEL_INSTANCE > replica.$KENNEL_INSTANCE; exec sleep 1000"
        "#,
    );
    kennel.wait_for_state("web/0", "up");
    kennel.wait_for_state("web/1", "up");
    assert_eq!(kennel.read("replica.0"), "web 0\n");
    assert_eq!(kennel.read("replica.1"), "web 1\n");
    let (zero, one) = (kennel.process("web/0"), kennel.process("web/1"));
    assert_eq!(kennel.cli(&["restart", "web/1"]).code, 0);
    assert!(zero.is_alive() && !one.is_alive());
    assert_eq!(kennel.cli(&["stop", "web"]).code, 0);
    assert!(!zero.is_alive());
    assert_eq!(
        kennel.cli(&["status", "--plain"]).ok(),
        "Service web/0: DOWN (restarts 0)\nService web/1: DOWN (restarts 0)\n"
    );
}

#[test]
fn a_dependent_waits_for_what_it_names_and_stays_up_when_that_crashes() {
    let kennel = Kennel::running(
        r#"
        services:
          app: { depends_on: { base: ready }, command: [sleep, "1000"] }
          base:
            command: [sleep, "1000"]
            restart: { backoff: { initial: 50ms } }
        "#,
    );
    kennel.wait_for_state("app", "up");
    assert!(kennel.seq("service.ready", "base") < kennel.seq("service.started", "app"));
    let (app, base) = (kennel.process("app"), kennel.process("base"));
    base.signal(Signal::SIGKILL);
    kennel.wait_for_new_run("base", &base);
    assert_eq!(kennel.process("app"), app);
}
