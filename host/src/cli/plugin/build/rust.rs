//! Rust: cargo, for wasm32-unknown-unknown.
//!
//! Where that target is not installed and cannot be, because the toolchain comes from a
//! distribution, its standard library can be built from source, if the sources are there.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::tool;
use crate::cli::plugin::project::Project;
use crate::cli::{ExitKind, Failure};

const TARGET: &str = "wasm32-unknown-unknown";

/// How the standard library of the target is had.
enum Std {
    /// It is installed.
    Installed,
    /// It is built on the way, by this compiler, with this linker.
    Built { rustc: PathBuf, linker: PathBuf },
}

/// Compiles the crate into a core module.
pub(super) fn module(project: &Project) -> Result<PathBuf, Failure> {
    let cargo = tool::find(&["cargo"], &[])
        .ok_or_else(|| tool::missing("cargo", "see https://rustup.rs"))?;
    let target_dir = std::path::absolute(project.scratch().join("cargo"))?;
    let mut command = Command::new(cargo);
    command
        .current_dir(&project.directory)
        .args(["build", "--release", "--target", TARGET, "--target-dir"])
        .arg(&target_dir)
        .args(&project.manifest.flags);
    match std_of_target(&project.directory)? {
        Std::Installed => {}
        Std::Built { rustc, linker } => {
            command
                .env("RUSTC", rustc)
                // The option is not stable, and what it does here has not changed for years.
                .env("RUSTC_BOOTSTRAP", "1")
                .env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER", linker)
                .arg("-Zbuild-std=std,panic_abort");
        }
    }
    tool::run(&mut command)?;
    // Crate names have "_" where packages have "-".
    let file = format!("{}.wasm", project.manifest.name.replace('-', "_"));
    let module = target_dir.join(TARGET).join("release").join(&file);
    if module.exists() {
        return Ok(module);
    }
    let message = format!("cargo made no \"{file}\"");
    let hint = "the package in Cargo.toml must have the name in plugin.yaml, and crate-type = [\"cdylib\"]";
    Err(Failure::new(ExitKind::Failed, message).hint(hint))
}

fn std_of_target(directory: &Path) -> Result<Std, Failure> {
    // In the folder of the project: rustup chooses a toolchain by it.
    let asked = |rustc: &Path, args: &[&str]| {
        tool::ask(Command::new(rustc).current_dir(directory).args(args)).map(PathBuf::from)
    };
    let chosen = std::env::var_os("RUSTC").map(PathBuf::from);
    let usual = chosen.unwrap_or_else(|| PathBuf::from("rustc"));
    let libraries = asked(&usual, &["--print", "target-libdir", "--target", TARGET]);
    if libraries.is_some_and(|folder| folder.is_dir()) {
        return Ok(Std::Installed);
    }
    let candidates = [usual, PathBuf::from("/usr/bin/rustc")];
    let sysroots: Vec<(PathBuf, PathBuf)> = candidates
        .into_iter()
        .filter_map(|rustc| asked(&rustc, &["--print", "sysroot"]).map(|root| (rustc, root)))
        .collect();
    let with_source = sysroots
        .iter()
        .find(|(_rustc, sysroot)| sysroot.join("lib/rustlib/src/rust/library/std").is_dir());
    match (with_source, linker(&sysroots)) {
        (Some((rustc, _sysroot)), Some(linker)) => Ok(Std::Built { rustc: rustc.clone(), linker }),
        (Some(_), None) | (None, Some(_) | None) => Err(tool::missing(
            &format!("the target {TARGET} of Rust"),
            format!("rustup target add {TARGET}"),
        )),
    }
}

/// rust-lld of a toolchain, or lld of the system.
fn linker(sysroots: &[(PathBuf, PathBuf)]) -> Option<PathBuf> {
    let of_toolchain = |sysroot: &PathBuf| {
        let hosts = sysroot.join("lib/rustlib").read_dir().ok()?;
        let mut found = hosts
            .flatten()
            .map(|host| host.path().join("bin/rust-lld"))
            .filter(|file| file.is_file());
        found.next()
    };
    let mut found = sysroots.iter().filter_map(|(_rustc, sysroot)| of_toolchain(sysroot));
    found.next().or_else(|| tool::find(&["wasm-ld", "wasm-ld-19", "rust-lld"], &[]))
}
