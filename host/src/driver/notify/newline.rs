//! Readiness by a newline on a descriptor, as `s6` has it.
//!
//! What comes before the newline means nothing, and after it the pipe is closed.

use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::sync::{Arc, Weak};

use kennel_core::{Input, RunId};
use tokio::net::unix::pipe::Receiver;

use super::super::{Fact, Facts};
use crate::gate::{Gate, Pass};

/// The pipe, as long as the newline is waited for.
pub(in super::super) struct ReadyPipe(Weak<Receiver>);

impl ReadyPipe {
    /// A copy of its reading end; none when nothing is waited for any more.
    pub(in super::super) fn copy(&self) -> Option<OwnedFd> {
        self.0.upgrade()?.as_fd().try_clone_to_owned().ok()
    }
}

/// Waits for the newline; ends with the last process that holds the other end.
pub(super) fn start(
    run: RunId,
    reader: OwnedFd,
    number: i32,
    gate: Gate,
    facts: Facts,
) -> io::Result<ReadyPipe> {
    let reader = Arc::new(Receiver::from_owned_fd(reader)?);
    let pipe = ReadyPipe(Arc::downgrade(&reader));
    tokio::spawn(async move {
        let (fact, _pass) = match is_ready(reader, &gate).await {
            Ok((true, pass)) => (Fact::Input(Input::Ready(run)), pass),
            Ok((false, pass)) => (Fact::WordClosed(run, number), pass),
            Err(error) => return tracing::warn!("cannot read what run {run} says: {error}"),
        };
        // Without a receiver there is no supervisor any more.
        let _ = facts.send(fact);
    });
    Ok(pipe)
}

/// Whether a newline came, and what it passes with.
async fn is_ready(reader: Arc<Receiver>, gate: &Gate) -> io::Result<(bool, Pass)> {
    let mut buffer = [0; 512];
    loop {
        reader.readable().await?;
        let pass = gate.enter().await;
        match reader.try_read(&mut buffer) {
            Ok(0) => return Ok((false, pass)),
            Ok(read) if buffer[..read].contains(&b'\n') => return Ok((true, pass)),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
}
