//! What other processes hold that an earlier supervisor has given them.

use std::collections::HashSet;
use std::io::{self, ErrorKind};
use std::os::fd::OwnedFd;

use crate::os::{self, proc};

/// Processes in which something can be looked for.
pub(super) struct Members {
    /// The main process first.
    pub(super) known: Vec<i32>,
    pub(super) session: i32,
    /// The main process has ended.
    pub(super) has_ended: bool,
}

impl Members {
    fn all(&self) -> Vec<i32> {
        let session = proc::processes().unwrap_or_default().into_iter();
        let session = session.filter(|process| process.session == self.session);
        let mut seen = HashSet::new();
        let mut all = self.known.clone();
        all.extend(session.map(|process| process.pid));
        all.retain(|pid| seen.insert(*pid));
        all
    }

    pub(super) fn reopen(&self, inode: u64) -> io::Result<OwnedFd> {
        // Nearly always the main process has it: no look at all the others.
        os::reopen_pipe(&self.known[..1], inode).or_else(|_| os::reopen_pipe(&self.all(), inode))
    }

    pub(super) fn borrow(&self, inode: u64) -> io::Result<OwnedFd> {
        let mut failed = io::Error::from(ErrorKind::NotFound);
        for pid in self.all() {
            match os::borrow_socket(pid, inode) {
                Ok(socket) => return Ok(socket),
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => failed = error,
            }
        }
        Err(failed)
    }
}
