//! The run table: which process stands behind which run.
//!
//! The only place of the driver that holds processes. A run is entered when its process
//! exists and leaves when the core releases it; a task per run waits for the exit.

use std::collections::{HashMap, HashSet};
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use kennel_core::{ExitStatus, Group, Input, RunId, Signal};
use tokio::task::{JoinHandle, JoinSet};

use super::company::Company;
use super::launch::{Descent, Job, Made};
use super::notify::{self, Flush, Hearing, Said};
use super::processes::Processes;
use super::progress::Streak;
use super::stop_command::StopCommand;
use super::strays::{Haunts, Strays, haunts_of_our_runs, haunts_of_runs_of_others};
use super::tasks::Tasks;
use super::{Fact, Facts, launch};
use crate::checks::{Launcher, Unresolved, Window};
use crate::gate::{Gate, Pass};
use crate::lookup::Lookup;
use crate::os::{Cgroups, NoCgroups, Process, proc};
use crate::plugins::Slot;

/// How often a group is looked at whose main process has ended: soon at first, since
/// most are gone within a moment.
const GROUP_POLL_FIRST: Duration = Duration::from_millis(2);
const GROUP_POLL_MAX: Duration = Duration::from_millis(200);

/// How often a process is looked at that cannot be watched.
const EXIT_POLL: Duration = Duration::from_millis(200);

pub(crate) struct Runs {
    runs: HashMap<RunId, Run>,
    /// Those that are no processes.
    pub(super) tasks: Tasks,
    groups: Groups,
    /// Of runs that this supervisor has started.
    haunts: Haunts,
    /// Of those that it has taken over.
    haunts_of_others: Haunts,
    cgroups: Result<Arc<Cgroups>, NoCgroups>,
    gate: Gate,
}

/// The process groups with a member that runs; none without `/proc`.
type Groups = Lookup<Option<HashSet<i32>>>;

struct Run {
    processes: Arc<Processes>,
    strays: Strays,
    company: Company,
    facts: Facts,
    job: Job,
    said: Said,
    /// Keeps the listener of its notification socket at work.
    hearing: Hearing,
    group_watch: Option<JoinHandle<()>>,
    stop_command: StopCommand,
    /// Its checks that are being made; they end with it.
    checks: JoinSet<()>,
    /// What is remembered of each of them from one to the next.
    memories: HashMap<Slot, CheckMemory>,
}

/// What is remembered of one check, for as long as the run lasts. Clones are the same.
#[derive(Clone, Default)]
pub(super) struct CheckMemory {
    /// How often the name it asks for was not resolved.
    pub(super) unresolved: Unresolved,
    /// What had been done when its answers began to be late.
    pub(super) streak: Streak,
    /// Since when the service has used too much.
    pub(super) window: Arc<Mutex<Window>>,
}

impl Runs {
    pub(super) fn new(cgroups: Result<Arc<Cgroups>, NoCgroups>, gate: Gate) -> Runs {
        let groups = Lookup::new(|| proc::living_groups().ok());
        let (haunts, haunts_of_others) = (haunts_of_our_runs(), haunts_of_runs_of_others());
        let tasks = Tasks::default();
        Runs { runs: HashMap::new(), tasks, groups, haunts, haunts_of_others, cgroups, gate }
    }

    /// Where cgroups of runs are made, or why there are none.
    pub(super) fn cgroups(&self) -> Result<&Arc<Cgroups>, &NoCgroups> {
        self.cgroups.as_ref()
    }

    pub(super) fn add(&mut self, run: RunId, made: Made, facts: &Facts) {
        let Made { process, ears, job, cgroup, descent } = made;
        let gate = &self.gate;
        let hearing = notify::listen(&job, process.pid(), cgroup.clone(), &descent, ears, gate);
        let flush = match &hearing {
            Hearing::Socket(flush) => Some(flush.clone()),
            Hearing::None | Hearing::Pipe(_) => None,
        };
        let processes = Arc::new(Processes::new(process, job.mark()));
        let haunts = match descent {
            Descent::Started => self.haunts.clone(),
            Descent::TakenOver { named } => {
                if named.is_some() {
                    // Before its end is waited for: there is room for the first one.
                    processes.name_main(named);
                }
                self.haunts_of_others.clone()
            }
        };
        let strays = Strays::new(job.mark(), cgroup, haunts);
        let rest = Rest {
            processes: processes.clone(),
            strays: strays.clone(),
            groups: self.groups.clone(),
        };
        let stop_command = StopCommand::new();
        let company = Company::of(job.mark(), processes.spawned().pid(), stop_command.clone());
        let watched = Watched {
            processes: processes.clone(),
            flush,
            stop_command: stop_command.clone(),
            company: company.clone(),
        };
        tokio::spawn(wait_for_exit(run, watched, rest, gate.clone(), facts.clone()));
        let said = Said::default();
        let group_watch = None;
        let (checks, memories) = (JoinSet::new(), HashMap::new());
        let entry = Run {
            processes,
            strays,
            company,
            facts: facts.clone(),
            job,
            said,
            hearing,
            group_watch,
            stop_command,
            checks,
            memories,
        };
        self.runs.insert(run, entry);
    }

