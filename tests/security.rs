//! Promises of SECURITY.md that are about the supervisor as a whole.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::sys::signal::Signal;

use crate::support::{BOUND, Kennel, Process, needs_program, needs_root, wait_for};

const SECRET: &str = "hunter2-5f3c";

/// All regular files below a directory.
fn files(directory: &Path) -> BTreeSet<PathBuf> {
    let mut found = BTreeSet::new();
    for entry in fs::read_dir(directory).unwrap().flatten() {
        let kind = entry.file_type().unwrap();
        if kind.is_dir() {
            found.extend(files(&entry.path()));
        } else if kind.is_file() {
            found.insert(entry.path());
        }
    }
    found
}

#[test]
fn a_secret_in_the_environment_is_shown_nowhere() {
    let yaml = |extra: &str| {
        format!(
            r#"
env: {{ HOUSE_PASSWORD: "{SECRET}" }}
services:
  web:
    shell: "exec sleep 1000"
    env: {{ DB_PASSWORD: "{SECRET}", FROM_OUTSIDE: "${{OUTSIDE}}"{extra} }}
    env_file: [web.env]
  bad:
    shell: "exit 3"
    env: {{ DB_PASSWORD: "{SECRET}" }}
    restart: {{ limit: {{ max: 1, within: 1m }} }}
  never:
    command: [no-such-program]
    env: {{ DB_PASSWORD: "{SECRET}" }}
"#
        )
    };
    let mut kennel = Kennel::new(&yaml(", SPARE: x")).env("OUTSIDE", SECRET);
    kennel.write("web.env", &format!("API_TOKEN={SECRET}\n"));
    kennel.start();
    kennel.wait_for_state("web", "up");
    kennel.wait_for_state("bad", "failed");
    kennel.configure(&yaml(""));
    let mut said = String::new();
    let mut say = |args: &[&str]| {
        let output = kennel.cli(args);
        said.push_str(&format!("{args:?}: {}{}\n", output.stdout, output.stderr));
    };
    say(&["plan"]);
    say(&["plan", "--json"]);
    say(&["plan", "--graph"]);
    say(&["reload"]);
    // A mistake in the very line of a secret: logs and events do not show that line.
    kennel.configure(&yaml(", SPARE: [1]"));
    kennel.signal(Signal::SIGHUP);
    wait_for("the rejected reload", BOUND, || {
        kennel.said().contains("nothing was changed").then_some(())
    });
    for args in [
        &["status"][..],
        &["status", "--json"],
        &["status", "--plain"],
        &["why", "web"],
        &["why", "bad"],
        &["why", "never"],
        &["events"],
        &["events", "--json"],
        &["logs"],
        &["schema"],
    ] {
        say(args);
    }
    for target in ["/metrics", "/v1/services", "/v1/openapi.json"] {
        said.push_str(&kennel.api("GET", target).body);
    }
    assert!(said.contains("config.rejected"), "{said}");
    assert!(!said.contains(SECRET), "{said}");
    let arguments: String =
        kennel.processes().into_iter().map(|process| process.command + "\n").collect();
    assert!(arguments.contains("sleep 1000") && !arguments.contains(SECRET), "{arguments}");
    assert_eq!(kennel.terminate(), 0);
    assert!(!kennel.stdout().contains(SECRET) && !kennel.said().contains(SECRET));
    for file in files(&kennel.path("state")) {
        let text = String::from_utf8_lossy(&fs::read(&file).unwrap()).into_owned();
        assert!(!text.contains(SECRET), "{}", file.display());
    }
}

