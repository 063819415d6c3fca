//! Kennel: an embeddable process supervisor.

#[cfg(not(target_os = "linux"))]
compile_error!("Kennel supervises processes through pidfds and needs Linux 5.10 or later");

pub mod api;
#[doc(hidden)]
pub mod cli;
pub mod config;
pub mod journal;
pub mod logs;
pub mod os;

mod driver;
mod handle;
mod lookup;
mod status;
mod suggest;
mod supervisor;
mod usage;

pub use driver::StatusLines;
pub use handle::{Handle, Outcome, ReloadError, ShutdownMode, Verb, VerbError, Wait};
pub use status::{Role, ServiceStatus, Status, SupervisorStatus};
pub use supervisor::{Builder, Ended, Prepared, StartError, Supervisor};
