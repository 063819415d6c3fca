//! One file of the journal: `<number of its first record, 20 digits>.journal`.
//!
//! Only the youngest segment is written, at its end. What a crash left there is cut off
//! when the journal is opened; everything else on disk is never changed, only deleted
//! with its whole segment.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use nix::fcntl::OFlag;

use super::record::{LINE_MAX, Record, parse_line, peek_seq};
use crate::os::fresh_file;

/// How much is read at once.
const BLOCK: usize = 128 * 1024;

/// What is known of a segment without opening it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SegmentInfo {
    /// The number in its name.
    pub(crate) first: u64,
    /// Its length.
    pub(crate) bytes: u64,
}

pub(crate) fn segment_path(dir: &Path, first: u64) -> PathBuf {
    dir.join(format!("{first:020}.journal"))
}

/// The segments in `dir`, oldest first; makes the directory (0700) if there is none.
///
/// # Errors
/// The directory cannot be made or read.
pub(crate) fn list(dir: &Path) -> io::Result<Vec<SegmentInfo>> {
    DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
    let mut found = Vec::new();
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let name = entry.file_name();
        let first = name
            .to_str()
            .and_then(|name| name.strip_suffix(".journal"))
            .filter(|digits| digits.len() == 20 && digits.bytes().all(|b| b.is_ascii_digit()))
            .and_then(|digits| digits.parse().ok());
        if let Some(first) = first {
            found.push(SegmentInfo { first, bytes: entry.metadata()?.len() });
        }
    }
    found.sort_unstable_by_key(|segment| segment.first);
    Ok(found)
}

/// The segment that is written.
#[derive(Debug)]
pub(crate) struct Segment {
    pub(crate) info: SegmentInfo,
    file: File,
    /// A write failed half-way and its remains could not be cut off.
    torn: bool,
}

/// What [`Segment::reopen`] found.
pub(crate) struct Reopened {
    pub(crate) segment: Segment,
    /// Its last valid record.
    pub(crate) last_seq: Option<u64>,
    /// How much was cut off behind it.
    pub(crate) cut: u64,
    /// Where that is kept, when it was more than a record that was not written to its end.
    pub(crate) kept: Option<PathBuf>,
}

impl Segment {
    /// Makes a new segment, and its name durable.
    ///
    /// # Errors
    /// The file cannot be made.
    pub(crate) fn create(dir: &Path, first: u64) -> io::Result<Self> {
        let file = open_for_append(dir, first)?;
        // Whatever stands under this name has no record: numbers are never given twice.
        file.set_len(0)?;
        File::open(dir)?.sync_all()?;
        Ok(Segment { info: SegmentInfo { first, bytes: 0 }, file, torn: false })
    }

    /// Opens the youngest segment to go on with it; cuts off what follows its last valid
    /// record. More than the beginning of one more is kept, in `<its number>.corrupt`.
    ///
    /// # Errors
    /// The file cannot be opened, read or cut, or what is cut off cannot be kept.
    pub(crate) fn reopen(dir: &Path, first: u64) -> io::Result<Reopened> {
        let file = open_for_append(dir, first)?;
        let len = file.metadata()?.len();
        let mut lines = Lines::from_file(file.try_clone()?, 0)?;
        let (mut valid, mut last_seq) = (0, None);
        while let Some(line) = lines.next()? {
            if let Some(record) = parse_line(line) {
                last_seq = Some(record.seq);
                valid = lines.offset();
            }
        }
        let is_one_record = lines.offset() == valid && len - valid <= LINE_MAX as u64;
        let kept = match is_one_record {
            true => None,
            false => Some(keep(dir, first, &file, valid)?),
        };
        if valid < len {
            file.set_len(valid)?;
            file.sync_data()?;
        }
        let segment = Segment { info: SegmentInfo { first, bytes: valid }, file, torn: false };
        Ok(Reopened { segment, last_seq, cut: len - valid, kept })
    }

