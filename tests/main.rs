//! End-to-end tests: the `kennel` binary with real processes and real servers.

// A failed expectation is how a test fails.
#![allow(clippy::unwrap_used)]

mod api;
mod console;
#[cfg(feature = "plugins")]
#[path = "../host/wasm/tests/support/guest.rs"]
#[allow(dead_code)]
mod guest;
#[cfg(feature = "plugins")]
mod hostile;
mod instance;
mod journal;
mod launching;
mod logs;
mod mistakes;
#[cfg(feature = "plugins")]
mod plugin_cli;
mod plugins;
#[cfg(feature = "plugins")]
mod plugins_stock;
mod reloading;
mod restarting;
mod sample;
mod scale;
mod servers;
#[cfg(feature = "plugins")]
mod sinks;
#[cfg(feature = "plugins")]
mod stock_checks;
mod stopping;
mod support;
