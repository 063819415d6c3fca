//! Who does what a plugin asks for: the host, and in unit tests the script of the test.

#[cfg(target_family = "wasm")]
mod guest;
#[cfg(not(target_family = "wasm"))]
mod scripted;

#[cfg(target_family = "wasm")]
pub(crate) use guest::{Backend, Talk, log};
#[cfg(not(target_family = "wasm"))]
pub(crate) use scripted::{Backend, Talk, log};
