//! The engine, with everything set that a plugin could make use of.

use wasmtime::{Config, Engine, Result};

use crate::engine::bounds::{STACK_BYTES, WASM_STACK_BYTES};
use crate::traps::Traps;

/// Memory that is reserved for each instance where it is checked: grows without moving.
const RESERVED_BYTES: u64 = 32 * 1024 * 1024;
/// What is reserved beyond, when it moves.
const RESERVED_FOR_GROWTH_BYTES: u64 = 16 * 1024 * 1024;

pub(crate) fn engine(traps: Traps) -> Result<Engine> {
    let mut config = Config::new();
    config
        .wasm_component_model(true)
        .epoch_interruption(true)
        .max_wasm_stack(WASM_STACK_BYTES)
        .async_stack_size(STACK_BYTES)
        // The same input gives the same decision on every machine.
        .cranelift_nan_canonicalization(true)
        .relaxed_simd_deterministic(true)
        .wasm_memory64(false);
    match traps {
        Traps::Signals => {}
        Traps::Checked => {
            config
                .signals_based_traps(false)
                .memory_reservation(RESERVED_BYTES)
                .memory_reservation_for_growth(RESERVED_FOR_GROWTH_BYTES)
                .memory_guard_size(0);
        }
    }
    Engine::new(&config)
}
