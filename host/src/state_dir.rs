//! The state directory: ours alone, or none of ours.
//!
//! What lies in it decides what is supervised and what is signalled, so nobody else may be
//! able to put anything there. Files in it are 0600 and directories 0700 all the same.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::os::{Cause, Unanswered, bounded};

/// How long the file system may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Why a directory cannot be the state directory.
#[derive(Debug, thiserror::Error)]
pub enum StateDirError {
    /// It cannot be made.
    #[error("cannot make the state directory \"{}\": {}", path.display(), Cause::from_io(error))]
    System {
        /// Its path.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// The file system does not answer.
    #[error("cannot use the state directory \"{}\": its file system has not answered for {} s", path.display(), PATIENCE.as_secs())]
    Silent {
        /// Its path.
        path: PathBuf,
    },
    /// It is another user's.
    #[error("cannot use the state directory \"{}\": it belongs to the user with id {owner}", path.display())]
    Foreign {
        /// Its path.
        path: PathBuf,
        /// Whose it is.
        owner: u32,
    },
    /// Others may write there.
    #[error("cannot use the state directory \"{}\": others may write there", path.display())]
    Open {
        /// Its path.
        path: PathBuf,
    },
}

impl StateDirError {
    /// What can be done about it, where that is not plain.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            StateDirError::System { .. } => None,
            StateDirError::Silent { .. } => {
                Some("choose a state directory on a disk of this machine".to_owned())
            }
            StateDirError::Foreign { .. } => Some(
                "run as that user, or choose another one with --state-dir or kennel.state_dir"
                    .to_owned(),
            ),
            StateDirError::Open { path } => Some(format!("chmod 0700 \"{}\"", path.display())),
        }
    }
}

/// Makes the directory, 0700, with what is missing above it; one that is there has to be
/// ours alone to write to.
pub(crate) fn prepare(path: &Path) -> Result<(), StateDirError> {
    let place = path.to_owned();
    match bounded("kennel-state", PATIENCE, move || make(&place)) {
        Ok(made) => made,
        Err(Unanswered::Late) => Err(StateDirError::Silent { path: path.to_owned() }),
        Err(Unanswered::NoThread(error)) => {
            Err(StateDirError::System { path: path.to_owned(), error })
        }
    }
}

/// What is said of a state directory on the network file system that is called `network`.
pub(crate) fn on_network(path: &Path, network: &str) -> String {
    format!(
        "the state directory \"{}\" lies on a network file system ({network}): while its server \
         does not answer, output is not read, nothing is remembered and nothing is started\n  \
         hint: choose one on a disk of this machine, with --state-dir or kennel.state_dir",
        path.display()
    )
}

fn make(path: &Path) -> Result<(), StateDirError> {
    let failed = |error| StateDirError::System { path: path.to_owned(), error };
    DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(failed)?;
    let found = fs::metadata(path).map_err(failed)?;
    if found.uid() != nix::unistd::geteuid().as_raw() {
        return Err(StateDirError::Foreign { path: path.to_owned(), owner: found.uid() });
    }
    if found.mode() & 0o022 != 0 {
        return Err(StateDirError::Open { path: path.to_owned() });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_state_directory_that_others_may_write_to_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let (made, open) = (dir.path().join("a/b"), dir.path().join("open"));
        prepare(&made).unwrap();
        assert_eq!(fs::metadata(&made).unwrap().permissions().mode() & 0o777, 0o700);
        fs::create_dir(&open).unwrap();
        for mode in [0o777, 0o770, 0o1777, 0o702] {
            fs::set_permissions(&open, fs::Permissions::from_mode(mode)).unwrap();
            let error = prepare(&open).unwrap_err();
            assert!(matches!(error, StateDirError::Open { .. }), "{mode:o}: {error}");
        }
        fs::set_permissions(&open, fs::Permissions::from_mode(0o755)).unwrap();
        prepare(&open).unwrap();
    }

    #[test]
    fn what_lies_on_a_network_file_system_is_said_with_what_to_do() {
        let said = on_network(Path::new("/mnt/state"), "NFS");
        assert!(said.contains("\"/mnt/state\" lies on a network file system (NFS)"), "{said}");
        assert!(said.contains("\n  hint: choose one on a disk of this machine"), "{said}");
    }

    #[test]
    fn a_state_directory_of_another_user_is_refused() {
        // It is root's, or, as root, somebody else's.
        let dir = tempfile::tempdir().unwrap();
        let path = if nix::unistd::geteuid().is_root() {
            std::os::unix::fs::chown(dir.path(), Some(65534), None).unwrap();
            dir.path()
        } else {
            Path::new("/etc")
        };
        let error = prepare(path).unwrap_err();
        assert!(matches!(error, StateDirError::Foreign { .. }), "{error}");
    }
}
