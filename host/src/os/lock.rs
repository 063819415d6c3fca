//! One supervisor per state directory.
//!
//! The kernel's lock on the file `lock` decides (`flock(2)`): it goes with its holder,
//! however that one dies, so a file left behind is no obstacle. The file is never removed:
//! whoever had it open would hold a lock on a file that others no longer see. Somebody else may
//! remove it all the same, so the directory itself is locked too, where the file system can.
//!
//! Who holds it, the kernel tells (`/proc/locks`, `proc_locks(5)`). The pid inside serves
//! where it does not: in another PID namespace, and on file systems that do not say their
//! device's number in the same way everywhere. Right after a start it is still the last
//! holder's.
//!
//! On a network file system the lock is the file server's (`flock(2)`, "NFS details"): a
//! holder may be on another machine, may have died there with the lock not given up, and the
//! server may not answer at all. So a thread of its own asks, and is left to itself when
//! there is no answer in time.

use std::fmt;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::stat::{major, minor};

use super::bounded::{Unanswered, bounded};
use super::cause::Cause;
use super::network_fs::network_fs;

/// How long the file system may take for all of it.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long is looked for the holder: between its lock and its pid there is a moment, and it
/// may be just ending.
const HOLDER_PATIENCE: Duration = Duration::from_millis(500);
const HOLDER_POLL: Duration = Duration::from_millis(5);

/// Why the state directory cannot be ours.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another supervisor has it.
    #[error("\"{}\" is locked by {}", directory.display(), describe(*pid, place))]
    HeldBy {
        /// The state directory.
        directory: PathBuf,
        /// The holder; `None` when nobody knows.
        pid: Option<i32>,
        /// Where it is.
        place: HolderPlace,
    },
    /// The lock file cannot be used.
    #[error("cannot lock \"{}\": {cause}", path.display())]
    File {
        /// The lock file.
        path: PathBuf,
        /// What the system said.
        cause: Cause,
    },
    /// The file system does not answer.
    #[error("cannot lock \"{}\": the file system has not answered for {} s", path.display(), PATIENCE.as_secs())]
    Silent {
        /// The lock file.
        path: PathBuf,
    },
}

/// Where the holder of a lock is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum HolderPlace {
    /// On this machine.
    Here,
    /// No process that we can see has it, and the directory lies on a network file system: on
    /// another machine, or it has died there.
    Elsewhere {
        /// The name that the machine of the last holder gave itself, where it is known.
        host: Option<String>,
    },
}

fn describe(pid: Option<i32>, place: &HolderPlace) -> String {
    let who = match pid {
        Some(pid) => format!("the supervisor with pid {pid}"),
        None => "another supervisor".to_owned(),
    };
    match place {
        HolderPlace::Here => who,
        HolderPlace::Elsewhere { host: Some(host) } => format!("{who} on \"{host}\""),
        HolderPlace::Elsewhere { host: None } => format!("{who} on another machine"),
    }
}

impl LockError {
    /// What can be done about it, where that is not plain.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        const LOCAL: &str = "choose a state directory on a disk of this machine";
        match self {
            LockError::HeldBy { place: HolderPlace::Elsewhere { .. }, .. } => Some(
                "when that machine is dead, the file server gives the lock up after its time, or when it is told to; or choose a state directory on a disk of this machine",
            ),
            LockError::Silent { .. }
            | LockError::File {
                cause: Cause(Errno::ENOLCK | Errno::EOPNOTSUPP | Errno::ENOSYS | Errno::EIO),
                ..
            } => Some(LOCAL),
            LockError::HeldBy { place: HolderPlace::Here, .. } | LockError::File { .. } => None,
        }
    }
}

/// The lock on a state directory, held until dropped.
#[derive(Debug)]
pub struct StateLock {
    file: File,
    /// Locked too; none where that cannot be.
    directory: Option<File>,
    network: Option<&'static str>,
}

impl StateLock {
    /// Takes the lock and writes our pid into the file. Waits for nobody who holds it; takes
    /// ten seconds at most, whatever the file system does.
    ///
    /// # Errors
    /// When another supervisor holds it or the file cannot be opened, locked or written.
    pub fn acquire(directory: &Path) -> Result<Self, LockError> {
        let path = directory.join("lock");
        let place = path.clone();
        match bounded("kennel-lock", PATIENCE, move || take(&place)) {
            Ok(taken) => taken,
            Err(Unanswered::Late) => Err(LockError::Silent { path }),
            Err(Unanswered::NoThread(error)) => {
                Err(LockError::File { path, cause: Cause::from_io(&error) })
            }
        }
    }

    /// Whether a descriptor that was passed on is the lock file of this directory.
    #[must_use]
    pub fn is_of(descriptor: &OwnedFd, directory: &Path) -> bool {
        let found = nix::sys::stat::fstat(descriptor);
        let wanted = fs::symlink_metadata(directory.join("lock"));
        matches!((found, wanted), (Ok(found), Ok(wanted))
            if (found.st_dev, found.st_ino) == (wanted.dev(), wanted.ino()))
    }

