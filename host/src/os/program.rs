//! From the program as the user wrote it to the file that is executed.
//!
//! A name without a slash is looked for in `PATH` of the *service's* environment, not
//! of the supervisor's. A name with a slash is a file, relative to the service's working
//! directory, for that is where `execve(2)` stands when it runs.
//!
//! The look-up serves the error text: whether the service's user may execute the file
//! is for the kernel to say, and that answer comes from the spawn itself.

use std::ffi::{OsStr, OsString};
use std::fs::{self, Metadata};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::cause::Cause;

/// Where programs are looked for when the service has no `PATH`.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Why there is nothing to execute.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ProgramError {
    /// No directory in `PATH` has a program of that name.
    #[error("program \"{name}\" not found in PATH")]
    NotFound {
        /// The program as written.
        name: String,
        /// Programs whose names are like it, best first.
        near: Vec<String>,
    },
    /// The path leads to no file.
    #[error("cannot run \"{}\": {cause}", path.display())]
    Missing {
        /// The path as written.
        path: PathBuf,
        /// What the system said.
        cause: Cause,
        /// Programs beside it whose names are like it, best first.
        near: Vec<String>,
    },
    /// The path leads to a directory.
    #[error("cannot run \"{}\": it is a directory", path.display())]
    Directory {
        /// The path as written.
        path: PathBuf,
    },
    /// The file has no execute permission for anybody, or is no regular file.
    #[error("cannot run \"{}\": it is not executable", path.display())]
    NotExecutable {
        /// The path as written or as found in `PATH`.
        path: PathBuf,
    },
}

impl ProgramError {
    /// What the user may have meant.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::NotFound { near, .. } | Self::Missing { near, .. } => {
                near.first().map(|name| format!("did you mean \"{name}\"?"))
            }
            Self::Directory { .. } => None,
            Self::NotExecutable { path } => Some(format!("chmod +x {}", path.display())),
        }
    }
}

/// The file that running `name` executes.
///
/// `path` is the service's `PATH`; its empty and relative entries are passed over, since
/// they would let a working directory decide what runs.
///
/// # Errors
/// When there is no such program, or it cannot be executed by anybody.
pub fn find(
    name: &OsStr,
    path: Option<&OsStr>,
    working_dir: Option<&Path>,
) -> Result<PathBuf, ProgramError> {
    if name.as_bytes().contains(&b'/') {
        return check_file(Path::new(name), working_dir);
    }
    let mut unusable = None;
    let directories = directories(path);
    for directory in &directories {
        let candidate = directory.join(name);
        match fs::metadata(&candidate) {
            Ok(metadata) if is_executable(&metadata) && !name.is_empty() => return Ok(candidate),
            Ok(metadata) if metadata.is_file() => unusable = unusable.or(Some(candidate)),
            Ok(_) | Err(_) => {}
        }
    }
    match unusable {
        Some(path) => Err(ProgramError::NotExecutable { path }),
        None => Err(ProgramError::NotFound {
            name: name.display().to_string(),
            near: near_names(name, &directories),
        }),
    }
}

/// Programs in `directories` whose names are within a typing error of `name`, at most
/// three, best first.
#[must_use]
pub fn near_names(name: &OsStr, directories: &[PathBuf]) -> Vec<String> {
    let name = name.to_string_lossy();
    let allowed = match name.chars().count() {
        0..=1 => return Vec::new(),
        2..=4 => 1,
        _ => 2,
    };
    let mut found: Vec<(usize, String)> = Vec::new();
    for entry in directories.iter().filter_map(|directory| fs::read_dir(directory).ok()).flatten() {
        let Ok(entry) = entry else { continue };
        let Ok(other) = entry.file_name().into_string() else { continue };
        let distance = strsim::damerau_levenshtein(&name, &other);
        // Metadata last: only few names come this far.
        let executable = || fs::metadata(entry.path()).is_ok_and(|found| is_executable(&found));
        if distance > 0 && distance <= allowed && executable() {
            found.push((distance, other));
        }
    }
    found.sort();
    found.dedup();
    found.into_iter().map(|(_, name)| name).take(3).collect()
}

