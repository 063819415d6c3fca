//! What services use of the machine.
//!
//! Every run leads a session of its own, so the processes of a service are those of that
//! session, of sessions that these began, and of those that a named main process is in. One
//! pass over `/proc` serves all.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::lookup::Lookup;
use crate::os::proc;
use crate::status::Status;

/// A status is worth more without these numbers than late.
const PATIENCE: Duration = Duration::from_secs(3);

/// Tells what services use. Clones share the work.
#[derive(Clone)]
pub(crate) struct Meter {
    /// Empty without `/proc`: nothing is known then, as an unfilled status says.
    sessions: Lookup<BTreeMap<i32, proc::Usage>>,
}

impl Default for Meter {
    fn default() -> Meter {
        Meter { sessions: Lookup::new(|| proc::usage_by_session().unwrap_or_default()) }
    }
}

impl Meter {
    /// Fills in memory and CPU time of every instance that runs; nothing when `/proc` takes
    /// too long.
    pub(crate) async fn fill_in(&self, status: &mut Status) {
        let asking = tokio::time::timeout(PATIENCE, self.sessions.ask());
        let Ok(sessions) = asking.await else { return };
        for service in &mut status.services {
            let usage = together(&sessions, &service.sessions);
            service.memory_bytes = usage.map(|usage| usage.memory_bytes);
            service.cpu = usage.map(|usage| usage.cpu);
        }
    }

    /// What the processes in these sessions use; the look may have been made for somebody
    /// else, at most `age` ago.
    pub(crate) async fn see(&self, sessions: &[i32], age: Duration) -> Seen {
        let (at, known) = self.sessions.ask_within(age).await;
        Seen { at, usage: together(&known, sessions) }
    }
}

/// What several sessions use; nothing when there is none of them.
fn together(known: &BTreeMap<i32, proc::Usage>, sessions: &[i32]) -> Option<proc::Usage> {
    sessions.iter().filter_map(|session| known.get(session)).copied().reduce(|a, b| {
        let proc::Usage { processes, memory_bytes, cpu, threads } = a;
        proc::Usage {
            processes: processes + b.processes,
            memory_bytes: memory_bytes + b.memory_bytes,
            cpu: cpu + b.cpu,
            threads: threads + b.threads,
        }
    })
}

/// What a service used at some moment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seen {
    /// When it was looked at.
    pub(crate) at: Instant,
    /// Nothing when it could not be seen.
    pub(crate) usage: Option<proc::Usage>,
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

    #[test]
    fn our_own_memory_is_known() {
        assert!(own_memory_bytes().unwrap() > 100_000);
    }
}
