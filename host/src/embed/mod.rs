//! Services as a program describes them, without a file.
//!
//! Everything here is words: what is described is checked as if it stood in a configuration
//! file, all of it at once, when the supervisor is started or the service is added.

mod builder;
mod check;
mod events;
mod group;
mod keys;
mod restart;
mod service;
mod sink;
mod supervisor;
mod task;
mod verbs;

pub use builder::{OnDrop, SupervisorBuilder};
pub use check::{Check, Http};
pub use events::{Events, Seen};
pub use group::Group;
pub use restart::Restart;
pub use service::Service;
pub use sink::Sink;
pub use supervisor::{ShutdownError, Supervisor};
pub use task::Task;

pub(crate) use keys::Keys;

/// What can be supervised: a [`Service`], which is a process, or a [`Task`].
pub trait Supervised: sealed::Sealed {}

impl Supervised for Service {}
impl Supervised for Task {}

pub(crate) mod sealed {
    use crate::config::Definition;

    /// Becomes what the configuration takes.
    pub trait Sealed {
        #[doc(hidden)]
        fn define(self) -> Definition;
    }
}
