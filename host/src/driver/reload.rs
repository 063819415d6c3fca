//! Reading the configuration again, and changing only what has changed.

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::Arc;

use kennel_core::{Course, Input};
use tokio::sync::oneshot;

use super::{Driver, Fact, Source, launch, limits};
use crate::config::{self, Action, Config, ConfigErrors, Plan};
use crate::handle::ReloadError;

type Reply = oneshot::Sender<Result<Plan, ReloadError>>;

/// A configuration that was read, and who asked for it.
pub(crate) struct Loaded {
    purpose: Purpose,
    source: Source,
    result: Result<Config, ConfigErrors>,
    reply: Reply,
}

/// What a configuration is read for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Purpose {
    /// To tell what would happen.
    Plan,
    /// To make it so.
    Reload,
}

impl Driver {
    /// Reads `file`, or the file this supervisor was started from; the answer comes back
    /// as a fact.
    pub(super) fn read_config(&mut self, file: Option<PathBuf>, purpose: Purpose, reply: Reply) {
        if self.core.view().course() == Course::ShuttingDown {
            let _ = reply.send(Err(ReloadError::ShuttingDown));
            return;
        }
        let Some(mut source) = self.source.clone() else {
            let _ = reply.send(Err(ReloadError::NoFile));
            return;
        };
        if let Some(file) = file {
            source.file = file;
        }
        let facts = self.facts.clone();
        tokio::task::spawn_blocking(move || {
            let result = config::load(&source.file, &source.environment).map(|loaded| {
                for warning in &loaded.warnings {
                    tracing::warn!("{warning}");
                }
                loaded.config
            });
            let _ = facts.send(Fact::Loaded(Loaded { purpose, source, result, reply }));
        });
    }

    pub(super) fn take_loaded(&mut self, loaded: Loaded) {
        let Loaded { purpose, source, result, reply } = loaded;
        let answer = match (result, purpose) {
            (Err(errors), Purpose::Plan) => Err(ReloadError::Invalid(errors)),
            (Err(errors), Purpose::Reload) => {
                self.news.config_rejected(&source, &errors);
                Err(ReloadError::Invalid(errors))
            }
            (Ok(new), Purpose::Plan) => Ok(config::plan(&self.config, &new)),
            (Ok(new), Purpose::Reload) => {
                let plan = config::plan(&self.config, &new);
                self.apply(new, &plan);
                self.news.config_reloaded(&source, &plan);
                Ok(plan)
            }
        };
        let _ = reply.send(answer);
    }

    fn apply(&mut self, new: Config, plan: &Plan) {
        let restart = plan
            .changes
            .iter()
            .filter(|change| change.action == Action::Restart)
            .map(|change| Arc::from(change.service.as_str()))
            .collect();
        self.config = new;
        self.define_services();
        // Those whose last run is still on its way down are needed until it has ended.
        let view = self.core.view();
        let used: HashSet<_> = view.instances().map(|i| i.spec().name.clone()).collect();
        let configured: HashSet<_> =
            self.config.services.iter().map(|service| service.spec.name.clone()).collect();
        self.definitions.retain(|name, _| used.contains(name) || configured.contains(name));
        let instances: Vec<_> = self.core.view().instances().collect();
        for instance in instances {
            if let Some(definition) = self.definitions.get(&instance.spec().name) {
                self.capture.update(instance.name(), &launch::log_settings(&definition.logs));
            }
        }
        self.core.set_limits(limits(&self.config.supervisor));
        let graph = self.config.graph.clone();
        self.tell_core(Input::Configure { graph, restart });
    }

    pub(super) fn define_services(&mut self) {
        for service in &self.config.services {
            self.definitions.insert(service.spec.name.clone(), Arc::new(service.clone()));
        }
    }
}
