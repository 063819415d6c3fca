//! Files that are put in the place of others, or out of the way.

use std::fs;
use std::io::{self, ErrorKind, Write as _};
use std::path::{Path, PathBuf};

use crate::os::fresh_file;

/// Writes `bytes` beside `path`, to a file of mode 0600, and puts that in its place. What an
/// earlier attempt has left there is removed first.
pub(super) fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let aside = path.with_extension("new");
    let mut file = fresh_file(&aside, 0o600)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&aside, path)
}

/// How many names are tried.
const NAMES_MAX: u32 = 100;

/// Where what stands at `path` and is damaged may be kept: beside it, with the ending `corrupt`.
/// A file that was kept there before is removed; what else stands there is left alone, and
/// another name is taken.
pub(super) fn room_for_damaged(path: &Path) -> io::Result<PathBuf> {
    let names = (1..=NAMES_MAX).map(|number| match number {
        1 => path.with_extension("corrupt"),
        number => path.with_extension(format!("corrupt-{number}")),
    });
    let mut refused = None;
    for name in names {
        match fs::remove_file(&name) {
            Ok(()) => return Ok(name),
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(name),
            Err(error) => refused = Some(error),
        }
    }
    Err(refused.unwrap_or_else(|| ErrorKind::AlreadyExists.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn damaged_files_are_kept_where_nothing_else_stands() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("table");
        let [first, second] = ["corrupt", "corrupt-2"].map(|end| path.with_extension(end));
        assert_eq!(room_for_damaged(&path).unwrap(), first);
        fs::write(&first, "older").unwrap();
        assert_eq!(room_for_damaged(&path).unwrap(), first);
        assert!(!first.exists());
        fs::create_dir(&first).unwrap();
        assert_eq!(room_for_damaged(&path).unwrap(), second);
        assert!(first.is_dir());
    }
}
