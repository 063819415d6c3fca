//! `cargo xtask plugins`: from the sources in `plugins/` to the components in `host/stock`.
//!
//! The components are committed, so that building Kennel needs no Wasm toolchain. Beside them
//! stands what they were built from; the tests of this module, which need no toolchain either,
//! see to it that sources and components do not drift apart.
//!
//! ```text
//! wit/ ─► plugin-sdk/src/bindings
//! plugins/NAME + plugin-sdk + locked dependencies ─► core module ─► host/stock/NAME.wasm
//!                                  └─ digest ─────────────────────► host/stock/manifest.json
//! ```

mod bindings;
mod compiler;
mod component;
mod lock;
mod manifest;
mod sources;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::runner::step;
use compiler::{Choice, Compiler};
use manifest::{Entry, Manifest};

/// How the stock plugins are built.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Build and compare with what is committed, rather than write it.
    #[arg(long)]
    check: bool,
    /// Only make the SDK's bindings from wit/.
    #[arg(long, conflicts_with = "check")]
    bindings: bool,
    /// Which compiler: rustup's with its target, the distribution's with its standard library
    /// built anew, or the first of them that is there.
    #[arg(long, value_enum, default_value_t = Choice::Any)]
    compiler: Choice,
}

/// The workspace.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace").to_owned()
}

pub(crate) fn plugins(args: &Args) -> Result<()> {
    let root = root();
    if !args.check {
        write_bindings(&root)?;
    }
    if args.bindings {
        return Ok(());
    }
    let compiler = Compiler::find(args.compiler)?;
    step(&format!("stock plugins, by {}", compiler.description()));
    try_examples(&root, &compiler)?;
    let built = build(&root, &compiler)?;
    for entry in &built.manifest.plugins {
        println!("{:14} {:>7} bytes  {}", entry.name, entry.bytes, entry.kinds.join(", "));
    }
    if args.check { built.compare(&root) } else { built.write(&root) }
}

/// Examples of the SDK and the kinds that they have to be.
const EXAMPLES: [(&str, &[&str]); 3] = [
    ("redis", &["health-check"]),
    ("patience", &["restart-policy"]),
    ("gate", &["health-check", "event-sink"]),
];

/// What `export!` makes for each set of kinds is a component that has these kinds.
fn try_examples(root: &Path, compiler: &Compiler) -> Result<Vec<(&'static str, Vec<u8>)>> {
    compiler.build_examples(root)?;
    let mut components = Vec::new();
    for (name, kinds) in EXAMPLES {
        let component = component::encode(&compiler.output(&format!("examples/{name}"))?)
            .with_context(|| format!("cannot make a component of the example {name}"))?;
        let found = component::kinds(&component)?;
        if found.iter().any(|kind| !kinds.contains(&kind.as_str())) || found.len() != kinds.len() {
            bail!("the example {name} is {found:?}, not {kinds:?}");
        }
        println!("{name:14} {:>7} bytes  {} (example)", component.len(), kinds.join(", "));
        components.push((name, component));
    }
    Ok(components)
}

/// The examples of the SDK, by name, as components.
pub(crate) fn examples() -> Result<Vec<(&'static str, Vec<u8>)>> {
    try_examples(&root(), &Compiler::find(Choice::Any)?)
}

fn write_bindings(root: &Path) -> Result<()> {
    for file in bindings::generate(root)? {
        write_if_changed(&root.join(file.path), file.text.as_bytes())?;
    }
    Ok(())
}

/// Leaves the time of an unchanged file alone, so that nothing is built anew for it.
fn write_if_changed(path: &Path, bytes: &[u8]) -> Result<()> {
    if fs::read(path).is_ok_and(|before| before == bytes) {
        return Ok(());
    }
    fs::write(path, bytes).with_context(|| format!("cannot write {}", path.display()))
}

/// The components and what is said of them.
struct Built {
    manifest: Manifest,
    components: Vec<Vec<u8>>,
}

