//! The thread that writes records to disk, in order.

use std::io;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, MutexGuard};
use std::time::{Duration, Instant};

use nix::unistd::gettid;
use serde_json::{Map, Value};

use super::handle::{JournalOptions, Shared, State};
use super::record::{NewRecord, Record, push_line};
use super::segment::{self, Segment, segment_path};

/// Records are synced this long after they were written, at the latest.
const SYNC_EVERY: Duration = Duration::from_secs(1);

/// When a write that failed is tried again.
const RETRY: Duration = Duration::from_millis(500);

/// How many records are written at once.
const BATCH: usize = 1024;

/// The thread.
pub(super) struct Writer {
    pub(super) shared: Arc<Shared>,
    pub(super) current: Option<Segment>,
    /// When the last sync was, or when the first write after it happened; `None` while
    /// everything is synced.
    pub(super) synced_at: Option<Instant>,
    /// Which one of the directories at its path is written to.
    pub(super) generation: u64,
}

impl Writer {
    /// Runs until the journal is closed or has no handle left.
    pub(super) fn run(mut self) {
        let shared = Arc::clone(&self.shared);
        shared.thread_id.store(gettid().as_raw(), Relaxed);
        loop {
            let mut state = shared.lock();
            while state.pending.is_empty()
                && state.closing.is_none()
                && self.sync_due().is_none_or(later)
            {
                let due = self.sync_due();
                let timeout = due.map(|at| at.saturating_duration_since(Instant::now()));
                state = shared.wait(state, timeout);
            }
            if state.closing.is_some_and(|since| state.is_finished(since)) {
                drop(state);
                self.sync();
                break;
            }
            let count = state.pending.len().min(BATCH);
            let batch: Vec<Arc<Record>> = state.pending.range(..count).cloned().collect();
            state.in_flight = count;
            drop(state);
            if !batch.is_empty() {
                self.write_batch(&batch);
            }
            if self.sync_due().is_some_and(|at| !later(at)) {
                self.sync();
            }
        }
        let mut state = shared.lock();
        state.ended = true;
        shared.wake.notify_all();
    }

    fn sync_due(&self) -> Option<Instant> {
        self.synced_at.map(|at| at + SYNC_EVERY)
    }

    /// Writes the records of `batch`, as many as can be; waits a little if not all.
    fn write_batch(&mut self, batch: &[Arc<Record>]) {
        let mut left = batch;
        while !left.is_empty() {
            let result = self.write_some(left);
            let mut state = self.shared.lock();
            match result {
                Ok(count) => {
                    let last = left[count - 1].seq;
                    left = &left[count..];
                    state.pending.drain(..count);
                    state.in_flight -= count;
                    state.written = last;
                    if state.stats.error.take().is_some() {
                        tracing::info!("the journal is written again");
                    }
                    let lost = std::mem::take(&mut state.lost);
                    if lost > 0 {
                        self.shared.push(&mut state, gap(lost));
                    }
                }
                Err(error) => {
                    state.in_flight = 0;
                    if state.stats.error.replace(error.to_string()).is_none() {
                        tracing::warn!(
                            "cannot write the journal, events are kept in memory: {error}"
                        );
                    }
                    self.pause(state);
                    return;
                }
            }
        }
    }

    /// Lets the retry interval pass, however often the bell rings; shorter when closing,
    /// because who closes waits for us.
    fn pause(&self, mut state: MutexGuard<'_, State>) {
        let until = Instant::now() + if state.closing.is_some() { RETRY / 10 } else { RETRY };
        loop {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            state = self.shared.wait(state, Some(left));
        }
    }

    /// Writes the first records of `batch` that go into one segment; how many.
    fn write_some(&mut self, batch: &[Arc<Record>]) -> io::Result<usize> {
        self.move_in(batch[0].seq)?;
        let JournalOptions { max_bytes, segment_bytes, .. } = self.shared.options;
        let segment_bytes = segment_bytes.min(max_bytes / 2).max(1);
        let mut lines = Vec::new();
        let mut count = 0;
        let used = self.current.as_ref().map_or(segment_bytes, |segment| segment.info.bytes);
        for record in batch {
            let before = lines.len();
            push_line(&mut lines, record);
            if used > 0 && used + lines.len() as u64 > segment_bytes {
                lines.truncate(before);
                break;
            }
            count += 1;
            if used + lines.len() as u64 >= segment_bytes {
                break;
            }
        }
        if count == 0 {
            self.next_segment(batch[0].seq, max_bytes.saturating_sub(segment_bytes))?;
            return self.write_some(batch);
        }
        if let Some(segment) = &mut self.current {
            segment.append(&lines)?;
            let info = segment.info;
            if let Some(youngest) = self.shared.lock().segments.back_mut() {
                *youngest = info;
            }
        }
        self.synced_at.get_or_insert_with(Instant::now);
        Ok(count)
    }

    /// Begins anew where the directory was made anew, with the records before `next` that are
    /// still in memory.
    fn move_in(&mut self, next: u64) -> io::Result<()> {
        let shared = Arc::clone(&self.shared);
        let Some(home) = shared.home.get() else { return Ok(()) };
        let generation = home.generation()?;
        if generation == self.generation {
            return Ok(());
        }
        self.current = None;
        let found = segment::list(&shared.dir)?;
        let is_empty = found.is_empty();
        let recent: Vec<Arc<Record>> = {
            let mut state = shared.lock();
            state.segments = found.into();
            state.recent.iter().take_while(|record| record.seq < next).cloned().collect()
        };
        if let (true, Some(first)) = (is_empty, recent.first()) {
            let mut segment = Segment::create(&shared.dir, first.seq)?;
            let mut lines = Vec::new();
            recent.iter().for_each(|record| push_line(&mut lines, record));
            segment.append(&lines)?;
            shared.lock().segments.push_back(segment.info);
            self.current = Some(segment);
        }
        self.generation = generation;
        Ok(())
    }

    /// Goes on in a new segment; deletes old ones until `room` holds those that stay.
    fn next_segment(&mut self, first: u64, room: u64) -> io::Result<()> {
        self.sync();
        // Deleting comes first: on a full disk it may be what makes the room.
        loop {
            let mut state = self.shared.lock();
            let total: u64 = state.segments.iter().map(|segment| segment.bytes).sum();
            if total <= room {
                break;
            }
            let Some(oldest) = state.segments.pop_front() else { break };
            drop(state);
            let _ = std::fs::remove_file(segment_path(&self.shared.dir, oldest.first));
        }
        let segment = Segment::create(&self.shared.dir, first)?;
        self.shared.lock().segments.push_back(segment.info);
        self.current = Some(segment);
        Ok(())
    }

    fn sync(&mut self) {
        if self.synced_at.take().is_none() {
            return;
        }
        if let Some(Err(error)) = self.current.as_ref().map(Segment::sync) {
            // Trying again would not help: after a failed sync the kernel calls the pages
            // clean. It is told; the next write syncs anew.
            self.shared.lock().stats.error = Some(error.to_string());
        }
    }
}

fn later(at: Instant) -> bool {
    at > Instant::now()
}

fn gap(lost: u64) -> NewRecord {
    let (were, events) = if lost == 1 { ("was", "event") } else { ("were", "events") };
    NewRecord {
        kind: "journal.gap".to_owned(),
        service: None,
        message: format!("{lost} {events} {were} lost while the journal could not be written"),
        attributes: Map::from_iter([("lost".to_owned(), Value::from(lost))]),
    }
}
