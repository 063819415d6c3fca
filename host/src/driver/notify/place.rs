//! Where notification sockets stand, and what they are called.
//!
//! A service that runs as the supervisor's own user gets a path in a directory that nobody
//! else can enter. Another user could not enter it either, so there, and where the path
//! would be too long for a socket, the name is an abstract one. Those are open to everybody
//! on the machine: the name cannot be guessed, and who sends is looked at in any case.
//!
//! Both follow from the instance and the run alone, with a secret that lies in the
//! directory: whoever comes after this supervisor finds the same names.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use kennel_core::RunId;
use nix::fcntl::OFlag;
use sha2::{Digest as _, Sha256};

use crate::config::MAX_SOCKET_PATH_BYTES;
use crate::os::{Credentials, NotifyName};

const SECRET: &str = "secret";
const SECRET_BYTES: usize = 32;

/// How much of an instance's name an abstract name shows.
const SHOWN_CHARS: usize = 32;

/// The directory of notification sockets.
#[derive(Debug)]
pub(crate) struct Place {
    dir: PathBuf,
}

impl Place {
    /// The one of a state directory; nothing is made yet.
    pub(crate) fn new(state_dir: &Path) -> Place {
        Place { dir: state_dir.join("notify") }
    }

    /// Removes the sockets that an earlier supervisor left: nobody reads them any more.
    pub(crate) fn clear(&self) {
        for entry in fs::read_dir(&self.dir).into_iter().flatten().flatten() {
            if entry.file_name() != SECRET {
                // What stays is replaced when its name comes again.
                let _ = fs::remove_file(entry.path());
            }
        }
    }

    /// The name of the socket of a run that is started with these credentials.
    ///
    /// # Errors
    /// The directory or its secret cannot be made.
    pub(in super::super) fn name(
        &self,
        instance: &str,
        run: RunId,
        user: Option<&Credentials>,
    ) -> io::Result<NotifyName> {
        DirBuilder::new().recursive(true).mode(0o700).create(&self.dir)?;
        // No name of an instance has an "@" in it, and every file name may.
        let path = self.dir.join(format!("{}.{run}", instance.replace('/', "@")));
        let is_ours = user.is_none_or(|user| user.uid == nix::unistd::geteuid().as_raw());
        if is_ours && path.as_os_str().len() <= MAX_SOCKET_PATH_BYTES {
            return Ok(NotifyName::Path(path));
        }
        let secret = self.secret()?;
        let digest =
            Sha256::new().chain_update(secret).chain_update(format!("{instance} {run}")).finalize();
        let token: String = digest.iter().take(16).map(|byte| format!("{byte:02x}")).collect();
        let shown: String = instance.chars().take(SHOWN_CHARS).collect();
        Ok(NotifyName::Abstract(format!("kennel/{shown}/{run}/{token}")))
    }

    fn secret(&self) -> io::Result<Vec<u8>> {
        let path = self.dir.join(SECRET);
        let known = fs::read(&path).unwrap_or_default();
        if known.len() == SECRET_BYTES {
            return Ok(known);
        }
        let mut secret = vec![0; SECRET_BYTES];
        File::open("/dev/urandom")?.read_exact(&mut secret)?;
        // Two starts may come here at once: the first to link its file has made the secret.
        let own = self.dir.join(format!("{SECRET}.{:02x}{:02x}", secret[0], secret[1]));
        write_private(&own, &secret)?;
        let linked = fs::hard_link(&own, &path);
        fs::remove_file(&own)?;
        match linked {
            Ok(()) => Ok(secret),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                let known = fs::read(&path)?;
                if known.len() == SECRET_BYTES {
                    return Ok(known);
                }
                // It was cut by a crash, and nobody has used it.
                write_private(&path, &secret)?;
                Ok(secret)
            }
            Err(error) => Err(error),
        }
    }
}

/// Writes a file, 0600, and follows no link in its place.
fn write_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600);
    options.custom_flags((OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC).bits());
    options.open(path)?.write_all(bytes)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn other_user() -> Credentials {
        Credentials {
            uid: nix::unistd::geteuid().as_raw() + 1,
            gid: 1,
            groups: vec![],
            name: "other".into(),
            home: "/".into(),
            shell: "/bin/sh".into(),
        }
    }

    #[test]
    fn our_own_user_has_a_path_that_nobody_else_can_reach() {
        let state = tempfile::tempdir().unwrap();
        let place = Place::new(state.path());
        let name = place.name("web/0", RunId(17), None).unwrap();
        assert_eq!(name, NotifyName::Path(state.path().join("notify/web@0.17")));
        let mode = fs::metadata(state.path().join("notify")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
    }

    #[test]
    fn another_user_and_a_long_path_have_a_name_that_nobody_can_guess() {
        let state = tempfile::tempdir().unwrap();
        let place = Place::new(state.path());
        let abstract_name =
            |place: &Place, instance: &str, run, user: Option<&Credentials>| match place
                .name(instance, RunId(run), user)
                .unwrap()
            {
                NotifyName::Abstract(name) => name,
                NotifyName::Path(path) => panic!("{path:?}"),
            };
        let user = other_user();
        let name = abstract_name(&place, "web/0", 17, Some(&user));
        assert!(name.starts_with("kennel/web/0/17/"), "{name}");
        // The next supervisor finds it again; another run or state directory has another.
        assert_eq!(abstract_name(&Place::new(state.path()), "web/0", 17, Some(&user)), name);
        let token = |name: &str| name.rsplit_once('/').unwrap().1.to_owned();
        let other_run = abstract_name(&place, "web/0", 18, Some(&user));
        assert_ne!(token(&other_run), token(&name));
        let elsewhere = tempfile::tempdir().unwrap();
        let other = abstract_name(&Place::new(elsewhere.path()), "web/0", 17, Some(&user));
        assert_ne!(token(&other), token(&name));

        let deep = state.path().join("d".repeat(100));
        let place = Place::new(&deep);
        let longest = "n".repeat(64) + "/999";
        let name = abstract_name(&place, &longest, u64::MAX, None);
        assert!(name.len() <= MAX_SOCKET_PATH_BYTES, "{name}");
    }

    #[test]
    fn sockets_that_were_left_are_removed_and_the_secret_stays() {
        let state = tempfile::tempdir().unwrap();
        let place = Place::new(state.path());
        place.clear();
        let name = place.name("web", RunId(1), Some(&other_user())).unwrap();
        drop(std::os::unix::net::UnixDatagram::bind(place.dir.join("web.1")).unwrap());
        place.clear();
        assert!(!place.dir.join("web.1").exists());
        assert_eq!(place.name("web", RunId(1), Some(&other_user())).unwrap(), name);
    }

    #[test]
    fn starts_at_once_agree_on_the_secret() {
        let state = tempfile::tempdir().unwrap();
        let place = Place::new(state.path());
        fs::create_dir(&place.dir).unwrap();
        let secrets: Vec<_> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(|| place.secret().unwrap())).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert!(secrets.iter().all(|secret| *secret == secrets[0]), "{secrets:?}");
        assert_eq!(fs::read_dir(&place.dir).unwrap().count(), 1, "the secret and nothing else");
    }
}
