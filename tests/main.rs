//! End-to-end tests: the `kennel` binary with real processes and real servers.

// A failed expectation is how a test fails.
#![allow(clippy::unwrap_used)]

mod adoption;
mod api;
mod chaos;
mod console;
mod daemon;
mod dependencies;
mod graph;
#[cfg(feature = "plugins")]
#[path = "../host/wasm/tests/support/guest.rs"]
#[allow(dead_code)]
mod guest;
#[cfg(feature = "plugins")]
mod guide;
mod health;
mod home;
#[cfg(feature = "plugins")]
mod hostile;
mod init;
mod instance;
mod journal;
mod launching;
mod limits;
mod logs;
mod mistakes;
mod namesakes;
mod overload;
#[cfg(feature = "plugins")]
mod plugin_cli;
#[cfg(feature = "plugins")]
mod plugins;
#[cfg(feature = "plugins")]
mod plugins_stock;
mod readiness;
mod reloading;
mod restarting;
mod rolling;
mod sample;
mod scale;
mod security;
mod servers;
mod service_manager;
#[cfg(feature = "plugins")]
mod sinks;
mod sockets;
#[cfg(feature = "plugins")]
mod stock_checks;
mod stopping;
mod strays;
mod support;
mod systemd;
mod upgrade;
