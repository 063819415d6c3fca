//! One supervisor per state directory.
//!
//! The kernel's lock on the file `lock` decides (`flock(2)`): it goes with its holder,
//! however that one dies, so a file left behind is no obstacle. The file is never removed:
//! whoever had it open would hold a lock on a file that others no longer see.
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

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::stat::{major, minor};
use nix::sys::statfs::{NFS_SUPER_MAGIC, fstatfs};

use super::bounded::{Unanswered, bounded};
use super::cause::Cause;

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
    #[error("\"{}\" is locked by {}", directory.display(), describe(*pid, *place))]
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
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum HolderPlace {
    /// On this machine.
    Here,
    /// No process that we can see has it, and the directory lies on a network file system: on
    /// another machine, or it has died there.
    Elsewhere,
}

fn describe(pid: Option<i32>, place: HolderPlace) -> String {
    let who = match pid {
        Some(pid) => format!("the supervisor with pid {pid}"),
        None => "another supervisor".to_owned(),
    };
    match place {
        HolderPlace::Here => who,
        HolderPlace::Elsewhere => format!("{who} on another machine"),
    }
}

impl LockError {
    /// What can be done about it, where that is not plain.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        const LOCAL: &str = "choose a state directory on a disk of this machine";
        match self {
            LockError::HeldBy { place: HolderPlace::Elsewhere, .. } => Some(
                "when that machine is dead, its file server gives the lock up; or choose a state directory on a disk of this machine",
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
    pub fn carried_over(descriptor: OwnedFd) -> Self {
        Self { file: descriptor.into() }
    }
}

/// A child that another thread has just made has a copy of all descriptors until it executes
/// its program, and a lock goes with the last copy (`flock(2)`): so it is given up by name.
impl Drop for StateLock {
    fn drop(&mut self) {
        // What cannot be given up goes when the file is closed.
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
                let place = match pid {
                    None if is_remote(&file) => HolderPlace::Elsewhere,
                    Some(_) | None => HolderPlace::Here,
                };
                let directory = path.parent().unwrap_or(Path::new("/")).to_owned();
                let pid = pid.or_else(|| read_pid(&mut file));
                return Err(LockError::HeldBy { directory, pid, place });
            }
        }
    }
    file.set_len(0).map_err(failed)?;
    file.rewind().map_err(failed)?;
    writeln!(file, "{}", std::process::id()).map_err(failed)?;
    Ok(StateLock { file })
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

fn is_remote(file: &File) -> bool {
    fstatfs(file).is_ok_and(|found| found.filesystem_type() == NFS_SUPER_MAGIC)
}

fn read_pid(file: &mut File) -> Option<i32> {
    let mut text = String::new();
    file.take(32).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
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
        assert!(held(HolderPlace::Elsewhere).to_string().ends_with("on another machine"));
        assert!(held(HolderPlace::Elsewhere).hint().is_some());
        assert_eq!(held(HolderPlace::Here).hint(), None);
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
