//! A command, run as the user of a service and in its environment.
//!
//! It gets a process group of its own, which is killed as a whole at the deadline, and
//! also when the command itself has ended and left something behind: a check that is made
//! every second must leave nothing. At the deadline its descendants in other groups and
//! sessions (`setsid(2)`) are killed too. What has cut itself off from all of them bears the
//! mark of the run, and is left to the end of that.
//!
//! Making a process may block, so it is done on a thread for such work, of which only so
//! many are taken. Everything else waits without a thread.

use std::fs::File;
use std::io::{self, PipeReader, Read as _};
use std::sync::Arc;

use kennel_core::{ExitStatus, Signal};
use kennel_wasm::probe::ExecOutput;
use tokio::io::AsyncReadExt as _;
use tokio::net::unix::pipe::Receiver;
use tokio::sync::Semaphore;

use super::deadline::Deadline;
use super::error::{ProbeError, Stage};
use super::launcher::Launcher;
use crate::os::{self, Cause, Output, Process, proc};

/// How much of each stream is kept.
const KEPT_BYTES: usize = 64 * 1024;

/// How much of each is read: a command that writes more is left waiting for its deadline.
const READ_BYTES_MAX: usize = 16 << 20;

/// How many processes are being made at once.
static PLACES: Semaphore = Semaphore::const_new(32);

/// What became of a command.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct CommandEnd {
    /// How it ended.
    pub(crate) status: ExitStatus,
    /// The first 64 KiB of its standard output.
    pub(crate) stdout: Vec<u8>,
    /// The first 64 KiB of its standard error.
    pub(crate) stderr: Vec<u8>,
}

impl From<CommandEnd> for ExecOutput {
    fn from(end: CommandEnd) -> ExecOutput {
        let CommandEnd { status, stdout, stderr } = end;
        let exit_code = match status {
            ExitStatus::Code(code) => Some(code),
            ExitStatus::Signal { .. } | ExitStatus::OutOfMemory | ExitStatus::Unknown => None,
        };
        ExecOutput { exit_code, stdout, stderr }
    }
}

/// Runs a command until it ends, or kills it at the deadline.
///
/// # Errors
/// [`ProbeError::Command`] when it cannot be started, [`ProbeError::Late`] when it was
/// killed.
pub(crate) async fn exec(
    launcher: Arc<dyn Launcher>,
    argv: Vec<String>,
    deadline: Deadline,
) -> Result<CommandEnd, ProbeError> {
    let program = argv.first().cloned().unwrap_or_default();
    let run = async {
        // The semaphore is never closed. The place goes with the work.
        let place = PLACES.acquire().await.ok();
        let made = tokio::task::spawn_blocking(move || (make(&*launcher, &argv), place)).await;
        let failed = |reason: String| ProbeError::Command(sentence(&program, &reason));
        let (running, place) = made.map_err(|_| failed("it was interrupted".into()))?;
        drop(place);
        let ended = collect(running.map_err(failed)?).await;
        ended.map_err(|error| failed(Cause::from_io(&error).to_string()))
    };
    deadline.limit(Stage::Command, &program, run).await
}

/// Why a program cannot be run; what the system says may be a sentence already.
fn sentence(program: &str, reason: &str) -> String {
    if reason.starts_with("cannot ") {
        reason.to_owned()
    } else {
        format!("cannot run \"{program}\": {reason}")
    }
}

struct Running {
    process: KillOnDrop,
    stdout: PipeReader,
    stderr: PipeReader,
}

/// Blocks for as long as the file system does.
fn make(launcher: &dyn Launcher, argv: &[String]) -> Result<Running, String> {
    let mut launch = launcher.launch(argv)?;
    let of_io = |error: io::Error| format!("cannot make a pipe: {}", Cause::from_io(&error));
    let (stdout, out) = io::pipe().map_err(of_io)?;
    let (stderr, err) = io::pipe().map_err(of_io)?;
    launch.stdout = Output::Descriptor(out.into());
    launch.stderr = Output::Descriptor(err.into());
    // Guarded from its first moment: nobody may be waiting any more when it exists.
    let process = os::spawn(launch).map(KillOnDrop::new).map_err(|error| match error.hint() {
        Some(hint) => format!("{error} ({hint})"),
        None => error.to_string(),
    })?;
    Ok(Running { process, stdout, stderr })
}

