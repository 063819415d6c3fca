//! An event sink: batches of lines to an HTTP endpoint.

#![forbid(unsafe_code)]

use std::fmt::Write as _;

use kennel_plugin::prelude::*;

const RETRY: Duration = Duration::from_secs(5);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    url: String,
}

struct Sink {
    config: Config,
}

impl EventSink for Sink {
    type Config = Config;

    fn new(config: Config) -> Result<Self, Problems> {
        let mut problems = Problems::new();
        let has_scheme = config.url.starts_with("http://") || config.url.starts_with("https://");
        problems.require(has_scheme, "url", "must be an address that starts with http:// or https://");
        problems.into_result().map(|()| Sink { config })
    }

    fn deliver(&self, batch: &Batch, host: &mut SinkHost) -> Result<Taken, Failure> {
        let request = Request::post(&self.config.url, lines(&batch.events))
            .header("content-type", "text/plain; charset=utf-8");
        let answer = host
            .http(request)
            .map_err(|error| Failure::retry(RETRY, error.to_string()))?;
        match answer.status {
            200..300 => Ok(Taken::All),
            // These will be refused tomorrow too.
            status @ (400 | 413 | 422) => Err(Failure::reject(format!("HTTP {status}"))),
            status => Err(Failure::retry(RETRY, format!("HTTP {status}"))),
        }
    }
}

fn lines(events: &[Event]) -> String {
    let mut text = String::new();
    for event in events {
        let service = event.service.as_deref().unwrap_or("-");
        // Writing to a string does not fail.
        let _ = writeln!(text, "{} {} {service} {}", event.sequence, event.kind, event.message);
    }
    text
}

kennel_plugin::export!(event_sink: Sink);
