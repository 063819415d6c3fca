//! Reloading: only what changed is touched, and a broken file changes nothing.

use nix::sys::signal::Signal;

use crate::support::{BOUND, Kennel, wait_for};

const THREE: &str = r#"
    services:
      one: { command: [sleep, "1001"] }
      two: { command: [sleep, "1002"] }
      three: { command: [sleep, "1003"], depends_on: { two: started } }
    "#;

#[track_caller]
fn three() -> Kennel {
    let kennel = Kennel::running(THREE);
    for name in ["one", "two", "three"] {
        kennel.wait_for_state(name, "up");
    }
    kennel
}

#[test]
fn a_reload_changes_one_of_three_and_the_others_keep_their_processes() {
    let kennel = three();
    let (one, two, three) = (kennel.process("one"), kennel.process("two"), kennel.process("three"));
    kennel.configure(&THREE.replace("\"1001\"", "\"2001\""));
    let plan = kennel.cli(&["plan"]).ok();
    assert!(plan.contains("one") && plan.contains("restart") && plan.contains("command"), "{plan}");
    assert!(!plan.contains("two") && !plan.contains("three"), "{plan}");
    assert_eq!(kennel.process("one"), one, "a plan changes nothing");

    assert_eq!(kennel.cli(&["reload"]).ok(), plan);
    let new = kennel.wait_for_new_run("one", &one);
    assert_eq!(new.command, "sleep 2001");
    assert!(!one.is_alive());
    assert_eq!((kennel.process("two"), kennel.process("three")), (two, three));
    assert_eq!(kennel.service("one")["restarts"], 0);
    let reloaded = kennel.events().into_iter().find(|e| e["kind"] == "config.reloaded").unwrap();
    assert!(reloaded["message"].as_str().unwrap().contains("one: restart"), "{reloaded:#}");
    let plan = kennel.cli(&["plan"]).ok();
    assert!(plan.contains("nothing to do"), "{plan}");
}

#[test]
fn sighup_reloads_too() {
    let kennel = three();
    let (one, two) = (kennel.process("one"), kennel.process("two"));
    kennel.configure(&THREE.replace("\"1001\"", "\"2001\""));
    kennel.signal(Signal::SIGHUP);
    assert_eq!(kennel.wait_for_new_run("one", &one).command, "sleep 2001");
    assert_eq!(kennel.process("two"), two);
}

#[test]
fn a_broken_file_changes_nothing_and_says_where_it_is_broken() {
    let kennel = three();
    let before: Vec<_> = ["one", "two", "three"].map(|name| kennel.process(name)).into();
    kennel.configure(&THREE.replace("one: { command", "one: { comand"));
    let parts = ["services.yaml:3:10: unknown key \"comand\"", "did you mean \"command\"?"];
    kennel.cli(&["reload"]).fails_saying(2, &parts);
    kennel.cli(&["plan"]).fails_saying(2, &parts);
    kennel.cli(&["check"]).fails_saying(2, &parts);

    let rejected = wait_for("config.rejected", BOUND, || {
        kennel.events().into_iter().find(|event| event["kind"] == "config.rejected")
    });
    let errors = rejected["attributes"]["errors"].as_str().unwrap();
    assert!(errors.contains("services.yaml:3:10"), "{errors}");
    kennel.signal(Signal::SIGHUP);
    wait_for("the complaint on standard error", BOUND, || {
        let said = kennel.said();
        (said.contains("nothing was changed") && said.contains("services.yaml:3:10")).then_some(())
    });
    let after: Vec<_> = ["one", "two", "three"].map(|name| kennel.process(name)).into();
    assert_eq!(after, before);
}

#[test]
fn added_services_start_and_removed_ones_stop() {
    let kennel = three();
    let (one, two) = (kennel.process("one"), kennel.process("two"));
    kennel.configure(
        r#"
        services:
          two: { command: [sleep, "1002"] }
          three: { command: [sleep, "1003"], depends_on: { two: started } }
          four: { command: [sleep, "1004"], depends_on: { three: started } }
        "#,
    );
    let plan = kennel.cli(&["plan"]).ok();
    assert!(plan.contains("four") && plan.contains("one"), "{plan}");
    assert_eq!(kennel.cli(&["reload"]).code, 0);
    kennel.wait_for_state("four", "up");
    wait_for("one to be gone", BOUND, || {
        let names = kennel.cli(&["status", "--plain"]).ok();
        (!names.contains("Service one:")).then_some(())
    });
    assert!(!one.is_alive());
    assert_eq!(kennel.process("two"), two);
    kennel.cli(&["start", "one"]).fails_saying(1, &["\"one\""]);
}

