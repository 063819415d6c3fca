//! What leaves its process group, its session and its parent is stopped with its service,
//! with cgroups and without.

use std::fs;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::support::{BOUND, Kennel, Process, place_of_cgroups, wait_for};

/// How the supervisor is started: with cgroups where it can have them, and without.
const WAYS: [&[&str]; 2] = [&[], &["--no-cgroups"]];

/// A script with a child, which says who it is when that executes its program: a shell that is
/// just being made may lose a signal.
macro_rules! daemon {
    ($trap:literal) => {
        concat!(
            "trap ",
            $trap,
            "; sleep 1000 & until read name < /proc/$!/comm && test $name = sleep; do :; done
            echo $$ >> strays; wait\n"
        )
    };
}

/// Is orphaned at once, in a session of its own, with a child; both ignore SIGTERM.
const STUBBORN: &str = daemon!("'' TERM HUP INT");

/// The same, and ends on SIGTERM.
const GENTLE: &str = daemon!("'kill $!; exit' TERM");

/// Has no mark any more when it is told to end, and does not.
const WIPED: &str = daemon!("'exec env -i /bin/sleep 1000' TERM");

const IDLE: &str = "services: { idle: { command: [sleep, '1000'], enabled: false } }";

fn kennel(way: &[&str], daemon: &str, yaml: &str) -> Kennel {
    let mut kennel = Kennel::new(yaml).args(way);
    kennel.write("daemon.sh", daemon);
    kennel.start();
    kennel
}

/// The daemons that have detached themselves so far, when there are `count`.
fn strays(kennel: &Kennel, count: usize) -> Vec<Process> {
    wait_for(&format!("{count} strays"), BOUND, || {
        let text = kennel.read("strays");
        let pids: Vec<i32> = text.lines().filter_map(|line| line.parse().ok()).collect();
        (text.ends_with('\n') && pids.len() == count)
            .then(|| pids.into_iter().filter_map(Process::find).collect())
    })
}

/// A house with a service that has left this daemon behind.
fn with_a_stray(way: &[&str], daemon: &str) -> (Kennel, Process) {
    let kennel = kennel(
        way,
        daemon,
        r#"
        services:
          web:
            shell: "(setsid sh ./daemon.sh &); exec sleep 1000"
            stop: { steps: [{ signal: SIGTERM, wait: 300ms }] }
        "#,
    );
    kennel.wait_for_state("web", "up");
    let daemon = strays(&kennel, 1).remove(0);
    (kennel, daemon)
}

fn swept(kennel: &Kennel) -> Vec<Value> {
    kennel.events().into_iter().filter(|event| event["kind"] == "service.swept").collect()
}

/// Pid and signal of each process that the event lists.
fn listed(event: &Value) -> Vec<(i64, String)> {
    let processes = event["attributes"]["processes"].as_array().unwrap();
    let of = |process: &Value| {
        (process["pid"].as_i64().unwrap(), process["signal"].as_str().unwrap_or("").to_owned())
    };
    processes.iter().map(of).collect()
}

#[test]
fn a_daemon_that_ignores_sigterm_in_a_session_of_its_own_is_gone_after_a_stop() {
    for way in WAYS {
        let (mut kennel, daemon) = with_a_stray(way, STUBBORN);
        assert_eq!(kennel.cli(&["stop", "web"]).code, 0);
        assert!(!daemon.is_alive(), "{way:?}");
        assert_eq!(kennel.processes(), [], "{way:?}");
        let events = swept(&kennel);
        assert_eq!(events.len(), 1, "{way:?}: {events:?}");
        let list = listed(&events[0]);
        assert!(list.contains(&(daemon.pid.into(), "SIGKILL".into())), "{way:?}: {list:?}");
        assert_eq!(list.len(), 2, "{way:?}: {list:?}");
        let message = events[0]["message"].as_str().unwrap();
        assert!(message.contains(&format!("sh (pid {}, SIGKILL)", daemon.pid)), "{message}");
        kennel.terminate();
        kennel.assert_nothing_is_left();
    }
}

#[test]
fn a_daemon_that_ends_on_sigterm_is_given_it_and_holds_nothing_up() {
    for way in WAYS {
        let kennel = kennel(
            way,
            GENTLE,
            r#"
            services:
              web:
                shell: "(setsid sh ./daemon.sh &); exec sleep 1000"
                stop: { steps: [{ signal: SIGTERM, wait: 1h }] }
            "#,
        );
        kennel.wait_for_state("web", "up");
        let daemon = strays(&kennel, 1).remove(0);
        assert_eq!(kennel.cli(&["stop", "web"]).code, 0);
        assert_eq!(kennel.processes(), [], "{way:?}");
        let list = listed(&swept(&kennel)[0]);
        assert!(list.contains(&(daemon.pid.into(), "SIGTERM".into())), "{way:?}: {list:?}");
    }
}

