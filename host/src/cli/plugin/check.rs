//! `kennel plugin check`: the contract, and a configuration.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;

use kennel_wasm::CallLimits;

use super::args::CheckArgs;
use super::lab::{Lab, Loaded, listed};
use super::source::Source;
use super::test::Script;
use crate::cli::{ExitKind, Failure, Outcome};

pub(super) fn check(args: &CheckArgs) -> Outcome {
    let CheckArgs { plugin, config } = args;
    let source = Source::read(plugin)?;
    let config = config.as_deref().map(read).transpose()?;
    let lab = Lab::new()?;
    // A plugin that asks for something while it is configured gets nothing.
    let nothing = Arc::new(Script::default());
    let Loaded { plugin, .. } = lab.load(&source, CallLimits::default(), nothing)?;
    if let Some(config) = &config {
        for kind in plugin.kinds() {
            lab.configure(&plugin, *kind, config)?;
        }
    }
    let configured = if config.is_some() { ", the configuration too" } else { "" };
    writeln!(std::io::stdout(), "{}: ok, {}{configured}", source.label, listed(plugin.kinds()))?;
    Ok(ExitKind::Done)
}

/// YAML, of which JSON is a part, as JSON.
fn read(path: &Path) -> Result<String, Failure> {
    let what = format!("read \"{}\"", path.display());
    let text = fs::read_to_string(path).map_err(|error| Failure::from(error).doing(&what))?;
    let value: serde_json::Value = serde_yaml::from_str(&text)
        .map_err(|error| Failure::new(ExitKind::Invalid, format!("{}: {error}", path.display())))?;
    Ok(value.to_string())
}
