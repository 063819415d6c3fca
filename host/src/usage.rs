//! What services use of the machine.
//!
//! Every run leads a session of its own, so the processes of a service are those of the
//! session with the number of its main process. One pass over `/proc` serves all.

//!
//! The pass is the work of a thread for blocking work, and costs time in the number of
//! processes on the machine. However many ask at once, one is under way at a time, and it
//! answers all who asked before it began.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::Mutex;

use crate::os::proc;
use crate::status::Status;

/// A status is worth more without these numbers than late.
const PATIENCE: Duration = Duration::from_secs(3);

/// What the sessions use, looked up for all who ask.
#[derive(Clone, Default)]
pub(crate) struct Meter {
    last: Arc<Mutex<Reading>>,
}

#[derive(Default)]
struct Reading {
    /// None: there never was one.
    begun: Option<Instant>,
    /// Empty without /proc: nothing is known then, as an unfilled status says.
    sessions: Arc<BTreeMap<i32, proc::Usage>>,
}

impl Meter {
    /// Fills in memory and CPU time of every instance that runs; nothing when `/proc` takes
    /// too long.
    pub(crate) async fn fill_in(&self, status: &mut Status) {
        let Ok(sessions) = tokio::time::timeout(PATIENCE, self.read()).await else { return };
        for service in &mut status.services {
            let usage = service.pid.and_then(|pid| sessions.get(&pid));
            service.memory_bytes = usage.map(|usage| usage.memory_bytes);
            service.cpu = usage.map(|usage| usage.cpu);
        }
    }

    /// A reading that began after this was called.
    async fn read(&self) -> Arc<BTreeMap<i32, proc::Usage>> {
        let asked = Instant::now();
        let mut last = Arc::clone(&self.last).lock_owned().await;
        if last.begun.is_some_and(|begun| begun >= asked) {
            return Arc::clone(&last.sessions);
        }
        // The lock goes with the work, which goes on when who asked has gone.
        let read = tokio::task::spawn_blocking(move || {
            last.begun = Some(Instant::now());
            last.sessions = Arc::new(proc::usage_by_session().unwrap_or_default());
            Arc::clone(&last.sessions)
        });
        // Only fails when the runtime ends.
        read.await.unwrap_or_default()
    }
}

/// The resident memory of this process.
pub(crate) fn own_memory_bytes() -> Option<u64> {
    let page_bytes = nix::unistd::sysconf(nix::unistd::SysconfVar::PAGE_SIZE).ok()??;
    let own = proc::stat(i32::try_from(std::process::id()).ok()?).ok()?;
    Some(own.rss_pages.saturating_mul(u64::try_from(page_bytes).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    async fn many_who_ask_at_once_share_a_reading_that_is_not_older_than_their_question() {
        let meter = Meter::default();
        let ask = |meter: Meter| async move {
            let asked = Instant::now();
            let sessions = meter.read().await;
            let begun = meter.last.lock().await.begun;
            assert!(begun.is_some_and(|begun| begun >= asked));
            sessions
        };
        let asking: Vec<_> = (0..200).map(|_| tokio::spawn(ask(meter.clone()))).collect();
        let mut readings = Vec::new();
        for answer in asking {
            let sessions = answer.await.unwrap();
            assert!(!sessions.is_empty());
            if !readings.iter().any(|other| Arc::ptr_eq(other, &sessions)) {
                readings.push(sessions);
            }
        }
        assert!(readings.len() < 50, "{} readings for 200 questions", readings.len());
    }

    #[test]
    fn our_own_memory_is_known() {
        assert!(own_memory_bytes().unwrap() > 100_000);
    }
}