    /// Starts commands as the process of the run was started; none when it is over.
    pub(super) fn launcher(&self, run: RunId) -> Option<Arc<dyn Launcher>> {
        let job = self.runs.get(&run)?.job.clone();
        Some(Arc::new(launch::CommandsOf(job)))
    }

    /// Makes a check of the run, unless that is over; it ends with the run.
    pub(super) fn check(&mut self, run: RunId, check: impl Future<Output = ()> + Send + 'static) {
        if let Some(run) = self.runs.get_mut(&run) {
            while run.checks.try_join_next().is_some() {}
            run.checks.spawn(check);
        } else {
            self.tasks.check(run, check);
        }
    }

    /// Whether the run is there, as a process or a task.
    pub(super) fn has(&self, run: RunId) -> bool {
        self.runs.contains_key(&run) || self.tasks.has(run)
    }

    /// What is remembered of a check of the run.
    pub(super) fn memory(&mut self, run: RunId, slot: &Slot) -> CheckMemory {
        let Some(entry) = self.runs.get_mut(&run) else { return self.tasks.memory(run, slot) };
        entry.memories.entry(slot.clone()).or_default().clone()
    }

    /// The main process of the run, to be shown.
    pub(super) fn pid(&self, run: RunId) -> Option<i32> {
        self.runs.get(&run).map(|run| run.processes.main().pid())
    }

    /// The main process by number and start time, unless it is the one that was made.
    pub(super) fn named_main(&self, run: RunId) -> Option<(i32, u64)> {
        let processes = &self.runs.get(&run)?.processes;
        let main = processes.has_named().then(|| processes.main())?;
        Some((main.pid(), main.start_time()?))
    }

    /// Copies of what runs are heard by, for a successor: notification sockets, and the pipes
    /// of those that are not ready.
    pub(super) fn ears(&self) -> Vec<(u64, OwnedFd)> {
        let of = |(id, run): (&RunId, &Run)| {
            let copy = match &run.hearing {
                Hearing::None => None,
                Hearing::Socket(flush) => flush.socket().try_clone_to_owned().ok(),
                Hearing::Pipe(pipe) => pipe.copy(),
            };
            Some((id.0, copy?))
        };
        self.runs.iter().filter_map(of).collect()
    }

    /// Whether there is none.
    pub(super) fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    /// The sessions that its processes are in.
    pub(super) fn sessions(&self, run: RunId) -> Vec<i32> {
        self.runs.get(&run).map(|run| run.processes.sessions()).unwrap_or_default()
    }

    /// What the run says of itself.
    pub(super) fn said(&mut self, run: RunId) -> Option<&mut Said> {
        Some(&mut self.runs.get_mut(&run)?.said)
    }

    /// The same in one line, to be shown.
    pub(super) fn status_text(&self, run: RunId) -> Option<String> {
        match self.runs.get(&run) {
            Some(run) => run.said.text(),
            None => self.tasks.status_text(run),
        }
    }

    /// Another process is the main one from now on; none: the one that was spawned. False:
    /// it cannot be.
    pub(super) fn name_main(&self, run: RunId, main: Option<Arc<Process>>) -> bool {
        self.runs.get(&run).is_some_and(|run| run.processes.name_main(main))
    }

    pub(super) fn signal(&self, run: RunId, signal: Signal) {
        if let Some(run) = self.runs.get(&run) {
            report(run, signal, run.processes.signal(signal.number()));
        } else {
            self.tasks.signal(run, signal);
        }
    }

    /// Signals to all of a run are to end it.
    pub(super) fn signal_group(&mut self, run: RunId, signal: Signal) {
        if let Some(run) = self.runs.get_mut(&run) {
            // The end of the run waits for theirs, lest what they leave outlives it.
            run.checks.abort_all();
            report(run, signal, run.processes.signal_group(signal.number()));
            run.strays.signal(signal, run.processes.groups());
        } else {
            self.tasks.signal(run, signal);
        }
    }

    pub(super) fn watch_group(&mut self, id: RunId, facts: &Facts) {
        if let Some(run) = self.runs.get_mut(&id) {
            let (processes, strays) = (run.processes.clone(), run.strays.clone());
            let rest = Rest { processes, strays, groups: self.groups.clone() };
            let facts = facts.clone();
            run.group_watch = Some(tokio::spawn(async move {
                rest.wait().await;
                let _ = facts.send(Fact::RestEnded(id, rest.strays.swept()));
            }));
        }
    }

    pub(super) fn run_stop_command(&mut self, id: RunId, timeout: Duration, facts: &Facts) {
        let Some(run) = self.runs.get_mut(&id) else { return };
        run.checks.abort_all();
        let main = run.processes.main().pid();
        run.stop_command.begin(id, run.job.clone(), main, timeout, facts);
    }

