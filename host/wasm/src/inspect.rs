//! What a component is, for people who are about to trust it.

use std::time::Duration;

use crate::model::Kind;

/// What a component is and would ask for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inspection {
    /// What it is for; empty: it is no plugin.
    pub kinds: Vec<Kind>,
    /// The version of the contract it was made for.
    pub contract: Option<String>,
    /// Interfaces it imports, with version.
    pub imports: Vec<String>,
    /// Interfaces it exports, with version.
    pub exports: Vec<String>,
    /// Imports that this host does not have.
    pub unknown_imports: Vec<String>,
    /// Names of grants it can make use of: `net`, `http`, `unix`, `files`, `exec`, `give_up`.
    pub asks: Vec<&'static str>,
    /// Size of the component.
    pub bytes: u64,
    /// Size of its machine code.
    pub code_bytes: u64,
    /// Its SHA-256, in hexadecimal.
    pub sha256: String,
    /// How long compiling took; zero when it came from the cache.
    pub compile: Duration,
    /// Whether its machine code came from the cache.
    pub cached: bool,
    /// What made it, as it says itself: (`language`, `Rust`), (`processed-by`, `rustc 1.95.0`), …
    pub producers: Vec<(String, String)>,
}
