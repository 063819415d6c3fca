//! The keys: all are known, all are in the schema, and none is in only one place.

use std::collections::BTreeSet;

use super::super::source::{Problems, Sources};
use super::super::tree::{Kind, Node};
use super::super::{parse, schema, suggest};
use super::report;

const EVERY_KEY: &str = include_str!("every_key.yaml");

/// Keys whose entries the operator names.
const OPEN: [&str; 7] = [
    "env",
    "plugins",
    "services",
    "services.*.labels",
    "services.*.env",
    "services.*.depends_on",
    "defaults",
];

#[test]
fn every_key_is_understood_and_what_has_no_life_yet_says_so() {
    for line in report(EVERY_KEY).lines().filter(|line| line.starts_with("/conf")) {
        assert!(line.ends_with("is not available yet"), "{line}\n\n{}", report(EVERY_KEY));
    }
}

#[test]
fn the_schema_knows_the_same_keys_as_the_fixture() {
    let mut sources = Sources::default();
    let file = sources.add("x".into(), "/".into(), EVERY_KEY.to_owned());
    let root = parse::parse(file, &sources, &mut Problems::default()).unwrap();
    let mut written = BTreeSet::new();
    collect(&root, "", &mut written);
    let known: BTreeSet<String> = suggest::key_paths()
        .iter()
        .filter(|path| !path.starts_with("defaults."))
        .cloned()
        .collect();
    assert_eq!(written, known);
}

fn collect(node: &Node, at: &str, paths: &mut BTreeSet<String>) {
    match &node.kind {
        Kind::Scalar(_) => {}
        Kind::Sequence(items) => items.iter().for_each(|item| collect(item, at, paths)),
        // Free-form: handed to the plugin as it is.
        Kind::Mapping(_) if at.ends_with(".config") || at == "defaults" => {}
        Kind::Mapping(entries) => {
            for entry in entries {
                let key = if OPEN.contains(&at) { "*" } else { &entry.key };
                let path = if at.is_empty() { key.to_owned() } else { format!("{at}.{key}") };
                if key != "*" {
                    paths.insert(path.clone());
                }
                collect(&entry.value, &path, paths);
            }
        }
    }
}

#[test]
fn the_schema_is_closed_and_described() {
    let schema = schema();
    assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema");
    assert_eq!(schema["title"], "Kennel services");
    assert_eq!(schema["additionalProperties"], false);
    let service = &schema["$defs"]["Service"];
    assert_eq!(service["additionalProperties"], false);
    assert!(
        service["properties"]["type"]
            .to_string()
            .contains("oneshot is done when it exits with 0. Default: daemon.")
    );
    assert!(schema["$defs"]["Duration"]["pattern"].to_string().contains("ms|s|m|h|d"));
    // Numbers may come from a variable.
    assert!(service["properties"]["replicas"].to_string().contains("{"));
    for (name, schema) in schema["$defs"].as_object().unwrap() {
        for (key, value) in schema["properties"].as_object().into_iter().flatten() {
            assert!(value.get("description").is_some(), "{name}.{key} has no description");
        }
    }
    assert!(!schema.to_string().contains("!shape"));
}

#[test]
fn the_path_of_a_key_in_the_defaults_is_that_of_a_service() {
    for path in suggest::key_paths().iter().filter_map(|path| path.strip_prefix("defaults.")) {
        assert!(suggest::key_paths().contains(&format!("services.*.{path}")), "{path}");
    }
}
