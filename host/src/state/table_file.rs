//! The file of the run table: a line for each change, and each line with its checksum.
//!
//! ```text
//!   kennel state 1
//!   1c291ca3 {"origin":{…}}
//!   8d7c0d12 {"began":{"run":17,"service":"web","index":0,"at":…}}
//! ```
//!
//! A change is appended with one `write(2)`, which survives the supervisor's own death; the
//! disk is waited for where that is asked for. After a power loss the boot is another one:
//! then no run is left, and only what was synced is remembered for sure. When most lines
//! have been overtaken, the file is written anew beside itself and renamed.
//!
//! An end that its writer had no time to finish is cut off. A file that is damaged elsewhere
//! is moved aside as evidence, and the lines that are whole go on in a new one: each of
//! them is true for itself, and what is known of a run is looked at in `/proc` before
//! anything is done.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use nix::fcntl::OFlag;

use super::aside::room_for_damaged;
use super::home::Home;
use super::table::{Record, Table};
use crate::os::fresh_file;

/// The version of the form. A file of a higher one is of a newer Kennel.
pub(crate) const FORMAT: u32 = 1;

const MAGIC: &str = "kennel state ";

/// No file is read that is longer: it is none of ours.
const READ_MAX: u64 = 256 * 1024 * 1024;

/// A file is not written anew for less than this.
const SMALL: u64 = 1024 * 1024;

/// Why the run table cannot be used. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum TableError {
    /// It was written by a newer version.
    #[error("the state in \"{}\" has format {found}, and this version of kennel knows {FORMAT}", path.display())]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: u32,
    },
    /// It cannot be read or moved aside.
    #[error("cannot use the state in \"{}\": {source}", path.display())]
    System {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl TableError {
    /// What to do about it.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            TableError::Newer { .. } => Some(
                "start the version that wrote it: its services still run, and another one could \
                 start them a second time",
            ),
            TableError::System { .. } => None,
        }
    }
}

/// A damaged file that was moved aside.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Damage {
    /// Where it is now.
    pub(crate) aside: PathBuf,
    /// What is wrong with it.
    pub(crate) reason: String,
}

/// The file and what it adds up to.
#[derive(Debug)]
pub(super) struct TableFile {
    path: PathBuf,
    /// Open for appending; none before the first write.
    file: Option<File>,
    bytes: u64,
    table: Table,
    /// What is on disk is not all that was to be written.
    is_behind: bool,
    /// The directory that it is in, and which one of them it was written to.
    home: Arc<Home>,
    generation: u64,
}

impl TableFile {
    /// Opens the file at `path`, which is made with the first change. What was found is in
    /// [`TableFile::table`].
    pub(super) fn open(path: &Path) -> Result<(TableFile, Option<Damage>), TableError> {
        let system = |source| TableError::System { path: path.to_owned(), source };
        let mut table = Table::default();
        let found = read(path).map_err(system)?;
        let wrong = match found {
            Found::Nothing => None,
            Found::Foreign(reason) => Some(reason.to_owned()),
            Found::Text(bytes) => take(path, &bytes, &mut table)?,
        };
        let damage = match wrong {
            None => None,
            Some(reason) => {
                let aside = room_for_damaged(path).map_err(system)?;
                move_aside(path, &aside).map_err(system)?;
                Some(Damage { aside, reason })
            }
        };
        let path = path.to_owned();
        let file = TableFile {
            path,
            file: None,
            bytes: 0,
            table,
            is_behind: false,
            home: Arc::default(),
            generation: 0,
        };
        Ok((file, damage))
    }

    /// Asks `home` from now on whether its directory is still the same.
    pub(super) fn live_in(&mut self, home: Arc<Home>) {
        self.home = home;
    }

    /// What all records add up to.
    pub(super) fn table(&self) -> &Table {
        &self.table
    }

