//! What of a run has left its process group: found when its main process has ended, told to
//! end with the rest, and listed.
//!
//! ```text
//!   main process ends ─► look ─► nobody ─► the run is over
//!                          │
//!                          └─► strays ─► the signal that the group got last, and each one
//!                                        that follows ─► look ─► … ─► nobody ─► swept
//! ```
//!
//! A look is one read where the run has a cgroup, and a look at our orphans, which all that
//! end together share: what was started beside the run, as a check or to stop it, is not in
//! its cgroup and bears its mark. To the core strays are members of the group that were left: they have
//! the stop steps, and SIGKILL at the end.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use kennel_core::{ExitStatus, Signal};
use tokio::task::spawn_blocking;

use crate::lookup::Lookup;
use crate::os::{self, Among, Cgroup, RunMark, Stray, proc};

/// Where strays are found; nobody where `/proc` cannot be read.
pub(super) type Haunts = Lookup<Vec<Stray>>;

/// Those of runs that we have started. In a program that is no subreaper a look is a pass over
/// all processes, which a run with a cgroup is spared.
pub(super) fn haunts_of_our_runs() -> Haunts {
    Lookup::new(|| os::strays(Among::of_our_runs()).unwrap_or_default())
}

/// Those of runs that another supervisor has started: their orphans have not come to us.
pub(super) fn haunts_of_runs_of_others() -> Haunts {
    Lookup::new(|| os::strays(Among::Everybody).unwrap_or_default())
}

/// Strays of one run. Clones are the same.
#[derive(Clone)]
pub(super) struct Strays(Arc<Inner>);

struct Inner {
    mark: RunMark,
    cgroup: Option<Cgroup>,
    haunts: Haunts,
    /// What was sent to the group last, apart from SIGCONT. Locked for a moment only: the
    /// driver's loop does so.
    last: Mutex<Option<Order>>,
    has_found: AtomicBool,
    /// Locked while they are signalled, on threads that may block.
    found: Mutex<Vec<Swept>>,
}

/// A signal to the group, and the how-manieth it is.
#[derive(Clone, Copy)]
struct Order {
    number: u32,
    signal: Signal,
}

/// A process that had left its group.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Swept {
    pub(super) pid: i32,
    /// The name of its program, up to 15 bytes.
    pub(super) command: String,
    /// What it was sent last before it ended; none when it ended by itself.
    pub(super) signal: Option<Signal>,
    start_time: u64,
    reach: Reach,
    /// The number of the last order that it was given.
    obeyed: u32,
}

/// Whether a stray can be told anything.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Reach {
    Here,
    Gone,
    /// It runs as somebody whom we may not signal: nobody waits for its end.
    Beyond,
}

impl Strays {
    pub(super) fn new(mark: RunMark, cgroup: Option<Cgroup>, haunts: Haunts) -> Strays {
        Strays(Arc::new(Inner {
            mark,
            cgroup,
            haunts,
            last: Mutex::default(),
            has_found: AtomicBool::new(false),
            found: Mutex::default(),
        }))
    }

    /// Whether any runs, apart from those in these groups. Who is found for the first time
    /// gets what the group got last.
    pub(super) async fn look(&self, groups: HashSet<i32>) -> bool {
        let Inner { mark, cgroup, haunts, .. } = &*self.0;
        let by_mark = match (cgroup, Among::of_our_runs()) {
            (Some(_), Among::Everybody) => Vec::new(),
            (Some(_), Among::OurOrphans) | (None, _) => {
                os::strays_of(*mark, &haunts.ask().await, &groups)
            }
        };
        if by_mark.is_empty() && cgroup.is_none() && !self.0.has_found.load(Relaxed) {
            return false;
        }
        let inner = Arc::clone(&self.0);
        // It fails when the runtime ends.
        spawn_blocking(move || inner.look(by_mark, &groups)).await.unwrap_or(false)
    }

    /// The group was sent this; `groups` are those it has reached.
    pub(super) fn signal(&self, signal: Signal, groups: HashSet<i32>) {
        if signal != Signal::CONT {
            let mut last = lock(&self.0.last);
            let number = last.map_or(1, |last| last.number + 1);
            *last = Some(Order { number, signal });
        }
        let is_last = signal == Signal::KILL && self.0.cgroup.is_some();
        if is_last || self.0.has_found.load(Relaxed) {
            let inner = Arc::clone(&self.0);
            drop(spawn_blocking(move || inner.send(signal, &groups)));
        }
    }

