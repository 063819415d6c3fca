//! The table of what is loaded: who asks finds here whom.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use kennel_wasm::model::Kind;
use kennel_wasm::{Binding, Plugin, Problem};

use super::uses::{Asker, Use, Wanted};
use crate::config::PluginConfig;

/// What there is.
#[derive(Clone, Default)]
pub(super) struct Table {
    pub(super) plugins: BTreeMap<Arc<str>, Arc<Entry>>,
    pub(super) uses: HashMap<Asker, Arc<Bound>>,
}

/// A plugin that is configured.
pub(super) struct Entry {
    /// As which it is configured; of a plugin that was to be replaced and was not, still
    /// the old one.
    pub(super) config: PluginConfig,
    /// Which load this is: a slow one does not overwrite a later one.
    pub(super) load: u64,
    pub(super) stage: Stage,
}

/// Where a plugin is.
pub(super) enum Stage {
    Loading,
    Ready(Ready),
    Failed(Refused),
}

/// A plugin that can be asked.
pub(super) struct Ready {
    pub(super) plugin: Plugin,
    /// Those of its configurations that it accepts.
    pub(super) bindings: BTreeMap<Wanted, Binding>,
    /// Why it was not replaced by what is configured now.
    pub(super) outdated: Option<Refused>,
}

/// Somebody who asks, and whom.
pub(super) struct Bound {
    pub(super) plugin: Arc<str>,
    pub(super) kind: Kind,
    pub(super) is_required: bool,
    pub(super) to: To,
}

/// Whom somebody asks.
pub(super) enum To {
    /// Nobody yet.
    Loading,
    /// This one.
    Binding {
        binding: Binding,
        /// Why this is still the one of an earlier configuration.
        outdated: Option<Refused>,
    },
    /// Nobody, for this reason.
    Nobody(Refused),
}

/// Why a plugin or its configuration was refused.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Refused {
    /// One sentence, or several problems of a configuration in one.
    pub(super) reason: String,
    pub(super) hint: Option<String>,
    /// What the plugin finds wrong with its configuration.
    pub(super) problems: Vec<Problem>,
    /// Whether it is another component than the configuration wants.
    pub(super) is_about_sha256: bool,
}

impl Refused {
    pub(super) fn new(reason: impl Into<String>) -> Refused {
        Refused { reason: reason.into(), hint: None, problems: Vec::new(), is_about_sha256: false }
    }
}

impl Entry {
    pub(super) fn ready(&self) -> Option<&Ready> {
        match &self.stage {
            Stage::Ready(ready) => Some(ready),
            Stage::Loading | Stage::Failed(_) => None,
        }
    }

    /// Whether nothing but the look of the file differs.
    pub(super) fn is_like(&self, config: &PluginConfig) -> bool {
        let PluginConfig { name, source, stamp: _, sha256, grants, limits } = &self.config;
        *name == config.name
            && *source == config.source
            && *sha256 == config.sha256
            && *grants == config.grants
            && *limits == config.limits
    }
}

impl Bound {
    pub(super) fn new(of: &Use, to: To) -> Bound {
        let Use { asker: _, plugin, wanted, is_required, path: _ } = of;
        Bound { plugin: plugin.clone(), kind: wanted.kind, is_required: *is_required, to }
    }

    /// The binding, where there is one.
    pub(super) fn binding(&self) -> Option<&Binding> {
        match &self.to {
            To::Binding { binding, .. } => Some(binding),
            To::Loading | To::Nobody(_) => None,
        }
    }
}

impl Table {
    /// Takes a plugin and those who ask it over, in place of what was known of both.
    pub(super) fn install(&mut self, entry: Arc<Entry>, uses: Vec<(Asker, Arc<Bound>)>) {
        self.plugins.insert(entry.config.name.clone(), entry);
        self.uses.extend(uses);
    }
}