#[test]
fn what_a_crash_leaves_in_other_sessions_is_gone_before_the_new_run_starts() {
    for way in WAYS {
        let kennel = kennel(
            way,
            STUBBORN,
            r#"
            services:
              web:
                shell: "cat strays > before.$KENNEL_RUN; (setsid sh ./daemon.sh &); exec sleep 1000"
                stop: { steps: [{ signal: SIGTERM, wait: 200ms }] }
                restart: { backoff: { initial: 10ms } }
            "#,
        );
        kennel.wait_for_state("web", "up");
        let first = strays(&kennel, 1).remove(0);
        Process::find(kennel.pid("web")).unwrap().signal(Signal::SIGKILL);
        let both = strays(&kennel, 2);
        assert!(!first.is_alive(), "{way:?}: two runs at once");
        assert!(both.len() == 1 && both[0] != first, "{way:?}");
        assert_eq!(swept(&kennel).len(), 1, "{way:?}");
        kennel.wait_for_state("web", "up");
        assert!(both[0].is_alive(), "{way:?}: the new run was not spared");
    }
}

#[test]
fn who_wipes_its_mark_when_it_is_told_to_end_is_not_forgotten() {
    for way in WAYS {
        let (kennel, daemon) = with_a_stray(way, WIPED);
        assert_eq!(kennel.cli(&["stop", "web"]).code, 0);
        assert!(!daemon.is_alive(), "{way:?}");
        assert_eq!(kennel.processes(), [], "{way:?}");
    }
}

#[test]
fn a_hundred_services_with_strays_stop_together_and_leave_nothing() {
    for way in WAYS {
        let mut kennel = kennel(
            way,
            STUBBORN,
            r#"
            services:
              web:
                shell: "(setsid sh ./daemon.sh &); exec sleep 1000"
                replicas: 100
                stop: { steps: [{ signal: SIGTERM, wait: 200ms }] }
              plain: { command: [sleep, "1000"], replicas: 20 }
            "#,
        );
        strays(&kennel, 100);
        assert_eq!(kennel.terminate(), 0);
        kennel.assert_nothing_is_left();
        kennel.configure(IDLE);
        kennel.start();
        let events = swept(&kennel);
        assert_eq!(events.len(), 100, "{way:?}");
        assert!(events.iter().all(|event| event["service"].as_str().unwrap().starts_with("web/")));
    }
}

#[test]
fn what_a_check_leaves_in_a_session_of_its_own_ends_with_the_run() {
    // The check ends when the daemon has left its group: what is still in it ends with it.
    const CHECK: &str = "test -s strays && exit\nsetsid sh ./daemon.sh &\n\
                         while ! test -s strays; do sleep 0.01; done\n";
    for way in WAYS {
        let mut kennel = Kennel::new(
            r#"
            services:
              web:
                command: [sleep, "1000"]
                health: { command: [sh, ./check.sh], timeout: 1m }
            "#,
        )
        .args(way);
        kennel.write("daemon.sh", GENTLE);
        kennel.write("check.sh", CHECK);
        kennel.start();
        let daemon = strays(&kennel, 1).remove(0);
        wait_for("the end of the check", BOUND, || {
            (kennel.service("web")["health"] == "healthy").then_some(())
        });
        assert_eq!(kennel.cli(&["stop", "web"]).code, 0);
        assert!(!daemon.is_alive(), "{way:?}");
        assert_eq!(kennel.processes(), [], "{way:?}");
        assert_eq!(swept(&kennel).len(), 1, "{way:?}");
    }
}

/// Does not end by itself: what has left its group is no orphan yet when it is killed.
const AT_WORK: &str = "setsid sh ./daemon.sh & wait\n";

fn with_a_check_at_work(way: &[&str], daemon: &str) -> (Kennel, Process) {
    with_a_check_at_work_and(way, daemon, "")
}

/// The same with one more key of `stop`.
fn with_a_check_at_work_and(way: &[&str], daemon: &str, stop: &str) -> (Kennel, Process) {
    let mut kennel = Kennel::new(&format!(
        r#"
        services:
          web:
            command: [sleep, "1000"]
            health: {{ command: [sh, ./check.sh], timeout: 10m }}
            restart: {{ backoff: {{ initial: 10m, max: 10m }} }}
            stop: {{ {stop} steps: [{{ signal: SIGTERM, wait: 300ms }}] }}
        "#
    ))
    .args(way);
    kennel.write("daemon.sh", daemon);
    kennel.write("check.sh", AT_WORK);
    kennel.start();
    kennel.wait_for_state("web", "up");
    let daemon = strays(&kennel, 1).remove(0);
    (kennel, daemon)
}

