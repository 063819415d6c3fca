//! Reading the journal with cursors.
//!
//! ```text
//! let mut changes = journal.subscribe();
//! loop {
//!     changes.borrow_and_update();
//!     let batch = journal.read(cursor, 1000)?;        // batch.missed: tell the reader
//!     cursor = batch.next;
//!     if batch.records.is_empty() { changes.changed().await?; }
//! }
//! ```
//!
//! Numbers have no holes when they are given, so whatever number does not come up in
//! reading is a record that is gone: pruned, rotten, or dropped before it was written.
//! That is how all of them are counted, in one place.

use std::collections::VecDeque;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use super::handle::Journal;
use super::record::{Record, parse_line};
use super::segment::{Lines, SegmentInfo};

/// How many places of readers are remembered.
const HINTS: usize = 32;

/// What one read gave.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Batch {
    /// The records, in order.
    pub records: Vec<Arc<Record>>,
    /// How many records between the cursor and the end of this batch are gone for good.
    pub missed: u64,
    /// The cursor to go on with.
    pub next: u64,
}

/// Which records are wanted; the default is all.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Filter {
    /// Only those of this service.
    pub service: Option<String>,
    /// Only kinds that match one of these patterns, in which `*` stands for any text:
    /// `service.*`. None at all: every kind.
    pub kinds: Vec<String>,
}

/// Why the journal cannot be read. Corrupt records are no error, they are missed.
#[derive(Debug, thiserror::Error)]
#[error("cannot read the journal in \"{}\": {source}", dir.display())]
pub struct JournalReadError {
    /// Where it is.
    pub dir: PathBuf,
    /// What the system said.
    pub source: io::Error,
}

impl Filter {
    /// Whether `record` is wanted.
    pub fn matches(&self, record: &Record) -> bool {
        let Filter { service, kinds } = self;
        service.as_ref().is_none_or(|service| record.service.as_ref() == Some(service))
            && (kinds.is_empty() || kinds.iter().any(|kind| kind_matches(kind, &record.kind)))
    }
}

/// Whether `kind` matches `pattern`, in which `*` stands for any text, dots included.
pub fn kind_matches(pattern: &str, kind: &str) -> bool {
    let Some((head, mut rest)) = pattern.split_once('*') else { return pattern == kind };
    let Some(mut kind) = kind.strip_prefix(head) else { return false };
    // Each part at its first place leaves the most for the parts that follow.
    while let Some((part, after)) = rest.split_once('*') {
        let Some(place) = kind.find(part) else { return false };
        kind = &kind[place + part.len()..];
        rest = after;
    }
    kind.ends_with(rest)
}

/// Where in a segment the record with some number begins: a reader that goes through a
/// segment in batches need not search its place each time.
#[derive(Debug, Default)]
pub(crate) struct Hints(Mutex<VecDeque<Hint>>);

#[derive(Debug, Clone, Copy)]
struct Hint {
    seq: u64,
    segment: u64,
    offset: u64,
}

impl Hints {
    fn find(&self, segment: u64, seq: u64) -> u64 {
        let hints = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let hint = hints.iter().find(|hint| hint.segment == segment && hint.seq == seq);
        hint.map_or(0, |hint| hint.offset)
    }

    fn remember(&self, hint: Hint) {
        let mut hints = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if hints.len() == HINTS {
            hints.pop_front();
        }
        hints.push_back(hint);
    }
}

impl Batch {
    /// Takes the next record there is.
    fn take(&mut self, record: Arc<Record>, filter: &Filter) {
        self.missed += record.seq.saturating_sub(self.next);
        self.next = record.seq + 1;
        if filter.matches(&record) {
            self.records.push(record);
        }
    }

    /// Goes on at `next`: what lies between is gone.
    fn skip_to(&mut self, next: u64) {
        self.missed += next.saturating_sub(self.next);
        self.next = self.next.max(next);
    }
}

impl Journal {
    /// The records from number `from` on, `max` at most. No records and none missed: the
    /// reader is at the end. A cursor beyond the end is at the end. Reads files, so it
    /// blocks as long as a disk does.
    ///
    /// # Errors
    /// A segment cannot be read.
    pub fn read(&self, from: u64, max: usize) -> Result<Batch, JournalReadError> {
        self.read_filtered(from, max, &Filter::default())
    }

    /// Like [`read`](Journal::read), of what is in memory only: never waits for a disk, and
    /// counts as missed what is on disk alone.
    pub fn read_memory(&self, from: u64, max: usize) -> Batch {
        let mut batch = Batch { next: from.max(1), ..Batch::default() };
        let state = self.shared.lock();
        for record in state.in_memory(batch.next).take(max) {
            batch.take(Arc::clone(record), &Filter::default());
        }
        batch
    }

