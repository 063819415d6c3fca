//! The stock plugins and what each is built from.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use sha2::{Digest, Sha256};

use super::lock::Lock;

/// A stock plugin: a folder of `plugins/` with a package of the workspace.
pub(crate) struct Stock {
    pub(crate) name: String,
    pub(crate) package: String,
    pub(crate) summary: String,
}

/// All stock plugins, by name.
pub(crate) fn stock(root: &Path) -> Result<Vec<Stock>> {
    let workspace = fs::read_to_string(root.join("Cargo.toml"))?;
    let mut found = Vec::new();
    for member in workspace.split('"').filter_map(|word| word.strip_prefix("plugins/")) {
        let folder = root.join("plugins").join(member);
        let manifest = fs::read_to_string(folder.join("Cargo.toml"))?;
        let package = value(&manifest, "name").context("a package has a name")?;
        let summary = value(&manifest, "description")
            .with_context(|| format!("{package} needs a description, which users see"))?;
        found.push(Stock { name: member.to_owned(), package, summary });
    }
    found.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(found)
}

/// The text of a key that stands on a line of its own.
fn value(manifest: &str, key: &str) -> Option<String> {
    let line =
        manifest.lines().find_map(|line| line.strip_prefix(key)?.trim_start().strip_prefix('='));
    Some(line?.trim().trim_matches('"').to_owned())
}

/// Hexadecimal.
pub(crate) fn sha256(bytes: &[u8]) -> String {
    let digest = Sha256::digest(bytes);
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Of everything that decides on a plugin's bytes, apart from the compiler.
pub(crate) fn digest(root: &Path, plugin: &Stock) -> Result<String> {
    let lock = fs::read_to_string(root.join("Cargo.lock"))?;
    let closure = Lock::parse(&lock)?.closure(&plugin.package)?;
    let mut digest = Sha256::new();
    let mut add = |name: &str, bytes: &[u8]| {
        digest.update((name.len() as u64).to_le_bytes());
        digest.update(name);
        digest.update((bytes.len() as u64).to_le_bytes());
        digest.update(bytes);
    };
    let workspace = fs::read_to_string(root.join("Cargo.toml"))?;
    add("profile", section(&workspace, "[profile.plugin]").as_bytes());
    for package in &closure {
        add("package", package.as_bytes());
    }
    for folder in folders(&closure, plugin) {
        for file in files(&root.join(&folder))? {
            let name = file.strip_prefix(root)?.to_str().context("its name is UTF-8")?.to_owned();
            add(&name, &fs::read(&file)?);
        }
        add(
            "dependencies",
            dependencies(&workspace, &fs::read_to_string(root.join(folder).join("Cargo.toml"))?)
                .as_bytes(),
        );
    }
    Ok(digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}

/// The packages of the workspace that a plugin is made of.
fn folders(closure: &std::collections::BTreeSet<&str>, plugin: &Stock) -> Vec<String> {
    let mut folders = vec![format!("plugins/{}", plugin.name)];
    for (package, folder) in [("kennel-plugin", "plugin-sdk"), ("kennel-core", "host/core")] {
        if closure.iter().any(|text| text.starts_with(&format!("name = \"{package}\"\n"))) {
            folders.push(folder.to_owned());
        }
    }
    folders
}

/// The sources of a package. Tests, and what only they use, make no difference to a component.
fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut found = vec![folder.join("Cargo.toml")];
    let mut open = vec![folder.join("src")];
    while let Some(next) = open.pop() {
        for entry in
            fs::read_dir(&next).with_context(|| format!("cannot read {}", next.display()))?
        {
            let path = entry?.path();
            if path.is_dir() {
                if path.file_name().is_some_and(|name| name != "testing" && name != "tests") {
                    open.push(path);
                }
            } else {
                found.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}

/// A section of a manifest, up to the next one.
fn section<'a>(manifest: &'a str, head: &str) -> &'a str {
    let Some((_, rest)) = manifest.split_once(head) else { return "" };
    rest.split("\n[").next().unwrap_or_default()
}

/// How the workspace has the dependencies of a package: their features matter.
fn dependencies(workspace: &str, manifest: &str) -> String {
    let shared = section(workspace, "[workspace.dependencies]");
    let named = manifest.lines().filter_map(|line| line.strip_suffix(".workspace = true"));
    let mut lines: Vec<&str> = named
        .filter_map(|name| shared.lines().find(|line| line.starts_with(&format!("{name} ="))))
        .map(|line| line.split(" #").next().unwrap_or_default().trim_end())
        .collect();
    lines.sort_unstable();
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_decides_on_a_component_is_in_its_digest() {
        let folder = tempfile::tempdir().expect("a folder");
        let root = folder.path();
        let write = |path: &str, text: &str| {
            let path = root.join(path);
            fs::create_dir_all(path.parent().expect("below")).expect("created");
            fs::write(path, text).expect("written");
        };
        let workspace = "members = [\"plugins/x\"]\n[workspace.dependencies]\nserde = \"1\"\n\
                         [profile.plugin]\nlto = true\n[profile.dev]\ndebug = 1\n";
        write("Cargo.toml", workspace);
        let lock = "[[package]]\nname = \"p-x\"\nversion = \"1\"\ndependencies = [\n \"kennel-plugin\",\n]\n\
                    [[package]]\nname = \"kennel-plugin\"\nversion = \"1\"\n\
                    [[package]]\nname = \"other\"\nversion = \"1\"\n";
        write("Cargo.lock", lock);
        let manifest = "name = \"p-x\"\ndescription = \"Does x\"\nserde.workspace = true\n";
        write("plugins/x/Cargo.toml", manifest);
        write("plugins/x/src/lib.rs", "// x");
        write("plugin-sdk/Cargo.toml", "name = \"kennel-plugin\"\n");
        write("plugin-sdk/src/lib.rs", "// sdk");
        write("plugin-sdk/src/testing/mod.rs", "// tests");
        let now = || {
            let plugins = stock(root).expect("readable");
            assert_eq!((plugins[0].name.as_str(), plugins[0].summary.as_str()), ("x", "Does x"));
            digest(root, &plugins[0]).expect("readable")
        };
        let before = now();
        for (path, text, matters) in [
            ("plugins/x/src/lib.rs", "// y", true),
            ("plugins/x/src/new.rs", "", true),
            ("plugin-sdk/src/lib.rs", "// other", true),
            ("plugin-sdk/src/testing/mod.rs", "// other", false),
            ("plugins/x/README.md", "# x", false),
            ("Cargo.toml", &workspace.replace("serde = \"1\"", "serde = \"2\""), true),
            ("Cargo.toml", &workspace.replace("lto = true", "lto = false"), true),
            ("Cargo.toml", &workspace.replace("debug = 1", "debug = 2"), false),
            (
                "Cargo.lock",
                &lock.replace("kennel-plugin\"\nversion = \"1", "kennel-plugin\"\nversion = \"2"),
                true,
            ),
            (
                "Cargo.lock",
                &lock.replace("other\"\nversion = \"1", "other\"\nversion = \"2"),
                false,
            ),
        ] {
            let old = fs::read(root.join(path)).ok();
            write(path, text);
            assert_eq!(now() != before, matters, "{path}: {text}");
            match old {
                Some(old) => fs::write(root.join(path), old).expect("written"),
                None => fs::remove_file(root.join(path)).expect("removed"),
            }
        }
        assert_eq!(now(), before);
    }
}
