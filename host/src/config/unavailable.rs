//! Keys that are understood but have no life yet.
//!
//! Their values are checked like all others, and a value other than the default is
//! refused: a health check that is silently never made is worse than none. This is the
//! only place that knows; to give a key its life, take its line away.

use super::source::{Problem, Problems};
use super::tree::{Kind, Node};

/// A dotted path, what is refused, and how it is called in the message.
struct Refused {
    path: &'static str,
    name: &'static str,
    when: fn(&Node) -> bool,
}

const fn any(path: &'static str) -> Refused {
    Refused { path, name: path, when: is_given }
}

const OF_FILE: &[Refused] = &[any("kennel.listen"), any("kennel.token_file"), any("failover")];

const OF_SERVICE: &[Refused] = &[
    Refused { path: "run_on", name: "run_on: leader", when: |node| node.text() == Some("leader") },
    Refused {
        path: "start.on_give_up",
        name: "start.on_give_up: resign",
        when: |node| node.text() == Some("resign"),
    },
    Refused {
        path: "restart.on_give_up",
        name: "restart.on_give_up: resign",
        when: |node| node.text() == Some("resign"),
    },
];

/// What is refused, for the reference.
#[cfg(test)]
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    OF_FILE.iter().chain(OF_SERVICE).map(|refused| refused.name)
}

/// Anything but nothing and an empty list or mapping.
fn is_given(node: &Node) -> bool {
    match &node.kind {
        Kind::Scalar(_) => !node.is_null(),
        Kind::Sequence(items) => !items.is_empty(),
        Kind::Mapping(entries) => !entries.is_empty(),
    }
}

/// Refuses keys of the whole file.
pub(super) fn check_file(root: &Node, problems: &mut Problems) {
    check(root, OF_FILE, problems);
}

/// Refuses keys of a service, or of the defaults.
pub(super) fn check_service(service: &Node, problems: &mut Problems) {
    check(service, OF_SERVICE, problems);
}

fn check(node: &Node, table: &[Refused], problems: &mut Problems) {
    for Refused { path, name, when } in table {
        let (parent, key) = match path.rsplit_once('.') {
            Some((parent, key)) => (node.find(parent), key),
            None => (Some(node), *path),
        };
        let Some(entry) = parent.and_then(|parent| parent.entry(key)) else { continue };
        if when(&entry.value) {
            problems.error(Problem::at(entry.key_span, format!("\"{name}\" is not available yet")));
        }
    }
}
