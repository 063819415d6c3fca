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
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use kennel_core::Signal;
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

/// Strays of one run. Clones are the same.
#[derive(Clone)]
pub(super) struct Strays(Arc<Inner>);

struct Inner {
    mark: RunMark,
    cgroup: Option<Cgroup>,
    haunts: Haunts,
    found: Mutex<Found>,
}

#[derive(Default)]
struct Found {
    /// What was sent to the group last, apart from SIGCONT.
    last: Option<Signal>,
    strays: Vec<Swept>,
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
    is_gone: bool,
}

impl Strays {
    pub(super) fn new(mark: RunMark, cgroup: Option<Cgroup>, haunts: Haunts) -> Strays {
        Strays(Arc::new(Inner { mark, cgroup, haunts, found: Mutex::default() }))
    }

    /// Whether any runs, apart from those in these groups. Who is found for the first time
    /// gets what the group got last.
    pub(super) async fn look(&self, groups: HashSet<i32>) -> bool {
        let Inner { mark, cgroup, haunts, .. } = &*self.0;
        let by_mark = match (cgroup, Among::of_our_runs()) {
            (Some(_), Among::Everybody) => Vec::new(),
            (Some(_), Among::OurOrphans) | (None, _) => {
                os::strays_of(*mark, &*haunts.ask().await, &groups)
            }
        };
        if by_mark.is_empty() && cgroup.is_none() && self.0.lock().strays.is_empty() {
            return false;
        }
        let inner = Arc::clone(&self.0);
        // It fails when the runtime ends.
        spawn_blocking(move || inner.look(by_mark, &groups)).await.unwrap_or(false)
    }

    /// The group was sent this; `groups` are those it has reached.
    pub(super) fn signal(&self, signal: Signal, groups: HashSet<i32>) {
        let mut found = self.0.lock();
        if signal != Signal::CONT {
            found.last = Some(signal);
        }
        let is_last = signal == Signal::KILL && self.0.cgroup.is_some();
        if is_last || !found.strays.is_empty() {
            let inner = Arc::clone(&self.0);
            drop(spawn_blocking(move || inner.send(signal, &groups)));
        }
    }

    /// Those that were found, when all have ended.
    pub(super) fn swept(&self) -> Vec<Swept> {
        self.0.lock().strays.clone()
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

    /// Takes note of who is there, and tells those who are new.
    fn take(&self, present: Vec<proc::Stat>) -> bool {
        let mut found = self.lock();
        let last = found.last;
        for stray in &mut found.strays {
            stray.is_gone = !present.iter().any(|one| stray.is(one));
        }
        let is_empty = present.is_empty();
        for one in present {
            if !found.strays.iter().any(|stray| stray.is(&one)) {
                let mut stray = Swept::new(one);
                last.into_iter().chain([Signal::CONT]).for_each(|signal| stray.send(signal));
                found.strays.push(stray);
            }
        }
        if last == Some(Signal::KILL) && !is_empty {
            self.kill_cgroup();
        }
        !is_empty
    }

    fn send(&self, signal: Signal, groups: &HashSet<i32>) {
        if let (Signal::KILL, Some(cgroup)) = (signal, &self.cgroup) {
            // Noted before they are gone.
            self.take(members(cgroup, groups));
            self.kill_cgroup();
        }
        self.lock().strays.iter_mut().for_each(|stray| stray.send(signal));
    }

    fn kill_cgroup(&self) {
        if let Some(cgroup) = &self.cgroup {
            cgroup.kill();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Found> {
        self.found.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Swept {
    fn new(stat: proc::Stat) -> Swept {
        let proc::Stat { pid, command, start_time, .. } = stat;
        Swept { pid, command, signal: None, start_time, is_gone: false }
    }

    fn is(&self, stat: &proc::Stat) -> bool {
        (self.pid, self.start_time) == (stat.pid, stat.start_time)
    }

    fn send(&mut self, signal: Signal) {
        if self.is_gone {
            return;
        }
        match os::signal_exactly(self.pid, self.start_time, signal.number()) {
            Ok(()) if signal != Signal::CONT => self.signal = Some(signal),
            Ok(()) => {}
            Err(error) if error.raw_os_error() == Some(libc::ESRCH) => self.is_gone = true,
            Err(error) => {
                tracing::warn!(
                    "cannot send {signal} to {} (pid {}): {error}",
                    self.command,
                    self.pid
                );
            }
        }
    }
}

/// Who runs in a cgroup, apart from those in these groups.
fn members(cgroup: &Cgroup, groups: &HashSet<i32>) -> Vec<proc::Stat> {
    let stats = cgroup.members().into_iter().filter_map(|pid| proc::stat(pid).ok());
    stats.filter(|stat| stat.runs() && !groups.contains(&stat.group)).collect()
}
