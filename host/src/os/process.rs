//! A process that is supervised: its exit, its signals, its process group.
//!
//! Everything goes through a pidfd, so a number that the kernel has given to somebody
//! else can never be signalled or waited for by mistake.
//!
//! The group outlives its leader, and services leave children behind. A stop goes:
//!
//! ```text
//! exited().await ─► signal_group(SIGTERM) ─► group_alive()? ─► signal_group(SIGKILL)
//!      │                                                              │
//!      └─ the status is known here, before the group is gone          └─► release()
//! ```
//!
//! On Linux 6.9 and later the pidfd of the leader names the group even after the leader
//! was reaped ([`GroupSignals::Pidfd`]), so the leader is reaped at once. On older
//! kernels the group has only a number, which is safe as long as the leader exists, if
//! only as a zombie ([`GroupSignals::Number`]): there the status is read without reaping
//! (`WNOWAIT`) and the zombie is held until [`Process::release`] or drop.
//!
//! A process may be no child of ours: one adopted from an earlier supervisor. Its exit
//! status then comes from `PIDFD_GET_INFO` (Linux 6.15) or, while nobody has waited for it and
//! where it may be read, from `/proc`; else it is unknown, which is the error `ECHILD`. The same
//! holds when an embedding program ignores SIGCHLD or waits for any child itself.
//!
//! Deliberately absent: a SIGCHLD handler, `waitpid(-1)`, and any use of the pid but to
//! show it and, guarded, as the number of the group.

use std::collections::HashSet;
use std::fmt;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use nix::errno::Errno;
use nix::unistd::{Pid, getpgid, getsid};
use tokio::io::unix::AsyncFd;

use super::children::{self, Known};
use super::pidfd::{self, Scope};
use super::proc;
use super::wait::{Child, ExitStatus, Patience, Zombie, wait};

/// How long an adopted process may stay a zombie before its status counts as unknown.
const FOREIGN_ZOMBIE_PATIENCE: Duration = Duration::from_secs(1);
const FOREIGN_ZOMBIE_POLL: Duration = Duration::from_millis(10);

/// Whether somebody else in this process is about to go on with our children.
static LEFT: AtomicBool = AtomicBool::new(false);

/// From now on how a process has ended is read and not taken, so that a successor in this
/// process can read it too; or no longer.
pub fn leave_to_successor(is_left: bool) {
    LEFT.store(is_left, Ordering::SeqCst);
}

fn is_left_to_successor() -> bool {
    LEFT.load(Ordering::SeqCst)
}

/// How the members of a process group are reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GroupSignals {
    /// By the leader's pidfd (`PIDFD_SIGNAL_PROCESS_GROUP`, Linux 6.9).
    Pidfd,
    /// By the number of the group, while the leader is not reaped.
    Number,
}

impl GroupSignals {
    /// What this kernel can do, asked once.
    #[must_use]
    pub fn supported() -> Self {
        static SUPPORTED: OnceLock<GroupSignals> = OnceLock::new();
        *SUPPORTED.get_or_init(|| {
            let own = pidfd::open(Pid::this().as_raw());
            match own.and_then(|own| pidfd::send(own.as_fd(), 0, Scope::Group)) {
                // EPERM and ESRCH come after the flag was understood.
                Ok(()) | Err(Errno::EPERM | Errno::ESRCH) => Self::Pidfd,
                Err(_) => Self::Number,
            }
        })
    }
}

/// One process, from its start until nothing of its group is left.
///
/// Dropped while the process runs, it leaves the process running and the exit is
/// collected at the next spawn or orphan sweep; dropped after the exit, it reaps.
pub struct Process {
    pid: i32,
    start_time: Option<u64>,
    group_signals: GroupSignals,
    state: Mutex<State>,
    reactor: OnceLock<AsyncFd<Arc<OwnedFd>>>,
    pidfd: Arc<OwnedFd>,
}

struct State {
    stage: Stage,
    known: Option<Known>,
}

#[derive(Clone, Copy)]
enum Stage {
    Running,
    /// Ended, not reaped: the number still names the group.
    Held(ExitStatus),
    Reaped(ExitStatus),
    /// Ended, and how is not known.
    Lost,
}

impl Process {
    pub(super) fn new(pid: i32, pidfd: OwnedFd, known: Known, group_signals: GroupSignals) -> Self {
        Self {
            pid,
            start_time: proc::start_time(pid).ok(),
            group_signals,
            state: Mutex::new(State { stage: Stage::Running, known: Some(known) }),
            reactor: OnceLock::new(),
            pidfd: Arc::new(pidfd),
        }
    }

    /// Takes over a process that an earlier supervisor started, child of ours or not.
    ///
    /// # Errors
    /// `ESRCH` when there is no process `pid` that began at `start_time` any more.
    pub fn adopt(pid: i32, start_time: u64) -> io::Result<Self> {
        let (known, pidfd) = children::register(None, || {
            let pidfd = pidfd::open(pid)?;
            Ok::<_, Errno>((pid, pidfd))
        })?;
        // Read through the number, so the pidfd must prove afterwards that the number
        // still was its own.
        let found = proc::start_time(pid).map_err(|_| Errno::ESRCH)?;
        pidfd::send(pidfd.as_fd(), 0, Scope::Process).or_else(|errno| match errno {
            Errno::EPERM => Ok(()),
            errno => Err(errno),
        })?;
        if found != start_time {
            return Err(Errno::ESRCH.into());
        }
        Ok(Self::new(pid, pidfd, known, GroupSignals::supported()))
    }

