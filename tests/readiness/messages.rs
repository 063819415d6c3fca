//! `ready: { notify: systemd }`: what a service says by `sd_notify(3)`, word by word.

use std::fs;

use serde_json::Value;

use super::{notifying, python};
use crate::support::{BOUND, Kennel, needs_program, needs_root, wait_for};

/// The names of the notification sockets that there are.
fn sockets(kennel: &Kennel) -> Vec<String> {
    let entries = fs::read_dir(kennel.path("state/notify")).into_iter().flatten().flatten();
    let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
    names.filter(|name| name != "secret").collect()
}

#[test]
fn a_shell_service_is_ready_when_systemd_notify_says_so_and_its_status_is_shown() {
    if needs_program("systemd-notify") {
        return;
    }
    let kennel = Kennel::running(
        r#"
        services:
          web:
            shell: |
              while [ ! -e go ]; do sleep 0.02; done
              systemd-notify --ready --status="serving 3 customers"
              while [ ! -e quiet ]; do sleep 0.02; done
              systemd-notify --status=""
              exec sleep 1000
            ready: { notify: systemd }
          after: { command: [sleep, "1000"], depends_on: [web] }
        "#,
    );
    let starting = kennel.wait_for_state("web", "starting");
    assert_eq!(starting["status_text"], Value::Null);
    assert_eq!(kennel.service("after")["state"], "waiting");
    kennel.write("go", "");
    let up = kennel.wait_for_state("web", "up");
    assert_eq!(up["reason"], "");
    let said = wait_for("the status to be shown", BOUND, || {
        kennel.service("web")["status_text"].as_str().map(str::to_owned)
    });
    assert_eq!(said, "serving 3 customers");
    let table = kennel.cli(&["status", "web"]).ok();
    assert!(table.contains("serving 3 customers"), "{table}");
    assert_eq!(sockets(&kennel).len(), 1);
    kennel.wait_for_state("after", "up");

    kennel.write("quiet", "");
    wait_for("the status to be gone", BOUND, || kennel.service("web")["status_text"].as_null());
    kennel.cli(&["stop", "web"]).ok();
    assert_eq!(kennel.service("web")["status_text"], Value::Null);
    wait_for("the socket to be gone", BOUND, || sockets(&kennel).is_empty().then_some(()));
}

#[test]
fn the_status_ends_with_the_run_that_said_it() {
    let kennel = notifying(
        "say('READY=1', 'STATUS=run ' + os.environ['KENNEL_RUN'])\nforever()",
        "restart: { backoff: { initial: 100ms } }",
    );
    kennel.wait_for_state("web", "up");
    let first = kennel.service("web")["status_text"].clone();
    assert!(first.as_str().unwrap().starts_with("run "), "{first}");
    kennel.cli(&["restart", "web"]).ok();
    let second = kennel.service("web")["status_text"].clone();
    assert!(second.as_str().unwrap().starts_with("run ") && second != first, "{second}");
    kennel.cli(&["stop", "web"]).ok();
    assert_eq!(kennel.service("web")["status_text"], Value::Null);
}

#[test]
fn a_service_of_our_own_user_has_a_path_and_one_of_another_user_an_abstract_name() {
    let body = "write('name', os.environ['NOTIFY_SOCKET'])\nsay('READY=1')\nforever()";
    let kennel = notifying(body, "");
    kennel.wait_for_state("web", "up");
    let name = kennel.wait_for_file("name");
    let place = kennel.path("state/notify").display().to_string();
    assert!(name.starts_with(&format!("{place}/web.")), "{name}");
    drop(kennel);

    // A path has to fit into a socket's address.
    let mut kennel = Kennel::new("");
    let command = python(&kennel, "web.py", body);
    let deep = "d".repeat(100);
    kennel.configure(&format!(
        "kennel: {{ name: house, state_dir: ./{deep}, socket: ./k.sock }}\n\
         services: {{ web: {{ {command}, ready: {{ notify: systemd }} }} }}\n"
    ));
    kennel.start();
    kennel.wait_for_state("web", "up");
    let name = kennel.wait_for_file("name");
    assert!(name.starts_with("@kennel/web/"), "{name}");
    drop(kennel);

    if needs_root("a service of another user") {
        return;
    }
    let mut kennel = Kennel::new("");
    let body = body.replace("write('name', ", "print(");
    let command = python(&kennel, "web.py", &body);
    kennel.configure(&format!(
        "services: {{ web: {{ {command}, user: nobody, ready: {{ notify: systemd }}, env: {{ PYTHONUNBUFFERED: 1 }} }} }}\n"
    ));
    kennel.start();
    kennel.wait_for_state("web", "up");
    let log = wait_for("the name in the log", BOUND, || {
        Some(kennel.cli(&["logs", "web"]).stdout).filter(|log| log.contains("@kennel/"))
    });
    assert!(log.contains("@kennel/web/"), "{log}");
    assert_eq!(kennel.service("web")["pid"].as_i64().map(|pid| pid > 0), Some(true));
}

