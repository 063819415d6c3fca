//! Unit tests of plugins, native and without Wasm: scripted probe answers, a clock that tests
//! advance, and a recycled instance between any two calls.
//!
//! ```
//! use kennel_plugin::prelude::*;
//! use kennel_plugin::testing::Checking;
//! # #[derive(Deserialize)] struct Config { address: String }
//! # struct Redis { config: Config }
//! # impl HealthCheck for Redis {
//! #     type Config = Config;
//! #     type State = ();
//! #     fn new(config: Config) -> Result<Self, Problems> { Ok(Redis { config }) }
//! #     fn check(&self, _: &CheckInput, _: &mut (), host: &mut Host) -> Result<Verdict, CheckError> {
//! #         let answer = host.tcp(&self.config.address, Exchange::send("PING\r\n").read(7))?;
//! #         Ok(if answer == b"+PONG\r\n" { Verdict::healthy("PONG") } else { Verdict::unhealthy("no PONG") })
//! #     }
//! # }
//! let mut run = Checking::<Redis>::new(r#"{"address": "127.0.0.1:6379"}"#);
//!
//! run.host.on_tcp("127.0.0.1:6379", "+PONG\r\n");
//! assert_eq!(run.check().status, Status::Healthy);
//!
//! run.host.on_tcp("127.0.0.1:6379", ProbeError::Connect("refused".into()));
//! assert_eq!(run.check().status, Status::Unhealthy);
//! ```
//!
//! A call that the script does not expect, one that it expects and that is not made, and an
//! answer that depends on which instance gives it each fail the test.

mod run;
mod script;
mod talk;

pub use run::{Checking, Deciding, Delivering, event, problems};
pub use script::{Call, LogLine, Reply, Script};
pub use talk::Talk;

pub(crate) use script::log;
pub(crate) use talk::Spoken;
