//! Which children of this program are runs: the table the orphan reaper asks.
//!
//! One program may have children of three kinds: runs that a [`Process`](super::Process)
//! stands for, orphans that the kernel gave to a subreaper, and children that an
//! embedding program started by other means. Only the holder of a run may collect its
//! exit status, so every run is entered here before anybody else can look:
//!
//! ```text
//! spawn:    share birth · clone · enter pid        · give birth back
//! orphans:  own birth, if nobody shares it · list children − entries · reap
//! exit:     waitid · remove entry                  (no birth lock)
//! ```
//!
//! The birth lock is shared until the new process has executed its program, which a dead
//! network mount can make long. So nobody ever waits for it: other starts share it, an
//! exit does not take it, and an orphan sweep that does not get it comes again later. A
//! number that is reused between `waitid` and the removal of its entry belongs to the
//! newer entry; tokens tell the two apart.
//!
//! A `Process` that is dropped while it runs leaves its pidfd here, and the next spawn
//! or orphan sweep collects it: no zombie outlives that.

use std::collections::BTreeMap;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, TryLockError};

use super::mark::RunMark;
use super::wait::{Child, Patience, Zombie, wait};

static BIRTH: RwLock<()> = RwLock::new(());
static TABLE: Mutex<Table> = Mutex::new(Table { known: BTreeMap::new(), next_token: 0 });
static ABANDONED: Mutex<Vec<Abandoned>> = Mutex::new(Vec::new());

struct Table {
    /// Entries by pid.
    known: BTreeMap<i32, Entry>,
    next_token: u64,
}

#[derive(Clone, Copy)]
struct Entry {
    token: u64,
    /// The run that it was started for.
    run: Option<RunMark>,
}

struct Abandoned {
    pidfd: Arc<OwnedFd>,
    _known: Known,
}

/// An entry in the table, removed when this is dropped.
#[derive(Debug)]
pub(super) struct Known {
    pid: i32,
    token: u64,
}

impl Drop for Known {
    fn drop(&mut self) {
        let mut table = lock(&TABLE);
        if table.known.get(&self.pid).is_some_and(|entry| entry.token == self.token) {
            table.known.remove(&self.pid);
        }
    }
}

/// Makes a child, of `run` if it is of any, and enters it, with no moment in between at which
/// an orphan sweep could see it.
pub(super) fn register<T, E>(
    run: Option<RunMark>,
    give_birth: impl FnOnce() -> Result<(i32, T), E>,
) -> Result<(Known, T), E> {
    collect_abandoned();
    // Sweeps never wait for the lock, so no sweep can stand before a start in a queue.
    let _birth = BIRTH.read().unwrap_or_else(PoisonError::into_inner);
    let (pid, value) = give_birth()?;
    let mut table = lock(&TABLE);
    let token = table.next_token;
    table.next_token = token.wrapping_add(1);
    table.known.insert(pid, Entry { token, run });
    Ok((Known { pid, token }, value))
}

/// Runs `sweep` while no child can be made; it gets a function that tells runs. None, and
/// nothing is run, when a child is being made just now.
pub(super) fn between_births<T>(sweep: impl FnOnce(&dyn Fn(i32) -> bool) -> T) -> Option<T> {
    collect_abandoned();
    let _birth = match BIRTH.try_write() {
        Ok(birth) => birth,
        Err(TryLockError::Poisoned(birth)) => birth.into_inner(),
        Err(TryLockError::WouldBlock) => return None,
    };
    Some(sweep(&is_known))
}

/// Whether the child with this number is a run, or was started beside one.
pub(super) fn is_known(pid: i32) -> bool {
    lock(&TABLE).known.contains_key(&pid)
}

/// Whether anybody but `main` that was started for this run is still there: a check or a stop
/// command.
pub fn has_company(run: RunMark, main: i32) -> bool {
    collect_abandoned();
    lock(&TABLE).known.iter().any(|(pid, entry)| entry.run == Some(run) && *pid != main)
}

/// Takes over a running child that nobody holds any more.
pub(super) fn abandon(pidfd: Arc<OwnedFd>, known: Known) {
    lock(&ABANDONED).push(Abandoned { pidfd, _known: known });
}

/// Reaps abandoned children that have ended since.
pub(super) fn collect_abandoned() {
    lock(&ABANDONED).retain(|child| {
        let result = wait(Child::Pidfd(child.pidfd.as_fd()), Zombie::Reap, Patience::Poll);
        matches!(result, Ok(None))
    });
}

/// A panic elsewhere leaves these tables whole: every change is a single operation.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    // Numbers beyond pid_max, so that no real child is meant.
    const PID: i32 = i32::MAX - 7;

    #[test]
    fn an_entry_lasts_as_long_as_its_holder_and_not_longer_than_a_newer_one() {
        let (first, ()) = register(None, || Ok::<_, ()>((PID, ()))).unwrap();
        assert!(is_known(PID));
        let (second, ()) = register(None, || Ok::<_, ()>((PID, ()))).unwrap();
        drop(first);
        assert!(is_known(PID), "the number belongs to the second now");
        drop(second);
        assert!(!is_known(PID));
    }

    #[test]
    fn a_birth_that_hangs_holds_up_neither_other_births_nor_a_sweep() {
        let hung = register(None, || {
            let (second, ()) = register(None, || Ok::<_, ()>((PID - 1, ()))).unwrap();
            assert!(is_known(PID - 1));
            assert!(between_births(|_| ()).is_none(), "a sweep might take the unborn one");
            drop(second);
            Ok::<_, ()>((PID - 2, ()))
        });
        assert!(hung.is_ok());
    }

    #[test]
    fn company_is_who_else_was_started_for_the_run() {
        let run = |run| RunMark { state: crate::os::StateId(4), run };
        let start = |pid, of| register(of, || Ok::<_, ()>((pid, ()))).unwrap().0;
        let (main, other) = (start(PID - 10, Some(run(1))), start(PID - 11, Some(run(2))));
        let unmarked = start(PID - 12, None);
        assert!(!has_company(run(1), PID - 10));
        let check = start(PID - 13, Some(run(1)));
        assert!(has_company(run(1), PID - 10));
        drop((check, main, other, unmarked));
        assert!(!has_company(run(1), PID - 10));
    }

    #[test]
    fn a_failed_birth_leaves_no_entry() {
        assert_eq!(register(None, || Err::<(i32, ()), _>("no")).unwrap_err(), "no");
    }
}
