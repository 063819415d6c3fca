//! Write plugins for the Kennel process supervisor.
//!
//! A plugin is a type that implements [`HealthCheck`], [`RestartPolicy`] or [`EventSink`], and a
//! line with [`export!`]. The README shows how it is done, step by step.
//!
//! | What | Where |
//! |---|---|
//! | what a plugin is told, what it answers | [`CheckInput`], [`Verdict`]; [`PolicyInput`], [`Decision`]; [`Batch`], [`Taken`] |
//! | what it may ask the host for | [`Host`], [`SinkHost`] |
//! | its configuration | [`Problems`], [`Period`], [`Size`], [`OneOrMany`], [`Text`], [`Url`], [`Secret`] |
//! | what it remembers | [`State`] |
//! | its log | [`log!`] |
//! | JSON | [`json`], which is `serde_json` |
//! | its unit tests | [`testing`] |

mod address;
mod backend;
#[cfg(target_family = "wasm")]
mod bindings;
mod check;
mod config;
mod export;
mod host;
mod list;
mod log;
mod near;
mod policy;
mod secret;
mod sink;
mod state;
mod target;
#[cfg(not(target_family = "wasm"))]
pub mod testing;
mod time;
mod typed;
mod units;
mod wire;

pub use address::Address;
pub use check::{CheckError, CheckInput, HealthCheck, Sample, Status, Verdict};
pub use config::{Problem, Problems};
#[cfg(target_family = "wasm")]
#[doc(hidden)]
pub use export::wasm as __wasm;
#[doc(hidden)]
pub use export::{__is_event_sink, __is_health_check, __is_restart_policy};
pub use host::{
    Channel, Checks, Exchange, Host, Output, ProbeError, Request, Response, Rotate, SinkHost, Sinks,
};
pub use list::{OneOrMany, Text};
pub use log::write_log;
pub use near::nearest;
pub use policy::{Action, Cause, Decision, PastRun, PolicyInput, RestartPolicy};
pub use secret::{Secret, Url, excerpt};
pub use serde_json as json;
pub use sink::{Batch, Event, EventSink, Failure, Taken};
pub use state::{Saved, State};
pub use target::{Attributes, Severity, Target, Usage};
pub use time::Timestamp;
pub use units::{Period, Size};

/// Everything a plugin names.
pub mod prelude {
    pub use std::time::Duration;

    pub use serde::{Deserialize, Serialize};

    pub use crate::{
        Action, Address, Batch, Cause, Channel, CheckError, CheckInput, Decision, Event, EventSink,
        Exchange, Failure, HealthCheck, Host, PastRun, Period, PolicyInput, ProbeError, Problems,
        Request, Response, RestartPolicy, Rotate, Severity, SinkHost, Size, State, Status, Taken,
        Verdict, json, log,
    };
}

/// The code in the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
