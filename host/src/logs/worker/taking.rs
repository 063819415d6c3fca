//! One turn of a stream: from its pipe to the log file.
//!
//! ```text
//! the ledger names the stream ─► take ─► split and format ─► write ─► the ledger: so far
//! ```

use std::io;
use std::sync::Arc;
use std::time::Instant;

use jiff::Timestamp;
use nix::errno::Errno;
use nix::unistd::read;

use super::super::feed::{self, Feed, HOLD};
use super::super::output::Output;
use super::{LogFact, Sink, Timer, Turn, Worker, closed, report};

impl Worker {
    /// Reads a stream once, and writes what came; on failure its service rests.
    pub(super) fn turn(&mut self, token: u64) -> Turn {
        let Some(feed) = self.feeds.get(&token) else { return Turn::Nothing };
        let service = Arc::clone(&feed.service);
        if self.outputs.get(&service).is_none_or(Output::rests) {
            return Turn::Nothing;
        }
        self.take_turn(token).unwrap_or_else(|error| {
            self.stall(&service, &error);
            Turn::Nothing
        })
    }

    /// Reads a stream once, and writes what came.
    ///
    /// # Errors
    /// The output cannot be written. What was taken waits.
    pub(super) fn take_turn(&mut self, token: u64) -> io::Result<Turn> {
        let Some(feed) = self.feeds.get(&token) else { return Ok(Turn::Nothing) };
        let service = Arc::clone(&feed.service);
        if self.outputs.get(&service).is_some_and(|output| !output.backlog.is_empty()) {
            self.try_settle(&service)?;
        }
        let turn = self.take(token)?;
        match turn {
            Turn::Read(count) => {
                self.digest(token, count);
                self.try_settle(&service)?;
            }
            Turn::Nothing => {}
            Turn::Ended => {
                let fact = self.feeds.get(&token).map(closed);
                self.close(token);
                fact.into_iter().for_each(|fact| self.report(fact));
            }
        }
        Ok(turn)
    }

    /// Takes what a stream has to the buffer.
    fn take(&mut self, token: u64) -> io::Result<Turn> {
        let Some(feed) = self.feeds.get(&token) else { return Ok(Turn::Nothing) };
        let Some(fd) = &feed.fd else { return Ok(Turn::Nothing) };
        let Some(output) = self.outputs.get_mut(&feed.service) else { return Ok(Turn::Nothing) };
        match &mut self.sink {
            Sink::Console(console) => output.label = console.label(&feed.service),
            Sink::Files { logs, spool: place } => {
                output.prepare(logs, &self.home)?;
                if !output.reads_directly {
                    if output.spool.as_ref().is_some_and(|spool| spool.owes_another(feed.key)) {
                        return Ok(Turn::Nothing);
                    }
                    if output.spool.is_none() {
                        self.home.generation()?;
                    }
                    output.announce(&self.feeds, place, feed.key)?;
                }
            }
        }
        if let Some(spool) = &mut output.spool {
            match spool.take(fd, &mut self.buffer) {
                Ok(0) => return Ok(Turn::Ended),
                Ok(count) => return Ok(Turn::Read(count)),
                Err(Errno::EAGAIN | Errno::EINTR) => return Ok(Turn::Nothing),
                Err(Errno::EINVAL | Errno::ENOSYS | Errno::EOPNOTSUPP | Errno::EBADF) => {
                    // No pipe, or a file system that has no splice(2): what is between read
                    // and write is then lost with the supervisor.
                    output.reads_directly = true;
                    output.spool.take().into_iter().for_each(|spool| spool.remove());
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(match read(fd, &mut self.buffer) {
            Ok(0) => Turn::Ended,
            Ok(count) => Turn::Read(count),
            Err(Errno::EAGAIN | Errno::EINTR) => Turn::Nothing,
            Err(_) => Turn::Ended,
        })
    }

    /// Cuts the first `count` bytes of the buffer, which are of the stream `token`, in lines.
    pub(super) fn digest(&mut self, token: u64, count: usize) {
        let Some(feed) = self.feeds.get_mut(&token) else { return };
        let Some(output) = self.outputs.get_mut(&feed.service) else { return };
        let now = Instant::now();
        let stamp = self.stamper.stamp(Timestamp::now());
        output.refill(now, &stamp);
        let stream = feed.key.stream;
        let Feed { partial, tap, line, .. } = feed;
        let fresh = feed::split(partial, &self.buffer[..count], |piece| {
            if let Some(tap) = tap {
                match piece.head {
                    [] => tap(stream, piece.tail),
                    head => tap(stream, &[head, piece.tail].concat()),
                }
            }
            output.emit(token, stream, &piece, &stamp, line);
        });
        if feed.partial.is_empty() {
            feed.held_at = None;
        } else if fresh {
            feed.held_at = Some(now);
            if !feed.timer {
                feed.timer = true;
                self.timers.insert((now + HOLD, Timer::Held(token)));
            }
        }
    }

    /// Writes the backlog of `service`; on failure it rests.
    pub(super) fn settle(&mut self, service: &Arc<str>) {
        self.watch_limit(service);
        if self.outputs.get(service).is_none_or(Output::rests) {
            return;
        }
        if let Err(error) = self.try_settle(service) {
            self.stall(service, &error);
        }
    }

    /// Writes the backlog of `service`, and notes where that has brought its streams.
    ///
    /// # Errors
    /// The disk refuses. What is not written waits.
    pub(super) fn try_settle(&mut self, service: &Arc<str>) -> io::Result<()> {
        self.watch_limit(service);
        let Some(output) = self.outputs.get_mut(service) else { return Ok(()) };
        let result = match &mut self.sink {
            Sink::Files { logs, .. } => {
                output.write(logs, &self.home).and_then(|()| output.note(&self.feeds))
            }
            Sink::Console(console) => {
                let lost = console.write(&mut output.backlog, &self.mailbox);
                if let Some(error) = lost {
                    report(&self.facts, LogFact::ConsoleLost { error });
                }
                Ok(())
            }
        };
        if result.is_ok() {
            output.rest();
        }
        output.tell();
        result
    }

    /// Comes back when the rate limit of `service` lets go.
    fn watch_limit(&mut self, service: &Arc<str>) {
        let Some(output) = self.outputs.get_mut(service) else { return };
        if let Some(at) = output.limit_deadline() {
            output.limit_timer = true;
            self.timers.insert((at, Timer::LetGo(Arc::clone(service))));
        }
    }
}
