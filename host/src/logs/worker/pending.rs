//! What a log thread comes back to later: unfinished lines, outputs that could not be
//! written, rate limits that hold.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;

use super::super::capture::LogFact;
use super::super::feed::{HOLD, Piece};
use super::super::line::Ending;
use super::super::output::Output;
use super::{Timer, Worker};

/// When an output that could not be written is tried again.
const RETRY: Duration = Duration::from_millis(500);

impl Worker {
    pub(super) fn fire_timers(&mut self) {
        let now = Instant::now();
        while self.timers.first().is_some_and(|(at, _)| *at <= now) {
            let Some((_, timer)) = self.timers.pop_first() else { return };
            match timer {
                Timer::Held(token) => self.release_held(token, now),
                Timer::Retry(service) => self.retry(&service),
                Timer::LetGo(service) => {
                    let stamp = self.stamper.stamp(Timestamp::now());
                    if let Some(output) = self.outputs.get_mut(&service) {
                        output.limit_timer = false;
                        self.relabel(&service);
                        if let Some(output) = self.outputs.get_mut(&service) {
                            output.refill(now, &stamp);
                        }
                        self.settle(&service);
                    }
                }
            }
        }
    }

    /// Writes what has been unfinished for long enough.
    pub(super) fn release_held(&mut self, token: u64, now: Instant) {
        let Some(feed) = self.feeds.get_mut(&token) else { return };
        feed.timer = false;
        let Some(held_at) = feed.held_at else { return };
        // While nothing is read, the rest of the line may have been there for long.
        let is_read = !self.outputs.get(&feed.service).is_some_and(Output::rests);
        let at = if is_read { held_at + HOLD } else { now + HOLD };
        if at > now {
            feed.timer = true;
            self.timers.insert((at, Timer::Held(token)));
            return;
        }
        let service = Arc::clone(&feed.service);
        self.write_partial(token);
        self.settle(&service);
    }

    /// Formats the unfinished line of a stream as a piece.
    pub(super) fn write_partial(&mut self, token: u64) {
        let stamp = self.stamper.stamp(Timestamp::now());
        let Some(feed) = self.feeds.get_mut(&token) else { return };
        feed.held_at = None;
        if feed.partial.is_empty() {
            return;
        }
        let service = Arc::clone(&feed.service);
        self.relabel(&service);
        let Some(feed) = self.feeds.get_mut(&token) else { return };
        let Some(output) = self.outputs.get_mut(&service) else { return };
        if let Some(tap) = &feed.tap {
            tap(feed.key.stream, &feed.partial);
        }
        let piece = Piece { ending: Ending::Piece, head: &feed.partial, tail: b"" };
        output.emit(token, feed.key.stream, &piece, &stamp, &mut feed.line);
        feed.partial.clear();
    }

    pub(super) fn stall(&mut self, service: &Arc<str>, error: &io::Error) {
        self.timers.insert((Instant::now() + RETRY, Timer::Retry(Arc::clone(service))));
        let Some(output) = self.outputs.get_mut(service) else { return };
        if output.stalled {
            return;
        }
        output.stalled = true;
        for token in output.tokens.clone() {
            if let Some(feed) = self.feeds.get(&token) {
                self.unwatch(feed);
            }
        }
        self.report(LogFact::Stalled { service: Arc::clone(service), error: error.to_string() });
    }

    pub(super) fn retry(&mut self, service: &Arc<str>) {
        if !self.outputs.get(service).is_some_and(|output| output.stalled) {
            return;
        }
        if let Err(error) = self.try_again(service) {
            self.stall(service, &error);
            return;
        }
        if let Some(output) = self.outputs.get_mut(service) {
            output.stalled = false;
        }
        self.wake(service);
        self.report(LogFact::Resumed { service: Arc::clone(service) });
        self.forget_if_empty(service);
    }

    /// Does what is overdue, and takes something new: only that shows that there is space.
    fn try_again(&mut self, service: &Arc<str>) -> io::Result<()> {
        if self.outputs.get(service).is_some_and(|output| output.redo) {
            self.redo(service)?;
        }
        self.try_settle(service)?;
        let tokens = self.outputs.get(service).map(|output| output.tokens.clone());
        for token in tokens.unwrap_or_default() {
            self.take_turn(token)?;
        }
        // What the end of a stream has left.
        self.try_settle(service)
    }
}
