//! What stands under `config:`.

use std::collections::BTreeMap;

use kennel_plugin::prelude::*;
use kennel_plugin::{Secret, Url};

use crate::{Format, Webhook};

/// Where events go, and how.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The endpoint.
    url: Url,
    /// What requests are signed with.
    secret: Option<Secret>,
    /// More headers.
    #[serde(default)]
    headers: BTreeMap<String, Secret>,
    /// How events are written.
    #[serde(default)]
    format: Format,
    /// How many events a request has at most.
    max_events: Option<u32>,
    /// How large it is at most.
    max_size: Option<Size>,
    /// How long it may take.
    timeout: Option<Period>,
    /// Certificate authorities beside those of the system.
    ca_file: Option<String>,
    /// Who sends.
    source: Option<String>,
}

const MAX_EVENTS: u32 = 100;
const MAX_SIZE: u64 = 1 << 20;

/// More would not leave enough of the plugin's memory.
const MAX_SIZE_MAX: u64 = 4 << 20;

/// Headers that this plugin or the host sets.
const OWN_HEADERS: [&str; 9] = [
    "content-type",
    "content-length",
    "transfer-encoding",
    "connection",
    "host",
    "kennel-signature",
    "kennel-sequence",
    "kennel-dropped",
    "kennel-source",
];

impl Config {
    pub(crate) fn check(self) -> Result<Webhook, Problems> {
        let Config { url, secret, headers, format, max_events, max_size, timeout, ca_file, source } =
            self;
        let mut problems = Problems::new();
        if secret.as_ref().is_some_and(|secret| secret.0.is_empty()) {
            problems.add("secret", "is empty: is the variable that it comes from set?");
        }
        for (name, value) in &headers {
            check_header(name, &value.0, &mut problems);
        }
        let max_events = max_events.unwrap_or(MAX_EVENTS);
        problems.require(max_events > 0, "max_events", "a request has one event at least");
        let max_bytes = max_size.map_or(MAX_SIZE, |size| size.0);
        problems.require(max_bytes <= MAX_SIZE_MAX, "max_size", "is more than 4MiB");
        let no_time = timeout.is_some_and(|timeout| timeout.0.is_zero());
        problems.require(!no_time, "timeout", "there is no time in 0s");
        let printable = |text: &String| text.bytes().all(|byte| (b' '..=b'~').contains(&byte));
        let source_fits = source.as_ref().is_none_or(printable);
        problems.require(source_fits, "source", "has other characters than those of ASCII");
        problems.into_result()?;
        Ok(Webhook {
            url,
            secret,
            headers: headers.into_iter().collect(),
            format,
            max_events: max_events as usize,
            max_bytes: max_bytes as usize,
            timeout: timeout.map(|timeout| timeout.0),
            ca_file,
            source,
        })
    }
}

fn check_header(name: &str, value: &str, problems: &mut Problems) {
    let path = format!("headers.{name}");
    // RFC 9110, section 5.6.2.
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    if name.is_empty() || !name.bytes().all(is_token) {
        problems.add(path, "is no name of a header");
    } else if OWN_HEADERS.iter().any(|own| name.eq_ignore_ascii_case(own)) {
        problems.add(path, "is set by the plugin itself");
    } else if value.bytes().any(|byte| byte != b'\t' && (byte < b' ' || byte == 0x7f)) {
        problems.add(path, "the value has control characters or line ends");
    }
}
