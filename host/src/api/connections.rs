//! Who is connected, and who has to go when there are too many.
//!
//! A connection either works on a request or is idle: nothing or half a request was read
//! from it. When all places are taken, the one that has been idle longest makes room. So
//! clients that connect and send nothing, however many, only push out each other, and one
//! that sends its request at once is served.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::task::AbortHandle;

/// All connections of a server.
#[derive(Debug)]
pub(crate) struct Connections {
    limit: usize,
    started: Instant,
    open: Mutex<HashMap<u64, Open>>,
    next: AtomicU64,
}

#[derive(Debug)]
struct Open {
    /// None for the moment between its place and its task.
    task: Option<AbortHandle>,
    activity: Arc<Activity>,
}

/// What a connection is doing.
#[derive(Debug, Default)]
pub(crate) struct Activity {
    requests: AtomicUsize,
    /// Since when it is idle, in microseconds after the server's start.
    idle_since: AtomicU64,
}

/// A request at work; until it is dropped its connection is not idle.
pub(crate) struct Working {
    connections: Arc<Connections>,
    activity: Arc<Activity>,
}

/// The place of a connection, given back when dropped.
pub(crate) struct Place {
    connections: Arc<Connections>,
    id: u64,
}

impl Connections {
    pub(crate) fn new(limit: usize) -> Connections {
        Connections {
            limit,
            started: Instant::now(),
            open: Mutex::default(),
            next: AtomicU64::new(0),
        }
    }

    /// Whether there is a place for one more connection, after pushing out one if need be.
    pub(crate) fn make_room(&self) -> bool {
        self.count() < self.limit || self.push_out(Duration::ZERO)
    }

    /// Ends the connection that has been idle longest, and for `at_least` that long; false
    /// when there is none.
    pub(crate) fn push_out(&self, at_least: Duration) -> bool {
        let at_least = u64::try_from(at_least.as_micros()).unwrap_or(u64::MAX);
        let begun_by = self.micros().saturating_sub(at_least);
        let mut open = self.lock();
        let idle = open.iter().filter(|(_, open)| {
            let since = open.activity.idle_since.load(Ordering::SeqCst);
            open.activity.is_idle() && since <= begun_by
        });
        let longest = idle
            .min_by_key(|(id, open)| (open.activity.idle_since.load(Ordering::SeqCst), **id))
            .map(|(id, _)| *id);
        let Some(longest) = longest.and_then(|id| open.remove(&id)) else { return false };
        drop(open);
        if let Some(task) = longest.task {
            task.abort();
        }
        true
    }

    /// Starts a connection's task, which is made from what it needs.
    pub(crate) fn add<F>(self: &Arc<Self>, task: impl FnOnce(Place, Arc<Activity>) -> F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let id = self.next.fetch_add(1, Ordering::SeqCst);
        let activity = Arc::new(Activity::default());
        activity.idle_since.store(self.micros(), Ordering::SeqCst);
        let place = Place { connections: Arc::clone(self), id };
        let task = task(place, Arc::clone(&activity));
        // The place before the task, which gives it back, perhaps at once.
        self.lock().insert(id, Open { task: None, activity });
        let task = tokio::spawn(task).abort_handle();
        if let Some(open) = self.lock().get_mut(&id) {
            open.task = Some(task);
        }
    }

    /// Ends all that are left.
    pub(crate) fn abort_all(&self) {
        let left: Vec<Open> = self.lock().drain().map(|(_, open)| open).collect();
        for task in left.into_iter().filter_map(|open| open.task) {
            task.abort();
        }
    }

    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.lock().len()
    }

    /// Notes that a request has come; its connection keeps its place until it is answered.
    pub(crate) fn begin(self: &Arc<Self>, activity: &Arc<Activity>) -> Working {
        activity.requests.fetch_add(1, Ordering::SeqCst);
        Working { connections: Arc::clone(self), activity: Arc::clone(activity) }
    }

    fn micros(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<u64, Open>> {
        // Inserting and removing cannot stop half-way.
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Activity {
    fn is_idle(&self) -> bool {
        self.requests.load(Ordering::SeqCst) == 0
    }
}

impl Drop for Working {
    fn drop(&mut self) {
        self.activity.idle_since.store(self.connections.micros(), Ordering::SeqCst);
        self.activity.requests.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.connections.lock().remove(&self.id);
    }
}
