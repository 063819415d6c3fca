//! The plugin runtime of Kennel.
//!
//! ```text
//! Runtime::load ─► Plugin::bind ─► Binding::check | decide | deliver
//!    compile         + configuration    an instance, under limits
//!    identify        + breaker          ─► Host, for what it asks for
//! ```
//!
//! | What | Where |
//! |---|---|
//! | what is said to plugins and by them, as plain data | [`model`] |
//! | what the host does for plugins | [`probe`], [`grants`] |
//! | from a file to something that runs | `engine/`: identify, compile, cache, trusted, inspect |
//! | the contract, by version | `engine/contract/` |
//! | one call, and what bounds it | `engine/`: call, meter, turn, memory, hostcalls, bounds |
//! | when a plugin is asked | `engine/`: plugin, breaker, pool |
//! | threads | `engine/`: runtime, workers, ticker |
//!
//! Invariants: no call of a plugin runs on a thread of the caller, no function here blocks,
//! no instance is used again after a fault, nothing that a plugin says or does grows without
//! a limit. Without the feature `engine` the types alone are here.

pub mod error;
pub mod fault;
pub mod grants;
pub mod limits;
pub mod model;
pub mod probe;
pub mod stats;
pub mod traps;

#[cfg(feature = "engine")]
mod engine;

pub use error::{BindError, ConfigureError, LoadError, RuntimeError};
pub use fault::{Fault, Observer, Unobserved};
pub use grants::Grants;
pub use limits::CallLimits;
pub use model::{Kind, Problem};
pub use probe::{CallContext, Host, ProbeError, Subject};
pub use stats::{BindingStats, PluginStats, RuntimeStats};
pub use traps::Traps;

#[cfg(feature = "engine")]
pub use engine::{
    Binding, BreakerSettings, Inspection, Plugin, PluginOptions, Runtime, Settings, WarmSettings,
};
