//! What one service writes to: its settings, its limit, its file, and the formatted lines
//! that are not on disk yet.
//!
//! The backlog is never longer than what one read gave: a stream is only read again when
//! it is empty. While the disk refuses, the service is *stalled* and its streams rest.

use std::collections::HashMap;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use super::feed::{Feed, LineState, Piece};
use super::file::{Backlog, LogFile, Place};
use super::ledger::{Ledger, StreamKey, StreamState};
use super::limit::{Limiter, rate_text};
use super::line::{self, Ending, STAMP_LEN, Stream};
use super::registry::{Entry, LogCounters};
use super::settings::{Destination, LogSettings};
use super::spool::{Spool, SpoolPlace};
use crate::state::Home;

/// The owner of an unfinished line that was found on disk.
const UNKNOWN_OWNER: u64 = u64::MAX;

pub(crate) struct Output {
    pub(crate) service: Arc<str>,
    pub(crate) settings: LogSettings,
    pub(crate) entry: Arc<Entry>,
    pub(crate) backlog: Backlog,
    /// The tokens of the streams that write here.
    pub(crate) tokens: Vec<u64>,
    /// Whether the disk refused, and streams rest.
    pub(crate) stalled: bool,
    /// Whether a timer for the rate limit is running.
    pub(crate) limit_timer: bool,
    /// What stands before a line on the console.
    pub(crate) label: String,
    /// Whether an earlier supervisor has left something that is to be done before all else.
    pub(crate) redo: bool,
    /// Where bytes are between pipe and file. `None` before the first, where there is no
    /// moving them in one step, and on the console.
    pub(crate) spool: Option<Spool>,
    /// Whether streams are read without a spool.
    pub(crate) reads_directly: bool,
    file: Option<LogFile>,
    limiter: Option<Limiter>,
    /// For each stream, who wrote a piece last that no record has ended.
    open_line: [Option<u64>; 3],
    counted: LogCounters,
}

impl Output {
    pub(crate) fn new(
        service: Arc<str>,
        settings: LogSettings,
        entry: Arc<Entry>,
        now: Instant,
    ) -> Self {
        let limiter = settings.rate_limit.map(|rate| Limiter::new(rate, now));
        Output {
            service,
            settings,
            entry,
            backlog: Backlog::default(),
            tokens: Vec::new(),
            stalled: false,
            limit_timer: false,
            label: String::new(),
            redo: false,
            spool: None,
            reads_directly: false,
            file: None,
            limiter,
            open_line: [None; 3],
            counted: LogCounters::default(),
        }
    }

    /// Takes over changed settings.
    ///
    /// # Errors
    /// Files past a lower `keep` cannot be removed; everything else holds.
    pub(crate) fn apply(
        &mut self,
        settings: LogSettings,
        now: Instant,
        stamp: &[u8; STAMP_LEN],
    ) -> io::Result<()> {
        if settings.rate_limit != self.settings.rate_limit {
            self.finish_note(stamp);
            self.limiter = settings.rate_limit.map(|rate| Limiter::new(rate, now));
        }
        self.settings = settings;
        match &mut self.file {
            Some(file) => file.set_limits(self.settings.max_size, self.settings.keep),
            None => Ok(()),
        }
    }

    /// Opens the file if lines go to one. Must succeed before a stream is read: how the
    /// file ends decides how the first line is written.
    ///
    /// # Errors
    /// The file cannot be opened, or `home` is not ours.
    pub(crate) fn prepare(&mut self, dir: &Path, home: &Home) -> io::Result<()> {
        let wanted = self.settings.to == Destination::File || !self.backlog.is_empty();
        if self.file.is_none() && wanted {
            home.generation()?;
            let LogSettings { max_size, keep, .. } = self.settings;
            let file = LogFile::open(dir, &self.service, max_size, keep)?;
            if self.backlog.is_empty() {
                let mut owners = self.open_line;
                for (owner, is_open) in owners.iter_mut().zip(file.open_pieces()) {
                    *owner = is_open.then(|| owner.unwrap_or(UNKNOWN_OWNER));
                }
                self.open_line = owners;
            }
            self.file = Some(file);
        }
        Ok(())
    }

