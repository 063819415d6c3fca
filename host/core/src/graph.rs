//! A set of service specs that was checked as a whole: unique names, known
//! dependencies, no cycle.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use crate::ServiceSpec;
use crate::group::{self, GroupSpec, Turn};

/// Service specs that fit together. The only way to make one is [`Graph::new`], so
/// whoever holds one need not check again.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Graph {
    /// Dependencies before dependents; otherwise as given.
    services: Vec<Arc<ServiceSpec>>,
    groups: Vec<GroupSpec>,
}

/// How many dependencies may lie one behind the other. Far more than anybody has, and few
/// enough to follow them without running out of stack.
const DEPTH_MAX: usize = 1000;

/// Why specs do not fit together.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum GraphError {
    /// Two services have this name.
    DuplicateName(Arc<str>),
    /// A service asks for no instance at all.
    NoReplicas(Arc<str>),
    /// A service depends on one that does not exist.
    UnknownDependency {
        /// The dependent.
        service: Arc<str>,
        /// What it asks for.
        dependency: Arc<str>,
    },
    /// Services wait for each other: each depends on the next, the last on the first.
    /// A service that depends on itself is a cycle of one.
    Cycle(Vec<Arc<str>>),
    /// Two groups have this name.
    DuplicateGroup(Arc<str>),
    /// A group has a service in it that does not exist.
    UnknownMember {
        /// The group.
        group: Arc<str>,
        /// The service.
        member: Arc<str>,
    },
    /// This service stands in groups twice.
    TwoGroups(Arc<str>),
    /// More than a thousand dependencies lie one behind the other before this service.
    TooDeep(Arc<str>),
}

impl fmt::Display for GraphError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            GraphError::DuplicateName(name) => write!(f, "two services are named \"{name}\""),
            GraphError::NoReplicas(name) => write!(f, "service \"{name}\" has no replicas"),
            GraphError::UnknownDependency { service, dependency } => {
                write!(f, "service \"{service}\" depends on \"{dependency}\", which does not exist")
            }
            GraphError::Cycle(names) => {
                f.write_str("services depend on each other in a circle: ")?;
                for name in names {
                    write!(f, "{name} → ")?;
                }
                f.write_str(names.first().map_or("", |name| name))
            }
            GraphError::DuplicateGroup(name) => write!(f, "two groups are named \"{name}\""),
            GraphError::UnknownMember { group, member } => {
                write!(f, "group \"{group}\" has service \"{member}\", which does not exist")
            }
            GraphError::TwoGroups(name) => {
                write!(f, "service \"{name}\" stands in groups twice")
            }
            GraphError::TooDeep(name) => write!(
                f,
                "more than {DEPTH_MAX} dependencies lie one behind the other before service \"{name}\" \
                 (a member of a group comes behind the one before it)"
            ),
        }
    }
}

impl std::error::Error for GraphError {}

impl Graph {
    /// Checks `specs` and puts dependencies before dependents.
    pub fn new(specs: Vec<ServiceSpec>) -> Result<Graph, GraphError> {
        Graph::grouped(specs, Vec::new())
    }

    /// Checks `specs` and `groups`, whose members start one after the other as if each
    /// depended on the one before.
    pub fn grouped(specs: Vec<ServiceSpec>, groups: Vec<GroupSpec>) -> Result<Graph, GraphError> {
        let mut by_name: BTreeMap<Arc<str>, Arc<ServiceSpec>> = BTreeMap::new();
        let mut names = Vec::with_capacity(specs.len());
        for spec in specs {
            if spec.replicas == 0 {
                return Err(GraphError::NoReplicas(spec.name));
            }
            let name = spec.name.clone();
            names.push(name.clone());
            if by_name.insert(name.clone(), Arc::new(spec)).is_some() {
                return Err(GraphError::DuplicateName(name));
            }
        }
        group::check(&groups, &by_name)?;
        let turns = group::turns(&groups);
        let mut before: BTreeMap<Arc<str>, Vec<Arc<str>>> = BTreeMap::new();
        for Turn { service, after, bond: _ } in turns {
            before.entry(service).or_default().push(after);
        }
        let mut walk =
            Walk { by_name: &by_name, before, marks: BTreeMap::new(), path: vec![], order: vec![] };
        for name in &names {
            walk.visit(name)?;
        }
        Ok(Graph { services: walk.order, groups })
    }

    /// The specs, dependencies before dependents.
    pub fn services(&self) -> &[Arc<ServiceSpec>] {
        &self.services
    }

    /// The groups above which there is none.
    pub fn groups(&self) -> &[GroupSpec] {
        &self.groups
    }

