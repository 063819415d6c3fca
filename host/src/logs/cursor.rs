//! A place in the log of one service that moves forward through rotations.
//!
//! A cursor holds its file open and knows it by inode. At the end of the file it looks
//! whether `.log` is still the same inode. If not, it looks for its file among the rotated
//! ones, from the youngest on; the file seen last before it is the successor. Rotations
//! during that walk only move files to higher numbers, the way the walk goes, so that it
//! may meet a file twice but cannot miss one.
//!
//! The writer finishes a file before it renames it. So once a successor is seen, reading
//! the old file to its end one more time is final.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::{FileExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::Timestamp;
use nix::fcntl::OFlag;

use super::file::{numbered_path, numbers};
use super::line::{self, Ending, Stream};
use super::read::LogLine;

/// How much is read at once.
const BLOCK: usize = 64 * 1024;

/// Pieces are joined up to this length; a longer line comes in several.
const JOIN_MAX: usize = 16 * 1024 * 1024;

/// How often a file is looked for that exists: somebody may have moved it elsewhere.
const MISSES: u32 = 20;

/// What stands where a reader was too slow for the rotation.
const GONE: &[u8] = b"kennel: lines may be missing here (rotated away before they were read)";

/// Where to begin.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Start {
    Oldest,
    /// So many lines before the end.
    Last(usize),
    /// At the first file that was written to at or after this time.
    Since(Timestamp),
}

/// An open log file, known by its inode.
struct Opened {
    file: File,
    inode: u64,
}

pub(crate) struct Cursor {
    dir: PathBuf,
    service: Arc<str>,
    opened: Option<Opened>,
    buffer: Vec<u8>,
    /// How much of `buffer` is taken.
    taken: usize,
    /// How much of `buffer` holds no newline for certain.
    searched: usize,
    /// Pieces without their end, for each stream, with the time of the last one.
    joined: [Option<(Timestamp, Vec<u8>)>; 3],
    pending_gone: bool,
    /// How often in a row the file was not found although it exists.
    missed: u32,
}

impl Cursor {
    /// # Errors
    /// The directory or a file cannot be read. Absent ones are no error.
    pub(crate) fn new(dir: &Path, service: Arc<str>, start: Start) -> io::Result<Self> {
        let opened = match start {
            Start::Oldest => walk(dir, &service, None)?.newer,
            Start::Last(count) => find_last(dir, &service, count)?,
            Start::Since(at) => find_since(dir, &service, at)?,
        };
        Ok(Cursor {
            dir: dir.to_path_buf(),
            service,
            opened,
            buffer: Vec::new(),
            taken: 0,
            searched: 0,
            joined: [None, None, None],
            pending_gone: false,
            missed: 0,
        })
    }

    /// The next whole line; `None` when there is no more at the moment.
    ///
    /// # Errors
    /// A file cannot be read.
    pub(crate) fn next(&mut self) -> io::Result<Option<LogLine>> {
        loop {
            if std::mem::take(&mut self.pending_gone) {
                return Ok(Some(self.line(None, Some(Stream::Kennel), GONE.to_vec())));
            }
            let end = match line::newline(&self.buffer[self.searched..]) {
                Some(place) => self.searched + place,
                None => {
                    self.searched = self.buffer.len();
                    if self.fill()? || self.advance()? {
                        continue;
                    }
                    return Ok(None);
                }
            };
            let text = self.taken..end;
            self.taken = end + 1;
            self.searched = self.taken;
            if let Some(line) = self.join(text) {
                return Ok(Some(line));
            }
        }
    }

    /// What is left of lines that have no end: for who will not wait for it.
    pub(crate) fn unfinished(&mut self) -> Vec<LogLine> {
        let mut lines = Vec::new();
        for stream in Stream::ALL {
            if let Some((at, text)) = self.joined[stream.index()].take() {
                lines.push(self.line(Some(at), Some(stream), text));
            }
        }
        lines
    }

    fn line(&self, at: Option<Timestamp>, stream: Option<Stream>, text: Vec<u8>) -> LogLine {
        LogLine { service: Arc::clone(&self.service), at, stream, text }
    }

    /// Makes a line of the record at `text` in the buffer, if it ends one.
    fn join(&mut self, text: std::ops::Range<usize>) -> Option<LogLine> {
        let bytes = &self.buffer[text];
        let Some(record) = line::parse(bytes) else {
            let text = bytes.to_vec();
            return Some(self.line(None, None, text));
        };
        let (at, stream) = (record.at, record.stream);
        let mut text = match self.joined[stream.index()].take() {
            Some((_, text)) => text,
            None => Vec::new(),
        };
        text.extend_from_slice(record.text);
        if record.ending == Ending::Piece && text.len() < JOIN_MAX {
            self.joined[stream.index()] = Some((at, text));
            return None;
        }
        Some(self.line(Some(at), Some(stream), text))
    }

    /// Reads on in the same file; whether there was more.
    fn fill(&mut self) -> io::Result<bool> {
        let Some(opened) = &mut self.opened else { return Ok(false) };
        self.buffer.drain(..self.taken);
        self.searched -= self.taken;
        self.taken = 0;
        let before = self.buffer.len();
        self.buffer.resize(before + BLOCK, 0);
        let result = read_some(&mut opened.file, &mut self.buffer[before..]);
        self.buffer.truncate(before + result.as_ref().copied().unwrap_or(0));
        Ok(result? > 0)
    }

