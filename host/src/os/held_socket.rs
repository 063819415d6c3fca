//! Sockets that the supervisor opens for services and holds while their processes come
//! and go.
//!
//! ```text
//! open ──► HeldSocket ──hand_over──► descriptor 3, 4, … of each process
//!             └─ kept open: connections wait in its queue while nobody accepts
//! ```
//!
//! All copies are one socket: what one holder sets, such as `O_NONBLOCK`, holds for all.

use std::fmt;
use std::fs::{self, OpenOptions, Permissions};
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};
use std::os::unix::fs::{
    FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _,
};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag};
use nix::sys::stat::{Mode, fchmod};
use nix::unistd::{Gid, Uid, fchownat};
use socket2::{Domain, SockAddr, Socket, Type};

use super::cause::Cause;
use super::socket_file::{InTheWay, SocketFile, clear};

/// Ports below are for root, or as `net.ipv4.ip_unprivileged_port_start` says.
const UNPRIVILEGED_PORTS: u16 = 1024;

/// What a socket is bound to. Displays as it is written in services.yaml.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum SocketAddress {
    /// Connections over TCP. An IPv6 address takes IPv6 only.
    Tcp(SocketAddr),
    /// Datagrams over UDP. An IPv6 address takes IPv6 only.
    Udp(SocketAddr),
    /// Connections to a file, absolute; `unix(7)`.
    Unix(PathBuf),
    /// Connections to a name that is no file, without its leading NUL; `unix(7)`.
    Abstract(String),
}

/// How a socket is made. What does not apply to an address is not looked at.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SocketOptions {
    /// How many connections may wait to be accepted, `listen(2)`; the kernel caps it at
    /// `net.core.somaxconn`.
    pub backlog: i32,
    /// Who may connect to a Unix socket, as mode bits of its file.
    pub mode: u32,
    /// User and group that the file of a Unix socket belongs to; none: who makes it.
    pub owner: Option<(u32, u32)>,
}

/// A socket that is bound, and listens where that is possible. Dropped, it is closed here;
/// the file of a Unix socket is removed.
#[derive(Debug)]
pub struct HeldSocket {
    address: SocketAddress,
    socket: Socket,
    file: Option<SocketFile>,
}

/// Why a socket cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// The system refused.
    #[error("cannot listen on {address}: {}", Cause::from_io(source))]
    System {
        /// Where.
        address: SocketAddress,
        /// What it said.
        source: io::Error,
    },
    /// A file that is no socket stands at the path.
    #[error("cannot listen on {address}: a file that is no socket stands there")]
    NoSocket {
        /// Where.
        address: SocketAddress,
    },
    /// Another program answers at the path.
    #[error("cannot listen on {address}: another program listens there")]
    InUse {
        /// Where.
        address: SocketAddress,
    },
    /// The socket is there, but cannot be given to the service's user.
    #[error("cannot give {address} to user {uid}, group {gid}: {cause}")]
    Owner {
        /// Which.
        address: SocketAddress,
        /// The user.
        uid: u32,
        /// The group.
        gid: u32,
        /// What the system said.
        cause: Cause,
    },
}

impl ListenError {
    /// What to do about it, where there is something to say.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        let (address, error) = match self {
            ListenError::System { address, source } => (address, Cause::from_io(source).0),
            ListenError::NoSocket { .. }
            | ListenError::InUse { .. }
            | ListenError::Owner { .. } => return None,
        };
        let port = match address {
            SocketAddress::Tcp(at) | SocketAddress::Udp(at) => Some(at.port()),
            SocketAddress::Unix(_) | SocketAddress::Abstract(_) => None,
        };
        match (error, address, port) {
            (Errno::EACCES | Errno::EPERM, _, Some(port)) if port < UNPRIVILEGED_PORTS => {
                Some(format!("ports below {UNPRIVILEGED_PORTS} need root or CAP_NET_BIND_SERVICE"))
            }
            (Errno::EADDRINUSE, SocketAddress::Tcp(_), Some(port)) => {
                Some(format!("\"ss -ltnp sport = :{port}\" shows who listens there"))
            }
            (Errno::EADDRINUSE, SocketAddress::Udp(_), Some(port)) => {
                Some(format!("\"ss -lunp sport = :{port}\" shows who has it"))
            }
            (Errno::EADDRNOTAVAIL, _, Some(_)) => {
                Some("no interface of this machine has this address".to_owned())
            }
            (Errno::ENOENT, SocketAddress::Unix(path), _) => {
                let directory = path.parent().unwrap_or(Path::new("/"));
                Some(format!("the directory \"{}\" does not exist", directory.display()))
            }
            (_, _, _) => None,
        }
    }
}

