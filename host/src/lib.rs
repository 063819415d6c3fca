//! Kennel: an embeddable process supervisor.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use std::time::Duration;
//!
//! use kennel::{Builder, ShutdownMode, Verb, Wait};
//!
//! let environment = kennel::config::Environment::current();
//! let supervisor = Builder::from_file("services.yaml".as_ref(), environment)?.start()?;
//! let handle = supervisor.handle().clone();
//! let wait = Wait::UpTo(Duration::from_secs(10));
//! for outcome in handle.act(Verb::Restart, vec!["web".into()], wait).await? {
//!     println!("{}: {}", outcome.name, outcome.message);
//! }
//! handle.shutdown(ShutdownMode::Orderly).await?;
//! let code = supervisor.ended().await.code;
//! # Ok(())
//! # }
//! ```
//!
//! The library changes nothing global in the program that embeds it: no signal handler,
//! no logger, no SIGCHLD, no subreaper, no exit. It waits for no child but its own. A
//! program whose `tracing` subscriber blocks delays supervision: give it one that does not.

// A build without plugins keeps the vocabulary that its configuration and its API have, and
// has nobody who says every word of it.
#![cfg_attr(not(feature = "plugins"), allow(dead_code, unused_imports))]

#[cfg(not(target_os = "linux"))]
compile_error!("Kennel supervises processes through pidfds and needs Linux 5.10 or later");

pub mod api;
pub mod checks;
#[doc(hidden)]
pub mod cli;
pub mod config;
#[doc(hidden)]
pub mod fuzz;
pub mod journal;
pub mod logs;
pub mod os;
pub mod stock;

mod driver;
mod handle;
mod lookup;
mod plugins;
mod service_manager;
mod sinks;
mod state;
mod state_dir;
mod status;
mod suggest;
mod supervisor;
mod tallies;
mod upgrade;
mod usage;

pub use driver::StatusLines;
pub use handle::{Handle, Outcome, ReloadError, ShutdownMode, Verb, VerbError, Wait};
pub use kennel_wasm::Traps;
pub use service_manager::ServiceManager;
pub use state::TableError;
pub use state_dir::StateDirError;
pub use status::{CgroupStatus, Role, ServiceStatus, SocketStatus, Status, SupervisorStatus};
pub use supervisor::{Builder, Ended, Prepared, StartError, Supervisor};
pub use upgrade::{Tried, UpgradeError};
