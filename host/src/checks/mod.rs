//! Checks: what is looked at to know whether a service is ready or healthy.

mod kind;

pub use kind::{CheckKind, Pattern, PatternError};
