//! Readiness by a newline on a descriptor, as `s6` has it.
//!
//! What comes before the newline means nothing, and after it the pipe is closed.

use std::os::fd::OwnedFd;

use kennel_core::{Input, RunId};
use tokio::io::AsyncReadExt as _;
use tokio::net::unix::pipe::Receiver;

use super::super::{Fact, Facts};

/// Waits for the newline; ends with the last process that holds the other end.
pub(super) fn start(run: RunId, reader: OwnedFd, number: i32, facts: Facts) {
    tokio::spawn(async move {
        let fact = match is_ready(reader).await {
            Ok(true) => Fact::Input(Input::Ready(run)),
            Ok(false) => Fact::WordClosed(run, number),
            Err(error) => return tracing::warn!("cannot read what run {run} says: {error}"),
        };
        // Without a receiver there is no supervisor any more.
        let _ = facts.send(fact);
    });
}

async fn is_ready(reader: OwnedFd) -> std::io::Result<bool> {
    let mut reader = Receiver::from_owned_fd(reader)?;
    let mut buffer = [0; 512];
    loop {
        let read = reader.read(&mut buffer).await?;
        match &buffer[..read] {
            [] => return Ok(false),
            text if text.contains(&b'\n') => return Ok(true),
            _ => {}
        }
    }
}
