//! Checks: what is looked at to know whether a service is ready or healthy.
//!
//! ```text
//! built-in checks ─► builtin ─┐                              ┌─► resolve ─► connect ─► tls
//!                             ├─► http, tcp, unix, Channel ──┤
//! imports of plugins ─────────┘   exec                       └─► allow: may it go there?
//! ```
//!
//! The probes stand here once. Built-in checks make them as the operator wrote them;
//! plugins make the same ones, held to their grants by [`Allow`] before a name is resolved,
//! for each address it has, and at each redirect.
//!
//! - *Each probe is fresh.* There is no pool of connections, no TLS session, no memory of
//!   names: a health check has to prove that a client can come in.
//! - *Each has one deadline*, to which every step is held, and ends there with all that
//!   belongs to it: connections, tasks, the whole process group of a command.
//! - *None holds a thread.* The three things that block have threads lent to them, bounded
//!   in number: the system's resolver, making a process, reading a file of certificates.
//! - *What goes wrong has a type* ([`ProbeError`]), and what that means for a service
//!   another one ([`Outcome`]): refused, wrong, late, or could not be made at all.

mod allow;
mod builtin;
mod channel;
mod connect;
mod deadline;
mod error;
mod exec;
mod http;
mod kind;
mod launcher;
mod outcome;
mod resolve;
mod tls;
mod usage;

#[cfg(test)]
mod tests;

pub use allow::{Allow, AllowAll};
pub(crate) use builtin::{CheckContext, run};
pub use channel::{Channel, tcp, unix};
pub use deadline::Deadline;
pub use error::{ConnectFailure, ProbeError, Stage};
pub(crate) use exec::exec;
pub use http::http;
pub use kind::{CheckKind, Pattern, PatternError, Probe};
pub(crate) use launcher::Launcher;
pub(crate) use outcome::Unresolved;
pub use outcome::{Failure, Outcome};
pub(crate) use usage::{Looked, Window};
pub use usage::{Resource, UsageLimit};
