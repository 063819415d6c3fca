//! Starting a process: everything between the creation of the child and its program.
//!
//! The supervisor may hold a lot of memory, and a fork copies its page tables at every
//! start. So the child borrows the supervisor's memory instead, on a stack of its own,
//! and the calling thread is suspended until the child has executed its program or died:
//! `CLONE_VM | CLONE_VFORK` (file `clone`). The cost is the same at 10 MB and 10 GB.
//!
//! ```text
//! prepare (may allocate, may fail)      Plan: C strings, pointers, numbers
//! block every signal                    a handler must not run in the child
//! ┌ clone ──────────────────────────┐
//! │ child: session, descriptors,    │   parent thread sleeps
//! │   limits, identity, directory,  │
//! │   signals, execve               │
//! └ exec or exit ───────────────────┘
//! unblock, read the failure from the plan
//! ```
//!
//! Rules for the child, all because it shares memory and locks with live threads:
//! raw system calls only (the C library's setuid would signal the parent's threads), no
//! allocation, no lock, nothing that can panic. It reports a failure by two atomics in
//! the plan, so there is no pipe and no wait.
//!
//! Changing the user id in memory that is shared marks that memory as not dumpable, which
//! is what keeps the new user from tracing the child while it still sees ours. The mark
//! is taken off again once the child has a memory of its own.
//!
//! The order of steps: descriptors before limits (a low `nofile` must not break them),
//! limits and scores before identity (they need privilege), the directory after it (with
//! the service's own rights), the signal mask last (nothing interrupts half a set-up).
//!
//! Deliberately absent: `PR_SET_NO_NEW_PRIVS` (services may use sudo), `PR_SET_PDEATHSIG`
//! (services outlive the supervisor), any fork path.
#![allow(unsafe_code)]

use std::convert::Infallible;
use std::ffi::c_int;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::ptr::{self, NonNull};
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Mutex, MutexGuard, PoisonError};

use libc::{c_long, c_void};
use nix::errno::Errno;
use nix::sys::mman::{MapFlags, ProtFlags, mmap_anonymous, mprotect, munmap};
use nix::sys::prctl;

use super::cause::Cause;
use super::children;
use super::clone::{clone, clone_into};
use super::launch::Launch;
use super::mark::Mark;
use super::plan::Plan;
use super::process::{GroupSignals, Process};
use super::spawn_error::{SpawnError, Step};
use super::wait::{Child, Patience, Zombie, wait};

/// Starts a process. The descriptors in `launch` are closed on this side.
///
/// Blocks the calling thread until the program runs, usually for less than a millisecond,
/// but as long as the file systems take that hold the program and its directory: not for
/// the driver's thread. Starts on other threads go on meanwhile, except that those with
/// credentials follow each other.
///
/// # Errors
/// The step that was refused; no process is left then.
pub fn spawn(launch: Launch) -> Result<Process, SpawnError> {
    spawn_with(launch, GroupSignals::supported())
}

/// [`spawn`] with a choice of how the process group is reached: for tests of the way
/// that older kernels go.
///
/// # Errors
/// As [`spawn`].
pub fn spawn_with(launch: Launch, group_signals: GroupSignals) -> Result<Process, SpawnError> {
    let plan = Plan::prepare(&launch)?;
    let refused = |step, errno| SpawnError::Refused { step, cause: Cause(errno) };
    let stack = Stack::map().map_err(|errno| refused(Step::Create, errno))?;
    let (known, (pid, pidfd)) =
        children::register(Mark::among(&launch.env).map(|mark| mark.run), || {
            let (pid, pidfd) =
                start(&plan, &stack, Entry::Born).map_err(|errno| refused(Step::Create, errno))?;
            match plan.failure() {
                None => Ok((pid, (pid, pidfd))),
                Some((step, cause)) => {
                    // It exits right after it has written the failure. ECHILD, where an
                    // embedding program ignores SIGCHLD, means the same: it is gone.
                    let _ = wait(Child::Pidfd(pidfd.as_fd()), Zombie::Reap, Patience::Block);
                    Err(explain(step, cause, &launch))
                }
            }
        })?;
    // Where no descriptor is left, theirs are enough to read when it began.
    drop((plan, launch));
    Ok(Process::new(pid, pidfd, known, group_signals))
}

