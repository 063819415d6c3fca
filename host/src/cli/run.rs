//! `kennel run`: the supervisor itself.
//!
//! What belongs to a program and not to a library happens here: signal handlers, the
//! subreaper flag, the limit of descriptors, the logger, the exit code.

use std::io::{IsTerminal, Write};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};

use clap::ValueEnum as _;

use super::detach::{Detached, detach};
use super::log_format::LogFormat;
use super::own_log::OwnLog;
use super::succession::{OwnProcess, WORD};
use super::supervisor_log::SupervisorLog;
use crate::api::Server;
use crate::config::Environment;
use crate::forms;
use crate::logs::Console;
use crate::os::PidFile;
use crate::state::{Handover, RunTable, UPGRADE_VARIABLE, check_id};
use crate::{
    Builder, Handle, ReloadError, Running, ServiceManager, ShutdownMode, StartError, StatusLines,
    os,
};

/// Lines that may wait for a slow standard output before lines are dropped: they tell of
/// states, and the next one tells the newer state.
const LINES: usize = 10_000;

/// How long what is still under way at the end may take.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Orphans are reaped at most that often: their exits come in bursts.
const REAP_PAUSE: Duration = Duration::from_millis(50);
/// And when a start that hangs keeps them from being reaped, that often.
const REAP_PAUSE_MAX: Duration = Duration::from_secs(5);

/// Options of `kennel run`.
#[derive(clap::Args, Debug)]
pub(crate) struct RunArgs {
    /// Where state, journal and logs are kept [default: as configured]
    #[arg(long, value_name = "DIR")]
    pub(crate) state_dir: Option<PathBuf>,
    /// How the supervisor writes what it says of itself, on standard error [default: text,
    /// or journal where that is the journal of systemd]
    #[arg(long, value_name = "FORMAT", value_enum)]
    pub(crate) log_format: Option<LogFormat>,
    /// Make no cgroups for services, also where that is possible
    #[arg(long)]
    pub(crate) no_cgroups: bool,
    /// Write the supervisor's pid to FILE, and remove it at the end
    #[arg(long, value_name = "FILE")]
    pub(crate) pid_file: Option<PathBuf>,
    /// Go to the background; returns when the control socket answers, or says why it does not
    #[arg(long)]
    pub(crate) detach: bool,
    /// What --detach starts.
    #[arg(long, hide = true, conflicts_with = "detach")]
    pub(crate) detached: bool,
    /// Says whether it could go on here with what is passed on in this format, and ends.
    #[arg(long = "try", hide = true, value_name = "FORMAT", require_equals = true)]
    pub(crate) try_only: Option<u32>,
}

impl RunArgs {
    /// The name of the format that is given.
    pub(super) fn log_format_name(&self) -> Option<String> {
        let value = self.log_format?.to_possible_value()?;
        Some(value.get_name().to_owned())
    }
}

/// `kennel run`
pub(super) fn run(global: &super::Global, args: RunArgs) -> super::Outcome {
    if args.detach {
        return detach(global, &args);
    }
    if let Some(format) = args.try_only {
        return try_out(global, args, format);
    }
    let variable = std::env::var_os(UPGRADE_VARIABLE);
    let handover = Handover::take(variable.as_deref());
    let begin = if let Ok(None) = handover { Detached::begin } else { Detached::again };
    let detached = args.detached.then(begin).transpose()?;
    let log = SupervisorLog::default();
    let own_log = OwnLog::start(log.counting(std::io::stderr()))?;
    args.log_format.unwrap_or_else(LogFormat::of_stderr).install(&own_log);
    // What was passed on only spares others something: without it all goes on as after a kill.
    let handover = handover.unwrap_or_else(|error| {
        tracing::warn!("{error}; clients may be refused for a moment");
        None
    });
    let voice = Voice { detached, log, own_log: own_log.clone() };
    let code = supervise(global, args, handover, voice);
    own_log.flush(LAST_WORDS);
    Ok(match code? {
        0 => super::ExitKind::Done,
        _ => super::ExitKind::Failed,
    })
}

/// Where the supervisor says things.
struct Voice {
    detached: Option<Detached>,
    log: SupervisorLog,
    own_log: OwnLog,
}

impl Voice {
    /// The state directory is ours.
    fn has_state_dir(&self, dir: &Path) -> Result<(), super::Failure> {
        let Some(detached) = &self.detached else { return Ok(()) };
        detached.open_log(&self.log, dir).map_err(|error| {
            let cause = os::Cause::from_io(&error);
            let message =
                format!("cannot open \"{}\": {cause}", dir.join("supervisor.log").display());
            super::Failure::new(super::ExitKind::Failed, message)
        })
    }

    /// The control socket answers.
    fn ready(&mut self) {
        let Some(detached) = self.detached.take() else { return };
        // What was said so far is for whoever started us.
        self.own_log.flush(LAST_WORDS);
        if let Err(error) = detached.ready(&self.log) {
            tracing::warn!("cannot write to the log of the supervisor: {error}");
        }
    }
}

