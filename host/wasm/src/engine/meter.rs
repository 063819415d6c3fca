//! How long a call computes, apart from how long it waits.
//!
//! Processor time is that of the thread, summed over the times that the call is polled: a
//! thread polls one call at a time, so what passes between is its own. On the way each poll
//! tells the ticker that a plugin computes, and stops a panic of the host.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use nix::time::{ClockId, clock_gettime};

use crate::engine::ticker::Ticker;
use crate::engine::turn::Turn;

/// What ended a call from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    /// The time is up.
    Deadline,
    /// The processor time is used up.
    Cpu,
    /// Code of the host panicked.
    Panic,
}

/// The processor time of one call.
#[derive(Default)]
pub(crate) struct Meter {
    /// Of the polls that are over, in nanoseconds.
    used: AtomicU64,
    /// What the thread's clock said when the present poll began.
    began: AtomicU64,
}

impl Meter {
    /// The time used until now. Only for the thread that polls.
    pub(crate) fn so_far(&self) -> Duration {
        let now = thread_nanos().saturating_sub(self.began.load(Ordering::Relaxed));
        Duration::from_nanos(self.used.load(Ordering::Relaxed) + now)
    }

    fn begin(&self) {
        self.began.store(thread_nanos(), Ordering::Relaxed);
    }

    fn end(&self) -> Duration {
        let used = self.so_far();
        self.used.store(used.as_nanos() as u64, Ordering::Relaxed);
        used
    }
}

/// `clock_gettime(2)` with CLOCK_THREAD_CPUTIME_ID; never fails on Linux.
fn thread_nanos() -> u64 {
    match clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID) {
        Ok(time) => time.tv_sec() as u64 * 1_000_000_000 + time.tv_nsec() as u64,
        Err(_) => 0,
    }
}

/// A call that is measured.
pub(crate) struct Metered<'a, F> {
    inner: Pin<Box<F>>,
    meter: Arc<Meter>,
    budget: Duration,
    turn: Turn,
    ticker: &'a Ticker,
}

impl<'a, F: Future> Metered<'a, F> {
    pub(crate) fn new(
        inner: F,
        meter: Arc<Meter>,
        budget: Duration,
        turn: Turn,
        ticker: &'a Ticker,
    ) -> Self {
        Self { inner: Box::pin(inner), meter, budget, turn, ticker }
    }
}

impl<F: Future> Future for Metered<'_, F> {
    type Output = Result<F::Output, Stop>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let computing = this.ticker.computing();
        this.meter.begin();
        let polled = catch_unwind(AssertUnwindSafe(|| this.inner.as_mut().poll(cx)));
        let used = this.meter.end();
        drop(computing);
        match polled {
            Ok(Poll::Ready(output)) => Poll::Ready(Ok(output)),
            Ok(Poll::Pending) if used > this.budget => Poll::Ready(Err(Stop::Cpu)),
            Ok(Poll::Pending) => {
                this.turn.paused();
                Poll::Pending
            }
            Err(_) => Poll::Ready(Err(Stop::Panic)),
        }
    }
}
