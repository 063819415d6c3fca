//! Go: `go build` for wasip1, with bindings in Go.

use std::path::PathBuf;
use std::process::Command;

use super::contract::Contract;
use super::tool;
use crate::cli::Failure;
use crate::cli::plugin::project::Project;

/// Compiles the module and the bindings into a core module.
pub(super) fn module(project: &Project) -> Result<PathBuf, Failure> {
    let go = tool::find(&["go"], &[PathBuf::from("/usr/local/go/bin")]).ok_or_else(|| {
        tool::missing("go", "Go 1.27 or later makes plugins; see https://go.dev/dl")
    })?;
    let generator = &mut *wit_bindgen_go::Opts::default().build();
    // The project has a go.mod of its own, which may require more.
    Contract::open(project)?.write_bindings(generator, &project.directory, &["go.mod"])?;
    let module = std::path::absolute(project.scratch().join("module.wasm"))?;
    let mut command = Command::new(go);
    command
        .current_dir(&project.directory)
        .envs([("GOOS", "wasip1"), ("GOARCH", "wasm")])
        .args([
            "build",
            "-mod=mod",
            "-buildmode=c-shared",
            "-trimpath",
            "-ldflags=-s -w -checklinkname=0",
        ])
        .args(&project.manifest.flags)
        .arg("-o")
        .arg(&module)
        .arg(".");
    tool::run(&mut command)?;
    Ok(module)
}
