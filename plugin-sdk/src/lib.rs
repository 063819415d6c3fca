//! Write plugins for the Kennel process supervisor.
//!
//! ```
//! use kennel_plugin::prelude::*;
//!
//! #[derive(Deserialize)]
//! #[serde(deny_unknown_fields)]
//! struct Config { address: String }
//!
//! struct Redis { config: Config }
//!
//! impl HealthCheck for Redis {
//!     type Config = Config;
//!     type State = ();
//!
//!     fn new(config: Config) -> Result<Self, Problems> { Ok(Redis { config }) }
//!
//!     fn check(&self, _: &CheckInput, _: &mut (), host: &mut Host) -> Result<Verdict, CheckError> {
//!         let answer = host.tcp(&self.config.address, Exchange::send("PING\r\n").read(7))?;
//!         Ok(if answer == b"+PONG\r\n" { Verdict::healthy("PONG") } else { Verdict::unhealthy("no PONG") })
//!     }
//! }
//!
//! kennel_plugin::export!(health_check: Redis);
//! ```

mod backend;
#[cfg(target_family = "wasm")]
mod bindings;
mod check;
mod config;
mod export;
mod host;
pub mod json;
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
mod units;
mod wire;

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
        Action, Batch, Cause, Channel, CheckError, CheckInput, Decision, Event, EventSink,
        Exchange, Failure, HealthCheck, Host, PastRun, Period, PolicyInput, ProbeError, Problems,
        Request, Response, RestartPolicy, Rotate, Severity, SinkHost, Size, State, Status, Taken,
        Verdict, json, log,
    };
}
