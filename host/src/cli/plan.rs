//! `kennel plan`

use std::io::Write as _;

use super::connect::{block_on, client};
use super::paint::{Colour, Paint};
use super::{ExitKind, Failure, Global, Outcome, graph};
use crate::api::wire::{Action, Change, Part, PartAction, PartChange, Plan, SupervisorChange};

/// Options of `kennel plan`.
#[derive(clap::Args, Debug)]
pub(super) struct PlanArgs {
    #[command(flatten)]
    format: FormatArgs,
    /// Print the order in which the services of FILE start, and what each waits for; needs
    /// no supervisor. dot is for Graphviz
    #[arg(
        long,
        value_name = "FORMAT",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "text",
        conflicts_with = "json"
    )]
    graph: Option<graph::Format>,
}

/// How a plan is printed.
#[derive(clap::Args, Debug)]
pub(super) struct FormatArgs {
    /// Print JSON
    #[arg(long)]
    pub(super) json: bool,
}

pub(super) fn plan(global: &Global, args: &PlanArgs) -> Outcome {
    if let Some(format) = args.graph {
        return graph::graph(global, format);
    }
    let client = client(global)?;
    // Only a file that was named: without one, the supervisor knows its own best.
    let file = global.config.as_deref().map(std::path::absolute).transpose()?;
    let plan = block_on(async {
        let plan = client.plan(file.as_deref()).await;
        plan.map_err(|error| Failure::of_reload(error, "plan a reload", ""))
    })?;
    print(&plan, args.format.json)
}

/// Prints what is, or would be, done.
pub(super) fn print(plan: &Plan, json: bool) -> Outcome {
    let text = if json {
        serde_json::to_string(plan).map_err(std::io::Error::from)? + "\n"
    } else {
        text(plan, Paint::stdout())
    };
    std::io::stdout().write_all(text.as_bytes())?;
    if !plan.refused.is_empty() {
        return Err(Failure::new(ExitKind::Failed, plan.refused.join("\n")));
    }
    Ok(ExitKind::Done)
}

fn text(plan: &Plan, paint: Paint) -> String {
    let Plan { empty, changes, parts, supervisor, refused: _ } = plan;
    if *empty {
        return "nothing to do\n".to_owned();
    }
    let mut out = String::new();
    for Change { service, action, reasons } in changes {
        let (word, colour) = match action {
            Action::Start => ("start", Colour::Green),
            Action::Stop => ("stop", Colour::Red),
            Action::Restart => ("restart", Colour::Yellow),
            Action::InPlace => ("change in place", Colour::Cyan),
        };
        out.push_str(&format!(
            "{service}: {}, {}\n",
            paint.paint(colour, word),
            reasons.join(", ")
        ));
    }
    for PartChange { part, name, action, reasons } in parts {
        let (word, colour) = match (part, action) {
            (Part::Plugin, PartAction::Add) => ("load", Colour::Green),
            (Part::Plugin, PartAction::Change) => ("reload", Colour::Yellow),
            (Part::Plugin, PartAction::Remove) => ("unload", Colour::Red),
            (Part::Sink, PartAction::Add) => ("start", Colour::Green),
            (Part::Sink, PartAction::Change) => ("change in place", Colour::Cyan),
            (Part::Sink, PartAction::Remove) => ("stop", Colour::Red),
        };
        let part = match part {
            Part::Plugin => "plugin",
            Part::Sink => "sink",
        };
        let word = paint.paint(colour, word);
        out.push_str(&format!("{part} {name}: {word}, {}\n", reasons.join(", ")));
    }
    for SupervisorChange { key, needs_supervisor_restart } in supervisor {
        out.push_str(&match needs_supervisor_restart {
            false => {
                format!("kennel: {}, {key} changed\n", paint.paint(Colour::Cyan, "change in place"))
            }
            true => format!("kennel: {key} changed, which takes a restart of kennel itself\n"),
        });
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_says_what_is_done_to_which_service_and_why() {
        let change = |service: &str, action, reason: &str| Change {
            service: service.into(),
            action,
            reasons: vec![reason.into()],
        };
        let part = |part, name: &str, action, reason: &str| PartChange {
            part,
            name: name.into(),
            action,
            reasons: vec![reason.into()],
        };
        let late = |key: &str, needs_supervisor_restart| SupervisorChange {
            key: key.into(),
            needs_supervisor_restart,
        };
        let plan = Plan {
            empty: false,
            changes: vec![
                change("web", Action::Restart, "command changed"),
                change("db", Action::InPlace, "restart.backoff changed"),
            ],
            parts: vec![
                part(Part::Plugin, "redis", PartAction::Change, "file changed"),
                part(Part::Sink, "audit", PartAction::Add, "new"),
            ],
            supervisor: vec![late("socket", true), late("shutdown_timeout", false)],
            refused: vec![],
        };
        assert_eq!(
            text(&plan, Paint::never()),
            "web: restart, command changed\n\
             db: change in place, restart.backoff changed\n\
             plugin redis: reload, file changed\n\
             sink audit: start, new\n\
             kennel: socket changed, which takes a restart of kennel itself\n\
             kennel: change in place, shutdown_timeout changed\n"
        );
        let none = Plan {
            empty: true,
            changes: vec![],
            parts: vec![],
            supervisor: vec![],
            refused: vec![],
        };
        assert_eq!(text(&none, Paint::never()), "nothing to do\n");
    }
}
