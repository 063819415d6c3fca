//! `kennel plugin build`: from a project to a component.
//!
//! ```text
//! Rust        cargo ──────────────► core module ─┐
//! C    ─bindings─► clang ─────────► core module ─┼─► component (within kennel)
//! Go   ─bindings─► go build ──────► core module ─┘
//! Python      componentize-py ─────────────────────► component
//! JavaScript  componentize-qjs ────────────────────► component
//! ```
//!
//! The compilers of the languages are the user's. What turns a core module into a
//! component, and what makes the bindings for C and Go, is within this binary. Every
//! command that is run is shown first.

mod c;
mod component;
mod contract;
mod go;
mod javascript;
mod python;
mod rust;
mod tool;

use std::fs;
use std::io::Write as _;
use std::path::PathBuf;

use super::args::{BuildArgs, Language};
use super::project::Project;
use crate::cli::{ExitKind, Failure, Outcome};

pub(super) fn build(args: &BuildArgs) -> Outcome {
    let BuildArgs { directory, output } = args;
    let project = Project::open(directory)?;
    let output = match output {
        Some(path) => path.clone(),
        None => directory.join(format!("{}.wasm", project.manifest.name)),
    };
    let what = format!("build {}", project.manifest.name);
    let size = make(&project, &output).map_err(|failure| failure.doing(&what))?;
    writeln!(std::io::stdout(), "{}: {} KiB", output.display(), size.div_ceil(1024))?;
    Ok(ExitKind::Done)
}

/// Writes the component of `project` to `output`; its size in bytes.
fn make(project: &Project, output: &PathBuf) -> Result<usize, Failure> {
    // Tools write where they are told even when they fail: nothing that is there before is
    // touched until there is something to put in its place.
    fs::create_dir_all(project.scratch())?;
    let new = project.scratch().join(format!("{}.new.wasm", project.manifest.name));
    match project.manifest.language {
        Language::Rust => component::write(&rust::module(project)?, None, &new)?,
        Language::C => component::write(&c::module(project)?, None, &new)?,
        Language::Go => component::write(&go::module(project)?, Some(project), &new)?,
        Language::Python => python::component(project, &new)?,
        Language::Javascript => javascript::component(project, &new)?,
    }
    let bytes = fs::read(&new)?;
    fs::write(output, &bytes)
        .map_err(|error| Failure::from(error).doing(&format!("write \"{}\"", output.display())))?;
    // What is left of it is in the way of nobody.
    let _ = fs::remove_file(&new);
    Ok(bytes.len())
}
