//! The contract in `wit/` as Rust, made by `cargo xtask plugins --bindings`.

#[allow(missing_docs, unsafe_code, unreachable_pub, rust_2018_idioms)]
mod generated;
mod sections;

pub(crate) use generated::{exports, kennel};
pub use sections::section;
