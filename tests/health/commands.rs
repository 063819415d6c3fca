//! Command checks: cut with their whole group, reaped, and run as the service is.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use super::{kennel_with_server, needs_python};
use crate::support::process::children;
use crate::support::{BOUND, Kennel, is_root, wait_for};

/// The children of the supervisor that nobody has waited for.
fn zombies(kennel: &Kennel) -> Vec<i32> {
    let mut found = children(kennel.supervisor_pid());
    found.retain(|pid| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('Z'))
    });
    found
}

/// No zombie stays: each that is seen is gone a moment later.
#[track_caller]
fn assert_no_zombie_stays(kennel: &Kennel) {
    for _ in 0..20 {
        let seen = zombies(kennel);
        wait_for("the zombies to be reaped", BOUND, || {
            let now = zombies(kennel);
            seen.iter().all(|pid| !now.contains(pid)).then_some(())
        });
    }
}

/// The processes of the test whose command line has this in it.
fn running(kennel: &Kennel, what: &str) -> usize {
    kennel.processes().iter().filter(|process| process.command.contains(what)).count()
}

#[test]
fn a_command_that_hangs_is_cut_at_its_timeout_with_all_that_it_started() {
    let mut kennel = Kennel::new(
        "services:
          web:
            command: [sleep, '1000']
            health:
              command: [sh, -c, 'sleep 2001 & setsid sleep 2002 & (sleep 2003; true) | cat & echo begun >> begun; wait']
              every: 50ms
              timeout: 200ms
              timeouts: 1000
              grace: 0s
        ",
    );
    kennel.start();
    kennel.wait_for_answers("web", "command", "late", 10.0);
    let web = kennel.wait_for_verdict("web", "degraded", "did not end within 200 ms");
    assert_eq!(web["restarts"], 0);
    // Of one check, and of another that is just being killed; not of ten.
    assert!(running(&kennel, "sleep 200") <= 12, "{:#?}", kennel.processes());
    assert_no_zombie_stays(&kennel);
    assert!(kennel.read("begun").lines().count() >= 10, "the commands were at work");
    assert_eq!(kennel.cli(&["stop", "web"]).code, 0);
    wait_for("the last check to be gone", BOUND, || {
        (running(&kennel, "sleep 200") == 0 && zombies(&kennel).is_empty()).then_some(())
    });
    kennel.end();
}

#[test]
fn a_command_that_leaves_something_behind_leaves_nothing() {
    let mut kennel = Kennel::new(
        "services:
          web:
            command: [sleep, '1000']
            health:
              command: [sh, -c, 'sleep 2001 > /dev/null & exit 0']
              every: 50ms
        ",
    );
    kennel.start();
    kennel.wait_for_answers("web", "command", "passed", 20.0);
    assert!(running(&kennel, "sleep 2001") <= 1, "{:#?}", kennel.processes());
    assert_no_zombie_stays(&kennel);
    assert_eq!(kennel.service("web")["health"], "healthy");
    kennel.end();
}

#[test]
fn a_check_does_not_outlive_the_run_that_it_looks_at() {
    let mut kennel = Kennel::new(
        "services:
          web:
            command: [sleep, '1000']
            health: { command: [sleep, '2004'], every: 50ms, timeout: 1h }
        ",
    );
    kennel.start();
    wait_for("the check", BOUND, || (running(&kennel, "sleep 2004") == 1).then_some(()));
    assert_eq!(kennel.cli(&["stop", "web"]).code, 0);
    wait_for("the end of the check", BOUND, || {
        (running(&kennel, "sleep 2004") == 0 && zombies(&kennel).is_empty()).then_some(())
    });
    kennel.end();
}

#[test]
fn a_command_looks_as_the_service_does() {
    let user = if is_root() { "user: nobody" } else { "" };
    let mut kennel = Kennel::new(&format!(
        "env: {{ FROM: house }}
services:
  web:
    command: [sleep, '1000']
    working_dir: ./inner
    umask: '0137'
    env: {{ OWN: two words }}
    {user}
    health:
      command: [sh, -c, '(id -un; pwd; umask; echo $FROM $OWN $KENNEL_SERVICE) > seen.tmp; mv seen.tmp ../inner/seen']
      every: 100ms
"
    ));
    fs::create_dir(kennel.path("inner")).unwrap();
    fs::set_permissions(kennel.path("inner"), fs::Permissions::from_mode(0o777)).unwrap();
    kennel.start();
    let place = kennel.path("inner").canonicalize().unwrap();
    let uid = nix::unistd::geteuid();
    let own = nix::unistd::User::from_uid(uid).unwrap().map_or("nobody".into(), |user| user.name);
    let name = if is_root() { "nobody".to_owned() } else { own };
    assert_eq!(
        kennel.wait_for_file("inner/seen"),
        format!("{name}\n{}\n0137\nhouse two words web\n", place.display())
    );
    kennel.wait_for_verdict("web", "healthy", "");
    kennel.end();
}