    /// The lock again after this program has re-executed itself: it goes with the open
    /// file, not with the program.
    #[must_use]
    pub fn carried_over(descriptor: OwnedFd, directory: &Path) -> Self {
        // Who holds the file is alone.
        let directory = lock_directory(directory).ok().flatten();
        Self { file: descriptor.into(), directory, network: None }
    }

    /// The name of the network file system that the state directory lies on, if it does. Not
    /// asked again of a lock that was carried over.
    #[must_use]
    pub fn network(&self) -> Option<&'static str> {
        self.network
    }
}

/// A child that another thread has just made has a copy of all descriptors until it executes
/// its program, and a lock goes with the last copy (`flock(2)`): so it is given up by name.
impl Drop for StateLock {
    fn drop(&mut self) {
        // What cannot be given up goes when the file is closed.
        let _ = self.directory.as_ref().map(File::unlock);
        let _ = self.file.unlock();
    }
}

impl AsFd for StateLock {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

fn take(path: &Path) -> Result<StateLock, LockError> {
    let failed =
        |error: io::Error| LockError::File { path: path.to_owned(), cause: Cause::from_io(&error) };
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .custom_flags(libc::O_NOFOLLOW)
        .open(path)
        .map_err(failed)?;
    let begun = Instant::now();
    loop {
        match file.try_lock() {
            Ok(()) => break,
            Err(TryLockError::Error(error)) => return Err(failed(error)),
            Err(TryLockError::WouldBlock) => {
                let pid = holder(&file);
                if pid.is_none() && begun.elapsed() < HOLDER_PATIENCE {
                    thread::sleep(HOLDER_POLL);
                    continue;
                }
                let directory = path.parent().unwrap_or(Path::new("/")).to_owned();
                let network = network_fs(&file);
                return Err(held(directory, pid, Note::read(&mut file), network));
            }
        }
    }
    let directory = path.parent().unwrap_or(Path::new("/"));
    let locked = loop {
        match lock_directory(directory) {
            Ok(locked) => break locked,
            // Who is killed gives up one after the other.
            Err(_) if begun.elapsed() < HOLDER_PATIENCE => thread::sleep(HOLDER_POLL),
            // The file that its holder has locked is gone, and this one is new.
            Err(other) => {
                return Err(held(directory.to_owned(), holder(&other), Note::default(), None));
            }
        }
    };
    file.set_len(0).map_err(failed)?;
    file.rewind().map_err(failed)?;
    file.write_all(Note::own().to_string().as_bytes()).map_err(failed)?;
    let network = network_fs(&file);
    Ok(StateLock { file, directory: locked, network })
}

/// The directory, locked, or none where the file system cannot do that, as NFS.
///
/// # Errors
/// The directory that another process has locked.
fn lock_directory(path: &Path) -> Result<Option<File>, File> {
    let Ok(directory) = File::open(path) else { return Ok(None) };
    match directory.try_lock() {
        Ok(()) => Ok(Some(directory)),
        Err(TryLockError::WouldBlock) => Err(directory),
        Err(TryLockError::Error(_)) => Ok(None),
    }
}

/// Somebody holds the lock: `seen`, if the kernel names a process that we can see.
fn held(directory: PathBuf, seen: Option<i32>, note: Note, network: Option<&str>) -> LockError {
    let place = match (seen, network) {
        (None, Some(_)) => HolderPlace::Elsewhere { host: note.host },
        (Some(_), _) | (None, None) => HolderPlace::Here,
    };
    LockError::HeldBy { directory, pid: seen.or(note.pid), place }
}

/// The process that the kernel says has the lock, if it lives where we can see it.
fn holder(file: &File) -> Option<i32> {
    let found = file.metadata().ok()?;
    let device = found.dev();
    let of_file = format!("{:02x}:{:02x}:{}", major(device), minor(device), found.ino());
    let locks = fs::read_to_string("/proc/locks").ok()?;
    let pid = locks.lines().find_map(|line| holder_in(line, &of_file))?;
    fs::exists(format!("/proc/{pid}")).ok()?.then_some(pid)
}

/// Who holds the lock that a line of `/proc/locks` tells of, if it is one on `file`:
/// `1: FLOCK  ADVISORY  WRITE 717 00:1b:1254 0 EOF`. Those who wait have an arrow before it.
fn holder_in(line: &str, file: &str) -> Option<i32> {
    let fields: Vec<&str> = line.split_ascii_whitespace().collect();
    match fields[..] {
        [_, "FLOCK", _, _, pid, place, ..] if place == file => pid.parse().ok(),
        _ => None,
    }
}

/// What the last holder has written into the file: a line with its pid, and one with the name
/// of its machine.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
struct Note {
    pid: Option<i32>,
    host: Option<String>,
}

/// So long is the name of a machine at most (`HOST_NAME_MAX`, `gethostname(2)`).
const HOST_MAX: usize = 64;

impl Note {
    fn own() -> Note {
        let host = fs::read_to_string("/proc/sys/kernel/hostname").ok();
        let pid = i32::try_from(std::process::id()).ok();
        Note { pid, host: host.as_deref().and_then(host_name) }
    }

