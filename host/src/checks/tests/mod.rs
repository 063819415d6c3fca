//! Probes against real servers.

mod builtin;
mod channel;
mod commands;
mod connecting;
mod cost;
mod http;
mod https;
mod redirects;
mod support;
