//! What a service is connected to is connected again.

use std::fs;

use super::succeed;
use crate::support::servers::free_port;
use crate::support::{BOUND, Kennel, http, needs_program, needs_root, wait_for};

/// A service in Python that says how it is, and what it is told to say.
const TALKING: &str = r#"
import os, socket, time
name = os.environ["NOTIFY_SOCKET"]
name = "\0" + name[1:] if name.startswith("@") else name
def say(text):
    s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    try:
        s.sendto(text.encode(), name)
        return True
    except OSError:
        return False
while not os.path.exists("ready"):
    time.sleep(0.02)
while not say("READY=1\nSTATUS=first"):
    time.sleep(0.02)
n = 0
while True:
    n += 1
    say("WATCHDOG=1\nSTATUS=sign %d" % n)
    time.sleep(0.1)
"#;

#[test]
fn a_service_notifies_the_next_supervisor_as_it_did_the_first() {
    if needs_program("python3") {
        return;
    }
    let mut kennel = Kennel::new(
        r#"
        services:
          web:
            command: [python3, talk.py]
            ready: { notify: systemd }
            watchdog: 20s
        "#,
    );
    kennel.write("talk.py", TALKING);
    kennel.start();
    let pid = kennel.pid("web");
    succeed(&mut kennel);
    // Not ready when the first one was killed; the second one hears of it.
    kennel.wait_for_state("web", "starting");
    kennel.write("ready", "");
    kennel.wait_for_state("web", "up");
    succeed(&mut kennel);
    kennel.wait_for_state("web", "up");
    wait_for("a status", BOUND, || {
        kennel.service("web")["status_text"].as_str().filter(|s| s.starts_with("sign")).map(drop)
    });
    assert_eq!(kennel.pid("web"), pid);
}

#[test]
fn readiness_on_a_descriptor_is_heard_by_the_next_supervisor() {
    let mut kennel = Kennel::running(
        r#"
        services:
          web:
            shell: "until [ -e ready ]; do sleep 0.02; done; echo >&3; exec sleep 1000"
            ready: { notify: { fd: 3 } }
        "#,
    );
    let pid = kennel.pid("web");
    kennel.kill_supervisor();
    // Nobody listens when it says so; what it has said waits.
    kennel.write("ready", "");
    wait_for("the word", BOUND, || {
        let comm = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
        (comm == "sleep\n" && kennel.path("ready").exists())
            .then(|| fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap().contains("1000"))
    });
    kennel.start();
    kennel.wait_for_state("web", "up");
    assert_eq!(kennel.pid("web"), pid);
}

#[test]
fn who_has_closed_its_descriptor_while_nobody_listened_is_ready_when_its_time_is_over() {
    let mut kennel = Kennel::running(
        r#"
        services:
          web:
            shell: "until [ -e ready ]; do sleep 0.02; done; echo >&3; exec 3>&-; exec sleep 1000"
            ready: { notify: { fd: 3 }, timeout: 15s }
        "#,
    );
    let web = kennel.process("web");
    kennel.kill_supervisor();
    // With the last who holds it goes what is in the pipe.
    kennel.write("ready", "");
    wait_for("the end of the pipe", BOUND, || {
        let command = fs::read_to_string(format!("/proc/{}/cmdline", web.pid)).unwrap();
        command.ends_with("1000\0").then_some(())
    });
    kennel.start();
    let told = kennel.wait_for_event("service.adopted_in_part", "web");
    let told = told["message"].as_str().unwrap();
    assert!(told.contains("descriptor 3 was closed while nobody listened"), "{told}");
    kennel.wait_for_state("web", "up");
    assert_eq!(kennel.process("web"), web);
    assert_eq!(kennel.service("web")["restarts"], 0);
}

#[test]
fn checks_go_on_with_what_was_adopted() {
    let mut kennel = Kennel::new(
        r#"
        services:
          web:
            command: [sleep, "1000"]
            health: { command: [test, -e, healthy], every: 100ms, failures: 2, grace: 0s }
        "#,
    );
    kennel.write("healthy", "");
    kennel.start();
    kennel.wait_for_state("web", "up");
    let before = kennel.process("web");
    succeed(&mut kennel);
    wait_for("health", BOUND, || (kennel.service("web")["health"] == "healthy").then_some(()));
    assert_eq!(kennel.process("web"), before);
    fs::remove_file(kennel.path("healthy")).unwrap();
    kennel.wait_for_new_run("web", &before);
}

#[test]
fn held_sockets_are_held_again_where_that_is_allowed() {
    if needs_program("perl") || needs_root("others may not look into a process of theirs") {
        return;
    }
    let port = free_port();
    let mut kennel = Kennel::new(&format!(
        "services:\n  web:\n    command: [perl, answering.pl]\n    \
         sockets: [tcp://127.0.0.1:{port}]\n"
    ));
    kennel.write("answering.pl", include_str!("../support/answering.pl"));
    kennel.start();
    kennel.wait_for_state("web", "up");
    let answering = || http::get_tcp(port, "/").ok()?.body.trim().parse::<i32>().ok();
    let pid = kennel.pid("web");
    wait_for("an answer", BOUND, || (answering() == Some(pid)).then_some(()));
    kennel.kill_supervisor();
    assert_eq!(answering(), Some(pid), "it goes on without a supervisor");
    kennel.start();
    kennel.wait_for_state("web", "up");
    assert_eq!(kennel.service("web")["sockets"][0]["open"], true);
    // While it restarts, who connects waits: only a held socket makes that so.
    let before = kennel.process("web");
    before.signal(nix::sys::signal::Signal::SIGKILL);
    let client = std::net::TcpStream::connect(("127.0.0.1", port));
    assert!(client.is_ok(), "{client:?}");
    kennel.wait_for_new_run("web", &before);
    drop(client);
    wait_for("an answer of the next run", BOUND, || answering().filter(|now| *now != pid));
}
