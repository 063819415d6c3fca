//! Event sink `webhook`: batches of events as signed JSON to an HTTP endpoint.

#![forbid(unsafe_code)]

mod answer;
mod config;
mod request;
mod signature;

use kennel_plugin::prelude::*;
use kennel_plugin::{Secret, Url};

pub use config::Config;

use answer::Answer;

/// The sink with its configuration.
#[derive(Debug)]
pub struct Webhook {
    url: Url,
    secret: Option<Secret>,
    headers: Vec<(String, Secret)>,
    format: Format,
    max_events: usize,
    max_bytes: usize,
    timeout: Option<Duration>,
    ca_file: Option<String>,
    source: Option<String>,
}

/// How events are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Format {
    /// One object with the events in an array.
    #[default]
    Json,
    /// One line for each event.
    Ndjson,
}

impl EventSink for Webhook {
    type Config = Config;

    fn new(config: Config) -> Result<Webhook, Problems> {
        config.check()
    }

    fn deliver(&self, batch: &Batch, host: &mut SinkHost) -> Result<Taken, Failure> {
        if batch.events.is_empty() {
            return Ok(Taken::All);
        }
        let mut count_max = self.max_events;
        loop {
            let (request, count) = self.request(batch, count_max);
            let response = host.http(request).map_err(|error| self.unanswered(&error))?;
            match self.read(&response, batch.now_unix_ms) {
                Answer::Taken if count == batch.events.len() => return Ok(Taken::All),
                Answer::Taken => return Ok(Taken::First(count as u32)),
                Answer::TooLarge(_) if count > 1 => count_max = count / 2,
                Answer::TooLarge(reason) | Answer::Refused(reason) => {
                    return Err(Failure::reject(reason));
                }
                Answer::Later(after, reason) => return Err(Failure::retry(after, reason)),
            }
        }
    }
}

kennel_plugin::export!(event_sink: Webhook);
