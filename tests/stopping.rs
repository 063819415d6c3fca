//! Stopping: services one by one, and the supervisor with all of them.

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::support::{BOUND, Kennel, Process, wait_for};

/// Ignores SIGTERM, and so does its child, whose pid it writes down.
const STUBBORN: &str = "trap '' TERM; sleep 1000 & echo $! > child; while :; do sleep 1; done";

/// The child that a service wrote down.
#[track_caller]
fn child(kennel: &Kennel) -> Process {
    let pid = kennel.wait_for_file("child");
    Process::find(pid.trim().parse().unwrap()).expect("the child runs")
}

#[test]
fn a_service_that_ignores_sigterm_is_killed_with_its_children_after_the_stated_wait() {
    let kennel = Kennel::running(&format!(
        r#"
        services:
          stubborn:
            shell: "{STUBBORN}"
            stop: {{ steps: [{{ signal: SIGTERM, wait: 700ms }}] }}
        "#
    ));
    kennel.wait_for_state("stubborn", "up");
    let (main, child) = (kennel.process("stubborn"), child(&kennel));
    assert_eq!(child.group, main.group);

    let begun = Instant::now();
    assert_eq!(kennel.cli(&["stop", "stubborn"]).code, 0);
    assert!(begun.elapsed() >= Duration::from_millis(700), "it has its time to end");
    assert!(!main.is_alive() && !child.is_alive());
    assert_eq!(kennel.processes(), []);

    let escalated = &kennel.events_of("service.escalated", "stubborn")[..];
    let [escalated] = escalated else { panic!("one escalation, not {escalated:#?}") };
    assert_eq!(escalated["attributes"]["signal"], "SIGKILL");
    assert_eq!(escalated["attributes"]["waited_ms"], 700);
    let service = kennel.service("stubborn");
    assert_eq!((&service["state"], &service["wanted"]), (&"down".into(), &"down".into()));
    assert_eq!(service["exit"]["signal"], "SIGKILL");
}

#[test]
fn every_step_is_given_its_signal_and_its_wait() {
    let kennel = Kennel::running(
        r#"
        services:
          slow:
            shell: "trap 'echo INT >> got' INT; trap 'echo TERM >> got' TERM; trap 'echo QUIT >> got; exit 0' QUIT; while :; do sleep 0.05; done"
            stop:
              steps:
                - { signal: SIGINT, wait: 300ms }
                - { signal: SIGTERM, wait: 300ms }
                - { signal: SIGQUIT, wait: 1h }
        "#,
    );
    kennel.wait_for_state("slow", "up");
    assert_eq!(kennel.cli(&["stop", "slow"]).code, 0);
    assert_eq!(kennel.read("got"), "INT\nTERM\nQUIT\n");
    assert_eq!(kennel.events_of("service.escalated", "slow").len(), 2);
    assert_eq!(kennel.service("slow")["exit"]["code"], 0);
}

#[test]
fn a_second_stop_request_goes_to_the_next_step_at_once() {
    let kennel = Kennel::running(&format!(
        r#"
        services:
          stubborn:
            shell: "{STUBBORN}"
            stop: {{ steps: [{{ signal: SIGTERM, wait: 1h }}] }}
        "#
    ));
    kennel.wait_for_state("stubborn", "up");
    let child = child(&kennel);
    assert_eq!(kennel.cli(&["stop", "stubborn", "--no-wait"]).code, 0);
    kennel.wait_for_state("stubborn", "stopping");
    assert!(child.is_alive());
    assert_eq!(kennel.cli(&["stop", "stubborn"]).code, 0);
    assert_eq!(kennel.service("stubborn")["state"], "down");
    assert!(!child.is_alive());
    let escalated = kennel.wait_for_event("service.escalated", "stubborn");
    assert_eq!(escalated["attributes"]["signal"], "SIGKILL");
    assert!(escalated["attributes"]["waited_ms"].is_null(), "{escalated:#}");
}

#[test]
fn a_stop_that_takes_longer_than_asked_for_fails_and_goes_on() {
    let kennel = Kennel::running(&format!(
        r#"
        services:
          stubborn:
            shell: "{STUBBORN}"
            stop: {{ steps: [{{ signal: SIGTERM, wait: 1h }}] }}
        "#
    ));
    kennel.wait_for_state("stubborn", "up");
    let output = kennel.cli(&["stop", "stubborn", "--timeout", "300ms"]);
    assert_eq!(output.code, 1, "{output:#?}");
    let said = output.stdout + &output.stderr;
    assert!(said.contains("stubborn") && said.contains("still stopping"), "{said}");
    assert_eq!(kennel.service("stubborn")["state"], "stopping");
}

