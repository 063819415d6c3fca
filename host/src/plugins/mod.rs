//! The plugin manager: which plugins there are, who asks them, and what they are answered.
//!
//! ```text
//!   driver ──► Plugins ─┬─ check, decide, deliver ──► Binding ──► threads of the runtime
//!                       ├─ start, prepare, swap   ──► read ─► compile ─► configure ─► try
//!                       └─ status, samples        ◄── API, metrics
//!   facts  ◄── loaded, rejected, fault, denied …
//! ```
//!
//! Nothing here is awaited by the loop that supervises. Loading goes on in the background:
//! a check by a plugin that is not there yet is one that cannot be made, a policy leaves
//! the built-in decision, events stay in the journal. Without a configured plugin there is
//! no runtime, no thread and no file.
//!
//! A reload tries before it changes: a plugin that changed is loaded, configured and asked
//! once beside the one that is in use, and takes its place only when that went well.
//!
//! What can go wrong is a fact that is told, and never more than that.
//!
//! Deliberately absent: any decision about services, and everything of WebAssembly.

// What plugins would be and say, which a build without them still has words for.
#[cfg_attr(not(feature = "plugins"), allow(dead_code))]
mod fact;
#[cfg_attr(not(feature = "plugins"), allow(dead_code))]
mod question;
#[cfg_attr(not(feature = "plugins"), allow(dead_code))]
mod samples;
#[cfg_attr(not(feature = "plugins"), allow(dead_code))]
mod status;

#[cfg(feature = "plugins")]
mod append;
#[cfg(feature = "plugins")]
mod ask;
#[cfg(feature = "plugins")]
mod host;
#[cfg(feature = "plugins")]
mod launchers;
#[cfg(feature = "plugins")]
mod limiter;
#[cfg(feature = "plugins")]
mod load;
#[cfg(feature = "plugins")]
mod manager;
#[cfg(feature = "plugins")]
mod observer;
#[cfg(feature = "plugins")]
mod rehearsal;
#[cfg(feature = "plugins")]
mod reload;
#[cfg(feature = "plugins")]
mod source;
#[cfg(feature = "plugins")]
mod table;
#[cfg(feature = "plugins")]
mod uses;
#[cfg(feature = "plugins")]
mod validate;

#[cfg(not(feature = "plugins"))]
mod absent;

#[cfg(test)]
#[cfg(feature = "plugins")]
mod tests;

pub(crate) use fact::PluginFact;
pub(crate) use question::{
    About, CheckQuestion, PolicyQuestion, PolicyReply, Requirer, Slot, cause,
};
pub(crate) use samples::Measurer;
pub(crate) use status::{LastFault, PluginState, PluginStatus, UseStatus, quantile};

#[cfg(not(feature = "plugins"))]
pub(crate) use absent::{Plugins, Prepared, validate};
#[cfg(feature = "plugins")]
pub(crate) use manager::Plugins;
#[cfg(feature = "plugins")]
pub(crate) use reload::Prepared;
#[cfg(feature = "plugins")]
pub(crate) use validate::validate;

/// Is told what happens to plugins, from any thread. Must not block.
pub(crate) type Tell = std::sync::Arc<dyn Fn(PluginFact) + Send + Sync>;

/// Something that is wrong with a plugin or its configuration, and where that stands.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Invalid {
    /// Dotted, as in `plugins.redis.source` or `services.web.health[0].config.address`.
    pub(crate) path: String,
    /// What is wrong.
    pub(crate) message: String,
    /// What to do about it.
    pub(crate) hint: Option<String>,
}
