//! Who uses which plugin for what: taken from a configuration, and the names by which the
//! driver asks.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use kennel_wasm::model::Kind;

use super::question::Slot;
use crate::checks::CheckKind;
use crate::config::{Config, PluginUse, ReadyWhen, ServiceConfig};
use crate::state::Key;

/// Who asks a plugin.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub(crate) enum Asker {
    /// A service.
    Service(Arc<str>, Slot),
    /// The sink of this name.
    Sink(Arc<str>),
}

impl fmt::Display for Asker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Asker::Service(service, Slot::Ready) => write!(f, "{service} ready"),
            Asker::Service(service, Slot::Health(name)) => write!(f, "{service} health {name}"),
            Asker::Service(service, Slot::Policy) => write!(f, "{service} restart.policy_plugin"),
            Asker::Sink(name) => write!(f, "sink {name}"),
        }
    }
}

/// A plugin with a configuration of its own.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Wanted {
    pub(super) kind: Kind,
    /// JSON. May hold secrets.
    pub(super) config: Arc<str>,
}

/// One use of a plugin.
#[derive(Clone)]
pub(super) struct Use {
    pub(super) asker: Asker,
    pub(super) plugin: Arc<str>,
    pub(super) wanted: Wanted,
    pub(super) is_required: bool,
    /// Where it stands in the configuration, dotted.
    pub(super) path: String,
}

/// Every use in a configuration, in its order.
pub(super) fn uses(config: &Config) -> Vec<Use> {
    let mut uses = Vec::new();
    for service in &config.services {
        of_service(service, &mut uses);
    }
    // What is code of the program asks no plugin.
    let sinks = config.sinks.iter().enumerate().filter(|(_, sink)| sink.own.is_none());
    for (index, sink) in sinks {
        let asker = Asker::Sink(sink.name.clone());
        uses.push(one(asker, Kind::EventSink, &sink.plugin, format!("sinks[{index}]")));
    }
    uses
}

fn of_service(service: &ServiceConfig, uses: &mut Vec<Use>) {
    let name = &service.spec.name;
    let asker = |slot| Asker::Service(name.clone(), slot);
    match &service.ready {
        ReadyWhen::Passes(CheckKind::Plugin(with)) => {
            let path = format!("services.{name}.ready");
            uses.push(one(asker(Slot::Ready), Kind::HealthCheck, with, path));
        }
        ReadyWhen::Passes(_) | ReadyWhen::Running | ReadyWhen::Logs(_) | ReadyWhen::Notifies(_) => {
        }
    }
    for (index, (spec, kind)) in service.spec.health.iter().zip(&service.health).enumerate() {
        if let CheckKind::Plugin(with) = kind {
            let path = format!("services.{name}.health[{index}]");
            uses.push(one(asker(Slot::Health(spec.name.clone())), Kind::HealthCheck, with, path));
        }
    }
    if let Some(with) = &service.policy_plugin {
        let path = format!("services.{name}.restart.policy_plugin");
        uses.push(one(asker(Slot::Policy), Kind::RestartPolicy, with, path));
    }
}

fn one(asker: Asker, kind: Kind, with: &PluginUse, path: String) -> Use {
    let PluginUse { plugin, config, required } = with;
    let wanted = Wanted { kind, config: config.to_string().into() };
    Use { asker, plugin: plugin.clone(), wanted, is_required: *required, path }
}

/// The instances that plugins are asked about in a configuration: what they remember of
/// others is of no more use.
pub(super) struct Askers {
    by_slot: HashMap<(Arc<str>, Arc<str>), Asks>,
}

/// Which plugin is asked about how many instances.
struct Asks {
    plugin: Arc<str>,
    replicas: u32,
}

impl Askers {
    pub(super) fn of(config: &Config) -> Askers {
        let replicas: HashMap<&str, u32> =
            config.services.iter().map(|s| (&*s.spec.name, s.spec.replicas)).collect();
        let by_slot = uses(config).into_iter().filter_map(|of| match of.asker {
            Asker::Service(service, slot) => {
                let replicas = replicas.get(&*service).copied().unwrap_or(0);
                Some(((service, slot.word()), Asks { plugin: of.plugin, replicas }))
            }
            Asker::Sink(_) => None,
        });
        Askers { by_slot: by_slot.collect() }
    }

    /// Whether what is remembered under `key` is still asked for.
    pub(super) fn has(&self, key: &Key) -> bool {
        let place = (key.service.clone(), key.slot.clone());
        self.by_slot
            .get(&place)
            .is_some_and(|asks| key.plugin == asks.plugin && key.instance < asks.replicas)
    }
}
