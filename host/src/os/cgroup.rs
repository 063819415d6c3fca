//! A control group for each run, where the kernel lets us make them (`cgroups(7)`, v2).
//!
//! ```text
//!   own cgroup ─┬─ (the supervisor)
//!               └─ kennel-5f0c3a9be1d27784 ─┬─ web.17
//!                                           └─ db.18
//! ```
//!
//! A process cannot leave the group that it was born in, whatever it does with sessions
//! and environments, so what is left of a run is known with one read, and is killed with
//! one write (`cgroup.kill`, Linux 5.14; before that each process, with the group frozen).
//!
//! Groups are made below the supervisor's own one, where that is ours to write: as root,
//! or as a user to whom it was delegated (systemd's `Delegate=`). The place is told by the
//! id of the state directory, so that the next supervisor finds it. Nothing else in the
//! hierarchy is touched, and the supervisor stays where it is, unless limits need that it
//! steps aside and it may (`cgroup_limits`).

use std::fs::{self, OpenOptions};
use std::io::{self, ErrorKind, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};

use nix::unistd::{AccessFlags, access};

use super::cgroup_limits::{CONTROLLERS, SUPERVISOR_CGROUP};
use super::mark::StateId;
use super::process::signal_exactly;
use super::{Cause, proc};

/// The place where cgroups of runs are made.
#[derive(Debug)]
pub struct Cgroups {
    own: PathBuf,
    place: PathBuf,
    may_step_aside: bool,
    has_stepped_aside: AtomicBool,
    /// Held while controllers are handed down.
    turn: Mutex<()>,
}

/// Why there are no cgroups for runs.
#[derive(Debug, thiserror::Error)]
pub enum NoCgroups {
    /// The kernel has none, or nobody has mounted them.
    #[error("no cgroup v2 hierarchy is mounted")]
    NotMounted,
    /// What `/proc` says of our own cgroup cannot be read, or is outside of what is mounted.
    #[error("the supervisor's own cgroup cannot be seen from here")]
    Hidden,
    /// Ours cannot be written: it was not delegated to us.
    #[error("\"{}\" cannot be written: {cause}", path.display())]
    NotOurs {
        /// The supervisor's own cgroup.
        path: PathBuf,
        /// What the system said.
        cause: Cause,
    },
    /// Ours holds threads, not processes.
    #[error("\"{}\" is a threaded cgroup", path.display())]
    Threaded {
        /// The supervisor's own cgroup.
        path: PathBuf,
    },
    /// It was asked not to use them.
    #[error("switched off")]
    Off,
}

impl Cgroups {
    /// Finds out whether cgroups can be made here, and makes the place for them.
    ///
    /// # Errors
    /// Why they cannot.
    pub fn find(state: StateId) -> Result<Cgroups, NoCgroups> {
        Cgroups::below(Cgroups::our_own()?, state)
    }

    /// The directory of the cgroup that we are in, beside which or below which there is room.
    pub(super) fn our_own() -> Result<PathBuf, NoCgroups> {
        let mounts =
            fs::read_to_string("/proc/self/mountinfo").map_err(|_| NoCgroups::NotMounted)?;
        let (mounted_at, root) = mount(&mounts).ok_or(NoCgroups::NotMounted)?;
        let own = fs::read_to_string("/proc/self/cgroup").map_err(|_| NoCgroups::Hidden)?;
        let own = own_path(&own).ok_or(NoCgroups::Hidden)?;
        let below = Path::new(own).strip_prefix(&root).map_err(|_| NoCgroups::Hidden)?;
        // In the one that is for the supervisor alone it is beside those of its services.
        let below = if below.ends_with(SUPERVISOR_CGROUP) { below.parent() } else { Some(below) };
        let below = below.ok_or(NoCgroups::Hidden)?;
        // Without a slash at the end where it is the root.
        Ok(mounted_at.join(below).components().collect())
    }

    /// The same, and where limits need it the supervisor may go to a cgroup beside those of
    /// its services. This concerns the whole program.
    #[must_use]
    pub fn may_step_aside(mut self) -> Cgroups {
        self.may_step_aside = true;
        self
    }

