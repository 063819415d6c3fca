//! Strays: processes of runs that have left their group, and which run each is of.
//!
//! A process that detaches itself (`setsid(2)`, two forks) is out of reach of group signals.
//! Its parent has ended, so the kernel has given it to the nearest subreaper, or to PID 1.
//! As a subreaper we find it among our own children, as one that we have not started:
//!
//! ```text
//!   us ──► run A ──► its workers                 known: their group is signalled
//!      ──► stray (KENNEL_RUN=7) ──► its children  strays of run 7
//!      ──► somebody without a mark                none of ours to touch
//! ```
//!
//! That costs one look at the list of our children, and only where there is a stray a pass
//! over `/proc`. In a program that is no subreaper, and for runs that an earlier supervisor
//! started, every process is looked at.
//!
//! A process belongs to the run whose mark ([`super::mark`]) it was started with; one that
//! has none that can be read, to the run of the nearest ancestor that has one. Whoever has
//! neither is not touched, and nobody is that descends from a process we have started.

use std::collections::{HashMap, HashSet};
use std::io;

use nix::sys::prctl;
use nix::unistd::Pid;

use super::children;
use super::mark::{Mark, RunMark};
use super::orphans;
use super::proc::{self, Stat};

/// A process of a run that has left its group.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Stray {
    /// The process.
    pub stat: Stat,
    /// The run that it is of.
    pub run: RunMark,
}

/// Where strays are looked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Among {
    /// Our children that we have not started, and their descendants.
    OurOrphans,
    /// All processes.
    Everybody,
}

impl Among {
    /// Where strays of the runs that we start are found.
    #[must_use]
    pub fn of_our_runs() -> Among {
        let is_init = Pid::this().as_raw() == 1;
        if is_init || prctl::get_child_subreaper() == Ok(true) {
            Among::OurOrphans
        } else {
            Among::Everybody
        }
    }
}

/// Every stray that runs. Reads `/proc`, and environments, so not for the driver's thread.
///
/// # Errors
/// When `/proc` cannot be listed.
pub fn strays(among: Among) -> io::Result<Vec<Stray>> {
    let own = Pid::this().as_raw();
    let is_stray = |pid: i32| !children::is_known(pid);
    match among {
        Among::OurOrphans if !orphans::children_for_sure()?.into_iter().any(is_stray) => {
            Ok(Vec::new())
        }
        Among::OurOrphans | Among::Everybody => {
            let known = children::is_known;
            Ok(find(&proc::processes()?, own, among, &known, &|pid| Mark::of(pid)))
        }
    }
}

/// A process whose chain of ancestors is longer is left out.
const ANCESTORS_MAX: usize = 256;

fn find(
    processes: &[Stat],
    own: i32,
    among: Among,
    is_known: &dyn Fn(i32) -> bool,
    mark: &dyn Fn(i32) -> Option<Mark>,
) -> Vec<Stray> {
    let parents: HashMap<i32, i32> = processes.iter().map(|one| (one.pid, one.parent)).collect();
    let mut marks: HashMap<i32, Option<RunMark>> = HashMap::new();
    let mut of = |pid| *marks.entry(pid).or_insert_with(|| mark(pid).map(|mark| mark.run));
    let mut found = Vec::new();
    for process in processes.iter().filter(|process| process.runs() && process.pid != own) {
        let Some(line) = line(process.pid, own, among, &parents, is_known) else { continue };
        if let Some(run) = line.into_iter().find_map(&mut of) {
            found.push(Stray { stat: process.clone(), run });
        }
    }
    found
}

