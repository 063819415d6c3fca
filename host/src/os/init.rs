//! What the first process of a container needs: every signal, and every child that ends.
//!
//! For `kennel init` only, whose whole program this is: it blocks all signals, and takes the
//! exits of children whoever started them. A supervisor never does either.
#![allow(unsafe_code)]

use std::io;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command};

use nix::errno::Errno;
use nix::sys::signal::{SigSet, SigmaskHow, Signal, sigprocmask};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::unistd::{Pid, tcsetpgrp};

use super::pidfd;
use super::wait::ExitStatus;

/// Signals of a fault of our own: blocked, they would end the process in any case.
const FAULTS: [Signal; 7] = [
    Signal::SIGSEGV,
    Signal::SIGBUS,
    Signal::SIGFPE,
    Signal::SIGILL,
    Signal::SIGTRAP,
    Signal::SIGABRT,
    Signal::SIGSYS,
];

/// All signals that this process is sent, real-time ones too.
///
/// They are blocked, for the kernel drops a signal to PID 1 that is neither handled nor
/// blocked (`pid_namespaces(7)`).
#[derive(Debug)]
pub struct Incoming {
    signals: SignalFd,
    /// What was blocked before.
    before: SigSet,
}

impl Incoming {
    /// Takes over the signals of this process, which must have one thread only.
    ///
    /// # Errors
    /// Those of `signalfd(2)`.
    pub fn take() -> io::Result<Incoming> {
        let mut signals = SigSet::all();
        FAULTS.into_iter().for_each(|fault| signals.remove(fault));
        let mut before = SigSet::empty();
        sigprocmask(SigmaskHow::SIG_SETMASK, Some(&signals), Some(&mut before))?;
        // Ignored, as it may have been inherited, it would take the exits of children.
        // SAFETY: no handler is installed.
        unsafe { libc::signal(libc::SIGCHLD, libc::SIG_DFL) };
        let signals = SignalFd::with_flags(&signals, SfdFlags::SFD_CLOEXEC)?;
        Ok(Incoming { signals, before })
    }

    /// Starts a command in a process group of its own, with the terminal, where standard
    /// input is our controlling one, and with the signals blocked that were before.
    ///
    /// # Errors
    /// Those of [`Command::spawn`].
    pub fn start(&self, command: &mut Command) -> io::Result<Child> {
        let before = self.before;
        let in_child = move || {
            // SIGTTOU is still blocked, so it may be done from the background. Without a
            // terminal it fails.
            let _ = tcsetpgrp(io::stdin(), Pid::this());
            Ok(sigprocmask(SigmaskHow::SIG_SETMASK, Some(&before), None)?)
        };
        command.process_group(0);
        // SAFETY: between fork and exec it makes system calls only, and allocates nothing.
        unsafe { command.pre_exec(in_child) };
        command.spawn()
    }

    /// Waits for the next one; its number.
    ///
    /// # Errors
    /// Those of `read(2)`.
    pub fn next(&self) -> io::Result<i32> {
        loop {
            match self.signals.read_signal() {
                Ok(Some(signal)) => return Ok(signal.ssi_signo.cast_signed()),
                Ok(None) | Err(Errno::EINTR) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
    }
}

/// What became of a child.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ChildNews {
    /// It has ended and was reaped.
    Ended(ExitStatus),
    /// A signal has stopped it (SIGTSTP, SIGTTIN, SIGSTOP).
    Stopped,
}

/// The next news of any child, its number first; none when there is none at present.
#[must_use]
pub fn next_child() -> Option<(i32, ChildNews)> {
    loop {
        let mut status = 0;
        // SAFETY: the status is writable for the call.
        let pid = unsafe { libc::waitpid(-1, &raw mut status, libc::WNOHANG | libc::WUNTRACED) };
        match Errno::result(pid) {
            Ok(0) => return None,
            Ok(pid) if libc::WIFSTOPPED(status) => return Some((pid, ChildNews::Stopped)),
            Ok(pid) => {
                if let Some(ended) = ExitStatus::from_wait(status) {
                    return Some((pid, ChildNews::Ended(ended)));
                }
            }
            Err(Errno::EINTR) => {}
            Err(_) => return None,
        }
    }
}

/// Sends a signal to each member of the group that this child of ours leads, which was not
/// reaped yet. When nobody is left, that is no error.
///
/// # Errors
/// `EPERM`, `EINVAL`.
pub fn signal_group_of_child(leader: i32, signal: i32) -> io::Result<()> {
    match pidfd::kill_group(leader, signal) {
        Ok(()) | Err(Errno::ESRCH) => Ok(()),
        Err(errno) => Err(errno.into()),
    }
}

/// Gives the terminal to the group of this child again, after a shell had it.
pub fn give_terminal_to(leader: i32) {
    // SIGTTOU is blocked. Without a terminal it fails.
    let _ = tcsetpgrp(io::stdin(), Pid::from_raw(leader));
}

/// Stops this process, as a shell expects of a job whose child was stopped. PID 1 cannot be.
pub fn stop_ourselves() {
    let _ = nix::sys::signal::kill(Pid::this(), Signal::SIGSTOP);
}
