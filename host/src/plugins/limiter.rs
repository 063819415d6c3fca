//! How often the operator is told the same.
//!
//! A plugin that fails at every call, or asks for another forbidden address each time, must
//! not fill the journal:
//!
//! - the same of a plugin (a missing grant, a sort of fault) is told once a minute;
//! - of one plugin no more than 20 different ones are told in a minute;
//! - what is not told is counted, and the next one that is told says how many those were.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The same of the same plugin is told once in this time.
const PAUSE: Duration = Duration::from_secs(60);

/// So many different things of one plugin are told in that time.
const DIFFERENT: usize = 20;

/// Decides what is told.
#[derive(Default)]
pub(super) struct Limiter {
    plugins: Mutex<HashMap<Arc<str>, OfPlugin>>,
}

#[derive(Default)]
struct OfPlugin {
    told: HashMap<String, Told>,
    /// What was not told and is in none of `told`.
    others: u64,
}

struct Told {
    at: Instant,
    since: u64,
}

impl Limiter {
    /// Whether `what` of `plugin`, which happens `now`, is to be told: then how many were not
    /// told since the last one that was.
    pub(super) fn ask(&self, plugin: &str, what: &str, now: Instant) -> Option<u64> {
        let mut plugins = self.plugins.lock().unwrap_or_else(PoisonError::into_inner);
        if !plugins.contains_key(plugin) {
            plugins.insert(plugin.into(), OfPlugin::default());
        }
        let OfPlugin { told, others } = plugins.get_mut(plugin)?;
        let is_recent = |told: &Told| now.saturating_duration_since(told.at) < PAUSE;
        if let Some(told) = told.get_mut(what) {
            if is_recent(told) {
                told.since += 1;
                return None;
            }
            let untold = told.since + std::mem::take(others);
            *told = Told { at: now, since: 0 };
            return Some(untold);
        }
        if told.len() >= DIFFERENT {
            *others +=
                told.extract_if(|_, told| !is_recent(told)).map(|(_, old)| old.since).sum::<u64>();
        }
        if told.len() >= DIFFERENT {
            *others += 1;
            return None;
        }
        told.insert(what.to_owned(), Told { at: now, since: 0 });
        Some(std::mem::take(others))
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
    fn the_same_is_told_once_a_minute_with_how_often_it_was_not_told() {
        let limiter = Limiter::default();
        let begun = Instant::now();
        let ask =
            |plugin, what, seconds| limiter.ask(plugin, what, begun + Duration::from_secs(seconds));
        assert_eq!(ask("a", "trap", 0), Some(0));
        assert_eq!(ask("a", "trap", 1), None);
        assert_eq!(ask("a", "deadline", 2), Some(0));
        assert_eq!(ask("b", "trap", 3), Some(0));
        assert_eq!(ask("a", "trap", 59), None);
        assert_eq!(ask("a", "trap", 60), Some(2));
        assert_eq!(ask("a", "trap", 119), None);
        assert_eq!(ask("a", "trap", 120), Some(1));
        assert_eq!(ask("a", "trap", 180), Some(0));
    }

    #[test]
    fn a_plugin_that_always_does_something_else_is_told_of_a_bounded_number_of_times() {
        let limiter = Limiter::default();
        let begun = Instant::now();
        let told = (0..10_000).filter(|n| limiter.ask("a", &format!("host{n}"), begun).is_some());
        assert_eq!(told.count(), DIFFERENT);
        assert_eq!(limiter.ask("b", "host1", begun), Some(0));
        limiter.retain(|plugin| plugin == "b");
        assert_eq!(limiter.ask("a", "host1", begun), Some(0));
        assert_eq!(limiter.ask("b", "host1", begun), None);
    }

    /// Twenty minutes of a thousand requests each, some of them again and again.
    #[test]
    fn nothing_is_told_too_often_and_nothing_is_lost_from_the_count() {
        let limiter = Limiter::default();
        let begun = Instant::now();
        let (mut times, mut told, mut untold) = (Vec::new(), 0, 0);
        let asked = 20_000_u64;
        for n in 0..asked {
            let now = begun + Duration::from_millis(n * 61);
            if let Some(before) = limiter.ask("a", &format!("host{}", n % 1009 % 57), now) {
                (told, untold) = (told + 1, untold + before);
                times.push(now);
            }
        }
        for window in times.windows(DIFFERENT + 1) {
            assert!(window[DIFFERENT] - window[0] >= PAUSE, "more than {DIFFERENT} in a minute");
        }
        let plugins = limiter.plugins.lock().unwrap();
        let of = &plugins["a"];
        let waiting = of.others + of.told.values().map(|told| told.since).sum::<u64>();
        assert_eq!(told + untold + waiting, asked);
        assert!(told > 300, "{told}");
    }
}
