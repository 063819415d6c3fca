//! The control socket as a file: made, and removed at the end.
//!
//! Whoever may connect may do anything to the services, so the file is 0600 from its first
//! moment: Linux gives it the mode of the unbound socket, which is set before (`bind`
//! takes `i_mode & ~umask`; changing the umask instead would change it for the whole
//! program). Nothing but a dead socket is ever replaced; callers hold the lock on the
//! state directory, so a socket nobody answers on is a leftover.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::sys::socket::{self, AddressFamily, Backlog, SockFlag, SockType, UnixAddr};
use nix::sys::stat::{Mode, fchmod};

use crate::os::{self, Cause, InTheWay, SocketFile};

/// The longest path of a Unix socket, `unix(7)`: `sun_path` without its NUL.
const MAX_PATH_BYTES: usize = 107;

/// How many connections may wait to be accepted; the kernel caps it at
/// `net.core.somaxconn`.
const BACKLOG: i32 = 1024;

/// Why there is no control socket.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// `unix(7)` has room for 107 bytes.
    #[error("cannot listen on \"{}\": its path is {length} bytes long, and a socket's can be {MAX_PATH_BYTES} at most", path.display())]
    TooLong {
        /// The path.
        path: PathBuf,
        /// How long it is.
        length: usize,
    },
    /// Something else stands there.
    #[error("cannot listen on \"{}\": a file that is no socket stands there", path.display())]
    NotASocket {
        /// The path.
        path: PathBuf,
    },
    /// Another program answers there.
    #[error("cannot listen on \"{}\": another program listens there", path.display())]
    InUse {
        /// The path.
        path: PathBuf,
    },
    /// The directory of the socket cannot be made.
    #[error("cannot create the directory \"{}\" for the control socket: {}", path.display(), Cause::from_io(source))]
    Directory {
        /// The directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Others may change the directory, so they could put their own socket there.
    #[error("cannot listen in \"{}\": others may write there", path.display())]
    OpenDirectory {
        /// The directory.
        path: PathBuf,
    },
    /// The system refused.
    #[error("cannot listen on \"{}\": {}", path.display(), Cause::from_io(source))]
    System {
        /// The path.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// Makes the socket at `path` and what is missing of its directory.
///
/// # Errors
/// See [`BindError`].
pub(crate) fn bind(path: &Path) -> Result<(UnixListener, SocketFile), BindError> {
    let failed = |source: io::Error| BindError::System { path: path.to_owned(), source };
    let length = path.as_os_str().as_bytes().len();
    if length > MAX_PATH_BYTES {
        return Err(BindError::TooLong { path: path.to_owned(), length });
    }
    prepare_directory(path)?;
    clear(path)?;
    let listen = || {
        let socket = unix_socket()?;
        fchmod(&socket, Mode::S_IRUSR | Mode::S_IWUSR)?;
        socket::bind(socket.as_raw_fd(), &UnixAddr::new(path)?)?;
        socket::listen(&socket, Backlog::new(BACKLOG)?)?;
        Ok(socket)
    };
    let socket = listen().map_err(|errno: Errno| failed(errno.into()))?;
    let file = SocketFile::made_at(path).map_err(failed)?;
    Ok((UnixListener::from(socket), file))
}

fn unix_socket() -> nix::Result<OwnedFd> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    socket::socket(AddressFamily::Unix, SockType::Stream, flags, None)
}

/// Makes the directory of the socket, 0700 where it is missing, and refuses one where
/// others could replace the socket.
fn prepare_directory(path: &Path) -> Result<(), BindError> {
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        Some(_) | None => Path::new("."),
    };
    let failed = |source| BindError::Directory { path: directory.to_owned(), source };
    DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(failed)?;
    let found = fs::metadata(directory).map_err(failed)?;
    let (writable, sticky) = (found.mode() & 0o022 != 0, found.mode() & 0o1000 != 0);
    if writable && !sticky {
        return Err(BindError::OpenDirectory { path: directory.to_owned() });
    }
    Ok(())
}

/// Removes a socket that nobody listens on.
fn clear(path: &Path) -> Result<(), BindError> {
    let path_of = || path.to_owned();
    os::clear_socket(path).map_err(|what| match what {
        InTheWay::NoSocket => BindError::NotASocket { path: path_of() },
        InTheWay::Living => BindError::InUse { path: path_of() },
        InTheWay::System(source) => BindError::System { path: path_of(), source },
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, symlink};
    use std::os::unix::net::UnixDatagram;

    use super::*;

    #[test]
    fn the_socket_is_closed_to_others_from_its_first_moment_and_removed_at_the_end() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("new/deep/kennel.sock");
        let (_listener, file) = bind(&path).unwrap();
        let mode = |path: &Path| fs::symlink_metadata(path).unwrap().mode() & 0o777;
        assert_eq!(mode(&path), 0o600);
        assert_eq!(mode(path.parent().unwrap()), 0o700);
        drop(file);
        assert!(!path.exists());
    }

    #[test]
    fn a_dead_socket_is_replaced_and_a_living_one_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("kennel.sock");
        drop(UnixListener::bind(&path).unwrap());
        let (listener, file) = bind(&path).unwrap();
        assert!(matches!(bind(&path), Err(BindError::InUse { .. })));
        drop(listener);
        // Another one in its place is not ours to remove.
        let (_listener, newer) = bind(&path).unwrap();
        drop(file);
        assert!(path.exists());
        drop(newer);
        let _datagram = UnixDatagram::bind(&path).unwrap();
        assert!(matches!(bind(&path), Err(BindError::InUse { .. })));
    }

    #[test]
    fn what_is_no_socket_is_neither_followed_nor_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let (path, target) = (dir.path().join("kennel.sock"), dir.path().join("precious"));
        fs::write(&target, "data").unwrap();
        symlink(&target, &path).unwrap();
        assert!(matches!(bind(&path), Err(BindError::NotASocket { .. })));
        fs::remove_file(&path).unwrap();
        symlink(dir.path().join("nowhere"), &path).unwrap();
        assert!(matches!(bind(&path), Err(BindError::NotASocket { .. })));
        assert_eq!(fs::read_to_string(&target).unwrap(), "data");
    }

    #[test]
    fn a_path_with_no_room_in_the_address_is_refused_with_its_length() {
        let path = PathBuf::from(format!("/tmp/{}", "x".repeat(103)));
        let error = bind(&path).unwrap_err().to_string();
        assert!(error.contains("is 108 bytes long, and a socket's can be 107 at most"), "{error}");
    }

    #[test]
    fn a_directory_that_others_may_write_to_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let open = dir.path().join("open");
        fs::create_dir(&open).unwrap();
        fs::set_permissions(&open, fs::Permissions::from_mode(0o777)).unwrap();
        assert!(matches!(bind(&open.join("s")), Err(BindError::OpenDirectory { .. })));
        fs::set_permissions(&open, fs::Permissions::from_mode(0o1777)).unwrap();
        bind(&open.join("s")).unwrap();
    }
}
