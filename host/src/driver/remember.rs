//! What the run table is told while the supervisor works.
//!
//! ```text
//!   effects but spawns ─► what has changed is posted ─► spawns
//! ```
//!
//! So what is remembered has happened, and a process exists only after what led to it was
//! written down: who makes it writes what was posted before the intention.

use kennel_core::MemoryChange;

use super::Driver;
use super::end::{LAST_WRITES, aside};
use crate::state::{Durability, HomeNotice, Instance, Named, Record, Scaled, Who};

/// A record of what the core remembers.
fn record(change: MemoryChange) -> Record {
    match change {
        MemoryChange::Now(remembered) => Record::Instance(Box::new(Instance(*remembered))),
        MemoryChange::Gone { service, index } => {
            Record::Gone(Who { service: service.to_string(), index })
        }
    }
}

impl Driver {
    /// Has written down what the core must not forget.
    pub(super) fn remember(&mut self, durability: Durability) {
        let mut records: Vec<Record> = std::mem::take(&mut self.records);
        while let Some(change) = self.core.poll_memory() {
            records.push(record(change));
        }
        self.table.post(records, durability);
    }

    /// The state directory was removed or replaced, or is back: all is written again where it
    /// can be.
    pub(super) fn take_home(&mut self, notice: HomeNotice) {
        self.news.home(notice);
        self.table.look();
        self.capture.move_in();
    }

    /// The last word: everything has ended, unless the kernel does not let go of something.
    pub(super) async fn close_table(&mut self) {
        // Without a beginning all is as an earlier supervisor left it.
        if self.restored.is_none() && self.runs.is_empty() {
            self.records.push(Record::Ended);
        }
        self.remember(Durability::Power);
        let table = self.table.clone();
        aside(move || {
            if !table.close(LAST_WRITES) {
                tracing::warn!("cannot finish writing the run table within {LAST_WRITES:?}");
            }
        })
        .await;
    }

    /// A run has another main process; none: the one that was made.
    pub(super) fn remember_main(&mut self, run: kennel_core::RunId) {
        let main = self.runs.named_main(run);
        self.records.push(Record::Named(Named { run: run.0, main }));
    }

    /// The operator wants another number of instances than the file says, or no longer.
    pub(super) fn remember_scale(&mut self, service: &str) {
        self.records.push(match self.scaled.of(service) {
            Some((written, to)) => {
                Record::Scaled(Scaled { service: service.to_owned(), written, to })
            }
            None => Record::Unscaled(service.to_owned()),
        });
    }
}