    pub(super) fn below(own: PathBuf, state: StateId) -> Result<Cgroups, NoCgroups> {
        let not_ours = |path: &Path, cause| NoCgroups::NotOurs { path: path.to_owned(), cause };
        // To move a process both groups and the one above them must be ours to write.
        let procs = own.join("cgroup.procs");
        access(&procs, AccessFlags::W_OK).map_err(|errno| not_ours(&procs, Cause(errno)))?;
        let place = own.join(place_name(state));
        match fs::create_dir(&place) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            Err(error) => return Err(not_ours(&own, Cause::from_io(&error))),
        }
        let cgroups = Cgroups {
            own,
            place,
            may_step_aside: false,
            has_stepped_aside: AtomicBool::default(),
            turn: Mutex::default(),
        };
        // The hierarchy's root has no type, and only children of threaded groups have another.
        match fs::read_to_string(cgroups.place.join("cgroup.type")) {
            Ok(kind) if kind.trim_end() == "domain" => {}
            Ok(_) | Err(_) => {
                cgroups.remove();
                return Err(NoCgroups::Threaded { path: cgroups.own });
            }
        }
        cgroups.clear();
        Ok(cgroups)
    }

    /// Where they are made.
    #[must_use]
    pub fn place(&self) -> &Path {
        &self.place
    }

    /// What that is in.
    pub(super) fn own(&self) -> &Path {
        &self.own
    }

    /// Keeps others from changing how controllers are handed down.
    pub(super) fn turn(&self) -> MutexGuard<'_, ()> {
        self.turn.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Moves the supervisor to a cgroup beside those of its services.
    pub(super) fn step_aside(&self) -> Result<(), String> {
        if !self.may_step_aside {
            return Err(format!("the supervisor itself is in \"{}\"", self.own.display()));
        }
        let aside = self.own.join(SUPERVISOR_CGROUP);
        let made = match fs::create_dir(&aside) {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => Err(error),
            Ok(()) | Err(_) => Ok(()),
        };
        made.and_then(|()| write(&aside, "cgroup.procs", b"0")).map_err(|error| {
            let cause = Cause::from_io(&error);
            format!("the supervisor cannot go to \"{}\": {cause}", aside.display())
        })?;
        self.has_stepped_aside.store(true, Relaxed);
        Ok(())
    }

    /// Makes the cgroup of a run. One that was left by this name is used again.
    ///
    /// # Errors
    /// Those of `mkdir(2)`.
    pub fn make(&self, instance: &str, run: u64) -> io::Result<Cgroup> {
        let cgroup = self.named(instance, run);
        match fs::create_dir(&cgroup.path) {
            Ok(()) => Ok(cgroup),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(cgroup),
            Err(error) => Err(error),
        }
    }

    /// The cgroup that an earlier supervisor made for a run; none when there is none.
    #[must_use]
    pub fn existing(&self, instance: &str, run: u64) -> Option<Cgroup> {
        Some(self.named(instance, run)).filter(|cgroup| cgroup.path.is_dir())
    }

    fn named(&self, instance: &str, run: u64) -> Cgroup {
        Cgroup { path: self.place.join(dir_name(instance, run)) }
    }

    /// Removes what earlier runs left empty.
    fn clear(&self) {
        for entry in fs::read_dir(&self.place).into_iter().flatten().flatten() {
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                Cgroup { path: entry.path() }.remove();
            }
        }
    }

    /// Removes the place, unless there still are runs in it. A supervisor that had stepped
    /// aside goes back, so that the next one can be started where this one was.
    pub fn remove(&self) {
        self.clear();
        let is_empty = fs::remove_dir(&self.place).is_ok();
        if is_empty && self.has_stepped_aside.load(Relaxed) {
            for controller in CONTROLLERS {
                let _ =
                    write(&self.own, "cgroup.subtree_control", format!("-{controller}").as_bytes());
            }
            let _ = write(&self.own, "cgroup.procs", b"0");
            let _ = fs::remove_dir(self.own.join(SUPERVISOR_CGROUP));
        }
    }
}

fn place_name(state: StateId) -> String {
    format!("kennel-{state}")
}

/// No name of an instance has an "@" in it, and every directory name may.
fn dir_name(instance: &str, run: u64) -> String {
    format!("{}.{run}", instance.replace('/', "@"))
}

/// The cgroup of a run.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Cgroup {
    path: PathBuf,
}

