//! `MAINPID`: a service that hands its work to another process.

use nix::sys::signal::Signal;

use super::{notifying, python};
use crate::support::{BOUND, Kennel, Process, wait_for};

/// A daemon of the old kind: the process that was started forks twice and exits.
const DAEMON: &str = "
    if os.fork() == 0:
        os.setsid()
        pid = os.fork()
        if pid:
            # Said by one who is still known to belong to the service.
            say(f'MAINPID={pid}', 'READY=1')
            barrier()
            os._exit(0)
        child = os.fork()
        if child == 0:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            forever()
        def hup(*_):
            write('hup', str(os.getpid()))
        signal.signal(signal.SIGHUP, hup)
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(7))
        write('daemon', str(os.getpid()))
        forever()
    os.wait()
    sys.exit(0)
";

fn daemon(kennel: &Kennel) -> Process {
    let pid: i32 = kennel.wait_for_file("daemon").trim().parse().unwrap();
    wait_for("the daemon to be the main process", BOUND, || {
        (kennel.service("web")["pid"] == pid).then_some(())
    });
    Process::find(pid).expect("the daemon runs")
}

#[test]
fn a_daemon_that_forks_is_supervised_by_the_pid_that_it_names() {
    let mut kennel = notifying(DAEMON, "restart: { backoff: { initial: 100ms } }");
    let daemon = daemon(&kennel);
    let named = kennel.wait_for_event("service.main_pid", "web");
    assert_eq!(named["attributes"]["pid"], daemon.pid);
    // The process that was started has ended with success, and the service goes on.
    let spawned = kennel.wait_for_event("service.started", "web")["attributes"]["pid"].clone();
    let spawned = spawned.as_i64().unwrap() as i32;
    wait_for("the first process to end", BOUND, || Process::find(spawned).is_none().then_some(()));
    assert_eq!(kennel.service("web")["state"], "up");
    assert!(kennel.service("web")["memory_bytes"].as_u64().unwrap() > 0, "its session is known");

    kennel.cli(&["signal", "HUP", "web"]).ok();
    assert_eq!(kennel.wait_for_file("hup"), format!("{}\n", daemon.pid));

    // A crash of the daemon is a crash of the service.
    daemon.signal(Signal::SIGKILL);
    let exited = kennel.wait_for_event("service.exited", "web");
    assert_eq!(exited["attributes"]["signal"], "SIGKILL", "{exited}");
    wait_for("a new daemon", BOUND, || {
        let pid = kennel.read("daemon").trim().parse::<i32>().ok()?;
        let web = kennel.service("web");
        (pid != daemon.pid && web["pid"] == pid && web["state"] == "up").then_some(())
    });
    wait_for("the new daemon and its child, and nothing of the old one", BOUND, || {
        (kennel.processes().len() == 2).then_some(())
    });

    // A stop reaches it, in its own group, and what it exits with is known.
    kennel.cli(&["stop", "web"]).ok();
    assert_eq!(kennel.service("web")["exit"]["code"], 7);
    assert_eq!(kennel.processes(), [], "its child is gone too");
    assert_eq!(kennel.terminate(), 0);
    kennel.assert_nothing_is_left();
}

#[test]
fn a_server_that_replaces_itself_goes_on_as_the_same_run() {
    // As servers do that are updated in place: the old process starts the new one.
    let kennel = notifying(
        "
        if len(sys.argv) > 1:
            say(f'MAINPID={os.getpid()}', 'READY=1')
            write('new', str(os.getpid()))
            forever()
        say('READY=1')
        until('update')
        import subprocess
        new = subprocess.Popen([sys.executable, sys.argv[0], 'new'])
        until('new')
        os._exit(0)
        ",
        "",
    );
    kennel.wait_for_state("web", "up");
    let old = kennel.process("web");
    kennel.write("update", "");
    let new: i32 = kennel.wait_for_file("new").trim().parse().unwrap();
    wait_for("the new process to be the main one", BOUND, || {
        (kennel.service("web")["pid"] == new && !old.is_alive()).then_some(())
    });
    let web = kennel.service("web");
    assert_eq!((&web["state"], &web["restarts"]), (&"up".into(), &0.into()), "{web:#}");
    assert!(kennel.events_of("service.exited", "web").is_empty());
    kennel.cli(&["stop", "web"]).ok();
    assert_eq!(kennel.service("web")["exit"]["signal"], "SIGTERM");
    assert_eq!(kennel.processes(), []);
}

#[test]
fn a_wrapper_whose_named_child_ends_has_ended() {
    let kennel = notifying(
        "
        child = os.fork()
        if child == 0:
            until('end')
            os._exit(5)
        say(f'MAINPID={child}', 'READY=1')
        forever()
        ",
        "restart: { policy: never }",
    );
    kennel.wait_for_state("web", "up");
    kennel.write("end", "");
    let web = kennel.wait_for_state("web", "failed");
    // The wrapper never waits for its child, so only newer kernels can tell its status.
    assert!(web["exit"]["code"] == 5 || web["exit"]["code"].is_null(), "{web:#}");
    assert_eq!(kennel.processes(), [], "the wrapper was stopped as what was left");
}

#[test]
fn a_wrapper_that_fails_ends_its_service_whatever_it_has_named() {
    let kennel = notifying(
        "
        child = os.fork()
        if child == 0:
            os.setsid()
            forever()
        say(f'MAINPID={child}', 'READY=1')
        until('fail')
        os._exit(9)
        ",
        "restart: { policy: never }",
    );
    kennel.wait_for_state("web", "up");
    kennel.write("fail", "");
    let web = kennel.wait_for_state("web", "failed");
    assert_eq!(web["exit"]["code"], 9, "{web:#}");
    assert_eq!(kennel.processes(), [], "the child in its own session was stopped too");
}

#[test]
fn a_process_of_another_service_is_nobodys_main_process_but_its_own() {
    let mut kennel = Kennel::new("");
    let thief = python(
        &kennel,
        "thief.py",
        "
        until('other')
        with open('other') as f:
            say('MAINPID=' + f.read().strip(), 'READY=1', 'STATUS=said so')
        barrier()
        write('said', 'yes')
        forever()
        ",
    );
    kennel.configure(&format!(
        "services:\n  other: {{ command: [sleep, '1000'] }}\n  thief:\n    {thief}\n    \
         ready: {{ notify: systemd }}\n"
    ));
    kennel.start();
    kennel.wait_for_state("other", "up");
    let other = kennel.process("other");
    kennel.write("other.tmp", &other.pid.to_string());
    std::fs::rename(kennel.path("other.tmp"), kennel.path("other")).unwrap();
    kennel.wait_for_file("said");
    let thief = kennel.service("thief");
    assert_eq!(thief["status_text"], "said so", "it was heard");
    assert_ne!(thief["pid"], other.pid);
    kennel.cli(&["restart", "thief"]).ok();
    kennel.cli(&["stop", "thief"]).ok();
    assert!(other.is_alive());
    assert!(kennel.events_of("service.exited", "other").is_empty());
    assert_eq!(kennel.terminate(), 0);
    kennel.assert_nothing_is_left();
}
