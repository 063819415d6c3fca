//! The id of the state directory, in the file `id`: made at random once, and kept.
//!
//! Processes bear it in their environment ([`os::RunMark`](crate::os::RunMark)), so it
//! must be the same for every supervisor that ever uses the directory.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use crate::os::StateId;

/// No file is read further: a whole one is shorter.
const READ_MAX: u64 = 64;

/// The id of the state directory `dir`; made now if it has none. To be called by who holds
/// the lock on the directory.
///
/// A file with something else in it is written anew: whoever wrote it was stopped, or it
/// is none of ours. Processes that bear an earlier id are not known any more then.
///
/// # Errors
/// The file cannot be read or written, or is a link.
pub(crate) fn state_id(dir: &Path) -> io::Result<StateId> {
    let path = dir.join("id");
    if let Some(id) = read(&path)? {
        return Ok(id);
    }
    let mut random = [0; 8];
    File::open("/dev/urandom")?.read_exact(&mut random)?;
    let id = StateId(u64::from_ne_bytes(random));
    // Written aside and renamed, so that the file is whole or not there.
    let aside = dir.join("id.new");
    match fs::remove_file(&aside) {
        Ok(()) => {}
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&aside)?;
    writeln!(file, "{id}")?;
    file.sync_all()?;
    fs::rename(&aside, &path)?;
    Ok(id)
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
    let text = str::from_utf8(&bytes).unwrap_or_default();
    Ok(text.strip_suffix('\n').and_then(|text| text.parse().ok()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    #[test]
    fn an_id_is_made_once_and_is_ours_alone() {
        let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let id = state_id(one.path()).unwrap();
        assert_eq!(state_id(one.path()).unwrap(), id);
        assert_ne!(state_id(two.path()).unwrap(), id);
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
            let id = state_id(dir.path()).unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), format!("{id}\n"));
        }
        fs::remove_file(&path).unwrap();
        symlink("/etc/hostname", &path).unwrap();
        assert!(state_id(dir.path()).is_err());
    }
}
