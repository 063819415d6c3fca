//! What this supervisor tells the service manager above it, by `sd_notify(3)`.
//!
//! One datagram a message, without waiting. When and what is the driver's affair: it feeds
//! the watchdog itself, so that a loop that is stuck is a watchdog that is not fed.

use std::ffi::OsStr;
use std::io;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

/// A way to the service manager that started this program.
#[derive(Debug)]
pub struct ServiceManager {
    socket: UnixDatagram,
    address: SocketAddr,
    watchdog: Option<Duration>,
}

impl ServiceManager {
    /// The one whose socket is called `socket`, as `NOTIFY_SOCKET` has it: a path, or `@` and
    /// a name outside of the file system. With `watchdog` it wants a sign of life within each
    /// such time, and has one twice as often.
    ///
    /// # Errors
    /// `InvalidInput` when `socket` is neither, or too long; no descriptor to be had.
    pub fn new(socket: &OsStr, watchdog: Option<Duration>) -> io::Result<ServiceManager> {
        let address = match socket.as_bytes() {
            [b'@', name @ ..] => SocketAddr::from_abstract_name(name)?,
            [b'/', ..] => SocketAddr::from_pathname(socket)?,
            _ => {
                let text = "it is neither a path nor \"@\" and a name";
                return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
            }
        };
        let socket = UnixDatagram::unbound()?;
        socket.set_nonblocking(true)?;
        // Nothing comes more often than the loop turns, and nothing is due at once.
        let watchdog = watchdog.filter(|time| !time.is_zero());
        Ok(ServiceManager { socket, address, watchdog })
    }

    /// The one that the environment of this process names (`NOTIFY_SOCKET`, `WATCHDOG_USEC`,
    /// `WATCHDOG_PID`), if any. The variables stay; services do not get them.
    ///
    /// # Errors
    /// As [`ServiceManager::new`].
    pub fn from_environment() -> io::Result<Option<ServiceManager>> {
        let text = |name| std::env::var(name).ok();
        let Some(socket) = std::env::var_os("NOTIFY_SOCKET").filter(|name| !name.is_empty()) else {
            return Ok(None);
        };
        let watchdog = watchdog(text("WATCHDOG_USEC"), text("WATCHDOG_PID"), std::process::id());
        ServiceManager::new(&socket, watchdog).map(Some)
    }

    /// Within what time a sign of life is expected each time.
    #[must_use]
    pub fn watchdog(&self) -> Option<Duration> {
        self.watchdog
    }

    /// Sends lines of `sd_notify(3)`. Does not wait.
    ///
    /// # Errors
    /// As `sendto(2)`; `WouldBlock` when the service manager has too much to read.
    pub(crate) fn send(&self, lines: &str) -> io::Result<()> {
        self.socket.send_to_addr(lines.as_bytes(), &self.address).map(drop)
    }
}

/// After `sd_watchdog_enabled(3)`: it may be meant for another process.
fn watchdog(usec: Option<String>, pid: Option<String>, own: u32) -> Option<Duration> {
    match pid {
        Some(pid) if pid.parse() != Ok(own) => None,
        Some(_) | None => usec?.parse().ok().map(Duration::from_micros),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_watchdog_that_is_meant_for_another_process_is_none_of_ours() {
        let given = |usec: &str, pid: Option<&str>| {
            watchdog(Some(usec.to_owned()), pid.map(str::to_owned), 7)
        };
        let expected = Some(Duration::from_secs(3));
        assert_eq!(given("3000000", None), expected);
        assert_eq!(given("3000000", Some("7")), expected);
        assert_eq!(given("3000000", Some("8")), None);
        assert_eq!(given("soon", None), None);
        assert_eq!(watchdog(None, Some("7".into()), 7), None);
    }

    #[test]
    fn a_message_goes_to_a_path_or_an_abstract_name() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("notify");
        let name = format!("kennel-test-manager-{}", std::process::id());
        let by_name = SocketAddr::from_abstract_name(&name).unwrap();
        for (socket, variable) in [
            (UnixDatagram::bind(&path).unwrap(), path.clone().into_os_string()),
            (UnixDatagram::bind_addr(&by_name).unwrap(), format!("@{name}").into()),
        ] {
            let manager = ServiceManager::new(&variable, Some(Duration::ZERO)).unwrap();
            assert_eq!(manager.watchdog(), None);
            manager.send("READY=1").unwrap();
            let mut text = [0; 32];
            let length = socket.recv(&mut text).unwrap();
            assert_eq!(&text[..length], b"READY=1");
        }
        for wrong in ["vsock:2:1", "relative", ""] {
            let error = ServiceManager::new(OsStr::new(wrong), None).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidInput, "{wrong}");
        }
    }
}