    fn read(file: &mut File) -> Note {
        let mut bytes = Vec::new();
        // What cannot be read says nothing.
        let _ = file.take(128).read_to_end(&mut bytes);
        Note::parse(&String::from_utf8_lossy(&bytes))
    }

    fn parse(text: &str) -> Note {
        let mut lines = text.lines();
        let pid = lines.next().and_then(|line| line.trim().parse().ok());
        Note { pid, host: lines.next().and_then(host_name) }
    }
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(pid) = self.pid {
            writeln!(f, "{pid}")?;
        }
        if let Some(host) = &self.host {
            writeln!(f, "{host}")?;
        }
        Ok(())
    }
}

/// The name of a machine, unless it is no name that can be shown.
fn host_name(text: &str) -> Option<String> {
    let name = text.trim();
    let is_shown =
        (1..=HOST_MAX).contains(&name.len()) && name.chars().all(|c| c.is_ascii_graphic());
    is_shown.then(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_holder_is_who_holds_this_very_file_and_not_who_waits() {
        let line = "1: FLOCK  ADVISORY  WRITE 717 fe:00:1254 0 EOF";
        assert_eq!(holder_in(line, "fe:00:1254"), Some(717));
        assert_eq!(holder_in(line, "fe:00:125"), None);
        for line in [
            "1: -> FLOCK  ADVISORY  WRITE 717 fe:00:1254 0 EOF",
            "1: POSIX  ADVISORY  WRITE 717 fe:00:1254 0 EOF",
            "",
        ] {
            assert_eq!(holder_in(line, "fe:00:1254"), None, "{line}");
        }
    }

    #[test]
    fn what_a_file_system_cannot_do_is_said_with_what_to_do() {
        let file = |errno| LockError::File { path: "/s/lock".into(), cause: Cause(errno) };
        for errno in [Errno::ENOLCK, Errno::EOPNOTSUPP, Errno::EIO] {
            assert!(file(errno).hint().is_some_and(|hint| hint.contains("disk")), "{errno}");
        }
        assert_eq!(file(Errno::EACCES).hint(), None);
        let held = |place| LockError::HeldBy { directory: "/s".into(), pid: None, place };
        assert_eq!(held(HolderPlace::Here).hint(), None);
    }

    #[test]
    fn a_holder_on_a_network_file_system_that_cannot_be_seen_is_named_with_its_machine() {
        let said = |seen, text: &str, network| {
            let error = held("/s".into(), seen, Note::parse(text), network);
            (error.to_string(), error.hint().is_some())
        };
        let nfs = Some("NFS");
        let elsewhere = "\"/s\" is locked by the supervisor with pid 7 on \"db3\"";
        assert_eq!(said(None, "7\ndb3\n", nfs), (elsewhere.into(), true));
        let unnamed = "\"/s\" is locked by another supervisor on another machine";
        assert_eq!(said(None, "", nfs), (unnamed.into(), true));
        assert_eq!(said(None, "\n\u{1b}[2J\n", nfs), (unnamed.into(), true));
        // The kernel knows better than the file, which may be the last holder's.
        let here = "\"/s\" is locked by the supervisor with pid 9";
        assert_eq!(said(Some(9), "7\ndb3\n", nfs), (here.into(), false));
        let other_namespace = "\"/s\" is locked by the supervisor with pid 7";
        assert_eq!(said(None, "7\ndb3\n", None), (other_namespace.into(), false));
    }

    #[test]
    fn who_has_the_lock_writes_down_who_it_is() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("lock"), "1234567\na-much-longer-name-of-a-machine\n").unwrap();
        let lock = StateLock::acquire(dir.path()).unwrap();
        let text = fs::read_to_string(dir.path().join("lock")).unwrap();
        assert_eq!(Note::parse(&text), Note::own());
        assert_eq!(Note::own().pid, Some(std::process::id() as i32));
        drop(lock);
    }

    #[test]
    fn a_lock_whose_file_was_removed_or_replaced_still_holds() {
        let dir = tempfile::tempdir().unwrap();
        let lock = StateLock::acquire(dir.path()).unwrap();
        for replaced in [false, true] {
            fs::remove_file(dir.path().join("lock")).unwrap();
            if replaced {
                fs::write(dir.path().join("lock"), "1\n").unwrap();
            }
            let error = StateLock::acquire(dir.path()).unwrap_err();
            let own = std::process::id() as i32;
            assert!(matches!(error, LockError::HeldBy { pid: Some(pid), .. } if pid == own));
        }
        drop(lock);
        drop(StateLock::acquire(dir.path()).unwrap());
    }

    #[test]
    fn a_copy_that_a_child_has_for_a_moment_does_not_keep_the_lock() {
        let dir = tempfile::tempdir().unwrap();
        let lock = StateLock::acquire(dir.path()).unwrap();
        let copy = lock.as_fd().try_clone_to_owned().unwrap();
        assert!(matches!(StateLock::acquire(dir.path()), Err(LockError::HeldBy { .. })));
        drop(lock);
        drop(StateLock::acquire(dir.path()).unwrap());
        drop(copy);
    }
}
