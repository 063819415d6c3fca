//! The `kennel` binary.
fn main() {}
