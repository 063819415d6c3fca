//! The id of the state directory, in the file `id`: made at random once, and kept.
//!
//! Processes bear it in their environment ([`os::RunMark`](crate::os::RunMark)), so it
//! must be the same for every supervisor that ever uses the directory. The run table has it
//! too, so that a file which is damaged or gone does not make strangers of all services.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Read as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use super::aside;
use crate::os::{Cause, StateId};

/// No file is read further: a whole one is shorter.
const READ_MAX: u64 = 64;

/// Why the id of a state directory is not known.
#[derive(Debug, thiserror::Error)]
pub enum StateIdError {
    /// It cannot be read or made.
    #[error("cannot read or make \"{}\": {}", path.display(), Cause::from_io(source))]
    System {
        /// The file that it is in.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The run table is of another directory than the file. Which of them is right cannot be
    /// known, and with the wrong one services would be started a second time.
    #[error("\"{}\" says {file}, and the run table beside it is of {table}", path.display())]
    Ambiguous {
        /// The file that the id is in.
        path: PathBuf,
        /// What it says.
        file: StateId,
        /// What the run table says.
        table: StateId,
    },
}

impl StateIdError {
    /// What to do about it.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            StateIdError::Ambiguous { .. } => Some(
                "one of them was copied from another state directory; move away the one that \
                 is not of the services that run, which have it in their environment as \
                 KENNEL_STATE_ID",
            ),
            StateIdError::System { .. } => None,
        }
    }
}

/// Where an id was found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum IdSource {
    /// Where it always is.
    File,
    /// The file is gone, or something else is in it.
    Table,
    /// Nowhere: it was made.
    New,
}

/// The id of the state directory `dir`; made now if it has none. `in_table` is what its run
/// table says. To be called by who holds the lock on the directory.
///
/// A file with something else in it is written anew: whoever wrote it was stopped, or it
/// is none of ours. Where the table does not know either, processes that bear an earlier id
/// are not known any more then.
///
/// # Errors
/// The file cannot be read or written, is a link, or says another id than the table.
pub(crate) fn state_id(
    dir: &Path,
    in_table: Option<StateId>,
) -> Result<(StateId, IdSource), StateIdError> {
    let path = dir.join("id");
    let system = |source| StateIdError::System { path: path.clone(), source };
    if let Some(id) = check_id(dir, in_table)? {
        return Ok((id, IdSource::File));
    }
    let (id, source) = match in_table {
        Some(id) => (id, IdSource::Table),
        None => (random().map_err(system)?, IdSource::New),
    };
    write(dir, id).map_err(system)?;
    Ok((id, source))
}

/// Has the file say `id`, whatever it says. To be called by who holds the lock.
pub(super) fn write(dir: &Path, id: StateId) -> io::Result<()> {
    aside::replace(&dir.join("id"), format!("{id}\n").as_bytes())
}

/// What the file says, which changes nothing.
///
/// # Errors
/// As [`state_id`].
pub(crate) fn check_id(
    dir: &Path,
    in_table: Option<StateId>,
) -> Result<Option<StateId>, StateIdError> {
    let path = dir.join("id");
    match (read(&path), in_table) {
        (Ok(Some(file)), Some(table)) if file != table => {
            Err(StateIdError::Ambiguous { path, file, table })
        }
        (Ok(id), _) => Ok(id),
        (Err(source), _) => Err(StateIdError::System { path, source }),
    }
}

fn random() -> io::Result<StateId> {
    let mut random = [0; 8];
    File::open("/dev/urandom")?.read_exact(&mut random)?;
    Ok(StateId(u64::from_ne_bytes(random)))
}

fn read(path: &Path) -> io::Result<Option<StateId>> {
    let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK;
    let file = match OpenOptions::new().read(true).custom_flags(flags).open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut bytes = Vec::new();
    file.take(READ_MAX).read_to_end(&mut bytes)?;
    Ok(parse(&bytes))
}

fn parse(bytes: &[u8]) -> Option<StateId> {
    str::from_utf8(bytes).ok()?.strip_suffix('\n')?.parse().ok()
}

/// Reads `bytes` as the file has them, and what they say once more; whether they are an id. For
/// fuzzing.
pub(crate) fn try_id(bytes: &[u8]) -> bool {
    let Some(id) = parse(bytes) else { return false };
    assert_eq!(format!("{id}\n").as_bytes(), bytes);
    true
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    /// Neither made nor read from anywhere else.
    const KNOWN: StateId = StateId(0x5f0c_3a9b_e1d2_7784);

    #[test]
    fn an_id_is_made_once_and_is_ours_alone() {
        let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (id, source) = state_id(one.path(), None).unwrap();
        assert_eq!(source, IdSource::New);
        for in_table in [None, Some(id)] {
            assert_eq!(state_id(one.path(), in_table).unwrap(), (id, IdSource::File));
        }
        assert_ne!(state_id(two.path(), None).unwrap().0, id);
        let mode = fs::metadata(one.path().join("id")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(fs::read_dir(one.path()).unwrap().count(), 1);
    }

    #[test]
    fn what_is_no_id_is_replaced_and_a_link_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("id");
        for text in ["", "5f0c3a9be1d27784", "5f0c", "\0\0\0\n"] {
            fs::write(&path, text).unwrap();
            fs::write(dir.path().join("id.new"), "left by a crash").unwrap();
            let (id, source) = state_id(dir.path(), None).unwrap();
            assert_eq!(source, IdSource::New);
            assert_eq!(fs::read_to_string(&path).unwrap(), format!("{id}\n"));
        }
        fs::remove_file(&path).unwrap();
        symlink("/etc/hostname", &path).unwrap();
        assert!(state_id(dir.path(), None).is_err());
        assert!(state_id(dir.path(), Some(KNOWN)).is_err());
    }

    #[test]
    fn an_id_that_is_cut_or_gone_is_that_of_the_table() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("id");
        let whole = format!("{KNOWN}\n");
        for length in 0..whole.len() {
            fs::write(&path, &whole[..length]).unwrap();
            assert_eq!(check_id(dir.path(), Some(KNOWN)).unwrap(), None);
            assert_eq!(fs::read_to_string(&path).unwrap(), &whole[..length], "it is only read");
            let found = state_id(dir.path(), Some(KNOWN)).unwrap();
            assert_eq!(found, (KNOWN, IdSource::Table), "{length}");
            assert_eq!(fs::read_to_string(&path).unwrap(), whole);
        }
        fs::remove_file(&path).unwrap();
        assert_eq!(state_id(dir.path(), Some(KNOWN)).unwrap(), (KNOWN, IdSource::Table));
        assert_eq!(state_id(dir.path(), None).unwrap(), (KNOWN, IdSource::File));
    }

    #[test]
    fn an_id_that_is_another_than_that_of_the_table_is_refused_and_nothing_changes() {
        let dir = tempfile::tempdir().unwrap();
        let (id, _) = state_id(dir.path(), None).unwrap();
        let error = state_id(dir.path(), Some(KNOWN)).unwrap_err();
        assert!(error.to_string().contains(&KNOWN.to_string()), "{error}");
        assert!(error.to_string().contains(&id.to_string()), "{error}");
        assert!(error.hint().is_some());
        assert!(check_id(dir.path(), Some(KNOWN)).is_err());
        assert_eq!(check_id(dir.path(), None).unwrap(), Some(id));
    }
}
