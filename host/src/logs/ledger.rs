//! What a log thread has done with the output of one service, in a form that outlives it.
//!
//! ```text
//! seal (8) │ sequence (8) │ length (4) │ CRC-32 of all the rest (4) │ body
//! ```
//!
//! Numbers are little-endian. The seal ends with the version of the format. A record that was
//! cut off, or whose checksum is wrong, is no record.

use std::sync::Arc;

use super::feed::LineState;
use super::file::Place;
use super::line::{PIECE_MAX, Stream};
use super::settings::{Destination, LogSettings};

/// Begins every record; the last byte counts the versions.
const SEAL: &[u8; 8] = b"kn-log\0\x01";

/// What stands before the body.
pub(crate) const HEAD: usize = 24;

/// The longest record. One with more unfinished lines than fit is written without the last
/// of them.
pub(crate) const RECORD_MAX: usize = 1 << 20;

/// How many streams a record names. A service has two, and some more where processes of
/// earlier runs keep theirs.
const STREAMS_MAX: usize = 4096;

/// One stream, over the lives of supervisors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct StreamKey {
    pub(crate) run: u64,
    pub(crate) stream: Stream,
    /// The inode of its pipe: a run may have several streams of one name, such as those of
    /// its stop command.
    pub(crate) pipe: u64,
}

/// Where a stream is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StreamState {
    pub(crate) key: StreamKey,
    pub(crate) line: LineState,
    /// Whether the last piece of a line in the log file is its own.
    pub(crate) owns_open_line: bool,
    /// What it has of a line that has no end yet.
    pub(crate) partial: Vec<u8>,
}

/// The state of one service's output after everything in it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Ledger {
    pub(crate) service: Arc<str>,
    /// The boot of the kernel that the numbers of inodes and pipes belong to.
    pub(crate) boot: u128,
    pub(crate) settings: LogSettings,
    /// Up to where the log file holds what this record knows of.
    pub(crate) log: Option<Place>,
    /// More is being written to the log file, and is not in the spool.
    pub(crate) is_open: bool,
    /// How often the log file was rotated, or nearly so, since.
    pub(crate) rotations: u32,
    /// How much of the spool is in the log file.
    pub(crate) taken: u64,
    /// Whose the rest of the spool is.
    pub(crate) taking: Option<StreamKey>,
    pub(crate) streams: Vec<StreamState>,
}

impl Ledger {
    /// The record of this as number `sequence`.
    pub(crate) fn encode(&self, sequence: u64) -> Vec<u8> {
        let Ledger { service, boot, settings, log, is_open, rotations, taken, taking, streams } =
            self;
        let mut body = Vec::with_capacity(256);
        put_bytes(&mut body, service.as_bytes());
        body.extend_from_slice(&boot.to_le_bytes());
        put_settings(&mut body, settings);
        let Place { inode, len } = log.unwrap_or(Place { inode: 0, len: 0 });
        body.push(log.is_some().into());
        body.extend_from_slice(&inode.to_le_bytes());
        body.extend_from_slice(&len.to_le_bytes());
        body.push((*is_open).into());
        body.extend_from_slice(&rotations.to_le_bytes());
        body.extend_from_slice(&taken.to_le_bytes());
        body.push(taking.is_some().into());
        if let Some(key) = taking {
            put_key(&mut body, *key);
        }
        let count = streams.len().min(STREAMS_MAX);
        body.extend_from_slice(&u32::try_from(count).unwrap_or(0).to_le_bytes());
        for state in &streams[..count] {
            let StreamState { key, line, owns_open_line, partial } = state;
            put_key(&mut body, *key);
            body.push(line.continues.into());
            body.push(line.counted.into());
            body.push((*owns_open_line).into());
            let fits = body.len() + partial.len() < RECORD_MAX / 2;
            put_bytes(&mut body, if fits { partial } else { b"" });
        }
        let mut record = Vec::with_capacity(HEAD + body.len());
        record.extend_from_slice(SEAL);
        record.extend_from_slice(&sequence.to_le_bytes());
        record.extend_from_slice(&u32::try_from(body.len()).unwrap_or(u32::MAX).to_le_bytes());
        record.extend_from_slice(&checksum(sequence, &body).to_le_bytes());
        record.extend_from_slice(&body);
        record
    }

    /// How long the record is that begins with `head`, of [`HEAD`] bytes at least; `None` when
    /// none does.
    pub(crate) fn len_of(head: &[u8]) -> Option<usize> {
        let mut rest = Rest(head.strip_prefix(SEAL)?);
        let (_sequence, len) = (rest.u64()?, rest.u32()?);
        Some(HEAD + usize::try_from(len).ok()?).filter(|len| *len <= RECORD_MAX)
    }

    /// What `record` says, and its number; `None` when it is not whole. What follows the
    /// record is not looked at.
    pub(crate) fn decode(record: &[u8]) -> Option<(u64, Ledger)> {
        let mut rest = Rest(record.strip_prefix(SEAL)?);
        let sequence = rest.u64()?;
        let len = rest.u32()?;
        let sum = rest.u32()?;
        let body = rest.take(usize::try_from(len).ok()?)?;
        if sum != checksum(sequence, body) {
            return None;
        }
        Some((sequence, Self::decode_body(Rest(body))?))
    }

