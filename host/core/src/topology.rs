//! Who depends on whom, instance by instance.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::InstanceId;
use crate::group::Turn;
use crate::instance::{Instance, Membership};
use crate::spec::{Condition, Strength};
use crate::table::Table;

/// The dependency graph of all instances that exist, those on their way out included.
#[derive(Clone, Debug, Default)]
pub(crate) struct Topology {
    /// Dependencies before dependents.
    pub(crate) order: Vec<InstanceId>,
    dependencies: Table<Vec<Edge>>,
    dependents: Table<Vec<Edge>>,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Edge {
    /// The other end.
    pub(crate) to: InstanceId,
    pub(crate) condition: Condition,
    pub(crate) bond: Bond,
}

/// What an edge means to the one that waits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Bond {
    /// [`Strength::Required`].
    Required,
    /// [`Strength::Optional`].
    Optional,
    /// It is optional, and waited for also between two of its runs.
    Ordered,
}

impl From<Strength> for Bond {
    fn from(strength: Strength) -> Bond {
        match strength {
            Strength::Required => Bond::Required,
            Strength::Optional => Bond::Optional,
        }
    }
}

impl Topology {
    /// Nobody depends on what left the configuration before him: a replica on its way
    /// out is nothing to wait for. Since specs that left together fitted together, that
    /// also keeps specs of different configurations from forming a cycle.
    pub(crate) fn new(instances: &Table<Instance>, turns: &[Turn]) -> Topology {
        let mut by_service: BTreeMap<Arc<str>, Vec<&Instance>> = BTreeMap::new();
        for instance in instances.values() {
            by_service.entry(instance.spec.name.clone()).or_default().push(instance);
        }
        let mut topology = Topology::default();
        for instance in instances.values() {
            let edges = topology.dependencies.entry_or_default(instance.id);
            for dependency in &instance.spec.depends_on {
                for &on in by_service.get(&dependency.service).into_iter().flatten() {
                    if on.membership < instance.membership {
                        continue;
                    }
                    let to = on.id;
                    let (condition, bond) = (dependency.condition, dependency.strength.into());
                    edges.push(Edge { to, condition, bond });
                    let back = Edge { to: instance.id, condition, bond };
                    topology.dependents.entry_or_default(to).push(back);
                }
            }
        }
        topology.add_turns(turns, &by_service);
        let mut order = Order { topology: &topology, seen: BTreeMap::new(), order: Vec::new() };
        for instance in instances.values() {
            order.visit(instance.id);
        }
        topology.order = order.order;
        topology
    }

    /// The order of groups holds for what is configured.
    fn add_turns(&mut self, turns: &[Turn], by_service: &BTreeMap<Arc<str>, Vec<&Instance>>) {
        let condition = Condition::Ready;
        let instances = |service: &Arc<str>| {
            let of_service = by_service.get(service).into_iter().flatten();
            of_service.filter(|instance| instance.membership == Membership::Configured)
        };
        for Turn { service, after, bond } in turns {
            for instance in instances(service) {
                for on in instances(after) {
                    let (to, bond) = (on.id, *bond);
                    let edges = self.dependencies.entry_or_default(instance.id);
                    edges.push(Edge { to, condition, bond });
                    let back = Edge { to: instance.id, condition, bond };
                    self.dependents.entry_or_default(to).push(back);
                }
            }
        }
    }

    pub(crate) fn dependencies(&self, id: InstanceId) -> &[Edge] {
        self.dependencies.get(&id).map_or(&[], Vec::as_slice)
    }

    pub(crate) fn dependents(&self, id: InstanceId) -> &[Edge] {
        self.dependents.get(&id).map_or(&[], Vec::as_slice)
    }

    /// Everything that `id` requires, directly or not; without `id`.
    pub(crate) fn required_by(&self, id: InstanceId) -> Vec<InstanceId> {
        let mut found = Vec::new();
        let mut open = vec![id];
        while let Some(next) = open.pop() {
            for edge in self.dependencies(next) {
                if edge.bond == Bond::Required && !found.contains(&edge.to) {
                    found.push(edge.to);
                    open.push(edge.to);
                }
            }
        }
        found
    }
}

struct Order<'a> {
    topology: &'a Topology,
    seen: BTreeMap<InstanceId, ()>,
    order: Vec<InstanceId>,
}

impl Order<'_> {
    /// Cycles cannot occur here, see [`Topology::new`].
    fn visit(&mut self, id: InstanceId) {
        if self.seen.insert(id, ()).is_some() {
            return;
        }
        for edge in self.topology.dependencies(id) {
            self.visit(edge.to);
        }
        self.order.push(id);
    }
}
