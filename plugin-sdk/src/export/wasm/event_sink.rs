//! Event sinks.

use std::cell::RefCell;
use std::time::Duration;

use super::{Component, NOT_CONFIGURED, long_millis};
use crate::backend::Backend;
use crate::bindings::exports::kennel::plugin::event_sink as wit;
use crate::bindings::kennel::plugin::types;
use crate::config::Problems;
use crate::host::Host;
use crate::log;
use crate::sink::{Batch, Event, EventSink, Failure, Taken};
use crate::target::Severity;
use crate::typed;

/// The bit of this kind in a set of kinds.
pub const BIT: usize = 4;

/// How long until a sink that is not configured is asked again.
const PATIENCE: Duration = Duration::from_secs(60);

trait Plugin {
    fn deliver(&self, batch: &Batch) -> Result<Taken, Failure>;
}

struct Kept<P>(P);

impl<P: EventSink> Plugin for Kept<P> {
    fn deliver(&self, batch: &Batch) -> Result<Taken, Failure> {
        self.0.deliver(batch, &mut Host::new(Backend))
    }
}

thread_local! {
    static PLUGIN: RefCell<Option<Box<dyn Plugin>>> = const { RefCell::new(None) };
}

/// Creates the plugin and keeps it for the calls to come.
pub fn configure<P: EventSink + 'static>(config: &str, problems: &mut Problems) {
    match typed::read(config).and_then(P::new) {
        Ok(plugin) => PLUGIN.set(Some(Box::new(Kept(plugin)))),
        Err(found) => problems.extend(found),
    }
}

impl wit::Guest for Component {
    fn deliver(batch: wit::Batch) -> Result<u32, wit::Failure> {
        let wit::Batch { events, dropped, now_unix_ms, ext } = batch;
        let events: Vec<Event> = events.into_iter().map(Event::from).collect();
        let all = u32::try_from(events.len()).unwrap_or(u32::MAX);
        let batch = Batch { events, dropped, now_unix_ms, ext };
        let taken = PLUGIN.with_borrow(|plugin| match plugin {
            Some(plugin) => plugin.deliver(&batch),
            None => Err(Failure::retry(PATIENCE, NOT_CONFIGURED)),
        });
        match taken {
            Ok(Taken::All) => Ok(all),
            Ok(Taken::First(count)) => Ok(count.min(all)),
            Err(failure) => Err(failure.into()),
        }
    }
}

impl From<Failure> for wit::Failure {
    fn from(failure: Failure) -> wit::Failure {
        match failure {
            Failure::Retry { after, reason } => {
                // The contract has no place for it.
                log!(Warn, "events not delivered: {reason}");
                wit::Failure::RetryAfterMs(long_millis(after))
            }
            Failure::Reject { reason } => wit::Failure::Reject(reason),
        }
    }
}

impl From<wit::Event> for Event {
    fn from(event: wit::Event) -> Event {
        let wit::Event {
            sequence,
            at_unix_ms,
            kind,
            severity,
            service,
            instance,
            message,
            attributes,
        } = event;
        let severity = severity.into();
        Event { sequence, at_unix_ms, kind, severity, service, instance, message, attributes }
    }
}

impl From<types::Severity> for Severity {
    fn from(severity: types::Severity) -> Severity {
        match severity {
            types::Severity::Debug => Severity::Debug,
            types::Severity::Info => Severity::Info,
            types::Severity::Warn => Severity::Warn,
            types::Severity::Error => Severity::Error,
        }
    }
}
