//! Appending to a file that rotates: what sinks of files need of the host.
//!
//! One write at a time goes to a path, whole or not at all. The last name of the path is
//! never followed when it is a link, and what is no regular file is not written to.

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use kennel_wasm::probe::Rotate;
use nix::fcntl::OFlag;

/// How many rotated files are kept when the plugin does not say.
const KEEP: u32 = 5;

/// More are never kept.
const KEEP_MAX: u32 = 1000;

/// The paths that are written to, one at a time.
#[derive(Default)]
pub(super) struct Appender {
    paths: Mutex<HashMap<PathBuf, Arc<tokio::sync::Mutex<()>>>>,
}

impl Appender {
    /// Appends `bytes` to the file at `path`, which is granted and therefore one of few.
    pub(super) async fn append(
        &self,
        path: PathBuf,
        bytes: Vec<u8>,
        rotate: Rotate,
    ) -> io::Result<()> {
        let turn = {
            let mut paths = self.paths.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(paths.entry(path.clone()).or_default())
        };
        // The turn goes with the work, which goes on when nobody waits for it any more.
        let turn = turn.lock_owned().await;
        let work = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            append(&path, &bytes, rotate)
        });
        work.await.unwrap_or_else(|_| Err(io::Error::other("the supervisor is ending")))
    }
}

fn append(path: &Path, bytes: &[u8], rotate: Rotate) -> io::Result<()> {
    let Rotate { max_bytes, keep } = rotate;
    let mut file = open(path)?;
    let mut length = file.metadata()?.len();
    let is_full = max_bytes.is_some_and(|max| length > 0 && length + bytes.len() as u64 > max);
    if is_full {
        drop(file);
        make_room(path, keep.unwrap_or(KEEP).min(KEEP_MAX))?;
        file = open(path)?;
        length = file.metadata()?.len();
    }
    file.write_all(bytes).inspect_err(|_| {
        // What was written of it must not stay: the whole comes again.
        let _ = file.set_len(length);
    })
}

fn open(path: &Path) -> io::Result<File> {
    // Without waiting for whoever has the other end of a pipe.
    let flags = OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC | OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
    let file = OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o600)
        .custom_flags(flags.bits())
        .open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("it is no regular file"));
    }
    Ok(file)
}

/// `events`, `events.1`, … each take the name of the next one; the last one goes.
fn make_room(path: &Path, keep: u32) -> io::Result<()> {
    if keep == 0 {
        return fs::remove_file(path);
    }
    for number in (1..keep).rev() {
        match fs::rename(numbered(path, number), numbered(path, number + 1)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
    }
    fs::rename(path, numbered(path, 1))
}

fn numbered(path: &Path, number: u32) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{number}"));
    PathBuf::from(name)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    fn rotate(max_bytes: u64, keep: u32) -> Rotate {
        Rotate { max_bytes: Some(max_bytes), keep: Some(keep) }
    }

    #[test]
    fn a_file_that_is_full_makes_room_and_as_many_are_kept_as_asked_for() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("events");
        for number in 0..7 {
            append(&path, format!("line {number}\n").as_bytes(), rotate(14, 2)).unwrap();
        }
        let read = |name: &str| fs::read_to_string(dir.path().join(name)).unwrap();
        assert_eq!(read("events"), "line 6\n");
        assert_eq!(read("events.1"), "line 4\nline 5\n");
        assert_eq!(read("events.2"), "line 2\nline 3\n");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 3);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        append(&path, b"longer than the limit is\n", rotate(14, 0)).unwrap();
        assert_eq!(read("events"), "longer than the limit is\n");
        assert_eq!(read("events.1"), "line 4\nline 5\n");
    }

    #[test]
    fn neither_links_nor_pipes_nor_devices_are_written_to() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("target");
        fs::write(&target, "").unwrap();
        let link = dir.path().join("link");
        symlink(&target, &link).unwrap();
        assert!(append(&link, b"x", Rotate::default()).is_err());
        let pipe = dir.path().join("pipe");
        nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
        assert!(append(&pipe, b"x", Rotate::default()).is_err());
        assert!(append(Path::new("/dev/null"), b"x", Rotate::default()).is_err());
        assert_eq!(fs::read(&target).unwrap(), b"");
    }
}
