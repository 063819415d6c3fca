//! The program executes another file in its own place: same pid, same children, and the
//! descriptors that it passes on.
//!
//! ```text
//!   passable(fd) ─► execute(program) ─────────► inherited(number)
//!    a copy that      signals wait, limits        close-on-exec again
//!    survives         are as they were given
//! ```
//!
//! For the binary only. What `execve(2)` keeps by itself: children, the lock of an open file,
//! being a subreaper. What it ends: all other threads, and every descriptor that is
//! close-on-exec, which are all but copies made here.
#![allow(unsafe_code)]

use std::ffi::{CString, OsString};
use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd, RawFd};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::{SigSet, Signal};
use nix::unistd::execve;

use super::fds::original_nofile;

/// A copy of a descriptor that is not close-on-exec. Services do not get it: a start closes
/// what is not theirs.
///
/// # Errors
/// `EMFILE`.
pub fn passable(fd: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    // Not among the standard streams.
    let number = fcntl(fd, FcntlArg::F_DUPFD(3))?;
    // SAFETY: the kernel has just made this descriptor, and nobody else knows of it.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

/// Takes the descriptor of this number that was passed on to this program; close-on-exec from
/// now on. The caller knows the number from who passed it on, and asks once for each.
///
/// # Errors
/// `EBADF` when there is none.
pub fn inherited(number: RawFd) -> io::Result<OwnedFd> {
    if number < 3 {
        return Err(Errno::EBADF.into());
    }
    // SAFETY: asked before anything owns it; a number that is not open is an error.
    let flags = unsafe { BorrowedFd::borrow_raw(number) };
    let flags = FdFlag::from_bits_truncate(fcntl(flags, FcntlArg::F_GETFD)?);
    if flags.contains(FdFlag::FD_CLOEXEC) {
        // It did not come through execve(2): it is somebody's of this program.
        return Err(Errno::EBADF.into());
    }
    // SAFETY: it was passed on to us and nobody of this program has made it, so it is nobody's.
    let fd = unsafe { OwnedFd::from_raw_fd(number) };
    fcntl(&fd, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC))?;
    Ok(fd)
}

/// The number by which a descriptor is passed on.
#[must_use]
pub fn number(fd: &OwnedFd) -> RawFd {
    fd.as_raw_fd()
}

/// Executes `program` in place of this one, with the limit of descriptors that this one was
/// given. Signals that would end it wait until [`let_signals_come`].
///
/// # Errors
/// Returns only with one, and then nothing has changed.
#[must_use]
pub fn execute(program: &Path, args: &[OsString], env: &[(OsString, OsString)]) -> io::Error {
    match try_execute(program, args, env) {
        Ok(never) => match never {},
        Err(error) => error,
    }
}

fn try_execute(
    program: &Path,
    args: &[OsString],
    env: &[(OsString, OsString)],
) -> io::Result<std::convert::Infallible> {
    let text = |bytes: &[u8]| CString::new(bytes).map_err(io::Error::other);
    let program = text(program.as_os_str().as_bytes())?;
    let args: Vec<CString> =
        args.iter().map(|arg| text(arg.as_bytes())).collect::<Result<_, _>>()?;
    let env = env.iter().map(|(name, value)| {
        let mut line = name.clone().into_vec();
        line.push(b'=');
        line.extend_from_slice(value.as_bytes());
        text(&line)
    });
    let env: Vec<CString> = env.collect::<Result<_, _>>()?;
    let before = SigSet::thread_get_mask()?;
    steering().thread_block()?;
    let raised = getrlimit(Resource::RLIMIT_NOFILE)?;
    if let Some(original) = original_nofile() {
        setrlimit(Resource::RLIMIT_NOFILE, original.soft.min(raised.1), raised.1)?;
    }
    let failed = execve(&program, &args, &env);
    let _ = setrlimit(Resource::RLIMIT_NOFILE, raised.0, raised.1);
    let _ = before.thread_set_mask();
    Ok(failed?)
}

/// Lets the signals come that [`execute`] has made wait. To be called on the main thread when
/// they are handled.
///
/// # Errors
/// None that is known.
pub fn let_signals_come() -> io::Result<()> {
    Ok(steering().thread_unblock()?)
}

/// The signals that steer the supervisor.
fn steering() -> SigSet {
    [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP].into_iter().collect()
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd as _;

    use super::*;

    #[test]
    fn a_passable_copy_can_be_taken_once_and_nothing_else_can() {
        let (reader, _writer) = nix::unistd::pipe().unwrap();
        fcntl(&reader, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC)).unwrap();
        assert!(inherited(number(&reader)).is_err(), "it is close-on-exec: not passed on");
        let copy = passable(reader.as_fd()).unwrap();
        let raw = std::os::fd::IntoRawFd::into_raw_fd(copy);
        let taken = inherited(raw).unwrap();
        let flags = fcntl(&taken, FcntlArg::F_GETFD).unwrap();
        assert!(FdFlag::from_bits_truncate(flags).contains(FdFlag::FD_CLOEXEC));
        assert!(inherited(1).is_err() && inherited(i32::MAX).is_err());
    }

    #[test]
    fn what_cannot_be_executed_changes_nothing() {
        let before = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
        let error = execute(Path::new("/nonexistent"), &["x".into()], &[]);
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
        assert_eq!(getrlimit(Resource::RLIMIT_NOFILE).unwrap(), before);
        assert!(!SigSet::thread_get_mask().unwrap().contains(Signal::SIGTERM));
    }
}
