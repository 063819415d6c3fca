//! A Unix socket as a file: what may be in its way, and its removal at the end.

use std::fs;
use std::io::{self, ErrorKind};
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use nix::errno::Errno;
use nix::sys::socket::{self, AddressFamily, SockFlag, SockType, UnixAddr};

/// The socket's file, removed when dropped, unless something else stands there by then.
#[derive(Debug)]
pub(crate) struct SocketFile {
    path: PathBuf,
    made: Identity,
}

/// What tells one file from another that came in its place: numbers of files are used
/// again, so the time when it was made belongs to it.
#[derive(Debug, PartialEq, Eq)]
struct Identity {
    device: u64,
    inode: u64,
    created: Option<SystemTime>,
}

impl Identity {
    fn of(path: &Path) -> io::Result<Identity> {
        let found = fs::symlink_metadata(path)?;
        let created = found.created().ok();
        Ok(Identity { device: found.dev(), inode: found.ino(), created })
    }
}

/// Why a socket cannot be made at a path.
#[derive(Debug)]
pub(crate) enum InTheWay {
    /// A file that is no socket, which is not ours to remove.
    NoSocket,
    /// A socket on which another program answers.
    Living,
    /// The system does not let us look.
    System(io::Error),
}

impl SocketFile {
    /// The socket that was just made at `path`.
    pub(crate) fn made_at(path: &Path) -> io::Result<SocketFile> {
        Ok(SocketFile { path: path.to_owned(), made: Identity::of(path)? })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether it is still there.
    pub(crate) fn is_there(&self) -> bool {
        Identity::of(&self.path).is_ok_and(|found| found == self.made)
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if self.is_there() {
            // Nobody is left to tell, and whoever makes it next removes it anyway.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Makes room for a socket: removes one that nobody listens on, and nothing else.
pub(crate) fn clear(path: &Path) -> Result<(), InTheWay> {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(InTheWay::System(error)),
        Ok(found) if !found.file_type().is_socket() => return Err(InTheWay::NoSocket),
        Ok(_) => {}
    }
    // Without blocking: a program that never accepts must not hold us up.
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let connected = socket::socket(AddressFamily::Unix, SockType::Stream, flags, None)
        .and_then(|probe| socket::connect(probe.as_raw_fd(), &UnixAddr::new(path)?));
    match connected {
        Err(Errno::ECONNREFUSED) => fs::remove_file(path).map_err(InTheWay::System),
        Err(Errno::ENOENT) => Ok(()),
        // Among others EAGAIN, a full queue, and EPROTOTYPE, a datagram socket: alive.
        Ok(()) | Err(_) => Err(InTheWay::Living),
    }
}
