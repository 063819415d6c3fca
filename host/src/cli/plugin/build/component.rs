//! From a core module to a component, in this process.

use std::fs;
use std::path::Path;

use wasi_preview1_component_adapter_provider::{
    WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME, WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER,
};
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};

use super::contract::Contract;
use crate::cli::plugin::project::Project;
use crate::cli::{ExitKind, Failure};

/// Writes the component of the core module in the file `module` to `output`.
///
/// A module that does not say itself which world it implements gets that of `project`.
pub(super) fn write(
    module: &Path,
    project: Option<&Project>,
    output: &Path,
) -> Result<(), Failure> {
    let mut module = fs::read(module)?;
    if let Some(project) = project {
        let Contract { resolve, world } = Contract::open(project)?;
        embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8, false)
            .map_err(|error| Failure::new(ExitKind::Failed, format!("{error:#}")))?;
    }
    let mut encoder = ComponentEncoder::default();
    // Guests that use a libc ask for WASI 0.1; the adapter gives it in terms of 0.2. It is
    // left out where nothing asks for it.
    let adapter = (WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME, WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER);
    let component = encoder
        .module(&module)
        .and_then(|encoder| encoder.adapter(adapter.0, adapter.1))
        .and_then(|encoder| encoder.validate(true).encode());
    let component = component.map_err(|error| {
        let failure = Failure::new(ExitKind::Failed, format!("no component: {error:#}"));
        failure.hint("does the plugin export what the contract in wit/ says, with these types?")
    })?;
    fs::write(output, component)?;
    Ok(())
}
