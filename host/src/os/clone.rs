//! The one system call that makes the child of a start.
//!
//! `clone3(2)` makes it inside of its cgroup. A process that enters one later, by writing to
//! `cgroup.procs`, waits until the kernel is sure that no process is just being made: 15 to
//! 20 ms where little else goes on, ten times as long as all the rest of a start. The C
//! library has no function for `clone3` with a stack, so the call itself is written out here,
//! for x86-64. Elsewhere, and where the call is refused (a sandbox may know only `clone`),
//! the child enters by itself.
#![allow(unsafe_code)]

use std::ffi::{c_int, c_void};
use std::os::fd::{FromRawFd, OwnedFd};
use std::ptr;

use nix::errno::Errno;

use super::plan::Plan;
use super::spawn::Stack;

/// What the child executes. It does not return.
pub(super) type Main = extern "C" fn(*mut c_void) -> c_int;

/// The supervisor's memory is borrowed, and the calling thread sleeps meanwhile.
const FLAGS: c_int = libc::CLONE_VM | libc::CLONE_VFORK | libc::CLONE_PIDFD;

/// `CLONE_INTO_CGROUP`: what the `cgroup` of `clone3` says counts. It is too large for the
/// flags of `clone`, and for the type that `libc` gives them.
#[cfg(target_arch = "x86_64")]
const INTO_CGROUP: u64 = 0x2_0000_0000;

/// Makes a child that calls `main` with the plan. Returns when it has executed its program or
/// died.
///
/// # Safety
/// `main` keeps the rules at the head of `spawn`, and every signal is blocked in this thread.
pub(super) unsafe fn clone(
    main: Main,
    plan: &Plan,
    stack: &Stack,
) -> Result<(i32, OwnedFd), Errno> {
    let mut pidfd: c_int = -1;
    let argument = ptr::from_ref(plan).cast_mut().cast::<c_void>();
    // SAFETY: the stack is mapped and used by nobody else; the plan outlives the child's use
    // of our memory, for CLONE_VFORK suspends this thread until the child leaves it; the rest
    // is the caller's promise. The variadic argument is where CLONE_PIDFD stores.
    let pid =
        unsafe { libc::clone(main, stack.top(), FLAGS | libc::SIGCHLD, argument, &raw mut pidfd) };
    let pid = Errno::result(pid)?;
    // SAFETY: the call succeeded, so the kernel stored a new descriptor that nobody else owns.
    Ok((pid, unsafe { OwnedFd::from_raw_fd(pidfd) }))
}

/// The same, and the child is in the cgroup that the plan names from its first moment.
///
/// # Errors
/// As `clone3(2)`, and ENOSYS on machines for which the call is not written out. No child has
/// been made then.
///
/// # Safety
/// As [`clone`].
#[cfg(target_arch = "x86_64")]
pub(super) unsafe fn clone_into(
    cgroup: c_int,
    main: Main,
    plan: &Plan,
    stack: &Stack,
) -> Result<(i32, OwnedFd), Errno> {
    let mut pidfd: c_int = -1;
    // SAFETY: all zero is valid, and means that nothing is asked for.
    let mut wanted: libc::clone_args = unsafe { std::mem::zeroed() };
    wanted.flags = u64::from(FLAGS.cast_unsigned()) | INTO_CGROUP;
    wanted.pidfd = (&raw mut pidfd).expose_provenance() as u64;
    wanted.exit_signal = libc::SIGCHLD.cast_unsigned().into();
    (wanted.stack, wanted.stack_size) = stack.span();
    wanted.cgroup = cgroup.cast_unsigned().into();
    let result: isize;
    // SAFETY: as in `clone`. Both return from the system call here, the child (0) on its own
    // stack, where it calls `main`, which does not return: it neither reads nor changes what
    // this function has on ours. That stack ends at a multiple of 16, as a call wants it.
    unsafe {
        std::arch::asm!(
            "syscall",
            "test rax, rax",
            "jnz 2f",
            "xor ebp, ebp", // here a walk through the frames ends
            "mov rdi, {argument}",
            "call {main}",
            "ud2",
            "2:",
            argument = in(reg) ptr::from_ref(plan),
            main = in(reg) main,
            inlateout("rax") libc::SYS_clone3 as isize => result,
            in("rdi") &raw const wanted,
            in("rsi") size_of::<libc::clone_args>(),
            out("rcx") _,
            out("r11") _,
        );
    }
    if result < 0 {
        let errno =
            i32::try_from(result.unsigned_abs()).map_or(Errno::UnknownErrno, Errno::from_raw);
        return Err(errno);
    }
    let pid = i32::try_from(result).map_err(|_| Errno::EOVERFLOW)?;
    // SAFETY: the call succeeded, so the kernel stored a new descriptor that nobody else owns.
    Ok((pid, unsafe { OwnedFd::from_raw_fd(pidfd) }))
}

#[cfg(not(target_arch = "x86_64"))]
pub(super) unsafe fn clone_into(
    _cgroup: c_int,
    _main: Main,
    _plan: &Plan,
    _stack: &Stack,
) -> Result<(i32, OwnedFd), Errno> {
    Err(Errno::ENOSYS)
}

#[cfg(all(test, target_arch = "x86_64"))]
mod tests {
    use std::os::fd::{AsFd as _, AsRawFd as _};

    use super::*;
    use crate::os::spawn::child_inside;
    use crate::os::wait::{Child, Patience, Zombie, wait};
    use crate::os::{Cgroups, Launch, StateId};

    /// Were it refused, each start would go the slow way, and nothing else would tell.
    #[test]
    fn a_child_is_made_inside_of_its_cgroup() {
        let state = StateId(u64::from(std::process::id()) << 20 | 2);
        let Ok(cgroups) = Cgroups::find(state) else {
            return println!("skipped: no cgroup can be made here");
        };
        let cgroup = cgroups.make("web", 1).unwrap();
        let mut launch = Launch::new(["/bin/sleep", "1000"]);
        let entrance = cgroup.entrance().unwrap();
        let number = entrance.as_raw_fd();
        launch.cgroup = Some(entrance);
        let plan = Plan::prepare(&launch).unwrap();
        let stack = Stack::map().unwrap();
        // SAFETY: `child_inside` keeps the rules; a test has no handlers for signals.
        let (pid, pidfd) = unsafe { clone_into(number, child_inside, &plan, &stack) }.unwrap();
        assert_eq!(cgroup.members(), [pid]);
        cgroup.kill();
        wait(Child::Pidfd(pidfd.as_fd()), Zombie::Reap, Patience::Block).unwrap();
        cgroup.remove();
        cgroups.remove();
    }
}