#[test]
fn what_can_change_in_place_keeps_its_process() {
    let kennel = three();
    let one = kennel.process("one");
    kennel.configure(&THREE.replace(
        "\"1001\"]",
        "\"1001\"], labels: { tier: front }, restart: { backoff: { initial: 7ms } }, logs: { keep: 9 }",
    ));
    let plan = kennel.cli(&["plan"]).ok();
    assert!(plan.contains("one") && plan.contains("in place"), "{plan}");
    assert_eq!(kennel.cli(&["reload"]).code, 0);
    assert_eq!(kennel.process("one"), one);
    assert_eq!(kennel.service("one")["labels"]["tier"], "front");
    // The new wait holds from now on.
    one.signal(Signal::SIGKILL);
    kennel.wait_for_new_run("one", &one);
    let backoff = kennel.wait_for_event("service.backoff", "one");
    assert!(backoff["attributes"]["delay_ms"].as_u64().unwrap() <= 8, "{backoff:#}");
}

#[test]
fn what_is_stopped_stays_stopped_over_a_reload() {
    let kennel = three();
    assert_eq!(kennel.cli(&["stop", "one"]).code, 0);
    kennel.configure(&THREE.replace("\"1001\"", "\"2001\""));
    assert_eq!(kennel.cli(&["reload"]).code, 0);
    let one = kennel.service("one");
    assert_eq!((&one["state"], &one["wanted"]), (&"down".into(), &"down".into()));
    assert_eq!(kennel.events_of("service.started", "one").len(), 1);
    assert_eq!(kennel.cli(&["start", "one"]).code, 0);
    assert_eq!(kennel.process("one").command, "sleep 2001");
}

#[test]
fn more_and_fewer_replicas_leave_the_others_alone() {
    let replicas = |count: u32| {
        format!("services: {{ web: {{ command: [sleep, '1000'], replicas: {count} }} }}")
    };
    let kennel = Kennel::running(&replicas(2));
    kennel.wait_for_state("web/1", "up");
    let zero = kennel.process("web/0");
    kennel.configure(&replicas(3));
    assert_eq!(kennel.cli(&["reload"]).code, 0);
    kennel.wait_for_state("web/2", "up");
    let one = kennel.process("web/1");
    kennel.configure(&replicas(2));
    assert_eq!(kennel.cli(&["reload"]).code, 0);
    wait_for("web/2 to be gone", BOUND, || {
        (kennel.status()["services"].as_array()?.len() == 2).then_some(())
    });
    assert_eq!((kennel.process("web/0"), kennel.process("web/1")), (zero, one));
}

#[test]
fn a_reload_reads_included_files_and_env_files_again() {
    let mut kennel = Kennel::new(
        r#"
        kennel: { state_dir: ./state, socket: ./k.sock, include: ["more/*.yaml"] }
        services:
          one: { command: [sleep, "1001"], env_file: [one.env] }
        "#,
    );
    std::fs::create_dir(kennel.path("more")).unwrap();
    kennel.write("more/two.yaml", "services: { two: { command: [sleep, '1002'] } }\n");
    kennel.write("one.env", "A=1\n");
    kennel.start();
    kennel.wait_for_state("two", "up");
    let (one, two) = (kennel.process("one"), kennel.process("two"));
    kennel.write("one.env", "A=2\n");
    let reloaded = kennel.cli(&["reload"]).ok();
    assert!(reloaded.contains("one") && !reloaded.contains("two"), "{reloaded}");
    let one = kennel.wait_for_new_run("one", &one);
    kennel.write("more/two.yaml", "services: { two: { command: [sleep, '2002'] } }\n");
    assert_eq!(kennel.cli(&["reload"]).code, 0);
    assert_eq!(kennel.wait_for_new_run("two", &two).command, "sleep 2002");
    assert_eq!(kennel.process("one"), one);
}
