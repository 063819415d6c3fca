//! The versions of the forms in which a state directory is written.
//!
//! Each file says at its head of which version it is; a journal and an id say so from their
//! second version on. Who meets a file of a later version than it knows touches nothing: what
//! it cannot read it would take for damaged, move aside and begin anew.

use std::fs::{self, File};
use std::io::Read as _;
use std::path::{Path, PathBuf};

/// No head is longer.
const HEAD_MAX: u64 = 64;

/// A kind of file in a state directory.
struct Form {
    /// Where such files are.
    dir: &'static str,
    /// How their names end.
    suffix: &'static str,
    /// What stands before the version.
    magic: &'static [u8],
    version: Version,
    /// The last version that this program reads.
    known: u32,
}

/// How the version is written.
#[derive(Clone, Copy)]
enum Version {
    /// A number and the end of the line.
    Line,
    /// One byte.
    Byte,
}

/// All but the run table, which is looked at as a whole.
const FORMS: [Form; 5] = [
    Form::lines("", "id", b"kennel id "),
    Form::lines("journal", ".journal", b"kennel journal "),
    Form::lines("sinks", ".cursor", b"kennel sink cursor "),
    Form::lines("plugins", "saved", b"kennel plugin state "),
    Form { version: Version::Byte, ..Form::lines("spool", ".spool", b"kn-log\0") },
];

/// A file in the state directory was written by a newer version. Nothing was changed.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("\"{}\" has format {found}, and this version of kennel knows {known}", path.display())]
pub struct NewerState {
    /// The file.
    pub path: PathBuf,
    /// Its version.
    pub found: u32,
    /// The last version that this program reads.
    pub known: u32,
}

impl NewerState {
    /// What to do about it.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        "start the version that wrote it; another one would begin anew what it cannot read"
    }
}

/// Whether this version reads all that is in the state directory `dir`. What cannot be opened
/// is left to who needs it. Changes nothing; blocks.
///
/// # Errors
/// The first file of a later version.
pub(crate) fn check(dir: &Path) -> Result<(), NewerState> {
    for form in &FORMS {
        for path in form.files(dir) {
            match form.version_of(&path) {
                Some(found) if found > form.known => {
                    return Err(NewerState { path, found, known: form.known });
                }
                Some(_) | None => {}
            }
        }
    }
    Ok(())
}

impl Form {
    const fn lines(dir: &'static str, suffix: &'static str, magic: &'static [u8]) -> Form {
        Form { dir, suffix, magic, version: Version::Line, known: 1 }
    }

    fn files(&self, state_dir: &Path) -> Vec<PathBuf> {
        let dir = state_dir.join(self.dir);
        if !self.suffix.starts_with('.') {
            return vec![dir.join(self.suffix)];
        }
        let entries = fs::read_dir(dir).into_iter().flatten().flatten();
        let names = entries.map(|entry| entry.path());
        let is_one = |path: &PathBuf| {
            path.file_name()
                .and_then(|name| name.to_str())
                .is_some_and(|n| n.ends_with(self.suffix))
        };
        let mut files: Vec<PathBuf> = names.filter(is_one).collect();
        files.sort();
        files
    }

    fn version_of(&self, path: &Path) -> Option<u32> {
        let is_file = fs::symlink_metadata(path).ok()?.is_file();
        let mut head = Vec::new();
        // Opening a FIFO would wait for somebody who writes to it.
        is_file.then(|| File::open(path).ok())??.take(HEAD_MAX).read_to_end(&mut head).ok()?;
        let rest = head.strip_prefix(self.magic)?;
        match self.version {
            Version::Byte => rest.first().map(|byte| u32::from(*byte)),
            Version::Line => {
                let line = rest.split(|byte| *byte == b'\n').next()?;
                std::str::from_utf8(line).ok()?.parse().ok()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_file_of_a_later_version_is_noticed() {
        let lines = |name: &str| format!("kennel {name} 2\nelse").into_bytes();
        for (file, head) in [
            ("id", lines("id")),
            ("journal/00000000000000000001.journal", lines("journal")),
            ("sinks/hook.cursor", lines("sink cursor")),
            ("plugins/saved", lines("plugin state")),
            ("spool/web.spool", b"kn-log\0\x02else".to_vec()),
        ] {
            let dir = tempfile::tempdir().unwrap();
            assert_eq!(check(dir.path()), Ok(()), "nothing is there");
            let path = dir.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, &head).unwrap();
            let expected = NewerState { path: path.clone(), found: 2, known: 1 };
            assert_eq!(check(dir.path()), Err(expected), "{file}");
            assert_eq!(fs::read(&path).unwrap(), head);
            for damaged in ["", "kennel", "kennel state x", "0123456789abcdef\n"] {
                fs::write(&path, damaged).unwrap();
                assert_eq!(check(dir.path()), Ok(()), "{file}: {damaged}");
            }
        }
    }
}
