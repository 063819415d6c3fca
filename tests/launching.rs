//! Launching: what a process is given when it is made.

use std::process::Command;

use crate::support::{Kennel, needs_ordinary_user, needs_root};

#[test]
fn the_environment_is_put_together_in_the_documented_order() {
    let mut kennel = Kennel::new(
        r#"
        env: { SHARED: for-all, BOTH: for-all, FROM: "${HOUSE:-nowhere}", PRICE: "$$5" }
        env_file: [all.env]
        services:
          web:
            shell: "env > env.out.tmp; mv env.out.tmp env.out; exec sleep 1000"
            env: { BOTH: own }
            env_file: [web.env]
        "#,
    )
    .env("HOUSE", "kennel")
    .env("INHERITED", "yes")
    .env("NOTIFY_SOCKET", "/not/for/services");
    kennel.write("all.env", "FILE_ALL=1\nSHADOWED=all\n");
    kennel.write("web.env", "# a comment\nFILE_WEB='two words'\nSHADOWED=web\nBOTH=file\n");
    kennel.start();
    let text = kennel.wait_for_file("env.out");
    let has = |line: &str| text.lines().any(|l| l == line);
    for line in [
        "SHARED=for-all",
        "BOTH=own",
        "FROM=kennel",
        "PRICE=$5",
        "FILE_ALL=1",
        "FILE_WEB=two words",
        "SHADOWED=web",
        "INHERITED=yes",
        "KENNEL_SERVICE=web",
        "KENNEL_INSTANCE=0",
    ] {
        assert!(has(line), "{line} is missing in:\n{text}");
    }
    assert!(text.lines().any(|line| line.starts_with("KENNEL_RUN=")), "{text}");
    let id = kennel.read("state/id");
    assert!(has(&format!("KENNEL_STATE_ID={}", id.trim_end())), "{id} is missing in:\n{text}");
    assert!(!text.contains("NOTIFY_SOCKET"), "{text}");
}

#[test]
fn every_run_has_another_number() {
    let kennel = Kennel::running(
        "services: { web: { shell: 'echo $KENNEL_RUN >> numbers; exec sleep 1000' } }",
    );
    kennel.wait_for_state("web", "up");
    assert_eq!(kennel.cli(&["restart", "web"]).code, 0);
    let numbers = kennel.read("numbers");
    let numbers: Vec<u64> = numbers.lines().map(|line| line.parse().unwrap()).collect();
    assert!(numbers.len() == 2 && numbers[0] < numbers[1], "{numbers:?}");
}

#[test]
fn directory_umask_limits_and_nice_are_as_configured() {
    let kennel = Kennel::new(
        r#"
        services:
          web:
            shell: "(pwd; umask; ulimit -Sn; ulimit -Hn; ulimit -c; nice) > ../out.tmp; mv ../out.tmp ../out; exec sleep 1000"
            working_dir: ./inner
            umask: "0137"
            limits: { nofile: "50:60", core: 0 }
            nice: 7
          plain:
            shell: "(pwd; ulimit -Sn) > plain.tmp; mv plain.tmp plain; exec sleep 1000"
        "#,
    );
    let mut kennel = kennel.prelude("ulimit -Sn 512");
    std::fs::create_dir(kennel.path("inner")).unwrap();
    kennel.start();
    let place = kennel.directory().canonicalize().unwrap();
    let place = place.display();
    assert_eq!(kennel.wait_for_file("out"), format!("{place}/inner\n0137\n50\n60\n0\n7\n"));
    assert_eq!(
        kennel.wait_for_file("plain"),
        format!("{place}\n512\n"),
        "by default beside the file, and with the limit the supervisor was given"
    );
}

#[test]
fn a_service_runs_as_its_user_with_the_groups_and_the_home_of_that_user() {
    if needs_root("to run a service as another user") {
        return;
    }
    // The supervisor has groups that must not be passed on.
    let mut kennel = Kennel::new(
        r#"
        services:
          web:
            user: daemon
            shell: "echo $(id -un) $(id -gn) $(id -G) $HOME $USER $LOGNAME; exec sleep 1000"
          grouped:
            user: daemon
            group: games
            shell: "echo $(id -un) $(id -gn); exec sleep 1000"
        "#,
    )
    .prelude("exec setpriv --groups=0,4,24 -- \"$0\" \"$@\"");
    kennel.start();
    kennel.wait_for_state("web", "up");
    kennel.wait_for_state("grouped", "up");
    let output = Command::new("id").args(["-G", "daemon"]).output().unwrap();
    let groups = String::from_utf8(output.stdout).unwrap();
    assert_eq!(
        kennel.cli(&["logs", "web"]).ok(),
        format!("daemon daemon {} /usr/sbin daemon daemon\n", groups.trim())
    );
    assert_eq!(kennel.cli(&["logs", "grouped"]).ok(), "daemon games\n");
}

#[test]
fn a_user_that_only_root_can_become_is_a_failed_start_that_says_so() {
    if needs_ordinary_user("root can become every user") {
        return;
    }
    let kennel =
        Kennel::running("services: { foreign: { command: [sleep, '1000'], user: daemon } }");
    let failed = kennel.wait_for_event("service.start_failed", "foreign");
    let message = failed["message"].as_str().unwrap();
    assert!(message.contains("cannot run as user \"daemon\""), "{message}");
    assert!(message.contains("is not root"), "{message}");
    assert_eq!(kennel.wait_for_state("foreign", "backoff")["restarts"], 0);
}

#[test]
fn a_command_is_run_without_a_shell_and_a_shell_line_with_one() {
    let kennel = Kennel::running(
        r#"
        defaults: { type: oneshot }
        services:
          list: { command: [printf, "<%s>", "$HOME", "a  b", "*"] }
          split: { command: "printf '<%s>' $HOME 'a  b' * \"c d\"" }
          shell: { shell: "printf '<%s>' $((1 + 2)) 'a  b' $KENNEL_SERVICE" }
        "#,
    );
    for name in ["list", "split", "shell"] {
        kennel.wait_for_state(name, "done");
    }
    assert_eq!(kennel.cli(&["logs", "list"]).ok(), "<$HOME><a  b><*>\n");
    assert_eq!(kennel.cli(&["logs", "split"]).ok(), "<$HOME><a  b><*><c d>\n");
    assert_eq!(kennel.cli(&["logs", "shell"]).ok(), "<3><a  b><shell>\n");
}

#[test]
fn a_process_is_given_nothing_of_the_supervisor() {
    let kennel = Kennel::running(
        r#"
        services:
          web:
            shell: "(ls /proc/self/fd | wc -l; cat /proc/self/stat | cut -d' ' -f5,6; grep -E 'SigBlk|SigIgn' /proc/self/status) > out.tmp; mv out.tmp out; exec sleep 1000"
        "#,
    );
    let text = kennel.wait_for_file("out");
    kennel.wait_for_state("web", "up");
    let pid = kennel.pid("web");
    let lines: Vec<&str> = text.lines().collect();
    // Standard input, output and error, and the directory that ls reads.
    assert_eq!(lines[0].trim(), "4", "{text}");
    // Dash takes no job control, so all of it is in the group and session of the service.
    assert_eq!(lines[1], format!("{pid} {pid}"), "{text}");
    assert!(lines[2].ends_with("0000000000000000"), "blocked signals: {text}");
    assert!(lines[3].ends_with("0000000000000000"), "ignored signals: {text}");
}
