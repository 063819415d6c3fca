//! Whether the plugins of a configuration would work: `kennel check`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use kennel_wasm::Traps;
use kennel_wasm::grants::Denied;

use super::Invalid;
use super::load::{Before, Load};
use super::manager::{Plugins, Shared, by_plugin};
use super::table::{Refused, Stage, To};
use super::uses::{Asker, Use, uses};
use crate::config::{Config, PluginConfig};

/// Loads every plugin, has it look at each of its configurations and asks it once, which tells
/// whether the first thing it wants is granted; what it wants is not done. Nothing is kept but
/// what was compiled, where there is a place for that already.
pub(crate) async fn validate(config: &Config, traps: Traps) -> Vec<Invalid> {
    if config.plugins.is_empty() {
        return Vec::new();
    }
    let plugins = Plugins::for_validation(config.supervisor.state_dir.clone(), traps);
    let mut by_plugin = by_plugin(uses(config));
    let mut invalid = Vec::new();
    for config in &config.plugins {
        let uses = by_plugin.remove(&config.name).unwrap_or_default();
        invalid.extend(one(&plugins.shared, config, uses).await);
    }
    invalid
}

async fn one(shared: &Arc<Shared>, config: &PluginConfig, uses: Vec<Use>) -> Vec<Invalid> {
    let load = Load {
        shared,
        config: config.clone(),
        uses: uses.clone(),
        before: Before::default(),
        number: 0,
    };
    let outcome = load.first().await;
    if let Stage::Failed(refused) = &outcome.entry.stage {
        return vec![of_plugin(config, refused)];
    }
    let bound: BTreeMap<&Asker, _> = outcome.uses.iter().map(|(who, to)| (who, to)).collect();
    let mut told = BTreeSet::new();
    let mut invalid = Vec::new();
    for of in &uses {
        match bound.get(&of.asker).map(|bound| &bound.to) {
            // The same of many services is one thing to correct.
            Some(To::Nobody(refused)) if told.insert(&of.wanted) => {
                invalid.extend(of_use(of, refused));
            }
            Some(To::Binding { binding, outdated: _ }) if told.insert(&of.wanted) => {
                let Some(rehearsal) = &shared.rehearsal else { continue };
                let missing = rehearsal.of(shared, config.limits.time, of, binding).await;
                invalid.extend(missing.map(|denied| of_grant(of, &denied)));
            }
            Some(To::Nobody(_) | To::Loading | To::Binding { .. }) | None => {}
        }
    }
    invalid
}

fn of_plugin(config: &PluginConfig, refused: &Refused) -> Invalid {
    let PluginConfig { name, .. } = config;
    let key = if refused.is_about_sha256 { "sha256" } else { "source" };
    Invalid {
        path: format!("plugins.{name}.{key}"),
        message: format!("cannot load plugin \"{name}\": {}", refused.reason),
        hint: refused.hint.clone(),
    }
}

/// Every problem of a configuration at its own place.
fn of_use(of: &Use, refused: &Refused) -> Vec<Invalid> {
    let Use { asker: _, plugin, wanted: _, is_required: _, path } = of;
    if refused.problems.is_empty() {
        return vec![Invalid {
            path: format!("{path}.plugin"),
            message: format!("cannot use plugin \"{plugin}\" here: {}", refused.reason),
            hint: refused.hint.clone(),
        }];
    }
    let each = refused.problems.iter().map(|problem| Invalid {
        path: match &*problem.path {
            "" => format!("{path}.config"),
            inner if inner.starts_with('[') => format!("{path}.config{inner}"),
            inner => format!("{path}.config.{inner}"),
        },
        message: format!("plugin \"{plugin}\" refuses its configuration: {problem}"),
        hint: None,
    });
    each.collect()
}

/// The first thing it would ask for is not granted.
fn of_grant(of: &Use, denied: &Denied) -> Invalid {
    let Use { asker: _, plugin, wanted: _, is_required: _, path } = of;
    let Denied { grant } = denied;
    Invalid {
        path: format!("{path}.plugin"),
        message: format!("plugin \"{plugin}\" asks for what it is not granted"),
        hint: Some(format!("write into plugins.{plugin}: grants: {{ {grant} }}")),
    }
}

/// The directory of compiled plugins, when it is there already: a look at a configuration
/// makes no directories.
pub(super) fn known_cache(state_dir: &Path) -> Option<std::path::PathBuf> {
    let cache = state_dir.join("plugins/cache");
    cache.is_dir().then_some(cache)
}