#[test]
fn who_is_not_ready_in_time_has_failed_with_the_last_it_said() {
    let kennel = notifying(
        "say('STATUS=replaying the journal, 40 %')\nforever()",
        "ready: { notify: systemd, timeout: 500ms }\n    restart: { policy: never }",
    );
    let failed = kennel.wait_for_state("web", "failed");
    let reason = failed["reason"].as_str().unwrap();
    let expected = "no READY=1 arrived; last status: replaying the journal, 40 %";
    assert!(reason.contains("not ready within 500 ms") && reason.contains(expected), "{reason}");
    let event = kennel.wait_for_event("service.exited", "web");
    assert!(event["message"].as_str().unwrap().contains(expected), "{event}");
    assert_eq!(event["attributes"]["cause"], "not-ready");

    let kennel = notifying(
        "forever()",
        "ready: { notify: systemd, timeout: 300ms }\n    restart: { policy: never }",
    );
    let reason = kennel.wait_for_state("web", "failed")["reason"].clone();
    assert!(reason.as_str().unwrap().contains("no READY=1 arrived"), "{reason}");
}

#[test]
fn a_slow_start_that_asks_for_more_time_gets_it() {
    // Three times as long as the timeout, never silent for longer than it asked for.
    let kennel = notifying(
        "
        for part in range(5):
            say('EXTEND_TIMEOUT_USEC=20000000', f'STATUS=part {part}')
            time.sleep(0.3)
        say('READY=1')
        forever()
        ",
        "ready: { notify: systemd, timeout: 500ms }",
    );
    let up = kennel.wait_for_state("web", "up");
    assert_eq!((&up["restarts"], &up["status_text"]), (&0.into(), &"part 4".into()));
    let took = up["start_ms"].as_u64().unwrap();
    assert!(took >= 1400, "ready after {took} ms");

    // And without asking it is a failed start.
    let kennel = notifying(
        "time.sleep(1.5)\nsay('READY=1')\nforever()",
        "ready: { notify: systemd, timeout: 500ms }\n    restart: { policy: never }",
    );
    kennel.wait_for_state("web", "failed");
}

#[test]
fn a_slow_stop_that_asks_for_more_time_gets_it() {
    let kennel = notifying(
        "
        def stop(*_):
            say('EXTEND_TIMEOUT_USEC=20000000', 'STATUS=writing it all down')
            time.sleep(1)
            sys.exit(0)
        signal.signal(signal.SIGTERM, stop)
        say('READY=1')
        forever()
        ",
        "stop: { steps: [{ signal: SIGTERM, wait: 300ms }] }",
    );
    kennel.wait_for_state("web", "up");
    kennel.cli(&["stop", "web"]).ok();
    assert_eq!(kennel.service("web")["exit"]["code"], 0, "it was not killed");
}

