//! Limits of all processes of a service together, by its control group.

use std::fs;
use std::path::PathBuf;

use serde_json::{Value, json};

use crate::support::{BOUND, Kennel, wait_for};

/// Limits with their controllers, the files that they are set in, and what stands there.
const LIMITS: [(&str, &str, &str, &str); 3] = [
    ("memory_max", "memory", "memory.max", "67108864"),
    ("cpu_max", "cpu", "cpu.max", "50000 100000"),
    ("pids_max", "pids", "pids.max", "20"),
];

const LIMITED: &str = "
    services:
      web:
        command: [sleep, '1000']
        cgroup: { memory_max: 64MiB, cpu_max: 50%, pids_max: 20 }
    ";

fn events(kennel: &Kennel, kind: &str) -> Vec<Value> {
    kennel.events().into_iter().filter(|event| event["kind"] == kind).collect()
}

/// The limits that the events say do not hold.
fn unlimited(kennel: &Kennel) -> Vec<String> {
    let names = |event: &Value| event["attributes"]["limits"].as_array().unwrap().clone();
    let names = events(kennel, "service.unlimited").iter().flat_map(names).collect::<Vec<_>>();
    names.iter().map(|name| name.as_str().unwrap().to_owned()).collect()
}

/// The cgroup of a service, if runs have any.
fn cgroup(kennel: &Kennel, service: &str) -> Option<PathBuf> {
    let cgroups = &kennel.status()["supervisor"]["cgroups"];
    let place = PathBuf::from(cgroups["place"].as_str()?);
    let text = fs::read_to_string(format!("/proc/{}/cgroup", kennel.pid(service))).unwrap();
    let own = text.lines().find_map(|line| line.strip_prefix("0::")).unwrap();
    Some(place.join(PathBuf::from(own).file_name().unwrap()))
}

#[test]
fn each_limit_holds_or_it_is_told_that_it_does_not() {
    for way in [&[][..], &["--no-cgroups"][..]] {
        let mut kennel = Kennel::new(LIMITED).args(way);
        kennel.start();
        kennel.wait_for_state("web", "up");
        let told = unlimited(&kennel);
        let cgroup = cgroup(&kennel, "web");
        let read = |file: &str| {
            let path = cgroup.as_ref().map(|cgroup| cgroup.join(file));
            fs::read_to_string(path?).ok().map(|text| text.trim_end().to_owned())
        };
        for (limit, controller, file, value) in LIMITS {
            let controllers = read("cgroup.controllers").unwrap_or_default();
            let holds = controllers.split(' ').any(|one| one == controller);
            println!("{limit} holds: {holds}");
            assert_eq!(read(file), holds.then(|| value.to_owned()), "{limit}: {controllers}");
            assert_ne!(told.iter().any(|name| name == limit), holds, "{limit}: {told:?}");
        }
        assert_eq!(told.is_empty(), !kennel.said().contains("does not hold"), "{}", kennel.said());
    }
}

#[test]
fn check_warns_of_limits_that_cannot_hold_and_accepts_them() {
    let kennel = Kennel::new(LIMITED);
    let checked = kennel.cli(&["check"]);
    assert_eq!(checked.code, 0, "{checked:#?}");
    let mut running = Kennel::new(LIMITED);
    running.start();
    running.wait_for_state("web", "up");
    for name in unlimited(&running) {
        // What is only known when it is tried is no matter for a check.
        let reason = events(&running, "service.unlimited")[0]["message"].to_string();
        if reason.contains("has no controller") {
            assert!(checked.stderr.contains("warning: services.yaml:5:"), "{checked:#?}");
            assert!(checked.stderr.contains(&format!("\"{name}\" would not hold")), "{checked:#?}");
        }
    }
}

#[test]
fn a_service_that_runs_out_of_memory_is_killed_as_a_whole_and_that_is_the_cause() {
    let mut kennel = Kennel::new(
        r#"
        services:
          fine: { command: [sleep, "1000"], cgroup: { memory_max: 64MiB } }
          hungry:
            # tail keeps the whole of a line that never ends.
            shell: "sleep 1000 & tail /dev/zero"
            cgroup: { memory_max: 32MiB }
            restart: { policy: on_failure, limit: { max: 1, within: 1h }, backoff: { initial: 10ms } }
        "#,
    );
    kennel.start();
    kennel.wait_for_state("fine", "up");
    if unlimited(&kennel).iter().any(|name| name == "memory_max") {
        println!("skipped: the controller of memory cannot be had here");
        kennel.cli(&["stop", "hungry"]).ok();
        return;
    }
    kennel.wait_for_state("hungry", "failed");
    let exit = kennel.service("hungry")["exit"].clone();
    assert_eq!((&exit["signal"], &exit["out_of_memory"]), (&json!("SIGKILL"), &json!(true)));
    let reason = kennel.service("hungry")["reason"].to_string();
    assert!(reason.contains("ran out of memory"), "{reason}");
    let ended: Vec<Value> = events(&kennel, "service.exited");
    assert_eq!(ended.len(), 2, "it is a failure like any other: {ended:?}");
    for event in &ended {
        assert_eq!(event["attributes"]["cause"], "out-of-memory", "{event}");
        assert!(event["message"].to_string().contains("ran out of memory"), "{event}");
    }
    assert!(kennel.cli(&["why", "hungry"]).ok().contains("ran out of memory"));
    // The other process of the group went with it, and was not found as a leftover.
    wait_for("one process", BOUND, || (kennel.processes().len() == 1).then_some(()));
    assert_eq!(events(&kennel, "service.swept"), [] as [Value; 0]);
    assert!(kennel.process("fine").is_alive());
}

#[test]
fn one_that_was_killed_otherwise_has_not_run_out_of_memory() {
    let kennel = Kennel::running(
        "services: { web: { command: [sleep, '1000'], cgroup: { memory_max: 64MiB } } }",
    );
    kennel.wait_for_state("web", "up");
    kennel.process("web").signal(nix::sys::signal::Signal::SIGKILL);
    let ended = wait_for("the end", BOUND, || events(&kennel, "service.exited").pop());
    assert_eq!(ended["attributes"]["cause"], "signal", "{ended}");
}
