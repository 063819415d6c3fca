//! The thread that interrupts plugins which compute, asleep while none does.
//!
//! Cranelift has every loop of a plugin compare an epoch with a deadline. This thread
//! advances the epoch each [`TICK`] while some plugin is computing; what then happens is
//! decided where the call is, in `call.rs`. While no plugin computes it waits without a
//! timeout: an idle supervisor does not wake up because it has plugins. A plugin that waits
//! for the network does not compute.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

use wasmtime::Engine;

use crate::engine::bounds::TICK;

/// Owns the thread; it ends when this is dropped.
pub(crate) struct Ticker {
    shared: Arc<Shared>,
}

struct Shared {
    engine: Engine,
    /// Plugins that compute right now.
    computing: AtomicUsize,
    /// How often the thread woke up.
    wake_ups: AtomicU64,
    state: Mutex<State>,
    /// The same as `state.parked`, to be read without the lock.
    parked: AtomicUsize,
    changed: Condvar,
}

struct State {
    stopped: bool,
}

/// A plugin computes while this lives.
pub(crate) struct Computing<'a> {
    shared: &'a Shared,
}

impl Ticker {
    pub(crate) fn start(engine: Engine) -> std::io::Result<Self> {
        let shared = Arc::new(Shared {
            engine,
            computing: AtomicUsize::new(0),
            wake_ups: AtomicU64::new(0),
            state: Mutex::new(State { stopped: false }),
            parked: AtomicUsize::new(0),
            changed: Condvar::new(),
        });
        let ticking = Arc::clone(&shared);
        thread::Builder::new().name("kennel-plugin-t".into()).spawn(move || ticking.run())?;
        Ok(Self { shared })
    }

    /// Says that a plugin begins to compute.
    pub(crate) fn computing(&self) -> Computing<'_> {
        let shared = &*self.shared;
        // The order matters: the thread says that it parks, then looks whether somebody
        // computes; here it is the other way round, so one of the two sees the other.
        if shared.computing.fetch_add(1, Ordering::SeqCst) == 0
            && shared.parked.load(Ordering::SeqCst) == 1
        {
            let _state = shared.lock();
            shared.changed.notify_one();
        }
        Computing { shared }
    }

    /// How often the thread woke up so far.
    pub(crate) fn wake_ups(&self) -> u64 {
        self.shared.wake_ups.load(Ordering::Relaxed)
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.shared.lock().stopped = true;
        self.shared.changed.notify_one();
    }
}

impl Drop for Computing<'_> {
    fn drop(&mut self) {
        self.shared.computing.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run(&self) {
        let mut state = self.lock();
        while !state.stopped {
            if self.computing.load(Ordering::SeqCst) == 0 {
                self.parked.store(1, Ordering::SeqCst);
                while self.computing.load(Ordering::SeqCst) == 0 && !state.stopped {
                    state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
                    self.wake_ups.fetch_add(1, Ordering::Relaxed);
                }
                self.parked.store(0, Ordering::SeqCst);
            }
            let waited = self.changed.wait_timeout(state, TICK);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
            self.wake_ups.fetch_add(1, Ordering::Relaxed);
            self.engine.increment_epoch();
        }
    }
}
