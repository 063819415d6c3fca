//! The reference of `services.yaml` in `docs/configuration.md` is made from its schema.
//!
//! One section for each mapping of known keys, where it is first met; who uses the same mapping
//! again links there.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde_json::{Map, Value};

use crate::config::{schema, unavailable};

const HEAD: &str = "\
# services.yaml

Every key, made from `kennel schema`; `KENNEL_BLESS=1 cargo test -p kennel reference` writes it
anew. Durations are written `250ms`, `10s`, `5m`, `2h`, `1d` or `1h30m`, sizes `64KiB` or `10MiB`.
Unknown keys are errors.

";

/// The whole page.
fn page() -> String {
    let schema = schema();
    let mut page = Page {
        definitions: &schema["$defs"],
        places: BTreeMap::new(),
        written: BTreeSet::new(),
        text: HEAD.into(),
    };
    page.text += &format!("{}\n", text(&schema, "description"));
    // Other places that take a whole service link to the services.
    page.places.insert("Service".to_owned(), "services.NAME".to_owned());
    page.section("The file", "", &schema);
    page.text += "\n## Not available yet\n\nThese are known and refused, so that nothing is silently ignored:\n";
    let names: Vec<_> = unavailable::names().map(|name| format!("`{name}`")).collect();
    page.text += &format!("{}.\n", names.join(", "));
    page.text
}

struct Page<'a> {
    definitions: &'a Value,
    /// Where the section of a definition is, by its name.
    places: BTreeMap<String, String>,
    /// The places whose sections are written, or soon will be.
    written: BTreeSet<String>,
    text: String,
}

/// A key, and the mapping below it.
struct Below<'a> {
    place: String,
    mapping: &'a Value,
}

impl<'a> Page<'a> {
    /// Writes the table of a mapping, then the sections of those below it.
    fn section(&mut self, title: &str, place: &str, mapping: &'a Value) {
        self.text += &format!("\n## {title}\n\n");
        if !place.is_empty() {
            self.text += &format!("{}\n\n", text(mapping, "description"));
        }
        self.text += "| Key | Takes | Default | |\n|---|---|---|---|\n";
        let mut below = Vec::new();
        let keys = mapping["properties"].as_object().into_iter().flatten();
        for (key, value) in keys {
            let path = if place.is_empty() { key.clone() } else { format!("{place}.{key}") };
            let takes = self.takes(value, &path, &mut below);
            let (what, default) = apart(text(value, "description"));
            let (what, default) = (cell(what), cell(default));
            self.text += &format!("| `{key}` | {} | {default} | {what} |\n", cell(&takes));
        }
        for Below { place, mapping } in below {
            self.section(&format!("`{place}`"), &place, mapping);
        }
    }

    /// What a key takes, in words.
    fn takes(&mut self, value: &'a Value, path: &str, below: &mut Vec<Below<'a>>) -> String {
        if let Some(name) = text(value, "$ref").strip_prefix("#/$defs/") {
            return self.takes_definition(name, path, below);
        }
        if let Some(options) = value["anyOf"].as_array() {
            let options = options.iter().filter(|option| !is_null(option) && !is_variable(option));
            let mut words: Vec<String> = Vec::new();
            for option in options {
                let word = self.takes(option, path, below);
                if !words.contains(&word) {
                    words.push(word);
                }
            }
            return words.join(" or ");
        }
        if let Some(options) = value["oneOf"].as_array() {
            let words = options.iter().map(|option| format!("`{}`", text(option, "const")));
            return words.collect::<Vec<_>>().join(", ");
        }
        match kinds(value).as_slice() {
            [] => "anything".to_owned(),
            ["array"] => format!("list of {}", self.takes(&value["items"], path, below)),
            ["object"] => {
                let path = format!("{path}.NAME");
                format!("NAME: {}", self.takes(&value["additionalProperties"], &path, below))
            }
            ["boolean"] => "`true`, `false`".to_owned(),
            ["integer" | "number"] => "number".to_owned(),
            // A word that may look like a number.
            [_, ..] => "text".to_owned(),
        }
    }

    fn takes_definition(&mut self, name: &str, path: &str, below: &mut Vec<Below<'a>>) -> String {
        let definition = &self.definitions[name];
        match name {
            "Duration" | "Size" | "Percent" | "Signal" => return name.to_lowercase(),
            "Rate" => return "size a second".to_owned(),
            "Umask" | "FileMode" => return "octal number".to_owned(),
            "ResourceLimit" => return "number, `unlimited` or `SOFT:HARD`".to_owned(),
            _ => {}
        }
        if !definition["properties"].is_object() {
            return self.takes(definition, path, below);
        }
        let place = self.places.entry(name.to_owned()).or_insert_with(|| path.to_owned()).clone();
        if place == path && self.written.insert(place.clone()) {
            below.push(Below { place: place.clone(), mapping: definition });
        }
        let anchor: String =
            place.chars().filter(|c| c.is_alphanumeric() || *c == '_').collect::<String>();
        format!("[mapping](#{})", anchor.to_lowercase())
    }
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_default()
}

/// The types of a schema apart from null.
fn kinds(value: &Value) -> Vec<&str> {
    let kinds = match &value["type"] {
        Value::Array(kinds) => kinds.iter().filter_map(Value::as_str).collect(),
        one => one.as_str().into_iter().collect::<Vec<_>>(),
    };
    kinds.into_iter().filter(|kind| *kind != "null").collect()
}

fn is_null(option: &Value) -> bool {
    text(option, "type") == "null"
}

/// Whether it says only that `${VAR}` may stand there.
fn is_variable(option: &Value) -> bool {
    option.as_object().is_some_and(|map: &Map<_, _>| map.len() == 2)
        && text(option, "pattern") == r"\$\{"
}

/// A description and the default in it.
fn apart(description: &str) -> (&str, &str) {
    match description.rsplit_once("Default: ") {
        Some((what, default)) => (what.trim_end(), default.trim_end_matches('.')),
        None => (description, ""),
    }
}

/// Bars end a cell, and angle brackets are markup.
fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('<', "&lt;")
}

#[test]
fn the_reference_in_docs_is_what_the_schema_says() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/configuration.md");
    let page = page();
    if std::env::var_os("KENNEL_BLESS").is_some() {
        std::fs::write(&path, &page).unwrap();
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        committed == page,
        "docs/configuration.md is not what the schema says; KENNEL_BLESS=1 writes it anew"
    );
}

/// Every mapping of the schema has its section, so every key has its row.
#[test]
fn the_reference_has_every_key_of_the_schema() {
    let (schema, page) = (schema(), page());
    let mut mappings = vec![&schema];
    mappings.extend(schema["$defs"].as_object().into_iter().flat_map(Map::values));
    let keys = mappings.iter().filter_map(|mapping| mapping["properties"].as_object());
    let keys: usize = keys.map(Map::len).sum();
    let rows = page.lines().filter(|line| line.starts_with("| `")).count();
    assert!(keys > 100, "only {keys} keys");
    assert_eq!(rows, keys);
}
