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

mod signal;
pub mod spec;
mod time;

pub use signal::Signal;
pub use spec::ServiceSpec;
pub use time::Time;