    /// Writes the backlog to the file.
    ///
    /// # Errors
    /// The first one; what is not written stays.
    pub(crate) fn write(&mut self, dir: &Path, home: &Home) -> io::Result<()> {
        self.prepare(dir, home)?;
        let Some(file) = &mut self.file else { return Ok(()) };
        let mut spool = self.spool.as_mut();
        if let Some(spool) = &mut spool
            && !self.backlog.is_empty()
            && !spool.is_open()
        {
            spool.announce(file.place())?;
        }
        let result = file.append(&mut self.backlog, || {
            home.generation()?;
            match &mut spool {
                Some(spool) => spool.announce_rotation(),
                None => Ok(()),
            }
        });
        self.counted.rotations += file.take_rotations();
        result
    }

    /// Where the log file ends, while it is open.
    pub(crate) fn place(&self) -> Option<Place> {
        self.file.as_ref().map(LogFile::place)
    }

    /// What is to be known of this after a sudden end: valid when the backlog is empty.
    /// `taking` is whose bytes come next.
    pub(crate) fn ledger(
        &self,
        feeds: &HashMap<u64, Feed>,
        boot: u128,
        taking: Option<StreamKey>,
    ) -> Ledger {
        let streams = self.tokens.iter().filter_map(|token| {
            let feed = feeds.get(token)?;
            Some(StreamState {
                key: feed.key,
                line: feed.line,
                owns_open_line: self.open_line[feed.key.stream.index()] == Some(*token),
                partial: feed.partial.clone(),
            })
        });
        Ledger {
            service: Arc::clone(&self.service),
            boot,
            settings: self.settings.clone(),
            log: self.place(),
            is_open: false,
            rotations: 0,
            taken: 0,
            taking,
            streams: streams.collect(),
        }
    }

    /// Notes that everything which was taken is written; without streams that it could be
    /// of use to, there is nothing to note.
    ///
    /// # Errors
    /// The disk cannot be written.
    pub(crate) fn note(&mut self, feeds: &HashMap<u64, Feed>) -> io::Result<()> {
        let Some(spool) = &self.spool else { return Ok(()) };
        let Ledger { boot, taking, .. } = *spool.recorded();
        let ledger = self.ledger(feeds, boot, taking);
        match self.spool.take() {
            Some(spool) if self.tokens.is_empty() => {
                spool.remove();
                Ok(())
            }
            Some(spool) => self.spool.insert(spool).settle(ledger),
            None => Ok(()),
        }
    }

    /// Sees to it that the ledger names the stream `taking`, whose bytes are taken next.
    ///
    /// # Errors
    /// The disk cannot be written.
    pub(crate) fn announce(
        &mut self,
        feeds: &HashMap<u64, Feed>,
        place: &SpoolPlace,
        taking: StreamKey,
    ) -> io::Result<()> {
        let ledger = |output: &Output| output.ledger(feeds, place.boot, Some(taking));
        match &self.spool {
            Some(spool) if spool.is_ready_for(taking, self.place()) => Ok(()),
            Some(_) => {
                let ledger = ledger(self);
                self.spool.as_mut().map_or(Ok(()), |spool| spool.settle(ledger))
            }
            None => {
                self.spool = Some(Spool::create(&place.dir, ledger(self))?);
                Ok(())
            }
        }
    }

    /// Lets go of files that are in another directory now. What one of them still has to give
    /// is taken first.
    pub(crate) fn move_in(&mut self) {
        self.file = None;
        if self.spool.as_ref().is_some_and(|spool| !spool.is_open()) {
            self.spool = None;
        }
    }

    /// Whether no stream of it is to be read at present.
    pub(crate) fn rests(&self) -> bool {
        self.stalled || self.redo
    }

    /// Says whose line is open in the file, as an earlier supervisor has noted it.
    pub(crate) fn owns_open_line(&mut self, stream: Stream, owner: u64) {
        self.open_line[stream.index()] = Some(owner);
    }

    /// Closes the file when no stream is left that could write to it.
    pub(crate) fn rest(&mut self) {
        if self.tokens.is_empty() && self.backlog.is_empty() {
            self.file = None;
            self.open_line = [None; 3];
        }
    }

    /// Publishes what was counted, and wakes up followers.
    pub(crate) fn tell(&mut self) {
        let counted = std::mem::take(&mut self.counted);
        if counted != LogCounters::default() {
            self.entry.add(counted);
        }
        self.entry.tell();
    }