#[test]
fn a_secret_is_shown_nowhere_at_any_level_over_adoption_and_upgrade_and_in_the_background() {
    let kennel = Kennel::new(&format!(
        r#"
        env: {{ HOUSE_PASSWORD: "{SECRET}" }}
        services:
          web:
            shell: "trap 'exit 0' TERM; while :; do sleep 0.1; done"
            env: {{ DB_PASSWORD: "{SECRET}" }}
            env_file: [web.env]
            health: {{ command: [sh, ./well.sh], every: 100ms }}
            stop: {{ command: [sh, ./stop.sh] }}
          sick:
            command: [sleep, "1000"]
            env: {{ DB_PASSWORD: "{SECRET}" }}
            health: {{ command: [sh, ./ill.sh], every: 100ms, grace: 0s }}
            restart: {{ limit: {{ max: 1, within: 1m }} }}
        "#
    ))
    .env("KENNEL_LOG", "trace");
    kennel.write("web.env", &format!("API_TOKEN={SECRET}\n"));
    kennel.write("well.sh", "test -n \"$DB_PASSWORD$API_TOKEN\"\n");
    kennel.write("ill.sh", "test -z \"$DB_PASSWORD\"\n");
    kennel.write("stop.sh", "test -n \"$API_TOKEN\" && touch stopped\n");
    let mut said = String::new();
    let mut say = |args: &[&str]| {
        let output = kennel.cli(args);
        said.push_str(&format!("{args:?}: {}{}\n", output.stdout, output.stderr));
    };
    let is_healthy = || (kennel.service("web")["health"] == "healthy").then_some(());
    say(&["run", "--detach"]);
    wait_for("web to be healthy", BOUND, is_healthy);
    kennel.wait_for_state("sick", "failed");
    let web = kennel.process("web");
    say(&["upgrade"]);
    wait_for("web to be healthy again", BOUND, is_healthy);
    let supervisor = kennel.status()["supervisor"]["pid"].as_i64().unwrap();
    let supervisor = Process::find(supervisor.try_into().unwrap()).unwrap();
    supervisor.signal(Signal::SIGKILL);
    wait_for("its end", BOUND, || (!supervisor.is_alive()).then_some(()));
    say(&["run", "--detach"]);
    wait_for("web to be healthy once more", BOUND, is_healthy);
    assert_eq!(kennel.process("web"), web, "it was adopted");
    say(&["stop", "web"]);
    assert!(kennel.path("stopped").exists());
    for args in [&["status", "--json"][..], &["events", "--json"], &["why", "sick"], &["logs"]] {
        say(args);
    }
    say(&["shutdown"]);
    for kind in ["supervisor.upgraded", "supervisor.adopted", "health.changed"] {
        assert!(said.contains(kind), "{kind}: {said}");
    }
    assert!(!said.contains(SECRET), "{said}");
    let log = kennel.read("state/supervisor.log");
    assert!(log.contains("TRACE") || log.contains("DEBUG"), "{log}");
    for file in files(&kennel.path("state")) {
        let text = String::from_utf8_lossy(&fs::read(&file).unwrap()).into_owned();
        assert!(!text.contains(SECRET), "{}", file.display());
    }
}

/// A service that has the supervisor make all the files that it makes.
const BUSY: &str = r#"
    services:
      web:
        shell: "echo line; exec sleep 1000"
        logs: { max_size: 1KiB }
      other:
        shell: "echo READY=1 > /dev/null; exec sleep 1000"
        ready: { notify: systemd, timeout: 1s }
"#;

#[test]
fn every_file_in_the_state_directory_is_private() {
    let mut kennel = Kennel::running(BUSY);
    kennel.wait_for_state("web", "up");
    wait_for("a log", BOUND, || kennel.read("state/logs/web.log").contains("line").then_some(()));
    let state = kennel.path("state");
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&state), 0o700);
    assert_eq!(mode(&kennel.socket()), 0o600);
    for file in files(&state) {
        assert_eq!(mode(&file) & 0o077, 0, "{}", file.display());
    }
    for entry in fs::read_dir(&state).unwrap().flatten() {
        assert_eq!(mode(&entry.path()) & 0o077, 0, "{}", entry.path().display());
    }
    assert_eq!(kennel.terminate(), 0);
}

