//! `kennel init`: the first process of a container, around one command.
//!
//! The kernel gives PID 1 two duties that ordinary programs do not do: to reap whatever is
//! orphaned, and to handle signals, for those without a handler are dropped. This does both
//! and nothing else:
//!
//! ```text
//!   signals ─► the group of the command      exits ─► reaped ─► that of the command: ours
//! ```

use std::ffi::OsString;
use std::io::{self, ErrorKind};
use std::process::{Child, Command};

use super::{ExitKind, Failure, Outcome};
use crate::os::{self, Cause, ChildNews, ExitStatus, Incoming};

/// The exit code when there is no such program, as shells have it.
const NOT_FOUND: i32 = 127;
/// And when it cannot be executed.
const NOT_EXECUTABLE: i32 = 126;
/// A signal that ended the command is added to this.
const BY_SIGNAL: i32 = 128;

/// Options of `kennel init`.
#[derive(clap::Args, Debug)]
pub(crate) struct InitArgs {
    /// The program and its arguments
    #[arg(required = true, last = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

/// `kennel init`
pub(super) fn init(args: &InitArgs) -> Outcome {
    // Before the command exists: from now on no signal and no exit is missed.
    let incoming = Incoming::take()?;
    if let Err(error) = os::become_subreaper() {
        return Err(Failure::new(ExitKind::Failed, format!("cannot reap orphans: {error}")));
    }
    let Some((program, arguments)) = args.command.split_first() else {
        return Err(Failure::new(ExitKind::Invalid, "there is no command"));
    };
    let code = match incoming.start(Command::new(program).args(arguments)) {
        Ok(child) => serve(&incoming, &child)?,
        Err(error) => {
            eprintln!("cannot run \"{}\": {}", program.display(), Cause::from_io(&error));
            let is_missing = error.kind() == ErrorKind::NotFound;
            if is_missing { NOT_FOUND } else { NOT_EXECUTABLE }
        }
    };
    // It is that of the command, which says what it likes.
    std::process::exit(code)
}

/// Passes on signals and reaps until the command has ended; its exit code.
fn serve(incoming: &Incoming, child: &Child) -> io::Result<i32> {
    let command = child.id().cast_signed();
    loop {
        match incoming.next()? {
            libc::SIGCHLD => {
                if let Some(status) = reap(command) {
                    // Who is left would only be in the way of the next one of its name. In a
                    // container the kernel kills all others when we are gone.
                    let _ = os::signal_group_of_child(command, libc::SIGKILL);
                    while os::next_child().is_some() {}
                    return Ok(code(status));
                }
            }
            signal => {
                if signal == libc::SIGCONT {
                    os::give_terminal_to(command);
                }
                if let Err(error) = os::signal_group_of_child(command, signal) {
                    eprintln!("cannot pass on signal {signal}: {error}");
                }
            }
        }
    }
}

/// Reaps all that have ended; how the command has, if it is among them.
fn reap(command: i32) -> Option<ExitStatus> {
    let mut ended = None;
    while let Some((pid, news)) = os::next_child() {
        match news {
            ChildNews::Ended(status) if pid == command => ended = Some(status),
            ChildNews::Ended(_) => {}
            ChildNews::Stopped if pid == command => os::stop_ourselves(),
            ChildNews::Stopped => {}
        }
    }
    ended
}

fn code(status: ExitStatus) -> i32 {
    match status {
        ExitStatus::Code(code) => code,
        ExitStatus::Signal { signal, .. } => BY_SIGNAL + signal,
    }
}