    /// Like [`read`](Journal::read), with only the records that `filter` wants; others are
    /// passed over and are not missed.
    ///
    /// # Errors
    /// A segment cannot be read.
    pub fn read_filtered(
        &self,
        from: u64,
        max: usize,
        filter: &Filter,
    ) -> Result<Batch, JournalReadError> {
        let mut batch = Batch { next: from.max(1), ..Batch::default() };
        while batch.records.len() < max {
            let (segments, written) = {
                let state = self.shared.lock();
                batch.next = batch.next.min(state.next_seq);
                let from_memory = state.oldest_in_memory().is_some_and(|seq| seq <= batch.next);
                if from_memory || batch.next > state.written {
                    for record in state.in_memory(batch.next) {
                        if batch.records.len() == max {
                            return Ok(batch);
                        }
                        batch.take(Arc::clone(record), filter);
                    }
                    batch.skip_to(state.next_seq);
                    return Ok(batch);
                }
                (state.segments.iter().copied().collect::<Vec<_>>(), state.written)
            };
            self.read_segments(&segments, written, max, filter, &mut batch)
                .map_err(|source| self.read_error(source))?;
        }
        Ok(batch)
    }

    /// Takes what is on disk up to number `written`, or until the batch is full.
    fn read_segments(
        &self,
        segments: &[SegmentInfo],
        written: u64,
        max: usize,
        filter: &Filter,
        batch: &mut Batch,
    ) -> io::Result<()> {
        let first = segments.partition_point(|segment| segment.first <= batch.next);
        for segment in &segments[first.saturating_sub(1)..] {
            let offset = self.shared.hints.find(segment.first, batch.next);
            // A segment that is gone was pruned meanwhile: its records are missed.
            let Some(mut lines) = Lines::open(&self.shared.dir, segment.first, offset)? else {
                continue;
            };
            while let Some(record) = lines.next_record(batch.next)? {
                if record.seq > written {
                    break;
                }
                batch.take(Arc::new(record), filter);
                if batch.records.len() == max {
                    let (seq, offset) = (batch.next, lines.offset());
                    self.shared.hints.remember(Hint { seq, segment: segment.first, offset });
                    return Ok(());
                }
            }
        }
        batch.skip_to(written + 1);
        Ok(())
    }

    /// The youngest `max` records that `filter` wants, oldest first. Goes back only as far
    /// as it has to. Reads files, so it blocks as long as a disk does.
    ///
    /// # Errors
    /// A segment cannot be read.
    pub fn last(&self, max: usize, filter: &Filter) -> Result<Vec<Arc<Record>>, JournalReadError> {
        let (mut found, before, segments) = {
            let state = self.shared.lock();
            let mut found: VecDeque<Arc<Record>> = VecDeque::new();
            for record in state.in_memory(0).filter(|record| filter.matches(record)) {
                found.push_back(Arc::clone(record));
                if found.len() > max {
                    found.pop_front();
                }
            }
            let before = state.oldest_in_memory().unwrap_or(state.next_seq);
            (found, before, state.segments.iter().copied().collect::<Vec<_>>())
        };
        for segment in segments.iter().rev().filter(|segment| segment.first < before) {
            if found.len() >= max {
                break;
            }
            let older = self
                .last_in_segment(*segment, before, max - found.len(), filter)
                .map_err(|source| self.read_error(source))?;
            for record in older.into_iter().rev() {
                found.push_front(record);
            }
        }
        Ok(found.into())
    }

    fn last_in_segment(
        &self,
        segment: SegmentInfo,
        before: u64,
        max: usize,
        filter: &Filter,
    ) -> io::Result<VecDeque<Arc<Record>>> {
        let mut found = VecDeque::new();
        let Some(mut lines) = Lines::open(&self.shared.dir, segment.first, 0)? else {
            return Ok(found);
        };
        // Most lines are of other services: do not parse them.
        let needle = filter
            .service
            .as_ref()
            .map(|service| format!("\"service\":{}", serde_json::Value::from(service.as_str())));
        while let Some(line) = lines.next()? {
            let has = |needle: &String| {
                std::str::from_utf8(line).is_ok_and(|line| line.contains(needle.as_str()))
            };
            if needle.as_ref().is_some_and(|needle| !has(needle)) {
                continue;
            }
            let Some(record) = parse_line(line) else { continue };
            if record.seq >= before {
                break;
            }
            if filter.matches(&record) {
                found.push_back(Arc::new(record));
                if found.len() > max {
                    found.pop_front();
                }
            }
        }
        Ok(found)
    }

    fn read_error(&self, source: io::Error) -> JournalReadError {
        JournalReadError { dir: self.shared.dir.clone(), source }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_in_a_kind_stands_for_any_text() {
        for (pattern, kind, matches) in [
            ("service.*", "service.started", true),
            ("service.*", "service.", true),
            ("service.*", "services.started", false),
            ("service.started", "service.started", true),
            ("service.started", "service.started2", false),
            ("*", "", true),
            ("*.failed", "service.failed", true),
            ("*.failed", "service.failed.twice", false),
            ("a*b*c", "aXbYbZc", true),
            ("a*b*c", "ac", false),
            ("a*a", "a", false),
            ("", "x", false),
        ] {
            assert_eq!(kind_matches(pattern, kind), matches, "{pattern} on {kind}");
        }
    }
}
