//! `waitid(2)` on one process, and how a process ended.
//!
//! There is no way here to wait for "any child": that would take the exits of children
//! that the embedding program started itself.
#![allow(unsafe_code)]

use std::os::fd::{AsRawFd, BorrowedFd};

use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

use nix::errno::Errno;

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ExitStatus {
    /// It exited with this code, 0 to 255.
    Code(i32),
    /// A signal ended it.
    Signal {
        /// The number of the signal, realtime signals included.
        signal: i32,
        /// Whether the kernel wrote a core dump.
        core_dumped: bool,
    },
}

impl From<ExitStatus> for kennel_core::ExitStatus {
    fn from(status: ExitStatus) -> kennel_core::ExitStatus {
        match status {
            ExitStatus::Code(code) => kennel_core::ExitStatus::Code(code),
            ExitStatus::Signal { signal, core_dumped } => {
                match kennel_core::Signal::from_number(signal) {
                    Some(signal) => kennel_core::ExitStatus::Signal { signal, core_dumped },
                    None => kennel_core::ExitStatus::Unknown,
                }
            }
        }
    }
}

impl ExitStatus {
    /// The status in the form `wait(2)` stores it.
    pub(super) fn from_wait(raw: i32) -> Option<Self> {
        if libc::WIFEXITED(raw) {
            Some(Self::Code(libc::WEXITSTATUS(raw)))
        } else if libc::WIFSIGNALED(raw) {
            let core_dumped = libc::WCOREDUMP(raw);
            Some(Self::Signal { signal: libc::WTERMSIG(raw), core_dumped })
        } else {
            None
        }
    }
}

/// A child may be reaped as long as this exists.
struct Reap;

impl Reap {
    fn begin() -> Reap {
        REAPS_BEGUN.fetch_add(1, SeqCst);
        Reap
    }
}

impl Drop for Reap {
    fn drop(&mut self) {
        REAPS_ENDED.fetch_add(1, SeqCst);
    }
}

/// The child that is waited for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Child<'fd> {
    /// The one behind this pidfd.
    Pidfd(BorrowedFd<'fd>),
    /// The one with this number, which the caller knows not to have been reaped.
    Pid(i32),
}

/// What becomes of a child that has ended.
#[derive(Clone, Copy, Debug)]
pub(super) enum Zombie {
    /// It is removed and its number is free.
    Reap,
    /// It stays, and with it its number.
    Keep,
}

/// Whether to wait.
#[derive(Clone, Copy, Debug)]
pub(super) enum Patience {
    /// Answer now.
    Poll,
    /// Answer when the child has ended.
    Block,
}

static REAPS_BEGUN: AtomicU64 = AtomicU64::new(0);
static REAPS_ENDED: AtomicU64 = AtomicU64::new(0);

/// How often a child was reaped, or might have been; none while that is under way.
pub(super) fn reaps() -> Option<u64> {
    // Read in this order, so that equal means none was under way in between.
    let ended = REAPS_ENDED.load(SeqCst);
    (REAPS_BEGUN.load(SeqCst) == ended).then_some(ended)
}

/// The status of a child, or `None` while it runs.
///
/// # Errors
/// `ECHILD` when it is no child of ours or was reaped already.
pub(super) fn wait(
    child: Child<'_>,
    zombie: Zombie,
    patience: Patience,
) -> Result<Option<ExitStatus>, Errno> {
    let (kind, id) = match child {
        Child::Pidfd(fd) => (libc::P_PIDFD, fd.as_raw_fd()),
        Child::Pid(pid) => (libc::P_PID, pid),
    };
    let mut flags = libc::WEXITED;
    let mut _reap = None;
    match zombie {
        Zombie::Reap => _reap = Some(Reap::begin()),
        Zombie::Keep => flags |= libc::WNOWAIT,
    }
    match patience {
        Patience::Poll => flags |= libc::WNOHANG,
        Patience::Block => {}
    }
    // SAFETY: siginfo_t is a C struct of integers and pointers, for which zero is valid.
    let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
    loop {
        // SAFETY: `info` is writable for the whole call and nothing else is pointed to.
        let result = unsafe { libc::waitid(kind, id.cast_unsigned(), &raw mut info, flags) };
        match Errno::result(result) {
            Ok(_) => break,
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno),
        }
    }
    // SAFETY: waitid fills these fields, or leaves them zero when nothing has ended.
    let pid = unsafe { info.si_pid() };
    if pid == 0 {
        return Ok(None);
    }
    // SAFETY: as above.
    let status = unsafe { info.si_status() };
    Ok(Some(match info.si_code {
        libc::CLD_EXITED => ExitStatus::Code(status),
        code => ExitStatus::Signal { signal: status, core_dumped: code == libc::CLD_DUMPED },
    }))
}