    /// The number of the process, which is also the one of its group and session. To be
    /// shown, not to be acted on.
    #[must_use]
    pub fn pid(&self) -> i32 {
        self.pid
    }

    /// When it began, in clock ticks since boot (field 22 of `/proc/pid/stat`): with the
    /// pid and the boot id this names a process for ever. `None` without `/proc`.
    #[must_use]
    pub fn start_time(&self) -> Option<u64> {
        self.start_time
    }

    /// The process group that it is in, unless it has ended.
    #[must_use]
    pub fn group(&self) -> Option<i32> {
        self.asked(getpgid)
    }

    /// The session that it is in, unless it has ended.
    #[must_use]
    pub fn session(&self) -> Option<i32> {
        self.asked(getsid)
    }

    fn asked(&self, ask: fn(Option<Pid>) -> Result<Pid, Errno>) -> Option<i32> {
        let answer = ask(Some(Pid::from_raw(self.pid))).ok()?;
        // Asked by the number, so the pidfd must show that the number still was its own.
        match pidfd::send(self.pidfd.as_fd(), 0, Scope::Process) {
            Ok(()) | Err(Errno::EPERM) => Some(answer.as_raw()),
            Err(_) => None,
        }
    }

    /// Waits until the process has ended. May be called again and gives the same answer.
    ///
    /// Needs a tokio runtime with I/O enabled. Cancel safe.
    ///
    /// # Errors
    /// `ECHILD` when it has ended and how cannot be known.
    pub async fn exited(&self) -> io::Result<ExitStatus> {
        let mut patience = FOREIGN_ZOMBIE_PATIENCE;
        loop {
            if let Some(status) = self.try_exited()? {
                return Ok(status);
            }
            let mut ready = self.reactor()?.readable().await?;
            if let Some(status) = self.try_exited()? {
                return Ok(status);
            }
            if !pidfd::has_ended(self.pidfd.as_fd()) {
                ready.clear_ready();
            } else if patience.is_zero() {
                self.lock().stage = Stage::Lost;
            } else {
                // Somebody else's zombie: its status can be read once it was reaped.
                tokio::time::sleep(FOREIGN_ZOMBIE_POLL).await;
                patience = patience.saturating_sub(FOREIGN_ZOMBIE_POLL);
            }
        }
    }

