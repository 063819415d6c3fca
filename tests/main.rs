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
mod plugins_stock;
mod reloading;
mod restarting;
mod sample;
mod scale;
mod servers;
mod stopping;
mod support;