/// Each file that a supervisor leaves is in turn replaced by a link to a file outside, and
/// to where nothing is: the next one writes through neither.
#[test]
fn no_file_of_the_state_directory_is_written_through_a_link() {
    let mut kennel = Kennel::new(BUSY);
    kennel = kennel.args(&["--pid-file", "state/pid"]);
    kennel.start();
    kennel.wait_for_state("web", "up");
    wait_for("a log", BOUND, || kennel.read("state/logs/web.log").contains("line").then_some(()));
    assert_eq!(kennel.terminate(), 0);
    kennel.cli(&["run", "--detach", "--pid-file", "state/pid"]).ok();
    kennel.cli(&["shutdown"]).ok();
    let left = files(&kennel.path("state"));
    for name in ["state/lock", "state/supervisor.log", "state/logs/web.log"] {
        assert!(left.contains(&kennel.path(name)), "{left:?}");
    }
    for file in left.into_iter().chain([kennel.path("state/pid")]) {
        for target in ["precious", "nothing"] {
            kennel.write("precious", "precious");
            let before = fs::metadata(kennel.path("precious")).unwrap().modified().unwrap();
            let moved = kennel.path("moved");
            let was_there = fs::rename(&file, &moved).is_ok();
            symlink(kennel.path(target), &file).unwrap();
            // It may refuse to start; what counts is what it wrote.
            let started = kennel.cli(&["run", "--detach", "--pid-file", "state/pid"]);
            if started.code == 0 {
                kennel.pid("web");
                kennel.cli(&["shutdown"]).ok();
            }
            let name = file.display();
            assert_eq!(kennel.read("precious"), "precious", "written through {name}");
            let after = fs::metadata(kennel.path("precious")).unwrap().modified().unwrap();
            assert_eq!(after, before, "written through {name}");
            assert!(!kennel.path("nothing").exists(), "made through {name}");
            kennel.sweep();
            let _ = fs::remove_file(&file);
            if was_there {
                fs::rename(&moved, &file).unwrap();
            }
        }
    }
}

/// What it tries first is what it may do: the tries can go well.
#[test]
fn a_service_of_another_user_reaches_neither_the_supervisor_nor_its_socket_nor_its_state() {
    if needs_root("to run a service as another user") || needs_program("perl") {
        return;
    }
    let mut kennel = Kennel::new("services: { intruder: { user: daemon, command: [./tries] } }");
    let speaks = "perl -MIO::Socket::UNIX -e 'exit !IO::Socket::UNIX->new(Peer => shift)'";
    kennel.program(
        "tries",
        &format!(
            "#!/bin/sh
            tries() {{ if sh -c \"$1\" > /dev/null 2>&1; then echo can $2; else echo cannot $2; fi; }}
            tries 'ls /proc/$PPID/fd' 'see its own descriptors'
            tries 'cat {services}' 'read the configuration'
            tries 'kill -0 $$' 'signal itself'
            tries 'ls /proc/'$PPID'/fd' 'see descriptors'
            tries 'cat /proc/'$PPID'/environ' 'see the environment'
            tries 'kill -0 '$PPID 'signal the supervisor'
            tries 'ls {state}' 'list the state'
            tries 'cat {state}/id' 'read the state'
            tries \"{speaks} {socket}\" 'speak to the socket'
            echo that is all of $PPID
            exec sleep 1000
            ",
            services = kennel.path("services.yaml").display(),
            state = kennel.path("state").display(),
            socket = kennel.socket().display(),
        ),
    );
    kennel.start();
    let end = format!("that is all of {}\n", kennel.supervisor_pid());
    let log = wait_for("all tries", BOUND, || {
        let log = kennel.read("state/logs/intruder.log");
        log.contains("that is all").then(|| kennel.cli(&["logs", "intruder"]).ok())
    });
    assert_eq!(
        log,
        format!(
            "can see its own descriptors\ncan read the configuration\ncan signal itself\n\
             cannot see descriptors\ncannot see the environment\ncannot signal the supervisor\n\
             cannot list the state\ncannot read the state\ncannot speak to the socket\n{end}"
        )
    );
    // The very same by root, whom the file does not keep out: the tries are good.
    assert!(kennel.path("state/id").exists());
    let try_it = format!("{speaks} {}", kennel.socket().display());
    assert!(Command::new("sh").args(["-c", &try_it]).status().unwrap().success());
}
