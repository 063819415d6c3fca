//! How much memory the instances of a plugin have: one sum over everything in a store, and
//! one over all stores of the plugin.
//!
//! A request that goes over a limit is answered as WebAssembly has it, with "no", which
//! most languages turn into an abort. The instance is marked either way: a program that was
//! refused memory is not asked again.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use wasmtime::{Error, ResourceLimiter, Result};

use crate::engine::bounds::{CORE_INSTANCES, MEMORIES, TABLES};

/// Memory of all instances of one plugin.
pub(crate) struct Total {
    used: AtomicU64,
    limit: u64,
}

impl Total {
    pub(crate) fn new(limit: u64) -> Self {
        Self { used: AtomicU64::new(0), limit }
    }

    pub(crate) fn used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }

    fn take(&self, bytes: u64) -> bool {
        let fits = |used: u64| used.checked_add(bytes).filter(|sum| *sum <= self.limit);
        self.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits).is_ok()
    }

    fn give_back(&self, bytes: u64) {
        self.used.fetch_sub(bytes, Ordering::Relaxed);
    }
}

/// Memory of one instance: all its linear memories and tables.
pub(crate) struct Memory {
    used: u64,
    limit: u64,
    total: Arc<Total>,
    /// What was granted last, in case that it fails after all.
    last: u64,
    denied: bool,
}

impl Memory {
    pub(crate) fn new(limit: u64, total: Arc<Total>) -> Self {
        Self { used: 0, limit, total, last: 0, denied: false }
    }

    pub(crate) fn used(&self) -> u64 {
        self.used
    }

    /// Whether it was ever refused memory.
    pub(crate) fn denied(&self) -> bool {
        self.denied
    }

    /// Whether it uses more than half of what it may.
    pub(crate) fn has_grown(&self) -> bool {
        self.used > self.limit / 2
    }

    fn grow(&mut self, more: u64) -> bool {
        let fits = self.used.checked_add(more).is_some_and(|sum| sum <= self.limit);
        let granted = fits && self.total.take(more);
        if granted {
            self.used += more;
            self.last = more;
        } else {
            self.denied = true;
            self.last = 0;
        }
        granted
    }

    fn take_back(&mut self) {
        self.used -= self.last;
        self.total.give_back(self.last);
        self.last = 0;
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        self.total.give_back(self.used);
    }
}

impl ResourceLimiter for Memory {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> Result<bool> {
        if maximum.is_some_and(|maximum| desired > maximum) {
            // Over what the module itself declared: fails without our doing.
            self.last = 0;
            return Ok(false);
        }
        Ok(self.grow(desired.saturating_sub(current) as u64))
    }

    fn memory_grow_failed(&mut self, _error: Error) -> Result<()> {
        self.take_back();
        Ok(())
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> Result<bool> {
        if maximum.is_some_and(|maximum| desired > maximum) {
            self.last = 0;
            return Ok(false);
        }
        let elements = desired.saturating_sub(current) as u64;
        Ok(self.grow(elements.saturating_mul(size_of::<usize>() as u64)))
    }

    fn table_grow_failed(&mut self, _error: Error) -> Result<()> {
        self.take_back();
        Ok(())
    }

    fn instances(&self) -> usize {
        CORE_INSTANCES
    }

    fn tables(&self) -> usize {
        TABLES
    }

    fn memories(&self) -> usize {
        MEMORIES
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memories_and_tables_count_together_and_come_back_with_the_instance() {
        let total = Arc::new(Total::new(1000));
        let mut one = Memory::new(600, Arc::clone(&total));
        assert!(one.memory_growing(0, 400, None).expect("asked"));
        assert!(one.table_growing(0, 20, None).expect("asked"));
        assert!(!one.denied());
        assert!(!one.memory_growing(400, 500, None).expect("asked"), "over its own limit");
        assert!(one.denied());

        let mut other = Memory::new(600, Arc::clone(&total));
        assert!(!other.memory_growing(0, 600, None).expect("asked"), "over that of all");
        drop(one);
        assert_eq!(total.used(), 0);
        assert!(other.memory_growing(0, 600, None).expect("asked"));
    }

    #[test]
    fn what_fails_after_it_was_granted_is_given_back() {
        let total = Arc::new(Total::new(1000));
        let mut memory = Memory::new(600, Arc::clone(&total));
        assert!(memory.memory_growing(0, 400, None).expect("asked"));
        memory.memory_grow_failed(Error::msg("no memory")).expect("told");
        assert_eq!((memory.used(), total.used()), (0, 0));
        assert!(!memory.memory_growing(0, 800, Some(700)).expect("asked"));
        assert!(!memory.denied(), "the module's own maximum is no denial");
        memory.memory_grow_failed(Error::msg("over the maximum")).expect("told");
        assert_eq!((memory.used(), total.used()), (0, 0));
    }
}
