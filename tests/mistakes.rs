//! Mistakes people make: each is told with an exit code and a message that needs one look.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use crate::support::{BOUND, Kennel, needs_ordinary_user, wait_for};

/// `kennel run` and `kennel check` refuse this file, saying all of `parts`. The first line
/// of a file given here is line 2: a `kennel:` block stands before it.
#[track_caller]
fn refused(yaml: &str, parts: &[&str]) {
    let kennel = Kennel::new(yaml);
    kennel.cli(&["run"]).fails_saying(2, parts);
    kennel.cli(&["check"]).fails_saying(2, parts);
    assert!(!kennel.path("state").exists(), "nothing is made for a broken file");
    assert!(!kennel.socket().exists());
}

#[test]
fn broken_yaml_is_shown_with_its_place() {
    refused(
        r#"
        services:
          web:
            command: ["nginx", "-g"
        "#,
        &[
            "services.yaml:4:14: the list is never closed",
            "4 |     command: [",
            "^",
            "a \"]\" is missing",
        ],
    );
}

#[test]
fn an_unknown_key_names_the_near_one() {
    refused(
        r#"
        services:
          web:
            comand: [nginx]
        "#,
        &[
            "services.yaml:4:5: unknown key \"comand\" in service \"web\"",
            "4 |     comand: [nginx]\n     |     ^^^^^^\n",
            "did you mean \"command\"?",
        ],
    );
}

#[test]
fn all_mistakes_are_told_at_once() {
    refused(
        r#"
        services:
          web: { comand: [nginx] }
          db: { command: [postgres], restart: { polcy: always } }
        "#,
        &["\"comand\"", "\"polcy\"", "2 errors"],
    );
}

#[test]
fn a_cycle_is_named() {
    refused(
        r#"
        defaults: { command: [sleep, "1"] }
        services:
          a: { depends_on: { b: ready } }
          b: { depends_on: { c: ready } }
          c: { depends_on: { a: ready } }
        "#,
        &["dependency cycle: a → b → c → a", "services.yaml:4:"],
    );
}

#[test]
fn a_duplicate_name_is_refused_with_both_places() {
    refused(
        r#"
        services:
          web: { command: [one] }
          web: { command: [two] }
        "#,
        &["services.yaml:4:3: duplicate key \"web\"", "services.yaml:3:3"],
    );
}

#[test]
fn a_dependency_that_does_not_exist_names_the_near_one() {
    refused(
        r#"
        services:
          database: { command: [one] }
          web: { command: [two], depends_on: { databse: ready } }
        "#,
        &["service \"web\" depends on \"databse\", which does not exist", "\"database\""],
    );
}

#[test]
fn a_dependency_on_itself_is_refused() {
    refused(
        r#"
        services:
          web: { command: [two], depends_on: { web: ready } }
        "#,
        &["services.yaml:3:", "service \"web\" depends on itself"],
    );
}

#[test]
fn a_wrong_check_is_shown_where_it_stands() {
    refused(
        r#"
        defaults: { command: [sleep, "1"] }
        services:
          two: { health: { http: "http://localhost/", tcp: "localhost:80" } }
          none: { health: { every: 5s } }
          regex: { health: { http: "http://localhost/", expect: { body: "a(b" } } }
          line: { ready: { log: "ready [" } }
          scheme: { health: { http: "localhost:8080/health" } }
          port: { ready: { tcp: localhost } }
          zero: { health: { tcp: "localhost:1", every: 0s } }
          most: { health: { memory_max: 400 } }
        "#,
        &[
            "services.yaml:4:47: both \"http\" and \"tcp\" in a health check",
            "make it two checks",
            "services.yaml:5:11: a health check does not say what is looked at",
            "services.yaml:6:67: cannot read the regular expression: unclosed group",
            "services.yaml:7:32: cannot read the regular expression: unclosed character class",
            "services.yaml:8:29: \"localhost:8080/health\" is no URL: it has no scheme",
            "write \"http://localhost:8080/health\"",
            "services.yaml:9:25: \"localhost\" is no address: the port is missing",
            "services.yaml:10:48: \"every\" has to be longer than 0s",
            "services.yaml:11:33: \"400\" is no size",
            "8 errors",
        ],
    );
}

#[test]
fn keys_of_later_versions_are_refused_rather_than_ignored() {
    // Once a key has come to life, its line here goes.
    for (yaml, key) in [
        ("failover: { backend: file }\nservices: { web: { command: [x] } }\n", "failover"),
        ("services: { web: { command: [x], run_on: leader } }\n", "run_on: leader"),
    ] {
        let kennel = Kennel::new(yaml);
        let parts = [&format!("\"{key}\" is not available yet"), "services.yaml:"];
        kennel.cli(&["check"]).fails_saying(2, &parts);
    }
}

#[test]
fn a_missing_file_is_named_with_a_file_to_start_from() {
    let kennel = Kennel::new("");
    let parts = ["cannot read \"nowhere.yaml\": no such file", "services:\n"];
    kennel.cli(&["run", "-c", "nowhere.yaml"]).fails_saying(2, &parts);
    kennel.cli(&["check", "-c", "nowhere.yaml"]).fails_saying(2, &parts);
}

#[test]
fn a_directory_in_the_place_of_the_file_is_told_as_such() {
    let kennel = Kennel::new("");
    let parts = ["cannot read \".\": it is a directory"];
    kennel.cli(&["run", "-c", "."]).fails_saying(2, &parts);
}

#[test]
fn a_file_without_services_says_what_to_add() {
    refused("", &["no services in", "command:"]);
}

#[test]
fn a_program_that_does_not_exist_is_named_with_the_near_one() {
    let kennel = Kennel::running(
        r#"
        services:
          typo: { command: [slep, "1000"] }
          nowhere: { command: [/no/such/program] }
          text: { command: [./notes.txt] }
          place: { command: [/tmp] }
          script: { command: [./script] }
          lost: { command: [sleep, "1"], working_dir: ./missing }
        "#,
    );
    kennel.write("notes.txt", "hello\n");
    kennel.program("script", "#!/no/such/interpreter\n");
    let says = |service: &str, parts: &[&str]| {
        wait_for(&format!("the message of {service}"), BOUND, || {
            let events = kennel.events_of("service.start_failed", service);
            let message = events.last()?["message"].as_str()?.to_owned();
            parts.iter().all(|part| message.contains(part)).then_some(())
        });
        // It is tried again and again; in between it waits, and says why.
        wait_for(&format!("the reason of {service}"), BOUND, || {
            let status = kennel.service(service);
            let reason = status["reason"].as_str()?;
            (status["pid"].is_null() && reason.contains("could not be started")).then_some(())
        });
    };
    says("typo", &["program \"slep\" not found in PATH", "did you mean \"sleep\"?"]);
    says("nowhere", &["cannot run \"/no/such/program\": no such file or directory"]);
    says("text", &["notes.txt\": it is not executable", "chmod +x"]);
    says("place", &["cannot run \"/tmp\": it is a directory"]);
    says("script", &["script\": its interpreter \"/no/such/interpreter\" does not exist"]);
    says("lost", &["missing", "no such file or directory"]);
    wait_for("the table to say so", BOUND, || {
        let table = kennel.cli(&["status"]).ok();
        (table.contains("slep") && table.contains("backoff")).then_some(())
    });
}

#[test]
fn a_service_that_nobody_knows_is_answered_with_near_names() {
    let kennel = Kennel::running(
        r#"
        services:
          worker: { command: [sleep, "1000"] }
          web: { command: [sleep, "1000"], replicas: 2 }
        "#,
    );
    for verb in ["start", "stop", "restart", "reset", "status", "logs", "why"] {
        kennel
            .cli(&[verb, "wroker"])
            .fails_saying(1, &["no service is named \"wroker\"", "did you mean \"worker\"?"]);
    }
    kennel.cli(&["stop", "web/7"]).fails_saying(1, &["\"web/7\"", "\"web/0\""]);
    // Nothing is done when one of several names is wrong.
    kennel.wait_for_state("worker", "up");
    kennel.cli(&["stop", "worker", "wbe"]).fails(1);
    assert_eq!(kennel.service("worker")["state"], "up");
}

#[test]
fn without_a_supervisor_every_client_says_so_and_names_the_socket() {
    let kennel = Kennel::new("services: { web: { command: [sleep, '1000'] } }");
    let socket = kennel.socket().display().to_string();
    for args in [
        &["status"][..],
        &["status", "--json"],
        &["status", "--plain"],
        &["start", "web"],
        &["stop", "web"],
        &["restart", "web"],
        &["reset", "web"],
        &["signal", "HUP", "web"],
        &["logs"],
        &["events"],
        &["why", "web"],
        &["reload"],
        &["shutdown"],
    ] {
        kennel.cli(args).fails_saying(3, &[&socket, "kennel run"]);
    }
    kennel.cli(&["status", "--socket", "./elsewhere"]).fails_saying(3, &["elsewhere"]);
    // A socket file without a listener is no supervisor either.
    drop(std::os::unix::net::UnixListener::bind(kennel.socket()).unwrap());
    kennel.cli(&["status"]).fails_saying(3, &[&socket]);
}

#[test]
fn wrong_usage_is_told_with_the_right_one() {
    let kennel = Kennel::new("services: { web: { command: [sleep, '1000'] } }");
    kennel.cli(&["strat", "web"]).fails_saying(2, &["strat", "start"]);
    kennel.cli(&["start"]).fails_saying(2, &["SERVICE"]);
    kennel.cli(&["status", "--jsn"]).fails_saying(2, &["--json"]);
    kennel.cli(&["stop", "web", "--timeout", "10"]).fails_saying(2, &["250ms, 10s"]);
    assert_eq!(kennel.cli(&["--help"]).code, 0);
    assert!(kennel.cli(&["--version"]).ok().starts_with("kennel "));
    assert!(kennel.cli(&["help"]).ok().contains("Commands:"));
}

#[test]
fn a_state_directory_that_may_not_be_written_is_named() {
    if needs_ordinary_user("root may write everywhere") {
        return;
    }
    let kennel = Kennel::new("services: { web: { command: [sleep, '1000'] } }");
    fs::create_dir(kennel.path("closed")).unwrap();
    fs::set_permissions(kennel.path("closed"), fs::Permissions::from_mode(0o500)).unwrap();
    kennel
        .cli(&["run", "--state-dir", "closed/state"])
        .fails_saying(1, &["cannot make the state directory", "closed/state", "ermission denied"]);
    kennel.cli(&["run", "--state-dir", "closed"]).fails_saying(1, &["closed", "ermission denied"]);
}

#[test]
fn a_file_in_the_place_of_the_state_directory_is_named() {
    let kennel = Kennel::new("services: { web: { command: [sleep, '1000'] } }");
    kennel.write("state", "precious");
    kennel.cli(&["run"]).fails_saying(1, &["state\"", "cannot"]);
    assert_eq!(kennel.read("state"), "precious");
}

#[test]
fn a_socket_path_that_no_address_can_hold_is_refused_with_the_limit() {
    let long = "x".repeat(120);
    let kennel = Kennel::new(&format!(
        "kennel: {{ state_dir: ./state, socket: ./{long} }}\nservices: {{ web: {{ command: [x] }} }}\n"
    ));
    kennel.cli(&["run"]).fails_saying(2, &["longer than 107 bytes", "services.yaml:1:"]);
    let kennel = Kennel::new("services: { web: { command: [sleep, '1000'] } }");
    let output = kennel.cli(&["run", "--socket", &long]);
    assert!(output.code == 1 || output.code == 2, "{output:#?}");
    assert!(output.stderr.contains("107"), "{output:#?}");
    assert_eq!(kennel.processes(), [], "nothing was started");
}

#[test]
fn a_file_that_is_no_text_or_too_large_is_refused() {
    let kennel = Kennel::new("");
    fs::write(kennel.path("services.yaml"), b"services:\n  \xff\xfe: {}\n").unwrap();
    kennel.cli(&["run"]).fails_saying(2, &["line 2 is not UTF-8 text"]);
    fs::write(kennel.path("services.yaml"), vec![b'#'; 2 << 20]).unwrap();
    kennel.cli(&["run"]).fails_saying(2, &["larger than 1 MiB"]);
    // A device that never ends is not read for ever.
    kennel.cli(&["run", "-c", "/dev/zero"]).fails_saying(2, &["/dev/zero"]);
}

#[test]
fn an_unset_variable_is_told_where_it_stands() {
    refused(
        r#"
        services:
          web: { command: [echo, "${NO_SUCH_VARIABLE}"] }
        "#,
        &["services.yaml:3:", "NO_SUCH_VARIABLE"],
    );
}

#[test]
fn an_unknown_user_or_group_is_told_where_it_stands() {
    refused(
        r#"
        defaults: { command: [sleep, "1"] }
        services:
          web: { user: no-such-user }
          db: { group: no-such-group }
        "#,
        &["services.yaml:4:16:", "\"no-such-user\"", "services.yaml:5:16:", "\"no-such-group\""],
    );
}

#[test]
fn check_warns_of_programs_that_are_not_there_and_accepts_them() {
    let kennel = Kennel::new(
        r#"
        services:
          web: { command: [ngnix-of-nobody, "-g"] }
          job: { command: ./bin/job }
          file: { command: [/no/such/file] }
          own:
            command: [own-program]
            env: { PATH: "/no/such/place:${OWN_PATH}" }
          other:
            command: [own-program]
            stop: { command: [no-such-stop] }
          shell: { shell: no-such-program --at all }
          fine: { command: [sleep, "1"], working_dir: nowhere }
        "#,
    );
    fs::create_dir(kennel.path("bin")).unwrap();
    let own = kennel.program("bin/own-program", "#!/bin/sh\n");
    let folder = own.parent().unwrap().to_str().unwrap().to_owned();
    kennel.program("bin/jobs", "#!/bin/sh\n");
    let kennel = kennel.env("OWN_PATH", &folder);
    let checked = kennel.cli(&["check"]);
    assert_eq!(checked.code, 0, "{checked:#?}");
    let told: Vec<&str> =
        checked.stderr.lines().filter(|line| line.starts_with("warning: ")).collect();
    let expected = [
        "services.yaml:3:10: the command of \"web\": program \"ngnix-of-nobody\" not found in PATH",
        "services.yaml:4:19: the command of \"job\": cannot run \"",
        "services.yaml:5:11: the command of \"file\": cannot run \"/no/such/file\": no such file",
        "services.yaml:10:5: the command of \"other\": program \"own-program\" not found in PATH",
        "services.yaml:11:13: the stop command of \"other\": program \"no-such-stop\" not found",
        "services.yaml:13:47: the working_dir",
    ];
    for part in expected {
        assert!(told.iter().any(|line| line.contains(part)), "{part}: {told:#?}");
    }
    assert_eq!(told.len(), expected.len(), "{told:#?}");
    assert!(checked.stderr.contains("did you mean \"jobs\"?"), "{}", checked.stderr);
}
