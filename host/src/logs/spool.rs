//! What was taken from the pipes of one service and is not in its log file yet.
//!
//! # Why
//!
//! Bytes that were read from a pipe exist nowhere else. A supervisor that is killed between
//! reading and writing would take them along, and one that is killed between writing and
//! noting so would write them again. So a log thread never holds the only copy:
//!
//! ```text
//!  pipe ──splice(2)──► spool ──read, split, format──► log file
//!                        └─ ledger: so much of the spool is in the log file up to there
//! ```
//!
//! `splice(2)` moves bytes into the file in one system call, which a signal does not cut in
//! two: the length of the file *is* the record of what was taken. The ledger says where the
//! log file ended when all before was written. What it does not know of is undone at the
//! next start (the log file is cut to that length) and done again from the spool.
//!
//! # The file
//!
//! ```text
//! 0        RECORD_MAX      2 * RECORD_MAX
//! │ ledger │ ledger         │ bytes as they came …   (sparse: it takes what is written)
//! ```
//!
//! Records alternate between two places, so that one which a kill cut off leaves its
//! predecessor. When what was taken grows long and all of it is written, the file is
//! shortened; a ledger that speaks of more than there is stems from just before that.
//!
//! All this holds against the death of the supervisor, not of the machine: nothing is synced.
//! After another boot nothing is cut, and the rest of the spool is written, maybe again.
//!
//! Deliberately absent: a spool for the console. What it has shown cannot be taken back.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt as _, FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{OFlag, SpliceFFlags, splice};

use super::file::Place;
use super::ledger::{HEAD, Ledger, RECORD_MAX, StreamKey};

/// Where a ledger ends and the other one begins.
const SLOT: u64 = RECORD_MAX as u64;

/// Where bytes of streams begin.
const DATA: u64 = 2 * SLOT;

/// How long a spool may grow before it is shortened.
const TRIM: u64 = 256 * 1024;

/// How the name of a spool ends.
const SUFFIX: &str = ".spool";

/// Where spools are, and since when.
#[derive(Debug, Clone)]
pub(crate) struct SpoolPlace {
    pub(crate) dir: PathBuf,
    /// The boot of the kernel, in whose terms ledgers speak.
    pub(crate) boot: u128,
}

/// The spool of one service, open.
#[derive(Debug)]
pub(crate) struct Spool {
    path: PathBuf,
    file: File,
    /// The number of the next record.
    sequence: u64,
    /// What the file says.
    recorded: Ledger,
    /// How many bytes were taken.
    end: u64,
    /// How many of them were read.
    read: u64,
}

