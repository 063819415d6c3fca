//! From a definition to a process: everything that may block or fail on the way.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use kennel_core::{Input, RunId, Signal};
use kennel_wasm::Subject;

use super::notify::{self, Ears, Place};
use super::sockets::{Company, Held};
use super::{Fact, Facts};
use crate::checks::Launcher;
use crate::config::{Command, LaunchConfig, LogConfig, LogTarget, ReadyWhen, ServiceConfig};
use crate::logs::{Capture, Destination, LineTap, LogSettings, Source, Stream};
use crate::os::{
    self, Cause, Cgroup, Cgroups, Credentials, Launch, Mark, Output, Process, RunMark, StateId,
    Unlimited,
};
use crate::state::{self, Began, Record, RunTable, Who};

/// What a process is made of. Cheap to clone.
#[derive(Clone)]
pub(super) struct Job {
    pub(super) definition: Arc<ServiceConfig>,
    /// The name of the instance.
    pub(super) name: Arc<str>,
    /// Which of the replicas it is.
    pub(super) index: u32,
    pub(super) run: RunId,
    /// The id of the state directory.
    pub(super) state_id: StateId,
    /// Where its cgroup is made; none: it has none.
    pub(super) cgroups: Option<Arc<Cgroups>>,
    pub(super) capture: Capture,
    /// Where its notification socket goes.
    pub(super) place: Arc<Place>,
    /// Where it is written down that there is a process.
    pub(super) table: RunTable,
    pub(super) facts: Facts,
}

impl Job {
    /// What every process of the run is started with in its environment.
    pub(super) fn mark(&self) -> RunMark {
        RunMark { state: self.state_id, run: self.run.0 }
    }
}

/// Starts commands that look at the run, as its own process was started.
pub(super) struct CommandsOf(pub(super) Job);

impl Launcher for CommandsOf {
    fn launch(&self, argv: &[String]) -> Result<Launch, String> {
        prepare(&self.0, argv.iter().map(OsString::from).collect())
    }
}

/// A process and what it was made of.
pub(crate) struct Made {
    pub(super) process: Process,
    pub(super) ears: Ears,
    pub(super) job: Job,
    pub(super) cgroup: Option<Cgroup>,
    pub(super) descent: Descent,
}

/// Who has started a run.
pub(super) enum Descent {
    /// This supervisor.
    Started,
    /// An earlier one.
    TakenOver {
        /// Its main process, unless that is the one that was made.
        named: Option<Arc<Process>>,
    },
}

impl Made {
    /// Who it is, as plugins know it, and its name.
    pub(super) fn subject(&self) -> (Subject, Arc<str>) {
        let service = self.job.definition.spec.name.clone();
        (Subject { service, instance: self.job.index }, self.job.name.clone())
    }

    /// What it was made of.
    pub(super) fn definition(&self) -> &Arc<ServiceConfig> {
        &self.job.definition
    }

    /// Ends a process that nobody will supervise.
    pub(super) fn kill(self) {
        // It can only be gone already.
        let _ = self.process.signal_group(Signal::KILL.number());
        if let Some(cgroup) = &self.cgroup {
            cgroup.kill();
        }
    }
}

/// Variables that speak of the supervisor itself and would mislead a service.
const NOT_INHERITED: [&str; 9] = [
    "JOURNAL_STREAM",
    "NOTIFY_SOCKET",
    "WATCHDOG_USEC",
    "WATCHDOG_PID",
    "LISTEN_FDS",
    "LISTEN_PID",
    "LISTEN_FDNAMES",
    "KENNEL_SOCKET",
    crate::state::UPGRADE_VARIABLE,
];

/// Makes the process of a run. Blocks for as long as the file system takes.
///
/// The intention is written down before, and what identifies the process after: a supervisor
/// that comes after this one finds the process, whenever this one is killed.
pub(super) fn make(job: Job, sockets: Option<(Held, Company)>) -> Result<Made, String> {
    let service = job.definition.spec.name.to_string();
    let who = Who { service, index: job.index };
    let now = u64::try_from(os::monotonic().as_nanos()).unwrap_or(u64::MAX);
    job.table.write(Record::Began(Began { run: job.run.0, who, at: now }));
    let (table, run) = (job.table.clone(), job.run.0);
    make_noted(job, sockets).inspect_err(|_| table.write(Record::Over(run)))
}