    /// Whether it has ended, also when how is not known yet.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        pidfd::has_ended(self.pidfd.as_fd())
    }

    /// How the process ended, or `None` while it runs. Does not wait.
    ///
    /// # Errors
    /// `ECHILD` when it has ended and how cannot be known.
    pub fn try_exited(&self) -> io::Result<Option<ExitStatus>> {
        self.collect(&mut self.lock()).map_err(io::Error::from)
    }

    /// Sends a signal to the main process only (`pidfd_send_signal(2)`); 0 only asks.
    ///
    /// # Errors
    /// `ESRCH` when it was reaped, `EPERM`, or `EINVAL` for a number that is no signal.
    pub fn signal(&self, signal: i32) -> io::Result<()> {
        Ok(pidfd::send(self.pidfd.as_fd(), signal, Scope::Process)?)
    }

    /// Sends a signal to every member of the process group, also after the main process
    /// has ended.
    ///
    /// # Errors
    /// `ESRCH` when no member is left, or after [`release`](Self::release) on a kernel
    /// older than 6.9; `EPERM` when no member may be signalled; `EINVAL`.
    pub fn signal_group(&self, signal: i32) -> io::Result<()> {
        let state = self.lock();
        Ok(self.send_to_group(&state, signal)?)
    }

    /// Sends a signal to every member of the group that it is in, whoever leads that.
    ///
    /// # Errors
    /// `ESRCH` when it has ended; as [`signal_group`](Self::signal_group).
    pub fn signal_present_group(&self, signal: i32) -> io::Result<()> {
        match self.group() {
            Some(group) if group == self.pid => self.signal_group(signal),
            // A member that lives keeps the number from being given to another group.
            Some(group) => Ok(pidfd::kill_group(group, signal)?),
            None => Err(Errno::ESRCH.into()),
        }
    }

    /// Whether a member of the process group still runs. Zombies do not count: they wait
    /// for whoever should reap them and cannot be stopped further.
    ///
    /// After the main process has ended this reads `/proc`: not for a tight loop.
    #[must_use]
    pub fn group_alive(&self) -> bool {
        self.group_alive_among(proc::living_groups().ok().as_ref())
    }

    /// The same by a list of living groups that was made just before; without one, zombies
    /// count.
    #[must_use]
    pub fn group_alive_among(&self, living: Option<&HashSet<i32>>) -> bool {
        let mut state = self.lock();
        if matches!(self.collect(&mut state), Ok(None)) {
            return true;
        }
        match self.send_to_group(&state, 0) {
            Err(Errno::ESRCH) => false,
            // The group exists now, so when the list was made its number was its own.
            Ok(()) | Err(_) => living.is_none_or(|living| living.contains(&self.pid)),
        }
    }

    /// Gives up the number of the group: reaps the main process if it has ended and is
    /// still held. Does nothing while it runs.
    pub fn release(&self) {
        let mut state = self.lock();
        // An error means that nothing is left to reap.
        let _ = self.collect(&mut state);
        if let Stage::Held(status) = state.stage {
            let _ = wait(Child::Pidfd(self.pidfd.as_fd()), Zombie::Reap, Patience::Poll);
            state.stage = Stage::Reaped(status);
            state.known = None;
        }
    }

    fn collect(&self, state: &mut State) -> Result<Option<ExitStatus>, Errno> {
        match state.stage {
            Stage::Running => {}
            Stage::Held(status) | Stage::Reaped(status) => return Ok(Some(status)),
            Stage::Lost => return Err(Errno::ECHILD),
        }
        let zombie = match self.group_signals {
            GroupSignals::Pidfd if !is_left_to_successor() => Zombie::Reap,
            GroupSignals::Pidfd | GroupSignals::Number => Zombie::Keep,
        };
        match wait(Child::Pidfd(self.pidfd.as_fd()), zombie, Patience::Poll) {
            Ok(None) => return Ok(None),
            Ok(Some(status)) => match zombie {
                Zombie::Keep => {
                    state.stage = Stage::Held(status);
                    return Ok(Some(status));
                }
                Zombie::Reap => state.stage = Stage::Reaped(status),
            },
            Err(Errno::ECHILD) => match self.foreign_stage() {
                Stage::Running => return Ok(None),
                ended => state.stage = ended,
            },
            Err(errno) => return Err(errno),
        }
        state.known = None;
        match state.stage {
            Stage::Running => Ok(None),
            Stage::Held(status) | Stage::Reaped(status) => Ok(Some(status)),
            Stage::Lost => Err(Errno::ECHILD),
        }
    }

    /// Where a process stands that we cannot wait for.
    fn foreign_stage(&self) -> Stage {
        if let Some(status) = pidfd::exit_status(self.pidfd.as_fd()) {
            return Stage::Reaped(status);
        }
        let zombie = pidfd::has_ended(self.pidfd.as_fd()).then(|| proc::zombie_status(self.pid));
        match (pidfd::send(self.pidfd.as_fd(), 0, Scope::Process), zombie.flatten()) {
            (Err(Errno::ESRCH), _) => Stage::Lost,
            // Its number still is its own, so what was read there is its status.
            (Ok(()) | Err(_), Some(raw)) => {
                ExitStatus::from_wait(raw).map_or(Stage::Running, Stage::Held)
            }
            (Ok(()) | Err(_), None) => Stage::Running,
        }
    }

    /// The lock on `state` keeps the leader from being reaped meanwhile.
    fn send_to_group(&self, state: &State, signal: i32) -> Result<(), Errno> {
        match (self.group_signals, state.stage) {
            (GroupSignals::Pidfd, _) => pidfd::send(self.pidfd.as_fd(), signal, Scope::Group),
            (GroupSignals::Number, Stage::Reaped(_) | Stage::Lost) => Err(Errno::ESRCH),
            (GroupSignals::Number, Stage::Running | Stage::Held(_)) => {
                // Somebody else's child may be reaped behind our back.
                match pidfd::send(self.pidfd.as_fd(), 0, Scope::Process) {
                    Ok(()) | Err(Errno::EPERM) => pidfd::kill_group(self.pid, signal),
                    Err(errno) => Err(errno),
                }
            }
        }
    }

    fn reactor(&self) -> io::Result<&AsyncFd<Arc<OwnedFd>>> {
        // One registration at a time: a second one of the same descriptor is refused.
        let _state = self.lock();
        if let Some(reactor) = self.reactor.get() {
            return Ok(reactor);
        }
        let reactor = pidfd::watch(Arc::clone(&self.pidfd))?;
        Ok(self.reactor.get_or_init(|| reactor))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Sends a signal to the process `pid` that began at `start_time`, and to no later one of
/// that number.
///
/// # Errors
/// `ESRCH` when it has ended; `EPERM`; `EINVAL`.
pub fn signal_exactly(pid: i32, start_time: u64, signal: i32) -> io::Result<()> {
    let pidfd = pidfd::open(pid)?;
    // Read after the pidfd was opened, and that must be able to signal afterwards.
    match proc::start_time(pid) {
        Ok(found) if found == start_time => Ok(pidfd::send(pidfd.as_fd(), signal, Scope::Process)?),
        Ok(_) | Err(_) => Err(Errno::ESRCH.into()),
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.release();
        let known = self.lock().known.take();
        if let Some(known) = known {
            children::abandon(Arc::clone(&self.pidfd), known);
        }
    }
}

impl fmt::Debug for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Process").field("pid", &self.pid).finish_non_exhaustive()
    }
}
