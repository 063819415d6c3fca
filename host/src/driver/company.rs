//! Commands beside a run, its checks and its stop command, and what they leave.
//!
//! They end with their run, checks when its stop begins: their group is killed. A
//! process of theirs that has left it is a stray of the run once its parent has ended, and not
//! before: what descends from a process that we have started is not looked at. So where a
//! command was at work when the run ended
//!
//! ```text
//!   a stop    checks are ended ─► the main process ends ─► the commands have ended ─►
//!             look for strays ─► over
//!   a crash   over, the next run may start ─► the commands have ended ─► look ─► killed
//! ```

use std::collections::HashSet;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use tokio::task::spawn_blocking;

use super::news::tell_swept;
use super::note::Note;
use super::stop_command::StopCommand;
use super::strays::Swept;
use super::{Fact, Facts};
use crate::os::{self, Among, RunMark};

/// The end of a run waits for so long, no longer: a command that was killed may be stuck in the
/// kernel, and one that a plugin has asked for ends with its call.
const PATIENCE: Duration = Duration::from_secs(2);
/// What the commands have left is looked for if they end within this.
const PATIENCE_BEHIND: Duration = Duration::from_secs(60);
/// So long are those that were killed expected to end.
const SWEEP: Duration = Duration::from_secs(5);

/// Commands beside one run.
#[derive(Clone)]
pub(super) struct Company {
    run: RunMark,
    main: i32,
    stop_command: StopCommand,
}

impl Company {
    /// Those that were started for `run`, apart from its main process.
    pub(super) fn of(run: RunMark, main: i32, stop_command: StopCommand) -> Company {
        Company { run, main, stop_command }
    }

    fn is_there(&self) -> bool {
        self.stop_command.is_there() || os::has_company(self.run, self.main)
    }

    /// Waits until they have ended.
    pub(super) async fn gone(&self) {
        self.gone_within(PATIENCE).await;
    }

    async fn gone_within(&self, patience: Duration) {
        let begun = Instant::now();
        let mut pause = Duration::from_micros(200);
        while self.is_there() && begun.elapsed() < patience {
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(Duration::from_millis(100));
        }
    }

    /// The run is over: ends what those leave that are still there, and tells of it.
    pub(super) fn sweep_behind(self, name: &Arc<str>, facts: &Facts) {
        if !self.is_there() {
            return;
        }
        let (name, facts) = (name.clone(), facts.clone());
        tokio::spawn(async move {
            self.gone_within(PATIENCE_BEHIND).await;
            let run = self.run.run;
            // It fails when the runtime ends.
            let swept = spawn_blocking(move || self.sweep()).await.unwrap_or_default();
            if !swept.is_empty() {
                let text = "what commands of the ended run left was killed".to_owned();
                let mut note = Note::of(&name, "service.swept", text);
                note.attributes.insert("run".to_owned(), run.into());
                tell_swept(&swept, &mut note.text, &mut note.attributes);
                let _ = facts.send(Fact::Outlived(note));
            }
        });
    }

    fn sweep(&self) -> Vec<Swept> {
        let deadline = Instant::now() + SWEEP;
        let mut swept: Vec<Swept> = Vec::new();
        loop {
            let strays = os::strays(Among::of_our_runs()).unwrap_or_default();
            let strays = os::strays_of(self.run, &strays, &HashSet::new());
            if strays.is_empty() || Instant::now() >= deadline {
                return swept;
            }
            for stat in strays {
                if !swept.iter().any(|one| one.is(&stat)) {
                    swept.push(Swept::killed(stat));
                }
            }
            thread::sleep(Duration::from_millis(1));
        }
    }
}
