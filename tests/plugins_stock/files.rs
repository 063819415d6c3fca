//! `file` writes the events of a real supervisor to a real file system.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use serde_json::Value;

use crate::support::{BOUND, Kennel, wait_for};

/// A sink that writes to `events` in the directory of the test.
fn kennel(sink: &str, services: &str) -> Kennel {
    let kennel = Kennel::new("");
    let file = kennel.path("events").display().to_string();
    kennel.configure(&format!(
        "plugins: {{ file: {{ source: 'stock:file', grants: {{ files: ['{file}'] }} }} }}\n\
         sinks: [{{ plugin: file, events: ['service.*'], config: {{ path: '{file}'{sink} }} }}]\n\
         services: {services}\n"
    ));
    kennel
}

fn numbers(lines: &str) -> Vec<u64> {
    let number = |line: &str| {
        let event: Value = serde_json::from_str(line).expect("a line is JSON");
        event["seq"].as_u64().expect("events have numbers")
    };
    lines.lines().map(number).collect()
}

/// The numbers of the events that the journal has for the sink.
fn expected(kennel: &Kennel) -> Vec<u64> {
    let events = kennel.events().into_iter();
    let wanted = events.filter(|event| event["kind"].as_str().unwrap().starts_with("service."));
    wanted.map(|event| event["seq"].as_u64().unwrap()).collect()
}

const FAILS: &str = "{ worker: { shell: 'exit 3', restart: { backoff: { initial: 5ms, max: 5ms }, limit: { max: 9, within: 1m } } } }";

#[test]
fn the_file_has_the_events_of_the_journal() {
    let mut kennel = kennel("", FAILS);
    kennel.start();
    kennel.wait_for_state("worker", "failed");
    wait_for("all events in the file", BOUND, || {
        (numbers(&kennel.read("events")) == expected(&kennel)).then_some(())
    });
    let journal = kennel.events_of("service.exited", "worker");
    let text = kennel.read("events");
    let line = text.lines().find(|line| line.contains("service.exited")).unwrap();
    let written: Value = serde_json::from_str(line).unwrap();
    assert_eq!(written["message"], journal[0]["message"]);
    assert_eq!(written["severity"], "warn");
    assert_eq!(written["attributes"]["code"], "3");
    let mode = fs::metadata(kennel.path("events")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600, "others may not read it");
}

/// Lines of different runs, to be compared: numbers, and how long something took, are 0.
fn without_numbers(line: &str) -> String {
    let took = regex::Regex::new("after [0-9.]+ [mµ]?s").unwrap().replace(line, "after 0 ms");
    regex::Regex::new("[0-9]+").unwrap().replace_all(&took, "0").into_owned()
}

#[test]
fn the_events_in_the_readmes_are_as_they_are_written() {
    let mut kennel = kennel("", "{ web: { shell: 'exit 3', restart: { policy: never } } }");
    kennel.start();
    let exited =
        |text: &str| text.lines().find(|line| line.contains("service.exited")).map(str::to_owned);
    let written = wait_for("the end in the file", BOUND, || exited(&kennel.read("events")));
    println!("{written}");
    let readmes = [
        include_str!("../../plugins/file/README.md"),
        include_str!("../../plugins/webhook/README.md"),
    ];
    for readme in readmes {
        let shown = exited(readme).expect("an example");
        let shown = shown.trim().trim_end_matches(',');
        assert_eq!(without_numbers(shown), without_numbers(&written));
    }
}

#[test]
fn a_full_file_is_renamed_and_the_oldest_one_goes() {
    let services = FAILS.replace("max: 9,", "max: 60,");
    let mut kennel = kennel(", max_size: 4KiB, keep: 2", &services);
    kennel.start();
    kennel.wait_for_state("worker", "failed");
    let last = *expected(&kennel).last().unwrap();
    wait_for("the last event in the file", BOUND, || {
        (numbers(&kennel.read("events")).last() == Some(&last)).then_some(())
    });
    let mut all = Vec::new();
    for name in ["events.2", "events.1", "events"] {
        let text = kennel.read(name);
        assert!(!text.is_empty() && text.len() <= 4096, "{name}: {} bytes", text.len());
        all.extend(numbers(&text));
    }
    assert!(!kennel.path("events.3").exists());
    let expected = expected(&kennel);
    assert_eq!(all, expected[expected.len() - all.len()..], "none is missing in between");
}

#[test]
fn events_wait_until_the_file_can_be_written() {
    let mut kennel = kennel("", FAILS);
    // What stands in the way is a folder.
    fs::create_dir(kennel.path("events")).unwrap();
    kennel.start();
    kennel.wait_for_state("worker", "failed");
    wait_for("a try that fails", BOUND, || {
        kennel.said().contains("cannot append to").then_some(())
    });
    fs::remove_dir(kennel.path("events")).unwrap();
    wait_for("all events in the file", BOUND, || {
        (numbers(&kennel.read("events")) == expected(&kennel)).then_some(())
    });
}

#[test]
fn a_link_is_not_followed_and_what_is_not_granted_is_not_written() {
    let mut kennel = kennel("", FAILS);
    kennel.write("precious", "untouched");
    std::os::unix::fs::symlink(kennel.path("precious"), kennel.path("events")).unwrap();
    kennel.start();
    wait_for("a try that fails", BOUND, || {
        kennel.said().contains("cannot append to").then_some(())
    });
    assert_eq!(kennel.read("precious"), "untouched");

    let yaml = kennel.read("services.yaml");
    let elsewhere = yaml.replace("config: { path: '", "config: { path: '/nowhere");
    assert_ne!(yaml, elsewhere);
    kennel.write("services.yaml", &elsewhere);
    assert_eq!(kennel.cli(&["reload"]).code, 0);
    let denied = kennel.wait_for_news("plugin.denied", |_| true);
    assert!(denied["message"].as_str().unwrap().contains("/nowhere"), "{denied:#}");
}

#[test]
fn a_relative_path_is_relative_to_the_configuration_on_both_sides() {
    // The supervisor runs in another directory than that of its configuration.
    let elsewhere = tempfile::tempdir().unwrap();
    for (granted, path) in [
        ("events", "./events"),
        ("./sub/../events", "events"),
        ("{dir}/events", "events"),
        ("events", "{dir}/events"),
    ] {
        let kennel = Kennel::new("").prelude(&format!("cd {}", elsewhere.path().display()));
        let file = kennel.path("services.yaml").display().to_string();
        let mut kennel = kennel.args(&["-c", &file]);
        let of = |path: &str| path.replace("{dir}", &kennel.directory().display().to_string());
        let (granted, path) = (of(granted), of(path));
        kennel.configure(&format!(
            "plugins: {{ file: {{ source: 'stock:file', grants: {{ files: ['{granted}'] }} }} }}\n\
             sinks: [{{ plugin: file, events: ['service.*'], config: {{ path: '{path}' }} }}]\n\
             services: {{ web: {{ command: [sleep, '1000'] }} }}\n"
        ));
        kennel.start();
        wait_for("an event in the file", BOUND, || {
            kennel
                .path("events")
                .exists()
                .then_some(())
                .filter(|()| !kennel.read("events").is_empty())
        });
    }
    assert_eq!(fs::read_dir(elsewhere.path()).unwrap().count(), 0);
}
