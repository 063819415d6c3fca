//! What the endpoint's answer means for the events.

use kennel_plugin::excerpt;
use kennel_plugin::prelude::*;

use crate::Webhook;

/// What becomes of the events of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Answer {
    Taken,
    /// They are too many for one request.
    TooLarge(String),
    /// They will never be taken.
    Refused(String),
    /// They may be taken later; zero is when the host sees fit.
    Later(Duration, String),
}

/// Characters of the endpoint's own words in a reason.
const EXCERPT_MAX: usize = 200;

/// Nobody is waited for longer.
const LATER_MAX: Duration = Duration::from_secs(86_400);

impl Webhook {
    pub(crate) fn read(&self, response: &Response, now_unix_ms: u64) -> Answer {
        let after = || response.retry_after(now_unix_ms).unwrap_or_default().min(LATER_MAX);
        let reason = || self.reason(response);
        match response.status {
            200..=299 => Answer::Taken,
            413 => Answer::TooLarge(reason()),
            // Not in time, too early, too many requests: the events are not to blame.
            408 | 425 | 429 => Answer::Later(after(), reason()),
            400..=499 => Answer::Refused(reason()),
            300..=399 => {
                Answer::Refused(format!("{}: events are sent to the configured URL only", reason()))
            }
            _ => Answer::Later(after(), reason()),
        }
    }

    /// A request without an answer is made again: somebody may have taken it all the same.
    pub(crate) fn unanswered(&self, error: &ProbeError) -> Failure {
        let reason = format!("{}: {}", self.url, self.excerpt(&error.to_string()));
        Failure::retry(Duration::ZERO, reason)
    }

    /// `https://hooks.example.com answered 422: no such field`, without secrets.
    fn reason(&self, response: &Response) -> String {
        let said = self.excerpt(&response.text());
        let colon = if said.is_empty() { "" } else { ": " };
        format!("{} answered {}{colon}{said}", self.url, response.status)
    }

    fn excerpt(&self, text: &str) -> String {
        let values = self.headers.iter().map(|(_, value)| &value.0).chain(
            // An answer may repeat the credentials without the word before them.
            self.secret.iter().map(|secret| &secret.0),
        );
        let mut secrets: Vec<&str> = vec![self.url.target()];
        for value in values {
            secrets.push(value);
            secrets.extend(value.split(' ').filter(|word| word.len() >= 8));
        }
        secrets.sort_unstable_by_key(|secret| std::cmp::Reverse(secret.len()));
        excerpt(text, EXCERPT_MAX, secrets)
    }
}
