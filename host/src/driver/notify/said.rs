//! What a run has said of itself and is still true.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};

/// So many events about what a service says may come at once, and one a second after that.
const EVENTS_AT_ONCE: u32 = 10;
const EVENT_EVERY: Duration = Duration::from_secs(1);

/// What a run has said of itself.
#[derive(Debug)]
pub(in super::super) struct Said {
    /// `STATUS=`; none when it is empty.
    pub(super) status: Option<Arc<str>>,
    /// How many messages it has sent, for those who look at what it does.
    pub(in super::super) messages: Arc<AtomicU64>,
    /// Since when it reloads.
    pub(super) reloading: Option<Instant>,
    events_left: u32,
    counted_at: Instant,
}

impl Default for Said {
    fn default() -> Said {
        Said {
            status: None,
            messages: Arc::default(),
            reloading: None,
            events_left: EVENTS_AT_ONCE,
            counted_at: Instant::now(),
        }
    }
}

impl Said {
    /// What people are shown.
    pub(in super::super) fn text(&self) -> Option<String> {
        match (&self.status, self.reloading) {
            (None, None) => None,
            (Some(status), None) => Some(status.to_string()),
            (None, Some(_)) => Some("reloading".to_owned()),
            (Some(status), Some(_)) => Some(format!("reloading; {status}")),
        }
    }

    /// Whether there may be another event about what it says. A service that changes its
    /// mind all the time does not push others' events out of the journal.
    pub(super) fn may_tell(&mut self, now: Instant) -> bool {
        let earned = now.saturating_duration_since(self.counted_at).as_secs();
        if earned > 0 {
            let earned = u32::try_from(earned).unwrap_or(u32::MAX);
            self.events_left = self.events_left.saturating_add(earned).min(EVENTS_AT_ONCE);
            self.counted_at += EVENT_EVERY * earned;
        }
        let may = self.events_left > 0;
        self.events_left = self.events_left.saturating_sub(1);
        may
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_says_that_it_reloads() {
        let mut said = Said::default();
        assert_eq!(said.text(), None);
        said.status = Some("serving".into());
        assert_eq!(said.text().as_deref(), Some("serving"));
        said.reloading = Some(Instant::now());
        assert_eq!(said.text().as_deref(), Some("reloading; serving"));
        said.status = None;
        assert_eq!(said.text().as_deref(), Some("reloading"));
    }

    #[test]
    fn events_come_ten_at_once_and_one_a_second_after_that() {
        let mut said = Said::default();
        let begun = said.counted_at;
        let told = |said: &mut Said, at| (0..100).filter(|_| said.may_tell(begun + at)).count();
        assert_eq!(told(&mut said, Duration::ZERO), 10);
        assert_eq!(told(&mut said, Duration::from_millis(999)), 0);
        assert_eq!(told(&mut said, Duration::from_millis(1000)), 1);
        assert_eq!(told(&mut said, Duration::from_millis(3500)), 2);
        assert_eq!(told(&mut said, Duration::from_millis(4000)), 1);
        assert_eq!(told(&mut said, Duration::from_secs(3600)), 10);
    }
}
