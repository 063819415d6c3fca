//! A plugin and the supervisor look at the same service.

use std::fs;

use super::{needs_python, server};
use crate::support::Kennel;
use crate::support::guest::{self, Does};

fn with_plugin(does: Does, counts: &str) -> Kennel {
    let kennel = Kennel::new("");
    fs::write(kennel.path("p.wasm"), guest::check("fine", does)).unwrap();
    let health = format!(
        "[{{ plugin: p, every: 100ms, {counts} }}, {{ http: URL/, every: 100ms, {counts} }}]"
    );
    let web = server(&kennel, &health, "");
    kennel.configure(&format!("plugins:\n  p: {{ source: ./p.wasm }}\n{web}"));
    kennel
}

#[test]
fn a_plugin_and_a_built_in_check_of_one_service_count_apart() {
    if needs_python() {
        return;
    }
    let mut kennel = with_plugin(Does::Counts, "failures: 3, grace: 0s");
    kennel.answers("200 500 500 200 500 500 500");
    kennel.start();
    kennel.wait_for_ends("web", 1);
    let stopping = kennel.wait_for_event("service.stopping", "web");
    assert!(stopping["message"].as_str().unwrap().contains("http: GET"), "{stopping:#}");
    assert!(kennel.answers_of("web", "p", "passed") >= 1.0);
    assert_eq!(kennel.asked()[0].len(), 7);
    kennel.end();
}

#[test]
fn a_plugin_that_is_broken_hides_nothing_and_restarts_nothing() {
    if needs_python() {
        return;
    }
    let mut kennel = with_plugin(Does::Traps, "failures: 3, timeouts: 1, grace: 0s");
    kennel.answers("200");
    kennel.start();
    kennel.wait_for_answers("web", "p", "impossible", 3.0);
    kennel.wait_for_answers("web", "http", "passed", 5.0);
    let web = kennel.service("web");
    assert_eq!((&web["health"], &web["restarts"]), (&"unknown".into(), &0.into()), "{web:#}");
    // The other check still decides.
    kennel.answers("500");
    kennel.wait_for_ends("web", 1);
    kennel.end();
}