impl fmt::Display for SocketAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SocketAddress::Tcp(at) => write!(f, "tcp://{at}"),
            SocketAddress::Udp(at) => write!(f, "udp://{at}"),
            SocketAddress::Unix(path) => write!(f, "unix:{}", path.display()),
            SocketAddress::Abstract(name) => write!(f, "unix:@{name}"),
        }
    }
}

impl HeldSocket {
    /// Opens the socket, close-on-exec and blocking.
    ///
    /// # Errors
    /// See [`ListenError`]; nothing is left behind then.
    pub fn open(address: &SocketAddress, options: SocketOptions) -> Result<Self, ListenError> {
        let system = |source| ListenError::System { address: address.clone(), source };
        let (socket, file) = match address {
            SocketAddress::Tcp(at) => (internet(*at, Type::STREAM).map_err(system)?, None),
            SocketAddress::Udp(at) => (internet(*at, Type::DGRAM).map_err(system)?, None),
            SocketAddress::Unix(path) => {
                let (socket, file) = unix(address, path, options)?;
                (socket, Some(file))
            }
            SocketAddress::Abstract(name) => {
                (local(Path::new(&format!("\0{name}")), None).map_err(system)?, None)
            }
        };
        let held = HeldSocket { address: address.clone(), socket, file };
        held.listen(options.backlog).map_err(system)?;
        Ok(held)
    }

    /// The socket at `address` that another process holds as well. The file of a Unix socket
    /// is taken for the one that belongs to it.
    #[must_use]
    pub fn taken_over(address: &SocketAddress, socket: OwnedFd) -> Self {
        let file = match address {
            SocketAddress::Unix(path) => SocketFile::made_at(path).ok(),
            SocketAddress::Tcp(_) | SocketAddress::Udp(_) | SocketAddress::Abstract(_) => None,
        };
        HeldSocket { address: address.clone(), socket: socket.into(), file }
    }

    /// Where it is.
    pub fn address(&self) -> &SocketAddress {
        &self.address
    }

    /// Whether clients still find it: the file of a Unix socket may have been removed.
    pub fn is_reachable(&self) -> bool {
        self.file.as_ref().is_none_or(SocketFile::is_there)
    }

    /// Applies options to a socket that is open.
    ///
    /// # Errors
    /// See [`ListenError`]; the socket goes on as it is then.
    pub fn adjust(&self, options: SocketOptions) -> Result<(), ListenError> {
        let system = |source| ListenError::System { address: self.address.clone(), source };
        self.listen(options.backlog).map_err(system)?;
        match &self.file {
            Some(file) => give(&self.address, file.path(), options),
            None => Ok(()),
        }
    }

    /// A copy for a process.
    ///
    /// # Errors
    /// `EMFILE`.
    pub fn hand_over(&self) -> io::Result<OwnedFd> {
        self.socket.as_fd().try_clone_to_owned()
    }

    /// Makes calls wait, as a process expects that is given a socket: an earlier one may
    /// have changed that. Not while another process works on it.
    ///
    /// # Errors
    /// As `fcntl(2)`.
    pub fn make_blocking(&self) -> io::Result<()> {
        self.socket.set_nonblocking(false)
    }