/// Nobody wants to know how a service is that stops, and its end waits for that of its checks.
#[test]
fn checks_end_when_a_stop_begins() {
    const UNTIL_TOLD: &str = "until test -e go; do sleep 0.05; done\n";
    for command in ["", "command: [sh, ./stop.sh], "] {
        let mut kennel = Kennel::new(&format!(
            r#"
            services:
              web:
                command: [sh, ./web.sh]
                health: {{ command: [sh, ./check.sh], timeout: 10m }}
                stop: {{ {command}steps: [{{ signal: SIGTERM, wait: 10m }}] }}
            "#
        ));
        kennel.write("check.sh", "echo $$ > check; exec sleep 1000\n");
        kennel.write("web.sh", &format!("trap 'touch told' TERM; {UNTIL_TOLD}"));
        kennel.write("stop.sh", UNTIL_TOLD);
        kennel.start();
        let check =
            wait_for("a check", BOUND, || Process::find(kennel.read("check").trim().parse().ok()?));
        let web = kennel.process("web");
        assert_eq!(kennel.cli(&["stop", "web", "--no-wait"]).code, 0);
        wait_for("the end of the check", BOUND, || (!check.is_alive()).then_some(()));
        assert!(web.is_alive(), "it was to go on until it may end");
        kennel.write("go", "");
        kennel.wait_for_state("web", "down");
    }
}

#[test]
fn what_a_check_at_work_has_detached_ends_with_a_stop() {
    for (way, daemon) in WAYS.into_iter().flat_map(|way| [(way, GENTLE), (way, STUBBORN)]) {
        let (kennel, daemon) = with_a_check_at_work(way, daemon);
        assert_eq!(kennel.cli(&["stop", "web"]).code, 0);
        assert!(!daemon.is_alive(), "{way:?}");
        assert_eq!(kennel.processes(), [], "{way:?}");
    }
}

#[test]
fn what_a_check_at_work_has_detached_ends_after_a_crash() {
    for way in WAYS {
        let (kennel, daemon) = with_a_check_at_work(way, STUBBORN);
        kennel.process("web").signal(Signal::SIGKILL);
        wait_for("the end of what the check left", BOUND, || (!daemon.is_alive()).then_some(()));
    }
}

/// The kinds of the events of web from this one on.
fn kinds_from(kennel: &Kennel, first: &str) -> Vec<String> {
    let kinds = kennel.events().into_iter().filter(|event| event["service"] == "web");
    let kinds = kinds.map(|event| event["kind"].as_str().unwrap().to_owned());
    kinds.skip_while(|kind| kind != first).collect()
}

#[test]
fn what_a_check_has_detached_is_gone_before_a_stop_command_that_suffices_has_stopped_the_service() {
    for (way, daemon) in WAYS.into_iter().flat_map(|way| [(way, GENTLE), (way, STUBBORN)]) {
        let stop = "command: [sh, -c, 'kill -KILL $MAINPID'],";
        let (kennel, daemon) = with_a_check_at_work_and(way, daemon, stop);
        assert_eq!(kennel.cli(&["stop", "web"]).code, 0);
        assert!(!daemon.is_alive(), "{way:?}");
        assert_eq!(kennel.processes(), [], "{way:?}");
    }
}

#[test]
fn what_a_stop_command_at_work_has_detached_is_gone_before_the_service_has_stopped() {
    for way in WAYS {
        let mut kennel = Kennel::new(
            r#"
            services:
              web:
                command: [sleep, "1000"]
                stop: { command: [sh, ./stop.sh], steps: [{ signal: SIGTERM, wait: 10m }] }
            "#,
        )
        .args(way);
        kennel.write("daemon.sh", GENTLE);
        kennel.write("stop.sh", AT_WORK);
        kennel.start();
        kennel.wait_for_state("web", "up");
        assert_eq!(kennel.cli(&["stop", "web", "--no-wait"]).code, 0);
        let daemon = strays(&kennel, 1).remove(0);
        kennel.process("web").signal(Signal::SIGKILL);
        kennel.wait_for_state("web", "down");
        assert!(!daemon.is_alive(), "{way:?}");
        assert_eq!(kennel.processes(), [], "{way:?}");
        let event = wait_for("the event", BOUND, || swept(&kennel).pop());
        assert_eq!(event["service"], "web", "{way:?}");
        let list = listed(&event);
        assert!(list.contains(&(daemon.pid.into(), "SIGTERM".into())), "{way:?}: {list:?}");
        let expected = ["service.stopping", "service.swept", "service.exited", "service.stopped"];
        assert_eq!(kinds_from(&kennel, "service.stopping"), expected, "{way:?}");
    }
}

