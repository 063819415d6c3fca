//! `kennel plugin inspect`

use std::io::Write as _;
use std::sync::Arc;

use kennel_wasm::Inspection;

use super::args::InspectArgs;
use super::lab::{Lab, listed, refused};
use super::source::Source;
use crate::cli::{ExitKind, Failure, Outcome};

pub(super) fn inspect(args: &InspectArgs) -> Outcome {
    let InspectArgs { plugin, json } = args;
    let source = Source::read(plugin)?;
    // How long compiling takes is one of the answers: nothing comes from a cache.
    let lab = Lab::with_cache(None)?;
    let inspected = lab.wait(lab.runtime().inspect(Arc::clone(&source.bytes)));
    let inspection = inspected.map_err(|error| refused(&source, &error))?;
    let text = if *json { as_json(&inspection)? } else { as_text(&inspection) };
    writeln!(std::io::stdout(), "{text}")?;
    Ok(ExitKind::Done)
}

fn as_text(inspection: &Inspection) -> String {
    let Inspection {
        kinds,
        contract,
        imports,
        exports,
        unknown_imports,
        asks,
        bytes,
        code_bytes,
        sha256,
        compile,
        cached: _,
        producers,
    } = inspection;
    let none = |text: String| if text.is_empty() { "none".to_owned() } else { text };
    let mut rows = vec![
        ("kinds", none(listed(kinds))),
        ("contract", contract.clone().unwrap_or_else(|| "none".to_owned())),
        ("asks for", none(asks.join(", "))),
        ("size", format!("{} KiB, {} KiB compiled", kib(*bytes), kib(*code_bytes))),
        ("compiled in", format!("{:.1} ms", compile.as_secs_f64() * 1000.0)),
        ("sha256", sha256.clone()),
    ];
    let made_by: Vec<String> = producers.iter().map(|(_, value)| value.clone()).collect();
    rows.push(("made by", none(made_by.join(", "))));
    rows.extend(list("imports", imports));
    rows.extend(list("exports", exports));
    rows.extend(list("unknown imports", unknown_imports));
    let width = rows.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    let lines = rows.iter().map(|(name, value)| format!("{name:width$}  {value}"));
    lines.collect::<Vec<_>>().join("\n")
}

/// One line each, the name before the first.
fn list(name: &'static str, values: &[String]) -> Vec<(&'static str, String)> {
    let names = std::iter::once(name).chain(std::iter::repeat(""));
    names.zip(values.iter().cloned()).collect()
}

fn kib(bytes: u64) -> u64 {
    bytes.div_ceil(1024)
}

fn as_json(inspection: &Inspection) -> Result<String, Failure> {
    let Inspection {
        kinds,
        contract,
        imports,
        exports,
        unknown_imports,
        asks,
        bytes,
        code_bytes,
        sha256,
        compile,
        cached: _,
        producers,
    } = inspection;
    let kinds: Vec<&str> = kinds.iter().map(|kind| kind.name()).collect();
    let producers: Vec<_> = producers
        .iter()
        .map(|(field, value)| serde_json::json!({ "field": field, "value": value }))
        .collect();
    let value = serde_json::json!({
        "kinds": kinds,
        "contract": contract,
        "asks": asks,
        "imports": imports,
        "exports": exports,
        "unknown_imports": unknown_imports,
        "bytes": bytes,
        "code_bytes": code_bytes,
        "compile_ms": compile.as_secs_f64() * 1000.0,
        "sha256": sha256,
        "producers": producers,
    });
    serde_json::to_string_pretty(&value).map_err(|error| std::io::Error::from(error).into())
}
