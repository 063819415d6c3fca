//! Checks, restart policies and event sinks that are code of the program.
//!
//! ```text
//!   driver, sinks ──(question)──► Asked ──► a task on the program's runtime
//!                 ◄─(answer, panic, or that it is gone)──┘
//! ```
//!
//! They are asked the same questions as plugins, in the same places, and stand under the same
//! rules: nothing waits for them but the one question, an answer in time counts, and without
//! one the documented default holds. Unlike plugins they are trusted: nothing limits what they
//! take, and a policy may give up.
//!
//! They run on the runtime of the program and never on the thread that supervises, so one
//! that blocks or never ends holds up nobody but itself.

mod asked;
mod check;
mod policy;
mod sink;

pub use check::{CheckTarget, HealthCheck, Verdict};
pub use policy::{Decision, EarlierRun, EndedRun, RestartPolicy};
pub use sink::{EventBatch, EventSink};

pub(crate) use check::OwnCheck;
pub(crate) use policy::OwnPolicy;
pub(crate) use sink::OwnSink;
