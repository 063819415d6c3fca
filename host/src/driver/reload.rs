//! Reading the configuration again, and changing only what has changed.

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::Arc;

use kennel_core::Input;
use tokio::sync::oneshot;

use super::{Driver, Fact, Source, launch, limits};
use crate::config::{self, Action, Config, ConfigErrors, Plan};
use crate::handle::ReloadError;
use crate::plugins::Prepared;

/// What is done with what came of it.
pub(super) type Reply = Box<dyn FnOnce(&mut Driver, Result<Plan, ReloadError>) + Send>;

/// Configurations that may be read at once. A file system that hangs then holds up these,
/// and never all threads for blocking work.
const READS: usize = 8;

/// The reads under way, and the order of reloads.
#[derive(Default)]
pub(super) struct Reads {
    under_way: usize,
    /// How many there ever were.
    begun: u64,
    /// The youngest whose configuration was taken.
    taken: u64,
    /// Held by each reload until it is over.
    reloads: Arc<()>,
}

impl Reads {
    /// Whether a reload has begun and is not over.
    pub(super) fn is_reloading(&self) -> bool {
        Arc::strong_count(&self.reloads) > 1
    }
}

/// A configuration that was read, and who asked for it.
pub(crate) struct Loaded {
    number: u64,
    purpose: Purpose,
    source: Source,
    result: Result<Config, ConfigErrors>,
    reply: Reply,
    /// Of a reload; lasts as long as it.
    under_way: Option<Arc<()>>,
}

/// What a configuration is read for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Purpose {
    /// To tell what would happen.
    Plan,
    /// To make it so.
    Reload,
    /// To make a change so that the program wants.
    Change,
}

impl Driver {
    /// Reads `file`, or the file this supervisor was started from; the answer comes back
    /// as a fact.
    pub(super) fn read_config(
        &mut self,
        file: Option<PathBuf>,
        purpose: Purpose,
        reply: oneshot::Sender<Result<Plan, ReloadError>>,
    ) {
        let reply: Reply = Box::new(move |_, answer| drop(reply.send(answer)));
        let Some(mut source) = self.source.clone() else {
            return reply(self, Err(ReloadError::NoFile));
        };
        source.file = file.or(source.file);
        if source.file.is_none() {
            return reply(self, Err(ReloadError::NoFile));
        }
        if self.reads.under_way >= READS {
            return reply(self, Err(ReloadError::Busy));
        }
        self.read_source(source, purpose, reply);
    }

    /// Reads all of a configuration; the answer comes back as a fact.
    pub(super) fn read_source(&mut self, source: Source, purpose: Purpose, reply: Reply) {
        if self.is_shutting_down() {
            return reply(self, Err(ReloadError::ShuttingDown));
        }
        self.reads.under_way += 1;
        self.reads.begun += 1;
        let (number, facts) = (self.reads.begun, self.facts.clone());
        let under_way = match purpose {
            Purpose::Plan => None,
            Purpose::Reload | Purpose::Change => Some(self.reads.reloads.clone()),
        };
        tokio::task::spawn_blocking(move || {
            let result = load(&source);
            let loaded = Loaded { number, purpose, source, result, reply, under_way };
            let _ = facts.send(Fact::Loaded(Box::new(loaded)));
        });
    }

    /// What is to be read again: something that it began with is no longer so.
    fn again(&self, number: u64, purpose: Purpose, source: &Source) -> Option<Source> {
        let is_late = number < self.reads.taken;
        match purpose {
            Purpose::Plan => None,
            Purpose::Reload => {
                let own = self.source.as_ref()?;
                let is_other = !Arc::ptr_eq(&own.written, &source.written);
                (is_other && !is_late).then(|| own.clone())
            }
            Purpose::Change => is_late.then(|| source.clone()),
        }
    }

