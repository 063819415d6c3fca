//! Output of services: captured, written, rotated, read back.
//!
//! # Theory of operation
//!
//! ```text
//!                spool
//!                 ▲ │
//!  service ──pipe─┘ └► kennel-logs ──► DIR/web.log ◄── LogReader, Follower (any thread)
//!  service ──pipe────►  (one thread)   DIR/web.log.1 …        ▲
//!                        │  ▲                                 │ "there is more" (watch)
//!                        │  └─ Capture: queue + eventfd ──────┘
//!  service ──pipe──► kennel-console ─► terminal      (`to: inherit`)
//! ```
//!
//! Between pipe and file stands a spool (`spool.rs`), so that neither a line nor its place is
//! lost with the supervisor: the next one goes on exactly where this one was stopped.
//!
//! One plain thread owns the reading ends of all pipes and all log files. It blocks in
//! `epoll_wait(2)` and has no periodic wake-up: while nothing is written it does not run.
//! What a turn takes is split in lines, formatted ([`line`](mod@line)) and appended ([`file`](mod@file)) with one write.
//!
//! If a disk is slow or full, only this thread waits. The pipes fill, the services block in
//! their own `write(2)`, supervision goes on, and nothing is lost: what was read and could
//! not be written is kept and tried again. A second instance of the same thread serves the
//! services whose output goes to the terminal, so that a terminal stopped with Ctrl-S never
//! holds up log files.
//!
//! Deliberately absent: an async runtime in the thread (a blocked disk would block its
//! worker), a queue of lines (the pipe is the queue), and fsync (a log is not a journal).

pub mod capture;
pub mod console;
pub mod file;
mod handle;
pub mod line;
pub mod read;
pub mod settings;

mod cursor;
mod feed;
mod ledger;
mod limit;
mod mailbox;
mod output;
mod registry;
mod spool;
mod worker;

#[cfg(test)]
pub(crate) mod tests;

pub use capture::{
    Capture, CaptureError, CaptureOptions, LineTap, LogFact, OpenStream, Resting, Source,
};
pub use console::Console;
pub use handle::Logs;
pub use line::Stream;
pub use read::{Follower, LogLine, LogReader, Query};
pub use registry::LogCounters;
pub use settings::{Destination, LogSettings};

pub(crate) use ledger::try_body as try_ledger;
