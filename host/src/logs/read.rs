//! Reading logs back: history, and what comes after it.
//!
//! A [`LogReader`] merges the logs of several services by time. It is plain blocking code
//! over files and needs nothing of the threads that write them. A [`Follower`] adds the
//! waiting: it sleeps until one of its services has more.
//!
//! Timestamps come from the wall clock; if that was set back, the lines of one service
//! still come in the order in which they were written.

use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;

use jiff::Timestamp;
use tokio::sync::watch;

use super::cursor::{Cursor, Start};
use super::line::Stream;

/// What to read.
#[derive(Debug, Clone, Default)]
pub struct Query {
    /// Whose logs.
    pub services: Vec<Arc<str>>,
    /// Only so many lines at the end, of all services together.
    pub last: Option<usize>,
    /// Only lines from this time on. Lines without time stamp stay in where their file was
    /// written to after it.
    pub since: Option<Timestamp>,
    /// Whether reading goes on after the end: then the pieces of an unfinished line are
    /// held back until it is finished.
    pub follow: bool,
}

/// A line as the service wrote it, its pieces joined.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogLine {
    /// Whose line it is.
    pub service: Arc<str>,
    /// When its end was read from the service; `None` where the log has no time stamps.
    pub at: Option<Timestamp>,
    /// Where it came from; `None` where the log has no time stamps.
    pub stream: Option<Stream>,
    /// The bytes, without the newline.
    pub text: Vec<u8>,
}

/// Why a log cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("cannot read the log of \"{service}\" in \"{}\": {source}", dir.display())]
pub struct ReadError {
    /// Whose log.
    pub service: Arc<str>,
    /// Where it should be.
    pub dir: PathBuf,
    /// What the system said.
    pub source: std::io::Error,
}

/// One service in the merge.
struct Lane {
    service: Arc<str>,
    cursor: Cursor,
    /// Its next line, if that is read already.
    head: Option<LogLine>,
    /// What had no end when the end of the log was reached.
    rest: VecDeque<LogLine>,
    /// The time of the line before, for lines without one.
    last_at: Timestamp,
    /// Lines before this are skipped, until one is not.
    since: Option<Timestamp>,
    at_end: bool,
}

/// Reads logs forward from where a [`Query`] begins.
pub struct LogReader {
    dir: PathBuf,
    lanes: Vec<Lane>,
    /// Lines that are read and not given out.
    ready: VecDeque<LogLine>,
    /// So many lines are wanted of what is there; taken at the first batch.
    last: Option<usize>,
    follow: bool,
}

impl LogReader {
    /// Finds the beginnings in the log files under `dir`. A service without a log has no
    /// lines, which is no error.
    ///
    /// # Errors
    /// A file or the directory cannot be read.
    pub fn open(dir: &Path, query: &Query) -> Result<Self, ReadError> {
        let Query { services, last, since, follow } = query;
        let start = match (last, since) {
            // Skipping by time is exact only while reading, so `since` alone decides where.
            (_, Some(at)) => Start::Since(*at),
            (Some(count), None) => Start::Last(*count),
            (None, None) => Start::Oldest,
        };
        let mut lanes = Vec::new();
        for service in services {
            let cursor = Cursor::new(dir, Arc::clone(service), start)
                .map_err(|source| read_error(dir, service, source))?;
            lanes.push(Lane {
                service: Arc::clone(service),
                cursor,
                head: None,
                rest: VecDeque::new(),
                last_at: Timestamp::MIN,
                since: *since,
                at_end: false,
            });
        }
        Ok(LogReader {
            dir: dir.to_path_buf(),
            lanes,
            ready: VecDeque::new(),
            last: *last,
            follow: *follow,
        })
    }

    /// The next lines, `max` at most; none when all that is there has been read. May be
    /// called again: what was written since then comes next.
    ///
    /// # Errors
    /// A file cannot be read.
    pub fn next_batch(&mut self, max: usize) -> Result<Vec<LogLine>, ReadError> {
        for lane in &mut self.lanes {
            lane.at_end = false;
        }
        if let Some(count) = self.last.take() {
            while let Some(line) = self.next()? {
                if self.ready.len() == count {
                    self.ready.pop_front();
                }
                if count > 0 {
                    self.ready.push_back(line);
                }
            }
        }
        let mut batch: Vec<LogLine> = Vec::new();
        while batch.len() < max {
            match self.ready.pop_front() {
                Some(line) => batch.push(line),
                None => match self.next()? {
                    Some(line) => batch.push(line),
                    None => break,
                },
            }
        }
        Ok(batch)
    }

