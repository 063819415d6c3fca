//! The supervisor is killed: services go on, and the next one goes on with them.

use std::collections::BTreeSet;
use std::fs;
use std::time::Duration;

use nix::sys::signal::Signal;

use super::{count_of, last_event, mains, succeed, wait_for_lines};
use crate::support::{BOUND, Kennel, Process, wait_for};

/// Writes a number a line, the last one to a file too, and never stops.
const COUNTING: &str = r#"
        services:
          count:
            shell: "i=0; while :; do i=$$((i+1)); echo $$i; echo $$i >&2; done"
          quiet: { command: [sleep, "1000"] }
          web:
            replicas: 3
            command: [sleep, "1000"]
"#;

#[test]
fn services_of_a_killed_supervisor_go_on_under_the_next_one() {
    let mut kennel = Kennel::running(COUNTING);
    let names = ["count", "quiet", "web/0", "web/1", "web/2"];
    let before: Vec<Process> = names
        .iter()
        .map(|name| {
            kennel.wait_for_state(name, "up");
            kennel.process(name)
        })
        .collect();
    for _ in 0..3 {
        succeed(&mut kennel);
        for (name, before) in names.iter().zip(&before) {
            let service = kennel.wait_for_state(name, "up");
            assert_eq!(service["restarts"], 0, "{service}");
            assert_eq!(&kennel.process(name), before, "{name} is another process");
        }
        assert_eq!(last_event(&kennel, "supervisor.adopted")["attributes"]["adopted"], 5);
    }
    assert_eq!(mains(&kennel, "web").len(), 3);
    assert_eq!(mains(&kennel, "quiet").len(), 1);
    assert_eq!(kennel.events_of("service.started", "quiet").len(), 1);
    assert_eq!(kennel.terminate(), 0);
    kennel.assert_nothing_is_left();
}

#[test]
fn output_goes_on_and_what_was_written_meanwhile_is_there() {
    let mut kennel = Kennel::running(
        r#"
        services:
          web:
            shell: |
              echo before
              until [ -e go ]; do sleep 0.02; done
              echo meanwhile; echo to stderr >&2
              touch gone
              until [ -e on ]; do sleep 0.02; done
              echo after
              exec sleep 1000
        "#,
    );
    kennel.wait_for_state("web", "up");
    wait_for("the first line", BOUND, || {
        kennel.read("state/logs/web.log").contains("before").then_some(())
    });
    kennel.kill_supervisor();
    // Nobody reads now, and nobody gets SIGPIPE.
    kennel.write("go", "");
    wait_for("the lines to be written", BOUND, || kennel.path("gone").exists().then_some(()));
    kennel.start();
    kennel.write("on", "");
    let text = wait_for("the last line", BOUND, || {
        Some(kennel.read("state/logs/web.log")).filter(|text| text.contains("after"))
    });
    for line in ["before", "meanwhile", "to stderr", "after"] {
        assert_eq!(text.matches(line).count(), 1, "{line}: {text}");
    }
    assert_eq!(kennel.service("web")["restarts"], 0);
}

#[test]
fn what_ended_while_nobody_supervised_is_noticed_and_restarted_as_its_policy_says() {
    let mut kennel = Kennel::running(
        r#"
        services:
          web: { command: [sleep, "1000"], restart: { backoff: { initial: 10ms } } }
          never: { command: [sleep, "1000"], restart: { policy: never } }
        "#,
    );
    kennel.wait_for_state("web", "up");
    kennel.wait_for_state("never", "up");
    let (web, never) = (kennel.process("web"), kennel.process("never"));
    kennel.kill_supervisor();
    web.signal(Signal::SIGKILL);
    never.signal(Signal::SIGKILL);
    wait_for("their end", BOUND, || (!web.is_alive() && !never.is_alive()).then_some(()));
    kennel.start();
    let new = kennel.wait_for_new_run("web", &web);
    assert_eq!(mains(&kennel, "web"), [new]);
    assert_eq!(kennel.service("web")["restarts"], 1);
    kennel.wait_for_state("never", "failed");
    // Whoever inherits orphans may not have reaped them yet: then their end is still to come.
    let told = last_event(&kennel, "supervisor.adopted")["attributes"].clone();
    assert_eq!(told["ended"].as_u64().unwrap() + told["adopted"].as_u64().unwrap(), 2, "{told}");
}

