//! A plain connection in place of the host's.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;

use kennel_plugin::{Address, ProbeError};

use super::server::BOUND;

/// A connection.
pub(crate) enum Socket {
    /// Over TCP.
    Tcp(TcpStream),
    /// Over a Unix socket.
    Unix(UnixStream),
}

impl Socket {
    /// Connects.
    pub(crate) fn open(address: &Address) -> Result<Socket, ProbeError> {
        let socket = match address {
            Address::Tcp(authority) => TcpStream::connect(authority).map(Socket::Tcp),
            Address::Unix(path) => UnixStream::connect(path).map(Socket::Unix),
        };
        let socket = socket.map_err(|error| ProbeError::Connect(error.to_string()))?;
        match &socket {
            Socket::Tcp(stream) => stream.set_read_timeout(Some(BOUND)),
            Socket::Unix(stream) => stream.set_read_timeout(Some(BOUND)),
        }
        .expect("a timeout that is not zero");
        Ok(socket)
    }

    /// Sends all of it.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result<(), ProbeError> {
        match self {
            Socket::Tcp(stream) => stream.write_all(bytes),
            Socket::Unix(stream) => stream.write_all(bytes),
        }
        .map_err(failed)
    }

    /// Waits for something to read; nothing is the end.
    pub(crate) fn read(&mut self, max: u32) -> Result<Vec<u8>, ProbeError> {
        let mut bytes = vec![0; max as usize];
        let length = match self {
            Socket::Tcp(stream) => stream.read(&mut bytes),
            Socket::Unix(stream) => stream.read(&mut bytes),
        }
        .map_err(failed)?;
        bytes.truncate(length);
        Ok(bytes)
    }
}

fn failed(error: io::Error) -> ProbeError {
    match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => ProbeError::Timeout,
        _ => ProbeError::Protocol(error.to_string()),
    }
}