#[test]
fn sockets_that_a_killed_supervisor_left_are_removed_by_the_next_one() {
    let mut kennel = notifying("say('READY=1')\nforever()", "");
    kennel.wait_for_state("web", "up");
    let left = sockets(&kennel);
    assert_eq!(left.len(), 1);
    let before = kennel.process("web");
    kennel.kill_supervisor();
    assert_eq!(sockets(&kennel), left);
    kennel.sweep();
    kennel.start();
    // That it has ended may be seen only after it was adopted.
    kennel.wait_for_new_run("web", &before);
    let now = sockets(&kennel);
    assert!(now.len() == 1 && now != left, "{now:?} after {left:?}");
}

#[test]
fn a_oneshot_may_tell_what_it_does_and_is_done_when_it_ends() {
    let kennel = notifying(
        "say('STATUS=half way')\nuntil('go')",
        "type: oneshot\n    ready: { notify: systemd }",
    );
    let text = || kennel.service("web")["status_text"].as_str().map(str::to_owned);
    assert_eq!(wait_for("its status", BOUND, text), "half way");
    assert_eq!(kennel.service("web")["reason"], "", "nobody waits for READY=1");
    kennel.write("go", "");
    kennel.wait_for_state("web", "done");
}

#[test]
fn a_reload_is_shown_while_it_lasts_and_told_of() {
    let kennel = notifying(
        "
        say('READY=1', 'STATUS=serving')
        until('reload')
        say('RELOADING=1', 'MONOTONIC_USEC=1')
        until('reloaded')
        say('READY=1')
        forever()
        ",
        "",
    );
    kennel.wait_for_state("web", "up");
    let text = |expected: &str| {
        wait_for(expected, BOUND, || {
            (kennel.service("web")["status_text"] == expected).then_some(())
        });
    };
    text("serving");
    kennel.write("reload", "");
    text("reloading; serving");
    assert_eq!(kennel.service("web")["state"], "up", "it goes on serving");
    kennel.write("reloaded", "");
    text("serving");
    kennel.wait_for_event("service.reloading", "web");
    let reloaded = kennel.wait_for_event("service.reloaded", "web");
    assert!(reloaded["attributes"]["after_ms"].is_u64(), "{reloaded}");
    assert_eq!(kennel.events_of("service.ready", "web").len(), 1, "it was ready all the time");
}

#[test]
fn why_a_service_failed_is_shown_as_it_said_it() {
    let kennel = notifying(
        "
        say('READY=1')
        until('fail')
        # Its last word comes when the one before has only just been heard, and then it is gone.
        barrier()
        say('ERRNO=28')
        os._exit(3)
        ",
        "restart: { policy: never }",
    );
    kennel.wait_for_state("web", "up");
    kennel.write("fail", "");
    let reason = kennel.wait_for_state("web", "failed")["reason"].clone();
    let expected = "it said: no space left on device (ERRNO=28)";
    assert!(reason.as_str().unwrap().contains(expected), "{reason}");
    let exited = kennel.wait_for_event("service.exited", "web");
    assert!(exited["message"].as_str().unwrap().contains(expected), "{exited}");

    // It is said of this failure, not of later ones.
    kennel.write("web.py", "import sys\nsys.exit(4)\n");
    kennel.cli(&["start", "--no-wait", "web"]).ok();
    let reason = wait_for("the other failure", BOUND, || {
        let service = kennel.service("web");
        let reason = service["reason"].as_str()?.to_owned();
        (service["state"] == "failed" && reason.contains("code 4")).then_some(reason)
    });
    assert!(!reason.contains("ERRNO"), "{reason}");
}

#[test]
fn who_says_that_it_stops_is_not_counted_as_crashed_until_it_has_ended() {
    let kennel = notifying(
        "
        say('READY=1')
        until('stop')
        say('STOPPING=1', 'STATUS=saying goodbye')
        until('end')
        ",
        "restart: { policy: on_failure }",
    );
    kennel.wait_for_state("web", "up");
    kennel.write("stop", "");
    let stopping = kennel.wait_for_state("web", "stopping");
    assert_eq!(stopping["status_text"], "saying goodbye");
    kennel.write("end", "");
    let ended = wait_for("its end", BOUND, || {
        Some(kennel.service("web")).filter(|web| web["state"] != "stopping")
    });
    assert_eq!(ended["exit"]["code"], 0, "{ended:#}");
    assert_eq!(ended["restarts"], 0, "a success under on_failure");
}

