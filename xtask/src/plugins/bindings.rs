//! The SDK's side of the contract: `plugin-sdk/src/bindings/`, generated from `wit/` and
//! committed, so that authors' builds need no generator.
//!
//! One module holds the bindings of all kinds. What makes a core module a plugin of certain
//! kinds is a custom section that says which interfaces it may import and has to export: there
//! is one for every set of kinds.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::{Context, Result};
use wit_bindgen_core::wit_parser::{PackageId, Resolve};
use wit_bindgen_core::{Files, WorldGenerator};
use wit_bindgen_rust::Opts;
use wit_component::StringEncoding;

/// The worlds of the contract, in the order of the bits that `export!` has for them.
const WORLDS: [&str; 3] = ["health-check-plugin", "restart-policy-plugin", "event-sink-plugin"];

/// Every kind at once.
const ALL: usize = (1 << WORLDS.len()) - 1;

/// Where the macro begins that exports everything.
const EXPORTS: &str = "/// Generates `#[unsafe(no_mangle)]` functions";

/// A generated file: its path below the workspace, and its text.
pub(crate) struct Generated {
    pub(crate) path: &'static str,
    pub(crate) text: String,
}

/// What `wit/` below `root` makes of the SDK's bindings.
pub(crate) fn generate(root: &Path) -> Result<[Generated; 2]> {
    let mut resolve = Resolve::default();
    let (contract, _) = resolve.push_dir(root.join("wit")).context("cannot read wit/")?;
    let name = resolve.packages[contract].name.clone();
    let version = name.version.as_ref().context("the contract has a version")?.to_string();
    let sets = resolve.push_source("sets.wit", &sets(&version))?;
    let sections = sections(&resolve, sets)?;
    let code = bindings(&mut resolve, sets)?;
    Ok([
        Generated { path: "plugin-sdk/src/bindings/generated.rs", text: code },
        Generated { path: "plugin-sdk/src/bindings/sections.rs", text: sections },
    ])
}

/// One world for every set of kinds.
fn sets(version: &str) -> String {
    let mut text = String::from("package kennel:sdk;\n");
    for set in 1..=ALL {
        let _ = writeln!(text, "world set-{set} {{");
        for world in kinds_of(set) {
            let _ = writeln!(text, "    include kennel:plugin/{world}@{version};");
        }
        text.push_str("}\n");
    }
    text
}

fn kinds_of(set: usize) -> impl Iterator<Item = &'static str> {
    WORLDS.iter().enumerate().filter(move |(bit, _)| set & (1 << bit) != 0).map(|(_, name)| *name)
}

fn bindings(resolve: &mut Resolve, sets: PackageId) -> Result<String> {
    let world = resolve.select_world(&[sets], Some(&format!("set-{ALL}")))?;
    let options = Opts {
        format: true,
        generate_all: true,
        generate_unused_types: true,
        pub_export_macro: true,
        disable_custom_section_link_helpers: true,
        ..Opts::default()
    };
    let mut files = Files::default();
    options.build().generate(resolve, world, &mut files)?;
    let (_, code) = files.iter().next().context("the generator made a file")?;
    let code = String::from_utf8(code.to_vec())?;
    // What follows exports all kinds at once, whether a plugin has them or not.
    let (code, _) = code.split_once(EXPORTS).context("the generator exports")?;
    Ok(format!("//! The contract as Rust, made from `wit/`. Not to be edited.\n\n{code}"))
}

fn sections(resolve: &Resolve, sets: PackageId) -> Result<String> {
    let mut text = String::from(
        "//! What a module says of its interfaces, for every set of kinds, made from\n\
         //! `wit/`. Not to be edited.\n\n\
         /// The custom section of a plugin with these kinds: 1 health check, 2 restart policy,\n\
         /// 4 event sink.\n\
         #[rustfmt::skip]\n\
         pub const fn section(kinds: usize) -> &'static [u8] {\n    match kinds {\n",
    );
    for set in 1..=ALL {
        let world = resolve.select_world(&[sets], Some(&format!("set-{set}")))?;
        let bytes =
            wit_component::metadata::encode(resolve, world, StringEncoding::UTF8, None, false)?;
        let _ = writeln!(text, "        {set} => b\"{}\",", bytes.escape_ascii());
    }
    text.push_str("        _ => panic!(\"a plugin has at least one kind\"),\n    }\n}\n");
    Ok(text)
}