fn check_file(written: &Path, working_dir: Option<&Path>) -> Result<PathBuf, ProgramError> {
    let seen = working_dir.map_or_else(|| written.to_owned(), |base| base.join(written));
    let path = written.to_owned();
    match fs::metadata(&seen) {
        Ok(metadata) if metadata.is_dir() => Err(ProgramError::Directory { path }),
        Ok(metadata) if is_executable(&metadata) => Ok(path),
        Ok(_) => Err(ProgramError::NotExecutable { path }),
        Err(error) => {
            // A working directory that does not exist has its own message later, and a
            // path that only the service's user can walk is that user's to judge.
            let base_missing = working_dir.is_some_and(|base| !base.is_dir());
            if error.kind() == std::io::ErrorKind::PermissionDenied || base_missing {
                return Ok(path);
            }
            let beside: Vec<PathBuf> = seen.parent().map(Path::to_owned).into_iter().collect();
            let near = near_names(seen.file_name().unwrap_or_default(), &beside);
            Err(ProgramError::Missing { path, cause: Cause::from_io(&error), near })
        }
    }
}

fn directories(path: Option<&OsStr>) -> Vec<PathBuf> {
    let path = path.map_or_else(|| OsString::from(DEFAULT_PATH), OsStr::to_owned);
    std::env::split_paths(&path).filter(|directory| directory.is_absolute()).collect()
}

fn is_executable(metadata: &Metadata) -> bool {
    metadata.is_file() && metadata.mode() & 0o111 != 0
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn directory_with(programs: &[(&str, u32)]) -> tempfile::TempDir {
        let directory = tempfile::tempdir().unwrap();
        for (name, mode) in programs {
            let path = directory.path().join(name);
            fs::write(&path, "#!/bin/sh\n").unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(*mode)).unwrap();
        }
        directory
    }

    #[test]
    fn a_bare_name_is_found_in_the_path_of_the_service() {
        let directory = directory_with(&[("nginx", 0o755)]);
        let path = format!("relative::{}", directory.path().display());
        let found = find("nginx".as_ref(), Some(path.as_ref()), None).unwrap();
        assert_eq!(found, directory.path().join("nginx"));
    }

    #[test]
    fn a_misspelt_program_is_named_with_what_was_meant() {
        let directory = directory_with(&[("nginx", 0o755), ("nginz", 0o644), ("other", 0o755)]);
        let error = find("ngnix".as_ref(), Some(directory.path().as_os_str()), None).unwrap_err();
        assert_eq!(error.to_string(), "program \"ngnix\" not found in PATH");
        assert_eq!(error.hint().as_deref(), Some("did you mean \"nginx\"?"));
    }

    #[test]
    fn a_program_without_the_execute_bit_is_not_called_missing() {
        let directory = directory_with(&[("tool", 0o644)]);
        let error = find("tool".as_ref(), Some(directory.path().as_os_str()), None).unwrap_err();
        assert_eq!(error, ProgramError::NotExecutable { path: directory.path().join("tool") });
    }

    #[test]
    fn a_later_directory_serves_when_an_earlier_file_is_not_executable() {
        let first = directory_with(&[("tool", 0o644)]);
        let second = directory_with(&[("tool", 0o755)]);
        let path = format!("{}:{}", first.path().display(), second.path().display());
        let found = find("tool".as_ref(), Some(path.as_ref()), None).unwrap();
        assert_eq!(found, second.path().join("tool"));
    }

    #[test]
    fn a_path_is_relative_to_the_working_directory() {
        let directory = directory_with(&[("tool", 0o755)]);
        let found = find("./tool".as_ref(), None, Some(directory.path())).unwrap();
        assert_eq!(found, PathBuf::from("./tool"));
        let error = find("./tol".as_ref(), None, Some(directory.path())).unwrap_err();
        assert_eq!(error.to_string(), "cannot run \"./tol\": no such file or directory");
        assert_eq!(error.hint().as_deref(), Some("did you mean \"tool\"?"));
    }

    #[test]
    fn a_directory_is_no_program() {
        let error = find("/tmp".as_ref(), None, None).unwrap_err();
        assert_eq!(error.to_string(), "cannot run \"/tmp\": it is a directory");
    }

    #[test]
    fn an_empty_name_is_not_found() {
        assert!(matches!(find("".as_ref(), None, None), Err(ProgramError::NotFound { .. })));
    }
}
