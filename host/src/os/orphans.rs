//! Children that nobody started: what the kernel gives to a subreaper or to PID 1.
//!
//! For the binary only. A program that embeds the library keeps its children to itself,
//! and whatever it starts by other means than this crate would be reaped here.

use std::fs;
use std::io;
use std::time::Duration;

use nix::sys::prctl;
use nix::unistd::Pid;

use super::children;
use super::proc;
use super::wait::{Child, ExitStatus, Patience, Zombie, reaps, wait};

/// An orphan that has ended and was reaped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Orphan {
    /// The number it had.
    pub pid: i32,
    /// How it ended.
    pub status: ExitStatus,
}

/// Makes the descendants of this process its children when their own parent ends
/// (`PR_SET_CHILD_SUBREAPER` of `prctl(2)`).
///
/// # Errors
/// None on the kernels this crate supports.
pub fn become_subreaper() -> io::Result<()> {
    Ok(prctl::set_child_subreaper(true)?)
}

/// Reaps children that have ended and are no run. To be called on SIGCHLD; waits a
/// moment for a start that is under way, so not for the driver's thread.
///
/// # Errors
/// `WouldBlock` when processes are being started all the time, or a start hangs: come
/// again later. Others when the children cannot be listed.
pub fn reap_orphans() -> io::Result<Vec<Orphan>> {
    for _ in 0..TRIES {
        if let Some(reaped) = reap_between_births() {
            return reaped;
        }
        std::thread::sleep(TRY_PAUSE);
    }
    Err(io::ErrorKind::WouldBlock.into())
}

/// A start takes about a millisecond; a gap between two is soon found.
const TRIES: u32 = 50;
const TRY_PAUSE: Duration = Duration::from_millis(1);

fn reap_between_births() -> Option<io::Result<Vec<Orphan>>> {
    children::between_births(|is_run| {
        let mut reaped = Vec::new();
        for pid in children_of_ours()? {
            if is_run(pid) {
                continue;
            }
            if let Ok(Some(status)) = wait(Child::Pid(pid), Zombie::Reap, Patience::Poll) {
                reaped.push(Orphan { pid, status });
            }
        }
        Ok(reaped)
    })
}

/// By the kernel's own list, which needs `CONFIG_PROC_CHILDREN`, else by every process's
/// parent.
fn children_of_ours() -> io::Result<Vec<i32>> {
    listed_children().or_else(|_| {
        let own = Pid::this().as_raw();
        let all = proc::processes()?;
        Ok(all.into_iter().filter(|one| one.parent == own).map(|one| one.pid).collect())
    })
}

/// All children of ours. The kernel's list may leave one out when another one is reaped
/// while it is read (`proc_tid_children(5)`), so it counts only when none was.
pub(super) fn children_for_sure() -> io::Result<Vec<i32>> {
    for _ in 0..TRIES {
        let before = reaps();
        let Ok(children) = listed_children() else { break };
        if before.is_some() && reaps() == before {
            return Ok(children);
        }
    }
    let own = Pid::this().as_raw();
    let all = proc::processes()?;
    Ok(all.into_iter().filter(|one| one.parent == own).map(|one| one.pid).collect())
}

fn listed_children() -> io::Result<Vec<i32>> {
    let mut children = Vec::new();
    for task in fs::read_dir("/proc/self/task")? {
        match fs::read_to_string(task?.path().join("children")) {
            Ok(text) => {
                children.extend(text.split_whitespace().filter_map(|pid| pid.parse::<i32>().ok()))
            }
            // A thread that has just ended, or a kernel without the list.
            Err(_) if fs::exists("/proc/thread-self/children")? => {}
            Err(error) => return Err(error),
        }
    }
    Ok(children)
}