fn build(root: &Path, compiler: &Compiler) -> Result<Built> {
    let plugins = sources::stock(root)?;
    compiler.build(root, plugins.iter().map(|plugin| plugin.package.as_str()))?;
    let mut manifest = Manifest { compiler: compiler.description(), plugins: Vec::new() };
    let mut components = Vec::new();
    for plugin in plugins {
        let module = compiler.output(&plugin.package)?;
        let component = component::encode(&module)
            .with_context(|| format!("cannot make a component of {}", plugin.package))?;
        manifest.plugins.push(Entry {
            kinds: component::kinds(&component)?,
            sha256: sources::sha256(&component),
            bytes: component.len() as u64,
            sources: sources::digest(root, &plugin)?,
            name: plugin.name,
            summary: plugin.summary,
        });
        components.push(component);
    }
    Ok(Built { manifest, components })
}

impl Built {
    fn write(&self, root: &Path) -> Result<()> {
        let folder = root.join("host/stock");
        fs::create_dir_all(&folder)?;
        for (entry, component) in self.manifest.plugins.iter().zip(&self.components) {
            write_if_changed(&folder.join(format!("{}.wasm", entry.name)), component)?;
        }
        for file in manifest::strangers(&folder, &self.manifest)? {
            fs::remove_file(file)?;
        }
        self.manifest.write(&folder)
    }

    fn compare(&self, root: &Path) -> Result<()> {
        let committed = Manifest::read(&root.join("host/stock"))?;
        let found = committed.differences(&self.manifest);
        if !found.is_empty() {
            bail!(
                "host/stock is not what its sources make:\n  {}\nrun: cargo xtask plugins",
                found.join("\n  ")
            );
        }
        if committed.compiler == self.manifest.compiler {
            println!("every component is, byte for byte, what its sources make");
        } else {
            println!(
                "built by {}, committed by {}: the sources are the same, the bytes cannot be",
                self.manifest.compiler, committed.compiler
            );
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn committed() -> Manifest {
        Manifest::read(&root().join("host/stock")).expect("readable")
    }

    #[test]
    fn the_sdks_bindings_are_what_the_contract_makes() {
        for file in bindings::generate(&root()).expect("valid") {
            let text = fs::read_to_string(root().join(file.path)).expect("readable");
            assert!(
                text == file.text,
                "{} is not what wit/ makes; run: cargo xtask plugins --bindings",
                file.path
            );
        }
    }

    #[test]
    fn the_stock_components_are_built_from_these_sources() {
        let plugins = sources::stock(&root()).expect("readable");
        let committed = committed();
        let mut drifted = Vec::new();
        for plugin in &plugins {
            let entry = committed.plugins.iter().find(|entry| entry.name == plugin.name);
            let digest = sources::digest(&root(), plugin).expect("readable");
            if entry.is_none_or(|entry| entry.sources != digest || entry.summary != plugin.summary)
            {
                drifted.push(plugin.name.as_str());
            }
        }
        assert!(
            drifted.is_empty(),
            "the sources of {drifted:?} are not those of host/stock; run: cargo xtask plugins"
        );
        assert_eq!(
            committed.plugins.len(),
            plugins.len(),
            "host/stock has plugins without sources"
        );
    }

    #[test]
    fn the_stock_components_are_those_of_the_manifest() {
        let folder = root().join("host/stock");
        let committed = committed();
        for entry in &committed.plugins {
            let bytes = fs::read(folder.join(format!("{}.wasm", entry.name))).expect("readable");
            assert_eq!(sources::sha256(&bytes), entry.sha256, "{}.wasm", entry.name);
            assert_eq!(component::kinds(&bytes).expect("a component"), entry.kinds);
        }
        let table = fs::read_to_string(folder.join("table.inc")).expect("readable");
        assert_eq!(table, committed.table(), "host/stock/table.inc");
        let strangers = manifest::strangers(&folder, &committed).expect("readable");
        assert!(strangers.is_empty(), "without sources: {strangers:?}");
    }

    #[test]
    fn every_stock_plugin_has_a_readme_and_a_line_in_the_list_of_them() {
        let list = fs::read_to_string(root().join("plugins/README.md")).expect("readable");
        for plugin in sources::stock(&root()).expect("readable") {
            let name = &plugin.name;
            assert!(
                list.contains(&format!("[`{name}`]({name})")),
                "plugins/README.md lacks {name}"
            );
            let readme = root().join("plugins").join(name).join("README.md");
            let text = fs::read_to_string(&readme).unwrap_or_default();
            assert!(text.starts_with(&format!("# `{name}`: ")), "{}", readme.display());
        }
    }
}
