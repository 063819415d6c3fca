//! `kennel plan --graph`: which service waits for which, and so in what order they start.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::io::Write as _;

use kennel_core::ServiceSpec;
use kennel_core::spec::{Condition, Dependency, Enabled, Kind, Strength};

use super::paint::{Colour, Paint};
use super::table::{self, Align, Cell};
use super::{ExitKind, Global, Outcome, terminal};
use crate::config::{self, Environment};

/// How the order is shown.
#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
pub(super) enum Format {
    /// A table; services of one number start together.
    Text,
    /// For Graphviz: `kennel plan --graph=dot | dot -Tsvg`.
    Dot,
}

/// Prints the order that the file gives.
pub(super) fn graph(global: &Global, format: Format) -> Outcome {
    let loaded = config::load(global.config(), &Environment::current())?;
    for warning in &loaded.warnings {
        writeln!(std::io::stderr(), "warning: {warning}\n")?;
    }
    let name = loaded.config.supervisor.name.clone();
    let services: Vec<ServiceSpec> =
        loaded.config.services.into_iter().map(|service| service.spec).collect();
    let text = match format {
        Format::Text => text(&services, Paint::stdout(), terminal::width()),
        Format::Dot => dot(&name, &services),
    };
    std::io::stdout().write_all(text.as_bytes())?;
    Ok(ExitKind::Done)
}

/// A table of the services as they start, each with what it waits for.
fn text(services: &[ServiceSpec], paint: Paint, width: Option<usize>) -> String {
    let head = ["ORDER", "SERVICE", "KIND", "STARTS AFTER"];
    let painted = head.map(|head| Cell::painted(head, paint.paint(Colour::Dim, head)));
    let mut rows = vec![painted.to_vec()];
    let numbers = order(services);
    let mut ordered: Vec<(usize, &ServiceSpec)> = numbers.into_iter().zip(services).collect();
    // Those of one number stay in the order of the file.
    ordered.sort_by_key(|(number, _)| *number);
    rows.extend(ordered.into_iter().map(|(number, service)| {
        // What there is no going on without comes first.
        let (required, optional): (Vec<_>, Vec<_>) =
            service.depends_on.iter().partition(|edge| edge.strength == Strength::Required);
        let after: Vec<String> = required.into_iter().chain(optional).map(edge).collect();
        let after = if after.is_empty() { "-".to_owned() } else { after.join(", ") };
        vec![
            Cell::plain(number.to_string()),
            Cell::painted(&*service.name, paint.paint(Colour::Bold, &service.name)),
            Cell::plain(kind(service)),
            Cell::plain(after),
        ]
    }));
    table::render(&[Align::Right, Align::Left, Align::Left, Align::Left], &rows, width)
}

/// A digraph in Graphviz's language; arrows go from what starts first.
fn dot(name: &str, services: &[ServiceSpec]) -> String {
    let mut out = format!("digraph {} {{\n", quoted(name));
    out.push_str(
        "    rankdir=LR;\n    node [shape=box, style=rounded, fontname=\"sans-serif\"];\n",
    );
    out.push_str("    edge [fontname=\"sans-serif\", fontsize=10];\n");
    let mut line = |text: String| {
        // Writing to a string cannot fail.
        let _ = writeln!(out, "    {text}");
    };
    for service in services {
        let name = quoted(&service.name);
        let label = match kind(service).as_str() {
            "-" => String::new(),
            kind => format!(", label={}", quoted(&format!("{}\n{kind}", service.name))),
        };
        let style = match service.enabled {
            Enabled::Yes => "rounded",
            Enabled::No => "rounded,dotted",
        };
        line(format!("{name} [style={}{label}];", quoted(style)));
    }
    for service in services {
        for Dependency { service: on, condition, strength } in &service.depends_on {
            let style = match strength {
                Strength::Required => "solid",
                Strength::Optional => "dashed",
            };
            let (from, to) = (quoted(on), quoted(&service.name));
            line(format!("{from} -> {to} [label={}, style={style}];", word(*condition)));
        }
    }
    out.push_str("}\n");
    out
}

