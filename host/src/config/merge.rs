//! `defaults:` under a service, on the tree: so that a value from the defaults is shown
//! where it stands when it is wrong.
//!
//! The mappings named here are merged key by key; every other value of the service
//! replaces the default whole, a list too. `null` in a service takes the default away.

use super::tree::{Entry, Kind, Node, Scalar, Style};

/// Mappings that are merged by key, and which of their keys are so in turn.
const MERGED: &[(&str, &[&str])] = &[
    ("env", &[]),
    ("labels", &[]),
    ("limits", &[]),
    ("cgroup", &[]),
    ("depends_on", &[]),
    ("start", &["backoff"]),
    ("restart", &["backoff", "limit"]),
    ("stop", &[]),
    ("logs", &[]),
    ("rolling", &[]),
];

/// The service `name` with what it does not say itself from `defaults`. That all depend
/// on a service does not mean that it depends on itself.
pub(super) fn under(defaults: &Node, name: &str, service: &Node) -> Node {
    let mut merged = service.clone();
    let Kind::Mapping(entries) = &mut merged.kind else { return merged };
    let says = |key: &str| service.get(key).is_some_and(|value| !value.is_null());
    for default in defaults.entries() {
        // One of the two is needed and only one allowed: what the service says hides both.
        let hidden = match default.key.as_str() {
            "command" => says("shell"),
            "shell" => says("command"),
            _ => false,
        };
        if hidden {
            continue;
        }
        let mut default = default.clone();
        if default.key == "depends_on" {
            leave_out(&mut default.value, name);
        }
        let Some(own) = entries.iter_mut().find(|entry| entry.key == default.key) else {
            entries.push(default);
            continue;
        };
        if let Some((_, nested)) = MERGED.iter().find(|(key, _)| *key == default.key) {
            merge(&default.value, &mut own.value, nested);
        }
    }
    merged
}

fn merge(default: &Node, own: &mut Node, nested: &[&str]) {
    let default = as_mapping(default);
    let full = as_mapping(own);
    let (Kind::Mapping(from), Kind::Mapping(mut into)) = (default.kind, full.kind) else { return };
    for entry in from {
        match into.iter_mut().find(|own| own.key == entry.key) {
            None => into.push(entry),
            Some(own) if nested.contains(&entry.key.as_str()) => {
                merge(&entry.value, &mut own.value, &[]);
            }
            Some(_) => {}
        }
    }
    own.kind = Kind::Mapping(into);
}

/// Takes a service out of either form of `depends_on`.
fn leave_out(depends_on: &mut Node, name: &str) {
    match &mut depends_on.kind {
        Kind::Scalar(_) => {}
        Kind::Sequence(items) => items.retain(|item| item.text() != Some(name)),
        Kind::Mapping(entries) => entries.retain(|entry| entry.key != name),
    }
}

/// The list form of `depends_on` as the mapping that it stands for.
fn as_mapping(node: &Node) -> Node {
    let Kind::Sequence(items) = &node.kind else { return node.clone() };
    let entries: Option<Vec<Entry>> = items
        .iter()
        .map(|item| {
            let ready = Scalar { text: "ready".to_owned(), style: Style::Plain };
            Some(Entry {
                key: item.text()?.to_owned(),
                key_span: item.span,
                value: Node { span: item.span, kind: Kind::Scalar(ready) },
            })
        })
        .collect();
    match entries {
        Some(entries) => Node { span: node.span, kind: Kind::Mapping(entries) },
        None => node.clone(),
    }
}
