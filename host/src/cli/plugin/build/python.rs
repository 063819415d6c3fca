//! Python: componentize-py puts the interpreter and what `plugin.py` imports into one file.

use std::path::Path;
use std::process::Command;

use super::tool;
use crate::cli::Failure;
use crate::cli::plugin::project::Project;

/// The version that projects ask for, and that the examples are built with.
pub(super) const VERSION: &str = "0.25.1";

/// Writes the component to `output`.
pub(super) fn component(project: &Project, output: &Path) -> Result<(), Failure> {
    let directory = &project.directory;
    // Beside the project first: what is there was put there for it.
    let folders = [directory.join(".venv/bin"), directory.join("venv/bin")];
    let tool = tool::find(&["componentize-py"], &folders).ok_or_else(|| {
        tool::missing(
            "componentize-py",
            format!(
                "python3 -m venv {0}/.venv && {0}/.venv/bin/pip install componentize-py=={VERSION}",
                directory.display()
            ),
        )
    })?;
    let mut command = Command::new(tool);
    command
        .args(["--quiet", "--wit-path"])
        .arg(project.wit())
        .args(["--world", project.world(), "componentize", "--python-path"])
        .arg(directory)
        .args(&project.manifest.flags)
        .args(["plugin", "--output"])
        .arg(output);
    tool::run(&mut command)
}