/// Reads what the command writes until it has ended.
async fn collect(running: Running) -> io::Result<CommandEnd> {
    let Running { process, stdout, stderr } = running;
    let (mut stdout, mut stderr) = (Capture::new(stdout)?, Capture::new(stderr)?);
    let ended = process.exited();
    tokio::pin!(ended);
    let status = loop {
        tokio::select! {
            status = &mut ended => break status,
            () = stdout.fill(), if stdout.is_open() => {}
            () = stderr.fill(), if stderr.is_open() => {}
        }
    };
    let status = match status {
        Ok(status) => ExitStatus::from(status),
        // An embedding program that ignores SIGCHLD, or waits for any child itself.
        Err(error) if error.raw_os_error() == Some(libc::ECHILD) => ExitStatus::Unknown,
        Err(error) => return Err(error),
    };
    Ok(CommandEnd { status, stdout: stdout.rest(), stderr: stderr.rest() })
}

/// One stream of a command.
struct Capture {
    pipe: Option<Receiver>,
    kept: Vec<u8>,
    read_bytes: usize,
}

impl Capture {
    fn new(pipe: PipeReader) -> io::Result<Capture> {
        let pipe = Some(Receiver::from_owned_fd(pipe.into())?);
        Ok(Capture { pipe, kept: Vec::new(), read_bytes: 0 })
    }

    fn is_open(&self) -> bool {
        self.pipe.is_some() && self.read_bytes < READ_BYTES_MAX
    }

    /// Reads once, when there is something. Cancel safe.
    async fn fill(&mut self) {
        let Some(pipe) = &mut self.pipe else { return };
        let mut chunk = [0; 8 * 1024];
        match pipe.read(&mut chunk).await {
            Ok(0) | Err(_) => self.pipe = None,
            Ok(bytes) => self.keep(&chunk[..bytes]),
        }
    }

    /// Reads what is there, without waiting: somebody else may hold the other end.
    fn rest(mut self) -> Vec<u8> {
        // Past the reactor, which may not have heard yet of what was written last.
        let pipe = self.pipe.take().and_then(|pipe| pipe.into_nonblocking_fd().ok());
        let Some(mut pipe) = pipe.map(File::from) else { return self.kept };
        let mut chunk = [0; 8 * 1024];
        while self.kept.len() < KEPT_BYTES {
            match pipe.read(&mut chunk) {
                Ok(0) => break,
                Ok(bytes) => self.keep(&chunk[..bytes]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => break,
            }
        }
        self.kept
    }

    fn keep(&mut self, bytes: &[u8]) {
        self.read_bytes += bytes.len();
        let room = KEPT_BYTES - self.kept.len();
        self.kept.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }
}

/// Kills what is left of a command that is done or not wanted any more, and reaps it.
struct KillOnDrop(Option<Process>);

impl KillOnDrop {
    fn new(process: Process) -> KillOnDrop {
        KillOnDrop(Some(process))
    }

    async fn exited(&self) -> io::Result<os::ExitStatus> {
        match &self.0 {
            Some(process) => process.exited().await,
            None => Err(io::Error::from_raw_os_error(libc::ECHILD)),
        }
    }
}

impl Drop for KillOnDrop {
    fn drop(&mut self) {
        let Some(process) = self.0.take().map(KillGroupOnDrop::new) else { return };
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) if process.is_running() => {
                // Looking at /proc may take its time. Where that is not to be had any more,
                // the group is killed all the same.
                runtime.spawn_blocking(move || process.kill_all());
            }
            Ok(_) | Err(_) => {}
        }
    }
}

/// Kills the group of a command, and reaps it.
struct KillGroupOnDrop(Option<Process>);

impl KillGroupOnDrop {
    fn new(process: Process) -> KillGroupOnDrop {
        KillGroupOnDrop(Some(process))
    }

    fn is_running(&self) -> bool {
        self.0.as_ref().is_some_and(|process| matches!(process.try_exited(), Ok(None)))
    }

    /// Kills also those that have left the group, as far as their parents lead to them.
    fn kill_all(self) {
        let pid = self.0.as_ref().map(Process::pid);
        // Once their parents are dead, nothing tells any more whose they are.
        let all = pid.map(proc::descendants).unwrap_or_default();
        drop(self);
        for process in all.iter().filter(|process| Some(process.group) != pid) {
            // It may have ended with the others.
            let _ = os::signal_exactly(process.pid, process.start_time, Signal::KILL.number());
        }
    }
}

impl Drop for KillGroupOnDrop {
    fn drop(&mut self) {
        let Some(process) = self.0.take() else { return };
        // Nobody may be left.
        let _ = process.signal_group(Signal::KILL.number());
        let is_over = !matches!(process.try_exited(), Ok(None));
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) if !is_over => {
                // It dies in a moment; until somebody waits for it, it would be a zombie.
                runtime.spawn(async move {
                    let _ = process.exited().await;
                });
            }
            // Outside of a runtime the next spawn reaps it.
            Ok(_) | Err(_) => process.release(),
        }
    }
}
