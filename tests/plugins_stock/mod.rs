//! The plugins that ship with Kennel, in the real supervisor: restart policies decide over real
//! processes, event sinks give real events to real servers and files.

mod files;
mod kills;
mod policies;
mod slack;
mod webhooks;

use serde_json::Value;

use crate::support::{BOUND, Kennel, wait_for};

impl Kennel {
    /// Waits for an event of this kind, about no service or any, that is like this.
    #[track_caller]
    fn wait_for_news(&self, kind: &str, is_it: impl Fn(&Value) -> bool) -> Value {
        wait_for(kind, BOUND, || {
            self.events().into_iter().find(|event| event["kind"] == kind && is_it(event))
        })
    }
}
