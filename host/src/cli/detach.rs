//! `kennel run --detach`: the supervisor in the background.
//!
//! ```text
//!  kennel run --detach ──starts──► kennel run --detached        session of its own
//!     │ waits                        │ stderr: what it says on the way up, shown here
//!     │                              │ stdout: a line when the control socket answers
//!     ◄──── line, or end with code ──┘ from then on both are DIR/supervisor.log
//! ```
//!
//! The supervisor is a program started anew and no fork of this one, which has threads.
//! What it says before it is ready is said here, and its exit code is ours: so whoever
//! detaches sees the same as one who does not. It goes on when this one is killed.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, PipeReader, Read as _, Write as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use nix::unistd::dup2_stdout;

use super::run::RunArgs;
use super::supervisor_log::SupervisorLog;
use super::{ExitKind, Failure, Global, Outcome};
use crate::os::{self, ExitStatus, Launch, Output, Process};

/// How long the last of what was said on the way up may take to be shown.
const LAST_WORDS: Duration = Duration::from_secs(1);
/// How often it is looked for the exit code of a process that is just ending.
const POLL: Duration = Duration::from_millis(2);

/// Starts the supervisor and returns when it is ready, or has failed.
pub(super) fn detach(global: &Global, args: &RunArgs) -> Outcome {
    let (said, stderr) = io::pipe()?;
    let (mut ready, stdout) = io::pipe()?;
    let mut launch = Launch::new(command(global, args)?);
    launch.env = std::env::vars_os().collect();
    launch.stderr = Output::Descriptor(stderr.into());
    launch.stdout = Output::Descriptor(stdout.into());
    let process = os::spawn(launch)
        .map_err(|error| Failure::new(ExitKind::Failed, error.to_string()).doing("detach"))?;
    let shown = show(said)?;
    let mut line = [0];
    let is_ready = ready.read(&mut line)? > 0;
    let end = if is_ready { Ok(ExitKind::Done) } else { Err(failure(&process)) };
    shown.wait();
    end
}

/// The command line of the supervisor: this one, but for the word to detach.
fn command(global: &Global, args: &RunArgs) -> io::Result<Vec<OsString>> {
    let RunArgs {
        state_dir,
        log_format: _,
        no_cgroups,
        pid_file,
        detach: _,
        detached: _,
        try_only: _,
    } = args;
    let program = std::env::current_exe()?;
    // It was replaced or removed since; the kernel still has it.
    let program = if program.exists() { program } else { "/proc/self/exe".into() };
    let mut argv: Vec<OsString> = vec![program.into(), "run".into(), "--detached".into()];
    argv.extend(["--config".into(), std::path::absolute(global.config())?.into()]);
    for (option, path) in [
        ("--socket", global.socket()),
        ("--state-dir", state_dir.as_deref()),
        ("--pid-file", pid_file.as_deref()),
    ] {
        if let Some(path) = path {
            argv.extend([option.into(), std::path::absolute(path)?.into()]);
        }
    }
    if *no_cgroups {
        argv.push("--no-cgroups".into());
    }
    if let Some(format) = args.log_format_name() {
        argv.extend(["--log-format".into(), format.into()]);
    }
    Ok(argv)
}

/// What it says is being shown.
struct Shown {
    /// Disconnected when it says it elsewhere or has ended.
    end: mpsc::Receiver<()>,
    /// Something is being written.
    is_writing: Arc<AtomicBool>,
}

impl Shown {
    /// Waits until all is shown, however slowly it is read.
    fn wait(self) {
        while self.end.recv_timeout(LAST_WORDS) == Err(RecvTimeoutError::Timeout) {
            // Whoever has its standard error by mistake must not keep us.
            if !self.is_writing.load(Relaxed) {
                return;
            }
        }
    }
}

/// Shows what it says, until it says it elsewhere or has ended.
fn show(mut said: PipeReader) -> io::Result<Shown> {
    let (showing, end) = mpsc::sync_channel(0);
    let is_writing = Arc::new(AtomicBool::new(false));
    let writing = Arc::clone(&is_writing);
    thread::Builder::new().name("kennel-said".into()).spawn(move || {
        let _showing: mpsc::SyncSender<()> = showing;
        let mut bytes = [0; 4096];
        while let Ok(length @ 1..) = said.read(&mut bytes) {
            writing.store(true, Relaxed);
            // Without a standard error there is nobody to tell.
            let _ = io::stderr().write_all(&bytes[..length]);
            writing.store(false, Relaxed);
        }
    })?;
    Ok(Shown { end, is_writing })
}

/// Why it is not there. Mostly it has said so itself.
fn failure(process: &Process) -> Failure {
    let status = loop {
        match process.try_exited() {
            Ok(None) => thread::sleep(POLL),
            Ok(Some(status)) => break Some(status),
            Err(_) => break None,
        }
    };
    let of = |message: String| Failure::new(ExitKind::Failed, message).doing("detach");
    match status {
        Some(ExitStatus::Code(code)) => match ExitKind::from_code(code) {
            Some(ExitKind::Done) => of("the supervisor was shut down before it was ready".into()),
            Some(kind) => Failure::silent(kind),
            None => of(format!("the supervisor ended with code {code}")),
        },
        Some(ExitStatus::Signal { signal, core_dumped: _ }) => {
            of(format!("signal {signal} ended the supervisor before it was ready"))
        }
        None => of("the supervisor ended before it was ready".into()),
    }
}

/// The other side: the supervisor that was started so.
pub(super) struct Detached {
    starter: File,
}

impl Detached {
    /// Keeps standard output for the word that we are ready, and puts nothing in its place.
    pub(super) fn begin() -> io::Result<Detached> {
        let starter = io::stdout().as_fd().try_clone_to_owned()?;
        dup2_stdout(File::options().write(true).open("/dev/null")?)?;
        Ok(Detached { starter: OwnedFd::into(starter) })
    }

    /// The same in the place of an earlier version: nobody waits for its word.
    pub(super) fn again() -> io::Result<Detached> {
        Ok(Detached { starter: File::options().write(true).open("/dev/null")? })
    }

    /// From now on standard output goes to the log in the state directory, which is ours.
    pub(super) fn open_log(&self, log: &SupervisorLog, state_dir: &Path) -> io::Result<()> {
        log.open(&state_dir.join("supervisor.log"))
    }

    /// The control socket answers: standard error goes to the log too, and who started us
    /// need not wait any more.
    pub(super) fn ready(self, log: &SupervisorLog) -> io::Result<()> {
        let Detached { mut starter } = self;
        log.take_stderr()?;
        // It may not have waited.
        let _ = starter.write_all(b"\n");
        Ok(())
    }
}
