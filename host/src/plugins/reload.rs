//! Another configuration: everything is tried beside what is in use, then all of it takes
//! its place at once.

use std::collections::HashSet;
use std::sync::Arc;

use super::fact::PluginFact;
use super::load::{Before, Load};
use super::manager::{Plugins, by_plugin};
use super::table::Table;
use super::uses::{Asker, Askers, uses};
use crate::config::Config;

/// Plugins that are ready to take the place of those in use.
pub(crate) struct Prepared {
    table: Table,
    facts: Vec<PluginFact>,
    /// What plugins remember for others is forgotten.
    askers: Askers,
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
        let askers = Askers::of(config);
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
                shared.open_saved().await;
            }
            let mut prepared = Prepared { table: Table::default(), facts: Vec::new(), askers };
            let mut loads = Vec::new();
            for (config, uses) in wanted {
                let shared = Arc::clone(&shared);
                loads.push(tokio::spawn(async move {
                    let before = {
                        let table = shared.table();
                        let entry = table.plugins.get(&config.name).cloned();
                        let known =
                            |asker| Some((Asker::clone(asker), table.uses.get(asker)?.clone()));
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
        if names.is_empty() {
            self.shared.end_runtime();
        }
        self.shared.reports.retain(|plugin| names.contains(plugin));
        self.shared.samples.forget(|measurer| !names.contains(&measurer.plugin));
        self.shared.forget(|key| !askers.has(key));
        self.shared.is_changed(facts);
    }
}
