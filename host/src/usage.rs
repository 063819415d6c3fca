//! What services use of the machine.
//!
//! Every run leads a session of its own, so the processes of a service are those of the
//! session with the number of its main process. One pass over `/proc` serves all.

use crate::os::proc;
use crate::status::Status;

/// Fills in memory and CPU time of every instance that runs. Reads all of `/proc`: not
/// for the thread that supervises.
pub(crate) fn fill_in(status: &mut Status) {
    // Without /proc nothing is known, which is what an unfilled status says.
    let Ok(sessions) = proc::usage_by_session() else { return };
    for service in &mut status.services {
        let usage = service.pid.and_then(|pid| sessions.get(&pid));
        service.memory_bytes = usage.map(|usage| usage.memory_bytes);
        service.cpu = usage.map(|usage| usage.cpu);
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

    #[test]
    fn our_own_memory_is_known() {
        assert!(own_memory_bytes().unwrap() > 100_000);
    }
}
