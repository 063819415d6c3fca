//! What stands under `plugins`, of a Kennel that was built without them: nothing.

use std::collections::BTreeMap;

use super::checker::Checker;
use super::raw::RawPlugin;
use super::source::Problem;
use super::tree::Node;

/// A plugin under the name by which it is used. This Kennel was built without plugins, so
/// there is none.
#[derive(Clone, PartialEq, Debug)]
pub enum PluginConfig {}

impl PluginConfig {
    /// The name, unique in the configuration.
    pub fn name(&self) -> &str {
        match *self {}
    }
}

/// The plugins that ship with Kennel.
pub(super) fn stock_names() -> &'static [&'static str] {
    &[]
}

/// Refuses what stands under `plugins`; `root` is the file's.
pub(super) fn check(
    raw: Option<&BTreeMap<String, RawPlugin>>,
    root: &Node,
    checker: &mut Checker<'_>,
) -> Vec<PluginConfig> {
    if raw.is_some_and(|raw| !raw.is_empty())
        && let Some(entry) = root.entry("plugins")
    {
        let message = "this kennel was built without plugins";
        checker.problems.error(Problem::at(entry.key_span, message));
    }
    Vec::new()
}

/// What differs between two configurations of a plugin, in words.
pub(super) fn differences(old: &PluginConfig, _new: &PluginConfig) -> Vec<String> {
    match *old {}
}
