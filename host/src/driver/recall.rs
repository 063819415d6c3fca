//! What the core is to go on with: what was remembered, held against the processes that were
//! found.
//!
//! The table has the last word on which run is the last one of an instance, `/proc` on
//! whether it lives. What is remembered may be a little older than both: it is written when
//! a step is done, and a step may have been cut.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use kennel_core::{
    Counters, ExitStatus, Group, Memory, Progress, Remembered, RememberedPhase, RunId, Time,
};

use super::survivors::Survivors;
use crate::os;
use crate::state::{LastEnd, Table, Who};

/// Whether times and processes of the table mean anything.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Boot {
    Same,
    Another,
}

/// What the core is to go on with. `name` is what an instance is called of which nothing
/// is remembered.
pub(super) fn memory(
    table: &Table,
    survivors: &Survivors,
    boot: Boot,
    name: impl Fn(&Who) -> Arc<str>,
) -> Memory {
    let mut instances: BTreeMap<Who, Remembered> = table.instances.clone();
    if boot == Boot::Another {
        let forget = |(who, one): (Who, Remembered)| (who, one.of_another_boot());
        return Memory {
            instances: instances.into_iter().map(forget).map(|(_, one)| one).collect(),
        };
    }
    match table.last_end {
        LastEnd::Abrupt => {}
        LastEnd::Orderly => instances.values_mut().for_each(begin_anew),
    }
    // The last run of each instance, by number.
    let living = survivors
        .living
        .iter()
        .map(|(run, survivor)| (*run, &survivor.who, true, survivor.began_at));
    let gone = survivors.gone.iter().map(|(run, gone)| (*run, &gone.who, false, gone.began_at));
    let mut runs: Vec<_> = living.chain(gone).collect();
    runs.sort_unstable_by_key(|(run, ..)| *run);
    let mut with_run = BTreeSet::new();
    for (run, who, lives, began_at) in runs {
        let one = instances
            .entry(who.clone())
            .or_insert_with(|| Remembered::nothing(who.service.as_str(), who.index, name(who)));
        let is_known = one.run().is_some_and(|known| known.run == RunId(run));
        // What lives is the present run, whatever else is written.
        if !is_known && (lives || !with_run.contains(who)) {
            one.has_run(RunId(run), Time::from_origin(Duration::from_nanos(began_at)));
        }
        if let Some(known) = one.run_mut().filter(|known| known.run == RunId(run)) {
            let began = Time::from_origin(Duration::from_nanos(began_at));
            known.spawned_at.get_or_insert(began);
            known.ended = survivors.gone.get(&run).map(|gone| unseen(&known.progress, gone.status));
            with_run.insert(who.clone());
        }
    }
    // Remembered as running, and neither a process nor a line of the table says so.
    for (who, one) in &mut instances {
        if let Some(run) =
            one.run_mut().filter(|run| !with_run.contains(who) && run.spawned_at.is_some())
        {
            run.ended = Some(unseen(&run.progress, None));
        }
    }
    Memory { instances: instances.into_values().collect() }
}

/// How a run ended that nobody saw end; `status` is what the kernel still knew.
fn unseen(progress: &Progress, status: Option<os::ExitStatus>) -> (ExitStatus, Group) {
    let status = match progress {
        Progress::Stopping { main: Some(status), .. } => *status,
        Progress::Starting | Progress::Up(_) | Progress::Stopping { main: None, .. } => {
            status.map_or(ExitStatus::Unknown, ExitStatus::from)
        }
    };
    (status, Group::Empty)
}

/// After an orderly end a new start is somebody's will: what the operator wants and what
/// happened is kept, and everything has its chance again.
fn begin_anew(one: &mut Remembered) {
    one.phase = RememberedPhase::Down;
    one.counters = Counters { restarts: one.counters.restarts, ..Counters::default() };
}