    /// Appends whole lines: all of them or none.
    ///
    /// # Errors
    /// The first error of a write; what it left behind is cut off, now or before the next
    /// write.
    pub(crate) fn append(&mut self, lines: &[u8]) -> io::Result<()> {
        if self.torn {
            self.file.set_len(self.info.bytes)?;
            self.torn = false;
        }
        match self.file.write_all(lines) {
            Ok(()) => {
                self.info.bytes += lines.len() as u64;
                Ok(())
            }
            Err(error) => {
                self.torn = self.file.set_len(self.info.bytes).is_err();
                Err(error)
            }
        }
    }

    /// Waits until what was appended would survive a power loss.
    ///
    /// # Errors
    /// The disk could not.
    pub(crate) fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }
}

/// The lines of a segment, from some place on, as far as they are complete.
pub(crate) struct Lines {
    file: File,
    buffer: Vec<u8>,
    taken: usize,
    /// The place in the file of `buffer[taken]`.
    offset: u64,
}

impl Lines {
    /// Opens a segment for reading; `None` when it is gone.
    ///
    /// # Errors
    /// It cannot be opened.
    pub(crate) fn open(dir: &Path, first: u64, offset: u64) -> io::Result<Option<Self>> {
        let file = OpenOptions::new()
            .read(true)
            .custom_flags((OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC).bits())
            .open(segment_path(dir, first));
        match file {
            Ok(file) => Ok(Some(Lines::from_file(file, offset)?)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn from_file(mut file: File, offset: u64) -> io::Result<Self> {
        file.seek(SeekFrom::Start(offset))?;
        Ok(Lines { file, buffer: Vec::new(), taken: 0, offset })
    }

    /// The next line without its newline.
    ///
    /// # Errors
    /// The file cannot be read.
    pub(crate) fn next(&mut self) -> io::Result<Option<&[u8]>> {
        let mut searched = self.taken;
        let end = loop {
            let place = self.buffer[searched..].iter().position(|byte| *byte == b'\n');
            if let Some(place) = place {
                break searched + place;
            }
            self.buffer.drain(..self.taken);
            self.taken = 0;
            searched = self.buffer.len();
            self.buffer.resize(searched + BLOCK, 0);
            let count = loop {
                match self.file.read(&mut self.buffer[searched..]) {
                    Err(error) if error.kind() == ErrorKind::Interrupted => {}
                    result => break result,
                }
            };
            self.buffer.truncate(searched + count.as_ref().copied().unwrap_or(0));
            if count? == 0 {
                return Ok(None);
            }
        };
        let line = self.taken..end;
        self.offset += (line.len() + 1) as u64;
        self.taken = end + 1;
        Ok(Some(&self.buffer[line]))
    }

    /// The next valid record numbered `from` or higher.
    ///
    /// # Errors
    /// The file cannot be read.
    pub(crate) fn next_record(&mut self, from: u64) -> io::Result<Option<Record>> {
        while let Some(line) = self.next()? {
            // Without a number it is corrupt, and with a lower one it is not asked for.
            if peek_seq(line).is_none_or(|seq| seq < from) {
                continue;
            }
            if let Some(record) = parse_line(line) {
                return Ok(Some(record));
            }
        }
        Ok(None)
    }

    /// The place after the line given out last.
    pub(crate) fn offset(&self) -> u64 {
        self.offset
    }
}

/// Copies what stands in the file behind `from`; one that was kept by this name is replaced.
fn keep(dir: &Path, first: u64, file: &File, from: u64) -> io::Result<PathBuf> {
    let path = segment_path(dir, first).with_extension("corrupt");
    let mut damaged = file.try_clone()?;
    damaged.seek(SeekFrom::Start(from))?;
    let mut copy = fresh_file(&path, 0o600)?;
    io::copy(&mut damaged, &mut copy)?;
    copy.sync_all()?;
    Ok(path)
}

fn open_for_append(dir: &Path, first: u64) -> io::Result<File> {
    OpenOptions::new()
        .read(true)
        .append(true)
        .create(true)
        .mode(0o600)
        .custom_flags((OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC).bits())
        .open(segment_path(dir, first))
}
