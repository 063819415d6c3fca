//! What is written, and what becomes of the events.

use std::time::Duration;

use kennel_plugin::testing::{Call, Delivering, event, problems};
use kennel_plugin::{Batch, Event, EventSink as _, Failure, ProbeError, Rotate, Severity, Taken};
use kennel_plugin_file::FileSink;

const APPEND: &str = "/var/log/kennel/events";

fn config(more: &str) -> String {
    format!("{{ \"path\": \"{APPEND}\"{more} }}")
}

fn events(count: u64) -> Vec<Event> {
    (1..=count).map(|number| event(number, "service.exited", "exited with code 3")).collect()
}

/// Delivers a batch to a file that takes so many writes and then refuses.
fn deliver(
    config: &str,
    batch: &Batch,
    takes: usize,
    refuses: bool,
) -> (Vec<(String, Rotate)>, Result<Taken, Failure>) {
    let mut sink = Delivering::<FileSink>::new(config);
    for _ in 0..takes {
        sink.host.on_append(APPEND, ());
    }
    if refuses {
        sink.host.on_append(APPEND, ProbeError::Other("no space left on device".into()));
    }
    let result = sink.deliver_batch(batch);
    let writes = sink.host.calls().into_iter().map(|call| match call {
        Call::Append(_, bytes, rotate) => (String::from_utf8(bytes).expect("text"), rotate),
        other => panic!("{other:?}"),
    });
    (writes.collect(), result)
}

fn batch(events: Vec<Event>) -> Batch {
    Batch { events, ..Batch::default() }
}

#[test]
fn events_are_lines_of_json() {
    let (writes, result) = deliver(&config(""), &batch(events(2)), 1, false);
    assert_eq!(result, Ok(Taken::All));
    let line = |number: u64| {
        format!(
            "{{\"seq\":{number},\"at\":\"2027-01-15T08:00:00.00{number}Z\",\
             \"kind\":\"service.exited\",\"severity\":\"info\",\"service\":\"web\",\"instance\":0,\
             \"message\":\"exited with code 3\",\"attributes\":{{}}}}\n"
        )
    };
    let rotate = Rotate { max_bytes: Some(10 << 20), keep: Some(5) };
    assert_eq!(writes, [(line(1) + &line(2), rotate)]);
}

#[test]
fn events_are_lines_for_people_where_that_is_wanted() {
    let mut all = events(3);
    all[0].severity = Severity::Error;
    all[1].instance = None;
    all[1].message = "said\n\tand\u{1b}[31m more".to_owned();
    all[2].service = None;
    all[2].message.clear();
    let lost = Batch { dropped: 7, ..batch(all) };
    let (writes, _) = deliver(&config(r#", "format": "text""#), &lost, 1, false);
    assert_eq!(
        writes[0].0,
        "- 7 events are missing here\n\
         2027-01-15T08:00:00.001Z error web/0 service.exited exited with code 3\n\
         2027-01-15T08:00:00.002Z info  web service.exited said and [31m more\n\
         2027-01-15T08:00:00.003Z info  - service.exited\n"
    );
}

#[test]
fn missing_events_are_told_as_in_the_api() {
    let lost = Batch { dropped: 7, ..batch(events(1)) };
    let (writes, _) = deliver(&config(""), &lost, 1, false);
    assert!(writes[0].0.starts_with("{\"missed\":7}\n{\"seq\":1,"), "{}", writes[0].0);
}

#[test]
fn what_matters_less_is_left_out() {
    let mut all = events(3);
    all[1].severity = Severity::Warn;
    let (writes, result) =
        deliver(&config(r#", "min_severity": "warn""#), &batch(all.clone()), 1, false);
    assert_eq!((writes[0].0.lines().count(), result), (1, Ok(Taken::All)));
    let (writes, result) = deliver(&config(r#", "min_severity": "error""#), &batch(all), 0, false);
    assert_eq!((writes.len(), result), (0, Ok(Taken::All)), "nothing to write");
}

#[test]
fn no_write_is_larger_than_a_file_unless_a_single_event_is() {
    let small = config(r#", "max_size": "1KiB", "keep": 2"#);
    let (writes, result) = deliver(&small, &batch(events(10)), 2, false);
    assert_eq!(result, Ok(Taken::All));
    for (lines, rotate) in &writes {
        assert!(lines.len() <= 1024 && lines.ends_with("}\n"), "{}", lines.len());
        assert_eq!(*rotate, Rotate { max_bytes: Some(1024), keep: Some(2) });
    }
    let all: String = writes.into_iter().map(|(lines, _)| lines).collect();
    assert_eq!(all.lines().count(), 10);

    let mut large = events(3);
    large[1].message = "x".repeat(5000);
    let (writes, _) = deliver(&small, &batch(large), 3, false);
    assert_eq!(writes.len(), 3);
}

#[test]
fn what_was_written_before_a_failure_is_not_written_again() {
    let small = config(r#", "max_size": "1KiB""#);
    let (writes, result) = deliver(&small, &batch(events(10)), 1, true);
    let first = u32::try_from(writes[0].0.lines().count()).unwrap();
    assert_eq!(result, Ok(Taken::First(first)));

    let (_, result) = deliver(&small, &batch(events(10)), 0, true);
    let reason = "cannot append to \"/var/log/kennel/events\": no space left on device";
    assert_eq!(result, Err(Failure::retry(Duration::ZERO, reason)));
    let (_, result) = deliver(&config(""), &batch(events(10)), 0, true);
    assert_eq!(result, Err(Failure::retry(Duration::ZERO, reason)));
}

#[test]
fn events_that_are_left_out_before_a_failure_are_taken_too() {
    let mut all = events(10);
    for event in &mut all[..9] {
        event.severity = Severity::Debug;
    }
    let all = batch(all);
    let (writes, result) = deliver(&config(r#", "min_severity": "info""#), &all, 0, true);
    assert_eq!(writes.len(), 1);
    assert!(result.is_err(), "they come again with the one that could not be written");
}

#[test]
fn a_file_that_somebody_else_rotates_grows() {
    let (writes, _) = deliver(&config(r#", "rotate": false"#), &batch(events(1)), 1, false);
    assert_eq!(writes[0].1, Rotate::default());
}

#[test]
fn every_problem_of_a_configuration_is_told_with_its_place() {
    let check = |json: &str, expected: &[(&str, &str)]| {
        let found = problems(FileSink::new, json);
        assert_eq!(found.len(), expected.len(), "{found:#?}");
        for (problem, (path, part)) in found.iter().zip(expected) {
            assert_eq!(problem.path, *path);
            assert!(problem.message.contains(part), "{problem:?}");
        }
    };
    check(
        r#"{ "path": "", "max_size": 1023, "keep": 1001 }"#,
        &[("path", "empty"), ("max_size", "less than 1KiB"), ("keep", "more than 1000")],
    );
    check(r#"{ "path": "a\u0000b" }"#, &[("path", "null byte")]);
    check(r#"{ "path": "/tmp/" }"#, &[("path", "a folder")]);
    check(
        r#"{ "path": "x", "rotate": false, "max_size": "1MiB", "keep": 3 }"#,
        &[("max_size", "without rotation"), ("keep", "without rotation")],
    );
}