    /// The line that comes first of all that come next.
    fn next(&mut self) -> Result<Option<LogLine>, ReadError> {
        for lane in &mut self.lanes {
            lane.load(self.follow)
                .map_err(|source| read_error(&self.dir, &lane.service, source))?;
        }
        let first =
            self.lanes.iter_mut().filter(|lane| lane.head.is_some()).min_by_key(|lane| {
                lane.head.as_ref().and_then(|line| line.at).unwrap_or(lane.last_at)
            });
        Ok(first.and_then(|lane| {
            let line = lane.head.take();
            lane.last_at = line.as_ref().and_then(|line| line.at).unwrap_or(lane.last_at);
            line
        }))
    }
}

impl Lane {
    /// Reads the next line if it is not there and there is one.
    fn load(&mut self, follow: bool) -> std::io::Result<()> {
        if self.head.is_none() {
            self.head = self.rest.pop_front();
        }
        while self.head.is_none() && !self.at_end {
            let Some(line) = self.cursor.next()? else {
                self.at_end = true;
                if !follow {
                    self.rest.extend(self.cursor.unfinished());
                    self.head = self.rest.pop_front();
                }
                return Ok(());
            };
            match (self.since, line.at) {
                (Some(since), Some(at)) if at < since => {}
                (Some(_), Some(_)) => {
                    self.since = None;
                    self.head = Some(line);
                }
                (Some(_) | None, None) | (None, Some(_)) => self.head = Some(line),
            }
        }
        Ok(())
    }
}

/// A [`LogReader`] that can wait for more.
///
/// ```text
/// loop {
///     let batch = follower.next_batch(1000)?;
///     if batch.is_empty() { if !follower.wait().await { break } } else { show(batch) }
/// }
/// ```
pub struct Follower {
    reader: LogReader,
    changes: Vec<watch::Receiver<u64>>,
}

impl Follower {
    /// Follows what `reader` reads, which should be opened with [`Query::follow`];
    /// `changes` are those of its services, from
    /// [`Capture::changes`](super::Capture::changes).
    pub fn new(reader: LogReader, changes: Vec<watch::Receiver<u64>>) -> Self {
        Follower { reader, changes }
    }

    /// The next lines, `max` at most. Call it until it gives none, then
    /// [`wait`](Follower::wait). Reads files, so it blocks as long as a disk does.
    ///
    /// # Errors
    /// A file cannot be read.
    pub fn next_batch(&mut self, max: usize) -> Result<Vec<LogLine>, ReadError> {
        // Before reading: what is written during it wakes us up again.
        for change in &mut self.changes {
            change.borrow_and_update();
        }
        self.reader.next_batch(max)
    }

    /// Waits until there may be more; `false` when there never will be, because all the
    /// services are gone.
    pub async fn wait(&mut self) -> bool {
        type Change<'a> = Pin<Box<dyn Future<Output = bool> + Send + 'a>>;
        let mut waiting: Vec<Change<'_>> = Vec::new();
        for change in &mut self.changes {
            waiting.push(Box::pin(async { change.changed().await.is_ok() }));
        }
        poll_fn(|context| {
            let mut changed = false;
            waiting.retain_mut(|change| match change.as_mut().poll(context) {
                Poll::Ready(more) => {
                    changed |= more;
                    false
                }
                Poll::Pending => true,
            });
            match (changed, waiting.is_empty()) {
                (true, _) => Poll::Ready(true),
                (false, true) => Poll::Ready(false),
                (false, false) => Poll::Pending,
            }
        })
        .await
    }
}

fn read_error(dir: &Path, service: &Arc<str>, source: std::io::Error) -> ReadError {
    ReadError { service: Arc::clone(service), dir: dir.to_path_buf(), source }
}
