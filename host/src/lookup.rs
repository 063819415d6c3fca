//! A question that takes its time, asked by many.
//!
//! One pass over `/proc` costs time in the number of processes on the machine. When
//! hundreds of services end together, or many clients want the status, as many passes at
//! once would take all threads for blocking work and most of the processor. So one pass is
//! under way at a time, and it answers all who asked before it began.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::Mutex;

/// Looks something up for all who ask. Clones share the answers.
pub(crate) struct Lookup<T> {
    look: fn() -> T,
    last: Arc<Mutex<Answer<T>>>,
}

struct Answer<T> {
    /// None: there never was one.
    begun: Option<Instant>,
    found: Arc<T>,
}

impl<T> Clone for Lookup<T> {
    fn clone(&self) -> Lookup<T> {
        Lookup { look: self.look, last: Arc::clone(&self.last) }
    }
}

impl<T: Default + Send + Sync + 'static> Lookup<T> {
    /// `look` may block.
    pub(crate) fn new(look: fn() -> T) -> Lookup<T> {
        let answer = Answer { begun: None, found: Arc::default() };
        Lookup { look, last: Arc::new(Mutex::new(answer)) }
    }

    /// What a look finds that begins after this was called; the default when the runtime
    /// ends.
    pub(crate) async fn ask(&self) -> Arc<T> {
        self.ask_within(Duration::ZERO).await.1
    }

    /// What a look finds that began at most `age` before this was called, and when it did.
    pub(crate) async fn ask_within(&self, age: Duration) -> (Instant, Arc<T>) {
        let asked = Instant::now();
        let mut last = Arc::clone(&self.last).lock_owned().await;
        if let Some(begun) = last.begun.filter(|begun| *begun + age >= asked) {
            return (begun, Arc::clone(&last.found));
        }
        let look = self.look;
        // The lock goes with the work, which goes on when who asked has gone.
        let looking = tokio::task::spawn_blocking(move || {
            let begun = Instant::now();
            last.begun = Some(begun);
            last.found = Arc::new(look());
            (begun, Arc::clone(&last.found))
        });
        looking.await.unwrap_or_else(|_| (asked, Arc::default()))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

    use super::*;

    static LOOKS: AtomicU64 = AtomicU64::new(0);

    #[tokio::test(flavor = "multi_thread")]
    async fn many_who_ask_at_once_share_a_look_that_began_after_they_asked() {
        let lookup = Lookup::new(|| {
            let number = LOOKS.fetch_add(1, SeqCst) + 1;
            std::thread::sleep(std::time::Duration::from_millis(20));
            number
        });
        let ask = |lookup: Lookup<u64>| async move {
            let before = LOOKS.load(SeqCst);
            (before, *lookup.ask().await)
        };
        let asking: Vec<_> = (0..500).map(|_| tokio::spawn(ask(lookup.clone()))).collect();
        for answer in asking {
            let (before, found) = answer.await.unwrap();
            assert!(found > before, "look {found} had begun when it was asked for");
        }
        let looks = LOOKS.load(SeqCst);
        assert!(looks < 100, "{looks} looks for 500 questions");

        // Who is content with less than the newest is given what is there.
        let (begun, found) = lookup.ask_within(Duration::from_secs(3600)).await;
        assert_eq!((*found, LOOKS.load(SeqCst)), (looks, looks));
        let (later, found) = lookup.ask_within(Duration::ZERO).await;
        assert!(later > begun && *found == looks + 1);
    }
}