#[test]
fn a_barrier_falls_when_all_before_it_was_taken_notice_of() {
    let kennel = notifying(
        "
        for number in range(200):
            say(f'STATUS=step {number}')
            barrier()
            write('step', str(number))
        say('READY=1', 'STATUS=done')
        barrier()
        write('done', 'yes')
        forever()
        ",
        "",
    );
    kennel.wait_for_file("done");
    // No waiting: when the barrier fell the supervisor had acted on it.
    let web = kennel.service("web");
    assert_eq!((&web["state"], &web["status_text"]), (&"up".into(), &"done".into()), "{web:#}");
}

#[test]
fn messages_that_nobody_can_read_do_no_harm_and_are_counted() {
    let kennel = notifying(
        r"
        say(b'STATUS=\xff\xfe caf\xc3\xa9 \x1b[31m')
        say('X' * 100000)
        say('READY=1\0STATUS=no')
        say('FDSTORE=1', 'FDNAME=x', fds=[0, 1, 2])
        say('BARRIER=1', 'READY=1', fds=[0])
        say('MAINPID=1')
        say('MAINPID=99999999')
        say('nonsense', '=', '', 'READY', 'WATCHDOG_USEC=x')
        barrier()
        write('said', 'yes')
        until('go')
        say('READY=1\0')
        forever()
        ",
        "",
    );
    kennel.wait_for_file("said");
    let web = kennel.service("web");
    assert_eq!(web["state"], "starting", "none of it was READY=1");
    assert_eq!(web["status_text"], "\u{fffd}\u{fffd} café  [31m");
    kennel.write("go", "");
    kennel.wait_for_state("web", "up");
    let metrics = kennel.api("GET", "/metrics").body;
    let line = "kennel_service_ignored_notifications_total{service=\"web\",instance=\"web\"} 4";
    assert!(metrics.lines().any(|l| l.starts_with(line)), "{metrics}");
    let ignored = kennel.events_of("service.notification_ignored", "web");
    assert_eq!(ignored.len(), 1, "once a minute at most: {ignored:#?}");
}

#[test]
fn descriptors_that_are_sent_along_are_closed() {
    let kennel = notifying(
        "
        for _ in range(300):
            say('STATUS=x', 'FDSTORE=1', fds=[0, 1, 2])
        reader, writer = os.pipe()
        say('FDSTORE=1', fds=[writer])
        os.close(writer)
        os.read(reader, 1)
        say('READY=1')
        forever()
        ",
        "",
    );
    kennel.wait_for_state("web", "up");
    let open = fs::read_dir(format!("/proc/{}/fd", kennel.supervisor_pid())).unwrap().count();
    assert!(open < 100, "{open} descriptors are open");
}

#[test]
fn a_service_that_floods_its_socket_delays_nobody() {
    let flood = "
        say('READY=1')
        pids = [os.fork() for _ in range(3)]
        number = 0
        while True:
            number += 1
            say(f'STATUS={number}', 'RELOADING=1')
            say('READY=1', 'WATCHDOG=1')
    ";
    let mut kennel = Kennel::new("");
    let command = python(&kennel, "flood.py", flood);
    let calm = python(&kennel, "calm.py", "say('READY=1')\nforever()");
    kennel.configure(&format!(
        "services:\n  flood: {{ {command}, ready: {{ notify: systemd }} }}\n  \
         calm: {{ {calm}, ready: {{ notify: systemd }} }}\n"
    ));
    kennel.start();
    kennel.wait_for_state("flood", "up");
    for _ in 0..3 {
        kennel.cli(&["restart", "calm"]).ok();
    }
    // Events of what it says have a rate, so that they push nobody's out.
    let reloading = kennel.events_of("service.reloading", "flood").len();
    assert!(reloading < 200, "{reloading} events");
    let before = kennel.events().len();
    kennel.cli(&["stop", "flood"]).ok();
    assert!(before < 500, "{before} events");
}
