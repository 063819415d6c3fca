//! The grace: in which bad answers do not count, and when it ends.

use super::{kennel_with_server, needs_python};

#[test]
fn failures_inside_the_grace_do_not_count_at_any_start() {
    if needs_python() {
        return;
    }
    let check = "{ http: URL/, every: 50ms, failures: 1, timeouts: 1, timeout: 100ms, grace: 2s }";
    let mut kennel = kennel_with_server(check, "");
    kennel.answers("500 500 500 hang 500");
    kennel.start();
    // The second and the third run are health's own doing.
    let ends = kennel.wait_for_ends("web", 3);
    assert!(ends.iter().all(|uptime_ms| *uptime_ms >= 2000), "{ends:?}");
    for asked in &kennel.asked()[..3] {
        assert!(asked.len() > 5, "it was asked all the time: {asked:?}");
    }
    kennel.end();
}

#[test]
fn the_first_good_answer_ends_the_grace() {
    if needs_python() {
        return;
    }
    let check = "{ http: URL/, every: 50ms, failures: 2, grace: 1h }";
    let mut kennel = kennel_with_server(check, "");
    kennel.answers("500 500 500 200 500");
    kennel.start();
    kennel.wait_for_ends("web", 2);
    let asked = kennel.asked();
    assert_eq!(asked[0], ["500", "500", "500", "200", "500", "500"]);
    assert_eq!(asked[1], ["500", "500", "500", "200", "500", "500"], "and anew at every start");
    kennel.end();
}

#[test]
fn the_clock_of_the_grace_starts_at_the_spawn() {
    if needs_python() {
        return;
    }
    // Ready after five seconds of a grace of six: one second of it is left, not six.
    let check = "{ http: URL/, every: 50ms, failures: 1, grace: 6s }";
    let mut kennel = kennel_with_server(check, "");
    let late = kennel
        .read("server.py")
        .replace("print(\"listening\"", "time.sleep(5)\nprint(\"listening\"");
    kennel.write("server.py", &late);
    kennel.answers("500");
    kennel.start();
    let ends = kennel.wait_for_ends("web", 1);
    let ready = kennel.wait_for_event("service.ready", "web");
    let ready_ms = ready["attributes"]["after_ms"].as_u64().unwrap();
    assert!(ready_ms >= 5000, "{ready:#}");
    assert!(ends[0] >= 6000 && ends[0] < ready_ms + 5000, "{ends:?}, ready after {ready_ms} ms");
    kennel.end();
}