    fn decode_body(mut rest: Rest<'_>) -> Option<Ledger> {
        let service = std::str::from_utf8(rest.bytes()?).ok()?.into();
        let boot = u128::from_le_bytes(rest.array()?);
        let settings = rest.settings()?;
        let has_log = rest.bool()?;
        let place = Place { inode: rest.u64()?, len: rest.u64()? };
        let is_open = rest.bool()?;
        let rotations = rest.u32()?;
        let taken = rest.u64()?;
        let taking = if rest.bool()? { Some(rest.key()?) } else { None };
        let mut streams = Vec::new();
        for _ in 0..rest.u32()? {
            streams.push(StreamState {
                key: rest.key()?,
                line: LineState { continues: rest.bool()?, counted: rest.bool()? },
                owns_open_line: rest.bool()?,
                partial: Some(rest.bytes()?).filter(|partial| partial.len() <= PIECE_MAX)?.into(),
            });
        }
        let log = has_log.then_some(place);
        let ledger =
            Ledger { service, boot, settings, log, is_open, rotations, taken, taking, streams };
        rest.0.is_empty().then_some(ledger)
    }
}

/// Reads `body` as that of a record, and what it says once more; whether it says something.
/// For fuzzing.
pub(crate) fn try_body(body: &[u8]) -> bool {
    let Some(ledger) = Ledger::decode_body(Rest(body)) else { return false };
    let again = Ledger::decode(&ledger.encode(7));
    assert_eq!(again, Some((7, ledger)));
    true
}

fn checksum(sequence: u64, body: &[u8]) -> u32 {
    let mut sum = crc32fast::Hasher::new();
    sum.update(&sequence.to_le_bytes());
    sum.update(body);
    sum.finalize()
}

fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(&u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_le_bytes());
    out.extend_from_slice(bytes);
}

fn put_key(out: &mut Vec<u8>, key: StreamKey) {
    let StreamKey { run, stream, pipe } = key;
    out.extend_from_slice(&run.to_le_bytes());
    out.push(u8::try_from(stream.index()).unwrap_or(u8::MAX));
    out.extend_from_slice(&pipe.to_le_bytes());
}

fn put_settings(out: &mut Vec<u8>, settings: &LogSettings) {
    let LogSettings { to, max_size, keep, timestamps, rate_limit } = settings;
    out.push(match to {
        Destination::File => 0,
        Destination::Inherit => 1,
        Destination::None => 2,
    });
    out.extend_from_slice(&max_size.to_le_bytes());
    out.extend_from_slice(&keep.to_le_bytes());
    out.push((*timestamps).into());
    out.push(rate_limit.is_some().into());
    out.extend_from_slice(&rate_limit.unwrap_or(0).to_le_bytes());
}

/// What is left of a record to be read.
struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    fn bool(&mut self) -> Option<bool> {
        match self.array()? {
            [0] => Some(false),
            [1] => Some(true),
            [_] => None,
        }
    }

    fn bytes(&mut self) -> Option<&'a [u8]> {
        let len = usize::try_from(self.u32()?).ok()?;
        self.take(len)
    }

    fn key(&mut self) -> Option<StreamKey> {
        let run = self.u64()?;
        let [index] = self.array()?;
        let stream = Stream::ALL.get(usize::from(index)).copied()?;
        Some(StreamKey { run, stream, pipe: self.u64()? })
    }

    fn settings(&mut self) -> Option<LogSettings> {
        let to = match self.array()? {
            [0] => Destination::File,
            [1] => Destination::Inherit,
            [2] => Destination::None,
            [_] => return None,
        };
        let (max_size, keep, timestamps) = (self.u64()?, self.u32()?, self.bool()?);
        let (is_limited, rate) = (self.bool()?, self.u64()?);
        let rate_limit = is_limited.then_some(rate);
        Some(LogSettings { to, max_size, keep, timestamps, rate_limit })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ledger() -> Ledger {
        let key = StreamKey { run: 7, stream: Stream::Stderr, pipe: 1 << 40 };
        let line = LineState { continues: true, counted: false };
        let state =
            StreamState { key, line, owns_open_line: true, partial: b"half\0\xff".to_vec() };
        let other = StreamKey { stream: Stream::Stdout, ..key };
        Ledger {
            service: "web/0".into(),
            boot: u128::MAX / 3,
            settings: LogSettings { rate_limit: Some(5), ..LogSettings::default() },
            log: Some(Place { inode: 9, len: 1000 }),
            is_open: false,
            rotations: 2,
            taken: 70_000,
            taking: Some(other),
            streams: vec![state.clone(), StreamState { key: other, partial: Vec::new(), ..state }],
        }
    }

    #[test]
    fn a_record_says_what_was_put_in_it() {
        let mut ledger = ledger();
        assert_eq!(Ledger::decode(&ledger.encode(3)), Some((3, ledger.clone())));
        (ledger.log, ledger.taking, ledger.settings.rate_limit) = (None, None, None);
        ledger.streams.clear();
        let longer = [&ledger.encode(u64::MAX)[..], b"of an older record"].concat();
        assert_eq!(Ledger::decode(&longer), Some((u64::MAX, ledger)));
    }

    #[test]
    fn what_is_not_whole_is_no_record() {
        let record = ledger().encode(3);
        for len in 0..record.len() {
            assert_eq!(Ledger::decode(&record[..len]), None, "{len} bytes of it");
        }
        for place in 0..record.len() {
            let mut changed = record.clone();
            changed[place] ^= 0x10;
            assert_eq!(Ledger::decode(&changed), None, "byte {place} changed");
        }
    }

    #[test]
    fn a_record_has_a_limit_whatever_is_unfinished() {
        let mut ledger = ledger();
        let state = StreamState { partial: vec![b'x'; PIECE_MAX], ..ledger.streams[0].clone() };
        ledger.streams = vec![state; 1000];
        let record = ledger.encode(1);
        assert!(record.len() <= RECORD_MAX, "{} bytes", record.len());
        let (_, read) = Ledger::decode(&record).unwrap();
        assert_eq!(read.streams.len(), 1000);
        assert_eq!(read.streams[0], ledger.streams[0]);
        assert!(read.streams[999].partial.is_empty());
    }
}
