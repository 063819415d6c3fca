//! An event as a line.

use kennel_plugin::prelude::*;
use kennel_plugin::{Timestamp, excerpt};

/// How events are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Format {
    /// An object, with the names that the API uses.
    #[default]
    Json,
    /// For people: time, severity, service, kind, message.
    Text,
}

impl Format {
    pub(crate) fn line(self, event: &Event) -> String {
        match self {
            Format::Json => json::to_string(event).expect("an event can be written as JSON") + "\n",
            Format::Text => text(event) + "\n",
        }
    }

    /// Stands where events are missing.
    pub(crate) fn gap(self, missed: u64) -> String {
        match self {
            Format::Json => format!("{{\"missed\":{missed}}}\n"),
            Format::Text => format!("- {missed} events are missing here\n"),
        }
    }
}

fn text(event: &Event) -> String {
    let Event {
        sequence: _,
        at_unix_ms,
        kind,
        severity,
        service,
        instance,
        message,
        attributes: _,
    } = event;
    let mut line = format!("{} {:5}", Timestamp(*at_unix_ms), severity.name());
    line.push(' ');
    match (service, instance) {
        (Some(service), Some(instance)) => {
            line.push_str(&format!("{}/{instance}", excerpt(service, usize::MAX, [])));
        }
        (Some(service), None) => line.push_str(&excerpt(service, usize::MAX, [])),
        (None, Some(_) | None) => line.push('-'),
    }
    for part in [kind, message] {
        line.push(' ');
        line.push_str(&excerpt(part, usize::MAX, []));
    }
    line.truncate(line.trim_end().len());
    line
}
