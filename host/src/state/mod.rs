//! What outlives the supervisor, apart from its journal.
//!
//! ```text
//!   Plugins ──► SavedStates ──► thread ──► plugins/saved   (what plugins remember)
//! ```

mod plugin_file;
mod plugin_record;
mod plugin_state;

pub(crate) use plugin_record::Key;
pub(crate) use plugin_state::{Notice, SavedStates};
