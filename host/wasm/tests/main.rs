//! Plugins in the real runtime, honest and hostile ones.

// The hostile ones stand here twice on purpose.
#![allow(clippy::duplicate_mod)]

mod answers;
mod breaking;
mod cache;
mod contract;
mod fairness;
mod policies;
mod probing;
mod refusals;
mod support;
mod warm;
mod wasi;

/// As in programs that embed a supervisor.
#[path = "."]
mod checked {
    pub(crate) const TRAPS: kennel_wasm::Traps = kennel_wasm::Traps::Checked;

    #[path = "hostile.rs"]
    mod hostile;
}

/// As in the `kennel` binary.
#[path = "."]
mod signals {
    pub(crate) const TRAPS: kennel_wasm::Traps = kennel_wasm::Traps::Signals;

    #[path = "hostile.rs"]
    mod hostile;
}