fn make_noted(job: Job, sockets: Option<(Held, Company)>) -> Result<Made, String> {
    let mut launch = prepare(&job, argv(&job.definition.launch.command))?;
    let mut noted =
        state::Made { run: job.run.0, digest: job.definition.digest(), ..Default::default() };
    if let Some((held, company)) = sockets {
        let wanted = &job.definition.launch.sockets;
        noted.sockets = held.hand_over(wanted, company, &mut launch)?;
    }
    noted.outputs = attach_output(&mut launch, &job)?;
    let ears = notify::attach(&mut launch, &job)?;
    (noted.notify, noted.ready_pipe) = ears.names();
    let cgroup = enter_cgroup(&mut launch, &job);
    match os::spawn(launch) {
        Ok(process) => {
            noted.cgroup = cgroup.as_ref().map(|cgroup| cgroup.path().to_owned());
            noted.pid = process.pid();
            noted.start_time = process.start_time().unwrap_or_default();
            job.table.write(Record::Made(Box::new(noted)));
            Ok(Made { process, ears, job, cgroup, descent: Descent::Started })
        }
        Err(error) => {
            if let Some(cgroup) = cgroup {
                cgroup.remove();
            }
            Err(match error.hint() {
                Some(hint) => format!("{error} ({hint})"),
                None => error.to_string(),
            })
        }
    }
}

/// Makes the cgroup of the run. Without one the run is known by its group and its mark.
fn enter_cgroup(launch: &mut Launch, job: &Job) -> Option<Cgroup> {
    let limits = &job.definition.launch.cgroup;
    let Some(cgroups) = &job.cgroups else {
        tell_unlimited(job, limits.none_holds("there are no cgroups for services"));
        return None;
    };
    let cgroup = cgroups.make(&job.name, job.run.0);
    let entered = cgroup.and_then(|cgroup| Ok((cgroup.entrance()?, cgroup)));
    match entered {
        Ok((entrance, cgroup)) => {
            tell_unlimited(job, cgroups.limit(&cgroup, limits));
            launch.cgroup = Some(entrance);
            Some(cgroup)
        }
        Err(error) => {
            let cause = Cause::from_io(&error);
            tracing::warn!(service = &*job.name, "it runs without a cgroup of its own: {cause}");
            tell_unlimited(job, limits.none_holds(&format!("it has no cgroup: {cause}")));
            None
        }
    }
}

/// It runs all the same, and that is told: a limit that silently does not hold is worse than
/// none.
fn tell_unlimited(job: &Job, limits: Vec<Unlimited>) {
    if !limits.is_empty() {
        // Without a receiver there is no supervisor any more.
        let _ = job.facts.send(Fact::Unlimited(job.name.clone(), limits));
    }
}

/// Makes the process of the stop command, which is told the main process as `MAINPID`.
pub(super) fn make_stop_command(job: &Job, main_pid: i32) -> Result<Process, String> {
    let Some(command) = &job.definition.stop_command else {
        return Err("there is none".into());
    };
    let mut launch = prepare(job, command.iter().map(OsString::from).collect())?;
    launch.env.push(("MAINPID".into(), main_pid.to_string().into()));
    attach_output(&mut launch, job)?;
    os::spawn(launch).map_err(|error| error.to_string())
}

fn argv(command: &Command) -> Vec<OsString> {
    match command {
        Command::Argv(argv) => argv.iter().map(OsString::from).collect(),
        Command::Shell(line) => vec!["/bin/sh".into(), "-c".into(), line.into()],
        // Nobody makes a process of one.
        Command::Task(_) => Vec::new(),
    }
}

