//! Uses of plugins by checks, policies and sinks.
//!
//! A use names a binding under `plugins`, never a file or a stock plugin, so that what a
//! plugin may reach stands in one place.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use super::checker::Checker;
use super::source::{Problem, Span, quoted};
use super::suggest;
use super::tree::Node;

/// A use of a plugin.
#[derive(Clone, PartialEq)]
pub struct PluginUse {
    /// The name of the plugin, which is one of [`super::Config::plugins`].
    pub plugin: Arc<str>,
    /// What the plugin is configured with; an empty mapping when nothing is said. May
    /// hold secrets.
    pub config: serde_json::Value,
    /// Whether there is no going on without the plugin.
    pub required: bool,
}

/// Without the configuration: it may hold secrets.
impl fmt::Debug for PluginUse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let PluginUse { plugin, config: _, required } = self;
        f.debug_struct("PluginUse")
            .field("plugin", plugin)
            .field("required", required)
            .finish_non_exhaustive()
    }
}

/// The names under `plugins`, and which of them are used.
#[derive(Default)]
pub(super) struct Bindings(BTreeMap<String, Binding>);

struct Binding {
    span: Span,
    used: bool,
}

impl Bindings {
    /// Takes the names from the tree: one whose value is wrong is no unknown one.
    pub(super) fn of(root: &Node) -> Bindings {
        let entries = root.get("plugins").map(Node::entries).unwrap_or_default();
        let named = entries
            .iter()
            .map(|entry| (entry.key.clone(), Binding { span: entry.key_span, used: false }));
        Bindings(named.collect())
    }

    /// What nobody uses is odd.
    pub(super) fn unused(&self) -> impl Iterator<Item = Problem> {
        let unused = self.0.iter().filter(|(_, binding)| !binding.used);
        unused.map(|(name, binding)| {
            Problem::at(binding.span, format!("nothing uses the plugin {}", quoted(name)))
                .hint("name it in a check, in restart.policy_plugin or under \"sinks\"")
        })
    }

    /// Advice on a name that nothing is bound to.
    fn advice(&self, name: &str) -> String {
        let stock = crate::stock::names();
        let bare = name.strip_prefix("stock:").unwrap_or(name);
        let bound = self.0.keys().map(String::as_str);
        if let Some(near) = suggest::nearest(name, bound.clone()) {
            return format!("did you mean \"{near}\"?");
        }
        if stock.contains(&bare) {
            let add = format!("add plugins: {{ {bare}: {{ source: \"stock:{bare}\" }} }}");
            return if bare == name { add } else { format!("{add} and write plugin: {bare}") };
        }
        let mut advice = match suggest::nearest(bare, stock.iter().copied()) {
            Some(near) => format!(
                "did you mean the stock plugin \"{near}\"? \
                 Then add plugins: {{ {near}: {{ source: \"stock:{near}\" }} }}\n"
            ),
            None => String::new(),
        };
        if !self.0.is_empty() {
            let bound: Vec<&str> = bound.collect();
            advice.push_str(&format!("under \"plugins\" there is: {}\n", bound.join(", ")));
        }
        advice.push_str(&format!("kennel comes with: {}", stock.join(", ")));
        advice
    }
}

/// The raw keys of a use.
pub(super) struct RawUse<'a> {
    pub(super) plugin: Option<&'a String>,
    pub(super) config: Option<&'a serde_json::Value>,
    pub(super) required: Option<bool>,
}

/// Checks a use of a plugin; `node` has the key `plugin`. None after an error.
pub(super) fn check_use(
    raw: RawUse<'_>,
    node: &Node,
    checker: &mut Checker<'_>,
) -> Option<PluginUse> {
    let RawUse { plugin, config, required } = raw;
    let plugin = plugin?;
    match checker.plugins.0.get_mut(plugin) {
        Some(binding) => binding.used = true,
        None => {
            let message = format!("there is no plugin {}", quoted(plugin));
            let hint = checker.plugins.advice(plugin);
            checker.error(node, "plugin", message, Some(&hint));
            return None;
        }
    }
    Some(PluginUse {
        plugin: Arc::from(plugin.as_str()),
        config: config.cloned().unwrap_or_else(|| serde_json::json!({})),
        required: required.unwrap_or(false),
    })
}
