//! Instances that wait for their next call.
//!
//! A warm instance spares a call its instantiation and its configuration. Their number and
//! their memory are limited over the whole runtime: who was used longest ago goes first.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use wasmtime::Store;

use crate::engine::contract::Instance;
use crate::engine::store::State;

/// When instances are used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WarmSettings {
    /// An instance is thrown away after so many calls.
    pub calls: u32,
    /// An instance is thrown away when it is older.
    pub age: Duration,
    /// So many instances wait at most, over all plugins.
    pub instances: usize,
    /// The memory of all that wait, in bytes.
    pub bytes: u64,
}

impl Default for WarmSettings {
    fn default() -> Self {
        Self {
            calls: 1000,
            age: Duration::from_secs(10 * 60),
            instances: 1024,
            bytes: 512 * 1024 * 1024,
        }
    }
}

/// An instance that is configured.
pub(crate) struct Warm {
    pub(crate) store: Store<State>,
    pub(crate) instance: Instance,
    pub(crate) made: Instant,
    pub(crate) calls: u32,
}

impl Warm {
    /// Whether it may be used again.
    fn is_fit(&self, settings: &WarmSettings) -> bool {
        let memory = &self.store.data().memory;
        self.calls < settings.calls
            && self.made.elapsed() < settings.age
            && !memory.denied()
            && !memory.has_grown()
    }

    fn bytes(&self) -> u64 {
        self.store.data().memory.used()
    }
}

/// All instances that wait.
pub(crate) struct Pool {
    settings: WarmSettings,
    state: Mutex<Contents>,
}

#[derive(Default)]
struct Contents {
    /// By binding; who waits longest stands first.
    waiting: HashMap<u64, Vec<Waiting>>,
    instances: usize,
    bytes: u64,
    /// Grows with each instance that is put here.
    puts: u64,
}

struct Waiting {
    warm: Warm,
    put: u64,
}

impl Contents {
    fn remove(&mut self, binding: u64, index: usize) -> Option<Warm> {
        let waiting = self.waiting.get_mut(&binding)?;
        let Waiting { warm, put: _ } = waiting.remove(index);
        if waiting.is_empty() {
            self.waiting.remove(&binding);
        }
        self.instances -= 1;
        self.bytes -= warm.bytes();
        Some(warm)
    }

    /// The binding whose instance was put here first.
    fn oldest(&self) -> Option<u64> {
        let first =
            |(binding, waiting): (&u64, &Vec<Waiting>)| Some((waiting.first()?.put, *binding));
        self.waiting.iter().filter_map(first).min().map(|(_, binding)| binding)
    }
}

impl Pool {
    pub(crate) fn new(settings: WarmSettings) -> Self {
        Self { settings, state: Mutex::default() }
    }

    /// An instance of that binding, the one that was used last.
    pub(crate) fn take(&self, binding: u64) -> Option<Warm> {
        loop {
            let mut state = self.lock();
            let last = state.waiting.get(&binding)?.len() - 1;
            let warm = state.remove(binding, last)?;
            drop(state);
            if warm.is_fit(&self.settings) {
                return Some(warm);
            }
        }
    }

    /// Keeps an instance for the next call, or throws it away.
    pub(crate) fn put(&self, binding: u64, warm: Warm) {
        if !warm.is_fit(&self.settings) {
            return;
        }
        let mut evicted = Vec::new();
        let mut state = self.lock();
        state.puts += 1;
        let put = state.puts;
        state.instances += 1;
        state.bytes += warm.bytes();
        state.waiting.entry(binding).or_default().push(Waiting { warm, put });
        while state.instances > self.settings.instances || state.bytes > self.settings.bytes {
            let Some(oldest) = state.oldest() else { break };
            evicted.extend(state.remove(oldest, 0));
        }
        // What is thrown away is so without the lock.
        drop(state);
    }

    /// Throws away what a binding has here.
    pub(crate) fn forget(&self, binding: u64) {
        let mut state = self.lock();
        let waiting = state.waiting.remove(&binding).unwrap_or_default();
        for Waiting { warm, put: _ } in &waiting {
            state.instances -= 1;
            state.bytes -= warm.bytes();
        }
        drop(state);
    }

    /// How many instances of a binding wait.
    pub(crate) fn count(&self, binding: u64) -> usize {
        self.lock().waiting.get(&binding).map_or(0, Vec::len)
    }

    /// How many instances wait.
    pub(crate) fn instances(&self) -> usize {
        self.lock().instances
    }

    fn lock(&self) -> MutexGuard<'_, Contents> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
