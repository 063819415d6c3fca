//! What plugins say, cut to size.
//!
//! A message has a length, a call a number of messages, and a plugin a number of messages in
//! a minute. What is over is counted and, once, mentioned.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::engine::bounds::{
    FIELD_NAME_BYTES, FIELD_VALUE_BYTES, FIELDS, MESSAGE_BYTES, MESSAGES_PER_CALL,
    MESSAGES_PER_MINUTE,
};
use crate::engine::text::line;
use crate::model::Attributes;

const MINUTE: Duration = Duration::from_secs(60);

/// Messages of a plugin within the present minute.
pub(crate) struct Rate {
    window: Mutex<Window>,
}

struct Window {
    began: Instant,
    messages: u32,
    /// Not mentioned yet.
    dropped: u64,
    /// When it was last mentioned that messages were dropped.
    mentioned: Option<Instant>,
}

impl Rate {
    pub(crate) fn new() -> Self {
        let began = Instant::now();
        let window = Window { began, messages: 0, dropped: 0, mentioned: None };
        Self { window: Mutex::new(window) }
    }

    fn admit(&self, now: Instant) -> bool {
        let mut window = self.window();
        if now.saturating_duration_since(window.began) >= MINUTE {
            window.began = now;
            window.messages = 0;
        }
        window.messages = window.messages.saturating_add(1);
        window.messages <= MESSAGES_PER_MINUTE
    }

    /// A call dropped so many. Says how many are to be mentioned, if it is time for that:
    /// once in a minute.
    pub(crate) fn dropped(&self, messages: u64, now: Instant) -> Option<u64> {
        let mut window = self.window();
        window.dropped += messages;
        let is_recent = |at: Instant| now.saturating_duration_since(at) < MINUTE;
        if window.dropped == 0 || window.mentioned.is_some_and(is_recent) {
            return None;
        }
        window.mentioned = Some(now);
        Some(std::mem::take(&mut window.dropped))
    }

    fn window(&self) -> MutexGuard<'_, Window> {
        self.window.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Messages of one call.
#[derive(Default)]
pub(crate) struct Budget {
    messages: u32,
    dropped: u64,
}

impl Budget {
    /// Whether one more message may pass.
    pub(crate) fn admit(&mut self, rate: &Rate) -> bool {
        self.messages = self.messages.saturating_add(1);
        let admitted = self.messages <= MESSAGES_PER_CALL && rate.admit(Instant::now());
        self.dropped += u64::from(!admitted);
        admitted
    }

    /// How many did not pass.
    pub(crate) fn dropped(&self) -> u64 {
        self.dropped
    }
}

/// A message as it may be shown.
pub(crate) fn message(text: &str) -> String {
    line(text, MESSAGE_BYTES)
}

/// The fields of a message as they may be shown.
pub(crate) fn fields(fields: Attributes) -> Attributes {
    let shown = |(name, value): (String, String)| {
        (line(&name, FIELD_NAME_BYTES), line(&value, FIELD_VALUE_BYTES))
    };
    fields.into_iter().take(FIELDS).map(shown).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_limited_by_call_and_by_minute() {
        let rate = Rate::new();
        let mut budget = Budget::default();
        let passed = (0..1000).filter(|_| budget.admit(&rate)).count();
        assert_eq!(passed, MESSAGES_PER_CALL as usize);
        assert_eq!(budget.dropped(), 1000 - u64::from(MESSAGES_PER_CALL));

        let now = Instant::now();
        let rate = Rate::new();
        let passed = (0..1000).filter(|_| rate.admit(now)).count();
        assert_eq!(passed, MESSAGES_PER_MINUTE as usize);
        assert!(rate.admit(now + MINUTE + MINUTE));
    }

    #[test]
    fn what_was_dropped_is_mentioned_once_in_a_minute() {
        let (rate, now) = (Rate::new(), Instant::now());
        assert_eq!(rate.dropped(0, now), None);
        assert_eq!(rate.dropped(3, now), Some(3));
        assert_eq!(rate.dropped(4, now + MINUTE / 2), None);
        assert_eq!(rate.dropped(5, now + MINUTE), Some(9));
    }

    #[test]
    fn a_message_and_its_fields_have_a_size() {
        assert_eq!(message(&"x".repeat(10_000)).len(), MESSAGE_BYTES);
        let many = vec![("n".repeat(1000), "v".repeat(10_000)); 100];
        let kept = fields(many);
        assert_eq!(kept.len(), FIELDS);
        assert!(kept.iter().all(|(name, value)| name.len() <= 64 && value.len() <= 1024));
    }
}
