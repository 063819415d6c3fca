//! The plugins that ship with Kennel.

/// Their names.
pub(crate) const NAMES: &[&str] = &[];

/// The component of this name.
pub(crate) fn component(_name: &str) -> Option<&'static [u8]> {
    None
}
