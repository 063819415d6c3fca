//! Plugins in the real runtime, honest and hostile ones.

mod answers;
mod breaking;
mod cache;
mod contract;
mod fairness;
mod hostile;
mod policies;
mod probing;
mod refusals;
mod support;
mod warm;
mod wasi;