fn explain(step: Step, cause: Cause, launch: &Launch) -> SpawnError {
    match step {
        Step::Execute(program) => {
            let base = launch.working_dir.as_deref().unwrap_or(Path::new("."));
            let seen = base.join(&program);
            SpawnError::execute(program, &seen, cause)
        }
        step => SpawnError::Refused { step, cause },
    }
}

/// How the child gets into its cgroup, if it has one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Entry {
    /// It is made there.
    Born,
    /// It goes there before it does anything else.
    Enters,
}

/// Creates the child and returns once it has executed its program or died.
pub(super) fn start(plan: &Plan, stack: &Stack, entry: Entry) -> Result<(i32, OwnedFd), Errno> {
    let _alone = plan.identity.is_some().then(lock_identity);
    let dumpable = prctl::get_dumpable();
    let blocked = BlockedSignals::all();
    let born = match (plan.cgroup, entry) {
        // SAFETY: the child keeps the rules at the head of this file; signals are blocked.
        (Some(cgroup), Entry::Born) => unsafe { clone_into(cgroup, child_inside, plan, stack) },
        (None, _) | (_, Entry::Enters) => Err(Errno::ENOSYS),
    };
    // SAFETY: the same. What is refused for another reason is so once more, and then that is
    // what is told.
    let made = born.or_else(|_| unsafe { clone(child, plan, stack) });
    drop(blocked);
    if dumpable == Ok(true) && plan.identity.is_some() && prctl::get_dumpable() == Ok(false) {
        // Failure leaves core dumps of the supervisor off: not a reason to fail the start.
        let _ = prctl::set_dumpable(true);
    }
    made
}

/// A child that gives up privileges makes the memory it still shares non-dumpable, and that
/// is undone when it has its own. If two did so at a time, the first to finish would undo
/// it for the other, too early.
fn lock_identity() -> MutexGuard<'static, ()> {
    static IDENTITY: Mutex<()> = Mutex::new(());
    IDENTITY.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The way a child fails: at which step, and the `errno(3)`.
type Refusal = (At, c_int);

/// Where the child is; the number is what goes through the plan's atomics.
#[derive(Clone, Copy)]
#[repr(i32)]
pub(super) enum At {
    Session = 1,
    Cgroup,
    Descriptor,
    CloseRest,
    OomScoreAdj,
    Nice,
    Limit,
    Groups,
    Group,
    User,
    WorkingDir,
    Execute,
}

impl At {
    const ALL: [Self; 12] = [
        Self::Session,
        Self::Cgroup,
        Self::Descriptor,
        Self::CloseRest,
        Self::OomScoreAdj,
        Self::Nice,
        Self::Limit,
        Self::Groups,
        Self::Group,
        Self::User,
        Self::WorkingDir,
        Self::Execute,
    ];

    pub(super) fn from_number(number: c_int) -> Option<Self> {
        Self::ALL.into_iter().find(|&at| at as c_int == number)
    }
}

extern "C" fn child(argument: *mut c_void) -> c_int {
    run(argument, Entry::Enters)
}

pub(super) extern "C" fn child_inside(argument: *mut c_void) -> c_int {
    run(argument, Entry::Born)
}

fn run(argument: *mut c_void, entry: Entry) -> c_int {
    // SAFETY: `start` passes a live plan, which nobody changes while its thread sleeps.
    let plan = unsafe { &*argument.cast::<Plan>() };
    let Err((at, errno)) = set_up_and_execute(plan, entry);
    plan.failed_errno.store(errno, Relaxed);
    plan.failed_at.store(at as c_int, Relaxed);
    loop {
        // SAFETY: ends the child only; no destructor or exit handler of the parent runs.
        unsafe { libc::syscall(libc::SYS_exit_group, 127) };
    }
}