    /// Formats one line or piece of the stream `owner` into the backlog.
    pub(crate) fn emit(
        &mut self,
        owner: u64,
        stream: Stream,
        piece: &Piece<'_>,
        stamp: &[u8; STAMP_LEN],
        line: &mut LineState,
    ) {
        let ended = piece.ending == Ending::Full;
        let len = piece.head.len() + piece.tail.len() + usize::from(ended);
        if self.settings.to != Destination::None
            && let Some(limiter) = &mut self.limiter
            && !limiter.admit(len)
        {
            if !line.counted {
                limiter.count();
                self.counted.dropped += 1;
                line.counted = true;
            }
            // What was written of this line ends here, or it would run into the next one.
            self.end_line(stream, stamp);
        } else {
            self.push(owner, stream, piece, stamp, *line);
            self.counted.bytes += len as u64;
            self.counted.lines += u64::from(ended && !line.counted);
        }
        *line = LineState { continues: !ended, counted: !ended && line.counted };
    }

    /// A stream is at its end: the line it left unfinished, if it did, ends.
    pub(crate) fn end_stream(&mut self, stream: Stream, stamp: &[u8; STAMP_LEN], line: LineState) {
        self.counted.lines += u64::from(line.continues && !line.counted);
        self.end_line(stream, stamp);
    }

    /// Lets time pass for the rate limit, and notes what it dropped if it lets go.
    pub(crate) fn refill(&mut self, now: Instant, stamp: &[u8; STAMP_LEN]) {
        let dropped = self.limiter.as_mut().and_then(|limiter| limiter.refill(now));
        self.note_dropped(dropped.unwrap_or(0), stamp);
    }

    /// Notes what was dropped so far although the limit still holds: nothing more comes.
    pub(crate) fn finish_note(&mut self, stamp: &[u8; STAMP_LEN]) {
        let dropped = self.limiter.as_mut().map_or(0, Limiter::take_count);
        self.note_dropped(dropped, stamp);
    }

    /// When the rate limit must be looked at again, unless a timer for it runs already.
    pub(crate) fn limit_deadline(&self) -> Option<Instant> {
        if self.limit_timer { None } else { self.limiter.as_ref()?.lets_go_at() }
    }

    fn note_dropped(&mut self, dropped: u64, stamp: &[u8; STAMP_LEN]) {
        if dropped == 0 {
            return;
        }
        let rate = rate_text(self.settings.rate_limit.unwrap_or(0));
        let lines = if dropped == 1 { "line" } else { "lines" };
        let text = format!("kennel: {dropped} {lines} dropped (rate_limit {rate})");
        let piece = Piece { ending: Ending::Full, head: text.as_bytes(), tail: b"" };
        self.push(UNKNOWN_OWNER, Stream::Kennel, &piece, stamp, LineState::default());
    }

    fn push(
        &mut self,
        owner: u64,
        stream: Stream,
        piece: &Piece<'_>,
        stamp: &[u8; STAMP_LEN],
        line: LineState,
    ) {
        let Piece { ending, head, tail } = *piece;
        match self.settings.to {
            Destination::None => return,
            Destination::File if self.settings.timestamps => {
                if self.open_line[stream.index()].is_some_and(|other| other != owner) {
                    self.end_line(stream, stamp);
                }
                line::push_record(self.backlog.end(), stamp, stream, ending, head, tail);
                self.open_line[stream.index()] = (ending == Ending::Piece).then_some(owner);
                return;
            }
            Destination::File => {}
            Destination::Inherit => {
                if !is_only_the_end(piece, line) {
                    self.backlog.end().extend_from_slice(self.label.as_bytes());
                }
            }
        }
        // The end of a line whose pieces stand as lines of their own already: an empty
        // line here would be one that the service never wrote.
        if !is_only_the_end(piece, line) {
            line::push_text(self.backlog.end(), head, tail);
        }
    }

    /// Ends what is unfinished on any stream: what follows goes elsewhere.
    pub(crate) fn end_lines(&mut self, stamp: &[u8; STAMP_LEN]) {
        for stream in Stream::ALL {
            self.end_line(stream, stamp);
        }
    }

    /// Ends the last record of `stream` if it was a piece.
    fn end_line(&mut self, stream: Stream, stamp: &[u8; STAMP_LEN]) {
        if self.open_line[stream.index()].take().is_some() {
            line::push_record(self.backlog.end(), stamp, stream, Ending::Full, b"", b"");
        }
    }
}

fn is_only_the_end(piece: &Piece<'_>, line: LineState) -> bool {
    line.continues && piece.ending == Ending::Full && piece.head.is_empty() && piece.tail.is_empty()
}
