//! The text of a message: one line for each thing that happened, however often it did.
//!
//! ```text
//! <!here> *house*: 9 events
//! 🔴 *worker* gave up: more than 5 restarts within 1 min · 08:00:02
//! 🟠 *worker* exited with code 3 after 12 ms · 6 times, last 08:00:02
//! ⚪ *web* ready after 1 s · 08:00:01
//! _and 1 more: `kennel events --since 41`_
//! ```

use kennel_plugin::prelude::*;
use kennel_plugin::{Timestamp, excerpt};

use crate::Slack;

/// Slack recommends 4,000 characters and cuts what is longer than 40,000.
const TEXT_MAX: usize = 3500;
/// Characters of what one event says.
const LINE_MAX: usize = 300;
/// Characters of a service's name.
const NAME_MAX: usize = 80;

/// Events that say the same.
struct Group<'a> {
    event: &'a Event,
    count: usize,
    last_unix_ms: u64,
}

impl Slack {
    /// The message about a batch; none where nothing in it matters enough.
    pub(crate) fn message(&self, batch: &Batch) -> Option<String> {
        let events: Vec<&Event> =
            batch.events.iter().filter(|event| event.severity >= self.min_severity).collect();
        if events.is_empty() && batch.dropped == 0 {
            return None;
        }
        let groups = grouped(&events);
        let mut text = self.head(&events, batch.dropped);
        let mut shown = 0;
        for group in groups.iter().take(self.max_lines) {
            let line = group.line();
            if text.len() + line.len() > TEXT_MAX && shown > 0 {
                break;
            }
            text.push_str(&line);
            text.push('\n');
            shown += 1;
        }
        if let Some(first) = groups.get(shown) {
            let left: usize = groups[shown..].iter().map(|group| group.count).sum();
            let before = first.event.sequence.saturating_sub(1);
            text.push_str(&format!("_and {left} more: `kennel events --since {before}`_\n"));
        }
        text.truncate(text.trim_end().len());
        Some(text)
    }

    fn head(&self, events: &[&Event], dropped: u64) -> String {
        let mut head = String::new();
        let worst = events.iter().map(|event| event.severity).max();
        if let Some(mention) = self.mention.as_ref().filter(|_| worst == Some(Severity::Error)) {
            head.push_str(mention);
            head.push(' ');
        }
        if let Some(source) = &self.source {
            head.push_str(&format!("*{}*", escaped(source)));
            if events.len() > 1 {
                head.push_str(&format!(": {} events", events.len()));
            }
        }
        if !head.is_empty() {
            head.truncate(head.trim_end().len());
            head.push('\n');
        }
        if dropped > 0 {
            let events = if dropped == 1 { "event was" } else { "events were" };
            head.push_str(&format!("_{dropped} {events} lost before these_\n"));
        }
        head
    }
}

/// Events that say the same of the same service together, in the order of the first of each.
fn grouped<'a>(events: &[&'a Event]) -> Vec<Group<'a>> {
    let mut groups: Vec<Group<'a>> = Vec::new();
    for event in events {
        let same = groups.iter_mut().find(|group| group.is_about(event));
        match same {
            Some(group) => {
                group.count += 1;
                group.last_unix_ms = group.last_unix_ms.max(event.at_unix_ms);
            }
            None => groups.push(Group { event, count: 1, last_unix_ms: event.at_unix_ms }),
        }
    }
    groups
}

impl Group<'_> {
    fn is_about(&self, other: &Event) -> bool {
        let Event {
            sequence: _,
            at_unix_ms: _,
            kind,
            severity,
            service,
            instance,
            message,
            attributes: _,
        } = self.event;
        *kind == other.kind
            && *severity == other.severity
            && *service == other.service
            && *instance == other.instance
            && *message == other.message
    }

    fn line(&self) -> String {
        let event = self.event;
        let mut line = sign(event.severity).to_owned();
        if let Some(service) = &event.service {
            let name = escaped(&excerpt(service, NAME_MAX, []));
            match event.instance {
                Some(instance) => line.push_str(&format!(" *{name}/{instance}*")),
                None => line.push_str(&format!(" *{name}*")),
            }
        }
        let what = if event.message.is_empty() { &event.kind } else { &event.message };
        let time = time(self.last_unix_ms);
        line.push_str(&format!(" {}", escaped(&excerpt(what, LINE_MAX, []))));
        match self.count {
            1 => line.push_str(&format!(" · {time}")),
            2 => line.push_str(&format!(" · twice, last {time}")),
            count => line.push_str(&format!(" · {count} times, last {time}")),
        }
        line
    }
}

fn sign(severity: Severity) -> &'static str {
    match severity {
        Severity::Debug => ":black_circle:",
        Severity::Info => ":white_circle:",
        Severity::Warn => ":large_orange_circle:",
        Severity::Error => ":red_circle:",
    }
}

/// A time that Slack shows in the time zone of whoever reads it.
fn time(unix_ms: u64) -> String {
    let seconds = unix_ms / 1000;
    let shown = Timestamp(unix_ms).to_string();
    let plain = shown.get(11..19).unwrap_or(&shown);
    format!("<!date^{seconds}^{{time_secs}}|{plain} UTC>")
}

/// What Slack would take for markup. A service cannot mention anybody.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