/// Whether systemd has started this very process (`systemd.exec(5)`). It starts the next one in
/// the cgroup of the unit again, which the kernel refuses once controllers have been handed
/// down there. From systemd 254 on `DelegateSubgroup=` says where it goes instead.
fn would_be_in_the_way() -> bool {
    let own = std::process::id().to_string();
    std::env::var_os("SYSTEMD_EXEC_PID").is_some_and(|pid| pid == *own)
}

/// How long a thread for blocking work waits for more. They are woken in turn, so those that
/// a start of many services took would stay for ever where commands look at services: each
/// is asked again before its time is over. Making a thread costs less than making a process.
const IDLE_THREADS: Duration = Duration::from_millis(100);

/// What the command line and the file say.
fn configured(global: &super::Global, args: &RunArgs) -> Result<Builder, super::Failure> {
    let mut builder = Builder::from_file(global.config(), Environment::current())?;
    if let Some(dir) = &args.state_dir {
        builder = builder.state_dir(absolute(dir.clone())?);
    }
    if let Some(socket) = global.socket() {
        builder = builder.socket(absolute(socket.to_owned())?);
    }
    Ok(builder)
}

/// Says whether this program could go on with these arguments where another one supervises.
fn try_out(global: &super::Global, args: RunArgs, format: u32) -> super::Outcome {
    Handover::check(format)
        .map_err(|error| super::Failure::new(super::ExitKind::Failed, error.to_string()))?;
    let builder = configured(global, &args)?;
    let dir = &builder.config().supervisor.state_dir;
    forms::check(dir).map_err(StartError::from)?;
    let table = RunTable::check(dir).map_err(StartError::from)?;
    check_id(dir, table.origin.state_id()).map_err(StartError::from)?;
    writeln!(std::io::stdout(), "{WORD} {}", env!("CARGO_PKG_VERSION"))?;
    Ok(super::ExitKind::Done)
}