fn set_up_and_execute(plan: &Plan, entry: Entry) -> Result<Infallible, Refusal> {
    // SAFETY: as `system` asks: this is the child, the pointers are the plan's.
    let call = |at, number, a, b, c, d| unsafe { system(at, number, [a, b, c, d]) };
    call(At::Session, libc::SYS_setsid, 0, 0, 0, 0)?;
    if let (Some(cgroup), Entry::Enters) = (plan.cgroup, entry) {
        let (file, write) = (c"cgroup.procs".as_ptr().expose_provenance(), libc::O_WRONLY as usize);
        let procs = call(At::Cgroup, libc::SYS_openat, cgroup as usize, file, write, 0)?;
        // 0 means who writes it.
        let own = c"0".as_ptr().expose_provenance();
        call(At::Cgroup, libc::SYS_write, procs, own, 1, 0)?;
        call(At::Cgroup, libc::SYS_close, procs, 0, 0, 0)?;
    }
    default_signals();
    place_descriptors(plan)?;
    if let Some(score) = &plan.oom_score_adj {
        let path = c"/proc/self/oom_score_adj".as_ptr().expose_provenance();
        let (here, write) = (libc::AT_FDCWD as usize, libc::O_WRONLY as usize);
        let fd = call(At::OomScoreAdj, libc::SYS_openat, here, path, write, 0)?;
        let text = score.as_ptr().expose_provenance();
        call(At::OomScoreAdj, libc::SYS_write, fd, text, score.len(), 0)?;
        call(At::OomScoreAdj, libc::SYS_close, fd, 0, 0, 0)?;
    }
    if let Some(nice) = plan.nice {
        let (process, own) = (libc::PRIO_PROCESS as usize, 0);
        call(At::Nice, libc::SYS_setpriority, process, own, nice as usize, 0)?;
    }
    for (index, limit) in plan.rlimits.iter().enumerate() {
        plan.failed_index.store(index as c_int, Relaxed);
        let value = ptr::from_ref(&limit.value).expose_provenance();
        call(At::Limit, libc::SYS_prlimit64, 0, limit.resource.number() as usize, value, 0)?;
    }
    if let Some(identity) = &plan.identity {
        let (uid, gid) = (identity.uid as usize, identity.gid as usize);
        let groups = identity.groups.as_ptr().expose_provenance();
        call(At::Groups, libc::SYS_setgroups, identity.groups.len(), groups, 0, 0)?;
        call(At::Group, libc::SYS_setresgid, gid, gid, gid, 0)?;
        call(At::User, libc::SYS_setresuid, uid, uid, uid, 0)?;
    }
    if let Some(mask) = plan.umask {
        // It always succeeds and returns the old mask.
        call(At::Session, libc::SYS_umask, mask as usize, 0, 0, 0)?;
    }
    if let Some(directory) = &plan.working_dir {
        let directory = directory.as_ptr().expose_provenance();
        call(At::WorkingDir, libc::SYS_chdir, directory, 0, 0, 0)?;
    }
    let own_pid = call(At::Execute, libc::SYS_getpid, 0, 0, 0, 0)?;
    for variable in &plan.pid_digits {
        variable.write(own_pid);
    }
    let (how, empty) = (libc::SIG_SETMASK as usize, ptr::from_ref(&0_u64).expose_provenance());
    call(At::Execute, libc::SYS_rt_sigprocmask, how, empty, 0, SIGNAL_SET_BYTES)?;
    let program = plan.program.as_ptr().expose_provenance();
    let arguments = plan.argv.pointers.as_ptr().expose_provenance();
    let environment = plan.env.pointers.as_ptr().expose_provenance();
    call(At::Execute, libc::SYS_execve, program, arguments, environment, 0)?;
    // execve does not return when it succeeds.
    Err((At::Execute, libc::ENOEXEC))
}

/// Gives every signal its default: `execve(2)` resets handlers, but an ignored signal
/// would stay ignored in the service. Errors are those of SIGKILL and SIGSTOP.
fn default_signals() {
    // All zero is SIG_DFL, no flags and an empty mask in every layout of the kernel's
    // struct, and none of them is longer.
    let default = [0_usize; 8];
    for signal in 1..=64 {
        let (new, old) = (ptr::from_ref(&default).expose_provenance(), 0);
        let arguments = [signal, new, old, SIGNAL_SET_BYTES];
        // SAFETY: the dispositions are the child's own, since CLONE_SIGHAND is not given.
        let _ = unsafe { system(At::Session, libc::SYS_rt_sigaction, arguments) };
    }
}