    pub(super) fn take_loaded(&mut self, loaded: Loaded) {
        let Loaded { number, purpose, source, result, reply, under_way } = loaded;
        self.reads.under_way -= 1;
        if self.is_shutting_down() {
            return reply(self, Err(ReloadError::ShuttingDown));
        }
        if let Some(source) = self.again(number, purpose, &source) {
            return self.read_source(source, purpose, reply);
        }
        let answer = match (result, purpose) {
            (Err(errors), Purpose::Plan | Purpose::Change) => Err(ReloadError::Invalid(errors)),
            (Err(errors), Purpose::Reload) => {
                self.news.config_rejected(&source, &errors);
                Err(ReloadError::Invalid(errors))
            }
            (Ok(mut new), Purpose::Plan) => {
                self.scaled.hold_in(&mut new);
                Ok(config::plan(&self.config, &new))
            }
            // Read before what is in force: a later reload was faster.
            (Ok(_), Purpose::Reload) if number < self.reads.taken => Ok(Plan::default()),
            (Ok(new), Purpose::Reload | Purpose::Change) => {
                let result = Ok(new);
                self.prepare_plugins(Loaded { number, purpose, source, result, reply, under_way });
                return;
            }
        };
        reply(self, answer);
    }

    /// Plugins are loaded and tried before anything is changed; without any there is
    /// nothing to wait for.
    fn prepare_plugins(&mut self, loaded: Loaded) {
        let Ok(new) = &loaded.result else { return };
        let preparing = self.plugins.prepare(new);
        if self.config.plugins.is_empty() && new.plugins.is_empty() {
            return self.take_configuration(loaded, None);
        }
        self.reads.under_way += 1;
        let facts = self.facts.clone();
        tokio::spawn(async move {
            let prepared = preparing.await;
            let _ = facts.send(Fact::Prepared(Box::new(loaded), prepared));
        });
    }

    pub(super) fn take_prepared(&mut self, loaded: Loaded, prepared: Prepared) {
        self.reads.under_way -= 1;
        self.take_configuration(loaded, Some(prepared));
    }

    fn take_configuration(&mut self, loaded: Loaded, prepared: Option<Prepared>) {
        let Loaded { number, purpose, source, result, reply, under_way: _over } = loaded;
        if let Some(source) = self.again(number, purpose, &source) {
            return self.read_source(source, purpose, reply);
        }
        let answer = match result {
            Err(errors) => Err(ReloadError::Invalid(errors)),
            Ok(_) if self.is_shutting_down() => Err(ReloadError::ShuttingDown),
            Ok(_) if number < self.reads.taken => Ok(Plan::default()),
            Ok(mut new) => {
                self.reads.taken = number;
                self.scaled.hold_in(&mut new);
                let scaled = self.scaled.services();
                self.scaled.forget(&new);
                scaled.iter().for_each(|service| self.remember_scale(service));
                let mut plan = config::plan(&self.config, &new);
                if let Some(prepared) = prepared {
                    plan.refused = prepared.refusals();
                    self.plugins.swap(prepared);
                }
                self.apply(new, &plan);
                self.news.config_reloaded(&source, &plan);
                if let Some(own) = &mut self.source {
                    own.written = source.written;
                }
                Ok(plan)
            }
        };
        reply(self, answer);
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
        self.sinks.configure(&self.config.sinks);
        self.core.set_limits(limits(&self.config.supervisor));
        let graph = self.config.graph.clone();
        self.tell_core(Input::Configure { graph, restart });
        self.sockets.forget(&configured);
        self.checks.forget(|checked| !configured.contains(&checked.service));
    }

    pub(super) fn define_services(&mut self) {
        for service in &self.config.services {
            self.definitions.insert(service.spec.name.clone(), Arc::new(service.clone()));
        }
    }
}

fn load(source: &Source) -> Result<Config, ConfigErrors> {
    let Source { file, environment, state_dir, socket, written } = source;
    let loaded = config::load_written(file.as_deref(), written, environment)?;
    for warning in &loaded.warnings {
        tracing::warn!("{warning}");
    }
    let mut config = loaded.config;
    if let Some(state_dir) = state_dir {
        config.supervisor.state_dir.clone_from(state_dir);
    }
    if let Some(socket) = socket {
        config.supervisor.socket.clone_from(socket);
    }
    Ok(config)
}
