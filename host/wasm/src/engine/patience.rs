//! Work that may take longer than anybody waits for it.
//!
//! The engine cannot interrupt a compile. So one that takes too long is left to itself: it
//! ends when it ends, on its own thread, and who comes next is not held up. Of such work there
//! is a few at a time at most; until one of them ends no other is begun.

use std::collections::HashSet;
use std::hash::Hash;
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

/// So much work is under way at most that nobody waits for any more.
const LEFT_MAX: usize = 2;

/// Does work, one at a time, and waits only so long.
pub(crate) struct Patience<K> {
    limit: Duration,
    /// Names the threads.
    name: &'static str,
    under_way: Arc<UnderWay<K>>,
}

/// Why there is no result.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Late {
    /// It takes longer than the limit, now or since an earlier time; it goes on.
    GoesOn,
    /// Not begun: so much other work takes longer than the limit.
    Others(usize),
    /// It has failed.
    Failed,
    /// Not begun: there is no thread.
    NoThread(String),
}

struct UnderWay<K>(Mutex<HashSet<K>>);

/// One of them; it is over when this is dropped.
struct Task<K: Eq + Hash + Clone> {
    key: K,
    under_way: Arc<UnderWay<K>>,
}

impl<K: Eq + Hash + Clone + Send + 'static> Patience<K> {
    pub(crate) fn new(limit: Duration, name: &'static str) -> Self {
        Self { limit, name, under_way: Arc::new(UnderWay(Mutex::default())) }
    }

    /// How long it waits.
    pub(crate) fn limit(&self) -> Duration {
        self.limit
    }

    /// Does `work` on a thread of its own and waits for it, up to the limit.
    ///
    /// # Errors
    /// There is no result; what was begun goes on all the same.
    pub(crate) fn wait_for<T: Send + 'static>(
        &self,
        key: K,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Late> {
        let task = self.under_way.begin(&self.under_way, key)?;
        let (done, result) = sync_channel(1);
        let working = move || {
            let outcome = work();
            drop(task);
            // Nobody may want to know any more.
            let _ = done.send(outcome);
        };
        let thread = thread::Builder::new().name(self.name.into()).spawn(working);
        thread.map_err(|error| Late::NoThread(error.to_string()))?;
        result.recv_timeout(self.limit).map_err(|error| match error {
            RecvTimeoutError::Timeout => Late::GoesOn,
            RecvTimeoutError::Disconnected => Late::Failed,
        })
    }
}

impl<K: Eq + Hash + Clone> UnderWay<K> {
    fn begin(&self, this: &Arc<Self>, key: K) -> Result<Task<K>, Late> {
        let mut under_way = self.lock();
        if under_way.contains(&key) {
            return Err(Late::GoesOn);
        }
        if under_way.len() >= LEFT_MAX {
            return Err(Late::Others(under_way.len()));
        }
        under_way.insert(key.clone());
        Ok(Task { key, under_way: Arc::clone(this) })
    }

    fn lock(&self) -> MutexGuard<'_, HashSet<K>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Eq + Hash + Clone> Drop for Task<K> {
    fn drop(&mut self) {
        self.under_way.lock().remove(&self.key);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Sender, channel};

    use super::*;

    const SOON: Duration = Duration::from_millis(10);
    const LONG: Duration = Duration::from_secs(60);

    /// Work that ends when the other half of this is dropped.
    fn endless() -> (Sender<()>, impl FnOnce() -> i32 + Send + 'static) {
        let (end, ended) = channel::<()>();
        (end, move || {
            let _ = ended.recv();
            1
        })
    }

    #[test]
    fn what_takes_too_long_goes_on_alone_and_holds_up_nothing_else() {
        let mut patience = Patience::new(SOON, "test");
        let (end, work) = endless();
        assert_eq!(patience.wait_for("slow", work), Err(Late::GoesOn));
        patience.limit = LONG;
        assert_eq!(patience.wait_for("quick", || 2), Ok(2));
        // It is not begun a second time while it goes on, and is when it has ended.
        assert_eq!(patience.wait_for("slow", || 3), Err(Late::GoesOn));
        drop(end);
        while patience.wait_for("slow", || 3) == Err(Late::GoesOn) {
            thread::sleep(Duration::from_millis(1));
        }
        assert_eq!(patience.wait_for("slow", || 4), Ok(4));
    }

    #[test]
    fn only_so_much_goes_on_at_a_time() {
        let patience = Patience::new(SOON, "test");
        let mut ends = Vec::new();
        for key in 0..LEFT_MAX {
            let (end, work) = endless();
            ends.push(end);
            assert_eq!(patience.wait_for(key, work), Err(Late::GoesOn));
        }
        assert_eq!(patience.wait_for(99, || 1), Err(Late::Others(LEFT_MAX)));
        drop(ends);
        while patience.wait_for(99, || 1) == Err(Late::Others(LEFT_MAX)) {
            thread::sleep(Duration::from_millis(1));
        }
    }

    #[test]
    fn what_panics_has_failed_and_is_not_under_way() {
        let patience = Patience::new(LONG, "test");
        let panics = || -> i32 { panic!("on purpose") };
        assert_eq!(patience.wait_for("x", panics), Err(Late::Failed));
        assert_eq!(patience.wait_for("x", || 1), Ok(1));
    }
}
