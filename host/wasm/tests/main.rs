//! Plugins in the real runtime, honest and hostile ones.

mod answers;
mod support;
