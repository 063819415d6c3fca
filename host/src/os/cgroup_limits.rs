//! Limits of a control group: memory, processor time, number of processes (`cgroups(7)`,
//! v2, and the kernel's `cgroup-v2.rst`).
//!
//! ```text
//!   own cgroup ────────────────────── cgroup.subtree_control: +memory
//!     ├─ kennel.supervisor              (the supervisor, if it had to leave the own one)
//!     └─ kennel-5f0c3a9be1d27784 ──── cgroup.subtree_control: +memory
//!          └─ web.17 ──────────────── memory.max, memory.oom.group
//! ```
//!
//! A controller has to be handed down from each group to those below, and a group that hands
//! one down may have no process of its own, unless it is the root of the hierarchy. So the
//! supervisor has to stand in a group beside those of its services: it is started there
//! (`DelegateSubgroup=` of systemd), or goes there where it is allowed to.

use std::fmt::Display;
use std::fs;
use std::path::Path;

use super::Cause;
use super::cgroup::{Cgroup, Cgroups, write};

/// The name of the cgroup that the supervisor itself stands in, where there is one.
pub const SUPERVISOR_CGROUP: &str = "kennel.supervisor";

/// The controllers that limits need.
pub(super) const CONTROLLERS: [&str; 3] = ["memory", "cpu", "pids"];

/// The time in which a share of processor time holds, in microseconds: the kernel's default.
const CPU_PERIOD_US: u64 = 100_000;

/// What all processes of a run may use together. None: as much as there is.
#[derive(Clone, Copy, PartialEq, Default, Debug)]
pub struct CgroupLimits {
    /// Memory in bytes. A run that wants more is killed as a whole.
    pub memory_max: Option<u64>,
    /// Processor time; 1.0 is one processor.
    pub cpu_max: Option<f64>,
    /// Processes and threads.
    pub pids_max: Option<u32>,
}

/// A limit that does not hold.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{limit} does not hold: {why}")]
pub struct Unlimited {
    /// Its key.
    pub limit: &'static str,
    /// Why.
    pub why: String,
}

/// One limit and how it is set.
struct Limit {
    name: &'static str,
    controller: &'static str,
    /// Files of the cgroup and what is written there.
    settings: Vec<(&'static str, String)>,
}

impl CgroupLimits {
    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == CgroupLimits::default()
    }

    fn each(&self) -> impl Iterator<Item = Limit> {
        let CgroupLimits { memory_max, cpu_max, pids_max } = *self;
        let memory = memory_max.map(|bytes| Limit {
            name: "memory_max",
            controller: "memory",
            // What has lost some of its processes is not whole any more.
            settings: vec![("memory.max", bytes.to_string()), ("memory.oom.group", "1".into())],
        });
        let cpu = cpu_max.map(|share| {
            let quota = (share * CPU_PERIOD_US as f64).round() as u64;
            Limit {
                name: "cpu_max",
                controller: "cpu",
                settings: vec![("cpu.max", format!("{quota} {CPU_PERIOD_US}"))],
            }
        });
        let pids = pids_max.map(|count| Limit {
            name: "pids_max",
            controller: "pids",
            settings: vec![("pids.max", count.to_string())],
        });
        [memory, cpu, pids].into_iter().flatten()
    }

    /// Those of which is known before any is set that they cannot hold here.
    #[must_use]
    pub fn that_cannot_hold(&self) -> Vec<Unlimited> {
        let own = match Cgroups::our_own() {
            Ok(own) => own,
            Err(why) => return self.none_holds(&why.to_string()),
        };
        let unlimited = |Limit { name, controller, .. }| {
            Some(Unlimited { limit: name, why: lacks(&own, controller)? })
        };
        self.each().filter_map(unlimited).collect()
    }

    /// All of them, none of which holds for this reason.
    #[must_use]
    pub fn none_holds(&self, why: &str) -> Vec<Unlimited> {
        self.each().map(|Limit { name, .. }| Unlimited { limit: name, why: why.into() }).collect()
    }
}

impl Cgroups {
    /// Sets the limits of a cgroup. Those that do not hold, and why.
    #[must_use]
    pub fn limit(&self, cgroup: &Cgroup, limits: &CgroupLimits) -> Vec<Unlimited> {
        let set = |limit: &Limit| {
            self.hand_down(limit.controller)?;
            for (file, value) in &limit.settings {
                write(cgroup.path(), file, value.as_bytes()).map_err(|error| {
                    format!("cannot write \"{value}\" to {file}: {}", Cause::from_io(&error))
                })?;
            }
            Ok(())
        };
        let failed = |limit: Limit| {
            let why = set(&limit).err()?;
            Some(Unlimited { limit: limit.name, why })
        };
        limits.each().filter_map(failed).collect()
    }

