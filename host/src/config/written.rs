//! Services and settings that a program describes by itself, as trees like those of files.
//!
//! They go the same way as what stands in a file, so the same is checked and the same is
//! said of it. Each service is shown like a file of its own, a line for each of its keys:
//!
//! ```text
//! service web:2:3: "command" names no program
//!    2 |   command: []
//!      |   ^^^^^^^
//! ```
//!
//! Deliberately absent: variables. What a program says is meant as it is.

use std::collections::HashSet;
use std::path::PathBuf;

use kennel_core::{GroupSpec, Member};
use serde_json::{Map, Value};

use super::source::{FileId, Problem, Problems, Sources, Span, quoted};
use super::supervisor::is_valid_name;
use super::tree::{Entry, Kind, Node, Scalar, Style};
use crate::own::{OwnCheck, OwnPolicy, OwnSink};
use crate::task::TaskBody;

/// What a program describes beside the configuration file, or instead of one.
#[derive(Clone, PartialEq, Default, Debug)]
pub(crate) struct Written {
    /// The directory that relative paths start from; absolute.
    pub(crate) directory: PathBuf,
    /// Keys under `kennel`; they stand over those of the file.
    pub(crate) settings: Map<String, Value>,
    /// The services.
    pub(crate) services: Vec<Definition>,
    /// Groups of them; who is no service any more is none of a group either.
    pub(crate) groups: Vec<GroupSpec>,
    /// Sinks beside those of the file.
    pub(crate) sinks: Vec<WrittenSink>,
}

/// A sink that is code of the program.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct WrittenSink {
    /// Its name; whether it can be one is checked with all else.
    pub(crate) name: String,
    /// Kinds of events; none: all.
    pub(crate) events: Option<Vec<String>>,
    /// What takes them.
    pub(crate) sink: OwnSink,
}

/// A service that a program describes.
#[derive(Clone, PartialEq, Debug)]
pub struct Definition {
    /// Its name; whether it can be one is checked with all else.
    pub(crate) name: String,
    /// The keys that it could have in a file.
    pub(crate) keys: Map<String, Value>,
    /// What runs instead of a process.
    pub(crate) task: Option<TaskBody>,
    /// Code that its keys stand for.
    pub(crate) own: Own,
}

impl Definition {
    /// The same as a member of a group, which has a restart limit only where it is given one:
    /// the intensity of the group holds.
    pub(crate) fn of_a_group(mut self) -> Definition {
        let restart = self.keys.entry("restart").or_insert_with(|| Map::new().into());
        if let Value::Object(restart) = restart {
            restart.entry("limit").or_insert_with(|| "none".into());
        }
        self
    }
}

/// Code of the program that a service has.
#[derive(Clone, PartialEq, Default, Debug)]
pub(crate) struct Own {
    /// What its checks look at that name one of these as their plugin.
    pub(crate) checks: Vec<OwnCheck>,
    /// What is asked instead of a policy plugin.
    pub(crate) policy: Option<OwnPolicy>,
}

impl Written {
    /// The mapping of the main file, for a program that has none.
    pub(super) fn root(&self, sources: &mut Sources) -> Node {
        let keys = Map::from_iter([("kennel".to_owned(), Value::Object(self.settings.clone()))]);
        let place = self.directory.clone();
        let mut root = tree("the program".into(), "", &keys, place, sources).value;
        let sinks: Vec<Node> = self.sinks.iter().map(|sink| self.sink(sink, sources)).collect();
        if let (Some(first), Kind::Mapping(entries)) = (sinks.first(), &mut root.kind) {
            let at = first.span;
            let value = Node { span: at, kind: Kind::Sequence(sinks) };
            entries.push(Entry { key: "sinks".to_owned(), key_span: at, value });
        }
        root
    }

    /// The item that it would be under `sinks`.
    fn sink(&self, sink: &WrittenSink, sources: &mut Sources) -> Node {
        let name = format!("sink {}", sink.name);
        tree(name, &sink.name, &sink.keys(), self.directory.clone(), sources).value
    }

    /// The groups, with what is wrong with their names.
    pub(super) fn groups(&self, problems: &mut Problems) -> Vec<GroupSpec> {
        let services: HashSet<&str> =
            self.services.iter().map(|service| service.name.as_str()).collect();
        self.groups.iter().map(|group| present(group, &services, problems)).collect()
    }

