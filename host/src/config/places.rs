//! Where the parts of a configuration are written, to show at its place what is found
//! wrong after it was read: by a plugin, in its `config`.

use std::fmt;
use std::sync::Arc;

use super::error::ConfigError;
use super::source::{Problem, Sources};
use super::tree::{Kind, Node};

/// Where the parts of a configuration are written. Clones are cheap.
#[derive(Clone)]
pub struct Places(Arc<Written>);

struct Written {
    sources: Sources,
    trees: Trees,
}

/// What was written, as trees.
pub(super) struct Trees {
    /// The main file without its services.
    pub(super) root: Node,
    /// The services by name, with the defaults merged in.
    pub(super) services: Vec<(String, Node)>,
}

impl fmt::Debug for Places {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The text may hold secrets.
        f.debug_struct("Places").finish_non_exhaustive()
    }
}

impl Places {
    pub(super) fn new(sources: Sources, trees: Trees) -> Places {
        Places(Arc::new(Written { sources, trees }))
    }

    /// An error at the key or value that `path` leads to, such as `plugins.redis.source` or
    /// `services.web.health[0].config.address`; at the nearest above where it is not
    /// written.
    pub fn error_at(&self, path: &str, message: &str, hint: Option<&str>) -> ConfigError {
        let Written { sources, trees: Trees { root, services } } = &*self.0;
        let in_service = path.strip_prefix("services.").and_then(|rest| {
            let entries = services.iter().map(|(name, node)| (name.as_str(), node));
            longest(entries, rest)
        });
        let (node, rest) = in_service.unwrap_or((root, path));
        // The whole file is no place.
        let found = nearest(node, rest);
        let span = (!std::ptr::eq(found, root)).then_some(found.span);
        let problem = match span {
            Some(span) => Problem::at(span, message),
            None => Problem::nowhere(message),
        };
        problem.maybe_hint(hint.map(str::to_owned)).shown(sources)
    }
}

/// The node that `path` leads to from `node`, or the last one on the way.
fn nearest<'n>(node: &'n Node, path: &str) -> &'n Node {
    let path = path.strip_prefix('.').unwrap_or(path);
    let entries = node.entries().iter().map(|entry| (entry.key.as_str(), &entry.value));
    let inner = longest(entries, path).or_else(|| {
        let (index, rest) = index(path)?;
        match &node.kind {
            Kind::Sequence(items) => Some((items.get(index)?, rest)),
            // One may stand for a list of one.
            Kind::Mapping(_) => (index == 0).then_some((node, rest)),
            Kind::Scalar(_) => None,
        }
    });
    match inner {
        Some((inner, rest)) => nearest(inner, rest),
        None => node,
    }
}

/// The index that `path` begins with, as `[7]` or `7`, and what follows it.
fn index(path: &str) -> Option<(usize, &str)> {
    if let Some((index, rest)) = path.strip_prefix('[').and_then(|path| path.split_once(']')) {
        return Some((index.parse().ok()?, rest));
    }
    let digits = path.find(|c: char| !c.is_ascii_digit()).unwrap_or(path.len());
    let (index, rest) = path.split_at(digits);
    Some((index.parse().ok()?, rest))
}

/// The longest key that `path` begins with, and what follows it: keys may have dots.
fn longest<'n, 'p>(
    entries: impl Iterator<Item = (&'n str, &'n Node)>,
    path: &'p str,
) -> Option<(&'n Node, &'p str)> {
    let fitting = entries.filter_map(|(key, node)| {
        let rest = path.strip_prefix(key)?;
        (rest.is_empty() || rest.starts_with(['.', '['])).then_some((key.len(), node, rest))
    });
    fitting.max_by_key(|(len, _, _)| *len).map(|(_, node, rest)| (node, rest))
}
