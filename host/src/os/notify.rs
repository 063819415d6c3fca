//! The socket of `sd_notify(3)`: datagrams of a service, and who sent each.
//!
//! The kernel says who sent a datagram (`SO_PASSCRED`, `unix(7)`), so that nobody can speak
//! for a service who is no part of it; who that is, is judged elsewhere. Descriptors that
//! come along belong to whoever takes the datagram and are closed with it.
//!
//! Deliberately absent: answers. The socket is never written to.
#![allow(unsafe_code)]

use std::fs;
use std::io::{self, IoSliceMut};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::Arc;

use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, ControlMessageOwned, MsgFlags, SockFlag, SockType, UnixAddr, UnixCredentials,
    bind, recvmsg, setsockopt, socket, sockopt,
};
use tokio::io::{Interest, unix::AsyncFd};

/// `SCM_MAX_FD` of the kernel: no datagram carries more descriptors (`unix(7)`).
const DESCRIPTORS_MAX: usize = 253;

/// What a notification socket is called.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum NotifyName {
    /// A path; its directory keeps others away.
    Path(PathBuf),
    /// A name outside of the file system, without the null byte at its head.
    Abstract(String),
}

impl NotifyName {
    /// What `NOTIFY_SOCKET` says: the path, or the name behind an `@`.
    #[must_use]
    pub fn variable(&self) -> std::ffi::OsString {
        match self {
            NotifyName::Path(path) => path.clone().into(),
            NotifyName::Abstract(name) => format!("@{name}").into(),
        }
    }
}

/// A bound notification socket, non-blocking. A path is removed when it is dropped.
#[derive(Debug)]
pub struct NotifySocket {
    socket: OwnedFd,
    name: NotifyName,
}

/// One datagram.
#[derive(Debug)]
pub struct Datagram {
    /// The process that sent it, as the kernel knows it; 0 when that cannot be said in our
    /// PID namespace, none when the kernel did not tell.
    pub sender: Option<i32>,
    /// The user of that process, as it was when it sent.
    pub uid: Option<u32>,
    /// How many bytes of the buffer it fills.
    pub bytes: usize,
    /// Whether it was longer than the buffer.
    pub is_cut: bool,
    /// The descriptors that came with it, close-on-exec.
    pub descriptors: Vec<OwnedFd>,
}

impl NotifySocket {
    /// Makes a socket of this name. One that an earlier supervisor left at a path is
    /// replaced.
    ///
    /// # Errors
    /// As `socket(2)` and `bind(2)`; `EADDRINUSE` when somebody has the abstract name.
    pub fn bind(name: NotifyName) -> io::Result<Self> {
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let socket = socket(AddressFamily::Unix, SockType::Datagram, flags, None)?;
        // Before the bind: no datagram may come without its sender.
        setsockopt(&socket, sockopt::PassCred, &true)?;
        let address = match &name {
            NotifyName::Path(path) => {
                match fs::remove_file(path) {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                    Ok(()) | Err(_) => {}
                }
                UnixAddr::new(path.as_os_str().as_bytes())?
            }
            NotifyName::Abstract(name) => UnixAddr::new_abstract(name.as_bytes())?,
        };
        bind(socket.as_raw_fd(), &address)?;
        let bound = Self { socket, name };
        if let NotifyName::Path(path) = &bound.name {
            // Whatever our umask: the service has to write to it, and nobody else.
            fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
        }
        Ok(bound)
    }

    /// The bound socket of this name that was passed on to this program.
    #[must_use]
    pub fn inherited(socket: OwnedFd, name: NotifyName) -> Self {
        Self { socket, name }
    }

    /// What it is called.
    #[must_use]
    pub fn name(&self) -> &NotifyName {
        &self.name
    }

    /// Registers it with the runtime's reactor: it becomes readable with each datagram.
    ///
    /// # Errors
    /// `ENOSPC` when the user has as many watches as `epoll(7)` allows.
    pub fn watch(socket: Arc<Self>) -> io::Result<AsyncFd<Arc<Self>>> {
        // SAFETY: the registration owns a share of the socket, so that stays open and the
        // same until after the registration ends, and its number never changes.
        Ok(unsafe { AsyncFd::register_with_interest(socket, Interest::READABLE) }?)
    }

