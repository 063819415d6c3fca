//! Numbered events on disk, bounded, readable with cursors.
//!
//! # Theory of operation
//!
//! ```text
//!  append ─► number, ring in memory, queue ─► kennel-journal ─► 00000000000000000001.journal
//!              │                              (one thread)      00000000000000031744.journal
//!              └─► watch: the last number                             ▲ append, 4 MiB each
//!                     │                                               │
//!  reader: cursor ────┴── read(cursor, max) ◄── memory, or else ──────┘
//! ```
//!
//! [`Journal::append`] gives the record its number under a short lock and never touches a
//! disk. From then on every reader sees it. One thread writes records in order, and calls
//! fdatasync at most once a second while there is something to sync; with nothing to do it
//! sleeps without a timeout.
//!
//! A reader owns nothing here but its cursor, the number of the next record it wants. It
//! reads batches, from memory or disk, and when there are none it waits for the watch to
//! change. A slow reader therefore costs nothing; it falls behind, and when the records it
//! wants are no longer kept it is told how many it missed.
//!
//! # What can go wrong
//!
//! - *Killed or out of power in the middle of a write*: the torn tail fails its checksum
//!   and is cut off at the next start ([`Repaired`]). Records that were appended but not
//!   written are lost, and their numbers are given again; a cursor beyond the last record
//!   is therefore taken for "at the end" here. Who asks the API with one is told, and given all.
//! - *A record rots*: readers pass over it and count it as missed. When it is all of the end of
//!   the youngest segment, that is kept in `<number>.corrupt`, and told.
//! - *The disk is full*: records wait in memory and are tried again twice a second. Past a
//!   bound the oldest waiting ones are dropped, and a `journal.gap` record says how many.
//!
//! Deliberately absent: an index on disk (file names carry the first number, and a
//! segment is small), and locking between processes (the state directory has one owner).

pub mod handle;
pub mod read;
pub mod record;

mod segment;
mod writer;

#[cfg(test)]
mod tests;

pub use handle::{Journal, JournalOptions, JournalStats, OpenError, Repaired};
pub use read::{Batch, Filter, JournalReadError};
pub use record::{NewRecord, Record};

pub(crate) use record::try_record;
