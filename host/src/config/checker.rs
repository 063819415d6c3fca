//! Checks that many keys share.

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use super::plugin::Bindings;
use super::raw::RawDuration;
use super::source::{Problem, Problems, Sources, Span};
use super::tree::Node;
use super::written::{Definition, Written};
use crate::own::OwnCheck;

/// The places of a configuration, and the list of what is wrong with it.
pub(super) struct Checker<'a> {
    pub(super) sources: &'a Sources,
    pub(super) problems: &'a mut Problems,
    /// The plugins that may be named.
    pub(super) plugins: Bindings,
    /// What the program describes.
    pub(super) written: &'a Written,
    /// The service that is being checked, where the program describes it.
    pub(super) described: Option<&'a Definition>,
}

impl Checker<'_> {
    /// From now on the service of this name is checked.
    pub(super) fn begin_service(&mut self, name: &str) {
        let mut written = self.written.services.iter();
        self.described = written.find(|written| written.name == name);
    }

    /// The check of the program that a plugin's name stands for in this service.
    pub(super) fn own_check(&self, plugin: &str) -> Option<OwnCheck> {
        let own = &self.described?.own;
        own.checks.iter().find(|check| **check.name() == *plugin).cloned()
    }

    /// The place of a dotted path; of one that is not there the nearest above.
    pub(super) fn span(&self, node: &Node, path: &str) -> Span {
        let mut path = path;
        loop {
            if let Some(found) = node.find(path) {
                return found.span;
            }
            match path.rsplit_once('.') {
                Some((parent, _)) => path = parent,
                None => return node.span,
            }
        }
    }

    /// Notes an error at a dotted path.
    pub(super) fn error(&mut self, node: &Node, path: &str, message: String, hint: Option<&str>) {
        let span = self.span(node, path);
        self.problems.error(Problem::at(span, message).maybe_hint(hint.map(str::to_owned)));
    }

    /// Notes something odd at a dotted path.
    pub(super) fn warn(&mut self, node: &Node, path: &str, message: String, hint: Option<&str>) {
        let span = self.span(node, path);
        self.problems.warn(Problem::at(span, message).maybe_hint(hint.map(str::to_owned)));
    }

    /// A duration that is longer than nothing.
    pub(super) fn positive(
        &mut self,
        node: &Node,
        path: &str,
        value: Option<&RawDuration>,
        default: Duration,
    ) -> Duration {
        match value {
            None => default,
            Some(RawDuration(value)) if value.is_zero() => {
                self.error(node, path, format!("\"{path}\" has to be longer than 0s"), None);
                default
            }
            Some(RawDuration(value)) => *value,
        }
    }

    /// A number from a range. Out of it, the nearest that is in it goes on.
    pub(super) fn within<T: PartialOrd + Display + Copy>(
        &mut self,
        node: &Node,
        path: &str,
        value: T,
        range: RangeInclusive<T>,
    ) -> T {
        if range.contains(&value) {
            return value;
        }
        let (low, high) = (*range.start(), *range.end());
        let message = format!("\"{path}\" has to be from {low} to {high}, not {value}");
        self.error(node, path, message, None);
        if value > high { high } else { low }
    }

    /// The absolute path that `value` at `path` means.
    pub(super) fn path(&mut self, node: &Node, path: &str, value: &str) -> Option<PathBuf> {
        if value.is_empty() || value.contains('\0') {
            self.error(node, path, format!("\"{path}\" is no path"), None);
            return None;
        }
        let file = self.span(node, path).file;
        Some(self.sources.resolve(file, value))
    }

    /// Notes the plugins that nothing checked so far uses.
    pub(super) fn unused_plugins(&mut self) {
        for problem in self.plugins.unused() {
            self.problems.warn(problem);
        }
    }

    /// The directory of the file that a node stands in.
    pub(super) fn directory(&self, node: &Node) -> PathBuf {
        self.sources.resolve(node.span.file, ".")
    }
}