/// Supervises until told to stop; the exit code of the supervisor.
fn supervise(
    global: &super::Global,
    args: RunArgs,
    handover: Option<Handover>,
    voice: Voice,
) -> Result<i32, super::Failure> {
    let mut builder = configured(global, &args)?;
    for warning in builder.warnings() {
        tracing::warn!("{warning}");
    }
    let listener = match handover {
        Some(Handover { from, lock, listener, parcel }) => {
            builder = builder.handover(from, lock, parcel);
            Some(listener)
        }
        None => None,
    };
    if args.no_cgroups {
        builder = builder.without_cgroups();
    }
    if !would_be_in_the_way() {
        builder = builder.may_leave_its_cgroup();
    }
    let colour = std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let (lines, printed) = status_lines(voice.log.clone());
    builder = builder.status_lines(lines).console(console(colour, &voice));
    builder = builder.plugin_traps(super::TRAPS);
    match ServiceManager::from_environment() {
        Ok(Some(manager)) => builder = builder.service_manager(manager),
        Ok(None) => {}
        Err(error) => tracing::warn!("cannot use NOTIFY_SOCKET: {error}"),
    }
    if let Err(error) = os::raise_nofile() {
        tracing::warn!("cannot raise the limit of open files: {error}");
    }
    if let Err(error) = os::become_subreaper() {
        tracing::warn!("cannot become a subreaper, orphans of services go to init: {error}");
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .thread_name("kennel")
        .thread_keep_alive(IDLE_THREADS)
        .enable_all()
        .build()?;
    let pid_file = args.pid_file.map(absolute).transpose()?;
    let code = runtime.block_on(serve(builder, pid_file.as_deref(), listener, voice))?;
    // A blocked /proc or disk must not hold up the end.
    runtime.shutdown_timeout(LAST_WORDS);
    // Disconnected when the last line is printed.
    let _ = printed.recv_timeout(LAST_WORDS);
    Ok(code)
}

async fn serve(
    builder: Builder,
    pid_file: Option<&Path>,
    listener: Option<(PathBuf, OwnedFd)>,
    mut voice: Voice,
) -> Result<i32, super::Failure> {
    let settings = builder.config().supervisor.clone();
    let services = builder.config().services.len();
    // Before any process is started: from now on every signal is ours.
    let signals = Signals::catch()?;
    // They may have waited for that.
    os::let_signals_come()?;
    let prepared = builder.prepare()?;
    // The state directory is ours by now, so a socket and a pid file that are there are stale.
    let pid_file = pid_file.map(PidFile::write).transpose()?;
    voice.has_state_dir(&settings.state_dir)?;
    let server = match listener {
        Some((path, listener)) if path == settings.socket => {
            Server::carried_over(listener, &path).or_else(|_| Server::bind(&settings.socket))?
        }
        Some(_) | None => Server::bind(&settings.socket)?,
    };
    let own = OwnProcess {
        lock: prepared.lock(),
        listener: server.descriptor()?,
        socket: settings.socket.clone(),
        state_dir: settings.state_dir.clone(),
    };
    let prepared = prepared.with_successor(own);
    let noun = if services == 1 { "service" } else { "services" };
    tracing::info!(
        "{} supervises {services} {noun}; control socket {}, state {}",
        settings.name,
        settings.socket.display(),
        settings.state_dir.display(),
    );
    let supervisor: Running = prepared.start();
    let handle = supervisor.handle().clone();
    let serving = server.serve(handle.clone());
    let handling = tokio::spawn(signals.handle(handle.clone()));
    let is_there = handle.status().await.is_ok();
    // Not before: what an earlier version has started is no orphan.
    let reaping = tokio::spawn(reap_orphans());
    // Neither is the case when it has ended already.
    if is_there && handle.announce_ready().await.is_ok() {
        voice.ready();
    }
    let ended = supervisor.ended().await;
    // Before the state directory is free: the next supervisor may want the same socket.
    serving.stop().await;
    handling.abort();
    reaping.abort();
    drop(pid_file);
    // What the last processes left behind, so that no zombie is handed to init.
    let _ = tokio::time::timeout(LAST_WORDS, tokio::task::spawn_blocking(os::reap_orphans)).await;
    Ok(ended.code)
}

/// The signals that steer the supervisor.
struct Signals {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
    hangup: tokio::signal::unix::Signal,
}

impl Signals {
    fn catch() -> std::io::Result<Signals> {
        Ok(Signals {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    async fn handle(mut self, handle: Handle) {
        loop {
            tokio::select! {
                Some(()) = self.terminate.recv() => shut_down(&handle, "SIGTERM").await,
                Some(()) = self.interrupt.recv() => shut_down(&handle, "SIGINT").await,
                Some(()) = self.hangup.recv() => {
                    // In a task of its own: reading a file must not delay SIGTERM.
                    let handle = handle.clone();
                    tokio::spawn(async move { reload(&handle).await });
                }
                else => return,
            }
        }
    }
}

async fn shut_down(handle: &Handle, signal: &str) {
    tracing::info!("{signal} received; a second one kills at once");
    // It has ended already when nobody listens.
    let _ = handle.shutdown(ShutdownMode::Orderly).await;
}

async fn reload(handle: &Handle) {
    match handle.reload().await {
        Ok(plan) => tracing::info!("SIGHUP: reloaded\n{plan}"),
        Err(ReloadError::Invalid(errors)) => {
            tracing::error!("SIGHUP: nothing was changed\n{}", errors.without_lines());
        }
        Err(error) => tracing::error!("SIGHUP: nothing was changed: {error}"),
    }
}

/// As a subreaper this process inherits what its services leave behind, and nobody else
/// would reap it.
async fn reap_orphans() {
    let Ok(mut child) = signal(SignalKind::child()) else { return };
    // Some may have ended before.
    let mut is_open = true;
    while is_open {
        let mut pause = REAP_PAUSE;
        loop {
            let reaped = tokio::task::spawn_blocking(os::reap_orphans).await;
            tokio::time::sleep(pause).await;
            match reaped {
                // A start hangs. Its neighbours can wait.
                Ok(Err(error)) if error.kind() == std::io::ErrorKind::WouldBlock => {
                    pause = (pause * 2).min(REAP_PAUSE_MAX);
                }
                Ok(Err(error)) => {
                    tracing::warn!("cannot look for orphans: {error}");
                    break;
                }
                Ok(Ok(_)) | Err(_) => break,
            }
        }
        is_open = child.recv().await.is_some();
    }
}

/// Prints status lines from a thread of its own: standard output may block. The receiver
/// is disconnected when there are no more lines and all are printed.
fn status_lines(log: SupervisorLog) -> (StatusLines, Receiver<()>) {
    let (sender, receiver) = sync_channel::<String>(LINES);
    let (printing, printed) = sync_channel(0);
    let printer = std::thread::Builder::new().name("kennel-status".into()).spawn(move || {
        let _printing: SyncSender<()> = printing;
        let mut out = log.counting(std::io::stdout());
        for line in receiver {
            // A closed output is no reason to stop supervising.
            let _ = writeln!(out, "{line}").and_then(|()| out.flush());
        }
    });
    if let Err(error) = printer {
        tracing::warn!("cannot print status lines: {error}");
    }
    (Box::new(move |line| offer(&sender, line)), printed)
}

/// Where the output of services goes that is not kept in files.
fn console(colour: bool, voice: &Voice) -> Console {
    match &voice.detached {
        None => Console { colour, ..Console::default() },
        Some(_) => {
            let writer = Box::new(voice.log.counting(std::io::stdout()));
            Console { writer, colour: false, width: 0 }
        }
    }
}

fn offer(sender: &SyncSender<String>, line: &str) {
    let _ = sender.try_send(line.to_owned());
}

fn absolute(path: PathBuf) -> std::io::Result<PathBuf> {
    std::path::absolute(path)
}
