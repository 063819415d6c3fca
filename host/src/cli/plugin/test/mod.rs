//! `kennel plugin test`: scenarios, and what goes wrong in the world.
//!
//! ```text
//! scenario.yaml ─► Scenario ─► Trial ─► the runtime ─► the plugin
//!                                │         ▲ asks        │ asks
//!                                │         └── Script ◄──┘
//!                                └─► expect: what was said, what it should have been
//! ```
//!
//! The runtime, its limits and the plugin are those of a supervisor. Probes are answered by
//! the scenario, and time is what the scenario says. Each scenario is gone through twice,
//! with one instance and with a new one for every call: a plugin that remembers anything but
//! its saved state is found out. Then chaos: see `chaos.rs`.

mod answer;
mod chaos;
mod expect;
mod scenario;
mod script;
mod trial;

use std::io::Write as _;
use std::path::Path;

use super::args::TestArgs;
use super::lab::Lab;
use super::source::Source;
use crate::cli::{ExitKind, Failure, Outcome};
use chaos::Tally;
pub(super) use scenario::Scenario;
pub(super) use script::Script;
use trial::Instances;
pub(super) use trial::{Call, Trial};

pub(super) fn test(args: &TestArgs) -> Outcome {
    let TestArgs { plugin, scenarios, .. } = args;
    let source = Source::read(plugin)?;
    // All of them are read before one is tried.
    let scenarios: Vec<(&Path, Scenario)> = scenarios
        .iter()
        .map(|path| Ok((path.as_path(), Scenario::read(path)?)))
        .collect::<Result<_, Failure>>()?;
    let lab = Lab::new()?;
    let mut failed = 0;
    for (path, scenario) in &scenarios {
        writeln!(std::io::stdout(), "{}", path.display())?;
        let trial = Trial::begin(&lab, &source, scenario)?;
        let missed = attempts(&trial)?;
        failed += missed;
        // What goes wrong says nothing where nothing goes right.
        if args.chaos().is_wanted() && missed == 0 {
            failed += mishaps(&trial)?;
        }
    }
    match failed {
        0 => Ok(ExitKind::Done),
        1 => Err(Failure::new(ExitKind::Failed, "1 trial failed")),
        count => Err(Failure::new(ExitKind::Failed, format!("{count} trials failed"))),
    }
}

/// Goes through the scenario as it stands; how many steps failed.
fn attempts(trial: &Trial<'_>) -> Result<usize, Failure> {
    let mut out = std::io::stdout();
    let warm = trial.go_through(Instances::Kept)?;
    let fresh = trial.go_through(Instances::Recycled)?;
    let mut failed = 0;
    for (warm, fresh) in warm.iter().zip(&fresh) {
        let only_fresh: Vec<_> =
            fresh.faults.iter().filter(|fault| !warm.faults.contains(fault)).collect();
        let good = warm.faults.is_empty() && only_fresh.is_empty();
        writeln!(out, "  {}  {}", if good { "ok  " } else { "FAIL" }, warm.name)?;
        for fault in &warm.faults {
            writeln!(out, "        {fault}")?;
        }
        for fault in only_fresh {
            writeln!(out, "        with a new instance for every call: {fault}")?;
        }
        if !good {
            failed += 1;
            for line in &warm.log {
                writeln!(out, "        log: {line}")?;
            }
        }
    }
    Ok(failed)
}

/// Lets things go wrong; how many times that went badly.
fn mishaps(trial: &Trial<'_>) -> Result<usize, Failure> {
    let mut out = std::io::stdout();
    let Tally { tried, memory_bytes, faults } = chaos::chaos(trial)?;
    for fault in &faults {
        writeln!(out, "  FAIL  {}: {}", fault.step, fault.mishap)?;
        writeln!(out, "        {}", fault.what)?;
    }
    let good = if faults.is_empty() { "ok  " } else { "FAIL" };
    writeln!(out, "  {good}  chaos: {} of {tried} mishaps went well", tried - faults.len())?;
    if let Some(bytes) = memory_bytes {
        writeln!(out, "        works within {} KiB of memory", bytes / 1024)?;
    }
    Ok(faults.len())
}
