//! The supervisor's own limit of descriptors.
//!
//! Each service costs a few descriptors, and the usual soft limit is 1024. The binary
//! raises its own; services still start with what it was before, since programs that use
//! `select(2)` break above 1024.

use std::io;
use std::sync::OnceLock;

use nix::sys::resource::{Resource as Kind, getrlimit, setrlimit};
use nix::unistd::Pid;

use super::proc;
use super::rlimit::{Resource, Rlimit};

static ORIGINAL: OnceLock<Rlimit> = OnceLock::new();

/// Raises the soft limit of open descriptors of this process to the hard one, once, and
/// returns it. For the binary only: it changes the whole program.
///
/// # Errors
/// As `setrlimit(2)`.
pub fn raise_nofile() -> io::Result<u64> {
    let (soft, hard) = getrlimit(Kind::RLIMIT_NOFILE)?;
    if soft < hard {
        setrlimit(Kind::RLIMIT_NOFILE, hard, hard)?;
        // Set after the raise, and only by the first one: a later call finds nothing to do.
        ORIGINAL.get_or_init(|| Rlimit { resource: Resource::Nofile, soft, hard });
    }
    Ok(hard)
}

/// The limit before [`raise_nofile`], which services are given unless they have their
/// own; `None` when nothing was raised.
#[must_use]
pub fn original_nofile() -> Option<Rlimit> {
    ORIGINAL.get().copied()
}

/// How many descriptors this process has open.
///
/// # Errors
/// When `/proc` is not mounted.
pub fn open_count() -> io::Result<usize> {
    // The listing itself holds one open.
    Ok(proc::open_fds(Pid::this().as_raw())?.saturating_sub(1))
}
