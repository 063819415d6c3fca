//! Types of ours that values are read into in a way of their own, by the names that they tell
//! serde. All of them take nothing (`visit_unit`) as a stand-in.

/// A time or a size: from a text or a whole number.
pub(crate) const UNIT: &str = "kennel_plugin::Unit";

/// A list, or a value that is an item of it.
pub(crate) const ONE_OR_MANY: &str = "kennel_plugin::OneOrMany";

/// A text, or a number or truth value as it was written.
pub(crate) const TEXT: &str = "kennel_plugin::Text";

/// A number as it was written.
pub(crate) const NUMBER: &str = "kennel_plugin::json::Number";

/// Whether it is one of these.
pub(super) fn is_ours(name: &str) -> bool {
    [UNIT, ONE_OR_MANY, TEXT, NUMBER].contains(&name)
}
