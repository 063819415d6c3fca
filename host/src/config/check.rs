//! What can only be checked of all services together: names, and the dependency graph.

use std::collections::{HashMap, HashSet};

use kennel_core::spec::{Condition, Kind};
use kennel_core::{Graph, GraphError, GroupSpec};

use super::service::Checked;
use super::source::{Problem, Problems, quoted};
use super::suggest;

/// Checks that dependencies lead to services, and never back.
pub(super) fn graph(services: &[Checked], problems: &mut Problems) {
    let index: HashMap<&str, usize> =
        services.iter().enumerate().map(|(at, s)| (&*s.config.spec.name, at)).collect();
    // The edges that make sense: dependent to dependency, by index.
    let mut edges: Vec<Vec<(usize, usize)>> = Vec::with_capacity(services.len());
    for (at, Checked { config, dependency_spans, .. }) in services.iter().enumerate() {
        let spec = &config.spec;
        let mut own = Vec::new();
        for (nth, (edge, span)) in spec.depends_on.iter().zip(dependency_spans).enumerate() {
            match index.get(&*edge.service) {
                None => {
                    let message = format!(
                        "service {} depends on {}, which does not exist",
                        quoted(&spec.name),
                        quoted(&edge.service)
                    );
                    let others = index.keys().copied().filter(|name| *name != &*spec.name);
                    let hint = suggest::did_you_mean(&edge.service, others);
                    problems.error(Problem::at(*span, message).maybe_hint(hint));
                }
                Some(target) if *target == at => {
                    let message = format!("service {} depends on itself", quoted(&spec.name));
                    problems.error(Problem::at(*span, message).hint("take it out"));
                }
                Some(target) => {
                    let kind = services[*target].config.spec.kind;
                    if edge.condition == Condition::Done && kind == Kind::Daemon {
                        let message = format!(
                            "service {} waits for {} to be done, but that is a daemon",
                            quoted(&spec.name),
                            quoted(&edge.service)
                        );
                        let hint = "write ready, or make it type: oneshot";
                        problems.warn(Problem::at(*span, message).hint(hint));
                    }
                    own.push((*target, nth));
                }
            }
        }
        edges.push(own);
    }
    cycles(services, edges, problems);
}

/// Puts the services into the form that the core takes. What `graph` does not look for,
/// because it has no place in a file, is found here.
pub(super) fn assemble(
    services: &[Checked],
    groups: Vec<GroupSpec>,
    problems: &mut Problems,
) -> Option<Graph> {
    if problems.has_errors() {
        return None;
    }
    let specs = services.iter().map(|service| service.config.spec.clone()).collect();
    match Graph::grouped(specs, groups) {
        Ok(graph) => Some(graph),
        Err(error) => {
            let span = match &error {
                GraphError::TooDeep(name) => services
                    .iter()
                    .find(|service| service.config.spec.name == *name)
                    .and_then(|service| service.dependency_spans.first().copied()),
                GraphError::DuplicateName(_)
                | GraphError::DuplicateGroup(_)
                | GraphError::UnknownMember { .. }
                | GraphError::TwoGroups(_)
                | GraphError::NoReplicas(_)
                | GraphError::UnknownDependency { .. }
                | GraphError::Cycle(_) => None,
            };
            problems.error(match span {
                Some(span) => Problem::at(span, error.to_string()),
                None => Problem::nowhere(error.to_string()),
            });
            None
        }
    }
}

/// Instances of a service with replicas have log files named `web.0.log`, as would a
/// service that is named `web.0`.
pub(super) fn log_files(services: &[Checked], problems: &mut Problems) {
    let names: HashSet<&str> = services.iter().map(|s| &*s.config.spec.name).collect();
    for service in services.iter().filter(|service| service.config.spec.replicas > 1) {
        let spec = &service.config.spec;
        for index in 0..spec.replicas {
            let taken = format!("{}.{index}", spec.name);
            if names.contains(&*taken) {
                let message = format!(
                    "service {} has the log file of instance \"{}/{index}\"",
                    quoted(&taken),
                    spec.name
                );
                problems.error(Problem::at(service.span, message).hint("give one another name"));
            }
        }
    }
}

/// Finds cycles without recursion: a chain of services may be long.
///
/// Services whose dependencies are all on no cycle are taken away until none is left;
/// from each of the others a way along dependencies runs into a cycle.
fn cycles(services: &[Checked], edges: Vec<Vec<(usize, usize)>>, problems: &mut Problems) {
    let mut dependents: Vec<Vec<usize>> = vec![Vec::new(); services.len()];
    for (from, own) in edges.iter().enumerate() {
        for (to, _) in own {
            dependents[*to].push(from);
        }
    }
    let mut open: Vec<usize> = edges.iter().map(Vec::len).collect();
    let mut left: HashSet<usize> = (0..services.len()).collect();
    let mut free: Vec<usize> = (0..services.len()).filter(|at| open[*at] == 0).collect();
    loop {
        while let Some(at) = free.pop() {
            if !left.remove(&at) {
                continue;
            }
            for dependent in &dependents[at] {
                open[*dependent] -= 1;
                if open[*dependent] == 0 {
                    free.push(*dependent);
                }
            }
        }
        let Some(start) = left.iter().copied().min() else { return };
        let cycle = walk(start, &edges, &left);
        report(services, &cycle, problems);
        // With its services gone, further cycles are found.
        free.extend(cycle.iter().map(|(at, _)| *at));
    }
}

/// The cycle that the way from `start` runs into: each service with the number of its
/// dependency that leads on.
fn walk(start: usize, edges: &[Vec<(usize, usize)>], left: &HashSet<usize>) -> Vec<(usize, usize)> {
    let mut way: Vec<(usize, usize)> = Vec::new();
    let mut position: HashMap<usize, usize> = HashMap::new();
    let mut at = start;
    loop {
        if let Some(first) = position.get(&at) {
            let mut cycle = way.split_off(*first);
            let smallest = cycle.iter().enumerate().min_by_key(|(_, (at, _))| *at);
            let turn = smallest.map_or(0, |(turn, _)| turn);
            cycle.rotate_left(turn);
            return cycle;
        }
        let onward = edges[at].iter().find(|(to, _)| left.contains(to));
        let Some((to, nth)) = onward else { return way };
        position.insert(at, way.len());
        way.push((at, *nth));
        at = *to;
    }
}

fn report(services: &[Checked], cycle: &[(usize, usize)], problems: &mut Problems) {
    const SHOWN: usize = 10;
    let Some((first, nth)) = cycle.first() else { return };
    let name = |at: usize| &*services[at].config.spec.name;
    let mut names: Vec<&str> = cycle.iter().map(|(at, _)| name(*at)).collect();
    if names.len() > SHOWN {
        names.splice(SHOWN - 1..names.len() - 1, ["…"]);
    }
    names.push(name(*first));
    let message = format!("dependency cycle: {}", names.join(" → "));
    let hint = "each waits for the next; take one of these dependencies out";
    let span = services[*first].dependency_spans[*nth];
    problems.error(Problem::at(span, message).hint(hint));
}
