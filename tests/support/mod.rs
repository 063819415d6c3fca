//! What the end-to-end tests stand on: a supervisor of their own in a directory of its own.
//!
//! ```text
//!  Kennel (fixture) ──spawns──► kennel run ──► services
//!     │  DIR/services.yaml, DIR/state, DIR/k.sock         ▲
//!     ├─ cli(…)      ──► kennel VERB ──► DIR/k.sock       │ found again by the mark:
//!     ├─ api(…)      ──► raw HTTP    ──► DIR/k.sock       │ KENNEL_TEST_MARK=DIR in their
//!     └─ Drop        ──► ends all of it by pid ───────────┘ environment, or DIR as place
//! ```
//!
//! Tests wait for facts with a bound (`wait_for`) and never sleep and hope. When one
//! fails, the fixture prints what the supervisor said, its status and its events.

#[cfg(feature = "plugins")]
pub(crate) mod certificates;
pub(crate) mod clients;
mod facts;
#[cfg(feature = "plugins")]
pub(crate) mod guest;
#[cfg(feature = "plugins")]
pub(crate) mod hook;
pub(crate) mod http;
pub(crate) mod kennel;
#[cfg(feature = "plugins")]
pub(crate) mod moody;
pub(crate) mod openmetrics;
pub(crate) mod output;
mod ports;
pub(crate) mod process;
pub(crate) mod servers;
pub(crate) mod skip;
pub(crate) mod wait;

pub(crate) use kennel::Kennel;
pub(crate) use process::Process;
pub(crate) use skip::{
    cannot_be_had, is_root, needs_ordinary_user, needs_program, needs_root, place_of_cgroups,
};
pub(crate) use wait::{BOUND, wait_for};
