//! One log file of a service, and its rotation.
//!
//! # Names
//!
//! `DIR/NAME.log` is written, `DIR/NAME.log.1` is the youngest rotated one. A replica's
//! name contains a slash: `web/0` is kept in `web.0.log`. Names come validated, so the only
//! possible clash is a service literally called `web.0`.
//!
//! # Rotation
//!
//! Before a line would take the file past `max_size`, `.log` moves to `.log.1`, `.log.1` to
//! `.log.2` and so on; what would become `.log.KEEP+1` goes. Only as much is shifted as is
//! needed to fill the first free number, and `.log` itself counts as number 0. That is all
//! the crash recovery there is: whatever moment the shift was cut off at, what remains is a
//! sequence in the right order with one free number, and the next rotation fills it.
//!
//! Because a file is only renamed when its last line is complete and is never written to
//! afterwards, a reader that holds it open may finish it and go on with its successor.
//!
//! What can go wrong: every step can fail (no space, no permission). Then the error is
//! returned, the bytes stay in the `Backlog`, and the same call again continues.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use nix::fcntl::OFlag;

use super::line::{self, Ending};

/// How much of the end of a file is looked at when it is opened again: two longest records.
const TAIL: u64 = 2 * (line::PIECE_MAX as u64 + 64);

/// The file that is written for `service` in `dir`.
pub fn log_path(dir: &Path, service: &str) -> PathBuf {
    numbered_path(dir, service, 0)
}

/// The rotated file number `number` of `service`; number 0 is the one that is written.
pub(crate) fn numbered_path(dir: &Path, service: &str, number: u32) -> PathBuf {
    let stem = service.replace('/', ".");
    if number == 0 {
        dir.join(format!("{stem}.log"))
    } else {
        dir.join(format!("{stem}.log.{number}"))
    }
}

/// The numbers of all files there are of `service`, youngest first. An absent directory
/// has none.
///
/// # Errors
/// The directory cannot be read.
pub(crate) fn numbers(dir: &Path, service: &str) -> io::Result<Vec<u32>> {
    let current = format!("{}.log", service.replace('/', "."));
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut found = Vec::new();
    for entry in entries {
        let name = entry?.file_name();
        let Some(rest) = name.to_str().and_then(|name| name.strip_prefix(&current)) else {
            continue;
        };
        match rest.strip_prefix('.') {
            None if rest.is_empty() => found.push(0),
            Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
                found.extend(digits.parse::<u32>().ok().filter(|number| *number > 0));
            }
            Some(_) | None => {}
        }
    }
    found.sort_unstable();
    Ok(found)
}

/// Formatted lines that wait to be written. Always ends with a newline.
#[derive(Debug, Default)]
pub(crate) struct Backlog {
    bytes: Vec<u8>,
    written: usize,
}

impl Backlog {
    /// Where more lines are appended.
    pub(crate) fn end(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.written == self.bytes.len()
    }

    /// What is not written yet.
    pub(crate) fn rest(&self) -> &[u8] {
        &self.bytes[self.written..]
    }

    pub(crate) fn advance(&mut self, count: usize) {
        self.written += count;
        if self.is_empty() {
            self.bytes.clear();
            self.written = 0;
        }
    }

    /// Whether the part that is written ends in the middle of a line.
    fn is_torn(&self) -> bool {
        self.written > 0 && self.bytes[self.written - 1] != b'\n'
    }
}

/// A place in the log of a service: so many bytes into the file that is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) inode: u64,
    pub(crate) len: u64,
}

/// Takes back what was written to the log of `service` after `place`, since when it was
/// rotated `rotations` times, the last time maybe not to the end. Can be cut off anywhere
/// and done again.
///
/// What a person has put in the place of these files is left as it is.
///
/// # Errors
/// A file cannot be looked at, cut, removed or renamed.
pub(crate) fn take_back(
    dir: &Path,
    service: &str,
    place: Place,
    rotations: u32,
    keep: u32,
) -> io::Result<()> {
    let present = numbers(dir, service)?;
    let path = |number| numbered_path(dir, service, number);
    // The file is one of these two, or rotated away. A younger one may have got its inode.
    for number in [rotations, rotations.saturating_sub(1)] {
        let Ok(file) = OpenOptions::new()
            .write(true)
            .custom_flags((OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC | OFlag::O_NONBLOCK).bits())
            .open(path(number))
        else {
            continue;
        };
        let metadata = file.metadata()?;
        if metadata.ino() != place.inode {
            continue;
        }
        if metadata.len() > place.len {
            file.set_len(place.len)?;
        }
        for younger in present.iter().filter(|younger| **younger < number) {
            fs::remove_file(path(*younger))?;
        }
        return if number > 0 { fs::rename(path(number), path(0)) } else { Ok(()) };
    }
    if rotations > keep {
        for number in present {
            fs::remove_file(path(number))?;
        }
    }
    Ok(())
}

/// A log file, open for appending.
#[derive(Debug)]
pub(crate) struct LogFile {
    dir: PathBuf,
    service: String,
    max_size: u64,
    keep: u32,
    file: File,
    inode: u64,
    size: u64,
    /// A rotation has begun and has not come as far as the new file.
    rotating: bool,
    rotations: u64,
    open_pieces: [bool; 3],
}

