//! The pid file: for those who look for a pid there. It decides nothing, the lock does.
//!
//! It is written beside its place and then moved there, so it is never seen half written,
//! and what stands in its place is replaced rather than written to: a link put there leads
//! nowhere.

use std::fs;
use std::io::{self, ErrorKind, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use super::cause::Cause;
use super::fresh_file::fresh_file;

/// No pid file is longer. Whatever is, was named by mistake.
const MAX_BYTES: u64 = 64;

/// Our pid in a file, which is removed when this is dropped.
#[derive(Debug)]
pub struct PidFile {
    path: PathBuf,
}

/// Why there is no pid file.
#[derive(Debug, thiserror::Error)]
pub enum PidFileError {
    /// Something else stands there.
    #[error("cannot write the pid file \"{}\": {what} stands there", path.display())]
    InTheWay {
        /// Its path.
        path: PathBuf,
        /// What it is.
        what: &'static str,
    },
    /// The system refused.
    #[error("cannot write the pid file \"{}\": {}", path.display(), Cause::from_io(error))]
    System {
        /// Its path.
        path: PathBuf,
        /// What it said.
        error: io::Error,
    },
}

impl PidFile {
    /// Writes our pid and a newline to `path`, 0644 as far as the umask lets it. One that was
    /// left there is replaced.
    ///
    /// # Errors
    /// Something stands there that is no pid file: a directory, a link, a device, a file with
    /// anything but a number. Nothing is changed then. Or the file cannot be made.
    pub fn write(path: &Path) -> Result<PidFile, PidFileError> {
        let failed = |error| PidFileError::System { path: path.to_owned(), error };
        let in_the_way = |what| PidFileError::InTheWay { path: path.to_owned(), what };
        match fs::symlink_metadata(path) {
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(failed(error)),
            Ok(found) if found.is_dir() => return Err(in_the_way("a directory")),
            Ok(found) if found.is_symlink() => return Err(in_the_way("a symbolic link")),
            Ok(found) if !found.is_file() => return Err(in_the_way("no regular file")),
            Ok(found) if found.len() > MAX_BYTES => {
                return Err(in_the_way("a file that is no pid file"));
            }
            Ok(_) => {
                let text = fs::read(path).map_err(failed)?;
                if !text.trim_ascii().iter().all(u8::is_ascii_digit) {
                    return Err(in_the_way("a file that is no pid file"));
                }
            }
        }
        let beside = beside(path);
        let written = write_new(&beside).and_then(|()| fs::rename(&beside, path));
        if let Err(error) = written {
            // It may not have come into being.
            let _ = fs::remove_file(&beside);
            return Err(failed(error));
        }
        Ok(PidFile { path: path.to_owned() })
    }
}

impl Drop for PidFile {
    fn drop(&mut self) {
        // Another one may have its own pid there by now.
        if fs::symlink_metadata(&self.path).is_ok_and(|found| found.is_file())
            && fs::read(&self.path).is_ok_and(|text| text == text_of_ours().as_bytes())
        {
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn text_of_ours() -> String {
    format!("{}\n", std::process::id())
}

/// `DIR/.NAME.PID`: nobody else alive has that pid.
fn beside(path: &Path) -> PathBuf {
    let mut name = std::ffi::OsString::from(".");
    name.push(path.file_name().unwrap_or(std::ffi::OsStr::from_bytes(b"pid")));
    name.push(format!(".{}", std::process::id()));
    path.with_file_name(name)
}

fn write_new(path: &Path) -> io::Result<()> {
    // One that a dead process of our number left.
    fresh_file(path, 0o644)?.write_all(text_of_ours().as_bytes())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_pid_file_holds_our_pid_until_the_end_and_replaces_a_stale_one() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("kennel.pid");
        for stale in [None, Some("1\n"), Some(""), Some(" 4194304")] {
            if let Some(stale) = stale {
                fs::write(&path, stale).unwrap();
            }
            let file = PidFile::write(&path).unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), text_of_ours());
            drop(file);
            assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0, "after {stale:?}");
        }
    }

    #[test]
    fn what_is_no_pid_file_is_neither_followed_nor_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let (precious, link, folder) =
            (dir.path().join("precious"), dir.path().join("link"), dir.path().join("folder"));
        fs::write(&precious, "x".repeat(65)).unwrap();
        symlink(&precious, &link).unwrap();
        fs::create_dir(&folder).unwrap();
        for (path, what) in [
            (&*precious, "no pid file"),
            (&*link, "a symbolic link"),
            (&*folder, "a directory"),
            (Path::new("/dev/null"), "no regular file"),
        ] {
            let error = PidFile::write(path).unwrap_err().to_string();
            assert!(error.contains(what), "{error}");
        }
        assert_eq!(fs::read_to_string(&precious).unwrap().len(), 65);
        let error = PidFile::write(&dir.path().join("none/pid")).unwrap_err().to_string();
        assert!(error.ends_with("no such file or directory"), "{error}");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 3, "nothing is left beside");
    }

    #[test]
    fn a_pid_file_that_is_another_ones_by_now_stays() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("kennel.pid");
        let file = PidFile::write(&path).unwrap();
        fs::write(&path, "1\n").unwrap();
        drop(file);
        assert_eq!(fs::read_to_string(&path).unwrap(), "1\n");
    }
}
