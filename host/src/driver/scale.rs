//! `kennel scale`: another number of instances than the file says.
//!
//! It holds over reloads until the file itself says another number than it did: then
//! somebody has made up their mind, and the file is right.

use std::collections::BTreeMap;
use std::sync::Arc;

use kennel_core::{Graph, Input};

use super::Driver;
use super::waiters::{Goal, Order, resolve};
use crate::config::{Config, REPLICAS_MAX};
use crate::handle::{Verb, VerbError};

/// The services whose number the operator has changed.
#[derive(Default)]
pub(super) struct Scaled {
    services: BTreeMap<Arc<str>, Scale>,
}

#[derive(Clone, Copy)]
struct Scale {
    /// What the file said then.
    written: u32,
    to: u32,
}

impl Scaled {
    /// Puts the numbers into a configuration that was read.
    pub(super) fn hold_in(&self, config: &mut Config) {
        let mut changed = false;
        for service in &mut config.services {
            if let Some(scale) = self.services.get(&service.spec.name)
                && scale.written == service.spec.replicas
            {
                service.spec.replicas = scale.to;
                changed = true;
            }
        }
        if changed {
            renew_graph(config);
        }
    }

    /// The file has the last word on what is not as it was put into `config`.
    pub(super) fn forget(&mut self, config: &Config) {
        self.services.retain(|name, scale| {
            let service = config.services.iter().find(|service| service.spec.name == *name);
            service.is_some_and(|service| service.spec.replicas == scale.to)
        });
    }

    /// What was held when an earlier supervisor ended.
    pub(super) fn restore(&mut self, scaled: Vec<crate::state::Scaled>) {
        for crate::state::Scaled { service, written, to } in scaled {
            self.services.insert(service.into(), Scale { written, to });
        }
    }

    /// What the file said of a service, and what the operator wants.
    pub(super) fn of(&self, service: &str) -> Option<(u32, u32)> {
        self.services.get(service).map(|Scale { written, to }| (*written, *to))
    }

    /// The services whose number the operator has changed.
    pub(super) fn services(&self) -> Vec<Arc<str>> {
        self.services.keys().cloned().collect()
    }

    fn note(&mut self, name: &Arc<str>, from: u32, to: u32) {
        let scale = self.services.entry(name.clone()).or_insert(Scale { written: from, to });
        scale.to = to;
        if scale.written == to {
            self.services.remove(name);
        }
    }
}

impl Driver {
    /// Makes it `to` instances of each service, all of them wanted up.
    pub(super) fn scale(&mut self, to: u32, names: &[String]) -> Result<Order, VerbError> {
        if !(1..=REPLICAS_MAX).contains(&to) {
            return Err(VerbError::Replicas { replicas: to });
        }
        for name in names {
            // An instance has a name of its own and cannot be several.
            let service = self.config.services.iter().find(|service| *service.spec.name == **name);
            if service.is_none() {
                let whole = name.split('/').next().unwrap_or(name);
                resolve(self.core.view(), &[whole.to_owned()])?;
                let near = vec![whole.to_owned()];
                return Err(VerbError::UnknownService { name: name.clone(), near });
            }
        }
        let is_meant = |name: &str| names.iter().any(|named| named == name);
        let mut before = Vec::new();
        for service in self.config.services.iter_mut().filter(|s| is_meant(&s.spec.name)) {
            let from = std::mem::replace(&mut service.spec.replicas, to);
            before.extend(self.core.view().find(&service.spec.name));
            if from != to {
                self.scaled.note(&service.spec.name, from, to);
                self.news.scaled(&service.spec.name, from, to);
            }
        }
        for name in names {
            self.remember_scale(name);
        }
        renew_graph(&mut self.config);
        self.define_services();
        let gone = |view: kennel_core::View<'_>| {
            let leaves = |id: &&kennel_core::InstanceId| {
                view.instance(**id).is_some_and(|instance| instance.index() >= to)
            };
            before.iter().filter(leaves).copied().collect::<Vec<_>>()
        };
        let leaving = gone(self.core.view());
        let order = self.waiters.order(Goal::Gone, &leaving, self.core.view());
        let graph = self.config.graph.clone();
        self.tell_core(Input::Configure { graph, restart: Vec::new() });
        let ids = resolve(self.core.view(), names)?;
        let order =
            order.and(self.waiters.order(Goal::Of(Verb::Scale(to)), &ids, self.core.view()));
        self.tell_core(Input::Start(ids));
        Ok(order)
    }
}

/// After a change of `config.services` that leaves names and dependencies as they are.
fn renew_graph(config: &mut Config) {
    let specs = config.services.iter().map(|service| service.spec.clone()).collect();
    match Graph::grouped(specs, config.graph.groups().to_vec()) {
        Ok(graph) => config.graph = graph,
        Err(error) => tracing::error!("cannot change the number of instances: {error}"),
    }
}
