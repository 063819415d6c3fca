//! Event sink `slack`: events as messages to a Slack channel.

#![forbid(unsafe_code)]

mod config;
mod message;

use kennel_plugin::prelude::*;
use kennel_plugin::{Url, excerpt};

pub use config::Config;

/// The sink with its configuration.
#[derive(Debug)]
pub struct Slack {
    url: Url,
    min_severity: Severity,
    max_lines: usize,
    /// As Slack writes it: `<!here>`.
    mention: Option<String>,
    source: Option<String>,
    timeout: Option<Duration>,
}

/// Slack answers with a word or two.
const ANSWER_MAX: u32 = 1024;
const EXCERPT_MAX: usize = 100;

/// Nobody is waited for longer.
const LATER_MAX: Duration = Duration::from_secs(3600);

impl EventSink for Slack {
    type Config = Config;

    fn new(config: Config) -> Result<Slack, Problems> {
        config.check()
    }

    fn deliver(&self, batch: &Batch, host: &mut SinkHost) -> Result<Taken, Failure> {
        let Some(text) = self.message(batch) else { return Ok(Taken::All) };
        let payload = Payload { text: &text, unfurl_links: false, unfurl_media: false };
        let mut request = Request::post_json(self.url.as_str(), &payload);
        request.timeout = self.timeout;
        request.max_body = Some(ANSWER_MAX);
        let response = host.http(request).map_err(|error| {
            let error = error.to_string();
            let shown = excerpt(&error, EXCERPT_MAX, [self.url.target()]);
            Failure::retry(Duration::ZERO, format!("{}: {shown}", self.url))
        })?;
        match response.status {
            200..=299 => Ok(Taken::All),
            // Not in time, too early, too many messages: the events are not to blame.
            408 | 425 | 429 => Err(self.later(&response, batch.now_unix_ms)),
            300..=499 => Err(Failure::reject(self.reason(&response))),
            _ => Err(self.later(&response, batch.now_unix_ms)),
        }
    }
}

/// What an incoming webhook of Slack takes.
#[derive(Serialize)]
struct Payload<'a> {
    text: &'a str,
    unfurl_links: bool,
    unfurl_media: bool,
}

impl Slack {
    fn later(&self, response: &Response, now_unix_ms: u64) -> Failure {
        let after = response.retry_after(now_unix_ms).unwrap_or_default();
        Failure::retry(after.min(LATER_MAX), self.reason(response))
    }

    /// `https://hooks.slack.com answered 404: no_service`.
    fn reason(&self, response: &Response) -> String {
        let said = excerpt(&response.text(), EXCERPT_MAX, [self.url.target()]);
        let colon = if said.is_empty() { "" } else { ": " };
        format!("{} answered {}{colon}{said}", self.url, response.status)
    }
}

kennel_plugin::export!(event_sink: Slack);
