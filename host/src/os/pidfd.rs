//! The calls on a pidfd that have no wrapper elsewhere.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::sync::Arc;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use tokio::io::{Interest, unix::AsyncFd};

use super::wait::ExitStatus;

/// `PIDFD_SIGNAL_PROCESS_GROUP` of `linux/pidfd.h`, Linux 6.9.
const SIGNAL_PROCESS_GROUP: libc::c_uint = 1 << 2;
/// `PIDFD_INFO_EXIT` of `linux/pidfd.h`, Linux 6.15.
const INFO_EXIT: u64 = 1 << 3;

/// Who gets a signal.
#[derive(Clone, Copy, Debug)]
pub(super) enum Scope {
    /// The process itself.
    Process,
    /// Every member of the process group that it leads or led; `EINVAL` before Linux 6.9.
    Group,
}

/// `pidfd_open(2)`; the descriptor is close-on-exec.
pub(super) fn open(pid: i32) -> Result<OwnedFd, Errno> {
    // SAFETY: no memory is passed.
    let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
    let fd = Errno::result(fd)?;
    let fd = RawFd::try_from(fd).map_err(|_| Errno::EBADF)?;
    // SAFETY: the kernel has just made this descriptor and nobody else knows of it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// `pidfd_send_signal(2)`; signal 0 only asks whether there is somebody to signal.
pub(super) fn send(pidfd: BorrowedFd<'_>, signal: i32, scope: Scope) -> Result<(), Errno> {
    let flags = match scope {
        Scope::Process => 0,
        Scope::Group => SIGNAL_PROCESS_GROUP,
    };
    let info = std::ptr::null::<libc::siginfo_t>();
    // SAFETY: a null siginfo asks the kernel to fill it in as for kill(2).
    let result = unsafe {
        libc::syscall(libc::SYS_pidfd_send_signal, pidfd.as_raw_fd(), signal, info, flags)
    };
    Errno::result(result).map(drop)
}

/// `kill(2)` on a process group by its number, which the caller knows to be in use by
/// the group that is meant.
pub(super) fn kill_group(group: i32, signal: i32) -> Result<(), Errno> {
    // kill(-1) would be everybody and kill(0) ourselves.
    if group <= 1 {
        return Err(Errno::ESRCH);
    }
    // SAFETY: no memory is passed.
    Errno::result(unsafe { libc::kill(-group, signal) }).map(drop)
}

/// Whether the process has ended, reaped or not (`pidfd_open(2)`: readable then).
pub(super) fn has_ended(pidfd: BorrowedFd<'_>) -> bool {
    let mut fds = [PollFd::new(pidfd, PollFlags::POLLIN)];
    matches!(poll(&mut fds, PollTimeout::ZERO), Ok(1..))
}

/// Registers the pidfd with the runtime's reactor: it becomes readable at the exit.
pub(super) fn watch(pidfd: Arc<OwnedFd>) -> io::Result<AsyncFd<Arc<OwnedFd>>> {
    // SAFETY: the registration owns a share of the descriptor, so that stays open and the
    // same until after the registration ends, and its number never changes.
    Ok(unsafe { AsyncFd::register_with_interest(pidfd, Interest::READABLE) }?)
}

/// `struct pidfd_info` of `linux/pidfd.h` in its first size.
#[repr(C)]
#[derive(Default)]
struct Info {
    mask: u64,
    cgroup: u64,
    /// pid, tgid, ppid and the eight ids of the credentials.
    ids: [u32; 11],
    exit_code: i32,
}

/// How a process that is no child of ours ended, once it was reaped; `None` before that
/// and on kernels older than 6.15.
pub(super) fn exit_status(pidfd: BorrowedFd<'_>) -> Option<ExitStatus> {
    const GET_INFO: libc::c_ulong = nix::request_code_readwrite!(0xff, 11, size_of::<Info>());
    let mut info = Info { mask: INFO_EXIT, ..Info::default() };
    // SAFETY: the request carries the size of `info`, which is writable for the call.
    let result = unsafe { libc::ioctl(pidfd.as_raw_fd(), GET_INFO, &raw mut info) };
    if result == 0 && info.mask & INFO_EXIT != 0 {
        ExitStatus::from_wait(info.exit_code)
    } else {
        None
    }
}
