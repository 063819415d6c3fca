//! How much an event matters.

use kennel_wasm::model::Severity;
use serde_json::Value;

use crate::journal::Record;

/// How much the event matters: an error needs somebody, a warning may.
pub(super) fn of(record: &Record) -> Severity {
    let attribute = |key: &str| record.attributes.get(key);
    let word = |key: &str| attribute(key).and_then(Value::as_str).unwrap_or_default();
    match record.kind.as_str() {
        "service.failed"
        | "group.failed"
        | "service.stuck"
        | "supervisor.left_behind"
        | "logs.abandoned"
        | "journal.gap"
        | "sink.cursor_lost" => Severity::Error,
        "plugin.rejected" => match attribute("old_goes_on").and_then(Value::as_bool) {
            Some(true) => Severity::Warn,
            Some(false) | None => Severity::Error,
        },
        "supervisor.hook" => match word("outcome") {
            "done" => Severity::Info,
            _ => Severity::Warn,
        },
        "health.changed" => match word("to") {
            "unhealthy" => Severity::Error,
            "degraded" => Severity::Warn,
            _ => Severity::Info,
        },
        // Why a service that was to stop has ended is no news; one that was not has a
        // `service.backoff` or `service.failed` after it.
        "service.exited" => match (attribute("code").and_then(Value::as_i64), word("signal")) {
            (Some(0), _) | (None, "SIGTERM" | "SIGINT" | "SIGHUP" | "SIGQUIT") => Severity::Info,
            (Some(_) | None, _) => Severity::Warn,
        },
        "service.start_failed"
        | "service.backoff"
        | "service.escalated"
        | "service.swept"
        | "service.adopted_in_part"
        | "supervisor.state"
        | "service.unlimited"
        | "supervisor.upgrade_failed"
        | "service.notification_ignored"
        | "watchdog.missed"
        | "config.rejected"
        | "logs.stalled"
        | "logs.console_lost"
        | "plugin.fault"
        | "plugin.disabled"
        | "plugin.denied"
        | "plugin.state_damaged"
        | "plugin.state_stalled"
        | "sink.rejected"
        | "sink.stalled" => Severity::Warn,
        _ => Severity::Info,
    }
}
