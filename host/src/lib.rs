//! Kennel: an embeddable process supervisor.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let state = tempfile::tempdir()?;
//! use kennel::{Check, Seen, Service, Supervisor};
//!
//! let supervisor = Supervisor::builder()
//! #   .state_dir(state.path())
//!     .service(
//!         Service::shell("worker", "while sleep 1; do date > alive; done")
//! #           .working_dir(state.path())
//!             .health(Check::command(["test", "-e", "alive"])),
//!     )
//!     .task("indexer", |context| async move {
//!         while !context.is_cancelled() {
//!             context.status("indexing");
//!             tokio::time::sleep(std::time::Duration::from_secs(1)).await;
//!         }
//!     })
//!     .start()
//!     .await?;
//! let mut events = supervisor.subscribe();
//! supervisor.handle().restart("worker").await?;
//! if let Some(Seen::Event(event)) = events.next().await {
//!     println!("{}", event.message);
//! }
//! supervisor.shutdown().await?;
//! # Ok(())
//! # }
//! ```
//!
//! The library changes nothing global in the program that embeds it: no signal handler,
//! no logger, no SIGCHLD, no subreaper, no exit. It waits for no child but its own. A
//! program whose `tracing` subscriber blocks delays supervision: give it one that does not.

// A build without plugins or without the control API keeps the vocabulary that its
// configuration has, and has nobody who says every word of it.
#![cfg_attr(not(all(feature = "cli", feature = "plugins")), allow(dead_code, unused_imports))]

#[cfg(not(target_os = "linux"))]
compile_error!("Kennel supervises processes through pidfds and needs Linux 5.10 or later");

#[cfg(feature = "api")]
pub mod api;
pub mod checks;
#[cfg(feature = "cli")]
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
mod embed;
mod fake_clock;
mod forms;
mod gate;
mod handle;
mod hooks;
mod lookup;
mod own;
mod plugins;
mod service_manager;
mod sinks;
mod state;
mod state_dir;
mod status;
mod suggest;
mod supervisor;
mod tallies;
mod task;
mod upgrade;
mod usage;

pub use driver::StatusLines;
pub use embed::{
    Check, Events, Group, Http, OnDrop, Restart, Seen, Service, ShutdownError, Sink, Supervised,
    Supervisor, SupervisorBuilder, Task,
};
pub use fake_clock::FakeClock;
pub use forms::NewerState;
pub use handle::{ChangeError, Handle, Outcome, ReloadError, ShutdownMode, Verb, VerbError, Wait};
pub use kennel_core::{Cause, ExitStatus, Health, Signal, State, Wanted};
pub use kennel_wasm::Traps;
pub use own::{
    CheckTarget, Decision, EarlierRun, EndedRun, EventBatch, EventSink, HealthCheck, RestartPolicy,
    Verdict,
};
pub use service_manager::ServiceManager;
pub use state::{OtherConfig, StateIdError, TableError};
pub use state_dir::StateDirError;
pub use status::{CgroupStatus, Role, ServiceStatus, SocketStatus, Status, SupervisorStatus};
pub use supervisor::{Builder, Ended, Prepared, Running, StartError};
pub use task::{TaskContext, TaskEnd, TaskError, TaskOutput};
pub use upgrade::{Tried, UpgradeError};
