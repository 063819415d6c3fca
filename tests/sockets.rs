//! Sockets that Kennel opens for services and keeps while their processes come and go.

use std::fs;
use std::io::ErrorKind;
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::os::unix::net::UnixStream;

use nix::sys::signal::Signal;
use serde_json::json;

use crate::support::clients::Clients;
use crate::support::servers::free_port;
use crate::support::{
    BOUND, Kennel, http, needs_ordinary_user, needs_program, needs_root, wait_for,
};

/// What crashed comes back soon, however often.
const RESTART: &str = "{ backoff: { initial: 50ms, max: 50ms }, limit: none }";

/// A directory with a web server that answers with its pid on the socket it is given; what
/// `web` needs besides that is `more`, lines of YAML.
fn web(port: u16, more: &str) -> Kennel {
    let kennel = Kennel::new("");
    kennel.write("answering.pl", include_str!("support/answering.pl"));
    configure_web(&kennel, port, more);
    kennel
}

fn configure_web(kennel: &Kennel, port: u16, more: &str) {
    kennel.configure(&format!(
        "services:\n  web:\n    command: [perl, answering.pl]\n    \
         sockets: [tcp://127.0.0.1:{port}]\n    restart: {RESTART}\n{more}"
    ));
}

/// The pid that answers at `port`.
fn answering(port: u16) -> Option<i32> {
    http::get_tcp(port, "/").ok()?.body.trim().parse().ok()
}

fn is_refused(port: u16) -> bool {
    TcpStream::connect(("127.0.0.1", port))
        .is_err_and(|error| error.kind() == ErrorKind::ConnectionRefused)
}