    /// Takes records into account, and writes them.
    ///
    /// # Errors
    /// The disk refuses; what is missing on it is written with the next records.
    pub(super) fn write(&mut self, records: Vec<Record>) -> io::Result<()> {
        let mut bytes = Vec::new();
        records.iter().for_each(|record| push(&mut bytes, record));
        records.into_iter().for_each(|record| self.table.apply(record));
        let live = 512 * (self.table.runs.len() + self.table.instances.len()) as u64;
        if self.is_behind() || self.bytes + bytes.len() as u64 > SMALL + 4 * live {
            return self.rewrite();
        }
        let Some(file) = &mut self.file else { return self.rewrite() };
        let written = file.write_all(&bytes);
        match written {
            Ok(()) => self.bytes += bytes.len() as u64,
            // Part of it may stand there: all is written anew.
            Err(_) => self.is_behind = true,
        }
        written
    }

    /// Whether the disk has less than the table.
    pub(super) fn is_behind(&self) -> bool {
        let is_gone = |file: &File| file.metadata().is_ok_and(|found| found.nlink() == 0);
        self.is_behind
            || !self.home.generation().is_ok_and(|generation| generation == self.generation)
            || self.file.as_ref().is_some_and(is_gone)
    }

    /// The file, to wait for the disk without holding up writers.
    pub(super) fn handle(&self) -> Option<File> {
        self.file.as_ref()?.try_clone().ok()
    }

    /// Writes all of the table beside the file, and puts it in its place.
    fn rewrite(&mut self) -> io::Result<()> {
        self.is_behind = true;
        let generation = self.home.generation()?;
        let mut bytes = format!("{MAGIC}{FORMAT}\n").into_bytes();
        self.table.records().iter().for_each(|record| push(&mut bytes, record));
        let beside = self.path.with_extension("new");
        let file = match write_whole(&beside, &bytes) {
            Ok(file) => file,
            Err(error) => {
                let _ = fs::remove_file(&beside);
                return Err(error);
            }
        };
        fs::rename(&beside, &self.path)?;
        self.file = Some(file);
        self.bytes = bytes.len() as u64;
        self.is_behind = false;
        self.generation = generation;
        Ok(())
    }
}

/// What the table at `path` adds up to, as far as it is whole. Changes nothing.
///
/// # Errors
/// As [`TableFile::open`].
pub(super) fn check(path: &Path) -> Result<Table, TableError> {
    let mut table = Table::default();
    match read(path) {
        Ok(Found::Text(bytes)) => take(path, &bytes, &mut table).map(|_| table),
        Ok(Found::Nothing | Found::Foreign(_)) => Ok(table),
        Err(source) => Err(TableError::System { path: path.to_owned(), source }),
    }
}

/// Keeps the file under another name. It also stays where it is until the first change is
/// written: whole lines of it still count when this start comes to nothing.
fn move_aside(path: &Path, aside: &Path) -> io::Result<()> {
    // A directory has no second name, nor has anything on some file systems.
    fs::hard_link(path, aside).or_else(|_| fs::rename(path, aside))
}

enum Found {
    Nothing,
    Text(Vec<u8>),
    /// It is there, and cannot be ours.
    Foreign(&'static str),
}

fn read(path: &Path) -> io::Result<Found> {
    let flags = OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC | OFlag::O_NONBLOCK;
    let file = match OpenOptions::new().read(true).custom_flags(flags.bits()).open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Found::Nothing),
        Err(error) if error.raw_os_error() == Some(libc::ELOOP) => {
            return Ok(Found::Foreign("it is a symbolic link"));
        }
        Err(error) => return Err(error),
    };
    let about = file.metadata()?;
    if !about.is_file() {
        return Ok(Found::Foreign("it is no regular file"));
    }
    if about.uid() != nix::unistd::geteuid().as_raw() {
        return Ok(Found::Foreign("it belongs to another user"));
    }
    if about.mode() & 0o022 != 0 {
        return Ok(Found::Foreign("others may write to it"));
    }
    let mut bytes = Vec::new();
    file.take(READ_MAX + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > READ_MAX {
        return Ok(Found::Foreign("it is longer than any can be"));
    }
    Ok(Found::Text(bytes))
}