    /// Puts the settings over those of the file, and the sinks beside them.
    pub(super) fn overlay(&self, root: &mut Node, sources: &mut Sources) {
        if self.settings.is_empty() && self.sinks.is_empty() {
            return;
        }
        let own = self.root(sources);
        let Kind::Mapping(entries) = &mut root.kind else { return };
        if let Some(sinks) = own.entry("sinks") {
            beside(entries, sinks);
        }
        let Some(own) = own.entry("kennel").cloned() else { return };
        match entries.iter_mut().find(|entry| entry.key == "kennel") {
            Some(Entry { value: Node { kind: Kind::Mapping(theirs), .. }, .. }) => {
                theirs.retain(|entry| own.value.entry(&entry.key).is_none());
                theirs.extend(own.value.entries().iter().cloned());
            }
            Some(entry) if entry.value.is_null() => *entry = own,
            // No mapping, which is told of.
            Some(_) => {}
            None => entries.push(own),
        }
    }
}

/// The group with those members that there are.
fn present(group: &GroupSpec, services: &HashSet<&str>, problems: &mut Problems) -> GroupSpec {
    if !is_valid_name(&group.name) {
        let message = format!("{} cannot be the name of a group", quoted(&group.name));
        problems.error(Problem::nowhere(message));
    }
    if group.intensity.within.is_zero() {
        let message = format!(
            "group {} counts failures within no time at all: its intensity wants a window",
            quoted(&group.name)
        );
        problems.error(Problem::nowhere(message));
    }
    let members = group.members.iter().filter_map(|member| match member {
        Member::Service(name) => services.contains(&**name).then(|| member.clone()),
        Member::Group(inner) => Some(Member::Group(present(inner, services, problems))),
    });
    GroupSpec { members: members.collect(), ..group.clone() }
}

/// Puts the items of a list beside those that there are.
fn beside(entries: &mut Vec<Entry>, own: &Entry) {
    let Kind::Sequence(items) = &own.value.kind else { return };
    match entries.iter_mut().find(|entry| entry.key == own.key) {
        Some(Entry { value: Node { kind: Kind::Sequence(theirs), .. }, .. }) => {
            theirs.extend(items.iter().cloned());
        }
        Some(entry) if entry.value.is_null() => *entry = own.clone(),
        // No list, which is told of.
        Some(_) => {}
        None => entries.push(own.clone()),
    }
}

impl WrittenSink {
    /// The keys that it would have in a file, were it a plugin of its name.
    fn keys(&self) -> Map<String, Value> {
        let WrittenSink { name, events, sink: _ } = self;
        let name = |key: &str| (key.to_owned(), Value::from(name.as_str()));
        let mut keys = Map::from_iter([name("name"), name("plugin")]);
        keys.extend(events.clone().map(|events| ("events".to_owned(), events.into())));
        keys
    }
}

impl Definition {
    /// The entry that it would be under `services`.
    pub(super) fn entry(&self, directory: PathBuf, sources: &mut Sources) -> Entry {
        let name = format!("service {}", self.name);
        tree(name, &self.name, &self.keys, directory, sources)
    }
}

/// A mapping of `keys`, shown as a file of this name in which each has a line.
fn tree(
    shown: String,
    title: &str,
    keys: &Map<String, Value>,
    directory: PathBuf,
    sources: &mut Sources,
) -> Entry {
    let mut text = format!("{title}:\n");
    for (key, value) in keys {
        text.push_str(&format!("  {key}: {value}\n"));
    }
    let file = sources.add(PathBuf::from(shown), directory, text);
    let whole = span(file, 1, 1, title);
    let entries = keys.iter().zip(2..).map(|((key, value), line)| {
        let at = span(file, line, 3, key);
        Entry { key: key.clone(), key_span: at, value: node(value, at) }
    });
    let value = Node { span: whole, kind: Kind::Mapping(entries.collect()) };
    Entry { key: title.to_owned(), key_span: whole, value }
}

fn span(file: FileId, line: u32, column: u32, word: &str) -> Span {
    Span { file, line, column, len: u32::try_from(word.chars().count()).unwrap_or(u32::MAX) }
}

fn node(value: &Value, span: Span) -> Node {
    let scalar = |text: String, style| Kind::Scalar(Scalar { text, style });
    let kind = match value {
        Value::Null => scalar("null".to_owned(), Style::Plain),
        Value::Bool(_) | Value::Number(_) => scalar(value.to_string(), Style::Plain),
        Value::String(text) => scalar(text.clone(), Style::Quoted),
        Value::Array(items) => Kind::Sequence(items.iter().map(|item| node(item, span)).collect()),
        Value::Object(map) => Kind::Mapping(
            map.iter()
                .map(|(key, value)| Entry {
                    key: key.clone(),
                    key_span: span,
                    value: node(value, span),
                })
                .collect(),
        ),
    };
    Node { span, kind }
}
