//! `kennel run`: the supervisor in the foreground.
//!
//! What belongs to a program and not to a library happens here: signal handlers, the
//! subreaper flag, the limit of descriptors, the logger, the exit code.

use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};

use super::own_log::OwnLog;
use crate::api::Server;
use crate::config::Environment;
use crate::logs::Console;
use crate::{Builder, Handle, ShutdownMode, StatusLines, Supervisor, os};

/// Lines that may wait for a slow standard output before lines are dropped: they tell of
/// states, and the next one tells the newer state.
const LINES: usize = 10_000;

/// How long what is still under way at the end may take.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Orphans are reaped at most that often: their exits come in bursts.
const REAP_PAUSE: Duration = Duration::from_millis(50);
/// And when a start that hangs keeps them from being reaped, that often.
const REAP_PAUSE_MAX: Duration = Duration::from_secs(5);

/// How the supervisor writes what it says of itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, clap::ValueEnum)]
pub(crate) enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// Options of `kennel run`.
#[derive(clap::Args, Debug)]
pub(crate) struct RunArgs {
    /// Where state, journal and logs are kept [default: as configured]
    #[arg(long, value_name = "DIR")]
    pub(crate) state_dir: Option<PathBuf>,
    /// How the supervisor writes what it says of itself, on standard error
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t)]
    pub(crate) log_format: LogFormat,
    /// Make no cgroups for services, also where that is possible
    #[arg(long)]
    pub(crate) no_cgroups: bool,
}

/// `kennel run`
pub(super) fn run(global: &super::Global, args: RunArgs) -> super::Outcome {
    let socket = global.socket().map(Path::to_owned);
    let own_log = log_to_stderr(args.log_format)?;
    let code = supervise(global.config(), socket, args);
    own_log.flush(LAST_WORDS);
    Ok(match code? {
        0 => super::ExitKind::Done,
        _ => super::ExitKind::Failed,
    })
}

/// How long a thread for blocking work waits for more. They are woken in turn, so those that
/// a start of many services took would stay for ever where commands look at services: each
/// is asked again before its time is over. Making a thread costs less than making a process.
const IDLE_THREADS: Duration = Duration::from_millis(100);

/// Supervises until told to stop; the exit code of the supervisor.
fn supervise(config: &Path, socket: Option<PathBuf>, args: RunArgs) -> Result<i32, super::Failure> {
    let environment = Environment::current();
    let mut builder = Builder::from_file(config, environment)?;
    for warning in builder.warnings() {
        tracing::warn!("{warning}");
    }
    if let Some(dir) = args.state_dir {
        builder = builder.state_dir(absolute(dir)?);
    }
    if let Some(socket) = socket {
        builder = builder.socket(absolute(socket)?);
    }
    if args.no_cgroups {
        builder = builder.without_cgroups();
    }
    let colour = std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let (lines, printed) = status_lines();
    builder = builder.status_lines(lines).console(Console { colour, ..Console::default() });
    builder = builder.plugin_traps(super::TRAPS);
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
    let code = runtime.block_on(serve(builder))?;
    // A blocked /proc or disk must not hold up the end.
    runtime.shutdown_timeout(LAST_WORDS);
    // Disconnected when the last line is printed.
    let _ = printed.recv_timeout(LAST_WORDS);
    Ok(code)
}

async fn serve(builder: Builder) -> Result<i32, super::Failure> {
    let settings = builder.config().supervisor.clone();
    let services = builder.config().services.len();
    // Before any process is started: from now on every signal is ours.
    let signals = Signals::catch()?;
    let prepared = builder.prepare()?;
    // The state directory is ours by now, so a socket file that is there is stale.
    let server = Server::bind(&settings.socket)?;
    tracing::info!(
        "{} supervises {services} services; control socket {}, state {}",
        settings.name,
        settings.socket.display(),
        settings.state_dir.display(),
    );
    let supervisor: Supervisor = prepared.start();
    let handle = supervisor.handle().clone();
    let serving = server.serve(handle.clone());
    let handling = tokio::spawn(signals.handle(handle));
    let reaping = tokio::spawn(reap_orphans());
    let ended = supervisor.ended().await;
    // Before the state directory is free: the next supervisor may want the same socket.
    serving.stop().await;
    handling.abort();
    reaping.abort();
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
        Err(error) => tracing::error!("SIGHUP: nothing was changed\n{error}"),
    }
}

/// As a subreaper this process inherits what its services leave behind, and nobody else
/// would reap it.
async fn reap_orphans() {
    let Ok(mut child) = signal(SignalKind::child()) else { return };
    while child.recv().await.is_some() {
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
    }
}

/// Prints status lines from a thread of its own: standard output may block. The receiver
/// is disconnected when there are no more lines and all are printed.
fn status_lines() -> (StatusLines, Receiver<()>) {
    let (sender, receiver) = sync_channel::<String>(LINES);
    let (printing, printed) = sync_channel(0);
    let printer = std::thread::Builder::new().name("kennel-status".into()).spawn(move || {
        let _printing: SyncSender<()> = printing;
        let mut out = std::io::stdout();
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

fn offer(sender: &SyncSender<String>, line: &str) {
    let _ = sender.try_send(line.to_owned());
}

fn log_to_stderr(format: LogFormat) -> std::io::Result<OwnLog> {
    let own_log = OwnLog::start(std::io::stderr())?;
    let writer = own_log.clone();
    let filter = tracing_subscriber::EnvFilter::try_from_env("KENNEL_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info"));
    let colour = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(move || writer.clone())
        .with_target(false)
        .with_ansi(colour);
    // A second supervisor in one process cannot happen in the binary.
    let _ = match format {
        LogFormat::Text => builder.try_init(),
        LogFormat::Json => builder.json().try_init(),
    };
    Ok(own_log)
}

fn absolute(path: PathBuf) -> std::io::Result<PathBuf> {
    std::path::absolute(path)
}
