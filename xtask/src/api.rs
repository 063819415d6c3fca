//! `cargo xtask api`: what of the public API was removed, changed or added since the baseline.
//!
//! The baseline is a text for each crate that is published, a line for each item, in `xtask/api`. An
//! item that is gone breaks programs; one that has changed is gone and there anew. Traits that the
//! compiler implements by itself (`Send`, `Unpin`) and implementations for all types are left out.
//!
//! What is new can break programs too: an enum that gets a variant, a struct that gets a field. `cargo
//! semver-checks` knows such rules. Where it is installed it is asked as well, with the commit that last
//! wrote the baseline.
//!
//! rustdoc gives its JSON only to those who take it as unstable, and in the format of its version:
//! so this wants the compiler that the crate `public-api` is for (`Cargo.toml`).

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};
use public_api::Builder;

use crate::runner::{build_dir, cargo, output, run, step, target_dir};

/// The crates that are published and used as libraries.
const CRATES: [&str; 3] = ["kennel", "kennel-core", "kennel-plugin"];

/// Where the baseline is.
const BASELINE: &str = "xtask/api";

/// The variable lets a stable rustdoc take unstable options. Were it set for cargo, then all
/// dependencies that look at it would be built anew.
const RUSTDOC: &str = "#!/bin/sh\nRUSTC_BOOTSTRAP=1 exec rustdoc \"$@\"\n";

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Make what there is now the baseline, as after a release
    #[arg(long)]
    write: bool,
}

/// Fails when something was removed or changed.
pub(crate) fn api(args: &Args) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let rustdoc = folder.path().join("rustdoc");
    fs::write(&rustdoc, RUSTDOC)?;
    fs::set_permissions(&rustdoc, fs::Permissions::from_mode(0o755))?;
    let here = Place { sources: PathBuf::from("."), target: target_dir()?, rustdoc };
    let mut broken = Vec::new();
    for name in CRATES {
        step(name);
        let now = items(name, &here)?;
        let file = Path::new(BASELINE).join(format!("{name}.txt"));
        if args.write {
            fs::create_dir_all(BASELINE)?;
            fs::write(&file, &now)?;
            continue;
        }
        let before = fs::read_to_string(&file)
            .with_context(|| format!("cannot read {}: cargo xtask api --write", file.display()))?;
        let change = Change::between(&before, &now);
        print!("{change}");
        if !change.removed.is_empty() {
            broken.push(name);
        }
    }
    if !broken.is_empty() {
        bail!("these have less than their baseline or something else: {}", broken.join(", "));
    }
    if args.write { Ok(()) } else { semver_checks(&here) }
}

/// Sources, and where what is built of them goes.
struct Place {
    sources: PathBuf,
    target: PathBuf,
    rustdoc: PathBuf,
}

impl Place {
    /// What rustdoc says of a crate, as JSON.
    fn describe(&self, name: &str) -> Result<PathBuf> {
        let mut documentation = cargo();
        documentation.args(["rustdoc", "--quiet", "--locked", "--lib", "--package", name, "--"]);
        documentation.args(["-Zunstable-options", "--output-format=json", "--cap-lints=allow"]);
        documentation.env("RUSTDOC", &self.rustdoc).current_dir(&self.sources);
        // The dependencies are built once for all.
        documentation.env("CARGO_TARGET_DIR", &self.target);
        run(documentation.env("CARGO_BUILD_BUILD_DIR", build_dir()?))?;
        Ok(self.target.join("doc").join(format!("{}.json", name.replace('-', "_"))))
    }
}

/// The public items of a crate, a line each.
fn items(name: &str, here: &Place) -> Result<String> {
    let api = Builder::from_rustdoc_json(here.describe(name)?)
        .omit_blanket_impls(true)
        .omit_auto_trait_impls(true)
        .build()
        .with_context(|| format!("cannot read what rustdoc says of {name}"))?;
    Ok(api.items().map(|item| format!("{item}\n")).collect())
}

/// Asks `cargo semver-checks` what of all that has changed breaks programs.
fn semver_checks(here: &Place) -> Result<()> {
    step("cargo semver-checks");
    if !cargo().args(["semver-checks", "--version"]).output()?.status.success() {
        println!("skipped: it is not installed (cargo install --locked cargo-semver-checks)");
        return Ok(());
    }
    let git = |args: &[&str]| output(Command::new("git").args(args));
    if git(&["rev-parse", "--is-shallow-repository"])? == "true" {
        println!("skipped: this clone does not have the commit of the baseline");
        return Ok(());
    }
    let commit = git(&["log", "-1", "--format=%H", "--", BASELINE])?;
    let target = here.target.join("api");
    let before = Place { sources: target.join("baseline"), target, rustdoc: here.rustdoc.clone() };
    if before.sources.exists() {
        fs::remove_dir_all(&before.sources)?;
    }
    fs::create_dir_all(&before.sources)?;
    let archive = before.target.join("baseline.tar");
    run(Command::new("git").args(["archive", &commit, "--output"]).arg(&archive))?;
    // With the time of now, so that cargo looks at them.
    run(Command::new("tar").arg("-xmf").arg(&archive).arg("-C").arg(&before.sources))?;
    let mut broken = Vec::new();
    for name in CRATES {
        let mut checks = cargo();
        checks.args(["semver-checks", "--release-type=minor"]);
        checks.arg("--baseline-rustdoc").arg(before.describe(name)?);
        checks.arg("--current-rustdoc").arg(here.describe(name)?);
        if !checks.status()?.success() {
            broken.push(name);
        }
    }
    if !broken.is_empty() {
        bail!("programs that use these may not compile any more: {}", broken.join(", "));
    }
    Ok(())
}

/// What two lists of items do not have in common.
struct Change<'a> {
    removed: Vec<&'a str>,
    added: Vec<&'a str>,
}

impl<'a> Change<'a> {
    fn between(before: &'a str, now: &'a str) -> Change<'a> {
        let (old, new): (BTreeSet<_>, BTreeSet<_>) =
            (before.lines().collect(), now.lines().collect());
        let only = |these: &BTreeSet<&'a str>, those: &BTreeSet<&'a str>| {
            these.difference(those).copied().collect()
        };
        Change { removed: only(&old, &new), added: only(&new, &old) }
    }
}

impl std::fmt::Display for Change<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Change { removed, added } = self;
        self.removed.iter().try_for_each(|item| writeln!(f, "- {item}"))?;
        self.added.iter().try_for_each(|item| writeln!(f, "+ {item}"))?;
        writeln!(f, "{} removed or changed, {} added or changed", removed.len(), added.len())
    }
}

#[test]
fn an_item_that_has_changed_is_gone_and_there_anew() {
    let before = "pub fn a()\npub fn b(u32)\npub fn c()\n";
    let now = "pub fn a()\npub fn b(u64)\npub fn c()\npub fn d()\n";
    let change = Change::between(before, now);
    assert_eq!(change.removed, ["pub fn b(u32)"]);
    assert_eq!(change.added, ["pub fn b(u64)", "pub fn d()"]);
    assert!(change.to_string().ends_with("1 removed or changed, 2 added or changed\n"));
    let change = Change::between(now, now);
    assert!(change.removed.is_empty() && change.added.is_empty());
}
