//! How far a sink has come, on disk.
//!
//! ```text
//! kennel sink cursor 1
//! next 4711                               the number of the next event
//! last 4710 2026-11-21T02:45:02.123456Z   the last that it took, and when that was, or -
//! dropped 0                               events that are gone and not yet told
//! sum 5f3a09c1                            CRC-32 of the lines above
//! ```
//!
//! A file is replaced as a whole, and synced before it takes the place of the one before.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use nix::fcntl::OFlag;

use crate::journal::{Journal, Record};

/// The first line of a cursor that this version reads.
const HEAD: &str = "kennel sink cursor 1";
/// What the name of a cursor ends with.
const SUFFIX: &str = ".cursor";
/// No cursor is larger.
const BYTES_MAX: usize = 1024;

/// How far a sink has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Cursor {
    /// The number of the next event that it is to be given.
    pub(super) next: u64,
    /// The last event that it took, and when that happened: numbers are given twice when a
    /// supervisor is killed, times hardly.
    pub(super) last: Option<(u64, Timestamp)>,
    /// Events that are gone and that it was not told of.
    pub(super) dropped: u64,
}

impl Cursor {
    /// A cursor that nothing is behind.
    pub(super) fn from(next: u64) -> Cursor {
        Cursor { next, last: None, dropped: 0 }
    }

    /// The cursor at `next`, after `record` was taken.
    pub(super) fn after(record: &Record, next: u64) -> Cursor {
        Cursor { next, last: Some((record.seq, record.at)), dropped: 0 }
    }

    fn text(&self) -> String {
        let Cursor { next, last, dropped } = self;
        let last = match last {
            Some((number, at)) => format!("{number} {at:.6}"),
            None => "-".to_owned(),
        };
        let lines = format!("{HEAD}\nnext {next}\nlast {last}\ndropped {dropped}\n");
        let sum = crc32fast::hash(lines.as_bytes());
        format!("{lines}sum {sum:08x}\n")
    }

    /// The cursor in a text; of a damaged one what is wrong.
    fn parse(text: &str) -> Result<Cursor, &'static str> {
        let damaged = "it is damaged";
        let first = text.lines().next().unwrap_or_default();
        if first != HEAD && first.starts_with("kennel sink cursor ") {
            return Err("it is of another version of kennel");
        }
        let (lines, sum) = text.rsplit_once("sum ").ok_or(damaged)?;
        let sum = sum.strip_suffix('\n').and_then(|sum| u32::from_str_radix(sum, 16).ok());
        if sum != Some(crc32fast::hash(lines.as_bytes())) {
            return Err(damaged);
        }
        let value = |key: &str| {
            lines.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(' ')).ok_or(damaged)
        };
        let number = |key| value(key)?.parse().map_err(|_| damaged);
        let last = match value("last")? {
            "-" => None,
            last => {
                let (number, at) = last.split_once(' ').ok_or(damaged)?;
                Some((number.parse().map_err(|_| damaged)?, at.parse().map_err(|_| damaged)?))
            }
        };
        Ok(Cursor { next: number("next")?, last, dropped: number("dropped")? })
    }
}

/// Reads `lines` as what stands before the checksum of a cursor, and what they say once
/// more; whether they say something. For fuzzing.
pub(crate) fn try_cursor(lines: &str) -> bool {
    // What is read before a checksum is looked at.
    let _ = Cursor::parse(lines);
    let text = format!("{lines}sum {:08x}\n", crc32fast::hash(lines.as_bytes()));
    let Ok(cursor) = Cursor::parse(&text) else { return false };
    let again = Cursor::parse(&cursor.text());
    // A time is kept to the microsecond.
    assert_eq!(again.map(|again| (again.next, again.dropped)), Ok((cursor.next, cursor.dropped)));
    true
}

/// The file of one sink's cursor.
#[derive(Clone, Debug)]
pub(super) struct CursorFile {
    path: PathBuf,
}

impl CursorFile {
    /// That of the sink `name`, which is one that a configuration allows.
    pub(super) fn new(dir: &Path, name: &str) -> CursorFile {
        CursorFile { path: dir.join(format!("{name}{SUFFIX}")) }
    }

    /// Where the sink goes on in `journal`, and why it cannot go on where it was, if so.
    /// The file says the same afterwards, before any further event has a number.
    pub(super) fn resume(&self, journal: &Journal) -> (Cursor, Option<String>) {
        let end = journal.last_seq() + 1;
        let (cursor, lost) = match self.read() {
            Ok(None) => (Cursor::from(end), None),
            Ok(Some(cursor)) if cursor.next > end => {
                // What came after the end was never written; its numbers are given again.
                (Cursor { next: end, last: None, dropped: cursor.dropped }, None)
            }
            Ok(Some(cursor)) => match renumbered(&cursor, journal) {
                false => (cursor, None),
                true => (oldest(journal), Some("the journal is another one".to_owned())),
            },
            Err(error) => (oldest(journal), Some(error.to_string())),
        };
        if let Err(error) = self.write(&cursor) {
            tracing::warn!("cannot write \"{}\": {error}", self.path.display());
        }
        (cursor, lost)
    }

