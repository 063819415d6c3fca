//! Event sinks: which events go to which plugin.

use std::collections::HashMap;
use std::sync::Arc;

use super::checker::Checker;
use super::plugin::{self, PluginUse, RawUse};
use super::raw::RawSink;
use super::source::{Problem, Span, quoted};
use super::suggest;
use super::supervisor::{bad_name, is_valid_name};
use super::tree::{Kind, Node};
use crate::own::OwnSink;

/// Where events go, besides the journal.
#[derive(Clone, PartialEq, Debug)]
pub struct SinkConfig {
    /// Its name, unique among the sinks; the plugin's where none was given. What the sink
    /// was given last is remembered under it.
    pub name: Arc<str>,
    /// The plugin that takes the events.
    pub plugin: PluginUse,
    /// Code of the program that takes them instead.
    pub own: Option<OwnSink>,
    /// Kinds of events as in [`crate::journal::Filter::kinds`], where `*` stands for any
    /// text; empty: all.
    pub events: Vec<String>,
}

/// The first words of the kinds of events that there are.
const AREAS: [&str; 10] = [
    "config",
    "health",
    "journal",
    "logs",
    "plugin",
    "role",
    "service",
    "sink",
    "supervisor",
    "watchdog",
];

/// Checks `sinks`; `root` is the file's.
pub(super) fn check(
    raw: Option<&Vec<RawSink>>,
    root: &Node,
    checker: &mut Checker<'_>,
) -> Vec<SinkConfig> {
    let Some(Kind::Sequence(items)) = root.get("sinks").map(|node| &node.kind) else {
        return Vec::new();
    };
    let mut places: HashMap<String, Span> = HashMap::new();
    let mut sinks = Vec::new();
    // What is no mapping could not be read and was left out.
    let mappings = items.iter().filter(|item| matches!(item.kind, Kind::Mapping(_)));
    for (raw, node) in raw.into_iter().flatten().zip(mappings) {
        let Some(sink) = one(raw, node, checker) else { continue };
        let path = if raw.name.is_some() { "name" } else { "plugin" };
        let span = checker.span(node, path);
        if let Some(first) = places.get(&*sink.name) {
            let message = format!(
                "two sinks have the name {}, the first is at {}",
                quoted(&sink.name),
                checker.sources.name(*first)
            );
            let hint = "give each a \"name\": what it was given last is remembered under it";
            checker.problems.error(Problem::at(span, message).hint(hint));
            continue;
        }
        places.insert(sink.name.to_string(), span);
        sinks.push(sink);
    }
    sinks
}

fn one(raw: &RawSink, node: &Node, checker: &mut Checker<'_>) -> Option<SinkConfig> {
    let RawSink { name, plugin, events, config, required } = raw;
    if plugin.is_none() && node.get("plugin").is_none_or(Node::is_null) {
        let message = "a sink without a \"plugin\"";
        let hint = "name one that stands under \"plugins\"";
        checker.problems.error(Problem::at(node.span, message).hint(hint));
    }
    if let Some(name) = name
        && !is_valid_name(name)
    {
        let span = checker.span(node, "name");
        checker.problems.error(bad_name("a sink", name, span));
        return None;
    }
    let events = patterns(events.as_ref(), node, checker);
    let raw = RawUse { plugin: plugin.as_ref(), config: config.as_ref(), required: *required };
    let own = name.as_ref().and_then(|name| {
        let mut written = checker.written.sinks.iter();
        written.find(|sink| sink.name == *name && Some(name) == plugin.as_ref())
    });
    if let Some(own) = own {
        let name: Arc<str> = Arc::from(own.name.as_str());
        let config = serde_json::json!({});
        let plugin = PluginUse { plugin: name.clone(), config, required: false };
        return Some(SinkConfig { name, plugin, own: Some(own.sink.clone()), events });
    }
    let plugin = plugin::check_use(raw, node, checker)?;
    let name = name.as_ref().map_or_else(|| plugin.plugin.clone(), |name| Arc::from(name.as_str()));
    Some(SinkConfig { name, plugin, own: None, events })
}

fn patterns(raw: Option<&Vec<String>>, node: &Node, checker: &mut Checker<'_>) -> Vec<String> {
    let Some(patterns) = raw else { return Vec::new() };
    let Some(Kind::Sequence(items)) = node.get("events").map(|node| &node.kind) else {
        return Vec::new();
    };
    if items.is_empty() {
        let message = "\"events\" is empty, so nothing is sent".to_owned();
        checker.error(node, "events", message, Some("leave it out for all events"));
    }
    for pattern in patterns {
        let place = items.iter().find(|item| item.text() == Some(pattern));
        let span = place.map_or(node.span, |item| item.span);
        let known = |c: char| c.is_ascii_lowercase() || matches!(c, '.' | '_' | '*');
        if pattern.is_empty() || !pattern.chars().all(known) {
            let message = format!("{} is no kind of event", quoted(pattern));
            let hint =
                "write kinds as kennel events shows them, such as service.failed, or service.*";
            checker.problems.error(Problem::at(span, message).hint(hint));
            continue;
        }
        let area = pattern.split_once('.').map_or(pattern.as_str(), |(area, _)| area);
        if !area.contains('*') && !AREAS.contains(&area) {
            let message = format!("no event is called {}", quoted(pattern));
            let hint = suggest::nearest(area, AREAS).map_or_else(
                || format!("kinds of events begin with {}", suggest::one_of(AREAS)),
                |near| {
                    format!(
                        "did you mean \"{near}.{}\"?",
                        pattern.split_once('.').map_or("*", |(_, rest)| rest)
                    )
                },
            );
            checker.problems.warn(Problem::at(span, message).hint(hint));
        } else if area == pattern && !area.contains('*') {
            let message = format!("no event is called {}", quoted(pattern));
            let hint = format!("write \"{area}.*\" for all of them");
            checker.problems.warn(Problem::at(span, message).hint(hint));
        }
    }
    patterns.clone()
}