fn prepare(job: &Job, argv: Vec<OsString>) -> Result<Launch, String> {
    let LaunchConfig {
        command: _,
        working_dir,
        env,
        user,
        group,
        umask,
        rlimits,
        nice,
        oom_score_adj,
        // For its own process only, not for commands that look at it.
        cgroup: _,
        sockets: _,
    } = &job.definition.launch;
    let credentials = match (user, group) {
        (None, None) => None,
        (user, group) => Some(
            Credentials::resolve(user.as_deref(), group.as_deref()).map_err(|e| e.to_string())?,
        ),
    };
    let mut launch = Launch::new(argv);
    launch.env = environment(job, env, credentials.as_ref());
    launch.working_dir = Some(working_dir.clone());
    launch.credentials = credentials;
    launch.umask = *umask;
    launch.rlimits = rlimits.clone();
    launch.nice = *nice;
    launch.oom_score_adj = *oom_score_adj;
    Ok(launch)
}

/// The supervisor's own environment, then what follows from the user, then what is
/// configured, then what tells the process who it is.
fn environment(
    job: &Job,
    configured: &BTreeMap<String, String>,
    credentials: Option<&Credentials>,
) -> Vec<(OsString, OsString)> {
    let mut env: BTreeMap<OsString, OsString> = std::env::vars_os().collect();
    for name in NOT_INHERITED {
        env.remove(&OsString::from(name));
    }
    if let Some(credentials) = credentials {
        env.extend(credentials.env());
    }
    env.extend(configured.iter().map(|(name, value)| (name.into(), value.into())));
    let service = job.definition.spec.name.to_string();
    env.extend(Mark { run: job.mark(), service, instance: job.index }.variables());
    env.into_iter().collect()
}

pub(super) fn log_settings(config: &LogConfig) -> LogSettings {
    let LogConfig { to, max_size, keep, timestamps, rate_limit } = config;
    LogSettings {
        to: match to {
            LogTarget::File => Destination::File,
            LogTarget::Inherit => Destination::Inherit,
            LogTarget::None => Destination::None,
        },
        max_size: *max_size,
        keep: *keep,
        timestamps: *timestamps,
        rate_limit: *rate_limit,
    }
}

/// Looks for the line that says that the run is ready, if one does.
fn tap(job: &Job) -> Option<LineTap> {
    let ReadyWhen::Logs(pattern) = &job.definition.ready else { return None };
    let (pattern, run, facts) = (pattern.clone(), job.run, job.facts.clone());
    let is_told = AtomicBool::new(false);
    Some(Arc::new(move |_, line| {
        if !is_told.load(Ordering::Relaxed) && pattern.is_match(line) {
            is_told.store(true, Ordering::Relaxed);
            // Without a receiver there is no supervisor any more.
            let _ = facts.send(Fact::Input(Input::Ready(run)));
        }
    }))
}

/// Whether the output of a service is read.
pub(super) fn is_captured(job: &Job) -> bool {
    let is_tapped = matches!(job.definition.ready, ReadyWhen::Logs(_));
    is_tapped || log_settings(&job.definition.logs).to != Destination::None
}

/// One stream of a run, for the log threads.
pub(super) fn source(job: &Job, stream: Stream, fd: OwnedFd) -> Source {
    Source {
        service: job.name.clone(),
        run: job.run.0,
        stream,
        fd,
        settings: log_settings(&job.definition.logs),
        tap: tap(job),
    }
}

/// Connects both output streams to the log threads; the inodes of their pipes.
fn attach_output(launch: &mut Launch, job: &Job) -> Result<[Option<u64>; 2], String> {
    if !is_captured(job) {
        return Ok([None; 2]);
    }
    let mut inodes = [None; 2];
    for (stream, inode) in [Stream::Stdout, Stream::Stderr].into_iter().zip(&mut inodes) {
        let pipe = os::output_pipe()
            .map_err(|error| format!("cannot make a pipe: {}", Cause::from_io(&error)))?;
        *inode = os::pipe_inode(&pipe.reader).ok();
        job.capture.add(source(job, stream, pipe.reader));
        let end = Output::Descriptor(pipe.service);
        match stream {
            Stream::Stdout => launch.stdout = end,
            Stream::Stderr => launch.stderr = end,
            Stream::Kennel => {}
        }
    }
    Ok(inodes)
}