/// Adds up what stands in `bytes`; what is wrong with them.
fn take(path: &Path, bytes: &[u8], table: &mut Table) -> Result<Option<String>, TableError> {
    let mut lines = bytes.split_inclusive(|byte| *byte == b'\n');
    let first = String::from_utf8_lossy(lines.next().unwrap_or_default());
    let format = first.strip_prefix(MAGIC).and_then(|rest| rest.strip_suffix('\n'));
    match format.and_then(|format| format.parse::<u32>().ok()) {
        Some(FORMAT) => {}
        Some(found) if found > FORMAT => {
            return Err(TableError::Newer { path: path.to_owned(), found });
        }
        Some(_) | None => return Ok(Some("its first line is not that of a state".to_owned())),
    }
    let mut wrong = None;
    for (number, line) in (2..).zip(lines) {
        let Some(line) = line.strip_suffix(b"\n") else {
            // Its writer had no time to finish it.
            break;
        };
        match parse(line) {
            Some(record) => table.apply(record),
            None => {
                wrong.get_or_insert_with(|| format!("line {number} is not what was written"));
            }
        }
    }
    Ok(wrong)
}

fn parse(line: &[u8]) -> Option<Record> {
    let text = std::str::from_utf8(line).ok()?;
    let (sum, json) = text.split_once(' ')?;
    let sum = u32::from_str_radix(sum, 16).ok()?;
    (sum == crc32fast::hash(json.as_bytes())).then(|| serde_json::from_str(json).ok())?
}

fn push(out: &mut Vec<u8>, record: &Record) {
    // Records are made of text, numbers and lists: all of it can be written as JSON.
    let json = serde_json::to_string(record).unwrap_or_default();
    let line = format!("{:08x} {json}\n", crc32fast::hash(json.as_bytes()));
    out.extend_from_slice(line.as_bytes());
}

/// Reads `lines` as what stands behind the checksums, and what they add up to once more;
/// whether all of them say something. For fuzzing.
pub(crate) fn try_table(lines: &[u8]) -> bool {
    let path = Path::new("table");
    // What is read before a checksum is looked at.
    let _ = take(path, lines, &mut Table::default());
    let mut file = format!("{MAGIC}{FORMAT}\n").into_bytes();
    for line in lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        file.extend_from_slice(format!("{:08x} ", crc32fast::hash(line)).as_bytes());
        file.extend_from_slice(line);
        file.push(b'\n');
    }
    let mut table = Table::default();
    let wrong = take(path, &file, &mut table);
    file.truncate(MAGIC.len() + 2);
    table.records().iter().for_each(|record| push(&mut file, record));
    let mut again = Table::default();
    assert!(matches!(take(path, &file, &mut again), Ok(None)), "what was written is not read");
    assert_eq!(again, table);
    matches!(wrong, Ok(None))
}