    /// Has the cgroups of runs have a controller.
    fn hand_down(&self, controller: &str) -> Result<(), String> {
        // One thread at a time may find the supervisor in the way.
        let _turn = self.turn();
        let own = self.own();
        if !lists(self.place(), "cgroup.controllers", controller) {
            if let Some(why) = lacks(own, controller) {
                return Err(why);
            }
            // With processes in it the kernel would take some controllers all the same, and
            // make of it one of threads, which nobody below it could enter.
            if has_processes(own) {
                self.step_aside()?;
                if has_processes(own) {
                    let others = "other processes than the supervisor are in it";
                    return Err(refused(own, controller, others));
                }
            }
            enable(own, controller).map_err(|error| refused(own, controller, error))?;
        }
        let place = self.place();
        enable(place, controller).map_err(|error| refused(place, controller, error))
    }
}

/// Why a cgroup cannot hand a controller down, as far as can be known before.
fn lacks(group: &Path, controller: &str) -> Option<String> {
    let has = lists(group, "cgroup.controllers", controller);
    (!has).then(|| format!("\"{}\" has no controller \"{controller}\"", group.display()))
}

/// Whether it has processes that are in the way of controllers. In the hierarchy's root, which
/// has no type, they are not.
fn has_processes(group: &Path) -> bool {
    let procs = fs::read(group.join("cgroup.procs")).unwrap_or_default();
    group.join("cgroup.type").exists() && !procs.is_empty()
}

fn enable(group: &Path, controller: &str) -> Result<(), Cause> {
    const FILE: &str = "cgroup.subtree_control";
    if lists(group, FILE, controller) {
        return Ok(());
    }
    let done = write(group, FILE, format!("+{controller}").as_bytes());
    done.map_err(|error| Cause::from_io(&error))
}

fn refused(group: &Path, controller: &str, why: impl Display) -> String {
    format!("\"{}\" cannot hand down the controller \"{controller}\": {why}", group.display())
}

/// Whether a file of a cgroup that lists controllers has this one.
fn lists(group: &Path, file: &str, controller: &str) -> bool {
    let text = fs::read_to_string(group.join(file)).unwrap_or_default();
    text.split_whitespace().any(|listed| listed == controller)
}

