//! How a log thread comes to an end: of what can be read now, of a service, of itself.

use std::sync::Arc;
use std::time::Instant;

use jiff::Timestamp;
use nix::fcntl::{FcntlArg, fcntl};

use super::super::capture::LogFact;
use super::super::output::Output;
use super::super::settings::Destination;
use super::{READ, Sink, Turn, Worker};

impl Worker {
    /// Reads a stream empty, but no more than a pipe can hold: its writer may be fast.
    pub(super) fn drain(&mut self, token: u64) {
        let Some(fd) = self.feeds.get(&token).and_then(|feed| feed.fd.as_ref()) else { return };
        let size = fcntl(fd, FcntlArg::F_GETPIPE_SZ).ok();
        let mut left = size.and_then(|size| usize::try_from(size).ok()).unwrap_or(READ);
        while left > 0
            && let Turn::Read(count) = self.turn(token)
        {
            left = left.saturating_sub(count);
        }
    }

    pub(super) fn drain_all(&mut self) {
        let tokens: Vec<u64> = self.feeds.keys().copied().collect();
        for token in tokens {
            self.drain(token);
        }
    }

    pub(super) fn answer_flushes(&mut self) {
        if self.flushes.is_empty() || self.outputs.values().any(Output::rests) {
            return;
        }
        self.drain_all();
        if self.outputs.values().any(Output::rests) {
            return;
        }
        for done in self.flushes.drain(..) {
            let _ = done.send(());
        }
    }

    /// When shutting down: reads and closes what can be; whether the thread may end.
    pub(super) fn is_done(&mut self) -> bool {
        if self.closing.is_none() {
            return false;
        }
        self.drain_all();
        let services: Vec<_> = self.outputs.keys().cloned().collect();
        for service in services {
            self.leave(&service);
        }
        let written = self.outputs.values().all(|output| output.backlog.is_empty());
        (self.feeds.is_empty() && written)
            || self.mailbox.deadline().is_some_and(|deadline| Instant::now() >= deadline)
    }

    /// Lets go of the streams of `service`, which are not at their end, unless it cannot be
    /// written. Their lines stay open, and the ledger says where they are: a supervisor that
    /// takes over may go on reading them.
    fn leave(&mut self, service: &Arc<str>) {
        let Some(output) = self.outputs.get_mut(service) else { return };
        if !output.redo {
            for token in output.tokens.clone() {
                self.write_partial(token);
            }
            let stamp = self.stamper.stamp(Timestamp::now());
            if let Some(output) = self.outputs.get_mut(service) {
                output.finish_note(&stamp);
            }
            self.settle(service);
        }
        let Some(output) = self.outputs.get_mut(service) else { return };
        if output.stalled {
            return;
        }
        output.spool = None;
        for token in std::mem::take(&mut output.tokens) {
            if let Some(feed) = self.feeds.remove(&token) {
                self.unwatch(&feed);
            }
        }
    }

    /// Forgets an output that another thread has taken over.
    pub(super) fn forget_if_empty(&mut self, service: &Arc<str>) {
        let is_foreign = |output: &Output| match &self.sink {
            Sink::Files { .. } => output.settings.to == Destination::Inherit,
            Sink::Console(_) => output.settings.to != Destination::Inherit,
        };
        if self.outputs.get(service).is_some_and(|output| {
            is_foreign(output) && output.tokens.is_empty() && output.backlog.is_empty()
        }) {
            self.outputs.remove(service);
        }
    }

    pub(super) fn abandon_all(&mut self) {
        let outputs: Vec<Output> = self.outputs.drain().map(|(_, output)| output).collect();
        // What a spool holds is written by the next supervisor.
        for output in outputs.iter().filter(|output| output.spool.is_none()) {
            self.abandon(output);
        }
        if let Some(done) = self.closing.take() {
            let _ = done.send(());
        }
    }

    pub(super) fn abandon(&self, output: &Output) {
        let bytes = output.backlog.rest().len();
        if bytes > 0 {
            self.report(LogFact::Abandoned { service: Arc::clone(&output.service), bytes });
        }
    }
}
