//! The request: how many events it has, how they are written, what its headers say.

use kennel_plugin::prelude::*;

use crate::{Format, Webhook, signature};

/// Of an answer only the beginning is read: enough to say what is wrong.
const ANSWER_MAX: u32 = 4096;

const USER_AGENT: &str = concat!("kennel-webhook/", env!("CARGO_PKG_VERSION"));

impl Webhook {
    /// A request with the first events of `batch`, and how many they are: one at least, and no
    /// more than `count_max`.
    pub(crate) fn request(&self, batch: &Batch, count_max: usize) -> (Request, usize) {
        let events = self.first(batch, count_max);
        let body = match self.format {
            Format::Json => self.json(&events, batch.dropped),
            Format::Ndjson => events.iter().flat_map(|event| [event.as_str(), "\n"]).collect(),
        };
        let mut request = Request::post(self.url.as_str(), body)
            .header("content-type", self.format.content_type());
        if !self.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("user-agent")) {
            request = request.header("user-agent", USER_AGENT);
        }
        let last = events.len().saturating_sub(1);
        if let Some((first, last)) = batch.events.first().zip(batch.events.get(last)) {
            let range = format!("{}-{}", first.sequence, last.sequence);
            request = request.header("kennel-sequence", range);
        }
        if let Some(source) = &self.source {
            request = request.header("kennel-source", source);
        }
        if batch.dropped > 0 {
            request = request.header("kennel-dropped", batch.dropped.to_string());
        }
        if let Some(secret) = &self.secret {
            let seconds = batch.now_unix_ms / 1000;
            let signature = signature::header(secret, seconds, &request.body);
            request = request.header("kennel-signature", signature);
        }
        for (name, value) in &self.headers {
            request = request.header(name, &value.0);
        }
        request.timeout = self.timeout;
        request.max_body = Some(ANSWER_MAX);
        if let Some(file) = &self.ca_file {
            request.ext.push(("tls.ca-file".to_owned(), file.clone()));
        }
        (request, events.len())
    }

    /// The first events as JSON: as many as may be in one request.
    fn first(&self, batch: &Batch, count_max: usize) -> Vec<String> {
        let mut bytes = 0;
        let mut events = Vec::new();
        for event in batch.events.iter().take(count_max) {
            let event = json::to_string(event).expect("an event can be written as JSON");
            bytes += event.len() + 1;
            if bytes > self.max_bytes && !events.is_empty() {
                break;
            }
            events.push(event);
        }
        events
    }

    fn json(&self, events: &[String], dropped: u64) -> String {
        let mut body = String::from("{");
        if let Some(source) = &self.source {
            body.push_str(&format!("\"source\":{},", json::Value::from(source.as_str())));
        }
        body.push_str(&format!("\"dropped\":{dropped},\"events\":["));
        body.push_str(&events.join(","));
        body.push_str("]}");
        body
    }
}

impl Format {
    fn content_type(self) -> &'static str {
        match self {
            Format::Json => "application/json",
            Format::Ndjson => "application/x-ndjson",
        }
    }
}
