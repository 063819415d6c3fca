//! See `host/src/fuzz`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| kennel::fuzz::state_id(bytes));