/// Writes who it is, what it may use and what it was told into a file.
const WHO: &str = r#"
{ grep -E '^(Uid|Gid|Groups|CapEff|SigBlk|SigIgn)' /proc/self/status
  cut -d' ' -f19 /proc/self/stat
  cat /proc/self/oom_score_adj /proc/self/limits
  env | grep -v '^_=' | sort
} > "$1.tmp" && mv "$1.tmp" "$1"
"#;

/// A user that is not root, with other groups than its own where there is one.
fn other_user() -> nix::unistd::User {
    let groups = fs::read_to_string("/etc/group").unwrap_or_default();
    let members = groups.lines().filter_map(|line| line.rsplit(':').next()?.split(',').next());
    let names = members.filter(|name| !name.is_empty()).chain(["nobody"]);
    let mut users = names.filter_map(|name| nix::unistd::User::from_name(name).ok().flatten());
    users.find(|user| !user.uid.is_root()).expect("there is nobody")
}

#[test]
fn a_command_has_the_identity_the_limits_and_the_environment_of_its_service() {
    let user = is_root().then(other_user);
    let name = user.as_ref().map_or(String::new(), |user| format!("user: {}", user.name));
    let mut kennel = Kennel::new(&format!(
        "services:
  web:
    shell: sh who.sh out/service; exec sleep 1000
    {name}
    env: {{ ONLY: for web, HOME: /over/there }}
    nice: 5
    oom_score_adj: 321
    limits: {{ nofile: 333, core: 0 }}
    health: {{ command: [sh, who.sh, out/check], every: 100ms }}
"
    ));
    kennel.write("who.sh", WHO);
    fs::create_dir(kennel.path("out")).unwrap();
    fs::set_permissions(kennel.path("out"), fs::Permissions::from_mode(0o777)).unwrap();
    kennel.start();
    let (service, check) = (kennel.wait_for_file("out/service"), kennel.wait_for_file("out/check"));
    assert_eq!(service, check);
    let line = |start: &str| {
        let found = check.lines().find(|line| line.starts_with(start));
        found.unwrap_or_else(|| panic!("no {start} in:\n{check}"))
    };
    if let Some(user) = user {
        let (uid, gid) = (user.uid, user.gid);
        assert_eq!(line("Uid:"), format!("Uid:\t{uid}\t{uid}\t{uid}\t{uid}"));
        assert_eq!(line("Gid:"), format!("Gid:\t{gid}\t{gid}\t{gid}\t{gid}"));
        let name = std::ffi::CString::new(user.name).unwrap();
        let mut groups = nix::unistd::getgrouplist(&name, gid).unwrap();
        groups.sort_by_key(|group| group.as_raw());
        let groups: Vec<String> = groups.iter().map(ToString::to_string).collect();
        let found: Vec<&str> = line("Groups:").split_whitespace().skip(1).collect();
        assert_eq!(found, groups, "its own and nobody else's");
        assert_eq!(line("CapEff:").trim_start_matches("CapEff:\t").trim_matches('0'), "");
    }
    assert_eq!(line("Max open files").split_whitespace().nth(3), Some("333"));
    assert_eq!(line("Max core file size").split_whitespace().nth(4), Some("0"));
    for expected in ["ONLY=for web", "HOME=/over/there", "KENNEL_SERVICE=web", "5", "321"] {
        assert!(check.lines().any(|line| line == expected), "{expected} in:\n{check}");
    }
    kennel.end();
}

#[test]
fn the_exit_code_of_a_command_decides_and_its_first_line_is_told() {
    if needs_python() {
        return;
    }
    let check = "{ command: [sh, -c, 'test ! -e broken || { echo the disk is full; exit 1; }'], \
                 every: 50ms, failures: 2, grace: 0s }";
    let mut kennel = kennel_with_server(check, "");
    kennel.start();
    kennel.wait_for_verdict("web", "healthy", "");
    kennel.write("broken", "");
    let stopping = kennel.wait_for_event("service.stopping", "web");
    let message = stopping["message"].as_str().unwrap();
    assert!(
        message.contains("exited with code 1: the disk is full, 2 times in a row"),
        "{message}"
    );
    fs::remove_file(kennel.path("broken")).unwrap();
    kennel.wait_for_verdict("web", "healthy", "");
    kennel.end();
}
