//! The journal's handle, and what it keeps in memory.
//!
//! The lock guards memory only: nobody holds it during a system call on a file. Records
//! that wait to be written stay in `pending` until they are on disk, so at every moment
//! each record is on disk, or in memory, or counted as dropped.

use std::collections::VecDeque;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI32, Ordering::Relaxed};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use tokio::sync::watch;

use super::record::{NewRecord, Record};
use super::segment::{self, Reopened, Segment, SegmentInfo};
use super::writer::Writer;
use crate::state::Home;

/// How long a journal that is being closed tries to write what waits.
const GIVE_UP: Duration = Duration::from_secs(5);

/// The bounds of a journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JournalOptions {
    /// Bytes on disk in all; past it the oldest segment goes.
    pub max_bytes: u64,
    /// Bytes of one segment; a journal holds two at least.
    pub segment_bytes: u64,
    /// Records kept in memory for readers that are up to date.
    pub recent: usize,
    /// Records that may wait for a disk; past it the oldest are dropped and counted.
    pub pending: usize,
}

impl Default for JournalOptions {
    fn default() -> Self {
        JournalOptions {
            max_bytes: 64 * 1024 * 1024,
            segment_bytes: 4 * 1024 * 1024,
            recent: 4096,
            pending: 65_536,
        }
    }
}

/// What was no record was cut off when the journal was opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Repaired {
    /// How much was cut off.
    pub bytes: u64,
    /// Where it is kept: it was more than one record that a crash had cut short. The numbers
    /// that its records may have had are not given again.
    pub kept: Option<PathBuf>,
}

/// No line of a segment is shorter, in bytes: what a record has besides its text.
const LINE_MIN: u64 = 48;

/// Why a journal cannot be opened.
#[derive(Debug, thiserror::Error)]
#[error("cannot open the journal in \"{}\": {source}", dir.display())]
pub struct OpenError {
    /// Where it should be.
    pub dir: PathBuf,
    /// What the system said.
    pub source: io::Error,
}

/// A journal in numbers.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct JournalStats {
    /// Records appended since it was opened.
    pub records: u64,
    /// Bytes on disk.
    pub bytes: u64,
    /// Files on disk.
    pub segments: u64,
    /// Records lost since it was opened, because a disk refused them for too long.
    pub dropped: u64,
    /// The oldest number that is kept; 0 when there is none.
    pub first_seq: u64,
    /// The youngest number; 0 when there is none.
    pub last_seq: u64,
    /// Why records cannot be written or synced at the moment.
    pub error: Option<String>,
}

/// A cheap handle on the journal. When the last clone is dropped the thread writes what
/// waits and ends; [`close`](Journal::close) waits for that.
#[derive(Clone)]
pub struct Journal {
    pub(crate) shared: Arc<Shared>,
    /// Counts handles; the thread holds none.
    _handle: Arc<Closer>,
}

struct Closer(Arc<Shared>);

impl Drop for Closer {
    fn drop(&mut self) {
        self.0.lock().closing.get_or_insert_with(Instant::now);
        self.0.wake.notify_all();
    }
}

/// What handles and the thread share.
pub(crate) struct Shared {
    pub(crate) dir: PathBuf,
    pub(super) options: JournalOptions,
    repaired: Option<Repaired>,
    state: Mutex<State>,
    /// For the thread: there is work. For who closes: the thread has ended.
    pub(super) wake: Condvar,
    last: watch::Sender<u64>,
    pub(super) thread_id: AtomicI32,
    pub(crate) hints: super::read::Hints,
    pub(super) home: OnceLock<Arc<Home>>,
}

pub(crate) struct State {
    pub(crate) next_seq: u64,
    /// Everything up to here is on disk, or lost.
    pub(crate) written: u64,
    pub(super) recent: VecDeque<Arc<Record>>,
    pub(super) pending: VecDeque<Arc<Record>>,
    /// So many at the front of `pending` are being written.
    pub(super) in_flight: usize,
    /// Dropped and not yet told.
    pub(super) lost: u64,
    pub(crate) segments: VecDeque<SegmentInfo>,
    pub(super) stats: JournalStats,
    pub(super) closing: Option<Instant>,
    pub(super) ended: bool,
}

impl Journal {
    /// Opens the journal in `dir`, which is made if there is none; repairs its tail and
    /// goes on with the next number. Starts the thread "kennel-journal".
    ///
    /// # Errors
    /// The directory or the youngest segment cannot be read or repaired.
    pub fn open(dir: &Path, options: JournalOptions) -> Result<Self, OpenError> {
        Journal::try_open(dir, options)
            .map_err(|source| OpenError { dir: dir.to_path_buf(), source })
    }

    fn try_open(dir: &Path, options: JournalOptions) -> io::Result<Self> {
        let mut segments = segment::list(dir)?;
        let (mut current, mut last_seq, mut repaired) = (None, 0, None);
        if let Some(youngest) = segments.last_mut() {
            let reopened = Segment::reopen(dir, youngest.first)?;
            // A segment without a record still says by its name which numbers are taken.
            last_seq = reopened.last_seq.unwrap_or(0).max(youngest.first.saturating_sub(1));
            *youngest = reopened.segment.info;
            let Reopened { segment, last_seq: _, cut: bytes, kept } = reopened;
            // A segment has no holes: what follows a damaged end is written to a new one.
            current = kept.is_none().then_some(segment);
            if kept.is_some() {
                last_seq = last_seq.max(youngest.first) + bytes / LINE_MIN;
            }
            repaired = (bytes > 0).then_some(Repaired { bytes, kept });
        }
        let state = State {
            next_seq: last_seq + 1,
            written: last_seq,
            recent: VecDeque::new(),
            pending: VecDeque::new(),
            in_flight: 0,
            lost: 0,
            segments: segments.into(),
            stats: JournalStats::default(),
            closing: None,
            ended: false,
        };
        let shared = Arc::new(Shared {
            dir: dir.to_path_buf(),
            options,
            repaired,
            state: Mutex::new(state),
            wake: Condvar::new(),
            last: watch::Sender::new(last_seq),
            thread_id: AtomicI32::new(0),
            hints: super::read::Hints::default(),
            home: OnceLock::new(),
        });
        let writer =
            Writer { shared: Arc::clone(&shared), current, synced_at: None, generation: 0 };
        thread::Builder::new().name("kennel-journal".to_owned()).spawn(move || writer.run())?;
        Ok(Journal { _handle: Arc::new(Closer(Arc::clone(&shared))), shared })
    }