/// Of each service when it starts: 1 where it waits for nobody, and one more than the last
/// of those it waits for.
fn order(services: &[ServiceSpec]) -> Vec<usize> {
    let index: HashMap<&str, usize> =
        services.iter().enumerate().map(|(at, service)| (&*service.name, at)).collect();
    let dependencies = |at: usize| {
        services[at].depends_on.iter().filter_map(|edge| index.get(&*edge.service).copied())
    };
    let mut dependents: Vec<Vec<usize>> = vec![Vec::new(); services.len()];
    let mut open: Vec<usize> = Vec::with_capacity(services.len());
    for at in 0..services.len() {
        open.push(dependencies(at).count());
        dependencies(at).for_each(|on| dependents[on].push(at));
    }
    let mut numbers = vec![1; services.len()];
    let mut free: Vec<usize> = (0..services.len()).filter(|at| open[*at] == 0).collect();
    // There is no cycle in a configuration that was checked.
    while let Some(at) = free.pop() {
        for &dependent in &dependents[at] {
            numbers[dependent] = numbers[dependent].max(numbers[at] + 1);
            open[dependent] -= 1;
            if open[dependent] == 0 {
                free.push(dependent);
            }
        }
    }
    numbers
}

/// What is not usual about a service: `oneshot, not enabled`.
fn kind(service: &ServiceSpec) -> String {
    let mut words = Vec::new();
    match service.kind {
        Kind::Daemon => {}
        Kind::Oneshot => words.push("oneshot".to_owned()),
    }
    if service.replicas > 1 {
        words.push(format!("{} replicas", service.replicas));
    }
    match service.enabled {
        Enabled::Yes => {}
        Enabled::No => words.push("not enabled".to_owned()),
    }
    if words.is_empty() { "-".to_owned() } else { words.join(", ") }
}

fn edge(dependency: &Dependency) -> String {
    let Dependency { service, condition, strength } = dependency;
    let word = word(*condition);
    match strength {
        Strength::Required => format!("{service} {word}"),
        Strength::Optional => format!("{service} {word} (optional)"),
    }
}

/// As it is written in the configuration.
fn word(condition: Condition) -> &'static str {
    match condition {
        Condition::Started => "started",
        Condition::Ready => "ready",
        Condition::Done => "done",
    }
}

/// A string of Graphviz's language.
fn quoted(text: &str) -> String {
    let text = text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
    format!("\"{text}\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn services() -> Vec<ServiceSpec> {
        let on = |service: &str, condition, strength| Dependency {
            service: service.into(),
            condition,
            strength,
        };
        let mut web = ServiceSpec::daemon("web");
        web.replicas = 3;
        web.depends_on = vec![
            on("migrate", Condition::Done, Strength::Required),
            on("cache", Condition::Started, Strength::Optional),
        ];
        let mut migrate = ServiceSpec::oneshot("migrate");
        migrate.depends_on = vec![on("db", Condition::Ready, Strength::Required)];
        let mut report = ServiceSpec::oneshot("report");
        report.enabled = Enabled::No;
        report.depends_on = vec![on("db", Condition::Ready, Strength::Required)];
        vec![web, ServiceSpec::daemon("db"), migrate, ServiceSpec::daemon("cache"), report]
    }

    #[test]
    fn the_order_of_start_is_a_table() {
        assert_eq!(
            text(&services(), Paint::never(), None),
            "ORDER  SERVICE  KIND                  STARTS AFTER\n    \
             1  db       -                     -\n    \
             1  cache    -                     -\n    \
             2  migrate  oneshot               db ready\n    \
             2  report   oneshot, not enabled  db ready\n    \
             3  web      3 replicas            migrate done, cache started (optional)\n"
        );
        assert_eq!(text(&[], Paint::never(), None), "ORDER  SERVICE  KIND  STARTS AFTER\n");
    }

    #[test]
    fn the_order_of_start_is_a_graph() {
        let dot = dot("demo", &services());
        for line in [
            "digraph \"demo\" {",
            "    \"db\" [style=\"rounded\"];",
            "    \"web\" [style=\"rounded\", label=\"web\\n3 replicas\"];",
            "    \"report\" [style=\"rounded,dotted\", label=\"report\\noneshot, not enabled\"];",
            "    \"db\" -> \"migrate\" [label=ready, style=solid];",
            "    \"cache\" -> \"web\" [label=started, style=dashed];",
            "}",
        ] {
            assert!(dot.lines().any(|l| l == line), "{line}\n\nis missing in\n\n{dot}");
        }
    }

    #[test]
    fn a_service_starts_after_the_last_of_those_it_waits_for() {
        // A long chain with shortcuts, from its end to its beginning.
        let services: Vec<ServiceSpec> = (0..1000)
            .rev()
            .map(|at: u32| {
                let mut service = ServiceSpec::daemon(format!("s{at}"));
                service.depends_on = [1, 2, 10]
                    .into_iter()
                    .filter_map(|back| at.checked_sub(back))
                    .map(|on| Dependency {
                        service: format!("s{on}").into(),
                        condition: Condition::Ready,
                        strength: Strength::Required,
                    })
                    .collect();
                service
            })
            .collect();
        assert_eq!(order(&services), (1..=1000).rev().collect::<Vec<_>>());
    }
}
