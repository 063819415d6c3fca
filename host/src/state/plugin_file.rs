//! The file with what plugins remember: changes one after the other, the last one of a key
//! holds.
//!
//! A change is appended, so saving costs what has changed, not what there is. When most of
//! the file has been overtaken it is written anew beside itself and renamed. What a crash
//! left at the end is cut off; a file that is damaged elsewhere is moved aside as evidence,
//! and what could be read of it goes on in a new one.
//!
//! Deliberately absent: waiting for the disk at every change. After a power loss the last
//! changes may be missing, never half there.

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use kennel_wasm::model::SavedState;
use nix::fcntl::OFlag;

use super::aside::room_for_damaged;
use super::plugin_record::{self as record, Change, Key, Next};
use crate::os::fresh_file;

/// The first line of the file: what it is, and the version of its form.
const MAGIC: &[u8] = b"kennel plugin state 1\n";

/// No file is read that is longer: it is none of ours.
const READ_MAX: u64 = 512 * 1024 * 1024;

/// A file is not written anew for less than this.
const SMALL: u64 = 1024 * 1024;

/// What plugins remember, by key.
pub(super) type Entries = BTreeMap<Key, Arc<SavedState>>;

/// The file, open for changes.
pub(super) struct PluginFile {
    path: PathBuf,
    file: Option<File>,
    bytes: u64,
    /// What is behind `bytes` is not to be relied on.
    is_torn: bool,
}

/// What [`PluginFile::open`] found.
pub(super) struct Found {
    pub(super) entries: Entries,
    pub(super) aside: Option<Aside>,
}

/// A damaged file that was moved aside.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Aside {
    /// Where it is now.
    pub(crate) path: PathBuf,
    /// What is wrong with it.
    pub(crate) reason: String,
    /// How many entries could still be read.
    pub(crate) saved: usize,
}

impl PluginFile {
    /// Opens the file at `path`, which is made with the first change.
    ///
    /// # Errors
    /// It is there and cannot be read, or is damaged and cannot be moved aside.
    pub(super) fn open(path: &Path) -> io::Result<(PluginFile, Found)> {
        let mut this = PluginFile { path: path.to_owned(), file: None, bytes: 0, is_torn: false };
        let mut found = Found { entries: Entries::new(), aside: None };
        let bytes = match read(path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok((this, found)),
            Err(error) => return Err(error),
        };
        let damage = match bytes {
            None => Some("it is longer than any can be"),
            Some(bytes) => this.take(&bytes, &mut found.entries),
        };
        if let Some(reason) = damage {
            let aside = room_for_damaged(path)?;
            fs::rename(path, &aside)?;
            let saved = found.entries.len();
            found.aside = Some(Aside { path: aside, reason: reason.to_owned(), saved });
            this.bytes = 0;
        }
        Ok((this, found))
    }

    /// Takes over what stands in `bytes`; what is wrong with them.
    fn take(&mut self, bytes: &[u8], entries: &mut Entries) -> Option<&'static str> {
        // Its maker was stopped before the first line was whole.
        if MAGIC.starts_with(bytes) && bytes.len() < MAGIC.len() {
            self.is_torn = true;
            return None;
        }
        let Some(mut rest) = bytes.strip_prefix(MAGIC) else {
            return Some("its first line is not that of this version");
        };
        self.bytes = MAGIC.len() as u64;
        loop {
            match record::next(rest) {
                Next::Change(Change { key, saved }, length) => {
                    match saved {
                        Some(saved) => entries.insert(key, saved),
                        None => entries.remove(&key),
                    };
                    rest = &rest[length..];
                    self.bytes += length as u64;
                }
                Next::End => return None,
                Next::Torn => {
                    self.is_torn = true;
                    return None;
                }
                Next::Corrupt(why) => return Some(why),
            }
        }
    }

    /// Writes `changes`; `entries` is what holds with them.
    ///
    /// # Errors
    /// Nothing of it counts as written then.
    pub(super) fn write(&mut self, changes: &[Change], entries: &Entries) -> io::Result<()> {
        let mut bytes = Vec::new();
        changes.iter().for_each(|change| record::push(&mut bytes, change));
        let live: u64 = entries.values().map(|saved| 256 + saved.bytes.len() as u64).sum();
        // Its directory may have been removed, and made anew.
        let is_gone = fs::symlink_metadata(&self.path).is_err();
        if is_gone || self.bytes == 0 || self.bytes + bytes.len() as u64 > SMALL + 2 * live {
            return self.rewrite(entries);
        }
        self.append(&bytes)
    }

    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        let file = match &mut self.file {
            Some(file) => file,
            None => self.file.insert(open_for_append(&self.path)?),
        };
        if self.is_torn {
            file.set_len(self.bytes)?;
            self.is_torn = false;
        }
        match file.write_all(bytes) {
            Ok(()) => {
                self.bytes += bytes.len() as u64;
                Ok(())
            }
            Err(error) => {
                self.is_torn = file.set_len(self.bytes).is_err();
                Err(error)
            }
        }
    }

    /// Writes all of `entries` beside the file, and puts it in its place.
    fn rewrite(&mut self, entries: &Entries) -> io::Result<()> {
        let mut bytes = MAGIC.to_vec();
        for (key, saved) in entries {
            let change = Change { key: key.clone(), saved: Some(Arc::clone(saved)) };
            record::push(&mut bytes, &change);
        }
        let directory = self.path.parent().unwrap_or(Path::new("/"));
        DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
        let beside = self.path.with_extension("new");
        let written = write_whole(&beside, &bytes).and_then(|()| fs::rename(&beside, &self.path));
        if let Err(error) = written {
            let _ = fs::remove_file(&beside);
            return Err(error);
        }
        self.file = None;
        self.is_torn = false;
        self.bytes = bytes.len() as u64;
        File::open(directory)?.sync_all()
    }
}

/// The whole file; `None` when it is too long.
fn read(path: &Path) -> io::Result<Option<Vec<u8>>> {
    let flags = OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC | OFlag::O_NONBLOCK;
    let file = OpenOptions::new().read(true).custom_flags(flags.bits()).open(path)?;
    if !file.metadata()?.is_file() {
        return Ok(None);
    }
    let mut bytes = Vec::new();
    file.take(READ_MAX + 1).read_to_end(&mut bytes)?;
    Ok((bytes.len() as u64 <= READ_MAX).then_some(bytes))
}

fn write_whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = fresh_file(path, 0o600)?;
    file.write_all(bytes)?;
    file.sync_all()
}

fn open_for_append(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .append(true)
        .custom_flags((OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC).bits())
        .open(path)
}
