//! The pure supervision logic of Kennel.
//!
//! A state machine that reads no clock, environment, file or random source. Facts and
//! commands go in through [`Core::handle`]; work to do, news to tell and the next
//! deadline come out through the `poll_*` methods. Time is an argument. Whoever owns a
//! [`Core`] (the driver, a simulation, a scenario file) performs the effects.
//!
//! ```text
//!            Input                        Effect
//!   driver ─────────► Core::handle ─────► poll_effect ──► driver (spawn, signal, exit)
//!                        │
//!                        ├─► poll_event ──► journal, API, people
//!                        └─► next_deadline ─► "come back with Input::Tick"
//! ```
//!
//! The life of an instance:
//!
//! ```text
//!   down ─start─► waiting ─deps met─► starting ─ready─► up
//!                                       │ │              │ exit / unhealthy
//!                                       │ └─not in time──┤
//!                                       ▼                ▼
//!                                    stopping ───────► backoff ─delay─► waiting
//!                                       │                └─limit─► failed
//!                                       ▼
//!                                    down | done
//! ```

mod advice;
mod command;
mod core;
mod due;
mod effect;
mod event;
mod fact;
mod graph;
mod group;
mod health;
mod human;
mod ids;
mod input;
mod instance;
mod memory;
mod notice;
mod restart;
mod restore;
mod rng;
mod roll;
mod settle;
mod signal;
pub mod spec;
mod stop;
mod storm;
mod table;
mod time;
mod together;
mod topology;
mod view;

pub use crate::core::Core;
pub use effect::{Effect, Recipient};
pub use event::{
    Cause, DelayRule, Event, EventKind, GaveUp, GroupFailure, Missed, Origin, Shutdown, StopReason,
    Wanted,
};
pub use graph::{Graph, GraphError};
pub use group::{GroupSpec, Member, Strategy};
pub use human::Human;
pub use ids::{InstanceId, RunId};
pub use input::{
    CheckAnswer, CheckId, CheckOutcome, ExitStatus, Group, Health, Input, Notice, PolicyAnswer,
};
pub use instance::{Entry, Stage, Told, Word};
pub use memory::{Memory, MemoryChange, Progress, Remembered, RememberedPhase, RememberedRun};
pub use restart::{Counted, Counters, PastRun, Stability};
pub use signal::Signal;
pub use spec::ServiceSpec;
pub use storm::Limits;
pub use time::Time;
pub use view::{CheckView, Course, InstanceView, State, View};
