//! One supervisor per state directory.
//!
//! The kernel's lock on the file `lock` decides (`flock(2)`): it goes with its holder,
//! however that one dies, so a file left behind is no obstacle. The pid inside serves
//! only the message. The file is never removed: whoever had it open would hold a lock on
//! a file that others no longer see.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use super::cause::Cause;

/// Why the state directory cannot be ours.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another supervisor has it.
    #[error("\"{}\" is locked by {}", directory.display(), pid.map_or_else(|| "another supervisor".to_owned(), |pid| format!("the supervisor with pid {pid}")))]
    HeldBy {
        /// The state directory.
        directory: PathBuf,
        /// The holder; `None` when it has not written its pid yet.
        pid: Option<i32>,
    },
    /// The lock file cannot be used.
    #[error("cannot lock \"{}\": {cause}", path.display())]
    File {
        /// The lock file.
        path: PathBuf,
        /// What the system said.
        cause: Cause,
    },
}

/// The lock on a state directory, held until dropped.
#[derive(Debug)]
pub struct StateLock {
    file: File,
}

impl StateLock {
    /// Takes the lock, without waiting, and writes our pid into the file.
    ///
    /// # Errors
    /// When another supervisor holds it or the file cannot be opened or written.
    pub fn acquire(directory: &Path) -> Result<Self, LockError> {
        let path = directory.join("lock");
        let failed = |error: io::Error| LockError::File {
            path: path.clone(),
            cause: Cause::from_io(&error),
        };
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .custom_flags(libc::O_NOFOLLOW)
            .open(&path)
            .map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let (directory, pid) = (directory.to_owned(), read_pid(&mut file));
                return Err(LockError::HeldBy { directory, pid });
            }
            Err(TryLockError::Error(error)) => return Err(failed(error)),
        }
        file.set_len(0).map_err(failed)?;
        file.rewind().map_err(failed)?;
        writeln!(file, "{}", std::process::id()).map_err(failed)?;
        Ok(Self { file })
    }

    /// The lock again after this program has re-executed itself: it goes with the open
    /// file, not with the program.
    #[must_use]
    pub fn carried_over(descriptor: OwnedFd) -> Self {
        Self { file: descriptor.into() }
    }
}

impl AsFd for StateLock {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

fn read_pid(file: &mut File) -> Option<i32> {
    let mut text = String::new();
    file.take(32).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}