    /// The cursor; none when there is no file.
    fn read(&self) -> io::Result<Option<Cursor>> {
        let text = match fs::read(&self.path) {
            Ok(bytes) if bytes.len() <= BYTES_MAX => String::from_utf8_lossy(&bytes).into_owned(),
            Ok(_) => String::new(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        Cursor::parse(&text).map(Some).map_err(|reason| io::Error::other(reason.to_owned()))
    }

    /// Puts the cursor on disk. Blocks.
    pub(super) fn write(&self, cursor: &Cursor) -> io::Result<()> {
        let new = self.path.with_extension("cursor.new");
        let result = self.replace(&new, cursor);
        if result.is_err() {
            let _ = fs::remove_file(&new);
        }
        result
    }

    fn replace(&self, new: &Path, cursor: &Cursor) -> io::Result<()> {
        let mut options = File::options();
        options.write(true).create(true).truncate(true).mode(0o600);
        options.custom_flags((OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC).bits());
        let mut file = match options.open(new) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let dir = self.path.parent().unwrap_or(Path::new("/"));
                fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
                options.open(new)?
            }
            result => result?,
        };
        file.write_all(cursor.text().as_bytes())?;
        file.sync_data()?;
        fs::rename(new, &self.path)
    }

    /// Takes the file away. Blocks.
    pub(super) fn remove(&self) {
        match fs::remove_file(&self.path) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => tracing::warn!("cannot remove \"{}\": {error}", self.path.display()),
        }
    }
}

/// The cursor that all that is kept is behind.
fn oldest(journal: &Journal) -> Cursor {
    Cursor::from(journal.stats().first_seq.max(1))
}

/// Whether the number of the last event that was taken is that of another one. An event
/// that is gone may have been the same.
fn renumbered(cursor: &Cursor, journal: &Journal) -> bool {
    let Some((number, at)) = cursor.last else { return false };
    let there = journal.read(number, 1).ok().and_then(|batch| batch.records.into_iter().next());
    there.is_some_and(|record| record.seq == number && record.at != at)
}

/// Takes the cursors away of sinks that are no longer `configured`.
pub(super) fn forget_others(dir: &Path, configured: impl Fn(&str) -> bool) {
    let Ok(entries) = fs::read_dir(dir) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        let sink = name.strip_suffix(".new").unwrap_or(&name).strip_suffix(SUFFIX);
        if sink.is_some_and(|sink| !configured(sink) || name.ends_with(".new")) {
            let _ = fs::remove_file(entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cursor() -> Cursor {
        let at = "2026-11-21T02:45:02.123456Z".parse().unwrap();
        Cursor { next: 4720, last: Some((4710, at)), dropped: 3 }
    }

    #[test]
    fn a_cursor_reads_back_and_every_changed_byte_is_noticed() {
        let text = cursor().text();
        assert_eq!(Cursor::parse(&text), Ok(cursor()));
        assert_eq!(Cursor::parse(&Cursor::from(1).text()), Ok(Cursor::from(1)));
        for place in 0..text.len() {
            let mut bytes = text.clone().into_bytes();
            bytes[place] ^= 0x04;
            let changed = String::from_utf8(bytes).unwrap();
            assert!(Cursor::parse(&changed).is_err(), "byte {place}");
            assert!(Cursor::parse(&text[..place]).is_err(), "cut at {place}");
        }
        let next = text.replace("cursor 1", "cursor 2");
        assert_eq!(Cursor::parse(&next), Err("it is of another version of kennel"));
    }

    #[test]
    fn a_file_is_replaced_as_a_whole_and_others_are_forgotten() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path().join("sinks");
        let [audit, web] = ["audit", "web.cursor"].map(|name| CursorFile::new(&dir, name));
        assert_eq!(audit.read().unwrap(), None);
        for cursor in [cursor(), Cursor::from(5)] {
            audit.write(&cursor).unwrap();
            web.write(&cursor).unwrap();
            assert_eq!(audit.read().unwrap(), Some(cursor));
        }
        fs::write(dir.join("audit.cursor.new"), "torn").unwrap();
        fs::write(dir.join("notes.txt"), "not ours").unwrap();
        forget_others(&dir, |name| name == "audit");
        let mut left: Vec<_> =
            fs::read_dir(&dir).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        left.sort();
        assert_eq!(left, ["audit.cursor", "notes.txt"]);
        audit.remove();
        audit.remove();
        assert_eq!(audit.read().unwrap(), None);
    }
}