    /// Takes the next datagram into `buffer`, if there is one. Does not wait.
    ///
    /// # Errors
    /// As `recvmsg(2)`.
    pub fn receive(&self, buffer: &mut [u8]) -> io::Result<Option<Datagram>> {
        let mut control = nix::cmsg_space!(UnixCredentials, [RawFd; DESCRIPTORS_MAX]);
        let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_CMSG_CLOEXEC;
        let mut parts = [IoSliceMut::new(buffer)];
        let fd = self.socket.as_raw_fd();
        let message = match recvmsg::<UnixAddr>(fd, &mut parts, Some(&mut control), flags) {
            Ok(message) => message,
            Err(Errno::EAGAIN) => return Ok(None),
            Err(errno) => return Err(errno.into()),
        };
        let mut datagram = Datagram {
            sender: None,
            uid: None,
            bytes: message.bytes,
            is_cut: message.flags.contains(MsgFlags::MSG_TRUNC),
            descriptors: Vec::new(),
        };
        // There is room for all that the kernel can send, so nothing was cut off here.
        for control in message.cmsgs()? {
            match control {
                ControlMessageOwned::ScmCredentials(sender) => {
                    (datagram.sender, datagram.uid) = (Some(sender.pid()), Some(sender.uid()));
                }
                ControlMessageOwned::ScmRights(numbers) => {
                    // SAFETY: the kernel has just made these descriptors for us, and nobody
                    // else knows of them.
                    let owned = |number| unsafe { OwnedFd::from_raw_fd(number) };
                    datagram.descriptors.extend(numbers.into_iter().map(owned));
                }
                // Of the kinds there are, no others were asked for.
                _ => {}
            }
        }
        Ok(Some(datagram))
    }
}

impl AsFd for NotifySocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl AsRawFd for NotifySocket {
    fn as_raw_fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }
}

impl Drop for NotifySocket {
    fn drop(&mut self) {
        if let NotifyName::Path(path) = &self.name {
            // Somebody may have removed it already.
            let _ = fs::remove_file(path);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::linux::net::SocketAddrExt;
    use std::os::unix::net::{SocketAddr, UnixDatagram};

    use nix::sys::socket::{ControlMessage, sendmsg};
    use nix::unistd::pipe;

    use super::*;

    fn own_pid() -> i32 {
        i32::try_from(std::process::id()).unwrap()
    }

    #[test]
    fn a_datagram_comes_with_its_sender_by_path_and_by_abstract_name() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("socket");
        let socket = NotifySocket::bind(NotifyName::Path(path.clone())).unwrap();
        assert_eq!(socket.name().variable(), path.as_os_str());
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let mut buffer = [0; 16];
        assert!(socket.receive(&mut buffer).unwrap().is_none());
        UnixDatagram::unbound().unwrap().send_to(b"READY=1", &path).unwrap();
        let datagram = socket.receive(&mut buffer).unwrap().unwrap();
        assert_eq!((datagram.sender, datagram.is_cut), (Some(own_pid()), false));
        assert_eq!(&buffer[..datagram.bytes], b"READY=1");
        drop(socket);
        assert!(!path.exists(), "the path goes with the socket");

        let name = format!("kennel-test-{}", own_pid());
        let socket = NotifySocket::bind(NotifyName::Abstract(name.clone())).unwrap();
        assert_eq!(socket.name().variable(), *format!("@{name}"));
        let address = SocketAddr::from_abstract_name(&name).unwrap();
        UnixDatagram::unbound().unwrap().send_to_addr(b"1234567890 123456", &address).unwrap();
        let datagram = socket.receive(&mut buffer).unwrap().unwrap();
        assert_eq!((datagram.sender, datagram.bytes), (Some(own_pid()), 16));
        assert!(datagram.is_cut, "it was longer than the buffer");
        let taken = NotifySocket::bind(NotifyName::Abstract(name)).unwrap_err();
        assert_eq!(taken.kind(), io::ErrorKind::AddrInUse);
    }

    #[test]
    fn descriptors_come_along_and_are_closed_with_the_datagram() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("socket");
        let socket = NotifySocket::bind(NotifyName::Path(path.clone())).unwrap();
        let sender = UnixDatagram::unbound().unwrap();
        sender.connect(&path).unwrap();
        let (reader, writer) = pipe().unwrap();
        let writers = [writer.as_raw_fd(); DESCRIPTORS_MAX];
        let rights = [ControlMessage::ScmRights(&writers)];
        let text = [io::IoSlice::new(b"BARRIER=1")];
        sendmsg::<()>(sender.as_raw_fd(), &text, &rights, MsgFlags::empty(), None).unwrap();
        drop(writer);
        let mut buffer = [0; 16];
        let datagram = socket.receive(&mut buffer).unwrap().unwrap();
        assert_eq!(datagram.descriptors.len(), DESCRIPTORS_MAX);
        assert_eq!(datagram.sender, Some(own_pid()), "it has its place beside the descriptors");
        drop(datagram);
        assert_eq!(nix::unistd::read(&reader, &mut buffer), Ok(0), "nobody holds the pipe");
    }

    #[test]
    fn a_socket_that_was_left_at_the_path_is_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("socket");
        drop(UnixDatagram::bind(&path).unwrap());
        assert!(path.exists());
        let socket = NotifySocket::bind(NotifyName::Path(path.clone())).unwrap();
        UnixDatagram::unbound().unwrap().send_to(b"x", &path).unwrap();
        assert!(socket.receive(&mut [0; 4]).unwrap().is_some());
    }
}
