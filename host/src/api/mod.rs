//! The API of a running supervisor: HTTP/1.1 and JSON on its Unix socket.
//!
//! ```text
//!   cli ─► client ══ socket ══► server ─► guard ─► routes ─► handlers ─► Handle
//!             └──── wire ─────────────────────────────┘
//! ```
//!
//! [`wire`] has the shapes that both ends speak; `routes` is the one table of what there
//! is. Handlers hold no state of their own.

pub mod client;
pub mod wire;

mod connections;
mod context;
mod control;
mod convert;
mod events;
mod extract;
mod guard;
mod logs;
mod metrics;
mod openapi;
mod params;
mod patient;
mod plugin_metrics;
mod plugins;
mod probes;
mod problem;
mod routes;
mod server;
mod services;
mod socket;
mod stream;

#[cfg(test)]
mod tests;

pub use client::{Client, ClientError};
pub use server::{Server, Serving};
pub use socket::BindError;

pub(crate) use params::{TIME_EXAMPLE, parse_duration, parse_time, try_query};
