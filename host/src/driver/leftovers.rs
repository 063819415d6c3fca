//! What has outlived runs of an earlier supervisor that are over: ended before anything is
//! started, so that no new run meets it.
//!
//! ```text
//!   mark of a run that does not live ───┐
//!                                       ├─► SIGKILL ─► look again ─► nobody ─► service.swept
//!   cgroup of a run that does not live ─┘
//! ```
//!
//! Its run had its stop steps, or died without any. Who has wiped its environment is found by
//! its cgroup only. A supervisor that was itself started by such a process spares itself.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use super::news::tell_swept;
use super::note::Note;
use super::strays::{Swept, members};
use super::survivors::Survivors;
use crate::os::{self, CgroupOfRun, Marked, StateId, cgroups_of_runs, proc};
use crate::state::{Table, Who};

/// How long they may take to be gone after SIGKILL.
const SWEEP: Duration = Duration::from_secs(2);

/// What is left of runs that are over.
pub(super) struct Leftovers {
    by_mark: Vec<Marked>,
    /// With somebody in them.
    cgroups: Vec<CgroupOfRun>,
}

impl Leftovers {
    /// Finds them among all with our mark, and in the cgroups that are in `place` or of which
    /// the table tells.
    pub(super) fn find(
        table: &Table,
        survivors: &Survivors,
        state: StateId,
        place: Option<PathBuf>,
    ) -> Leftovers {
        let made = table.runs.values().filter_map(|run| run.made.as_ref());
        let noted = made.filter_map(|made| made.cgroup.as_deref()?.parent());
        let places: BTreeSet<PathBuf> = noted.map(PathBuf::from).chain(place).collect();
        let cgroups = places.iter().flat_map(|place| cgroups_of_runs(place, state));
        let is_over = |of: &CgroupOfRun| !survivors.living.contains_key(&of.run);
        let own = own_pid();
        let is_left = |of: &CgroupOfRun| of.cgroup.is_populated() && !of.cgroup.holds(own);
        let cgroups = cgroups.filter(|of| is_over(of) && is_left(of)).collect();
        let by_mark = survivors.strays.iter().filter(|one| one.stat.pid != own).cloned().collect();
        Leftovers { by_mark, cgroups }
    }

    /// Ends them. What an instance is called of which a mark tells says `name`.
    pub(super) fn sweep(
        self,
        survivors: &Survivors,
        state: StateId,
        name: impl Fn(&Who) -> Arc<str>,
    ) -> Vec<Note> {
        let Leftovers { mut by_mark, cgroups } = self;
        let deadline = Instant::now() + SWEEP;
        let mut found = Found::default();
        while !by_mark.is_empty() || cgroups.iter().any(|of| of.cgroup.is_populated()) {
            for Marked { stat, mark } in by_mark {
                let who = Who { service: mark.service, index: mark.instance };
                found.kill(mark.run.run, name(&who), stat);
            }
            for CgroupOfRun { instance, run, cgroup } in &cgroups {
                for stat in members(cgroup, &HashSet::new()) {
                    found.kill(*run, instance.as_str().into(), stat);
                }
                cgroup.kill();
            }
            let is_left = || found.lives() || cgroups.iter().any(|of| of.cgroup.is_populated());
            while is_left() && Instant::now() < deadline {
                thread::sleep(Duration::from_millis(1));
            }
            if Instant::now() >= deadline {
                break;
            }
            // They may have had children meanwhile.
            by_mark = os::marked(state).unwrap_or_default();
            by_mark.retain(|one| {
                one.stat.pid != own_pid() && !survivors.living.contains_key(&one.mark.run.run)
            });
        }
        cgroups.iter().for_each(|of| of.cgroup.remove());
        found.notes()
    }
}

fn own_pid() -> i32 {
    nix::unistd::Pid::this().as_raw()
}

/// Those that were found, by run.
#[derive(Default)]
struct Found(BTreeMap<u64, (Arc<str>, Vec<Swept>)>);

impl Found {
    /// Kills who was not found before.
    fn kill(&mut self, run: u64, instance: Arc<str>, stat: proc::Stat) {
        let is_known = self.0.values().flat_map(|(_, swept)| swept).any(|one| one.is(&stat));
        if !is_known {
            let (_, swept) = self.0.entry(run).or_insert_with(|| (instance, Vec::new()));
            swept.push(Swept::killed(stat));
        }
    }

    fn lives(&self) -> bool {
        self.0.values().flat_map(|(_, swept)| swept).any(Swept::lives)
    }

    fn notes(self) -> Vec<Note> {
        let mut notes = Vec::new();
        for (run, (instance, swept)) in self.0 {
            let (left, swept): (Vec<Swept>, Vec<Swept>) = swept.into_iter().partition(Swept::lives);
            if !swept.is_empty() {
                let text = "processes of an earlier run outlived it and were killed".to_owned();
                let mut note = Note::of(&instance, "service.swept", text);
                note.attributes.insert("run".to_owned(), run.into());
                tell_swept(&swept, &mut note.text, &mut note.attributes);
                notes.push(note);
            }
            if !left.is_empty() {
                let text = "processes of an earlier run outlived it and cannot be ended".to_owned();
                let mut note = Note::of(&instance, "service.adopted_in_part", text);
                tell_swept(&left, &mut note.text, &mut note.attributes);
                notes.push(note);
            }
        }
        notes
    }
}
