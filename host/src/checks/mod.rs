//! Checks: what is looked at to know whether a service is ready or healthy.

mod kind;
mod launcher;

pub use kind::{CheckKind, Pattern, PatternError};
pub(crate) use launcher::Launcher;
