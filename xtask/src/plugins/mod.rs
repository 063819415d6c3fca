//! `cargo xtask plugins`: builds the stock plugins into `host/stock`.

mod bindings;

use std::path::{Path, PathBuf};
use anyhow::Result;

/// The workspace.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace").to_owned()
}

pub(crate) fn bindings() -> Result<()> {
    for file in bindings::generate(&root())? {
        std::fs::create_dir_all(root().join("plugin-sdk/src/bindings"))?;
        std::fs::write(root().join(file.path), file.text)?;
    }
    Ok(())
}
