//! Another configuration: everything is tried beside what is in use, then all of it takes
//! its place at once.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use super::fact::{PluginFact, Then};
use super::load::{Before, Load};
use super::manager::{Plugins, by_plugin};
use super::table::Table;
use super::uses::{Asker, uses};
use crate::config::Config;
use crate::state::Key;

/// Plugins that are ready to take the place of those in use.
pub(crate) struct Prepared {
    table: Table,
    facts: Vec<PluginFact>,
    /// Who may ask how many instances: all others are forgotten.
    askers: HashMap<Asker, (Arc<str>, u32)>,
}

impl Prepared {
    /// What was refused, each in one sentence.
    pub(crate) fn refusals(&self) -> Vec<String> {
        let refused = self.facts.iter().filter(|fact| match fact {
            PluginFact::Rejected { .. } => true,
            PluginFact::Loaded { .. }
            | PluginFact::Faulted { .. }
            | PluginFact::Disabled { .. }
            | PluginFact::Enabled { .. }
            | PluginFact::Denied { .. }
            | PluginFact::StateDamaged { .. }
            | PluginFact::StateStalled { .. }
            | PluginFact::StateResumed => false,
        });
        refused.map(PluginFact::message).collect()
    }

    /// Whether every plugin and configuration was taken.
    pub(crate) fn is_complete(&self) -> bool {
        self.facts.iter().all(|fact| !matches!(fact, PluginFact::Rejected { then: Then::Without | Then::OldGoesOn, .. }))
    }
}

impl Plugins {
    /// Loads, configures and tries what `config` wants, beside what is in use, which goes
    /// on. What is refused stays as it is.
    pub(crate) fn prepare(
        &self,
        config: &Config,
    ) -> impl Future<Output = Prepared> + Send + 'static {
        let shared = Arc::clone(&self.shared);
        let uses = uses(config);
        let askers = askers(config, &uses);
        let mut by_plugin = by_plugin(uses);
        let wanted: Vec<_> = config
            .plugins
            .iter()
            .map(|config| {
                let uses = by_plugin.remove(&config.name).unwrap_or_default();
                (config.clone(), uses)
            })
            .collect();
        async move {
            if !wanted.is_empty() {
                shared.open_memory().await;
            }
            let mut prepared = Prepared { table: Table::default(), facts: Vec::new(), askers };
            let mut loads = Vec::new();
            for (config, uses) in wanted {
                let shared = Arc::clone(&shared);
                loads.push(tokio::spawn(async move {
                    let before = {
                        let table = shared.table();
                        let entry = table.plugins.get(&config.name).cloned();
                        let known = |asker| Some((Asker::clone(asker), table.uses.get(asker)?.clone()));
                        let uses = uses.iter().filter_map(|of| known(&of.asker)).collect();
                        Before { entry, uses }
                    };
                    let number = shared.next_load();
                    Load { shared: &shared, config, uses, before, number }.again().await
                }));
            }
            for load in loads {
                // It fails when the runtime ends, or by a defect that was reported.
                let Ok(outcome) = load.await else { continue };
                prepared.table.install(outcome.entry, outcome.uses);
                prepared.facts.extend(outcome.facts);
            }
            prepared
        }
    }

    /// Asks from now on what was prepared.
    pub(crate) fn swap(&self, prepared: Prepared) {
        let Prepared { table, facts, askers } = prepared;
        let names: HashSet<Arc<str>> = table.plugins.keys().cloned().collect();
        // What is not asked any more ends with its last call, outside of the lock.
        let before = std::mem::replace(&mut *self.shared.table(), table);
        drop(before);
        self.shared.reports.retain(|plugin| names.contains(plugin));
        self.shared.samples.forget(|measurer| !names.contains(&measurer.plugin));
        let kept = kept(&askers);
        self.shared.forget(|key| {
            kept.get(&(key.service.clone(), key.slot.clone()))
                .is_none_or(|(plugin, replicas)| key.plugin != *plugin || key.instance >= *replicas)
        });
        self.shared.is_changed(facts);
    }
}

/// Who asks which plugin about how many instances.
fn askers(config: &Config, uses: &[super::uses::Use]) -> HashMap<Asker, (Arc<str>, u32)> {
    let replicas: BTreeMap<&str, u32> =
        config.services.iter().map(|s| (&*s.spec.name, s.spec.replicas)).collect();
    let asker = |of: &super::uses::Use| {
        let replicas = match &of.asker {
            Asker::Service(service, _) => replicas.get(&**service).copied().unwrap_or(0),
            Asker::Sink(_) => 0,
        };
        (of.asker.clone(), (of.plugin.clone(), replicas))
    };
    uses.iter().map(asker).collect()
}

/// By service and slot, as memories are kept.
fn kept(
    askers: &HashMap<Asker, (Arc<str>, u32)>,
) -> HashMap<(Arc<str>, Arc<str>), (Arc<str>, u32)> {
    let of_services = askers.iter().filter_map(|(asker, about)| match asker {
        Asker::Service(service, slot) => Some(((service.clone(), slot.word()), about.clone())),
        Asker::Sink(_) => None,
    });
    of_services.collect()
}