    /// Whether the group was sent anything that is to end it.
    pub(super) fn are_told_to_end(&self) -> bool {
        lock(&self.0.last).is_some()
    }

    /// How the main process ended, if it is known better than by its status: who is killed
    /// for want of memory is killed by SIGKILL, as others are.
    pub(super) async fn explain(&self, status: ExitStatus) -> ExitStatus {
        match status {
            ExitStatus::Signal { signal: Signal::KILL, .. } => {}
            ExitStatus::Signal { .. }
            | ExitStatus::Code(_)
            | ExitStatus::OutOfMemory
            | ExitStatus::Unknown => return status,
        }
        let was_ours = lock(&self.0.last).is_some_and(|last| last.signal == Signal::KILL);
        let Some(cgroup) = self.0.cgroup.clone().filter(|_| !was_ours) else { return status };
        match spawn_blocking(move || cgroup.ran_out_of_memory()).await {
            Ok(true) => ExitStatus::OutOfMemory,
            // It fails when the runtime ends.
            Ok(false) | Err(_) => status,
        }
    }

    /// Those that were found, when all have ended.
    pub(super) fn swept(&self) -> Vec<Swept> {
        lock(&self.0.found).clone()
    }

    /// The run is over.
    pub(super) fn release(&self) {
        let inner = Arc::clone(&self.0);
        if inner.cgroup.is_some() {
            drop(spawn_blocking(move || inner.cgroup.as_ref().map(Cgroup::remove)));
        }
    }
}

impl Inner {
    fn look(&self, by_mark: Vec<proc::Stat>, groups: &HashSet<i32>) -> bool {
        let mut present = by_mark;
        if let Some(cgroup) = self.cgroup.as_ref().filter(|cgroup| cgroup.is_populated()) {
            let known: HashSet<i32> = present.iter().map(|stat| stat.pid).collect();
            let within = members(cgroup, groups).into_iter();
            present.extend(within.filter(|stat| !known.contains(&stat.pid)));
        }
        self.take(present)
    }

    /// Takes note of who is there, and has them catch up with the group.
    fn take(&self, present: Vec<proc::Stat>) -> bool {
        let last = *lock(&self.last);
        let mut found = lock(&self.found);
        for stray in found.iter_mut().filter(|stray| stray.reach == Reach::Here) {
            // One that is just ending has no mark any more, but still its files and ports.
            if !present.iter().any(|one| stray.is(one)) && !stray.lives() {
                stray.reach = Reach::Gone;
            }
        }
        for one in present {
            if !found.iter().any(|stray| stray.is(&one)) {
                found.push(Swept::new(one));
            }
        }
        let mut here = found.iter_mut().filter(|stray| stray.reach == Reach::Here).peekable();
        let is_empty = here.peek().is_none();
        if let Some(last) = last {
            here.for_each(|stray| stray.obey(last));
        }
        self.has_found.store(!found.is_empty(), Relaxed);
        if last.is_some_and(|last| last.signal == Signal::KILL) && !is_empty {
            self.kill_cgroup();
        }
        !is_empty
    }

    fn send(&self, signal: Signal, groups: &HashSet<i32>) {
        if let (Signal::KILL, Some(cgroup)) = (signal, &self.cgroup) {
            // Noted before they are gone. Those found by their mark are still there for all
            // that this look knows.
            let within = members(cgroup, groups);
            let mut found = lock(&self.found);
            for one in within {
                if !found.iter().any(|stray| stray.is(&one)) {
                    found.push(Swept::new(one));
                }
            }
            self.has_found.store(!found.is_empty(), Relaxed);
        }
        let last = *lock(&self.last);
        if let Some(last) = last {
            lock(&self.found).iter_mut().for_each(|stray| stray.obey(last));
        }
        if signal == Signal::KILL {
            self.kill_cgroup();
        }
    }

    fn kill_cgroup(&self) {
        if let Some(cgroup) = &self.cgroup {
            cgroup.kill();
        }
    }
}

