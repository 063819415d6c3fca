//! What happens to plugins, for people and programs.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use kennel_core::Human;
use kennel_wasm::model::{Kind, Severity};
use serde_json::{Map, Value, json};

/// Something that happened to a plugin.
#[derive(Clone, PartialEq, Debug)]
pub(crate) enum PluginFact {
    /// It is loaded and can be asked, for the first time or as another one than before.
    Loaded {
        /// The name it is configured under.
        plugin: Arc<str>,
        /// Where it comes from: `stock:redis`, or a path.
        source: String,
        /// The SHA-256 of the component.
        sha256: String,
        /// What it is for.
        kinds: Vec<Kind>,
        /// How long that took.
        took: Duration,
        /// Whether it took the place of another one.
        is_replacement: bool,
    },
    /// It, or its configuration, was refused.
    Rejected {
        /// The name it is configured under.
        plugin: Arc<str>,
        /// Why.
        reason: String,
        /// What follows.
        then: Then,
    },
    /// A call failed.
    Faulted {
        /// The name it is configured under.
        plugin: Arc<str>,
        /// As what it was asked.
        kind: Kind,
        /// The instance that it was asked about; none of a sink.
        service: Option<String>,
        /// The fault in one word: `trap`, `deadline`, `cpu`, `memory`, `bad-answer`.
        word: &'static str,
        /// The fault in a sentence.
        reason: String,
        /// How many more of that word were not told since the last one.
        untold: u64,
    },
    /// It failed too often and is not asked for a while.
    Disabled {
        /// The name it is configured under.
        plugin: Arc<str>,
        /// As what it was asked.
        kind: Kind,
        /// For how long.
        pause: Duration,
        /// Its last fault.
        reason: String,
        /// How many more of its configurations were not told since the last one.
        untold: u64,
    },
    /// It answers again.
    Enabled {
        /// The name it is configured under.
        plugin: Arc<str>,
        /// As what it was asked.
        kind: Kind,
        /// How many more were not told since the last one.
        untold: u64,
    },
    /// It asked for what was not granted.
    Denied {
        /// The name it is configured under.
        plugin: Arc<str>,
        /// The instance that it was asked about; none of a sink.
        service: Option<String>,
        /// What would have allowed it.
        grant: String,
        /// How many more were not told since the last one.
        untold: u64,
    },
    /// What plugins remember was damaged on disk.
    StateDamaged {
        /// Where the damaged file is now.
        aside: PathBuf,
        /// What is wrong with it.
        reason: String,
        /// How many memories could still be read.
        saved: usize,
    },
    /// What plugins remember cannot be written, or not be read; it is kept in memory.
    StateStalled {
        /// Why.
        error: String,
    },
    /// What plugins remember is written again.
    StateResumed,
}

/// What follows when a plugin or its configuration was refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Then {
    /// What was there before goes on.
    OldGoesOn,
    /// There is none: checks by it are unknown, the built-in policy decides, events stay
    /// in the journal.
    Without,
}

