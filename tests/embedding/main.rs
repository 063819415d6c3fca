//! The library inside a program: real processes, and tasks of the program itself.

// A failed expectation is how a test fails.
#![allow(clippy::unwrap_used)]

mod changes;
mod clock;
mod events;
mod examples;
mod foreign;
mod globals;
mod groups;
mod guide;
mod hooks;
mod own;
#[cfg(feature = "plugins")]
#[path = "../support/ports.rs"]
mod ports;
mod start;
mod stop;
mod support;
mod tasks;
mod verbs;
