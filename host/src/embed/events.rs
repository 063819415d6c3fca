//! The events of a supervisor as a stream.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_core::Stream;
use tokio::sync::watch;

use crate::journal::{Journal, Record};

/// Events that are taken from the journal at once.
const BATCH: usize = 64;

/// What a subscriber sees next.
#[derive(Clone, PartialEq, Debug)]
pub enum Seen {
    /// Something happened.
    Event(Arc<Record>),
    /// The subscriber was too slow: so many events are no longer in memory.
    Missed(u64),
}

/// The events of a supervisor from the moment of the subscription on, in order, each once. A
/// subscriber that is slow costs nothing: it is told how many events it missed once they are
/// no longer in memory, which the last few thousand always are. Ends when the supervisor has.
///
/// Cancel-safe: dropping the future of [`Events::next`] loses nothing.
pub struct Events {
    journal: Journal,
    cursor: u64,
    queue: VecDeque<Seen>,
    changes: watch::Receiver<u64>,
    ended: watch::Receiver<Option<i32>>,
    /// Resolves when there may be more.
    waiting: Option<Pin<Box<dyn Future<Output = ()> + Send + Sync>>>,
}

impl Events {
    pub(crate) fn new(journal: Journal, ended: watch::Receiver<Option<i32>>) -> Events {
        let (cursor, changes) = (journal.last_seq() + 1, journal.subscribe());
        Events { journal, cursor, queue: VecDeque::new(), changes, ended, waiting: None }
    }

    /// The next event, or how many were missed; none when the supervisor has ended.
    pub async fn next(&mut self) -> Option<Seen> {
        std::future::poll_fn(|context| Pin::new(&mut *self).poll_next(context)).await
    }

    fn fetch(&mut self) {
        let batch = self.journal.read_memory(self.cursor, BATCH);
        self.cursor = batch.next;
        if batch.missed > 0 {
            self.queue.push_back(Seen::Missed(batch.missed));
        }
        self.queue.extend(batch.records.into_iter().map(Seen::Event));
    }
}

impl Stream for Events {
    type Item = Seen;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Seen>> {
        loop {
            if let Some(seen) = self.queue.pop_front() {
                return Poll::Ready(Some(seen));
            }
            // Both before the look, so that nothing falls between.
            let is_over = self.ended.borrow().is_some() || self.ended.has_changed().is_err();
            self.changes.borrow_and_update();
            self.fetch();
            if !self.queue.is_empty() {
                continue;
            }
            if is_over {
                return Poll::Ready(None);
            }
            if self.waiting.is_none() {
                let (mut changes, mut ended) = (self.changes.clone(), self.ended.clone());
                self.waiting = Some(Box::pin(async move {
                    // Errors say that nothing will come any more, which is then looked at.
                    tokio::select! {
                        _ = changes.changed() => {}
                        _ = ended.wait_for(Option::is_some) => {}
                    }
                }));
            }
            let Some(waiting) = self.waiting.as_mut() else { continue };
            match waiting.as_mut().poll(context) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(()) => self.waiting = None,
            }
        }
    }
}