    pub(super) fn end_stop_command(&self, run: RunId) {
        if let Some(run) = self.runs.get(&run) {
            run.stop_command.cut();
        }
    }

    pub(super) fn release(&mut self, run: RunId) {
        self.end_stop_command(run);
        self.tasks.release(run);
        if let Some(run) = self.runs.remove(&run) {
            if let Some(watch) = run.group_watch {
                watch.abort();
            }
            run.processes.release();
            run.strays.release();
            run.company.sweep_behind(&run.job.name, &run.facts);
        }
    }
}

/// What is left of a run when its main process has ended.
struct Rest {
    processes: Arc<Processes>,
    strays: Strays,
    groups: Groups,
}

impl Rest {
    /// All that wait for their groups look through `/proc` together.
    async fn is_left(&self) -> bool {
        let processes = &self.processes;
        // Most groups are empty by now, and the kernel says so without a look at /proc.
        let has_group = !processes.are_gone()
            && processes.alive_among(self.groups.ask().await.as_ref().as_ref());
        // Strays are looked for in any case: they get their signals with the group.
        self.strays.look(processes.groups()).await || has_group
    }

    async fn wait(&self) {
        let mut pause = GROUP_POLL_FIRST;
        while self.is_left().await {
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(GROUP_POLL_MAX);
        }
    }
}

/// A signal that finds nobody is no error: the exit is on its way.
fn report(run: &Run, signal: Signal, sent: std::io::Result<()>) {
    match sent {
        Err(error) if error.raw_os_error() != Some(libc::ESRCH) => {
            tracing::warn!(service = &*run.job.name, "cannot send {signal}: {error}");
        }
        Ok(()) | Err(_) => {}
    }
}

/// What is known of a run whose end is waited for.
struct Watched {
    processes: Arc<Processes>,
    flush: Option<Flush>,
    stop_command: StopCommand,
    company: Company,
}

async fn wait_for_exit(run: RunId, watched: Watched, rest: Rest, gate: Gate, facts: Facts) {
    let (status, _pass) = watched.main_exit(run, &gate).await;
    let status = rest.strays.explain(status).await;
    if rest.strays.are_told_to_end() || watched.stop_command.is_begun() {
        // Checks ended when the stop began, and the stop command has done its work. What they
        // leave is known as such when they are gone.
        watched.stop_command.cut();
        watched.company.gone().await;
    }
    // Strays that have ended meanwhile are still to be told of.
    let is_left = rest.is_left().await || !rest.strays.swept().is_empty();
    let group = if is_left { Group::Left } else { Group::Empty };
    let _ = facts.send(Fact::Input(Input::Exited { run, status, group }));
}

impl Watched {
    /// How the main process ended, when there is no other one by then. A spawned process
    /// that has named another may end with success before that one.
    async fn main_exit(&self, run: RunId, gate: &Gate) -> (ExitStatus, Pass) {
        let spawned = self.processes.spawned();
        let mut named = self.processes.watch();
        let mut is_handed_over = false;
        loop {
            let main = named.borrow_and_update().main.clone();
            let waits_for_spawned = !(is_handed_over && main.is_some());
            let (who, status) = tokio::select! {
                status = exit_of(run, main.as_deref()) => (Ended::Named, status),
                status = exit_of(run, Some(spawned)), if waits_for_spawned => {
                    (Ended::Spawned, status)
                }
                _ = named.changed() => continue,
            };
            let pass = gate.enter().await;
            // What it said last may name another process.
            if let Some(flush) = &self.flush {
                flush.flush(&pass).await;
            }
            match (who, status) {
                (Ended::Spawned, ExitStatus::Code(0)) if self.processes.has_named() => {
                    is_handed_over = true;
                }
                (Ended::Named, _) if named.has_changed().unwrap_or(false) => {}
                (Ended::Spawned | Ended::Named, status) => return (status, pass),
            }
        }
    }
}

/// Which process of a run has ended.
#[derive(Clone, Copy)]
enum Ended {
    Spawned,
    Named,
}

/// Nobody never ends.
async fn exit_of(run: RunId, process: Option<&Process>) -> ExitStatus {
    match process {
        Some(process) => exit_status(run, process).await,
        None => std::future::pending().await,
    }
}

/// Only `ECHILD` says that the process has ended and how is not known. Other errors come
/// from watching it, as when the user has as many watches as `epoll(7)` allows: then it is
/// looked at now and then.
async fn exit_status(run: RunId, process: &Process) -> ExitStatus {
    let mut is_told = false;
    loop {
        match process.exited().await {
            Ok(status) => return ExitStatus::from(status),
            Err(error) if error.raw_os_error() == Some(libc::ECHILD) => {
                tracing::debug!("cannot tell how run {run} ended: {error}");
                return ExitStatus::Unknown;
            }
            Err(error) => {
                if !std::mem::replace(&mut is_told, true) {
                    tracing::warn!("cannot watch run {run}, its exit is noticed late: {error}");
                }
                tokio::time::sleep(EXIT_POLL).await;
            }
        }
    }
}
