//! The run table: which process stands behind which run.
//!
//! The only place of the driver that holds processes. A run is entered when its process
//! exists and leaves when the core releases it; a task per run waits for the exit.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use kennel_core::{CheckId, ExitStatus, Group, Input, RunId, Signal};
use tokio::task::{JoinHandle, JoinSet};

use super::launch::{Job, Made};
use super::{Fact, Facts, launch};
use crate::checks::{Launcher, Unresolved};
use crate::lookup::Lookup;
use crate::os::{Process, proc};

/// How often a group is looked at whose main process has ended: soon at first, since
/// most are gone within a moment.
const GROUP_POLL_FIRST: Duration = Duration::from_millis(2);
const GROUP_POLL_MAX: Duration = Duration::from_millis(200);

/// How often a process is looked at that cannot be watched.
const EXIT_POLL: Duration = Duration::from_millis(200);

pub(crate) struct Runs {
    runs: HashMap<RunId, Run>,
    groups: Groups,
}

/// The process groups with a member that runs; none without `/proc`.
type Groups = Lookup<Option<HashSet<i32>>>;

impl Default for Runs {
    fn default() -> Runs {
        Runs { runs: HashMap::new(), groups: Lookup::new(|| proc::living_groups().ok()) }
    }
}

struct Run {
    process: Arc<Process>,
    job: Job,
    group_watch: Option<JoinHandle<()>>,
    stop_command: Option<JoinHandle<()>>,
    /// Its checks that are being made; they end with it.
    checks: JoinSet<()>,
    /// Of each of them, how often the name it asks for was not resolved.
    unresolved: Vec<(CheckId, Unresolved)>,
}

impl Runs {
    pub(super) fn add(&mut self, run: RunId, made: Made, facts: &Facts) {
        let Made { process, job } = made;
        let process = Arc::new(process);
        tokio::spawn(wait_for_exit(run, process.clone(), self.groups.clone(), facts.clone()));
        let (group_watch, stop_command) = (None, None);
        let (checks, unresolved) = (JoinSet::new(), Vec::new());
        let entry = Run { process, job, group_watch, stop_command, checks, unresolved };
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
        }
    }

    /// The count of unresolved names of a check, for as long as the run lasts.
    pub(super) fn unresolved(&mut self, run: RunId, check: CheckId) -> Unresolved {
        let Some(run) = self.runs.get_mut(&run) else { return Unresolved::default() };
        if let Some((_, known)) = run.unresolved.iter().find(|(id, _)| *id == check) {
            return known.clone();
        }
        let new = Unresolved::default();
        run.unresolved.push((check, new.clone()));
        new
    }

    /// The main process of the run, to be shown.
    pub(super) fn pid(&self, run: RunId) -> Option<i32> {
        self.runs.get(&run).map(|run| run.process.pid())
    }

    pub(super) fn signal(&self, run: RunId, signal: Signal) {
        if let Some(run) = self.runs.get(&run) {
            report(run, signal, run.process.signal(signal.number()));
        }
    }

    pub(super) fn signal_group(&self, run: RunId, signal: Signal) {
        if let Some(run) = self.runs.get(&run) {
            report(run, signal, run.process.signal_group(signal.number()));
        }
    }

    pub(super) fn watch_group(&mut self, id: RunId, facts: &Facts) {
        if let Some(run) = self.runs.get_mut(&id) {
            let (process, facts) = (run.process.clone(), facts.clone());
            let groups = self.groups.clone();
            run.group_watch = Some(tokio::spawn(async move {
                wait_for_group(&process, &groups).await;
                let _ = facts.send(Fact::Input(Input::GroupEnded(id)));
            }));
        }
    }

    pub(super) fn run_stop_command(&mut self, id: RunId, timeout: Duration, facts: &Facts) {
        let Some(run) = self.runs.get_mut(&id) else { return };
        let (job, pid, facts) = (run.job.clone(), run.process.pid(), facts.clone());
        run.stop_command = Some(tokio::spawn(async move {
            stop_command(job, pid, timeout).await;
            let _ = facts.send(Fact::Input(Input::StopCommandEnded(id)));
        }));
    }

    pub(super) fn end_stop_command(&mut self, run: RunId) {
        // Dropping the command's process on the way out kills its group.
        let command = self.runs.get_mut(&run).and_then(|run| run.stop_command.take());
        if let Some(command) = command {
            command.abort();
        }
    }

    pub(super) fn release(&mut self, run: RunId) {
        self.end_stop_command(run);
        if let Some(run) = self.runs.remove(&run) {
            if let Some(watch) = run.group_watch {
                watch.abort();
            }
            run.process.release();
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

async fn wait_for_exit(run: RunId, process: Arc<Process>, groups: Groups, facts: Facts) {
    let status = exit_status(run, &process).await;
    // Most groups are empty by now, and the kernel says so without a look at /proc.
    let empty = process.signal_group(0).is_err_and(|e| e.raw_os_error() == Some(libc::ESRCH));
    let group =
        if empty || !group_alive(&process, &groups).await { Group::Empty } else { Group::Left };
    let _ = facts.send(Fact::Input(Input::Exited { run, status, group }));
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

async fn wait_for_group(process: &Process, groups: &Groups) {
    let mut pause = GROUP_POLL_FIRST;
    while group_alive(process, groups).await {
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(GROUP_POLL_MAX);
    }
}

/// All that wait for their groups look through `/proc` together.
async fn group_alive(process: &Process, groups: &Groups) -> bool {
    process.group_alive_among(groups.ask().await.as_ref().as_ref())
}

/// Kills the group of a stop command that is not let finish.
struct KillOnDrop(Process);

impl Drop for KillOnDrop {
    fn drop(&mut self) {
        let _ = self.0.signal_group(Signal::KILL.number());
        self.0.release();
    }
}

async fn stop_command(job: Job, pid: i32, timeout: Duration) {
    let name = job.name.clone();
    // Guarded from its first moment: nobody may be waiting any more when it exists.
    let make = move || launch::make_stop_command(&job, pid).map(KillOnDrop);
    let process = match tokio::task::spawn_blocking(make).await {
        Ok(Ok(process)) => process,
        Ok(Err(error)) => {
            tracing::warn!(service = &*name, "cannot run the stop command: {error}");
            return;
        }
        Err(_) => return,
    };
    match tokio::time::timeout(timeout, process.0.exited()).await {
        Ok(Ok(status)) => match ExitStatus::from(status) {
            ExitStatus::Code(0) => {}
            status => tracing::warn!(service = &*name, "the stop command {status}"),
        },
        Ok(Err(error)) => tracing::warn!(service = &*name, "the stop command is lost: {error}"),
        Err(_) => tracing::warn!(service = &*name, "the stop command took longer than {timeout:?}"),
    }
}
