//! What outlives the supervisor, apart from its journal.
//!
//! ```text
//!   Plugins ──► SavedStates ──► thread ──► plugins/saved   (what plugins remember)
//!   lock held ──► state_id ──► id   (the id of the directory, which processes bear)
//! ```

mod id;
mod plugin_file;
mod plugin_record;
mod plugin_state;

pub(crate) use id::state_id;
pub(crate) use plugin_record::Key;
pub(crate) use plugin_state::{Notice, SavedStates};
