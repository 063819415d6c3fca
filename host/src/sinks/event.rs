//! From records of the journal to what a sink is given.

use std::sync::Arc;

use kennel_wasm::model::sink::Event;
use serde_json::Value;

use super::severity;
use crate::journal::Record;

/// Bytes of a batch; a larger event goes alone.
pub(super) const BATCH_BYTES_MAX: usize = 256 * 1024;
/// Events of a batch.
pub(super) const BATCH_EVENTS_MAX: usize = 100;

/// What is counted for an event beside its texts.
const EVENT_BYTES: usize = 64;

/// The record as a sink is given it.
pub(super) fn event(record: &Record) -> Event {
    let (service, instance) = match &record.service {
        None => (None, None),
        Some(name) => match name.rsplit_once('/') {
            // Services have no slash in their names, instances one.
            Some((service, index)) => (Some(service.to_owned()), index.parse().ok()),
            None => (Some(name.clone()), None),
        },
    };
    let attributes = record.attributes.iter().filter_map(|(key, value)| {
        let text = match value {
            Value::Null => return None,
            Value::String(text) => text.clone(),
            Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
                value.to_string()
            }
        };
        Some((key.clone(), text))
    });
    Event {
        sequence: record.seq,
        at_unix_ms: u64::try_from(record.at.as_millisecond()).unwrap_or(0),
        kind: record.kind.clone(),
        severity: severity::of(record),
        service,
        instance,
        message: record.message.clone(),
        attributes: attributes.collect(),
    }
}

/// As many of `records` as go into one batch, at least one.
pub(super) fn cut(records: &mut Vec<Arc<Record>>) {
    let mut bytes = 0;
    let fitting = records.iter().take_while(|record| {
        bytes += size(record);
        bytes <= BATCH_BYTES_MAX
    });
    let fitting = fitting.count().max(1);
    records.truncate(fitting.min(BATCH_EVENTS_MAX));
}

fn size(record: &Record) -> usize {
    let Record { seq: _, at: _, kind, service, message, attributes } = record;
    let attributes: usize = attributes.iter().map(|(key, value)| key.len() + weight(value)).sum();
    let service = service.as_ref().map_or(0, String::len);
    EVENT_BYTES + kind.len() + service + message.len() + attributes
}

/// About how long a value is as text.
fn weight(value: &Value) -> usize {
    match value {
        Value::Null | Value::Bool(_) => 8,
        Value::Number(_) => 24,
        Value::String(text) => text.len() + 16,
        Value::Array(_) | Value::Object(_) => value.to_string().len() + 16,
    }
}

/// Whether the event is about what gives events to the sink itself: giving it that could
/// go on for ever.
pub(super) fn is_about(record: &Record, sink: &str, plugin: &str) -> bool {
    let is = |key: &str, word: &str| {
        record.attributes.get(key).and_then(Value::as_str).is_some_and(|value| value == word)
    };
    let kind = record.kind.as_str();
    if kind.starts_with("sink.") {
        return is("sink", sink);
    }
    let asked = ["plugin.fault", "plugin.disabled", "plugin.enabled", "plugin.denied"];
    // A plugin may also check services, which is another matter.
    let as_sink = record.service.is_none()
        && (is("kind", "event-sink") || !record.attributes.contains_key("kind"));
    asked.contains(&kind) && as_sink && is("plugin", plugin)
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use kennel_wasm::model::Severity;
    use serde_json::json;

    use super::*;

    fn record(kind: &str, service: Option<&str>, attributes: Value) -> Record {
        let Value::Object(attributes) = attributes else { panic!("{attributes}") };
        Record {
            seq: 7,
            at: Timestamp::from_microsecond(1_700_000_000_123_456).unwrap(),
            kind: kind.to_owned(),
            service: service.map(str::to_owned),
            message: "something".to_owned(),
            attributes,
        }
    }

    #[test]
    fn a_record_becomes_an_event_with_its_instance_and_texts() {
        let attributes = json!({"run": 3, "signal": null, "cause": "exit", "ok": true, "a": [1]});
        let event = event(&record("service.exited", Some("web/12"), attributes));
        assert_eq!(event.sequence, 7);
        assert_eq!(event.at_unix_ms, 1_700_000_000_123);
        assert_eq!((event.service.as_deref(), event.instance), (Some("web"), Some(12)));
        let pairs = [("run", "3"), ("cause", "exit"), ("ok", "true"), ("a", "[1]")];
        assert_eq!(event.attributes, pairs.map(|(a, b)| (a.to_owned(), b.to_owned())));
        let plain = super::event(&record("supervisor.started", None, json!({})));
        assert_eq!((plain.service, plain.instance), (None, None));
        let single = super::event(&record("service.ready", Some("web"), json!({})));
        assert_eq!((single.service.as_deref(), single.instance), (Some("web"), None));
    }

    #[test]
    fn what_needs_somebody_is_an_error_and_what_may_is_a_warning() {
        for (kind, attributes, severity) in [
            ("service.failed", json!({}), Severity::Error),
            ("service.started", json!({}), Severity::Info),
            ("service.exited", json!({"code": 0}), Severity::Info),
            ("service.exited", json!({"code": 1}), Severity::Warn),
            ("service.exited", json!({"signal": "SIGKILL"}), Severity::Warn),
            ("service.exited", json!({"signal": "SIGTERM"}), Severity::Info),
            ("health.changed", json!({"to": "unhealthy"}), Severity::Error),
            ("health.changed", json!({"to": "degraded"}), Severity::Warn),
            ("health.changed", json!({"to": "healthy"}), Severity::Info),
            ("plugin.rejected", json!({"old_goes_on": true}), Severity::Warn),
            ("plugin.rejected", json!({"old_goes_on": false}), Severity::Error),
            ("a.kind.of.tomorrow", json!({}), Severity::Info),
        ] {
            assert_eq!(severity::of(&record(kind, None, attributes)), severity, "{kind}");
        }
    }

    #[test]
    fn a_batch_ends_before_it_is_too_large_and_has_one_event_at_least() {
        let large = |bytes: usize| Arc::new(record("x", None, json!({"text": "x".repeat(bytes)})));
        for (records, expected) in [
            (vec![large(10); 250], BATCH_EVENTS_MAX),
            (vec![large(100 * 1024); 5], 2),
            (vec![large(300 * 1024), large(1)], 1),
            (vec![large(1), large(300 * 1024)], 1),
        ] {
            let mut records = records;
            cut(&mut records);
            assert_eq!(records.len(), expected);
        }
    }

    #[test]
    fn events_about_a_sink_are_not_for_that_sink() {
        for (kind, service, attributes, about) in [
            ("sink.rejected", None, json!({"sink": "audit"}), true),
            ("sink.rejected", None, json!({"sink": "other"}), false),
            ("plugin.fault", None, json!({"plugin": "hook", "kind": "event-sink"}), true),
            ("plugin.fault", None, json!({"plugin": "hook", "kind": "health-check"}), false),
            ("plugin.fault", Some("web"), json!({"plugin": "hook", "kind": "event-sink"}), false),
            ("plugin.denied", None, json!({"plugin": "hook"}), true),
            ("plugin.denied", Some("web"), json!({"plugin": "hook"}), false),
            ("plugin.fault", None, json!({"plugin": "other", "kind": "event-sink"}), false),
            ("plugin.loaded", None, json!({"plugin": "hook"}), false),
            ("service.failed", Some("hook"), json!({"plugin": "hook"}), false),
        ] {
            let record = record(kind, service, attributes);
            assert_eq!(is_about(&record, "audit", "hook"), about, "{record:?}");
        }
    }
}
