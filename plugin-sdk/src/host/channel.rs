//! Conversations, for protocols that take more than one exchange.

use std::time::Duration;

use super::ProbeError;
use crate::backend::Talk;
use crate::target::Attributes;

/// A connection that stays open between calls to the host, until it is dropped or the check or
/// delivery is over. After an error other than [`ProbeError::Timeout`] it is of no more use.
///
/// Each `timeout` shortens the time left, never extends it.
#[derive(Debug)]
pub struct Channel {
    talk: Talk,
}

impl Channel {
    pub(super) fn new(talk: Talk) -> Channel {
        Channel { talk }
    }

    /// Writes all of `bytes`.
    pub fn write(
        &mut self,
        bytes: impl AsRef<[u8]>,
        timeout: Option<Duration>,
    ) -> Result<(), ProbeError> {
        self.talk.write(bytes.as_ref(), timeout)
    }

    /// Waits for at least one byte and gives what there is, at most `max` bytes. Nothing means
    /// that the other side closed the connection.
    pub fn read(&mut self, max: u32, timeout: Option<Duration>) -> Result<Vec<u8>, ProbeError> {
        self.talk.read(max, timeout)
    }

    /// Reads exactly `count` bytes. A connection that is closed before is
    /// [`ProbeError::Protocol`].
    pub fn read_exact(
        &mut self,
        count: u32,
        timeout: Option<Duration>,
    ) -> Result<Vec<u8>, ProbeError> {
        let mut bytes = Vec::new();
        while (bytes.len() as u64) < u64::from(count) {
            let more = self.read(count - bytes.len() as u32, timeout)?;
            if more.is_empty() {
                let message = format!("closed after {} of {count} bytes", bytes.len());
                return Err(ProbeError::Protocol(message));
            }
            bytes.extend(more);
        }
        Ok(bytes)
    }

    /// Speaks TLS from here on, with a certificate that is valid for `server_name`. `ext` takes
    /// the options of an HTTP request; the answer has the facts of an HTTP answer:
    /// `tls.not-after-unix-s`, `tls.subject`, …
    pub fn start_tls(
        &mut self,
        server_name: &str,
        ext: &Attributes,
        timeout: Option<Duration>,
    ) -> Result<Attributes, ProbeError> {
        self.talk.start_tls(server_name, ext, timeout)
    }
}