    /// Once more, it changes the length of the queue.
    fn listen(&self, backlog: i32) -> io::Result<()> {
        match &self.address {
            SocketAddress::Tcp(_) | SocketAddress::Unix(_) | SocketAddress::Abstract(_) => {
                self.socket.listen(backlog)
            }
            SocketAddress::Udp(_) => Ok(()),
        }
    }
}

fn internet(at: SocketAddr, kind: Type) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(at), kind, None)?;
    if at.is_ipv6() {
        // An address means itself, whatever net.ipv6.bindv6only says.
        socket.set_only_v6(true)?;
    }
    if kind == Type::STREAM {
        // Connections of an earlier socket may linger; two that listen there cannot be.
        socket.set_reuse_address(true)?;
    }
    socket.bind(&SockAddr::from(at))?;
    Ok(socket)
}

fn local(path: &Path, mode: Option<u32>) -> io::Result<Socket> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    if let Some(mode) = mode {
        // Linux gives the file the mode of the unbound socket, less the umask, so it is
        // never more open than it shall be.
        fchmod(&socket, Mode::from_bits_truncate(mode))?;
    }
    socket.bind(&SockAddr::unix(path)?)?;
    Ok(socket)
}

fn unix(
    address: &SocketAddress,
    path: &Path,
    options: SocketOptions,
) -> Result<(Socket, SocketFile), ListenError> {
    let address_of = || address.clone();
    let system = |source| ListenError::System { address: address_of(), source };
    clear(path).map_err(|what| match what {
        InTheWay::NoSocket => ListenError::NoSocket { address: address_of() },
        InTheWay::Living => ListenError::InUse { address: address_of() },
        InTheWay::System(source) => system(source),
    })?;
    let socket = local(path, Some(options.mode)).map_err(system)?;
    let file = SocketFile::made_at(path).map_err(system)?;
    give(address, path, options)?;
    Ok((socket, file))
}