/// A panic elsewhere leaves these whole.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Swept {
    fn new(stat: proc::Stat) -> Swept {
        let proc::Stat { pid, command, start_time, .. } = stat;
        Swept { pid, command, signal: None, start_time, reach: Reach::Here, obeyed: 0 }
    }

    /// One that is to end at once.
    pub(super) fn killed(stat: proc::Stat) -> Swept {
        let mut one = Swept::new(stat);
        one.send(Signal::KILL);
        one
    }

    /// Whether it runs.
    pub(super) fn lives(&self) -> bool {
        proc::stat(self.pid).is_ok_and(|stat| self.is(&stat) && stat.runs())
    }

    pub(super) fn is(&self, stat: &proc::Stat) -> bool {
        (self.pid, self.start_time) == (stat.pid, stat.start_time)
    }

    /// Once is enough, however often it is told.
    fn obey(&mut self, Order { number, signal }: Order) {
        if self.obeyed < number {
            self.obeyed = number;
            // Stopped, it would take notice of nothing but SIGKILL.
            [signal, Signal::CONT].into_iter().for_each(|signal| self.send(signal));
        }
    }

    fn send(&mut self, signal: Signal) {
        if self.reach != Reach::Here {
            return;
        }
        match os::signal_exactly(self.pid, self.start_time, signal.number()) {
            Ok(()) if signal != Signal::CONT => self.signal = Some(signal),
            Ok(()) => {}
            Err(error) if error.raw_os_error() == Some(libc::ESRCH) => self.reach = Reach::Gone,
            Err(error) => {
                let Swept { pid, command, .. } = self;
                tracing::warn!("cannot send {signal} to {command} (pid {pid}): {error}");
                self.reach = Reach::Beyond;
            }
        }
    }
}

/// Who runs in a cgroup, apart from those in these groups.
pub(super) fn members(cgroup: &Cgroup, groups: &HashSet<i32>) -> Vec<proc::Stat> {
    let stats = cgroup.members().into_iter().filter_map(|pid| proc::stat(pid).ok());
    stats.filter(|stat| stat.runs() && !groups.contains(&stat.group)).collect()
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;
    use crate::os::{Launch, Mark, StateId, spawn};

    /// How long anything may take on a busy machine.
    const BOUND: Duration = Duration::from_secs(20);

    /// Leaves a process in a session of its own, whose parent has ended.
    fn leave_a_stray(run: RunMark) {
        let mut launch = Launch::new(["/bin/sh", "-c", "(setsid sleep 1000 &)"]);
        launch.env = Mark { run, service: "web".into(), instance: 0 }.variables().into();
        launch.env.push(("PATH".into(), "/usr/bin:/bin".into()));
        drop(spawn(launch).unwrap());
    }

    async fn until_left(strays: &Strays, is_left: bool) {
        let deadline = Instant::now() + BOUND;
        while strays.look(HashSet::new()).await != is_left {
            assert!(Instant::now() < deadline, "not in time: {is_left}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    #[tokio::test]
    async fn who_has_left_the_group_gets_what_the_group_got_and_those_of_other_runs_do_not() {
        let state = StateId(u64::from(std::process::id()) << 32 | 0x5712_a750);
        let [ours, other] = [1, 2].map(|run| {
            let mark = RunMark { state, run };
            leave_a_stray(mark);
            Strays::new(mark, None, haunts_of_runs_of_others())
        });
        until_left(&other, true).await;
        // Before anybody was found.
        ours.signal(Signal::TERM, HashSet::new());
        let deadline = Instant::now() + BOUND;
        while ours.swept().is_empty() {
            assert!(Instant::now() < deadline, "the stray is not found");
            ours.look(HashSet::new()).await;
        }
        until_left(&ours, false).await;
        let swept: Vec<_> = ours.swept().iter().map(|one| one.signal).collect();
        assert_eq!(swept, [Some(Signal::TERM)]);
        assert!(other.look(HashSet::new()).await, "that of another run is gone");
        // Found before it is told.
        other.signal(Signal::KILL, HashSet::new());
        until_left(&other, false).await;
        let swept: Vec<_> = other.swept().iter().map(|one| one.signal).collect();
        assert_eq!(swept, [Some(Signal::KILL)]);
    }
}