#[test]
fn a_service_is_given_its_sockets_as_sd_listen_fds_says() {
    let (one, two) = (free_port(), free_port());
    let kennel = Kennel::running(&format!(
        r#"
        services:
          web:
            shell: |
              echo "$LISTEN_FDS $LISTEN_FDNAMES $LISTEN_PID $$$$" > environment
              exec sleep 1000
            env: {{ LISTEN_FDS: "99" }}
            sockets:
              - tcp://127.0.0.1:{one}
              - {{ listen: "udp://127.0.0.1:{two}", name: queries }}
              - unix:web.sock
            health:
              command: [sh, -c, "echo $LISTEN_FDS > check; ls /proc/$$$$/fd >> check"]
              every: 100ms
          other:
            shell: "echo $${{LISTEN_FDS:-none}} > other; exec sleep 1000"
        "#
    ));
    let environment = kennel.wait_for_file("environment");
    let pid = kennel.pid("web");
    assert_eq!(environment, format!("3 tcp-{one}:queries:web.sock {pid} {pid}\n"));
    wait_for("the shell to be the program", BOUND, || {
        fs::read_to_string(format!("/proc/{pid}/comm")).ok().filter(|comm| comm == "sleep\n")
    });
    let mut descriptors: Vec<String> = fs::read_dir(format!("/proc/{pid}/fd"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    descriptors.sort();
    assert_eq!(descriptors, ["0", "1", "2", "3", "4", "5"]);
    for number in 3..=5 {
        let info = fs::read_to_string(format!("/proc/{pid}/fdinfo/{number}")).unwrap();
        let flags = info.lines().find_map(|line| line.strip_prefix("flags:")).unwrap().trim();
        let flags = i32::from_str_radix(flags, 8).unwrap();
        let unwanted = nix::libc::O_NONBLOCK | nix::libc::O_CLOEXEC;
        assert_eq!(flags & unwanted, 0, "neither non-blocking nor closed on exec: {info}");
    }

    // For the service's own process only.
    let check = wait_for("a check", BOUND, || {
        let check = kennel.read("check");
        (check.lines().count() > 3).then_some(check)
    });
    assert!(check.starts_with("99\n"), "the environment as it is configured: {check}");
    assert!(!check.contains("\n5\n"), "{check}");
    assert_eq!(kennel.wait_for_file("other"), "none\n");

    let sockets = &kennel.service("web")["sockets"];
    let path = kennel.path("web.sock").display().to_string();
    let socket =
        |name: &str, address: String| json!({"name": name, "address": address, "open": true});
    let expected = json!([
        socket(&format!("tcp-{one}"), format!("tcp://127.0.0.1:{one}")),
        socket("queries", format!("udp://127.0.0.1:{two}")),
        socket("web.sock", format!("unix:{path}")),
    ]);
    assert_eq!(sockets, &expected);
    assert_eq!(kennel.service("other")["sockets"], json!([]));
}

#[test]
fn the_file_of_a_socket_has_its_mode_and_goes_with_the_service() {
    let mut kennel = Kennel::running(
        r#"
        services:
          web:
            command: [sleep, "1000"]
            sockets: [{ listen: "unix:web.sock", mode: "0660" }]
        "#,
    );
    kennel.wait_for_state("web", "up");
    let path = kennel.path("web.sock");
    let found = fs::symlink_metadata(&path).unwrap();
    assert!(found.file_type().is_socket());
    assert_eq!(found.mode() & 0o777, 0o660);
    let waiting = UnixStream::connect(&path).unwrap();

    assert_eq!(kennel.cli(&["restart", "web"]).code, 0);
    let same = fs::symlink_metadata(&path).unwrap();
    assert_eq!(same.ino(), found.ino(), "a restart keeps the socket");
    drop(waiting);

    assert_eq!(kennel.cli(&["stop", "web"]).code, 0);
    wait_for("the file to be gone", BOUND, || (!path.exists()).then_some(()));
    assert_eq!(kennel.service("web")["sockets"][0]["open"], false);
    assert_eq!(kennel.cli(&["start", "web"]).code, 0);
    UnixStream::connect(&path).unwrap();
    assert_eq!(kennel.terminate(), 0);
    assert!(!path.exists(), "the end of the supervisor is the end of its sockets");
    kennel.assert_nothing_is_left();

    // What a killed supervisor leaves behind is in nobody's way.
    kennel.start();
    kennel.wait_for_state("web", "up");
    let before = kennel.process("web");
    kennel.kill_supervisor();
    kennel.sweep();
    assert!(path.exists());
    kennel.start();
    kennel.wait_for_new_run("web", &before);
    UnixStream::connect(&path).unwrap();
}

#[test]
fn the_file_of_a_socket_belongs_to_the_user_of_the_service() {
    if needs_root("only root gives files away") {
        return;
    }
    let kennel = Kennel::running(
        r#"
        services:
          web: { command: [sleep, "1000"], user: nobody, sockets: ["unix:web.sock"] }
        "#,
    );
    kennel.wait_for_state("web", "up");
    let nobody = nix::unistd::User::from_name("nobody").unwrap().unwrap();
    let found = fs::symlink_metadata(kennel.path("web.sock")).unwrap();
    assert_eq!((found.uid(), found.gid()), (nobody.uid.as_raw(), nobody.gid.as_raw()));
    assert_eq!(found.mode() & 0o777, 0o600);
}

#[test]
fn a_port_in_use_is_a_failed_start_that_says_so() {
    let port = free_port();
    let taken = TcpListener::bind(("127.0.0.1", port)).unwrap();
    let kennel = Kennel::running(&format!(
        r#"
        services:
          web:
            command: [sleep, "1000"]
            sockets: [tcp://127.0.0.1:{port}]
            restart: {{ backoff: {{ initial: 10ms, max: 20ms }}, limit: {{ max: 3, within: 1m }} }}
        "#
    ));
    let web = kennel.wait_for_state("web", "failed");
    let reason = web["reason"].as_str().unwrap();
    let part = format!("cannot listen on tcp://127.0.0.1:{port}: address already in use");
    assert!(reason.contains(&part), "{reason}");
    assert!(reason.contains("ss -ltnp"), "{reason}");
    assert_eq!(web["restarts"], 3, "a failure as any other: {web:#}");
    assert_eq!(web["sockets"][0]["open"], false);
    drop(taken);
    assert_eq!(kennel.cli(&["start", "web"]).code, 0);
    TcpStream::connect(("127.0.0.1", port)).unwrap();
}

#[test]
fn a_port_for_root_only_is_a_failed_start_that_says_so() {
    if needs_ordinary_user("root may have any port") {
        return;
    }
    let first = fs::read_to_string("/proc/sys/net/ipv4/ip_unprivileged_port_start");
    if first.is_ok_and(|first| first.trim().parse::<u16>().is_ok_and(|first| first <= 7)) {
        println!("skipped: here everybody may have any port");
        return;
    }
    let kennel = Kennel::running(
        r#"
        services:
          web:
            command: [sleep, "1000"]
            sockets: [tcp://127.0.0.1:7]
            restart: { limit: { max: 1, within: 1m }, backoff: { initial: 10ms } }
        "#,
    );
    let web = kennel.wait_for_state("web", "failed");
    let reason = web["reason"].as_str().unwrap();
    let part = "cannot listen on tcp://127.0.0.1:7: permission denied (ports below 1024 need root";
    assert!(reason.contains(part), "{reason}");
}

#[test]
fn a_service_that_is_not_root_can_be_given_a_port_for_root_only() {
    if needs_root("only root may open such a port") || needs_program("perl") {
        return;
    }
    let is_free = |port: &u16| TcpListener::bind(("127.0.0.1", *port)).is_ok();
    let port = (600..1024).rev().find(is_free).expect("a free port");
    let mut kennel = web(port, "    user: nobody\n");
    kennel.start();
    kennel.wait_for_state("web", "up");
    assert_eq!(answering(port), Some(kennel.pid("web")));
    let nobody = nix::unistd::User::from_name("nobody").unwrap().unwrap();
    let owner = fs::metadata(format!("/proc/{}", kennel.pid("web"))).unwrap().uid();
    assert_eq!(owner, nobody.uid.as_raw());
}

#[test]
fn who_connects_waits_over_a_restart_and_is_refused_after_a_stop() {
    if needs_program("perl") {
        return;
    }
    let port = free_port();
    let mut kennel = web(port, "");
    kennel.start();
    kennel.wait_for_state("web", "up");
    let before = kennel.pid("web");
    assert_eq!(answering(port), Some(before));
    assert_eq!(kennel.cli(&["restart", "web"]).code, 0);
    let after = answering(port).unwrap();
    assert_ne!(after, before);

    assert_eq!(kennel.cli(&["stop", "web"]).code, 0);
    wait_for("connections to be refused", BOUND, || is_refused(port).then_some(()));
    assert_eq!(kennel.cli(&["start", "web"]).code, 0);
    assert_eq!(answering(port), Some(kennel.pid("web")));
    assert_eq!(kennel.terminate(), 0);
    assert!(is_refused(port));
}

#[test]
fn a_service_that_is_given_up_refuses_rather_than_lets_wait() {
    let port = free_port();
    let kennel = Kennel::running(&format!(
        r#"
        services:
          web:
            shell: "until test -e broken; do sleep 0.05; done; exit 3"
            sockets: [tcp://127.0.0.1:{port}]
            restart: {{ backoff: {{ initial: 10ms, max: 20ms }}, limit: {{ max: 3, within: 1m }} }}
        "#
    ));
    kennel.wait_for_state("web", "up");
    let waiting = TcpStream::connect(("127.0.0.1", port)).unwrap();
    kennel.write("broken", "");
    kennel.wait_for_state("web", "failed");
    wait_for("connections to be refused", BOUND, || is_refused(port).then_some(()));
    drop(waiting);
}

#[test]
fn a_crash_under_load_refuses_nobody() {
    if needs_program("perl") {
        return;
    }
    const CRASHES: u64 = 3;
    let port = free_port();
    let mut kennel = web(port, "");
    kennel.start();
    kennel.wait_for_state("web", "up");
    let clients = Clients::asking(port, 4);
    clients.wait_for_more(300);
    for _ in 0..CRASHES {
        let before = kennel.process("web");
        before.signal(Signal::SIGKILL);
        kennel.wait_for_new_run("web", &before);
        clients.wait_for_more(300);
    }
    let tally = clients.stop();
    println!("{tally:?}");
    assert_eq!(tally.refused, 0, "{tally:?}");
    // The request that a process was at when it was killed; it takes one at a time.
    assert!(tally.broken <= CRASHES, "{tally:?}");
    assert!(tally.answered >= 1200, "{tally:?}");
    assert_eq!(kennel.service("web")["restarts"], CRASHES);
}

#[test]
fn replicas_share_their_sockets_and_one_that_crashes_is_not_missed() {
    if needs_program("perl") {
        return;
    }
    let port = free_port();
    let mut kennel = web(port, "    replicas: 3\n");
    kennel.start();
    let names = ["web/0", "web/1", "web/2"];
    let pids = names.map(|name| {
        kennel.wait_for_state(name, "up");
        kennel.pid(name)
    });
    for pid in pids {
        wait_for("each of them to answer", BOUND, || (answering(port) == Some(pid)).then_some(()));
    }
    let clients = Clients::asking(port, 4);
    for name in names {
        clients.wait_for_more(200);
        let before = kennel.process(name);
        before.signal(Signal::SIGKILL);
        kennel.wait_for_new_run(name, &before);
    }
    clients.wait_for_more(200);
    let tally = clients.stop();
    println!("{tally:?}");
    assert_eq!(tally.refused, 0, "{tally:?}");
    assert!(tally.broken <= 3, "{tally:?}");

    // One that is stopped leaves the socket to the others.
    assert_eq!(kennel.cli(&["stop", "web/1"]).code, 0);
    assert!(answering(port).is_some());
    assert_eq!(kennel.cli(&["stop", "web"]).code, 0);
    wait_for("connections to be refused", BOUND, || is_refused(port).then_some(()));
}

#[test]
fn a_rolling_restart_under_load_fails_no_request() {
    if needs_program("perl") {
        return;
    }
    let port = free_port();
    let rolling = |answer: &str| {
        format!(
            "    replicas: 3\n    ready: {{ log: listening }}\n    \
             rolling: {{ wait_for: ready }}\n    env: {{ GENERATION: \"{answer}\" }}\n"
        )
    };
    let mut kennel = web(port, &rolling("1"));
    kennel.start();
    let names = ["web/0", "web/1", "web/2"];
    let processes = || {
        names.map(|name| {
            kennel.wait_for_state(name, "up");
            kennel.process(name)
        })
    };
    let first = processes();
    let clients = Clients::asking(port, 4);
    clients.wait_for_more(500);
    assert_eq!(kennel.cli(&["restart", "web", "--rolling"]).code, 0);
    let second = processes();
    clients.wait_for_more(500);

    // A reload that changes them rolls too.
    configure_web(&kennel, port, &rolling("2"));
    assert_eq!(kennel.cli(&["reload"]).code, 0);
    let third = names.map(|name| {
        let index = names.iter().position(|other| *other == name).unwrap();
        kennel.wait_for_new_run(name, &second[index])
    });
    clients.wait_for_more(500);

    // Those that come and those that go are not noticed either.
    assert_eq!(kennel.cli(&["scale", "web", "5"]).code, 0);
    clients.wait_for_more(500);
    assert_eq!(kennel.cli(&["scale", "web", "1"]).code, 0);
    clients.wait_for_more(500);

    let tally = clients.stop();
    println!("{tally:?}");
    assert_eq!((tally.refused, tally.broken), (0, 0), "{tally:?}");
    for (before, after) in first.iter().zip(&second).chain(second.iter().zip(&third)) {
        assert_ne!(before, after, "each has been replaced");
        assert!(!before.is_alive());
    }
}

#[test]
fn a_reload_keeps_the_sockets_that_stay_and_closes_the_others() {
    let (one, two, three) = (free_port(), free_port(), free_port());
    let yaml = |sockets: &[u16], command: &str| {
        let sockets: Vec<_> =
            sockets.iter().map(|port| format!("tcp://127.0.0.1:{port}")).collect();
        let sockets = sockets.join(", ");
        format!("services: {{ web: {{ command: [sleep, '{command}'], sockets: [{sockets}] }} }}")
    };
    let kennel = Kennel::running(&yaml(&[one, two], "1000"));
    kennel.wait_for_state("web", "up");
    // Nobody accepts it: it is still there when the socket is the same.
    let waiting = TcpStream::connect(("127.0.0.1", two)).unwrap();
    waiting.set_nonblocking(true).unwrap();
    let still_waits = || waiting.peek(&mut [0]).unwrap_err().kind() == ErrorKind::WouldBlock;

    let before = kennel.process("web");
    kennel.configure(&yaml(&[two, three], "1000"));
    let plan = kennel.cli(&["plan"]).ok();
    assert_eq!(plan, "web: restart, sockets changed\n");
    assert_eq!(kennel.cli(&["reload"]).ok(), plan);
    kennel.wait_for_new_run("web", &before);
    assert!(is_refused(one));
    assert!(still_waits());
    TcpStream::connect(("127.0.0.1", three)).unwrap();

    let before = kennel.process("web");
    kennel.configure(&yaml(&[two, three], "2000"));
    assert_eq!(kennel.cli(&["reload"]).code, 0);
    kennel.wait_for_new_run("web", &before);
    assert!(still_waits());

    kennel.configure("services: { other: { command: [sleep, '1000'] } }");
    assert_eq!(kennel.cli(&["reload"]).code, 0);
    wait_for("the sockets of what is gone to be closed", BOUND, || {
        (is_refused(two) && is_refused(three)).then_some(())
    });
}
