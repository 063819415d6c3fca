//! A socket that another process holds, to hold it too (`pidfd_getfd(2)`, Linux 5.6).
#![allow(unsafe_code)]

use std::io::{self, ErrorKind};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use nix::errno::Errno;

use super::pidfd;
use super::pipe::{descriptors, pipe_inode};

/// Takes a copy of the socket with this inode that process `pid` holds. The caller has
/// checked who `pid` is.
///
/// # Errors
/// `NotFound` when it holds no such socket; `PermissionDenied` where the kernel does not let
/// us look into it, which is up to `ptrace(2)`: another user's process, and with
/// `kernel.yama.ptrace_scope` any that is no descendant of ours, unless we are root.
pub fn borrow_socket(pid: i32, inode: u64) -> io::Result<OwnedFd> {
    let pidfd = pidfd::open(pid)?;
    for number in descriptors(pid, &format!("socket:[{inode}]"))? {
        let socket = getfd(pidfd.as_fd(), number)?;
        // Between the look and the copy it may have become another one.
        if pipe_inode(&socket)? == inode {
            return Ok(socket);
        }
    }
    Err(ErrorKind::NotFound.into())
}

fn getfd(pidfd: BorrowedFd<'_>, number: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: no memory is passed.
    let fd = unsafe { libc::syscall(libc::SYS_pidfd_getfd, pidfd.as_raw_fd(), number, 0) };
    let fd = RawFd::try_from(Errno::result(fd)?).map_err(|_| Errno::EBADF)?;
    // SAFETY: the kernel has just made this descriptor, close-on-exec, and nobody else knows
    // of it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use super::*;

    #[test]
    fn a_socket_is_found_by_its_inode_and_is_the_same_socket() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let at = listener.local_addr().unwrap();
        let listener = OwnedFd::from(listener);
        let inode = pipe_inode(&listener).unwrap();
        let own = i32::try_from(std::process::id()).unwrap();
        let copy = TcpListener::from(borrow_socket(own, inode).unwrap());
        drop(listener);
        let _client = TcpStream::connect(at).unwrap();
        copy.accept().unwrap();
        drop(copy);
        let nobody = borrow_socket(own, inode).unwrap_err();
        assert_eq!(nobody.kind(), ErrorKind::NotFound);
    }
}
