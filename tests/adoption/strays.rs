//! What a service leaves in sessions of its own while nobody supervises: it is gone before
//! the next run begins, and told.

use std::fs;

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::support::{BOUND, Kennel, Process, place_of_cgroups, wait_for};

/// Ignores SIGTERM in a session of its own and says who it is.
const DAEMON: &str = "trap '' TERM HUP INT; echo $$ > daemon; exec sleep 1001\n";

/// A house with a service of two instances, which died after its supervisor; the daemon that
/// the first of them has left behind.
fn left_behind(args: &[&str], start_daemon: &str) -> (Kennel, Process) {
    let (kennel, daemon) = left_under_a_supervisor(args, start_daemon);
    (die(kennel), daemon)
}

/// The same before anybody has died.
fn left_under_a_supervisor(args: &[&str], start_daemon: &str) -> (Kennel, Process) {
    let is_done = r#"test "$KENNEL_INSTANCE" = 1 -o -e daemon"#;
    let shell = format!("{is_done} || ({start_daemon} sh ./daemon.sh &); exec sleep 1000");
    let mut kennel = Kennel::new(&format!(
        "services: {{ web: {{ shell: '{shell}', replicas: 2, stop: {{ steps: \
         [{{ signal: SIGTERM, wait: 100ms }}] }} }} }}"
    ))
    .args(args);
    kennel.write("daemon.sh", DAEMON);
    kennel.start();
    for instance in ["web/0", "web/1"] {
        kennel.wait_for_state(instance, "up");
    }
    let pid: i32 = kennel.wait_for_file("daemon").trim().parse().unwrap();
    let daemon = wait_for("the daemon to be sleep", BOUND, || {
        Process::find(pid).filter(|process| process.command == "sleep 1001")
    });
    (kennel, daemon)
}

/// Kills the supervisor, and then the services.
fn die(mut kennel: Kennel) -> Kennel {
    let mains = [kennel.process("web/0"), kennel.process("web/1")];
    kennel.kill_supervisor();
    for main in mains {
        main.signal(Signal::SIGKILL);
        wait_for("the end of web", BOUND, || (!main.is_alive()).then_some(()));
    }
    kennel
}

/// The processes that `service.swept` lists, each as program, pid and signal, when it has.
#[track_caller]
fn swept(kennel: &Kennel) -> (Value, Vec<(String, i64, String)>) {
    let event = wait_for("the event service.swept", BOUND, || {
        kennel.events().into_iter().find(|event| event["kind"] == "service.swept")
    });
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let processes = event["attributes"]["processes"].as_array().unwrap().iter();
    let processes = processes
        .map(|one| (text(&one["command"]), one["pid"].as_i64().unwrap(), text(&one["signal"])))
        .collect();
    (event, processes)
}

#[track_caller]
fn check_swept(kennel: &mut Kennel, daemon: &Process) {
    let (event, processes) = swept(kennel);
    assert!(!daemon.is_alive());
    assert_eq!(processes, [("sleep".to_owned(), daemon.pid.into(), "SIGKILL".to_owned())]);
    assert_eq!(event["service"], "web/0");
    assert!(event["attributes"]["run"].is_u64(), "{event}");
    let message = event["message"].as_str().unwrap();
    assert!(message.contains(&format!("sleep (pid {}, SIGKILL)", daemon.pid)), "{message}");
    for instance in ["web/0", "web/1"] {
        kennel.wait_for_state(instance, "up");
    }
    assert_eq!(kennel.processes().len(), 2, "{:?}", kennel.processes());
}

#[test]
fn a_stray_of_a_run_that_ended_unsupervised_is_swept_by_its_mark() {
    let (mut kennel, daemon) = left_behind(&["--no-cgroups"], "setsid");
    assert!(daemon.is_alive());
    kennel.start();
    check_swept(&mut kennel, &daemon);
    assert_eq!(kennel.terminate(), 0);
    kennel.assert_nothing_is_left();
}

#[test]
fn a_stray_without_a_mark_of_a_run_that_ended_unsupervised_is_swept_by_its_cgroup() {
    let (mut kennel, daemon) = left_under_a_supervisor(&[], "env -i setsid");
    let Some(place) = place_of_cgroups(&kennel) else { return };
    kennel = die(kennel);
    assert!(daemon.is_alive());
    kennel.start();
    check_swept(&mut kennel, &daemon);
    let runs = || fs::read_dir(&place).unwrap().flatten().filter(|entry| entry.path().is_dir());
    wait_for("two cgroups", BOUND, || (runs().count() == 2).then_some(()));
    assert_eq!(kennel.terminate(), 0);
    kennel.assert_nothing_is_left();
    assert!(!place.exists(), "{place:?} is left");
}

#[test]
fn a_stray_is_swept_by_its_cgroup_also_by_a_supervisor_that_makes_none_and_without_a_table() {
    let (mut kennel, daemon) = left_under_a_supervisor(&[], "env -i setsid");
    if place_of_cgroups(&kennel).is_none() {
        return;
    }
    kennel = die(kennel).args(&["--no-cgroups"]);
    kennel.start();
    check_swept(&mut kennel, &daemon);

    let (mut kennel, daemon) = left_under_a_supervisor(&[], "env -i setsid");
    kennel = die(kennel);
    fs::remove_file(kennel.path("state/table")).unwrap();
    kennel.start();
    check_swept(&mut kennel, &daemon);
}

#[test]
fn a_stray_of_a_run_that_goes_on_is_left_alone_until_that_is_stopped() {
    for (args, start_daemon) in [(&[][..], "env -i setsid"), (&["--no-cgroups"][..], "setsid")] {
        let (mut kennel, daemon) = left_under_a_supervisor(args, start_daemon);
        if args.is_empty() && place_of_cgroups(&kennel).is_none() {
            continue;
        }
        kennel.kill_supervisor();
        kennel.start();
        for instance in ["web/0", "web/1"] {
            kennel.wait_for_state(instance, "up");
        }
        assert!(daemon.is_alive(), "{args:?}");
        assert_eq!(kennel.cli(&["stop", "web"]).code, 0);
        assert!(!daemon.is_alive(), "{args:?}");
        let (_, processes) = swept(&kennel);
        assert_eq!(processes, [("sleep".to_owned(), daemon.pid.into(), "SIGKILL".to_owned())]);
    }
}