#[test]
fn a_service_that_was_being_stopped_is_stopped() {
    let mut kennel = Kennel::running(
        r#"
        services:
          web:
            shell: "trap 'echo > asked' TERM; while :; do sleep 0.05; done"
            stop: { steps: [{ signal: SIGTERM, wait: 2s }] }
        "#,
    );
    kennel.wait_for_state("web", "up");
    let web = kennel.process("web");
    assert_eq!(kennel.cli(&["stop", "--no-wait", "web"]).code, 0);
    kennel.wait_for_file("asked");
    succeed(&mut kennel);
    kennel.wait_for_state("web", "down");
    assert!(!web.is_alive());
    assert_eq!(kennel.service("web")["wanted"], "down");
}

#[test]
fn whenever_the_supervisor_is_killed_during_a_mass_start_nothing_runs_twice() {
    let services: String =
        (0..40).map(|i| format!("  s{i:02}: {{ command: [sleep, \"1000\"] }}\n")).collect();
    let mut kennel = Kennel::new(&format!("services:\n{services}"));
    // Moments spread over the time that the start takes; each house goes on with the last.
    for round in 0..20_u64 {
        kennel.spawn();
        std::thread::sleep(Duration::from_millis(20 + round * 37 % 260));
        kennel.kill_supervisor();
        let mut seen = BTreeSet::new();
        for process in kennel.processes() {
            let environment =
                fs::read(format!("/proc/{}/environ", process.pid)).unwrap_or_default();
            let text = String::from_utf8_lossy(&environment).into_owned();
            let service = text.split('\0').find(|one| one.starts_with("KENNEL_SERVICE="));
            if let Some(service) = service {
                assert!(seen.insert(service.to_owned()), "{service} runs twice in round {round}");
            }
        }
    }
    kennel.start();
    for i in 0..40 {
        let name = format!("s{i:02}");
        kennel.wait_for_state(&name, "up");
        assert_eq!(mains(&kennel, &name).len(), 1, "{name}");
    }
    assert_eq!(kennel.terminate(), 0);
    kennel.assert_nothing_is_left();
}

#[test]
fn every_line_is_in_the_log_once_however_often_the_supervisor_is_killed() {
    let mut kennel = Kennel::running(
        r#"
        services:
          count:
            shell: |
              trap 'echo $$i > last; exit 0' TERM
              i=0
              while :; do i=$$((i+1)); echo out $$i; echo err $$i >&2; done
            logs: { max_size: 1GiB }
        "#,
    );
    kennel.wait_for_state("count", "up");
    let before = kennel.process("count");
    for round in 0..12_u64 {
        // Moments of any kind: with much in the pipes, with none, and soon after the start.
        std::thread::sleep(Duration::from_millis(round * 53 % 190));
        succeed(&mut kennel);
    }
    kennel.wait_for_state("count", "up");
    assert_eq!(kennel.process("count"), before);
    assert_eq!(kennel.cli(&["stop", "count"]).code, 0);
    let last: usize = kennel.read("last").trim().parse().unwrap();
    wait_for_lines(&kennel, "count", last);
    assert_eq!(kennel.terminate(), 0);
    let text = kennel.read("state/logs/count.log");
    for stream in ["stdout", "stderr"] {
        let count = count_of(&text, stream);
        // It may have been about to write the last one when it was stopped.
        assert!(count + 1 >= last, "{stream}: {count} of {last}");
    }
}
