//! How `kennel run` replaces itself by another file of the program.
//!
//! The file is tried out first: it is run with the arguments of this process and `--try`, with
//! which it reads the configuration and looks at the state, says its version and ends. A
//! version that does not know the state, or the form in which descriptors are passed on,
//! refuses it, one that does not know `--try` refuses that, what is no Kennel says nothing of
//! its version, and one that says nothing in time is killed.

use std::ffi::OsString;
use std::io::{self, Read as _};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use crate::os::{self, Cause, ExitStatus, Launch, Output, Process};
use crate::state::{HANDOVER_FORMAT, Handover, LockSource, Parcel, UPGRADE_VARIABLE};
use crate::upgrade::{Successor, UpgradeError};

/// How often it is looked whether it has ended.
const POLL: Duration = Duration::from_millis(2);
/// How much of what it says is kept.
const SAID_MAX: u64 = 16 * 1024;

/// What a program that was tried out says first of itself.
pub(super) const WORD: &str = "kennel";

/// This process, as far as it can be passed on.
pub(super) struct OwnProcess {
    pub(super) lock: LockSource,
    pub(super) listener: OwnedFd,
    pub(super) socket: PathBuf,
    pub(super) state_dir: PathBuf,
}

impl Successor for OwnProcess {
    fn find(&self, named: Option<PathBuf>) -> Result<PathBuf, UpgradeError> {
        let program = match named {
            Some(program) => program,
            None => own_file().map_err(|error| UpgradeError::NoProgram {
                program: PathBuf::from("/proc/self/exe"),
                cause: Cause::from_io(&error),
            })?,
        };
        match program.metadata() {
            Ok(_) => Ok(program),
            Err(error) => Err(UpgradeError::NoProgram { program, cause: Cause::from_io(&error) }),
        }
    }

    fn try_out(&self, program: &Path, patience: Duration) -> Result<String, UpgradeError> {
        let refused = |reason| UpgradeError::Refused { program: program.to_owned(), reason };
        try_out(program, patience).map_err(refused)
    }

    fn give_way(&self, program: &Path, parcel: Parcel) -> io::Error {
        self.try_to_give_way(program, parcel).unwrap_or_else(|error| error)
    }
}

impl OwnProcess {
    fn try_to_give_way(&self, program: &Path, parcel: Parcel) -> io::Result<io::Error> {
        let handover = Handover {
            from: env!("CARGO_PKG_VERSION").to_owned(),
            lock: self.lock.descriptor()?,
            listener: (self.socket.clone(), self.listener.try_clone()?),
            parcel,
        };
        let passed = handover.pass_on(&self.state_dir)?;
        let mut env = environment();
        env.push((UPGRADE_VARIABLE.into(), passed.variable.clone().into()));
        Ok(os::execute(program, &arguments(program), &env))
    }
}

/// Where the file of this program is, or the one that has replaced it.
fn own_file() -> io::Result<PathBuf> {
    let file = std::env::current_exe()?;
    // The kernel marks the path of a file that was removed.
    let text = file.as_os_str().to_string_lossy();
    Ok(match text.strip_suffix(" (deleted)") {
        Some(path) if !file.exists() => PathBuf::from(path),
        Some(_) | None => file,
    })
}

fn arguments(program: &Path) -> Vec<OsString> {
    let mut arguments: Vec<OsString> = vec![program.into()];
    arguments.extend(std::env::args_os().skip(1));
    arguments
}

fn environment() -> Vec<(OsString, OsString)> {
    std::env::vars_os().filter(|(name, _)| name != UPGRADE_VARIABLE).collect()
}

/// The version of the program, or why it cannot go on.
fn try_out(program: &Path, patience: Duration) -> Result<String, String> {
    let failed = |error: io::Error| Cause::from_io(&error).to_string();
    let (mut said, words) = io::pipe().map_err(failed)?;
    let mut arguments = arguments(program);
    arguments.push(format!("--try={HANDOVER_FORMAT}").into());
    let mut launch = Launch::new(arguments);
    launch.env = environment();
    let copy = words.try_clone().map_err(failed)?;
    launch.stdout = Output::Descriptor(words.into());
    launch.stderr = Output::Descriptor(copy.into());
    let process = os::spawn(launch).map_err(|error| error.to_string())?;
    let (done, reading) = mpsc::sync_channel(1);
    let reader = thread::Builder::new().name("kennel-try".into()).spawn(move || {
        let mut text = Vec::new();
        // What was said until then counts.
        let _ = said.by_ref().take(SAID_MAX).read_to_end(&mut text);
        let _ = done.send(text);
    });
    reader.map_err(failed)?;
    let deadline = Instant::now() + patience;
    let text = reading.recv_timeout(patience).unwrap_or_default();
    let status = ended(&process, deadline);
    let text = String::from_utf8_lossy(&text);
    let last = text.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or_default();
    match status {
        Some(ExitStatus::Code(0)) => match last.strip_prefix(WORD) {
            Some(version) if version.starts_with(' ') => Ok(version.trim().to_owned()),
            Some(_) | None => Err("it is no version of this program".to_owned()),
        },
        Some(_) if !last.is_empty() => Err(text.trim().to_owned()),
        Some(ExitStatus::Code(code)) => Err(format!("tried out, it ended with code {code}")),
        Some(ExitStatus::Signal { signal, core_dumped: _ }) => {
            Err(format!("tried out, it was ended by signal {signal}"))
        }
        None => {
            // It can only be gone already.
            let _ = process.signal_group(libc::SIGKILL);
            Err(format!("tried out, it did not end within {patience:?}"))
        }
    }
}

fn ended(process: &Process, deadline: Instant) -> Option<ExitStatus> {
    loop {
        match process.try_exited() {
            Ok(Some(status)) => return Some(status),
            Ok(None) if Instant::now() < deadline => thread::sleep(POLL),
            Ok(None) | Err(_) => return None,
        }
    }
}
