//! Everything that needs the WebAssembly engine.

mod ask;
mod bounds;
mod breaker;
mod cache;
mod call;
mod clamp;
mod compile;
mod config;
mod contract;
mod counters;
mod hostcalls;
mod identify;
mod inspect;
mod log;
mod memory;
mod meter;
mod patience;
mod plugin;
mod pool;
mod runtime;
mod store;
mod text;
mod ticker;
mod trusted;
mod turn;
mod voice;
mod wasi;
mod workers;

pub use breaker::BreakerSettings;
pub use inspect::Inspection;
pub use plugin::{Binding, Plugin};
pub use pool::WarmSettings;
pub use runtime::{PluginOptions, Runtime, Settings};
