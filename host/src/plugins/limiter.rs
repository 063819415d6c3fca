//! How often the operator is told the same.
//!
//! A plugin that fails at every call, or asks for another forbidden address each time, must
//! not fill the journal. What happens again within a minute is counted and told with the
//! next one.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The same of the same plugin is told once in this time.
const PAUSE: Duration = Duration::from_secs(60);

/// So many different things of one plugin are told in that time.
const DIFFERENT: usize = 20;

/// Decides what is told.
pub(super) struct Limiter {
    pause: Duration,
    plugins: Mutex<HashMap<Arc<str>, HashMap<String, Told>>>,
}

struct Told {
    at: Instant,
    since: u64,
}

impl Default for Limiter {
    fn default() -> Limiter {
        Limiter::with_pause(PAUSE)
    }
}

impl Limiter {
    fn with_pause(pause: Duration) -> Limiter {
        Limiter { pause, plugins: Mutex::default() }
    }

    /// Whether `what` of `plugin` is to be told: then how often it happened untold.
    pub(super) fn ask(&self, plugin: &str, what: &str) -> Option<u64> {
        let now = Instant::now();
        let mut plugins = self.plugins.lock().unwrap_or_else(PoisonError::into_inner);
        if !plugins.contains_key(plugin) {
            plugins.insert(plugin.into(), HashMap::new());
        }
        let told = plugins.get_mut(plugin)?;
        if let Some(told) = told.get_mut(what) {
            if now.duration_since(told.at) < self.pause {
                told.since += 1;
                return None;
            }
            let untold = told.since;
            *told = Told { at: now, since: 0 };
            return Some(untold);
        }
        if told.len() >= DIFFERENT {
            told.retain(|_, told| now.duration_since(told.at) < self.pause);
        }
        if told.len() >= DIFFERENT {
            return None;
        }
        told.insert(what.to_owned(), Told { at: now, since: 0 });
        Some(0)
    }

    /// Forgets plugins that are gone.
    pub(super) fn retain(&self, is_there: impl Fn(&str) -> bool) {
        let mut plugins = self.plugins.lock().unwrap_or_else(PoisonError::into_inner);
        plugins.retain(|plugin, _| is_there(plugin));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_is_told_once_and_counted_until_it_is_told_again() {
        let limiter = Limiter::with_pause(Duration::from_secs(3600));
        assert_eq!(limiter.ask("a", "trap"), Some(0));
        assert_eq!(limiter.ask("a", "trap"), None);
        assert_eq!(limiter.ask("a", "deadline"), Some(0));
        assert_eq!(limiter.ask("b", "trap"), Some(0));
        let limiter = Limiter { pause: Duration::ZERO, plugins: limiter.plugins };
        assert_eq!(limiter.ask("a", "trap"), Some(1));
        assert_eq!(limiter.ask("a", "trap"), Some(0));
    }

    #[test]
    fn a_plugin_that_always_does_something_else_is_told_of_a_bounded_number_of_times() {
        let limiter = Limiter::with_pause(Duration::from_secs(3600));
        let told = (0..10_000).filter(|n| limiter.ask("a", &format!("host{n}")).is_some());
        assert_eq!(told.count(), DIFFERENT);
        assert_eq!(limiter.ask("b", "host1"), Some(0));
        limiter.retain(|plugin| plugin == "b");
        assert_eq!(limiter.ask("a", "host1"), Some(0));
        assert_eq!(limiter.ask("b", "host1"), None);
    }
}
