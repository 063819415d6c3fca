//! What outlives the supervisor, apart from its journal.
//!
//! ```text
//!   Plugins ──► SavedStates ──► thread ──► plugins/saved   (what plugins remember)
//!   lock held ──► state_id ──► id   (the id of the directory, which processes bear)
//! ```

mod id;
#[cfg(feature = "plugins")]
mod plugin_file;
#[cfg(feature = "plugins")]
mod plugin_record;
#[cfg(feature = "plugins")]
mod plugin_state;

pub(crate) use id::state_id;
#[cfg(feature = "plugins")]
pub(crate) use plugin_record::Key;
#[cfg(feature = "plugins")]
pub(crate) use plugin_state::{Notice, SavedStates};