impl Cgroup {
    /// Whether the kernel has killed a process in it or below it because there was no memory
    /// left for it (`memory.events`).
    #[must_use]
    pub fn ran_out_of_memory(&self) -> bool {
        let events = fs::read_to_string(self.path().join("memory.events")).unwrap_or_default();
        let mut fields = events.lines().filter_map(|line| line.split_once(' '));
        fields.any(|(name, count)| name == "oom_kill" && count != "0")
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::super::mark::StateId;
    use super::*;

    const LIMITS: CgroupLimits =
        CgroupLimits { memory_max: Some(1 << 20), cpu_max: Some(1.5), pids_max: Some(200) };

    /// Files where the kernel would have them.
    struct Tree {
        dir: tempfile::TempDir,
        cgroups: Cgroups,
        cgroup: Cgroup,
    }

    impl Tree {
        /// Ours has these controllers, and that for runs those.
        fn new(own: &str, place: &str) -> Tree {
            let dir = tempfile::tempdir().unwrap();
            let at = dir.path().join(format!("kennel-{}", StateId(1)));
            fs::create_dir(&at).unwrap();
            fs::write(dir.path().join("cgroup.procs"), "").unwrap();
            fs::write(at.join("cgroup.type"), "domain\n").unwrap();
            for (group, controllers) in [(dir.path(), own), (&at, place)] {
                fs::write(group.join("cgroup.controllers"), controllers).unwrap();
                fs::write(group.join("cgroup.subtree_control"), "").unwrap();
            }
            let cgroups = Cgroups::below(dir.path().to_owned(), StateId(1)).unwrap();
            let cgroup = cgroups.make("web/0", 7).unwrap();
            for file in ["memory.max", "memory.oom.group", "cpu.max", "pids.max"] {
                fs::write(cgroup.path().join(file), "").unwrap();
            }
            Tree { dir, cgroups, cgroup }
        }

        fn read(&self, path: impl Into<PathBuf>) -> String {
            fs::read_to_string(path.into()).unwrap()
        }

        fn own(&self, file: &str) -> String {
            self.read(self.dir.path().join(file))
        }

        fn set(&self, file: &str) -> String {
            self.read(self.cgroup.path().join(file))
        }
    }

    #[test]
    fn limits_are_written_where_their_controllers_are() {
        let tree = Tree::new("cpuset cpu memory pids\n", "cpu memory pids\n");
        assert_eq!(tree.cgroups.limit(&tree.cgroup, &LIMITS), []);
        assert_eq!((&*tree.set("memory.max"), &*tree.set("memory.oom.group")), ("1048576", "1"));
        assert_eq!((&*tree.set("cpu.max"), &*tree.set("pids.max")), ("150000 100000", "200"));
        let place = tree.cgroups.place().join("cgroup.subtree_control");
        // One after the other, each from the beginning of what is a plain file here.
        let written = tree.read(place);
        assert!(written.starts_with("+pids"), "the last one of three: {written}");
        assert_eq!(tree.own("cgroup.subtree_control"), "", "it had been handed down");
        // Nothing that was not asked for.
        let tree = Tree::new("memory pids\n", "");
        let only = CgroupLimits { pids_max: Some(3), ..CgroupLimits::default() };
        assert_eq!(tree.cgroups.limit(&tree.cgroup, &only), []);
        assert_eq!((&*tree.set("memory.max"), &*tree.set("memory.oom.group")), ("", ""));
        assert_eq!(tree.own("cgroup.subtree_control"), "+pids");
    }

    #[test]
    fn each_limit_that_does_not_hold_is_named_with_the_reason() {
        let tree = Tree::new("hugetlb memory\n", "memory\n");
        fs::remove_file(tree.cgroup.path().join("memory.max")).unwrap();
        let failed = tree.cgroups.limit(&tree.cgroup, &LIMITS);
        let own = tree.dir.path().display();
        let said: Vec<String> = failed.iter().map(ToString::to_string).collect();
        assert_eq!(
            said,
            [
                "memory_max does not hold: cannot write \"1048576\" to memory.max: no such file \
                 or directory"
                    .to_owned(),
                format!("cpu_max does not hold: \"{own}\" has no controller \"cpu\""),
                format!("pids_max does not hold: \"{own}\" has no controller \"pids\""),
            ]
        );
        let none = LIMITS.none_holds("switched off");
        assert_eq!(none.len(), 3);
        assert_eq!(CgroupLimits::default().none_holds("switched off"), []);
        assert!(CgroupLimits::default().is_empty() && !LIMITS.is_empty());
    }

    #[test]
    fn the_supervisor_steps_aside_only_where_it_may() {
        let tree = Tree::new("memory\n", "");
        let said = tree.cgroups.step_aside().unwrap_err();
        assert!(said.contains("the supervisor itself is in"), "{said}");
        assert!(!tree.dir.path().join(SUPERVISOR_CGROUP).exists());
        // Not even where the kernel would take the controller.
        let taken = Tree::new("pids\n", "");
        for (file, text) in [("cgroup.type", "domain\n"), ("cgroup.procs", "17\n")] {
            fs::write(taken.dir.path().join(file), text).unwrap();
        }
        let only = CgroupLimits { pids_max: Some(3), ..CgroupLimits::default() };
        let said = taken.cgroups.limit(&taken.cgroup, &only)[0].to_string();
        assert!(said.contains("the supervisor itself is in"), "{said}");
        assert_eq!(taken.own("cgroup.subtree_control"), "");
        let Tree { dir, cgroups, .. } = tree;
        let cgroups = cgroups.may_step_aside();
        let aside = dir.path().join(SUPERVISOR_CGROUP);
        fs::create_dir(&aside).unwrap();
        fs::write(aside.join("cgroup.procs"), "").unwrap();
        cgroups.step_aside().unwrap();
        assert_eq!(fs::read_to_string(aside.join("cgroup.procs")).unwrap(), "0");
    }

    #[test]
    fn the_kernel_says_who_ran_out_of_memory() {
        let tree = Tree::new("memory\n", "memory\n");
        assert!(!tree.cgroup.ran_out_of_memory(), "no controller, no answer");
        for (events, expected) in [
            ("low 0\nhigh 0\nmax 17\noom 1\noom_kill 0\noom_group_kill 0\n", false),
            ("low 0\nhigh 0\nmax 17\noom 1\noom_kill 3\noom_group_kill 1\n", true),
        ] {
            fs::write(tree.cgroup.path().join("memory.events"), events).unwrap();
            assert_eq!(tree.cgroup.ran_out_of_memory(), expected, "{events}");
        }
    }
}