#[test]
fn who_bears_no_mark_or_that_of_another_state_directory_is_never_touched() {
    let mut kennel = Kennel::new(
        r#"
        services:
          web:
            shell: "(env -i setsid sleep 1001 &); (setsid sh ./daemon.sh &); exec sleep 1000"
            stop: { steps: [{ signal: SIGTERM, wait: 100ms }] }
        "#,
    )
    .args(&["--no-cgroups"])
    .prelude(
        "sleep 1002 & KENNEL_STATE_ID=0123456789abcdef KENNEL_RUN=3 KENNEL_SERVICE=web \
         KENNEL_INSTANCE=0 sleep 1003 & true",
    );
    kennel.write("daemon.sh", STUBBORN);
    kennel.start();
    kennel.wait_for_state("web", "up");
    strays(&kennel, 1);
    assert_eq!(kennel.cli(&["stop", "web"]).code, 0);
    let left: Vec<String> = kennel.processes().into_iter().map(|left| left.command).collect();
    for others in ["sleep 1001", "sleep 1002", "sleep 1003"] {
        assert!(left.iter().any(|command| command == others), "{others}: {left:?}");
    }
    assert_eq!(left.len(), 3, "{left:?}");
}

#[test]
fn who_wipes_its_environment_is_found_by_the_cgroup_of_its_run() {
    let kennel = kennel(
        &[],
        "",
        r#"
        services:
          web:
            shell: "(env -i setsid sleep 1001 &); exec sleep 1000"
            stop: { steps: [{ signal: SIGTERM, wait: 1m }] }
        "#,
    );
    if place_of_cgroups(&kennel).is_none() {
        return;
    }
    let stray = wait_for("the stray", BOUND, || {
        kennel.processes().into_iter().find(|process| process.command == "sleep 1001")
    });
    assert_eq!(kennel.cli(&["stop", "web"]).code, 0);
    assert!(!stray.is_alive());
    assert_eq!(listed(&swept(&kennel)[0]), [(stray.pid.into(), "SIGTERM".to_owned())]);
}

#[test]
fn a_oneshot_that_leaves_a_daemon_is_done_when_that_has_ended() {
    for way in WAYS {
        let kennel = kennel(
            way,
            GENTLE,
            r#"
            services:
              job:
                type: oneshot
                shell: "setsid sh ./daemon.sh & while ! test -s strays; do sleep 0.01; done"
            "#,
        );
        kennel.wait_for_state("job", "done");
        assert_eq!(kennel.processes(), [], "{way:?}");
        assert_eq!(swept(&kennel).len(), 1, "{way:?}");
    }
}

#[test]
fn status_says_whether_there_are_cgroups_and_none_is_left_at_the_end() {
    let mut kennel =
        Kennel::running("services: { web: { command: [sleep, '1000'] }, db: { shell: 'exit 0' } }");
    kennel.wait_for_state("web", "up");
    if let Some(place) = place_of_cgroups(&kennel) {
        let own = fs::read_to_string(format!("/proc/{}/cgroup", kennel.pid("web"))).unwrap();
        assert!(own.contains("/kennel-") && own.contains("/web."), "{own}");
        assert_eq!(kennel.cli(&["restart", "web"]).code, 0);
        // The run that was, and those of db, leave none.
        wait_for("one cgroup is left", BOUND, || {
            let entries = fs::read_dir(&place).unwrap().flatten();
            let names: Vec<String> = entries
                .filter(|entry| entry.path().is_dir())
                .map(|entry| entry.file_name().to_string_lossy().into_owned())
                .filter(|name| !name.starts_with("db."))
                .collect();
            (names.len() == 1).then_some(())
        });
        assert_eq!(kennel.terminate(), 0);
        assert!(!place.exists(), "{place:?} is left");
    }
    let mut kennel = Kennel::new(IDLE).args(&["--no-cgroups"]);
    kennel.start();
    let cgroups = kennel.status()["supervisor"]["cgroups"].clone();
    assert_eq!((&cgroups["used"], &cgroups["reason"]), (&false.into(), &"switched off".into()));
}

#[test]
fn a_run_without_strays_ends_at_once() {
    for way in WAYS {
        let kennel = kennel(way, "", "services: { web: { command: [sleep, '1000'] } }");
        kennel.wait_for_state("web", "up");
        let begun = Instant::now();
        assert_eq!(kennel.cli(&["stop", "web"]).code, 0);
        assert!(begun.elapsed() < Duration::from_secs(5), "{way:?}");
        assert_eq!(swept(&kennel).len(), 0, "{way:?}");
    }
}
