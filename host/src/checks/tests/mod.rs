//! Probes against real servers.

mod builtin;
mod channel;
mod commands;
mod connecting;
mod cost;
mod http;
mod https;
#[path = "../../../../tests/support/ports.rs"]
mod ports;
mod redirects;
mod support;
