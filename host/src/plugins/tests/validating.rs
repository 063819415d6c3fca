//! `kennel check` looks at plugins as a supervisor would.

use super::*;
use crate::plugins::{Invalid, validate};

async fn invalid(fixture: &Fixture, text: &str) -> Vec<Invalid> {
    let found = validate(&fixture.config(text), Traps::Checked).await;
    assert!(!fixture.path("state").exists(), "it leaves nothing behind");
    found
}

#[tokio::test]
async fn every_mistake_of_a_plugin_is_found_at_its_place() {
    let fixture = Fixture::new();
    fixture.write("p.wasm", &counts("ok"));
    assert_eq!(invalid(&fixture, &checked("{}")).await, []);

    let loaded = fixture.loaded(&checked("{ bad: 1 }"));
    let found = validate(&loaded.config, Traps::Checked).await;
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(found[0].path, "services.web.health[0].config.bad");
    let shown = loaded.places.error_at(&found[0].path, &found[0].message, None).to_string();
    assert!(shown.contains("services.yaml:5:"), "{shown}");
    assert!(shown.contains("plugin \"p\" refuses its configuration: bad: is not known"), "{shown}");

    let policy = "plugins: { p: { source: ./p.wasm } }\nservices: { web: { command: [sleep, '9'], \
                  restart: { policy_plugin: { plugin: p } } } }\n";
    let found = invalid(&fixture, policy).await;
    assert_eq!(found[0].path, "services.web.restart.policy_plugin.plugin");
    assert!(found[0].message.contains("restart-policy"), "{found:?}");

    let pin = "0".repeat(64);
    let pinned = checked("{}").replace("./p.wasm", &format!("./p.wasm, sha256: '{pin}'"));
    let found = invalid(&fixture, &pinned).await;
    assert_eq!(found[0].path, "plugins.p.sha256");

    fixture.write("p.wasm", b"#!/bin/sh\n");
    let found = invalid(&fixture, &checked("{}")).await;
    assert_eq!(found[0].path, "plugins.p.source");
    assert!(found[0].message.starts_with("cannot load plugin \"p\": "), "{found:?}");
    std::fs::remove_file(fixture.path("p.wasm")).unwrap();
    let found = invalid(&fixture, &checked("{}")).await;
    assert!(found[0].message.contains("no such file"), "{found:?}");
}

#[tokio::test]
async fn the_same_mistake_of_many_services_is_one() {
    let fixture = Fixture::new();
    fixture.write("p.wasm", &counts("ok"));
    let text = "plugins: { p: { source: ./p.wasm } }\n\
                defaults: { command: [sleep, '9'], health: { plugin: p, config: { bad: 1 } } }\n\
                services: { a: {}, b: {}, c: {} }\n";
    assert_eq!(invalid(&fixture, text).await.len(), 1);
}
