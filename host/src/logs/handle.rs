//! What others can ask of the logs of a running supervisor.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::capture::Capture;
use super::read::{Follower, LogReader, Query, ReadError};
use super::registry::LogCounters;

/// The output of all services: to be read, followed and counted, never changed.
#[derive(Clone)]
pub struct Logs {
    capture: Capture,
    dir: PathBuf,
}

impl Logs {
    pub(crate) fn new(capture: Capture, dir: PathBuf) -> Logs {
        Logs { capture, dir }
    }

    /// Where the log files are.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Begins to read. Blocks as long as a disk does.
    ///
    /// # Errors
    /// A log exists and cannot be read.
    pub fn open(&self, query: &Query) -> Result<Follower, ReadError> {
        // Taken before the files are opened, so that nothing falls between.
        let changes = query.services.iter().map(|name| self.capture.changes(name)).collect();
        let reader = LogReader::open(&self.dir, query)?;
        Ok(Follower::new(reader, changes))
    }

    /// What was captured of each service, in the order of names.
    pub fn counters(&self) -> Vec<(Arc<str>, LogCounters)> {
        self.capture.counters()
    }
}
