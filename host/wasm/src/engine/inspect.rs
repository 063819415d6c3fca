//! What a component is, for people who are about to trust it.

use std::time::Duration;

use wasmparser::{KnownCustom, Parser, Payload};
use wasmtime::Engine;
use wasmtime::component::Component;

use crate::engine::cache::hex;
use crate::engine::contract::names::{self, Name};
use crate::engine::text::line;
use crate::error::LoadError;
use crate::model::Kind;

/// So many notes on its origin are shown.
const PRODUCERS: usize = 32;
/// Bytes of such a note.
const PRODUCER_BYTES: usize = 128;

/// What a component is and would ask for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inspection {
    /// What it is for; empty: it is no plugin, or one for another version of the contract.
    pub kinds: Vec<Kind>,
    /// The version of the contract it was made for.
    pub contract: Option<String>,
    /// What it imports, with version.
    pub imports: Vec<String>,
    /// What it exports, with version.
    pub exports: Vec<String>,
    /// Imports that this host does not have.
    pub unknown_imports: Vec<String>,
    /// Grants that it can make use of: `net`, `http`, `unix`, `files`, `exec`, `give_up`.
    pub asks: Vec<&'static str>,
    /// Size of the component, in bytes.
    pub bytes: u64,
    /// Size of its compiled form in memory, in bytes.
    pub code_bytes: u64,
    /// Its SHA-256, in hexadecimal.
    pub sha256: String,
    /// How long compiling took; zero when it came from the cache.
    pub compile: Duration,
    /// Whether its compiled form came from the cache.
    pub cached: bool,
    /// What made it, as it says itself: (`language`, `Rust`), (`processed-by`, `rustc 1.95.0`), …
    pub producers: Vec<(String, String)>,
}

/// How a component was compiled.
pub(crate) struct Compiled {
    pub(crate) took: Duration,
    pub(crate) cached: bool,
}

/// Looks into a component. Beside what it is: its kinds, or why it is no plugin.
pub(crate) fn inspect(
    engine: &Engine,
    bytes: &[u8],
    sha256: &[u8; 32],
    component: &Component,
    compiled: Compiled,
) -> (Inspection, Result<Vec<Kind>, LoadError>) {
    let of = component.component_type();
    let imports: Vec<String> = of.imports(engine).map(|(name, _)| name.into()).collect();
    let exports: Vec<String> = of.exports(engine).map(|(name, _)| name.into()).collect();
    let kinds = names::kinds(&exports);
    let found = kinds.as_deref().unwrap_or_default().to_vec();
    let image = component.image_range();
    let Compiled { took, cached } = compiled;
    let inspection = Inspection {
        contract: contract(&exports).or_else(|| contract(&imports)),
        unknown_imports: names::unknown(&imports),
        asks: asks(&imports, &found),
        kinds: found,
        imports,
        exports,
        bytes: bytes.len() as u64,
        code_bytes: (image.end as usize).saturating_sub(image.start as usize) as u64,
        sha256: hex(sha256),
        compile: took,
        cached,
        producers: producers(bytes),
    };
    (inspection, kinds)
}

/// The version of the contract that these names are of.
fn contract(names: &[String]) -> Option<String> {
    names.iter().find_map(|name| Name::parse(name)?.contract_version()).map(Into::into)
}

/// What it can make use of.
fn asks(imports: &[String], kinds: &[Kind]) -> Vec<&'static str> {
    let mut asks: Vec<_> =
        imports.iter().filter_map(|import| Name::parse(import)).flat_map(|n| n.grants()).collect();
    if kinds.contains(&Kind::RestartPolicy) {
        asks.push(&"give_up");
    }
    asks.sort_unstable();
    asks.dedup();
    asks.into_iter().copied().collect()
}

/// What is noted of its origin, in it and in the modules that it is made of
/// (tool-conventions, "ProducersSection").
fn producers(bytes: &[u8]) -> Vec<(String, String)> {
    let mut found = Vec::new();
    // What cannot be read says nothing; the component itself was read already.
    for payload in Parser::new(0).parse_all(bytes).map_while(Result::ok) {
        let Payload::CustomSection(section) = payload else { continue };
        let KnownCustom::Producers(fields) = section.as_known() else { continue };
        for field in fields.into_iter().map_while(Result::ok) {
            for value in field.values.into_iter().map_while(Result::ok) {
                let what = format!("{} {}", value.name, value.version);
                let note = (line(field.name, PRODUCER_BYTES), line(&what, PRODUCER_BYTES));
                if !found.contains(&note) && found.len() < PRODUCERS {
                    found.push(note);
                }
            }
        }
    }
    found
}
