//! The plugins that are part of this binary: `source: stock:NAME`.
//!
//! They are built from `plugins/` by `cargo xtask plugins`, which also writes the table here. In
//! a build without the feature `plugins` they are known by name, but not there.

use std::sync::LazyLock;

/// A stock plugin.
struct Stock {
    name: &'static str,
    kinds: &'static [&'static str],
    summary: &'static str,
    sha256: &'static str,
    component: &'static [u8],
}

/// The bytes of a component in `host/stock`.
#[cfg(feature = "plugins")]
macro_rules! component {
    ($file:literal) => {
        include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/stock/", $file))
    };
}

/// No plugins, no bytes.
#[cfg(not(feature = "plugins"))]
macro_rules! component {
    ($file:literal) => {
        &[]
    };
}

/// All of them, by name.
static STOCK: &[Stock] = include!("../stock/table.inc");

fn find(name: &str) -> Option<&'static Stock> {
    STOCK.iter().find(|stock| stock.name == name)
}

/// Their names, in order.
pub fn names() -> &'static [&'static str] {
    static NAMES: LazyLock<Vec<&str>> =
        LazyLock::new(|| STOCK.iter().map(|stock| stock.name).collect());
    &NAMES
}

/// What a stock plugin does, in one line.
pub fn summary(name: &str) -> Option<&'static str> {
    find(name).map(|stock| stock.summary)
}

/// Its kinds, as the contract names the interfaces: `health-check`, `restart-policy`,
/// `event-sink`.
pub fn kinds(name: &str) -> Option<&'static [&'static str]> {
    find(name).map(|stock| stock.kinds)
}

/// The SHA-256 of its component, in hexadecimal.
pub fn sha256(name: &str) -> Option<&'static str> {
    find(name).map(|stock| stock.sha256)
}

/// Its component; none where there is no such plugin, or where this build has no plugins.
pub fn component(name: &str) -> Option<&'static [u8]> {
    find(name).map(|stock| stock.component).filter(|component| !component.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use sha2::{Digest, Sha256};

    #[test]
    fn every_stock_plugin_is_there_and_is_what_is_said_of_it() {
        assert!(!names().is_empty());
        for &name in names() {
            assert!(!summary(name).unwrap().is_empty(), "{name}");
            assert!(!kinds(name).unwrap().is_empty(), "{name}");
            assert_eq!(component(name).is_some(), cfg!(feature = "plugins"), "{name}");
            if let Some(component) = component(name) {
                assert!(component.starts_with(b"\0asm"), "{name}");
                let digest = Sha256::digest(component);
                let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
                assert_eq!(Some(hex.as_str()), sha256(name), "{name}");
            }
        }
        assert_eq!(component("nginx"), None);
    }
}
