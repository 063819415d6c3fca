//! Whose turn it is to compute for long, within one plugin.
//!
//! Many calls of a plugin may be under way at once, since most of them wait. One that
//! computes for longer than a tick needs the turn of its plugin to go on. So a plugin that
//! loops in every call costs the others on its thread one slice, and not one for each call.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The turn of one plugin.
#[derive(Clone)]
pub(crate) struct Turns(Arc<Semaphore>);

/// What one call has of it.
#[derive(Clone)]
pub(crate) struct Turn {
    turns: Turns,
    held: Arc<Mutex<Held>>,
}

#[derive(Default)]
struct Held {
    permit: Option<OwnedSemaphorePermit>,
    /// The call is on its way from one slice of computing to the next.
    between_slices: bool,
}

impl Turns {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Semaphore::new(1)))
    }

    /// For one call, which has no turn yet.
    pub(crate) fn of_call(&self) -> Turn {
        Turn { turns: self.clone(), held: Arc::default() }
    }
}

impl Turn {
    /// Waits for the turn, and in any case until everything else on the thread had its.
    pub(crate) async fn wait(self) {
        self.lock().between_slices = true;
        if self.lock().permit.is_none()
            && let Ok(permit) = self.turns.0.clone().acquire_owned().await
        {
            self.lock().permit = Some(permit);
        }
        // This way, and not with the engine's own yield: it lets timers and sockets go
        // first, too.
        tokio::task::yield_now().await;
        self.lock().between_slices = false;
    }

    /// The call does not compute at present: if it waits for something, it is somebody
    /// else's turn.
    pub(crate) fn paused(&self) {
        let mut held = self.lock();
        if !held.between_slices {
            held.permit = None;
        }
    }

    /// The call is over.
    pub(crate) fn over(&self) {
        self.lock().permit = None;
    }

    fn lock(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
