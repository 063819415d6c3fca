//! What outlives the supervisor, apart from its journal and its logs.
//!
//! ```text
//!   Plugins ──► SavedStates ──► thread ──► plugins/saved   (what plugins remember)
//!   Driver  ──► RunTable    ──► thread ──► table           (runs, intent, counters)
//!   lock held ──► state_id ──► id   (the id of the directory, which processes bear; in the
//!                                    table too)
//!   lock held ──► Place ──► place   (of which configuration it is, and the socket)
//!   Holder ──► lock   (held, and looked at: all that write here ask Home whether it is theirs)
//! ```

mod aside;
mod handover;
mod home;
mod id;
mod memory;
mod place;
#[cfg(feature = "plugins")]
mod plugin_file;
mod plugin_record;
#[cfg(feature = "plugins")]
mod plugin_state;
mod run_table;
mod table;
mod table_file;

pub(crate) use handover::{
    CarriedSocket, CarriedStream, FORMAT as HANDOVER_FORMAT, Handover, Parcel,
    VARIABLE as UPGRADE_VARIABLE, try_list,
};
pub(crate) use home::{Holder, Home, HomeNotice, LockSource};
pub use id::StateIdError;
pub(crate) use id::{IdSource, check_id, state_id, try_id};
pub use place::OtherConfig;
pub(crate) use place::Place;
pub(crate) use plugin_record::{Key, try_change};
#[cfg(feature = "plugins")]
pub(crate) use plugin_state::{Notice, SavedStates};
pub(crate) use run_table::{Durability, RunTable, TableNotice, unwritten};
pub(crate) use table::{
    Began, Instance, LastEnd, Made, Named, Origin, Record, Scaled, Table, TableRun, Who,
};
pub use table_file::TableError;
pub(crate) use table_file::{Damage, try_table};
