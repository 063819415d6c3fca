//! The packages as others get them: from nothing but the archives `kennel` is built and used.
//!
//! Around the unpacked archives stands a workspace with the profiles and the locked versions of
//! this one, so that what comes from crates.io is not compiled again.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::runner::{build_dir, cargo, run, step, target_dir};

/// The crates that are published.
const PUBLISHED: [&str; 4] = ["kennel-core", "kennel-wasm", "kennel", "kennel-plugin"];

/// All have the version of the workspace.
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// What only a stock plugin can find wrong: its answer shows that it is in the program, and works.
const SERVICES: &str = r#"
plugins:
  pong: { source: stock:redis }
services:
  cache:
    command: redis-server
    health: { plugin: pong, config: { address: localhost } }
"#;
const REFUSAL: &str =
    r#"plugin "pong" refuses its configuration: address: "localhost" has no port"#;

pub(crate) fn packages() -> Result<()> {
    step("packages");
    run(cargo()
        .args(["package", "--quiet", "--offline", "--locked", "--allow-dirty", "--no-verify"])
        .args(PUBLISHED.map(|name| format!("--package={name}"))))?;
    let build_dir = build_dir()?;
    // Always the same place, or cargo would keep what it built for each.
    let place = build_dir.join("packages");
    let workspace = place.join("workspace");
    unpack(&target_dir()?.join("package"), &workspace)?;
    let cargo_there = || {
        let mut cargo = cargo();
        // The dependencies are those of everything else, the program is not.
        cargo.env("CARGO_BUILD_BUILD_DIR", &build_dir).env("CARGO_TARGET_DIR", &place);
        cargo.env("CARGO_INCREMENTAL", "0").current_dir(&workspace);
        cargo
    };
    run(cargo_there().args(["build", "--quiet", "--offline", "--package=kennel"]))?;
    same_versions(&workspace)?;
    refuses(&place.join("debug/kennel"))?;
    // The tests of `kennel` are for the repository; those of the others have what they need.
    let others = ["--workspace", "--exclude=kennel", "--all-targets"];
    run(cargo_there().args(["check", "--quiet", "--offline", "--locked"]).args(others))
}

/// Makes a workspace of the archives.
fn unpack(archives: &Path, workspace: &Path) -> Result<()> {
    if workspace.exists() {
        fs::remove_dir_all(workspace)?;
    }
    fs::create_dir_all(workspace)?;
    let mut members = Vec::new();
    let mut patches = String::new();
    for name in PUBLISHED {
        let member = format!("{name}-{VERSION}");
        // With the time of now: in the archive all files are as old.
        let mut tar = Command::new("tar");
        tar.arg("-xzmf").arg(archives.join(format!("{member}.crate")));
        run(tar.arg("-C").arg(workspace))?;
        patches += &format!("{name} = {{ path = {member:?} }}\n");
        members.push(member);
    }
    let manifest = fs::read_to_string("Cargo.toml")?;
    let profiles = manifest.find("\n[profile.").context("Cargo.toml ends with the profiles")?;
    let manifest = format!(
        "[workspace]\nresolver = \"3\"\nmembers = {members:?}\n\n[patch.crates-io]\n{patches}{}",
        &manifest[profiles..]
    );
    fs::write(workspace.join("Cargo.toml"), manifest)?;
    fs::copy("Cargo.lock", workspace.join("Cargo.lock"))?;
    Ok(())
}

/// Cargo has left out of Cargo.lock what only the repository has, and added nothing.
fn same_versions(workspace: &Path) -> Result<()> {
    let ours = fs::read_to_string("Cargo.lock")?;
    let theirs = fs::read_to_string(workspace.join("Cargo.lock"))?;
    let new = |package: &&str| !ours.contains(package.split("dependencies").next().unwrap_or(""));
    match theirs.split("[[package]]").skip(1).find(new) {
        Some(package) => bail!("this is not in the workspace's Cargo.lock:{package}"),
        None => Ok(()),
    }
}

/// Uses the program, where nothing of the repository is.
fn refuses(kennel: &Path) -> Result<()> {
    let folder = tempfile::Builder::new().prefix("kennel-packages-").tempdir()?;
    fs::write(folder.path().join("services.yaml"), SERVICES)?;
    let check = Command::new(kennel).arg("check").current_dir(folder.path()).output()?;
    let said = String::from_utf8_lossy(&check.stderr);
    if check.status.success() || !said.contains(REFUSAL) {
        bail!("kennel check: {}\n{said}", check.status);
    }
    Ok(())
}