/// Gives the file its owner and its mode. By a descriptor, so that nothing else that was
/// put in its place is touched: the directory may belong to the service.
fn give(address: &SocketAddress, path: &Path, options: SocketOptions) -> Result<(), ListenError> {
    let system = |source| ListenError::System { address: address.clone(), source };
    let flags = (OFlag::O_PATH | OFlag::O_NOFOLLOW).bits();
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path).map_err(system)?;
    let found = file.metadata().map_err(system)?;
    if !found.file_type().is_socket() {
        return Err(ListenError::NoSocket { address: address.clone() });
    }
    if let Some((uid, gid)) = options.owner
        && (found.uid(), found.gid()) != (uid, gid)
    {
        let (user, group) = (Uid::from_raw(uid), Gid::from_raw(gid));
        fchownat(&file, "", Some(user), Some(group), AtFlags::AT_EMPTY_PATH).map_err(|errno| {
            ListenError::Owner { address: address.clone(), uid, gid, cause: Cause(errno) }
        })?;
    }
    if found.mode() & 0o777 != options.mode {
        let through = format!("/proc/self/fd/{}", file.as_raw_fd());
        fs::set_permissions(through, Permissions::from_mode(options.mode)).map_err(system)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::{UnixListener, UnixStream};

    use super::*;

    const OPTIONS: SocketOptions = SocketOptions { backlog: 16, mode: 0o660, owner: None };

    fn free() -> SocketAddr {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap()
    }

    #[test]
    fn connections_wait_while_nobody_accepts() {
        let at = free();
        let held = HeldSocket::open(&SocketAddress::Tcp(at), OPTIONS).unwrap();
        let given = std::net::TcpListener::from(held.hand_over().unwrap());
        drop(given);
        let _client = std::net::TcpStream::connect(at).unwrap();
        let given = std::net::TcpListener::from(held.hand_over().unwrap());
        given.accept().unwrap();
        drop((given, held));
        let refused = std::net::TcpStream::connect(at).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
    }

    #[test]
    fn a_port_in_use_is_told_with_what_to_do() {
        let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let at = taken.local_addr().unwrap();
        let error = HeldSocket::open(&SocketAddress::Tcp(at), OPTIONS).unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("cannot listen on tcp://{at}: address already in use")
        );
        assert!(error.hint().unwrap().contains("ss -ltnp"), "{error:?}");
        let nowhere = "tcp://192.0.2.1:9";
        let address = SocketAddress::Tcp("192.0.2.1:9".parse().unwrap());
        let error = HeldSocket::open(&address, OPTIONS).unwrap_err();
        assert!(error.to_string().contains(nowhere), "{error}");
        assert!(error.hint().is_some(), "{error:?}");
    }

    #[test]
    fn datagrams_wait_too() {
        let at = free();
        let held = HeldSocket::open(&SocketAddress::Udp(at), OPTIONS).unwrap();
        let client = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        client.send_to(b"kept", at).unwrap();
        let given = std::net::UdpSocket::from(held.hand_over().unwrap());
        let mut buffer = [0; 8];
        let (length, _) = given.recv_from(&mut buffer).unwrap();
        assert_eq!(&buffer[..length], b"kept");
    }

    #[test]
    fn an_address_of_ipv6_leaves_the_port_of_ipv4_free() {
        let at = free();
        let both = SocketAddr::from((std::net::Ipv6Addr::UNSPECIFIED, at.port()));
        let Ok(_six) = HeldSocket::open(&SocketAddress::Tcp(both), OPTIONS) else {
            // A machine without IPv6 has nothing to be tested.
            return;
        };
        HeldSocket::open(&SocketAddress::Tcp(at), OPTIONS).unwrap();
    }

    #[test]
    fn the_file_of_a_socket_has_its_mode_whatever_the_umask_and_is_removed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s");
        let address = SocketAddress::Unix(path.clone());
        let mode = || fs::symlink_metadata(&path).unwrap().mode() & 0o777;
        let held = HeldSocket::open(&address, OPTIONS).unwrap();
        assert_eq!(mode(), 0o660);
        held.adjust(SocketOptions { mode: 0o606, ..OPTIONS }).unwrap();
        assert_eq!(mode(), 0o606);
        UnixStream::connect(&path).unwrap();
        let second = HeldSocket::open(&address, OPTIONS).unwrap_err();
        assert!(matches!(second, ListenError::InUse { .. }), "{second}");
        assert!(held.is_reachable());
        fs::remove_file(&path).unwrap();
        assert!(!held.is_reachable());
        drop(UnixListener::bind(&path).unwrap());
        drop(held);
        assert!(path.exists(), "what another one made is not ours to remove");
        drop(HeldSocket::open(&address, OPTIONS).unwrap());
        assert!(!path.exists());
    }

    #[test]
    fn what_is_no_socket_is_neither_followed_nor_changed() {
        let dir = tempfile::tempdir().unwrap();
        let (path, precious) = (dir.path().join("s"), dir.path().join("precious"));
        fs::write(&precious, "data").unwrap();
        std::os::unix::fs::symlink(&precious, &path).unwrap();
        let before = fs::metadata(&precious).unwrap().mode();
        let address = SocketAddress::Unix(path.clone());
        let error = HeldSocket::open(&address, OPTIONS).unwrap_err();
        assert!(matches!(error, ListenError::NoSocket { .. }), "{error}");
        // Put in the way after the socket was made.
        let error = give(&address, &path, OPTIONS).unwrap_err();
        assert!(!matches!(error, ListenError::Owner { .. }), "{error}");
        assert_eq!(fs::metadata(&precious).unwrap().mode(), before);
        let error = HeldSocket::open(&SocketAddress::Unix(dir.path().join("no/s")), OPTIONS);
        assert!(error.unwrap_err().hint().unwrap().contains("does not exist"));
    }

    #[test]
    fn a_name_that_is_no_file_is_taken_once() {
        let name = format!("kennel-test-{}", std::process::id());
        let address = SocketAddress::Abstract(name);
        let held = HeldSocket::open(&address, OPTIONS).unwrap();
        let error = HeldSocket::open(&address, OPTIONS).unwrap_err();
        assert!(error.to_string().ends_with("address already in use"), "{error}");
        held.make_blocking().unwrap();
    }
}