    /// The spec of that name.
    pub fn service(&self, name: &str) -> Option<&Arc<ServiceSpec>> {
        self.services.iter().find(|spec| &*spec.name == name)
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Mark {
    OnPath,
    /// Visited; so many dependencies lie one behind the other before it.
    Finished {
        depth: usize,
    },
}

/// A depth-first walk along the dependencies.
struct Walk<'a> {
    by_name: &'a BTreeMap<Arc<str>, Arc<ServiceSpec>>,
    /// What stands before a service in its group.
    before: BTreeMap<Arc<str>, Vec<Arc<str>>>,
    marks: BTreeMap<Arc<str>, Mark>,
    path: Vec<Arc<str>>,
    order: Vec<Arc<ServiceSpec>>,
}

impl Walk<'_> {
    /// Returns how many dependencies lie one behind the other before `name`.
    fn visit(&mut self, name: &Arc<str>) -> Result<usize, GraphError> {
        match self.marks.get(name) {
            Some(Mark::Finished { depth }) => return Ok(*depth),
            Some(Mark::OnPath) => {
                let start = self.path.iter().position(|on_path| on_path == name).unwrap_or(0);
                return Err(GraphError::Cycle(self.path[start..].to_vec()));
            }
            None => {}
        }
        let spec = self.by_name[name].clone();
        self.marks.insert(name.clone(), Mark::OnPath);
        self.path.push(name.clone());
        if self.path.len() > DEPTH_MAX {
            return Err(GraphError::TooDeep(name.clone()));
        }
        let mut depth = 0;
        for dependency in &spec.depends_on {
            if !self.by_name.contains_key(&dependency.service) {
                return Err(GraphError::UnknownDependency {
                    service: name.clone(),
                    dependency: dependency.service.clone(),
                });
            }
            depth = depth.max(self.visit(&dependency.service)? + 1);
        }
        for before in self.before.get(name).cloned().unwrap_or_default() {
            depth = depth.max(self.visit(&before)? + 1);
        }
        if depth >= DEPTH_MAX {
            return Err(GraphError::TooDeep(name.clone()));
        }
        self.path.pop();
        self.marks.insert(name.clone(), Mark::Finished { depth });
        self.order.push(spec);
        Ok(depth)
    }
}

#[cfg(test)]
mod tests {
    use super::{Graph, GraphError};
    use crate::ServiceSpec;
    use crate::spec::{Condition, Dependency, Strength};

    fn service(name: &str, depends_on: &[&str]) -> ServiceSpec {
        let mut spec = ServiceSpec::daemon(name);
        spec.depends_on = depends_on
            .iter()
            .map(|on| Dependency {
                service: (*on).into(),
                condition: Condition::Ready,
                strength: Strength::Required,
            })
            .collect();
        spec
    }

    fn refusal(specs: Vec<ServiceSpec>) -> String {
        Graph::new(specs).map(|_| ()).expect_err("must be refused").to_string()
    }

    #[test]
    fn dependencies_come_before_dependents() {
        let graph =
            Graph::new(vec![service("web", &["app"]), service("app", &["db"]), service("db", &[])]);
        let names: Vec<_> =
            graph.expect("fits").services().iter().map(|s| s.name.to_string()).collect();
        assert_eq!(names, ["db", "app", "web"]);
    }

    #[test]
    fn a_cycle_is_refused_and_named_from_where_it_closes() {
        let specs = vec![
            service("a", &["b"]),
            service("b", &["c"]),
            service("c", &["d"]),
            service("d", &["b"]),
        ];
        assert_eq!(refusal(specs), "services depend on each other in a circle: b → c → d → b");
    }

    #[test]
    fn a_service_that_depends_on_itself_is_a_cycle_of_one() {
        let error = Graph::new(vec![service("a", &["a"])]).expect_err("must be refused");
        assert_eq!(error, GraphError::Cycle(vec!["a".into()]));
    }

    #[test]
    fn a_chain_too_long_to_follow_is_refused_in_whatever_order_it_is_given() {
        let chain = |length: usize| -> Vec<ServiceSpec> {
            let name = |number: usize| format!("s{number}");
            (0..length)
                .map(|number| {
                    if number == 0 {
                        service("s0", &[])
                    } else {
                        service(&name(number), &[&name(number - 1)])
                    }
                })
                .collect()
        };
        assert!(Graph::new(chain(1000)).is_ok());
        let reversed = chain(20_000).into_iter().rev().collect();
        for too_long in [chain(1001), chain(20_000), reversed] {
            assert!(refusal(too_long).starts_with("more than 1000 dependencies"));
        }
    }

    #[test]
    fn unknown_dependencies_double_names_and_zero_replicas_are_refused() {
        assert!(refusal(vec![service("a", &["b"])]).contains("\"b\", which does not exist"));
        assert!(refusal(vec![service("a", &[]), service("a", &[])]).contains("two services"));
        let none = ServiceSpec { replicas: 0, ..service("a", &[]) };
        assert!(refusal(vec![none]).contains("no replicas"));
    }
}