/// Makes the file new; open for appending afterwards.
fn write_whole(path: &Path, bytes: &[u8]) -> io::Result<File> {
    let mut file = fresh_file(path, 0o600)?;
    file.write_all(bytes)?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::table::{Began, Made, Origin, Scaled, Who};

    fn began(run: u64) -> Record {
        let who = Who { service: "web".into(), index: 0 };
        Record::Began(Began { run, who, at: 1 })
    }

    fn made(run: u64) -> Record {
        Record::Made(Box::new(Made { run, pid: 7, start_time: 8, ..Made::default() }))
    }

    fn scaled(to: u32) -> Record {
        Record::Scaled(Scaled { service: "web".into(), written: 1, to })
    }

    /// Records of which each changes what those before it add up to.
    fn some() -> Vec<Record> {
        let origin = Origin { boot: "b".into(), host: "h".into(), ..Origin::default() };
        vec![
            Record::Origin(origin),
            began(3),
            made(3),
            scaled(2),
            began(4),
            Record::Over(3),
            Record::Ended,
        ]
    }

    /// What the first `count` of them add up to.
    fn sum(count: usize) -> Table {
        let mut table = Table::default();
        some().into_iter().take(count).for_each(|record| table.apply(record));
        table
    }

    /// A file with a line for each of them.
    fn text() -> Vec<u8> {
        let mut text = format!("{MAGIC}{FORMAT}\n").into_bytes();
        some().iter().for_each(|record| push(&mut text, record));
        text
    }

    #[test]
    fn wherever_it_is_cut_the_whole_lines_before_count_and_it_is_whole_afterwards() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("table");
        let text = text();
        for cut in 0..=text.len() {
            fs::write(&path, &text[..cut]).unwrap();
            let lines = text[..cut].iter().filter(|byte| **byte == b'\n').count();
            let (mut file, damage) = TableFile::open(&path).unwrap();
            assert_eq!(*file.table(), sum(lines.saturating_sub(1)), "{cut}");
            // Without its first line nobody knows what it is.
            assert_eq!(damage.is_some(), lines == 0, "{cut}");
            assert_eq!(fs::read(&path).unwrap(), &text[..cut], "nothing is changed yet");
            file.write(vec![scaled(9)]).unwrap();
            let (again, damage) = TableFile::open(&path).unwrap();
            assert_eq!((again.table(), damage), (file.table(), None), "{cut}");
        }
    }

    #[test]
    fn a_damaged_line_is_left_out_and_told_and_the_file_is_kept_as_it_was() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("table");
        let mut text = text();
        let starts: Vec<usize> =
            text.iter().enumerate().filter(|(_, byte)| **byte == b'\n').map(|(at, _)| at).collect();
        // In the line of the fourth record, which nothing else hangs on.
        text[starts[3] + 12] ^= 1;
        fs::write(&path, &text).unwrap();
        fs::write(dir.path().join("table.new"), "left by a crash").unwrap();
        let (mut file, damage) = TableFile::open(&path).unwrap();
        let damage = damage.unwrap();
        assert_eq!(damage.reason, "line 5 is not what was written");
        let expected = Table { scaled: std::collections::BTreeMap::new(), ..sum(7) };
        assert_eq!(*file.table(), expected);
        assert_eq!(fs::read(&damage.aside).unwrap(), text);
        file.write(Vec::new()).unwrap();
        assert_eq!(TableFile::open(&path).unwrap().0.table(), &expected);
        assert_eq!(fs::read(&damage.aside).unwrap(), text);
        assert!(!dir.path().join("table.new").exists());
    }

    #[test]
    fn it_is_written_anew_when_it_has_grown_and_says_the_same() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("table");
        let (mut file, _) = TableFile::open(&path).unwrap();
        file.write(some()).unwrap();
        let (mut longest, mut last, mut shrunk) = (0, 0, 0);
        for round in 0..300 {
            let runs = (0..100).map(|run| 100 * round + run + 10);
            let records = runs.clone().map(began).chain(runs.clone().map(made));
            file.write(records.chain(runs.skip(1).map(Record::Over)).collect()).unwrap();
            let length = fs::metadata(&path).unwrap().len();
            shrunk += u32::from(length < last);
            (longest, last) = (length.max(longest), length);
        }
        assert!(shrunk >= 2, "{shrunk}");
        // What lives in it is some 300 runs of one line or two.
        assert!(longest < 2 * SMALL, "{longest}");
        let (again, damage) = TableFile::open(&path).unwrap();
        assert_eq!((again.table(), damage), (file.table(), None));
        assert_eq!(again.table().runs.len(), 300);
    }

    #[test]
    fn what_a_disk_refuses_is_written_when_it_does_not_any_more() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("table");
        let (mut file, _) = TableFile::open(&path).unwrap();
        file.write(vec![began(3)]).unwrap();
        // It appends to what is full, full(4), and cannot make a new one.
        file.file = Some(OpenOptions::new().write(true).open("/dev/full").unwrap());
        let in_the_way = dir.path().join("table.new");
        fs::create_dir(&in_the_way).unwrap();
        for to in [1, 2] {
            file.write(vec![scaled(to)]).unwrap_err();
            assert!(file.is_behind());
        }
        assert_eq!(TableFile::open(&path).unwrap().0.table().scaled.len(), 0);
        fs::remove_dir(&in_the_way).unwrap();
        file.write(vec![made(3)]).unwrap();
        assert!(!file.is_behind());
        let (again, damage) = TableFile::open(&path).unwrap();
        assert_eq!((again.table(), damage), (file.table(), None));
        assert_eq!(again.table().scaled["web"].to, 2);
        assert!(again.table().runs[&3].made.is_some());
    }
}
