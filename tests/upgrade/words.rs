//! What services tell while the program is replaced.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use super::{go_on, hold, upgrade};
use crate::readiness::python;
use crate::support::{BOUND, Kennel, needs_program, needs_root, wait_for};

#[test]
fn each_of_a_hundred_that_say_once_that_they_are_ready_is_heard() {
    if needs_program("perl") {
        return;
    }
    let mut kennel = Kennel::new(
        r#"
        kennel: { state_dir: ./state, socket: ./k.sock, max_concurrent_starts: 1000 }
        services:
          notify:
            command: [perl, word.pl, notify]
            replicas: 100
            ready: { notify: systemd, timeout: 300s }
          line:
            command: [perl, word.pl, line]
            replicas: 20
            ready: { log: "it is ready", timeout: 300s }
        "#,
    );
    kennel.write("word.pl", include_str!("../support/word.pl"));
    kennel.start();
    for round in 0..3 {
        if round > 0 {
            kennel.cli(&["restart", "--no-wait", "notify", "line"]).ok();
        }
        // While some are being made, some have said their word and some have not.
        upgrade(&kennel, &[]);
        let status = wait_for("all to be up", BOUND * 2, || {
            let status = kennel.status();
            let services = status["services"].as_array()?;
            (services.iter().filter(|one| one["state"] == "up").count() == 120).then_some(status)
        });
        for service in status["services"].as_array().unwrap() {
            assert_eq!(service["restarts"], 0, "{service}");
        }
    }
    let said = kennel.cli(&["logs", "-n", "1000", "notify"]).ok();
    assert!(!said.contains("refused"), "{said}");
    assert_eq!(kennel.terminate(), 0);
}

#[test]
fn a_newline_on_a_descriptor_that_is_closed_while_the_program_is_replaced_is_heard() {
    let mut kennel = Kennel::running(
        r#"
        services:
          web:
            shell: |
              until [ -e between ]; do sleep 0.02; done
              echo >&3
              exec 3>&-
              echo yes > said
              exec sleep 1000
            ready: { notify: { fd: 3 }, timeout: 300s }
        "#,
    );
    let upgrading = hold(&kennel);
    // Nobody but the supervisor has the pipe now.
    kennel.wait_for_file("said");
    go_on(&kennel, upgrading);
    let web = kennel.wait_for_state("web", "up");
    assert_eq!(web["restarts"], 0, "{web}");
    assert_eq!(kennel.terminate(), 0);
}

#[test]
fn who_is_not_ready_in_time_has_failed_also_when_the_program_was_replaced_meanwhile() {
    let kennel = Kennel::running(
        r#"
        services:
          closes:
            shell: |
              until [ -e between ]; do sleep 0.02; done
              exec 3>&-
              echo yes > said
              exec sleep 1000
            ready: { notify: { fd: 3 }, timeout: 6s }
            restart: { policy: never }
          notifies:
            command: [sleep, "1000"]
            ready: { notify: systemd, timeout: 6s }
            restart: { policy: never }
          line:
            command: [sleep, "1000"]
            ready: { log: "it is ready", timeout: 6s }
            restart: { policy: never }
        "#,
    );
    let upgrading = hold(&kennel);
    kennel.wait_for_file("said");
    go_on(&kennel, upgrading);
    for (name, part) in [
        ("closes", "descriptor 3 was closed before a newline came"),
        ("notifies", "not ready within 6 s"),
        ("line", "not ready within 6 s"),
    ] {
        let reason = kennel.wait_for_state(name, "failed")["reason"].clone();
        assert!(reason.as_str().unwrap().contains(part), "{name}: {reason}");
    }
}

/// Says a word from a process that has ended by the time that somebody could look at it.
const BRIEFLY: &str = "
    write('open/name', os.environ['NOTIFY_SOCKET'])
    until('between')
    if os.fork() == 0:
        os.setsid()
        say('READY=1', 'STATUS=said by who is gone')
        os._exit(0)
    os.wait()
    write('open/said', 'yes')
    forever()
";

/// A service in Python that is to say that it is ready; it can write to the directory `open`.
fn notifying(body: &str, more: &str) -> Kennel {
    let mut kennel = Kennel::new("");
    fs::create_dir(kennel.path("open")).unwrap();
    fs::set_permissions(kennel.path("open"), fs::Permissions::from_mode(0o777)).unwrap();
    let command = python(&kennel, "web.py", body);
    kennel.configure(&format!(
        "services:\n  web:\n    {command}\n    \
         ready: {{ notify: systemd, timeout: 300s }}\n    {more}\n"
    ));
    kennel.start();
    kennel.wait_for_file("open/name");
    kennel
}

#[test]
fn the_word_of_who_has_ended_before_the_program_was_replaced_counts() {
    if needs_program("python3") {
        return;
    }
    for more in ["", "user: nobody"] {
        if !more.is_empty() && needs_root("a service of another user") {
            return;
        }
        let mut kennel = notifying(BRIEFLY, more);
        let pid = kennel.pid("web");
        let upgrading = hold(&kennel);
        // Its child is reaped: nobody can tell any more what it was.
        kennel.wait_for_file("open/said");
        go_on(&kennel, upgrading);
        let web = kennel.wait_for_state("web", "up");
        assert_eq!(web["status_text"], "said by who is gone");
        assert_eq!((&web["restarts"], &web["pid"]), (&0.into(), &pid.into()), "{web}");
        assert_eq!(kennel.terminate(), 0);
    }
}

#[test]
fn the_word_of_another_user_who_has_ended_before_the_program_was_replaced_does_not_count() {
    if needs_program("python3") || needs_root("a service of another user") {
        return;
    }
    let body = "write('open/name', os.environ['NOTIFY_SOCKET'])\nforever()";
    let kennel = notifying(body, "user: nobody");
    let name = kennel.read("open/name");
    let upgrading = hold(&kennel);
    let script = "import socket, sys\n\
        s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)\n\
        s.connect('\\0' + sys.argv[1][1:])\n\
        s.send(b'READY=1')\n";
    let said = Command::new("python3").args(["-c", script, name.trim_end()]).status().unwrap();
    assert!(said.success());
    go_on(&kennel, upgrading);
    let ignored = kennel.wait_for_event("service.notification_ignored", "web");
    assert!(ignored.to_string().contains("had ended"), "{ignored}");
    assert_eq!(kennel.service("web")["state"], "starting");
}
