//! `host/stock`: what is said of the components there.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use super::write_if_changed;

/// All stock plugins, by name.
#[derive(Serialize, Deserialize)]
pub(crate) struct Manifest {
    /// By what they were built: another one makes other bytes of the same sources.
    pub(crate) compiler: String,
    pub(crate) plugins: Vec<Entry>,
}

/// A stock plugin.
#[derive(Serialize, Deserialize)]
pub(crate) struct Entry {
    pub(crate) name: String,
    /// By the interfaces it exports.
    pub(crate) kinds: Vec<String>,
    pub(crate) summary: String,
    /// Of the component.
    pub(crate) sha256: String,
    pub(crate) bytes: u64,
    /// Of everything it was built from.
    pub(crate) sources: String,
}

impl Manifest {
    pub(crate) fn read(folder: &Path) -> Result<Manifest> {
        let path = folder.join("manifest.json");
        let text =
            fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        Ok(serde_json::from_str(&text)?)
    }

    pub(crate) fn write(&self, folder: &Path) -> Result<()> {
        let json = serde_json::to_string_pretty(self)? + "\n";
        write_if_changed(&folder.join("manifest.json"), json.as_bytes())?;
        write_if_changed(&folder.join("table.inc"), self.table().as_bytes())
    }

    /// What the host embeds.
    pub(crate) fn table(&self) -> String {
        let mut text = String::from("// Made by `cargo xtask plugins`. Not to be edited.\n&[\n");
        for Entry { name, kinds, summary, sha256, bytes: _, sources: _ } in &self.plugins {
            let _ = write!(
                text,
                "    Stock {{\n        name: {name:?},\n        kinds: &{kinds:?},\n        \
                 summary: {summary:?},\n        sha256: {sha256:?},\n        \
                 component: component!(\"{name}.wasm\"),\n    }},\n"
            );
        }
        text.push_str("]\n");
        text
    }

    /// How `built` differs. Components of another compiler differ anyway; those are compared by
    /// their sources only.
    pub(crate) fn differences(&self, built: &Manifest) -> Vec<String> {
        let mut found = Vec::new();
        for new in &built.plugins {
            let Some(old) = self.plugins.iter().find(|old| old.name == new.name) else {
                found.push(format!("{} is not there", new.name));
                continue;
            };
            if old.sources != new.sources || old.summary != new.summary {
                found.push(format!("{} was built from other sources", new.name));
            } else if self.compiler == built.compiler && old.sha256 != new.sha256 {
                found.push(format!("{} has other bytes", new.name));
            }
        }
        for old in &self.plugins {
            if !built.plugins.iter().any(|new| new.name == old.name) {
                found.push(format!("{} has no sources", old.name));
            }
        }
        found
    }
}

/// Components of which `manifest` says nothing.
pub(crate) fn strangers(folder: &Path, manifest: &Manifest) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
        let component = path.extension().is_some_and(|extension| extension == "wasm");
        if component && !manifest.plugins.iter().any(|entry| entry.name == name) {
            found.push(path);
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest(compiler: &str, plugins: &[(&str, &str, &str)]) -> Manifest {
        let plugins = plugins.iter().map(|(name, sources, sha256)| Entry {
            name: (*name).to_owned(),
            kinds: vec!["health-check".to_owned()],
            summary: String::new(),
            sha256: (*sha256).to_owned(),
            bytes: 1,
            sources: (*sources).to_owned(),
        });
        Manifest { compiler: compiler.to_owned(), plugins: plugins.collect() }
    }

    #[test]
    fn bytes_are_compared_where_the_compiler_is_the_same_and_sources_always() {
        let old = manifest("1", &[("a", "s1", "b1"), ("b", "s1", "b1"), ("c", "s1", "b1")]);
        let new = manifest("1", &[("a", "s1", "b2"), ("b", "s2", "b2"), ("d", "s1", "b1")]);
        let all = [
            "a has other bytes",
            "b was built from other sources",
            "d is not there",
            "c has no sources",
        ];
        assert_eq!(old.differences(&new), all);
        let other = manifest("2", &[("a", "s1", "b2"), ("b", "s1", "b1"), ("c", "s1", "b1")]);
        assert!(old.differences(&other).is_empty());
    }
}
