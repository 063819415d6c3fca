//! JavaScript: componentize-qjs puts QuickJS and `plugin.js` into one file.

use std::path::Path;
use std::process::Command;

use super::tool;
use crate::cli::Failure;
use crate::cli::plugin::project::Project;

/// The version that projects ask for, and that the examples are built with.
pub(super) const VERSION: &str = "0.4.5";

/// Writes the component to `output`.
pub(super) fn component(project: &Project, output: &Path) -> Result<(), Failure> {
    let directory = &project.directory;
    let folders = [directory.join("node_modules/.bin")];
    let tool = tool::find(&["componentize-qjs"], &folders).ok_or_else(|| {
        tool::missing(
            "componentize-qjs",
            format!("npm install --prefix {} componentize-qjs@{VERSION}", directory.display()),
        )
    })?;
    let mut command = Command::new(tool);
    command
        .arg("--wit")
        .arg(project.wit())
        .args(["--world", project.world(), "--js"])
        .arg(directory.join("plugin.js"))
        .arg("--module-root")
        .arg(directory)
        // Calls of a plugin are calls, not streams: the asynchronous form of components
        // would only cost.
        .args(["--sync", "--opt-size"])
        .args(&project.manifest.flags)
        .arg("--output")
        .arg(output);
    tool::run(&mut command)
}