impl Cgroup {
    /// The cgroup that an earlier supervisor made for a run at `path`, which may be below
    /// another one than ours; none when it is gone, or `path` names another.
    #[must_use]
    pub fn at(path: &Path, state: StateId, instance: &str, run: u64) -> Option<Cgroup> {
        let name = Path::new(&place_name(state)).join(dir_name(instance, run));
        let is_there = path.is_absolute() && path.ends_with(name) && path.is_dir();
        is_there.then(|| Cgroup { path: path.to_owned() })
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What stands for it when a process is made in it.
    ///
    /// # Errors
    /// Those of `open(2)`.
    pub fn entrance(&self) -> io::Result<OwnedFd> {
        let flags = libc::O_DIRECTORY | libc::O_PATH;
        Ok(OpenOptions::new().read(true).custom_flags(flags).open(&self.path)?.into())
    }

    /// Whether a process runs in it or below it; zombies do not count. False when it is
    /// gone.
    #[must_use]
    pub fn is_populated(&self) -> bool {
        let events = fs::read_to_string(self.path.join("cgroup.events")).unwrap_or_default();
        events.lines().any(|line| line == "populated 1")
    }

    /// The numbers of the processes in it and below it.
    #[must_use]
    pub fn members(&self) -> Vec<i32> {
        let mut members = Vec::new();
        each_below(&self.path, &mut |path| {
            let text = fs::read_to_string(path.join("cgroup.procs")).unwrap_or_default();
            // Who is in another pid namespace has the number 0.
            members.extend(text.lines().filter_map(|pid| pid.parse::<i32>().ok()));
        });
        members
    }

    /// Whether the process with this number is in it or below it.
    #[must_use]
    pub fn holds(&self, pid: i32) -> bool {
        let text = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap_or_default();
        own_path(&text).is_some_and(|path| self.is_at_or_above(Path::new(path)))
    }

    /// By its name and that of the place, which no other has.
    fn is_at_or_above(&self, path: &Path) -> bool {
        let mut names = self.path.components().rev();
        let (Some(name), Some(place)) = (names.next(), names.next()) else { return false };
        let end: PathBuf = [place, name].into_iter().collect();
        path.ancestors().any(|above| above.ends_with(&end))
    }

    /// Kills every process in it and below it. They may still be there for a moment.
    pub fn kill(&self) {
        if write(&self.path, "cgroup.kill", b"1").is_err() {
            self.kill_each();
        }
    }

    /// The same before Linux 5.14.
    fn kill_each(&self) {
        // Frozen, nobody in it makes new ones meanwhile; SIGKILL ends a frozen process.
        let is_frozen = write(&self.path, "cgroup.freeze", b"1").is_ok();
        for pid in self.members() {
            let Ok(began) = proc::start_time(pid) else { continue };
            // The number may have gone to somebody else who is not in it.
            if self.holds(pid) {
                let _ = signal_exactly(pid, began, libc::SIGKILL);
            }
        }
        if is_frozen {
            let _ = write(&self.path, "cgroup.freeze", b"0");
        }
    }

    /// Removes it with those that were made below it; what is not empty stays.
    pub fn remove(&self) {
        each_below(&self.path, &mut |path| drop(fs::remove_dir(path)));
    }
}

/// A cgroup that a supervisor made for a run.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CgroupOfRun {
    /// What the instance was called.
    pub instance: String,
    /// The run.
    pub run: u64,
    /// Its cgroup.
    pub cgroup: Cgroup,
}

/// The cgroups of runs in `place`; none unless that is where supervisors with this state
/// directory make them.
#[must_use]
pub fn cgroups_of_runs(place: &Path, state: StateId) -> Vec<CgroupOfRun> {
    if !place.is_absolute() || !place.ends_with(place_name(state)) {
        return Vec::new();
    }
    let entries = fs::read_dir(place).into_iter().flatten().flatten();
    let dirs = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    let of_run = |entry: fs::DirEntry| {
        let name = entry.file_name();
        let (instance, run) = name.to_str()?.rsplit_once('.')?;
        let (instance, run) = (instance.replace('@', "/"), run.parse().ok()?);
        Some(CgroupOfRun { instance, run, cgroup: Cgroup { path: entry.path() } })
    };
    dirs.filter_map(of_run).collect()
}

/// Writes to a file of a cgroup, which has to be there.
pub(super) fn write(cgroup: &Path, file: &str, text: &[u8]) -> io::Result<()> {
    OpenOptions::new().write(true).open(cgroup.join(file))?.write_all(text)
}

/// Deeper cgroups are left alone.
const DEPTH_MAX: usize = 32;

