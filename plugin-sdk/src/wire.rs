//! An event as JSON, with the names that `kennel events --json` and `/v1/events` use.

use serde::ser::{Serialize, SerializeMap, SerializeStruct, Serializer};

use crate::sink::Event;
use crate::target::{Attributes, Severity};
use crate::time::Timestamp;

impl Serialize for Event {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let Event { sequence, at_unix_ms, kind, severity, service, instance, message, attributes } =
            self;
        let mut event = to.serialize_struct("Event", 8)?;
        event.serialize_field("seq", sequence)?;
        event.serialize_field("at", &Timestamp(*at_unix_ms).to_string())?;
        event.serialize_field("kind", kind)?;
        event.serialize_field("severity", severity)?;
        event.serialize_field("service", service)?;
        event.serialize_field("instance", instance)?;
        event.serialize_field("message", message)?;
        event.serialize_field("attributes", &Object(attributes))?;
        event.end()
    }
}

/// Keys and values as an object.
struct Object<'a>(&'a Attributes);

impl Serialize for Object<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let Object(attributes) = self;
        let mut map = to.serialize_map(None)?;
        for (key, value) in attributes.iter() {
            map.serialize_entry(key, value)?;
        }
        map.end()
    }
}

impl Serialize for Severity {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_has_the_names_of_the_api() {
        let event = Event {
            sequence: 42,
            at_unix_ms: 1_795_229_102_123,
            kind: "service.exited".to_owned(),
            severity: Severity::Warn,
            service: Some("web".to_owned()),
            instance: None,
            message: "exited with \"3\"\n".to_owned(),
            attributes: [("code", "3"), ("run", "7")]
                .map(|(key, value)| (key.to_owned(), value.to_owned()))
                .to_vec(),
        };
        assert_eq!(
            crate::json::to_string(&event).unwrap(),
            "{\"seq\":42,\"at\":\"2026-11-21T02:45:02.123Z\",\"kind\":\"service.exited\",\
             \"severity\":\"warn\",\"service\":\"web\",\"instance\":null,\
             \"message\":\"exited with \\\"3\\\"\\n\",\"attributes\":{\"code\":\"3\",\"run\":\"7\"}}"
        );
    }
}
