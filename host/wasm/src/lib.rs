//! The plugin runtime of Kennel.

pub mod error;
pub mod fault;
pub mod grants;
#[cfg(feature = "engine")]
pub mod inspect;
pub mod limits;
pub mod model;
pub mod probe;
#[cfg(feature = "engine")]
pub mod runtime;
pub mod stats;

pub use error::{BindError, ConfigureError, LoadError, RuntimeError};
pub use fault::{Fault, Observer, Unobserved};
pub use grants::Grants;
#[cfg(feature = "engine")]
pub use inspect::Inspection;
pub use limits::CallLimits;
pub use model::{Kind, Problem};
pub use probe::{CallContext, Host, ProbeError, Subject};
#[cfg(feature = "engine")]
pub use runtime::{Binding, Plugin, PluginOptions, Runtime, Settings};
pub use stats::{BindingStats, PluginStats};
