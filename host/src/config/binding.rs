//! What stands under `plugins`: where each plugin comes from, and what it may do.
//!
//! A file that is not there is a warning, as a missing working directory is: it may come
//! with a mount, and no plugin keeps a service from starting unless the service says so.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use kennel_wasm::{CallLimits, Grants};

use super::checker::Checker;
use super::raw::{RawDuration, RawGrants, RawOnFault, RawPlugin, RawPluginLimits, RawSize};
use super::source::{Problem, quoted};
use super::supervisor::{bad_name, is_valid_name};
use super::tree::Node;
use super::{grants, suggest};

/// A plugin under the name by which it is used.
#[derive(Clone, PartialEq, Debug)]
pub struct PluginConfig {
    /// The name, unique in the configuration.
    pub name: Arc<str>,
    /// Where it comes from.
    pub source: PluginSource,
    /// What the file looked like when the configuration was read, to see that it was
    /// replaced; none of a stock plugin, and of a file that was not there.
    pub stamp: Option<FileStamp>,
    /// The SHA-256 that it has to have, 64 digits in lower case.
    pub sha256: Option<String>,
    /// What it may reach.
    pub grants: Grants,
    /// What one call may take.
    pub limits: CallLimits,
}

impl PluginConfig {
    /// The name, unique in the configuration.
    pub fn name(&self) -> &str {
        &self.name
    }
}

/// Where a plugin comes from.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum PluginSource {
    /// It ships with Kennel under this name.
    Stock(String),
    /// A file, absolute.
    File(PathBuf),
}

/// How a file looks from outside; when it is replaced or written this changes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FileStamp {
    /// Its size.
    pub bytes: u64,
    /// When it was last written, as far as the file system tells.
    pub written: Option<SystemTime>,
    /// Its device and inode number.
    pub identity: (u64, u64),
}

/// Checks what stands under `plugins`; `root` is the file's.
pub(super) fn check(
    raw: Option<&BTreeMap<String, RawPlugin>>,
    root: &Node,
    checker: &mut Checker<'_>,
) -> Vec<PluginConfig> {
    let mut plugins = Vec::new();
    let entries = root.get("plugins").map(Node::entries).unwrap_or_default();
    for entry in entries {
        let Some(raw) = raw.and_then(|raw| raw.get(&entry.key)) else { continue };
        if !is_valid_name(&entry.key) {
            checker.problems.error(bad_name("a plugin", &entry.key, entry.key_span));
            continue;
        }
        // Nothing behind the key is a mapping without anything in it.
        let node =
            if entry.value.is_null() { Node::empty(entry.key_span) } else { entry.value.clone() };
        plugins.extend(one(&entry.key, raw, &node, checker));
    }
    plugins
}

fn one(
    name: &str,
    raw: &RawPlugin,
    node: &Node,
    checker: &mut Checker<'_>,
) -> Option<PluginConfig> {
    let RawPlugin { source, sha256, grants: raw_grants, limits, on_fault } = raw;
    match on_fault {
        // The only word there is.
        None | Some(RawOnFault::Default) => {}
    }
    let sha256 = sha256.as_ref().and_then(|text| digest(text, node, checker));
    let grants: Option<&RawGrants> = raw_grants.as_ref();
    let grants = grants.map(|raw| grants::check(raw, node, checker)).unwrap_or_default();
    let limits = limits.as_ref().map(|raw| call_limits(raw, node, checker)).unwrap_or_default();
    let Some(text) = source else {
        // One that could not be read was complained about already.
        if node.get("source").is_none_or(Node::is_null) {
            let message = format!("the plugin {} has no \"source\"", quoted(name));
            let hint = if crate::stock::names().contains(&name) {
                format!("add source: \"stock:{name}\"")
            } else {
                "add source: \"stock:NAME\", or source: ./FILE.wasm".to_owned()
            };
            checker.problems.error(Problem::at(node.span, message).hint(hint));
        }
        return None;
    };
    let source = self::source(text, node, checker)?;
    let stamp = match &source {
        PluginSource::Stock(_) => None,
        PluginSource::File(path) => stamp(path, node, checker),
    };
    Some(PluginConfig { name: Arc::from(name), source, stamp, sha256, grants, limits })
}

