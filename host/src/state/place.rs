//! The file `place`: of which configuration a state directory is, and where its supervisor
//! listens.
//!
//! ```text
//!   config /srv/shop/services.yaml
//!   socket /run/kennel/services.sock
//! ```
//!
//! A state directory that is named after the configuration file alone would be that of every
//! file of the name. So whoever comes with another file is refused, and a client whose
//! environment leads to another socket finds the right one.

use std::ffi::OsStr;
use std::fs::{self, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use super::aside;

/// No file is read further: two paths are shorter.
const READ_MAX: u64 = 16 * 1024;

/// What is written down.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub(crate) struct Place {
    /// The configuration file; none: a program has described everything.
    pub(crate) config: Option<PathBuf>,
    /// The control socket.
    pub(crate) socket: Option<PathBuf>,
}

/// The state directory is that of another configuration.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the state in \"{}\" is that of \"{}\", not of \"{}\"", directory.display(), theirs.display(), ours.display())]
pub struct OtherConfig {
    /// The state directory.
    pub directory: PathBuf,
    /// The file whose state it is.
    pub theirs: PathBuf,
    /// The file that is to be run.
    pub ours: PathBuf,
}

impl OtherConfig {
    /// What to do about it.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        "files of one name share their state unless kennel.name or kennel.state_dir tells them apart: set one of them"
    }
}

impl Place {
    /// What the state directory says; nothing when it says nothing that can be read.
    pub(crate) fn read(dir: &Path) -> Place {
        let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK;
        let opened = OpenOptions::new().read(true).custom_flags(flags).open(path_in(dir));
        let mut bytes = Vec::new();
        match opened.and_then(|file| file.take(READ_MAX).read_to_end(&mut bytes)) {
            Ok(_) => Place::parse(&bytes),
            Err(_) => Place::default(),
        }
    }

    /// Writes it down, unless it stands there. To be called by who holds the lock.
    pub(crate) fn write(&self, dir: &Path) -> io::Result<()> {
        if Place::read(dir) == *self {
            return Ok(());
        }
        aside::replace(&path_in(dir), &self.bytes())
    }

    /// Whether the state directory `dir` is that of another file than `ours`, which is still
    /// there.
    pub(crate) fn check(&self, dir: &Path, ours: &Path) -> Result<(), OtherConfig> {
        match &self.config {
            Some(theirs) if is_another(theirs, ours) => Err(OtherConfig {
                directory: dir.to_owned(),
                theirs: theirs.clone(),
                ours: ours.to_owned(),
            }),
            Some(_) | None => Ok(()),
        }
    }

    fn parse(bytes: &[u8]) -> Place {
        let mut place = Place::default();
        for line in bytes.split_inclusive(|byte| *byte == b'\n') {
            // A line that was cut says nothing.
            let Some(line) = line.strip_suffix(b"\n") else { continue };
            let path = |key: &[u8]| {
                let path = Path::new(OsStr::from_bytes(line.strip_prefix(key)?));
                path.is_absolute().then(|| path.to_owned())
            };
            place.config = place.config.or_else(|| path(b"config "));
            place.socket = place.socket.or_else(|| path(b"socket "));
        }
        place
    }

    fn bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (key, path) in [("config ", &self.config), ("socket ", &self.socket)] {
            let path = path.as_deref().map(|path| path.as_os_str().as_bytes());
            // A path with the end of a line in it would be another one when it is read.
            if let Some(path) = path.filter(|path| !path.contains(&b'\n')) {
                bytes.extend([key.as_bytes(), path, b"\n"].concat());
            }
        }
        bytes
    }
}

fn path_in(dir: &Path) -> PathBuf {
    dir.join("place")
}

/// Whether these are two files. One that has been moved away or removed is none.
fn is_another(theirs: &Path, ours: &Path) -> bool {
    if theirs == ours {
        return false;
    }
    match (fs::canonicalize(theirs), fs::canonicalize(ours)) {
        (Ok(theirs), Ok(ours)) => theirs != ours,
        (Err(_), _) | (_, Err(_)) => false,
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn what_is_written_is_read_and_what_is_no_place_says_nothing() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(Place::read(dir.path()), Place::default());
        let config = Some(PathBuf::from(OsStr::from_bytes(b"/srv/a b\xff/services.yaml")));
        let place = Place { config, socket: Some("/run/kennel/services.sock".into()) };
        place.write(dir.path()).unwrap();
        assert_eq!(Place::read(dir.path()), place);
        let odd = Place { config: Some("/a\nb".into()), socket: None };
        odd.write(dir.path()).unwrap();
        assert_eq!(Place::read(dir.path()), Place::default());
        for bytes in [&b"config /cut"[..], b"config relative\n", b"\0\xff\n", b"config\n"] {
            assert_eq!(Place::parse(bytes), Place::default());
        }
        fs::remove_file(path_in(dir.path())).unwrap();
        symlink("/etc/passwd", path_in(dir.path())).unwrap();
        assert_eq!(Place::read(dir.path()), Place::default(), "links are not followed");
    }

    #[test]
    fn only_a_file_that_is_there_and_is_another_one_is_another_one() {
        let dir = tempfile::tempdir().unwrap();
        let [one, other, link] = ["one", "other", "link"].map(|name| dir.path().join(name));
        fs::write(&one, "").unwrap();
        fs::write(&other, "").unwrap();
        symlink(&one, &link).unwrap();
        let of = |config: &Path| Place { config: Some(config.to_owned()), socket: None };
        of(&one).check(dir.path(), &one).unwrap();
        of(&one).check(dir.path(), &link).unwrap();
        Place::default().check(dir.path(), &one).unwrap();
        let said = of(&other).check(dir.path(), &one).unwrap_err().to_string();
        let expected = format!(
            "the state in \"{}\" is that of \"{}\", not of \"{}\"",
            dir.path().display(),
            other.display(),
            one.display()
        );
        assert_eq!(said, expected);
        fs::remove_file(&other).unwrap();
        of(&other).check(dir.path(), &one).unwrap();
    }
}