/// The process and its ancestors up to where strays begin; none when it is no stray.
fn line(
    pid: i32,
    own: i32,
    among: Among,
    parents: &HashMap<i32, i32>,
    is_known: &dyn Fn(i32) -> bool,
) -> Option<Vec<i32>> {
    let mut line = Vec::new();
    let mut next = pid;
    while line.len() < ANCESTORS_MAX {
        if is_known(next) {
            return None;
        }
        if next == own {
            return Some(line);
        }
        if next <= 1 {
            return (among == Among::Everybody).then_some(line);
        }
        line.push(next);
        // Who ends while we look has no parent that we know of.
        next = parents.get(&next).copied().unwrap_or(0);
    }
    None
}

/// Those among `strays` that are of this run and in none of these groups.
pub fn strays_of(run: RunMark, strays: &[Stray], groups: &HashSet<i32>) -> Vec<Stat> {
    let is_meant = |stray: &&Stray| stray.run == run && !groups.contains(&stray.stat.group);
    strays.iter().filter(is_meant).map(|stray| stray.stat.clone()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::os::StateId;

    const OWN: i32 = 10;
    const RUN: i32 = 20;

    fn process(pid: i32, parent: i32, state: char) -> Stat {
        let text =
            format!("{pid} (x) {state} {parent} {pid} {pid} 0 -1 0 1 2 3 4 5 6 7 8 20 0 1 0 9 1 1");
        Stat::parse(&text).unwrap()
    }

    fn marked(run: u64) -> Mark {
        let run = RunMark { state: StateId(1), run };
        Mark { run, service: "web".into(), instance: 0 }
    }

    fn found(among: Among) -> Vec<(i32, u64)> {
        let processes = [
            process(1, 0, 'S'),
            process(OWN, 1, 'S'),
            // A run with a child of its own that is no stray.
            process(RUN, OWN, 'S'),
            process(21, RUN, 'S'),
            // A stray, a child of it that has wiped its mark, and one of an inner supervisor.
            process(30, OWN, 'S'),
            process(31, 30, 'S'),
            process(32, 31, 'S'),
            // Nobody knows what this is; its child has a mark. A zombie.
            process(40, OWN, 'S'),
            process(41, 40, 'S'),
            process(42, OWN, 'Z'),
            // Not below us.
            process(50, 1, 'S'),
            process(51, 50, 'S'),
        ];
        let marks = |pid: i32| match pid {
            OWN => Some(marked(99)),
            RUN | 21 | 30 | 42 | 51 => Some(marked(7)),
            32 => Some(marked(8)),
            41 => Some(marked(9)),
            _ => None,
        };
        let known = |pid: i32| pid == RUN;
        let strays = find(&processes, OWN, among, &known, &marks);
        strays.into_iter().map(|stray| (stray.stat.pid, stray.run.run)).collect()
    }

    #[test]
    fn orphans_of_a_subreaper_are_strays_of_the_run_whose_mark_they_or_their_ancestors_bear() {
        assert_eq!(found(Among::OurOrphans), [(30, 7), (31, 7), (32, 8), (41, 9)]);
    }

    #[test]
    fn strays_of_a_run_bear_its_mark_and_are_in_none_of_its_groups() {
        let strays: Vec<Stray> = [(30, 7), (31, 8), (32, 7)]
            .map(|(pid, run)| Stray { stat: process(pid, OWN, 'S'), run: marked(run).run })
            .into();
        let of = |run, groups: &[i32]| -> Vec<i32> {
            let groups = groups.iter().copied().collect();
            let found = strays_of(marked(run).run, &strays, &groups);
            found.into_iter().map(|stat| stat.pid).collect()
        };
        assert_eq!(of(7, &[]), [30, 32]);
        assert_eq!(of(7, &[30]), [32]);
        assert!(of(9, &[]).is_empty());
        let elsewhere = RunMark { state: StateId(2), run: 7 };
        assert!(strays_of(elsewhere, &strays, &HashSet::new()).is_empty());
    }

    #[test]
    fn elsewhere_every_process_with_a_mark_is_one_unless_we_have_started_it() {
        assert_eq!(found(Among::Everybody), [(30, 7), (31, 7), (32, 8), (41, 9), (51, 7)]);
    }
}