fn source(text: &str, node: &Node, checker: &mut Checker<'_>) -> Option<PluginSource> {
    let stock = crate::stock::names();
    if let Some(name) = text.strip_prefix("stock:") {
        if stock.contains(&name) {
            return Some(PluginSource::Stock(name.to_owned()));
        }
        let message = format!("no plugin {} ships with kennel", quoted(name));
        let hint = match suggest::nearest(name, stock.iter().copied()) {
            Some(near) => format!("did you mean \"stock:{near}\"?\n"),
            None => String::new(),
        };
        let hint = format!("{hint}there is: {}", stock.join(", "));
        checker.error(node, "source", message, Some(&hint));
        return None;
    }
    let wrong = if text.contains("://") {
        Some("plugins are read from files; fetch it first".to_owned())
    } else if stock.contains(&text) {
        Some(format!("write source: \"stock:{text}\", or for a file of that name ./{text}"))
    } else if !text.contains('/') && !text.ends_with(".wasm") {
        Some(
            "write stock:NAME for one that ships with kennel, or a path such as ./FILE.wasm"
                .to_owned(),
        )
    } else {
        None
    };
    if let Some(hint) = wrong {
        let message = format!("{} is no source of a plugin", quoted(text));
        checker.error(node, "source", message, Some(&hint));
        return None;
    }
    checker.path(node, "source", text).map(PluginSource::File)
}

/// How the file looks; that it is not there, or no file, is odd.
fn stamp(path: &Path, node: &Node, checker: &mut Checker<'_>) -> Option<FileStamp> {
    use std::os::unix::fs::MetadataExt;

    let shown = quoted(&path.to_string_lossy());
    let odd = match std::fs::metadata(path) {
        Ok(meta) if meta.is_file() => {
            return Some(FileStamp {
                bytes: meta.len(),
                written: meta.modified().ok(),
                identity: (meta.dev(), meta.ino()),
            });
        }
        Ok(_) => format!("the plugin {shown} is no regular file"),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            format!("the plugin {shown} does not exist yet")
        }
        Err(error) => format!("the plugin {shown} cannot be looked at: {error}"),
    };
    let span = checker.span(node, "source");
    checker.problems.warn(Problem::at(span, odd));
    None
}

fn digest(text: &str, node: &Node, checker: &mut Checker<'_>) -> Option<String> {
    if text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Some(text.to_ascii_lowercase());
    }
    let message = format!("{} is no SHA-256", quoted(text));
    let hint = match text.strip_prefix("sha256:") {
        Some(_) => "write the 64 digits only",
        None => "write the 64 hexadecimal digits that sha256sum FILE prints",
    };
    checker.error(node, "sha256", message, Some(hint));
    None
}

fn call_limits(raw: &RawPluginLimits, node: &Node, checker: &mut Checker<'_>) -> CallLimits {
    let RawPluginLimits { time, cpu, memory } = raw;
    let default = CallLimits::default();
    let mut bounded = |path: &str, value: &Option<RawDuration>, default, max: Duration| {
        let value = checker.positive(node, path, value.as_ref(), default);
        if value > max {
            let message = format!("\"{path}\" has to be at most {}s", max.as_secs());
            checker.error(node, path, message, None);
        }
        value
    };
    let limits = CallLimits {
        time: bounded("limits.time", time, default.time, MAX_CALL),
        cpu: bounded("limits.cpu", cpu, default.cpu, MAX_CALL),
        memory: memory.as_ref().map_or(default.memory, |RawSize(size)| *size),
    };
    if !(MIN_MEMORY..=MAX_MEMORY).contains(&limits.memory) {
        let message = "\"limits.memory\" has to be from 1MiB to 4GiB".to_owned();
        checker.error(node, "limits.memory", message, None);
    }
    if limits.cpu > limits.time && (time.is_some() || cpu.is_some()) {
        let message = "\"limits.cpu\" is longer than \"limits.time\", so it limits nothing";
        let path = if cpu.is_some() { "limits.cpu" } else { "limits.time" };
        let span = checker.span(node, path);
        checker.problems.warn(Problem::at(span, message));
    }
    limits
}

/// No call of a plugin may take longer.
const MAX_CALL: Duration = Duration::from_secs(300);
/// Less holds no plugin.
const MIN_MEMORY: u64 = 1 << 20;
/// More has no address.
const MAX_MEMORY: u64 = 4 << 30;

/// What differs between two configurations of a plugin, in words.
pub(super) fn differences(old: &PluginConfig, new: &PluginConfig) -> Vec<String> {
    // Taken apart without "..", so that no new field is forgotten here.
    let PluginConfig { name: _, source, stamp, sha256, grants, limits } = old;
    let moved = *source != new.source;
    let differences = [
        ("source", moved),
        ("file", !moved && *stamp != new.stamp),
        ("sha256", *sha256 != new.sha256),
        ("grants", *grants != new.grants),
        ("limits", *limits != new.limits),
    ];
    let changed = differences.into_iter().filter(|(_, differs)| *differs);
    changed.map(|(key, _)| format!("{key} changed")).collect()
}
