//! One supervisor per state directory, whatever the last one left behind.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixListener;

use nix::sys::signal::Signal;

use crate::support::process::children;
use crate::support::{BOUND, Kennel, Process, wait_for};

const WEB: &str = "services: { web: { command: [sleep, '1000'] } }";

#[test]
fn a_second_supervisor_is_refused_and_told_the_pid_of_the_first() {
    let kennel = Kennel::running(WEB);
    kennel.wait_for_state("web", "up");
    let (web, pid) = (kennel.process("web"), kennel.supervisor_pid().to_string());
    kennel.cli(&["run"]).fails_saying(4, &[&pid, "locked by the supervisor with pid"]);
    // The lock counts, not the socket and not the file.
    kennel.write(
        "other.yaml",
        "kennel: { state_dir: ./state, socket: ./other.sock }\n\
         services: { other: { command: [sleep, '1000'] } }\n",
    );
    kennel.cli(&["run", "-c", "other.yaml"]).fails_saying(4, &[&pid]);
    assert!(!kennel.path("other.sock").exists());
    assert_eq!(kennel.process("web"), web, "the first one is not disturbed");
    assert_eq!(kennel.status()["supervisor"]["pid"].to_string(), pid);
}

#[test]
fn a_removed_or_replaced_lock_file_lets_no_second_one_in() {
    let kennel = Kennel::running(WEB);
    kennel.wait_for_state("web", "up");
    let (web, pid) = (kennel.process("web"), kennel.supervisor_pid().to_string());
    for replaced in [false, true] {
        fs::remove_file(kennel.path("state/lock")).unwrap();
        if replaced {
            kennel.write("state/lock", "1\n");
        }
        for socket in ["k.sock", "other.sock"] {
            kennel.cli(&["run", "--socket", socket]).fails_saying(4, &[&pid, "is locked by"]);
        }
    }
    assert_eq!(kennel.processes(), [web]);
}

#[test]
fn a_stale_socket_and_a_stale_lock_file_are_no_obstacle() {
    let mut kennel = Kennel::new(WEB);
    fs::create_dir(kennel.path("state")).unwrap();
    fs::set_permissions(kennel.path("state"), fs::Permissions::from_mode(0o700)).unwrap();
    // A lock file that names a living process, which is none of ours.
    kennel.write("state/lock", "1\n");
    drop(UnixListener::bind(kennel.socket()).unwrap());
    kennel.start();
    kennel.wait_for_state("web", "up");
    let pid = kennel.supervisor_pid();
    assert_eq!(kennel.read("state/lock").lines().next(), Some(&*pid.to_string()));
    assert_eq!(kennel.terminate(), 0);
    kennel.assert_nothing_is_left();
}

#[test]
fn after_kill_9_of_the_supervisor_the_next_one_starts() {
    let mut kennel = Kennel::running(WEB);
    kennel.wait_for_state("web", "up");
    let old = kennel.process("web");
    kennel.kill_supervisor();
    assert!(kennel.socket().exists(), "nobody could take it away");
    assert!(old.is_alive(), "services outlive their supervisor");
    kennel.sweep();
    kennel.start();
    kennel.wait_for_state("web", "up");
    assert_eq!(kennel.terminate(), 0);
    kennel.assert_nothing_is_left();
}

#[test]
fn a_file_or_a_foreign_listener_in_the_place_of_the_socket_is_left_alone() {
    let kennel = Kennel::new(WEB);
    kennel.write("k.sock", "precious");
    kennel.cli(&["run"]).fails_saying(1, &["k.sock", "no socket"]);
    assert_eq!(kennel.read("k.sock"), "precious");
    fs::remove_file(kennel.socket()).unwrap();
    let listener = UnixListener::bind(kennel.socket()).unwrap();
    kennel.cli(&["run"]).fails_saying(1, &["k.sock", "another program listens there"]);
    drop(listener);
    assert_eq!(kennel.processes(), [], "nothing was started");
}

#[test]
fn two_houses_live_side_by_side() {
    let (mut one, mut two) = (Kennel::running(WEB), Kennel::running(WEB));
    one.wait_for_state("web", "up");
    two.wait_for_state("web", "up");
    let web: Process = two.process("web");
    assert_eq!(one.terminate(), 0);
    assert_eq!(two.process("web"), web);
    assert_eq!(two.terminate(), 0);
}

#[test]
fn the_supervisor_reaps_what_its_services_leave_behind() {
    // A process that leaves its session belongs to no group of the service. It becomes the
    // child of the supervisor, which nobody else could reap.
    let kennel = Kennel::running(
        r#"
        services:
          web: { shell: "setsid sleep 1000 & echo $! > orphan; exec sleep 1000" }
        "#,
    );
    kennel.wait_for_state("web", "up");
    let pid = kennel.wait_for_file("orphan").trim().parse().unwrap();
    let orphan = Process::find(pid).expect("it runs");
    kennel.process("web").signal(Signal::SIGKILL);
    let is_child = || children(kennel.supervisor_pid()).contains(&pid);
    wait_for("the orphan to be the supervisor's child", BOUND, || is_child().then_some(()));
    orphan.signal(Signal::SIGKILL);
    wait_for("the orphan to be reaped", BOUND, || (!is_child()).then_some(()));
}
