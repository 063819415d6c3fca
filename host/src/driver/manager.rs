//! What the service manager above is told, and when.
//!
//! ```text
//!  quiet ─announced─► ready ◄──► reloading        each change is told at once
//!    └──────────────────┴───────────┴──► stopping
//! ```
//!
//! Everything is looked at once in each turn of the loop: which of these it is, whether a
//! sign of life is due, whether the number of services that are up has changed. A turn that
//! does not come is a sign of life that is missing, and that is the point of it.

use std::collections::VecDeque;
use std::io::ErrorKind;
use std::time::Duration;

use kennel_core::{State, View};
use nix::time::{ClockId, clock_gettime};
use tokio::time::Instant;

use super::Driver;
use crate::service_manager::ServiceManager;

/// The number of services is told that often at most.
const STATUS_EVERY: Duration = Duration::from_secs(1);

/// When the service manager does not read: the next attempt.
const RETRY: Duration = Duration::from_millis(100);

/// Messages that may wait for it. There are few, and the last ones say how it is.
const UNSENT_MAX: usize = 16;

/// The side of the driver.
pub(super) struct Manager {
    to: ServiceManager,
    is_announced: bool,
    phase: Phase,
    /// The last event that the status was told after.
    status_seq: u64,
    status_at: Instant,
    fed_at: Instant,
    unsent: VecDeque<String>,
    is_failing: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Phase {
    /// Still starting: nobody was told anything.
    Quiet,
    Ready,
    Reloading,
    Stopping,
}

impl Manager {
    pub(super) fn new(to: ServiceManager) -> Manager {
        let now = Instant::now();
        Manager {
            to,
            is_announced: false,
            phase: Phase::Quiet,
            status_seq: 0,
            status_at: now,
            fed_at: now,
            unsent: VecDeque::new(),
            is_failing: false,
        }
    }

    /// The program says that it is ready.
    pub(super) fn announce(&mut self) {
        self.is_announced = true;
    }

    /// When the loop has to turn for it; `last_seq` is the number of the last event.
    pub(super) fn next_deadline(&self, last_seq: u64) -> Option<Instant> {
        let sign = self.to.watchdog().map(|time| self.fed_at + time / 2);
        let has_news = self.phase != Phase::Quiet && self.status_seq != last_seq;
        let status = has_news.then(|| self.status_at + STATUS_EVERY);
        let unsent = (!self.unsent.is_empty()).then(|| Instant::now() + RETRY);
        [sign, status, unsent].into_iter().flatten().min()
    }

    fn turn(&mut self, phase: Phase, last_seq: u64, status: impl Fn() -> String) {
        let now = Instant::now();
        self.send_unsent();
        if phase != self.phase {
            let words = match phase {
                Phase::Quiet => return,
                Phase::Ready => "READY=1".to_owned(),
                Phase::Reloading => format!("RELOADING=1\nMONOTONIC_USEC={}", monotonic_usec()),
                Phase::Stopping => "STOPPING=1".to_owned(),
            };
            self.phase = phase;
            (self.status_seq, self.status_at) = (last_seq, now);
            self.say(format!("{words}\nSTATUS={}", status()));
        } else if phase != Phase::Quiet
            && self.status_seq != last_seq
            && now >= self.status_at + STATUS_EVERY
        {
            (self.status_seq, self.status_at) = (last_seq, now);
            self.say(format!("STATUS={}", status()));
        }
        if self.to.watchdog().is_some_and(|time| now >= self.fed_at + time / 2) {
            self.fed_at = now;
            // Not kept for later: a sign of life is of its moment.
            self.send("WATCHDOG=1");
        }
    }

    fn say(&mut self, lines: String) {
        if !self.unsent.is_empty() || !self.send(&lines) {
            if self.unsent.len() == UNSENT_MAX {
                self.unsent.pop_front();
            }
            self.unsent.push_back(lines);
        }
    }

    fn send_unsent(&mut self) {
        while let Some(lines) = self.unsent.pop_front() {
            if !self.send(&lines) {
                self.unsent.push_front(lines);
                return;
            }
        }
    }

    /// Whether it need not be sent again: it was, or nobody is there.
    fn send(&mut self, lines: &str) -> bool {
        match self.to.send(lines) {
            Ok(()) => self.is_failing = false,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return false,
            Err(error) => {
                if !self.is_failing {
                    tracing::warn!("cannot reach the service manager: {error}");
                }
                self.is_failing = true;
            }
        }
        true
    }
}

impl Driver {
    /// Tells the service manager what there is to tell.
    pub(super) fn tell_manager(&mut self) {
        let is_ending = self.exit.is_some() || self.is_shutting_down();
        let Some(manager) = &mut self.manager else { return };
        let view = self.core.view();
        let phase = match (is_ending, manager.is_announced, self.reads.is_reloading()) {
            (true, _, _) => Phase::Stopping,
            (false, false, _) => Phase::Quiet,
            (false, true, false) => Phase::Ready,
            (false, true, true) => Phase::Reloading,
        };
        manager.turn(phase, self.news.journal().last_seq(), || status(view));
    }

    /// When the loop has to turn for the service manager.
    pub(super) fn manager_deadline(&self) -> Option<Instant> {
        self.manager.as_ref()?.next_deadline(self.news.journal().last_seq())
    }
}

/// `3 of 5 services up, 1 failed`.
fn status(view: View<'_>) -> String {
    let (mut all, mut up, mut failed) = (0_usize, 0_usize, 0_usize);
    for instance in view.instances() {
        all += 1;
        match instance.state() {
            State::Up => up += 1,
            State::Failed => failed += 1,
            State::Down
            | State::Waiting
            | State::Starting
            | State::Stopping
            | State::Backoff
            | State::Done => {}
        }
    }
    let noun = if all == 1 { "service" } else { "services" };
    match failed {
        0 => format!("{up} of {all} {noun} up"),
        failed => format!("{up} of {all} {noun} up, {failed} failed"),
    }
}

/// `CLOCK_MONOTONIC` in microseconds, as `sd_notify(3)` wants it with `RELOADING=1`.
fn monotonic_usec() -> u128 {
    clock_gettime(ClockId::CLOCK_MONOTONIC).map_or(0, |time| Duration::from(time).as_micros())
}
