//! End-to-end tests: the `kennel` binary with real processes and real servers.

// A failed expectation is how a test fails.
#![allow(clippy::unwrap_used)]

mod api;
mod console;
mod instance;
mod journal;
mod launching;
mod logs;
mod mistakes;
mod reloading;
mod restarting;
mod sample;
mod scale;
mod servers;
mod sinks;
mod stopping;
mod support;