impl LogFile {
    /// Opens or creates the file of `service`; a line that a crash left unfinished is ended.
    ///
    /// # Errors
    /// The directory or the file cannot be made, or it is a symbolic link.
    pub(crate) fn open(dir: &Path, service: &str, max_size: u64, keep: u32) -> io::Result<Self> {
        let mut file = open_current(dir, service)?;
        let metadata = file.metadata()?;
        let (inode, mut size) = (metadata.ino(), metadata.len());
        let tail = read_tail(&mut file, size)?;
        if tail.last().is_some_and(|byte| *byte != b'\n') {
            // One byte: it is written or it is not.
            file.write_all(b"\n")?;
            size += 1;
        }
        let mut log = LogFile {
            dir: dir.to_path_buf(),
            service: service.to_owned(),
            max_size,
            keep,
            file,
            inode,
            size,
            rotating: false,
            rotations: 0,
            open_pieces: open_pieces(&tail),
        };
        log.drop_past_keep()?;
        Ok(log)
    }

    /// Whether the file ended in a piece, for each stream, when it was opened.
    pub(crate) fn open_pieces(&self) -> [bool; 3] {
        self.open_pieces
    }

    /// How far it is written.
    pub(crate) fn place(&self) -> Place {
        Place { inode: self.inode, len: self.size }
    }

    /// How often it was rotated since the last call.
    pub(crate) fn take_rotations(&mut self) -> u64 {
        std::mem::take(&mut self.rotations)
    }

    /// Changes the limits; files past a lower `keep` go at once.
    ///
    /// # Errors
    /// A file cannot be removed. The limits hold all the same.
    pub(crate) fn set_limits(&mut self, max_size: u64, keep: u32) -> io::Result<()> {
        self.max_size = max_size;
        self.keep = keep;
        self.drop_past_keep()
    }

    /// Writes all of `backlog`, rotating between lines where the size asks for it; before
    /// each rotation `announce` is told.
    ///
    /// # Errors
    /// The first error of a write, of `announce` or of a rotation; `backlog` then holds
    /// exactly what is not on disk.
    pub(crate) fn append(
        &mut self,
        backlog: &mut Backlog,
        mut announce: impl FnMut() -> io::Result<()>,
    ) -> io::Result<()> {
        if self.rotating {
            self.rotate()?;
        }
        if backlog.is_empty() {
            return Ok(());
        }
        while !backlog.is_empty() {
            let Some(count) = self.fitting(backlog) else {
                // Someone may have emptied the file under us; then there is room after all.
                self.size = self.file.metadata()?.len();
                if self.fitting(backlog).is_none() {
                    announce()?;
                    self.rotate()?;
                }
                continue;
            };
            match self.file.write(&backlog.rest()[..count]) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(count) => {
                    self.size += count as u64;
                    backlog.advance(count);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        // As it is, not as we think: a person may have shortened it or added a line.
        self.size = self.file.metadata()?.len();
        Ok(())
    }

    /// How many bytes of `backlog`, whole lines, go into this file; `None`: the next line
    /// belongs into a new one.
    fn fitting(&self, backlog: &Backlog) -> Option<usize> {
        let rest = backlog.rest();
        let first_line = || line::newline(rest).map_or(rest.len(), |place| place + 1);
        if backlog.is_torn() {
            return Some(first_line());
        }
        let room = usize::try_from(self.max_size.saturating_sub(self.size)).unwrap_or(usize::MAX);
        if rest.len() <= room {
            return Some(rest.len());
        }
        match rest[..room].iter().rposition(|byte| *byte == b'\n') {
            Some(place) => Some(place + 1),
            // A line larger than a whole file stands alone in one.
            None if self.size == 0 => Some(first_line()),
            None => None,
        }
    }

    fn rotate(&mut self) -> io::Result<()> {
        self.rotating = true;
        let path = |number| numbered_path(&self.dir, &self.service, number);
        let free = (0..=self.keep).find(|number| fs::symlink_metadata(path(*number)).is_err());
        if free.is_none() && self.keep == 0 {
            fs::remove_file(path(0))?;
        }
        for number in (0..free.unwrap_or(self.keep)).rev() {
            fs::rename(path(number), path(number + 1))?;
        }
        self.file = open_current(&self.dir, &self.service)?;
        let metadata = self.file.metadata()?;
        (self.inode, self.size) = (metadata.ino(), metadata.len());
        self.rotating = false;
        self.rotations += 1;
        Ok(())
    }

    fn drop_past_keep(&mut self) -> io::Result<()> {
        for number in numbers(&self.dir, &self.service)? {
            if number > self.keep {
                fs::remove_file(numbered_path(&self.dir, &self.service, number))?;
            }
        }
        Ok(())
    }
}

fn open_current(dir: &Path, service: &str) -> io::Result<File> {
    let path = log_path(dir, service);
    let open = || {
        OpenOptions::new()
            .read(true)
            .append(true)
            .create(true)
            .mode(0o600)
            .custom_flags((OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC).bits())
            .open(&path)
    };
    match open() {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
            open()
        }
        result => result,
    }
}

fn read_tail(file: &mut File, size: u64) -> io::Result<Vec<u8>> {
    file.seek(SeekFrom::Start(size.saturating_sub(TAIL)))?;
    let mut tail = Vec::new();
    file.take(TAIL).read_to_end(&mut tail)?;
    Ok(tail)
}

/// For each stream: whether its last record in `tail` is a piece.
fn open_pieces(tail: &[u8]) -> [bool; 3] {
    let mut open = [false; 3];
    for text in tail.split(|byte| *byte == b'\n') {
        if let Some((ending, stream)) = line::parse_tag(text) {
            open[stream.index()] = ending == Ending::Piece;
        }
    }
    open
}