#[test]
fn the_stop_command_runs_first_and_is_told_the_main_process() {
    let kennel = Kennel::running(
        r#"
        services:
          polite:
            shell: "trap 'exit 7' USR1; trap 'exit 8' TERM; while :; do sleep 0.05; done"
            stop:
              command: [/bin/sh, -c, "echo $MAINPID $KENNEL_SERVICE > told; kill -USR1 $MAINPID"]
              steps: [{ signal: SIGTERM, wait: 5s }]
        "#,
    );
    kennel.wait_for_state("polite", "up");
    let pid = kennel.pid("polite");
    assert_eq!(kennel.cli(&["stop", "polite"]).code, 0);
    assert_eq!(kennel.read("told"), format!("{pid} polite\n"));
    assert_eq!(kennel.service("polite")["exit"]["code"], 7, "it ended for the command's signal");
    assert_eq!(kennel.events_of("service.escalated", "polite"), [] as [serde_json::Value; 0]);
}

#[test]
fn remnants_of_a_crashed_main_process_are_gone_before_the_new_run_starts() {
    let kennel = Kennel::running(
        r#"
        services:
          parent:
            shell: |
              for pid in $(cat remnants 2>/dev/null); do
                kill -0 $pid 2>/dev/null && echo "$pid is alive" >> meetings
              done
              (trap '' TERM; while :; do sleep 1; done) &
              echo $! >> remnants
              while :; do sleep 1; done
            stop: { steps: [{ signal: SIGTERM, wait: 300ms }] }
            restart: { backoff: { initial: 50ms }, limit: none }
        "#,
    );
    kennel.wait_for_state("parent", "up");
    let before = kennel.process("parent");
    let remnant = kennel.wait_for_file("remnants").trim().parse().unwrap();
    let remnant = Process::find(remnant).expect("the child runs");
    before.signal(Signal::SIGKILL);
    kennel.wait_for_new_run("parent", &before);
    assert!(!remnant.is_alive());
    assert_eq!(kennel.read("remnants").lines().count(), 2, "the second run began once");
    assert_eq!(kennel.read("meetings"), "", "the new run met processes of the old one");
    let stopping = kennel.wait_for_event("service.stopping", "parent");
    assert_eq!(stopping["attributes"]["reason"], "remnants", "{stopping:#}");
}

/// Each requires the one before; each writes down when it ends.
const CHAIN: &str = r#"
    defaults:
      shell: "trap 'echo $KENNEL_SERVICE >> order; exit 0' TERM; sleep 1000 & wait"
    services:
      front: { depends_on: { middle: started } }
      middle: { depends_on: { base: started } }
      base: {}
    "#;

#[test]
fn sigterm_shuts_down_in_reverse_dependency_order_and_leaves_nothing() {
    let mut kennel = Kennel::running(CHAIN);
    for name in ["base", "middle", "front"] {
        kennel.wait_for_state(name, "up");
    }
    // Three shells and a child of each.
    assert_eq!(kennel.processes().len(), 6);
    assert_eq!(kennel.terminate(), 0);
    kennel.assert_nothing_is_left();
    assert_eq!(kennel.read("order"), "front\nmiddle\nbase\n");

    // The events of the first supervisor, as the second one has them.
    kennel.start();
    let events = kennel.events();
    let begin = events.iter().position(|event| event["kind"] == "supervisor.stopping").unwrap();
    let end = events.iter().position(|event| event["kind"] == "supervisor.stopped").unwrap();
    let told: Vec<String> = events[begin..end]
        .iter()
        .filter(|e| e["kind"] == "service.stopping" || e["kind"] == "service.exited")
        .map(|e| format!("{} {}", e["service"].as_str().unwrap(), e["kind"].as_str().unwrap()))
        .collect();
    assert_eq!(
        told,
        ["front", "middle", "base"]
            .map(|name| { [format!("{name} service.stopping"), format!("{name} service.exited")] })
            .concat()
    );
}

#[test]
fn sigint_shuts_down_as_sigterm_does() {
    let mut kennel = Kennel::running(CHAIN);
    kennel.wait_for_state("front", "up");
    kennel.signal(Signal::SIGINT);
    assert_eq!(kennel.wait_for_exit(), 0);
    kennel.assert_nothing_is_left();
    assert_eq!(kennel.read("order"), "front\nmiddle\nbase\n");
}

