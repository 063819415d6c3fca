//! Files that were not there before.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

/// Makes a file, open for appending. What stands under its name is removed and not written to, so a
/// link that was put there leads nowhere.
///
/// # Errors
/// Those of `unlink(2)` and `open(2)`.
pub(crate) fn fresh_file(path: &Path, mode: u32) -> io::Result<File> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    OpenOptions::new().append(true).create_new(true).mode(mode).open(path)
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::os::unix::fs::{MetadataExt as _, symlink};

    use super::*;

    #[test]
    fn what_a_link_leads_to_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let (precious, path) = (dir.path().join("precious"), dir.path().join("file"));
        fs::write(&precious, "mine").unwrap();
        symlink(&precious, &path).unwrap();
        for text in ["one", "two"] {
            fresh_file(&path, 0o600).unwrap().write_all(text.as_bytes()).unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), text);
        }
        let about = fs::symlink_metadata(&path).unwrap();
        assert!(about.is_file());
        assert_eq!(about.mode() & 0o777, 0o600);
        assert_eq!(fs::read_to_string(&precious).unwrap(), "mine");
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        assert!(fresh_file(&path, 0o600).is_err());
    }
}