impl PluginFact {
    /// The kind of the event.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            PluginFact::Loaded { .. } => "plugin.loaded",
            PluginFact::Rejected { .. } => "plugin.rejected",
            PluginFact::Faulted { .. } => "plugin.fault",
            PluginFact::Disabled { .. } => "plugin.disabled",
            PluginFact::Enabled { .. } => "plugin.enabled",
            PluginFact::Denied { .. } => "plugin.denied",
            PluginFact::StateDamaged { .. } => "plugin.state_damaged",
            PluginFact::StateStalled { .. } => "plugin.state_stalled",
            PluginFact::StateResumed => "plugin.state_resumed",
        }
    }

    /// How much it matters.
    pub(crate) fn severity(&self) -> Severity {
        match self {
            PluginFact::Loaded { .. } | PluginFact::Enabled { .. } | PluginFact::StateResumed => {
                Severity::Info
            }
            PluginFact::Rejected { then: Then::OldGoesOn, .. }
            | PluginFact::Faulted { .. }
            | PluginFact::Disabled { .. }
            | PluginFact::Denied { .. }
            | PluginFact::StateDamaged { .. }
            | PluginFact::StateStalled { .. } => Severity::Warn,
            PluginFact::Rejected { then: Then::Without, .. } => Severity::Error,
        }
    }

    /// The instance that it concerns, where it is one.
    pub(crate) fn service(&self) -> Option<&str> {
        match self {
            PluginFact::Faulted { service, .. } | PluginFact::Denied { service, .. } => {
                service.as_deref()
            }
            PluginFact::Loaded { .. }
            | PluginFact::Rejected { .. }
            | PluginFact::Disabled { .. }
            | PluginFact::Enabled { .. }
            | PluginFact::StateDamaged { .. }
            | PluginFact::StateStalled { .. }
            | PluginFact::StateResumed => None,
        }
    }

    /// One sentence.
    pub(crate) fn message(&self) -> String {
        match self {
            PluginFact::Loaded { plugin, kinds, took, is_replacement, .. } => {
                let kinds: Vec<String> = kinds.iter().map(ToString::to_string).collect();
                let again = if *is_replacement { " and replaced the one before" } else { "" };
                let took = Human(*took);
                format!("plugin {plugin} ({}) was loaded in {took}{again}", kinds.join(", "))
            }
            PluginFact::Rejected { plugin, reason, then } => {
                let then = match then {
                    Then::OldGoesOn => "; the one before goes on",
                    Then::Without => "",
                };
                format!("plugin {plugin} was refused: {reason}{then}")
            }
            PluginFact::Faulted { plugin, reason, untold, .. } => {
                format!("plugin {plugin}: {reason}{}", more(*untold))
            }
            PluginFact::Disabled { plugin, pause, reason, untold, .. } => {
                let (pause, more) = (Human(*pause), more(*untold));
                format!("plugin {plugin} failed repeatedly and rests for {pause}: {reason}{more}")
            }
            PluginFact::Enabled { plugin, untold, .. } => {
                format!("plugin {plugin} answers again{}", more(*untold))
            }
            PluginFact::Denied { plugin, grant, untold, .. } => {
                format!("plugin {plugin} was denied what it asked for: {grant}{}", more(*untold))
            }
            PluginFact::StateDamaged { aside, reason, saved } => format!(
                "what plugins remember was damaged ({reason}) and moved to \"{}\"; {saved} \
                 memories could be read",
                aside.display()
            ),
            PluginFact::StateStalled { error } => {
                format!("what plugins remember is kept in memory only: {error}")
            }
            PluginFact::StateResumed => {
                "what plugins remember is written again, nothing was lost".to_owned()
            }
        }
    }

    /// Facts for programs.
    pub(crate) fn attributes(&self) -> Map<String, Value> {
        let value = match self {
            PluginFact::Loaded { plugin, source, sha256, kinds, took, is_replacement } => json!({
                "plugin": &**plugin,
                "source": source,
                "sha256": sha256,
                "kinds": kinds.iter().map(|kind| kind.name()).collect::<Vec<_>>(),
                "took_ms": millis(*took),
                "replaced": is_replacement,
            }),
            PluginFact::Rejected { plugin, reason, then } => json!({
                "plugin": &**plugin,
                "reason": reason,
                "old_goes_on": *then == Then::OldGoesOn,
            }),
            PluginFact::Faulted { plugin, kind, service: _, word, reason, untold } => json!({
                "plugin": &**plugin,
                "kind": kind.name(),
                "fault": word,
                "reason": reason,
                "untold": untold,
            }),
            PluginFact::Disabled { plugin, kind, pause, reason, untold } => json!({
                "plugin": &**plugin,
                "kind": kind.name(),
                "pause_ms": millis(*pause),
                "reason": reason,
                "untold": untold,
            }),
            PluginFact::Enabled { plugin, kind, untold } => {
                json!({ "plugin": &**plugin, "kind": kind.name(), "untold": untold })
            }
            PluginFact::Denied { plugin, service: _, grant, untold } => {
                json!({ "plugin": &**plugin, "grant": grant, "untold": untold })
            }
            PluginFact::StateDamaged { aside, reason, saved } => json!({
                "moved_to": aside.display().to_string(),
                "reason": reason,
                "saved": saved,
            }),
            PluginFact::StateStalled { error } => json!({ "error": error }),
            PluginFact::StateResumed => json!({}),
        };
        match value {
            Value::Object(map) => map,
            Value::Null
            | Value::Bool(_)
            | Value::Number(_)
            | Value::String(_)
            | Value::Array(_) => Map::new(),
        }
    }
}

fn more(untold: u64) -> String {
    match untold {
        0 => String::new(),
        untold => format!(" ({untold} more like this were not told)"),
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