    /// Asks `home` from now on whether the directory is still the same. Only the first one
    /// counts.
    pub(crate) fn live_in(&self, home: Arc<Home>) {
        let _ = self.shared.home.set(home);
    }

    /// What had to be cut off when the journal was opened.
    pub fn repaired(&self) -> Option<Repaired> {
        self.shared.repaired.clone()
    }

    /// Gives the event a number and makes it visible; returns the number. Never waits for
    /// a disk. After [`close`](Journal::close) it is kept in memory only.
    pub fn append(&self, new: NewRecord) -> u64 {
        let mut state = self.shared.lock();
        let seq = self.shared.push(&mut state, new);
        drop(state);
        self.shared.wake.notify_all();
        seq
    }

    /// The number of the last record, and from then on of each new one. The watch ends
    /// with the last handle.
    pub fn subscribe(&self) -> watch::Receiver<u64> {
        self.shared.last.subscribe()
    }

    /// The number of the last record; 0 when there is none.
    pub fn last_seq(&self) -> u64 {
        self.shared.lock().next_seq - 1
    }

    /// The journal in numbers.
    pub fn stats(&self) -> JournalStats {
        let state = self.shared.lock();
        let oldest = state.segments.iter().find(|segment| segment.bytes > 0);
        let memory = state.oldest_in_memory();
        let first_seq = oldest.map(|segment| segment.first).or(memory).unwrap_or(0);
        JournalStats {
            bytes: state.segments.iter().map(|segment| segment.bytes).sum(),
            segments: state.segments.len() as u64,
            first_seq,
            last_seq: state.next_seq - 1,
            ..state.stats.clone()
        }
    }

    /// The kernel's id of "kennel-journal", 0 before it runs.
    pub fn thread_id(&self) -> i32 {
        self.shared.thread_id.load(Relaxed)
    }

    /// Whether everything appended so far is written, if not synced.
    pub(crate) fn is_written(&self) -> bool {
        self.shared.lock().pending.is_empty()
    }

    /// Waits until everything appended so far is written and synced, and ends the thread.
    /// Blocks; `false` when that took longer than `timeout`.
    pub fn close(&self, timeout: Duration) -> bool {
        let deadline = Instant::now() + timeout;
        let mut state = self.shared.lock();
        state.closing.get_or_insert_with(Instant::now);
        self.shared.wake.notify_all();
        while !state.ended {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            state = self.shared.wait(state, Some(left));
        }
        true
    }
}

impl Shared {
    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        // Each change of the state is a few assignments that cannot panic.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn wait<'a>(
        &self,
        state: MutexGuard<'a, State>,
        timeout: Option<Duration>,
    ) -> MutexGuard<'a, State> {
        match timeout {
            None => self.wake.wait(state).unwrap_or_else(PoisonError::into_inner),
            Some(timeout) => {
                let result = self.wake.wait_timeout(state, timeout);
                result.unwrap_or_else(PoisonError::into_inner).0
            }
        }
    }

    /// Gives `new` the next number and puts it where readers and the thread find it.
    pub(super) fn push(&self, state: &mut State, new: NewRecord) -> u64 {
        let seq = state.next_seq;
        state.next_seq += 1;
        let record = Arc::new(new.into_record(seq, Timestamp::now()));
        state.recent.push_back(Arc::clone(&record));
        if state.recent.len() > self.options.recent {
            state.recent.pop_front();
        }
        state.pending.push_back(record);
        if state.pending.len() > self.options.pending.max(1) {
            // Not those that are on their way to the disk at this moment.
            state.pending.remove(state.in_flight.min(state.pending.len() - 1));
            state.lost += 1;
            state.stats.dropped += 1;
        }
        state.stats.records += 1;
        self.last.send_replace(seq);
        seq
    }
}

impl State {
    /// Whether a thread that was told at `since` to end may do so.
    pub(super) fn is_finished(&self, since: Instant) -> bool {
        self.pending.is_empty() || (self.stats.error.is_some() && since.elapsed() > GIVE_UP)
    }

    /// The oldest number from which on memory has everything that is not lost.
    pub(crate) fn oldest_in_memory(&self) -> Option<u64> {
        let fronts = [self.recent.front(), self.pending.front()];
        fronts.into_iter().flatten().map(|record| record.seq).min()
    }

    /// The records in memory from `from` on, in order, each once.
    pub(crate) fn in_memory(&self, from: u64) -> impl Iterator<Item = &Arc<Record>> {
        // Both end with the youngest record; the recent ones have no holes, so where they
        // begin the waiting ones are no longer needed.
        let recent_from = self.recent.front().map_or(u64::MAX, |record| record.seq);
        let waiting = self.pending.partition_point(|record| record.seq < from);
        let recent = self.recent.partition_point(|record| record.seq < from);
        self.pending
            .range(waiting..)
            .take_while(move |record| record.seq < recent_from)
            .chain(self.recent.range(recent..))
    }
}
