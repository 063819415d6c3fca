//! Giving way to another version of the program, in the same process.
//!
//! ```text
//!   upgrade ─► try it out ──refused──► nothing has happened, and why
//!                  │ it can go on here
//!                  ▼
//!              what has begun comes to its end, nothing else begins
//!                  ▼
//!              answer ─► all that waits is written ─► descriptors are passed on ─► execve(2)
//! ```
//!
//! What happens at `execve(2)` is what happens when the supervisor is killed, and the next
//! one goes on in the same way. So there is no moment at which a failure costs anything; what
//! is passed on spares clients a refused connection.
//!
//! Only the binary can do it, since it concerns the whole program.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{Mutex, OwnedMutexGuard, oneshot};
use tokio::task::spawn_blocking;

use crate::gate::Closed;
use crate::handle::{Handle, Request};
use crate::os::{self, Cause};
use crate::state::{Parcel, unwritten};

/// How long a program has to say that it can go on, unless somebody asks for another time.
pub(crate) const TRIAL: Duration = Duration::from_secs(30);

/// How long answers have to leave, and exits to be told of, before the program gives way.
const FAREWELL: Duration = Duration::from_millis(50);

/// How long what has begun may take: to make processes, and to look whether they are all gone.
const SETTLING: Duration = Duration::from_secs(10);

/// How long what waits to be written is waited for.
const LAST_WRITES: Duration = Duration::from_secs(2);

/// Why there was no upgrade. Nothing has happened.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum UpgradeError {
    /// The supervisor is part of another program.
    #[error("this supervisor is part of another program, which cannot be replaced")]
    Embedded,
    /// There is no such program.
    #[error("cannot use \"{}\": {cause}", program.display())]
    NoProgram {
        /// What was to take its place.
        program: PathBuf,
        /// What the system said.
        cause: Cause,
    },
    /// The program cannot go on here.
    #[error("\"{}\" cannot go on here: {reason}", program.display())]
    Refused {
        /// What was to take its place.
        program: PathBuf,
        /// What it said.
        reason: String,
    },
    /// What was begun does not end.
    #[error("the start or the end of a service is still being dealt with after {} s", .0.as_secs())]
    Unsettled(Duration),
    /// What was decided cannot be written down, and who goes on would not know of it.
    #[error("the state cannot be written: {}", unwritten(*.0))]
    NotWritten(Option<Cause>),
    /// Another upgrade is under way.
    #[error("another upgrade is under way")]
    Busy,
    /// The supervisor is shutting down.
    #[error("the supervisor is shutting down")]
    ShuttingDown,
    /// The supervisor has ended.
    #[error("the supervisor has stopped")]
    Stopped,
}

/// How the binary replaces itself. All of it blocks.
pub(crate) trait Successor: Send + Sync {
    /// The file that takes the place: the one that was named, else where the present one is.
    fn find(&self, named: Option<PathBuf>) -> Result<PathBuf, UpgradeError>;
    /// Whether it can go on here, which it has to say within `patience`: its version.
    fn try_out(&self, program: &Path, patience: Duration) -> Result<String, UpgradeError>;
    /// Executes it. Returns only when that has failed; then nothing has happened.
    fn give_way(&self, program: &Path, parcel: Parcel) -> io::Error;
}

/// What a handle needs for it.
#[derive(Clone)]
pub(crate) struct Succession {
    successor: Arc<dyn Successor>,
    turn: Arc<Mutex<()>>,
}

impl Succession {
    pub(crate) fn new(successor: impl Successor + 'static) -> Succession {
        Succession { successor: Arc::new(successor), turn: Arc::default() }
    }
}

/// A program that can go on here.
pub struct Tried {
    /// The file.
    pub program: PathBuf,
    /// What it says of its version.
    pub version: String,
    succession: Succession,
    _quiet: Quiet,
    _turn: OwnedMutexGuard<()>,
}