/// Visits a cgroup after those below it.
fn each_below(path: &Path, visit: &mut dyn FnMut(&Path)) {
    fn descend(path: &Path, depth: usize, visit: &mut dyn FnMut(&Path)) {
        if depth < DEPTH_MAX {
            for entry in fs::read_dir(path).into_iter().flatten().flatten() {
                if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                    descend(&entry.path(), depth + 1, visit);
                }
            }
        }
        visit(path);
    }
    descend(path, 0, visit);
}

/// Where the v2 hierarchy is mounted and which part of it, by `proc_pid_mountinfo(5)`.
fn mount(mountinfo: &str) -> Option<(PathBuf, PathBuf)> {
    mountinfo.lines().find_map(|line| {
        let (fields, kind) = line.split_once(" - ")?;
        if kind.split(' ').next()? != "cgroup2" {
            return None;
        }
        let mut fields = fields.split(' ').skip(3);
        let root = unescape(fields.next()?);
        Some((unescape(fields.next()?), root))
    })
}

/// Space, tab, newline and backslash stand in octal there.
fn unescape(text: &str) -> PathBuf {
    let text = text.replace("\\040", " ").replace("\\011", "\t").replace("\\012", "\n");
    PathBuf::from(text.replace("\\134", "\\"))
}

/// Our own path in the v2 hierarchy, by `cgroups(7)`: the line `0::PATH`.
fn own_path(cgroup: &str) -> Option<&str> {
    cgroup.lines().find_map(|line| line.strip_prefix("0::"))
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd as _;

    use super::*;
    use crate::os::plan::Plan;
    use crate::os::spawn::{Entry, Stack, start};
    use crate::os::wait::{Child, Patience, Zombie, wait};
    use crate::os::{Launch, spawn};

    #[test]
    fn the_hierarchy_is_found_where_it_is_mounted() {
        let hybrid = "23 1 0:21 / /proc rw - proc proc rw\n\
                      32 31 0:29 / /sys/fs/cgroup/cpu rw,relatime - cgroup cgroup rw,cpu\n\
                      41 31 0:38 /of/us /sys/fs/c\\040group rw shared:3 - cgroup2 cgroup2 rw\n";
        let expected = (PathBuf::from("/sys/fs/c group"), PathBuf::from("/of/us"));
        assert_eq!(mount(hybrid), Some(expected));
        assert_eq!(mount("32 31 0:29 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n"), None);
        assert_eq!(mount("nonsense\n\n"), None);
        let own = "9:name=systemd:/\n4:memory:/some/where\n0::/user.slice/a b\n";
        assert_eq!(own_path(own), Some("/user.slice/a b"));
        assert_eq!(own_path("4:memory:/\n"), None);
    }

    #[test]
    fn cgroups_of_runs_are_known_by_the_names_they_were_given() {
        let dir = tempfile::tempdir().unwrap();
        let state = StateId(7);
        let place = dir.path().join(place_name(state));
        let cgroups = [("web", 1), ("a.b/3", 20)].map(|(instance, run)| {
            let path = place.join(dir_name(instance, run));
            fs::create_dir_all(&path).unwrap();
            CgroupOfRun { instance: instance.to_owned(), run, cgroup: Cgroup { path } }
        });
        // None of ours.
        fs::write(place.join("web.2"), "").unwrap();
        fs::create_dir(place.join("web")).unwrap();
        fs::create_dir(place.join("web.x")).unwrap();
        let mut found = cgroups_of_runs(&place, state);
        found.sort_unstable_by_key(|of| of.run);
        assert_eq!(found, cgroups);
        assert_eq!(cgroups_of_runs(&place, StateId(8)), []);
        assert_eq!(cgroups_of_runs(dir.path(), state), []);
        assert_eq!(cgroups_of_runs(&dir.path().join("gone"), state), []);
    }

    #[test]
    fn what_was_born_in_a_cgroup_is_known_and_killed_wherever_it_has_gone() {
        let state = StateId(u64::from(std::process::id()) << 20);
        let Ok(cgroups) = Cgroups::find(state) else {
            return println!("skipped: no cgroup can be made here");
        };
        for (run, kill) in [(1, Cgroup::kill as fn(&Cgroup)), (2, Cgroup::kill_each)] {
            let cgroup = cgroups.make("web/0", run).unwrap();
            assert!(!cgroup.is_populated());
            let script = "(env -i setsid sleep 1000 &); sleep 1000 & wait";
            let mut launch = Launch::new(["/bin/sh", "-c", script]);
            launch.env = vec![("PATH".into(), "/usr/bin:/bin".into())];
            launch.cgroup = Some(cgroup.entrance().unwrap());
            let process = spawn(launch).unwrap();
            until("three are in it", || cgroup.members().len() == 3);
            assert!(cgroup.is_populated() && cgroup.holds(process.pid()));
            assert!(!cgroup.holds(i32::try_from(std::process::id()).unwrap()));
            assert_eq!(cgroups.existing("web/0", run), Some(cgroup.clone()));
            let at = |path, name| Cgroup::at(path, state, name, run);
            assert_eq!(at(cgroup.path(), "web/0"), Some(cgroup.clone()));
            assert_eq!(at(cgroup.path(), "web/1"), None);
            assert_eq!(at(cgroups.place(), "web/0"), None);
            kill(&cgroup);
            until("it is empty", || !cgroup.is_populated());
            until("it is removed", || {
                cgroup.remove();
                cgroups.existing("web/0", run).is_none()
            });
        }
        cgroups.remove();
        assert!(!cgroups.place().exists());
    }

    #[test]
    fn a_process_is_in_its_cgroup_from_its_first_moment_or_goes_there() {
        let state = StateId(u64::from(std::process::id()) << 20 | 1);
        let Ok(cgroups) = Cgroups::find(state) else {
            return println!("skipped: no cgroup can be made here");
        };
        for (run, entry) in [(1, Entry::Born), (2, Entry::Enters)] {
            let cgroup = cgroups.make("web", run).unwrap();
            let mut launch = Launch::new(["/bin/sleep", "1000"]);
            launch.cgroup = Some(cgroup.entrance().unwrap());
            let plan = Plan::prepare(&launch).unwrap();
            let (pid, pidfd) = start(&plan, &Stack::map().unwrap(), entry).unwrap();
            assert!(plan.failure().is_none(), "{entry:?}");
            assert_eq!(cgroup.members(), [pid], "{entry:?}");
            cgroup.kill();
            wait(Child::Pidfd(pidfd.as_fd()), Zombie::Reap, Patience::Block).unwrap();
            until("it is removed", || {
                cgroup.remove();
                !cgroup.path.exists()
            });
        }
        cgroups.remove();
    }

    /// What is refused when it is made in its cgroup is refused when it enters, and that is told.
    #[test]
    fn a_directory_that_is_no_cgroup_is_not_entered() {
        let dir = tempfile::tempdir().unwrap();
        let mut launch = Launch::new(["/bin/true"]);
        launch.cgroup = Some(Cgroup { path: dir.path().to_owned() }.entrance().unwrap());
        let error = spawn(launch).unwrap_err().to_string();
        assert!(error.starts_with("cannot enter the cgroup of the run"), "{error}");
    }

    fn until(what: &str, mut fact: impl FnMut() -> bool) {
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
        while !fact() {
            assert!(std::time::Instant::now() < deadline, "not in time: {what}");
            std::thread::sleep(std::time::Duration::from_millis(2));
        }
    }

    #[test]
    fn a_cgroup_knows_its_own_and_those_below_it() {
        let cgroups = Cgroups {
            own: "/sys/fs/cgroup/a".into(),
            place: "/sys/fs/cgroup/a/kennel-1".into(),
            may_step_aside: false,
            has_stepped_aside: AtomicBool::default(),
            turn: Mutex::default(),
        };
        let cgroup = cgroups.named("web/0", 17);
        for inside in ["/a/kennel-1/web@0.17", "/a/kennel-1/web@0.17/inner/one"] {
            assert!(cgroup.is_at_or_above(Path::new(inside)), "{inside}");
        }
        for outside in ["/", "/a/kennel-1", "/a/kennel-1/web@0.171", "/a/kennel-2/web@0.17"] {
            assert!(!cgroup.is_at_or_above(Path::new(outside)), "{outside}");
        }
    }

    #[test]
    fn a_place_that_is_not_ours_says_why() {
        let nowhere = PathBuf::from("/nowhere");
        let error = Cgroups::below(nowhere, StateId(1)).unwrap_err().to_string();
        assert_eq!(error, "\"/nowhere/cgroup.procs\" cannot be written: no such file or directory");
        // A directory that is no cgroup.
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("cgroup.procs"), "").unwrap();
        let error = Cgroups::below(dir.path().to_owned(), StateId(1)).unwrap_err();
        assert!(matches!(error, NoCgroups::Threaded { .. }), "{error}");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "nothing is left there");
    }
}