impl Spool {
    /// Makes an empty one in `dir`.
    ///
    /// # Errors
    /// The directory or the file cannot be made or written.
    pub(crate) fn create(dir: &Path, ledger: Ledger) -> io::Result<Spool> {
        let path = dir.join(format!("{}{SUFFIX}", ledger.service.replace('/', "@")));
        let open = || options().create(true).truncate(true).open(&path);
        let file = match open() {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
                open()?
            }
            result => result?,
        };
        file.set_len(DATA)?;
        let mut spool = Spool { path, file, sequence: 0, recorded: ledger, end: 0, read: 0 };
        spool.write_record(&spool.recorded.clone())?;
        Ok(spool)
    }

    /// Opens one that an earlier supervisor has left; `None` when nothing was ever taken.
    ///
    /// # Errors
    /// It cannot be read, or it holds something and its ledger is damaged.
    pub(crate) fn open(path: &Path) -> io::Result<Option<Spool>> {
        let file = options().open(path)?;
        let records = [read_record(&file, 0)?, read_record(&file, SLOT)?];
        let newest = records.into_iter().flatten().max_by_key(|(number, _)| *number);
        let end = file.metadata()?.len().saturating_sub(DATA);
        let Some((number, mut recorded)) = newest else {
            let damaged = || io::Error::new(ErrorKind::InvalidData, "its ledger is damaged");
            return if end == 0 { Ok(None) } else { Err(damaged()) };
        };
        if recorded.taken > end {
            recorded.taken = 0;
        }
        let read = recorded.taken;
        let path = path.to_path_buf();
        Ok(Some(Spool { path, file, sequence: number + 1, recorded, end, read }))
    }

    /// What the file says.
    pub(crate) fn recorded(&self) -> &Ledger {
        &self.recorded
    }

    /// Moves what is in the pipe `from` here, and from here to `buffer`; how many bytes, at
    /// most as many as it holds. The ledger must name the stream before.
    ///
    /// # Errors
    /// `EAGAIN` when the pipe is empty; `EINVAL` when there is no moving from such a pipe to
    /// such a file system; all others leave everything in the pipe or here: ask again.
    pub(crate) fn take(&mut self, from: &OwnedFd, buffer: &mut [u8]) -> nix::Result<usize> {
        if self.read == self.end {
            let mut place = i64::try_from(DATA + self.end).map_err(|_| Errno::EFBIG)?;
            let flags = SpliceFFlags::SPLICE_F_NONBLOCK;
            let count = splice(from, None, &self.file, Some(&mut place), buffer.len(), flags)?;
            self.end += count as u64;
        }
        self.read_rest(buffer)
    }

    /// Reads what was taken and not read before; how many bytes, at most as many as `buffer`
    /// holds.
    ///
    /// # Errors
    /// The disk cannot be read.
    pub(crate) fn read_rest(&mut self, buffer: &mut [u8]) -> nix::Result<usize> {
        let left = usize::try_from(self.end - self.read).unwrap_or(usize::MAX).min(buffer.len());
        let place = DATA + self.read;
        self.file.read_exact_at(&mut buffer[..left], place).map_err(errno)?;
        self.read += left as u64;
        Ok(left)
    }

    /// Whether something was taken that no record says is written, or the last one says that
    /// more is being written.
    pub(crate) fn is_open(&self) -> bool {
        self.recorded.is_open || self.recorded.taken < self.end
    }

    /// Whose bytes are taken next, if a record says so already and nothing else has changed.
    pub(crate) fn is_ready_for(&self, key: StreamKey, log: Option<Place>) -> bool {
        self.recorded.taking == Some(key) && self.recorded.log == log
    }

    /// Whether there is something to be read that is not of `key`.
    pub(crate) fn owes_another(&self, key: StreamKey) -> bool {
        self.read < self.end && self.recorded.taking != Some(key)
    }

    /// Says that all that was taken is written, and with `ledger` what else there is to know.
    ///
    /// # Errors
    /// The disk cannot be written. The same must be said again before anything is taken.
    pub(crate) fn settle(&mut self, mut ledger: Ledger) -> io::Result<()> {
        (ledger.taken, ledger.is_open, ledger.rotations) = (self.end, false, 0);
        self.record(ledger)?;
        if self.end > TRIM && self.file.set_len(DATA).is_ok() {
            (self.end, self.read) = (0, 0);
            self.record(Ledger { taken: 0, ..self.recorded.clone() })?;
        }
        Ok(())
    }

    /// Says what there is to know while something is still to be written.
    ///
    /// # Errors
    /// The disk cannot be written.
    pub(crate) fn record(&mut self, ledger: Ledger) -> io::Result<()> {
        if ledger != self.recorded {
            self.write_record(&ledger)?;
            self.recorded = ledger;
        }
        Ok(())
    }

    /// Says that something which was not taken from here is about to be written to the log
    /// file, which ends at `log`.
    ///
    /// # Errors
    /// The disk cannot be written.
    pub(crate) fn announce(&mut self, log: Place) -> io::Result<()> {
        self.record(Ledger { log: Some(log), is_open: true, ..self.recorded.clone() })
    }

    /// Says that the log file is about to be rotated although not all is written.
    ///
    /// # Errors
    /// The disk cannot be written.
    pub(crate) fn announce_rotation(&mut self) -> io::Result<()> {
        let rotations = self.recorded.rotations + 1;
        self.record(Ledger { rotations, ..self.recorded.clone() })
    }

    fn write_record(&mut self, ledger: &Ledger) -> io::Result<()> {
        let record = ledger.encode(self.sequence);
        self.file.write_all_at(&record, self.sequence % 2 * SLOT)?;
        self.sequence += 1;
        Ok(())
    }

    /// Removes the file: all is written, and nothing is left to be known.
    pub(crate) fn remove(self) {
        // One that stays is removed at the next start.
        let _ = fs::remove_file(&self.path);
    }
}

/// The paths of all spools in `dir`. An absent directory has none.
///
/// # Errors
/// The directory cannot be read.
pub(crate) fn paths(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut paths = Vec::new();
    for entry in entries {
        let entry = entry?;
        if entry.file_name().to_str().is_some_and(|name| name.ends_with(SUFFIX)) {
            paths.push(entry.path());
        }
    }
    paths.sort_unstable();
    Ok(paths)
}

fn options() -> OpenOptions {
    let mut options = OpenOptions::new();
    let flags = OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC | OFlag::O_NONBLOCK;
    options.read(true).write(true).mode(0o600).custom_flags(flags.bits());
    options
}

/// The record at `place`, if a whole one is there.
fn read_record(file: &File, place: u64) -> io::Result<Option<(u64, Ledger)>> {
    let mut head = [0; HEAD];
    let read = |bytes: &mut [u8]| match file.read_exact_at(bytes, place) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    };
    if !read(&mut head)? {
        return Ok(None);
    }
    let Some(len) = Ledger::len_of(&head) else { return Ok(None) };
    let mut record = vec![0; len];
    Ok(if read(&mut record)? { Ledger::decode(&record) } else { None })
}

fn errno(error: io::Error) -> Errno {
    error.raw_os_error().map_or(Errno::EIO, Errno::from_raw)
}