/// Puts every descriptor under its number and closes the rest.
///
/// A source may stand where another one has to go, so those in the way are first copied
/// above all the numbers that will be given.
fn place_descriptors(plan: &Plan) -> Result<(), Refusal> {
    // SAFETY: as `system` asks; the descriptor table is the child's own.
    let call = |at, number, a, b, c, d| unsafe { system(at, number, [a, b, c, d]) };
    for placed in &plan.descriptors {
        plan.failed_index.store(placed.number, Relaxed);
        if placed.source.load(Relaxed) < plan.first_free {
            let (source, above) = (placed.source.load(Relaxed) as usize, plan.first_free as usize);
            let command = libc::F_DUPFD_CLOEXEC as usize;
            let copy = call(At::Descriptor, libc::SYS_fcntl, source, command, above, 0)?;
            placed.source.store(copy as c_int, Relaxed);
        }
    }
    for placed in &plan.descriptors {
        plan.failed_index.store(placed.number, Relaxed);
        let source = placed.source.load(Relaxed) as usize;
        call(At::Descriptor, libc::SYS_dup3, source, placed.number as usize, 0, 0)?;
    }
    for range in &plan.closed {
        let (first, last) = (*range.start() as usize, *range.end() as usize);
        call(At::CloseRest, libc::SYS_close_range, first, last, 0, 0)?;
    }
    Ok(())
}

/// Size of the kernel's signal set, which its signal calls want to be told.
const SIGNAL_SET_BYTES: usize = 8;

/// One system call with nothing of the C library around it but `errno`, which belongs to
/// the suspended thread.
///
/// # Safety
/// Pointers among the arguments must be valid as the call wants them, and the call must
/// touch only what the child does not share with the parent.
unsafe fn system(at: At, number: c_long, [a, b, c, d]: [usize; 4]) -> Result<usize, Refusal> {
    // SAFETY: the caller's promise.
    match unsafe { libc::syscall(number, a, b, c, d) } {
        -1 => Err((at, Errno::last_raw())),
        result => Ok(result as usize),
    }
}

/// Every signal blocked in this thread, those of the C library included, until dropped.
struct BlockedSignals {
    before: u64,
}

impl BlockedSignals {
    fn all() -> Self {
        let mut before = 0_u64;
        swap_mask(!0, &mut before);
        Self { before }
    }
}

impl Drop for BlockedSignals {
    fn drop(&mut self) {
        swap_mask(self.before, &mut 0);
    }
}

/// `rt_sigprocmask(2)` past the C library, which would leave out its own signals. It
/// cannot fail with valid pointers.
fn swap_mask(new: u64, old: &mut u64) {
    let (how, new, old) = (libc::SIG_SETMASK, &raw const new, ptr::from_mut(old));
    // SAFETY: both point to sets of the size that is passed.
    unsafe { libc::syscall(libc::SYS_rt_sigprocmask, how, new, old, SIGNAL_SET_BYTES) };
}

/// The child's stack, with a page below it that faults.
pub(super) struct Stack {
    base: NonNull<c_void>,
}

impl Stack {
    const GUARD_BYTES: usize = 64 * 1024; // a page on every machine
    const BYTES: usize = 256 * 1024;

    pub(super) fn map() -> Result<Self, Errno> {
        let length = Self::BYTES.try_into().map_err(|_| Errno::ENOMEM)?;
        let access = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
        let flags = MapFlags::MAP_PRIVATE | MapFlags::MAP_STACK | MapFlags::MAP_NORESERVE;
        // SAFETY: a new mapping at a place the kernel chooses.
        let stack = Self { base: unsafe { mmap_anonymous(None, length, access, flags) }? };
        // SAFETY: the guard is the low end of our own mapping, unused so far.
        unsafe { mprotect(stack.base, Self::GUARD_BYTES, ProtFlags::PROT_NONE) }?;
        Ok(stack)
    }

    pub(super) fn top(&self) -> *mut c_void {
        // SAFETY: one past the end of the mapping, where a descending stack begins.
        unsafe { self.base.byte_add(Self::BYTES) }.as_ptr()
    }

    /// Its lowest address and its length in bytes, the guard included.
    pub(super) fn span(&self) -> (u64, u64) {
        (self.base.as_ptr().expose_provenance() as u64, Self::BYTES as u64)
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        // SAFETY: our own mapping, and no child runs on it: it has left our memory when
        // clone returns.
        let _ = unsafe { munmap(self.base, Self::BYTES) };
    }
}