/// Nothing is begun that a successor would have to know of, and who ends stays a zombie.
struct Quiet {
    _gate: Option<Closed>,
}

impl Drop for Quiet {
    fn drop(&mut self) {
        os::leave_to_successor(false);
    }
}

impl Handle {
    /// Finds out whether the program can go on in place of this one; without a name the file
    /// that this one was started from. It has to say so within `patience`. Nothing has happened
    /// then: see [`Handle::give_way`].
    ///
    /// # Errors
    /// Why it cannot.
    pub async fn try_upgrade(
        &self,
        named: Option<PathBuf>,
        patience: Duration,
    ) -> Result<Tried, UpgradeError> {
        let succession = self.succession.clone().ok_or(UpgradeError::Embedded)?;
        let turn = succession.turn.clone().try_lock_owned().map_err(|_| UpgradeError::Busy)?;
        let status = self.status().await.map_err(|_| UpgradeError::Stopped)?;
        if status.supervisor.stopping {
            return Err(UpgradeError::ShuttingDown);
        }
        let successor = succession.successor.clone();
        let trying = spawn_blocking(move || {
            let program = successor.find(named)?;
            let version = successor.try_out(&program, patience)?;
            Ok((program, version))
        });
        // It fails when the runtime ends.
        let (program, version) = trying.await.map_err(|_| UpgradeError::Stopped)??;
        let quiet = self.be_quiet().await?;
        Ok(Tried { program, version, succession, _quiet: quiet, _turn: turn })
    }

    /// Lets what has begun come to its end, and nothing begin.
    async fn be_quiet(&self) -> Result<Quiet, UpgradeError> {
        os::leave_to_successor(true);
        let mut quiet = Quiet { _gate: None };
        // Who has just been waited for is told of before that.
        tokio::time::sleep(FAREWELL).await;
        let closed = self.gate.close(SETTLING).await;
        quiet._gate = Some(closed.ok_or(UpgradeError::Unsettled(SETTLING))?);
        Ok(quiet)
    }

    /// Gives way to a program that was tried. Returns only when that has failed, and then the
    /// supervisor goes on.
    pub async fn give_way(&self, tried: Tried) -> UpgradeError {
        // What was asked is answered first.
        tokio::time::sleep(FAREWELL).await;
        let (failed, why) = oneshot::channel();
        let error = self.try_to_give_way(&tried, why).await;
        // Without a driver there is nobody to be told.
        let _ = failed.send(error.to_string());
        error
    }

    async fn try_to_give_way(
        &self,
        tried: &Tried,
        failed: oneshot::Receiver<String>,
    ) -> UpgradeError {
        let Tried { program, version: _, succession, _quiet, _turn } = tried;
        let (reply, answer) = oneshot::channel();
        if self.requests.send(Request::HandOver { reply, failed }).await.is_err() {
            return UpgradeError::Stopped;
        }
        let parcel = match answer.await {
            Ok(Some(parcel)) => parcel,
            Ok(None) => return UpgradeError::ShuttingDown,
            Err(_) => return UpgradeError::Stopped,
        };
        if let Err(cause) = self.table.written().await {
            return UpgradeError::NotWritten(cause);
        }
        let (journal, successor) = (self.journal.clone(), succession.successor.clone());
        let (file, plugins) = (program.clone(), self.plugins.clone());
        let executing = spawn_blocking(move || {
            let deadline = Instant::now() + LAST_WRITES;
            if !plugins.flush(LAST_WRITES) {
                tracing::warn!("what plugins have remembered last is not on disk");
            }
            while !journal.is_written() && Instant::now() < deadline {
                std::thread::sleep(Duration::from_millis(1));
            }
            successor.give_way(&file, parcel)
        });
        match executing.await {
            Ok(error) => {
                UpgradeError::NoProgram { program: program.clone(), cause: Cause::from_io(&error) }
            }
            Err(_) => UpgradeError::Stopped,
        }
    }
}