#[test]
fn kennel_shutdown_does_the_same_and_waits_for_the_end() {
    let mut kennel = Kennel::running(CHAIN);
    kennel.wait_for_state("front", "up");
    assert_eq!(kennel.cli(&["shutdown"]).code, 0);
    assert_eq!(kennel.wait_for_exit(), 0);
    kennel.assert_nothing_is_left();
    assert_eq!(kennel.read("order"), "front\nmiddle\nbase\n");
}

#[test]
fn a_second_sigterm_kills_at_once() {
    let mut kennel = Kennel::running(&format!(
        r#"
        kennel: {{ state_dir: ./state, socket: ./k.sock, shutdown_timeout: 1h }}
        services:
          stubborn:
            shell: "{STUBBORN}"
            stop: {{ steps: [{{ signal: SIGTERM, wait: 1h }}] }}
        "#
    ));
    kennel.wait_for_state("stubborn", "up");
    let child = child(&kennel);
    kennel.signal(Signal::SIGTERM);
    kennel.wait_for_state("stubborn", "stopping");
    assert!(child.is_alive());
    kennel.signal(Signal::SIGTERM);
    assert_eq!(kennel.wait_for_exit(), 0);
    assert!(!child.is_alive());
    kennel.assert_nothing_is_left();
}

#[test]
fn past_the_shutdown_timeout_everything_left_is_killed() {
    let mut kennel = Kennel::running(&format!(
        r#"
        kennel: {{ state_dir: ./state, socket: ./k.sock, shutdown_timeout: 700ms }}
        services:
          stubborn:
            shell: "{STUBBORN}"
            stop: {{ steps: [{{ signal: SIGTERM, wait: 1h }}] }}
        "#
    ));
    kennel.wait_for_state("stubborn", "up");
    let begun = Instant::now();
    assert_eq!(kennel.terminate(), 0);
    assert!(begun.elapsed() >= Duration::from_millis(700));
    kennel.assert_nothing_is_left();
    kennel.start();
    let how: Vec<_> = kennel
        .events()
        .into_iter()
        .filter(|event| event["kind"] == "supervisor.stopping")
        .map(|event| event["attributes"]["how"].clone())
        .collect();
    assert_eq!(how, ["orderly", "timed-out"]);
}

#[test]
fn a_stop_before_the_service_is_ready_ends_it_too() {
    let kennel = Kennel::running("services: { web: { command: [sleep, '1000'], enabled: false } }");
    assert_eq!(kennel.service("web")["reason"], "not enabled");
    assert_eq!(kennel.cli(&["start", "web", "--no-wait"]).code, 0);
    let process = wait_for("a process", BOUND, || {
        Process::find(kennel.service("web")["pid"].as_i64()? as i32)
    });
    assert_eq!(kennel.cli(&["stop", "web"]).code, 0);
    assert!(!process.is_alive());
    assert_eq!(kennel.service("web")["state"], "down");
}

#[test]
fn a_service_that_gives_up_may_take_the_supervisor_with_it() {
    let mut kennel = Kennel::new(
        r#"
        services:
          base: { command: [sleep, "1000"] }
          vital:
            shell: "exit 9"
            depends_on: { base: started }
            restart: { policy: never, on_give_up: exit }
        "#,
    );
    kennel.spawn();
    assert_eq!(kennel.wait_for_exit(), 1);
    kennel.assert_nothing_is_left();
    let said = kennel.said();
    assert!(said.contains("vital exited with code 9") && said.contains("on_give_up"), "{said}");
}

#[test]
fn dependents_are_stopped_before_what_they_require() {
    let kennel = Kennel::running(CHAIN);
    kennel.wait_for_state("front", "up");
    assert_eq!(kennel.cli(&["stop", "base"]).code, 0);
    assert_eq!(kennel.read("order"), "front\nmiddle\nbase\n");
    let front = kennel.service("front");
    assert_eq!((&front["state"], &front["wanted"]), (&"waiting".into(), &"up".into()));
    assert_eq!(front["reason"], "waits for middle to start, which requires base, which is stopped");
    // They come back by themselves.
    assert_eq!(kennel.cli(&["start", "base"]).code, 0);
    kennel.wait_for_state("front", "up");
}
