//! The stop command of one run.
//!
//! ```text
//!   begun ─► at work ─┬─► it ends, or its time is over ─┐
//!                     └─► cut ──────────────────────────┴─► its group is killed ─► ended
//! ```

use std::time::Duration;

use kennel_core::{ExitStatus, Input, RunId, Signal};
use tokio::sync::watch;

use super::launch::{self, Job};
use super::{Fact, Facts};
use crate::os::Process;

/// The stop command of one run, also before it is begun. Clones are the same.
#[derive(Clone)]
pub(super) struct StopCommand(watch::Sender<Stage>);

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Stage {
    NotBegun,
    /// It is being made, or is there.
    AtWork,
    /// It is to end at once.
    Cut,
    Ended,
}

impl StopCommand {
    pub(super) fn new() -> StopCommand {
        StopCommand(watch::Sender::new(Stage::NotBegun))
    }

    /// Starts it beside the run, whose main process is `main`, and tells when it has ended.
    pub(super) fn begin(&self, run: RunId, job: Job, main: i32, timeout: Duration, facts: &Facts) {
        self.0.send_replace(Stage::AtWork);
        let (command, facts) = (self.clone(), facts.clone());
        tokio::spawn(async move {
            command.perform(job, main, timeout).await;
            command.0.send_replace(Stage::Ended);
            let _ = facts.send(Fact::Input(Input::StopCommandEnded(run)));
        });
    }

    /// Ends it if it is at work, soon.
    pub(super) fn cut(&self) {
        self.0.send_if_modified(|stage| {
            let is_at_work = *stage == Stage::AtWork;
            if is_at_work {
                *stage = Stage::Cut;
            }
            is_at_work
        });
    }

    pub(super) fn is_begun(&self) -> bool {
        *self.0.borrow() != Stage::NotBegun
    }

    /// Whether it is being made, or is there.
    pub(super) fn is_there(&self) -> bool {
        matches!(*self.0.borrow(), Stage::AtWork | Stage::Cut)
    }

    async fn perform(&self, job: Job, main: i32, timeout: Duration) {
        let name = job.name.clone();
        // Guarded from its first moment: the runtime may have ended when it exists.
        let make = move || launch::make_stop_command(&job, main).map(KillOnDrop);
        let process = match tokio::task::spawn_blocking(make).await {
            Ok(Ok(process)) => process,
            Ok(Err(error)) => {
                tracing::warn!(service = &*name, "cannot run the stop command: {error}");
                return;
            }
            Err(_) => return,
        };
        let mut stage = self.0.subscribe();
        let ended = tokio::time::timeout(timeout, process.0.exited());
        let ended = tokio::select! {
            ended = ended => ended,
            _ = stage.wait_for(|stage| *stage == Stage::Cut) => return,
        };
        match ended {
            Ok(Ok(status)) => match ExitStatus::from(status) {
                ExitStatus::Code(0) => {}
                status => tracing::warn!(service = &*name, "the stop command {status}"),
            },
            Ok(Err(error)) => tracing::warn!(service = &*name, "the stop command is lost: {error}"),
            Err(_) => {
                tracing::warn!(service = &*name, "the stop command took longer than {timeout:?}");
            }
        }
    }
}

/// Kills the group of a stop command, also of one that has ended by itself.
struct KillOnDrop(Process);

impl Drop for KillOnDrop {
    fn drop(&mut self) {
        let _ = self.0.signal_group(Signal::KILL.number());
        self.0.release();
    }
}
