//! `supervisor.log`: what a detached supervisor says, in its state directory.
//!
//! Both standard streams are the file itself, so that whatever comes there is in it, a panic
//! too. Everything that grows has a limit: past a size it becomes `supervisor.log.1` and a
//! new one is begun, which those notice who write through here.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use nix::fcntl::OFlag;
use nix::unistd::{dup2_stderr, dup2_stdout};

/// The size at which a new file is begun.
const MAX_BYTES: u64 = 10 * 1024 * 1024;

/// The file, once there is one. Cheap to clone.
#[derive(Clone, Default)]
pub(super) struct SupervisorLog {
    open: Arc<Mutex<Option<Open>>>,
}

struct Open {
    path: PathBuf,
    file: File,
    bytes: u64,
    has_stderr: bool,
}

impl SupervisorLog {
    /// Opens it, and has it as standard output from now on. A link in its place is not
    /// followed.
    pub(super) fn open(&self, path: &Path) -> io::Result<()> {
        let file = append(path)?;
        let bytes = file.metadata()?.len();
        dup2_stdout(&file)?;
        *self.lock() = Some(Open { path: path.to_owned(), file, bytes, has_stderr: false });
        Ok(())
    }

    /// Has it as standard error too, from now on.
    pub(super) fn take_stderr(&self) -> io::Result<()> {
        match &mut *self.lock() {
            None => Ok(()),
            Some(open) => {
                dup2_stderr(&open.file)?;
                open.has_stderr = true;
                Ok(())
            }
        }
    }

    /// A way to write to `out`, one of the standard streams, which counts what comes there.
    pub(super) fn counting<W: Write>(&self, out: W) -> Counting<W> {
        Counting { out, log: self.clone() }
    }

    fn grew(&self, bytes: usize) {
        if let Some(open) = &mut *self.lock() {
            open.bytes += bytes as u64;
            if open.bytes > MAX_BYTES {
                // It goes on growing then, and the next line tries again.
                let _ = open.begin_anew();
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<Open>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Open {
    fn begin_anew(&mut self) -> io::Result<()> {
        let mut old = self.path.clone().into_os_string();
        old.push(".1");
        fs::rename(&self.path, old)?;
        self.file = append(&self.path)?;
        self.bytes = 0;
        dup2_stdout(&self.file)?;
        if self.has_stderr {
            dup2_stderr(&self.file)?;
        }
        Ok(())
    }
}

fn append(path: &Path) -> io::Result<File> {
    File::options()
        .append(true)
        .create(true)
        .mode(0o600)
        .custom_flags((OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC | OFlag::O_NOCTTY).bits())
        .open(path)
}

/// See [`SupervisorLog::counting`].
pub(super) struct Counting<W> {
    out: W,
    log: SupervisorLog,
}

impl<W: Write> Write for Counting<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.out.write(bytes)?;
        self.log.grew(written);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}