    /// Goes on with the next file, if there is one and this one is finished.
    fn advance(&mut self) -> io::Result<bool> {
        let Some(opened) = &self.opened else {
            self.opened = walk(&self.dir, &self.service, None)?.newer;
            return Ok(self.opened.is_some());
        };
        let Walk { found, newer } = walk(&self.dir, &self.service, Some(opened.inode))?;
        let Some(newer) = newer else { return Ok(false) };
        if !found && opened.file.metadata()?.nlink() > 0 && self.missed < MISSES {
            // It is there all the same: the directory changed while it was listed.
            self.missed += 1;
            return Ok(true);
        }
        self.missed = 0;
        if self.fill()? {
            return Ok(true);
        }
        if !self.buffer.is_empty() {
            // Nobody will ever end this line.
            self.buffer.push(b'\n');
            return Ok(true);
        }
        self.pending_gone = !found;
        self.opened = Some(newer);
        Ok(true)
    }
}

struct Walk {
    /// Whether the file that was asked for is there.
    found: bool,
    /// The file after it; without one to ask for, or if it is gone, the oldest.
    newer: Option<Opened>,
}

/// Walks from the youngest file to the one with `inode`.
fn walk(dir: &Path, service: &str, inode: Option<u64>) -> io::Result<Walk> {
    let mut newer: Option<Opened> = None;
    let mut highest = 0;
    let mut number = 0;
    loop {
        if let Some(opened) = open(dir, service, number)? {
            if Some(opened.inode) == inode {
                return Ok(Walk { found: true, newer });
            }
            newer = Some(opened);
        }
        if number >= highest {
            highest = numbers(dir, service)?.last().copied().unwrap_or(0);
        }
        number += 1;
        if number > highest {
            return Ok(Walk { found: false, newer });
        }
    }
}

/// Opens a file by number; `None` when there is none.
fn open(dir: &Path, service: &str, number: u32) -> io::Result<Option<Opened>> {
    let file = OpenOptions::new()
        .read(true)
        .custom_flags((OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC | OFlag::O_NONBLOCK).bits())
        .open(numbered_path(dir, service, number));
    match file {
        Ok(file) => {
            let inode = file.metadata()?.ino();
            Ok(Some(Opened { file, inode }))
        }
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn read_some(file: &mut File, buffer: &mut [u8]) -> io::Result<usize> {
    loop {
        match file.read(buffer) {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

/// The file and, as its position, the place where the last `count` lines begin.
fn find_last(dir: &Path, service: &str, count: usize) -> io::Result<Option<Opened>> {
    let mut wanted = count;
    let mut oldest: Option<Opened> = None;
    for number in numbers(dir, service)? {
        let Some(mut opened) = open(dir, service, number)? else { continue };
        if oldest.as_ref().is_some_and(|seen| seen.inode == opened.inode) {
            continue;
        }
        if let Some(place) = count_back(&opened.file, &mut wanted)? {
            opened.file.seek(SeekFrom::Start(place))?;
            return Ok(Some(opened));
        }
        oldest = Some(opened);
    }
    Ok(oldest)
}

/// Goes back in a file over `wanted` lines; the place where the first of them begins, or
/// `None` when it begins in an older file.
///
/// A line in several pieces counts once, at its end.
fn count_back(file: &File, wanted: &mut usize) -> io::Result<Option<u64>> {
    let mut start = file.metadata()?.len();
    // The bytes from `start` to the first newline that is known: the end of a line whose
    // beginning is not read yet.
    let mut rest: Vec<u8> = Vec::new();
    let mut at_end = true;
    while start > 0 {
        let len = usize::try_from(start).unwrap_or(usize::MAX).min(BLOCK);
        start -= len as u64;
        let mut block = vec![0; len];
        file.read_exact_at(&mut block, start)?;
        block.append(&mut rest);
        // What follows the last newline of the file is being written: not a line yet.
        let mut end = block.len();
        if at_end {
            match block.iter().rposition(|byte| *byte == b'\n') {
                Some(place) => end = place + 1,
                None => {
                    rest = block;
                    continue;
                }
            }
            at_end = false;
        }
        // `end` stands after a newline; the line before it begins after the previous one.
        while end > 0 {
            let previous = block[..end - 1].iter().rposition(|byte| *byte == b'\n');
            let begin = match previous {
                Some(place) => place + 1,
                None if start == 0 => 0,
                None => break,
            };
            let is_piece = line::parse_tag(&block[begin..end - 1])
                .is_some_and(|(ending, _)| ending == Ending::Piece);
            if !is_piece {
                if *wanted == 0 {
                    return Ok(Some(start + end as u64));
                }
                *wanted -= 1;
            }
            end = begin;
        }
        block.truncate(end);
        rest = block;
    }
    Ok(None)
}

/// The first file that was written to at or after `at`; if none was, the end of the last.
fn find_since(dir: &Path, service: &str, at: Timestamp) -> io::Result<Option<Opened>> {
    let mut oldest: Option<Opened> = None;
    for number in numbers(dir, service)? {
        let Some(mut opened) = open(dir, service, number)? else { continue };
        let metadata = opened.file.metadata()?;
        let modified = Timestamp::try_from(metadata.modified()?).unwrap_or(Timestamp::MAX);
        // The time of a file may be a tick of the kernel's clock behind that of its lines.
        if modified + jiff::SignedDuration::from_secs(1) < at {
            if oldest.is_none() {
                opened.file.seek(SeekFrom::Start(metadata.len()))?;
                oldest = Some(opened);
            }
            break;
        }
        oldest = Some(opened);
    }
    Ok(oldest)
}
