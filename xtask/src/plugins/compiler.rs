//! Compilers for `wasm32-unknown-unknown`, and how a plugin is built by one so that the same
//! sources make the same bytes wherever they lie.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::runner::{cargo, output, run, step, target_dir};

const TARGET: &str = "wasm32-unknown-unknown";

/// How long rustup may take to install the target.
const RUSTUP_PATIENCE: Duration = Duration::from_secs(180);

/// What to do where there is no compiler.
const NO_COMPILER: &str = "no Rust compiler here builds for wasm32-unknown-unknown\n\
    hint: with rustup: rustup target add wasm32-unknown-unknown\n\
    hint: on Debian: apt-get install rustc-web rust-web-src";

/// Which compiler is wanted.
#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Choice {
    /// The first that is there.
    Any,
    /// rustup's, with its standard library for the target.
    Rustup,
    /// The distribution's, with a standard library that is built from its sources.
    Distribution,
}

/// A compiler that can build plugins.
pub(crate) struct Compiler {
    rustc: PathBuf,
    version: String,
    sysroot: PathBuf,
    /// Of the standard library, where that has to be built too, and the linker to use then.
    std_from_source: Option<PathBuf>,
    target_dir: PathBuf,
}

fn sysroot(rustc: &Path) -> Result<PathBuf> {
    output(Command::new(rustc).args(["--print", "sysroot"])).map(PathBuf::from)
}

/// Whether a standard library for the target is installed.
fn has_target(rustc: &Path) -> Result<bool> {
    let libraries = sysroot(rustc)?.join("lib/rustlib").join(TARGET).join("lib");
    Ok(fs::read_dir(libraries).is_ok_and(|mut entries| entries.next().is_some()))
}

/// Installs the target, in bounded time: without a network rustup tries for very long.
fn add_target() -> Result<()> {
    step(&format!("rustup target add {TARGET}"));
    let mut child = Command::new("rustup").args(["target", "add", TARGET]).spawn()?;
    let end = Instant::now() + RUSTUP_PATIENCE;
    loop {
        if let Some(status) = child.try_wait()? {
            if status.success() {
                return Ok(());
            }
            bail!("rustup target add {TARGET}: {status}");
        }
        if Instant::now() > end {
            child.kill()?;
            child.wait()?;
            bail!("rustup target add {TARGET}: not done after {RUSTUP_PATIENCE:?}");
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}

impl Compiler {
    pub(crate) fn find(choice: Choice) -> Result<Compiler> {
        if choice != Choice::Distribution
            && let Some(compiler) = Compiler::installed(Path::new("rustc"))?
        {
            return Ok(compiler);
        }
        let distribution = Path::new("/usr/bin/rustc");
        if choice != Choice::Rustup && distribution.exists() {
            if let Some(compiler) = Compiler::with_target(distribution)? {
                return Ok(compiler);
            }
            if let Some(compiler) = Compiler::with_sources(distribution)? {
                return Ok(compiler);
            }
        }
        bail!("{NO_COMPILER}");
    }

    /// The compiler in use, whose target is installed where rustup can do that.
    fn installed(rustc: &Path) -> Result<Option<Compiler>> {
        let rustup = Command::new("rustup")
            .arg("--version")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|status| status.success());
        if !has_target(rustc)?
            && rustup
            && let Err(error) = add_target()
        {
            eprintln!("{error:#}");
        }
        Compiler::with_target(rustc)
    }

    fn with_target(rustc: &Path) -> Result<Option<Compiler>> {
        if has_target(rustc)? { Compiler::new(rustc, None).map(Some) } else { Ok(None) }
    }

    /// A compiler with the sources of its standard library. Building that takes a minute, once.
    fn with_sources(rustc: &Path) -> Result<Option<Compiler>> {
        let library = sysroot(rustc)?.join("lib/rustlib/src/rust/library");
        let Some(linker) = linker() else { return Ok(None) };
        if !library.exists() {
            return Ok(None);
        }
        Compiler::new(rustc, Some(linker)).map(Some)
    }

    fn new(rustc: &Path, std_from_source: Option<PathBuf>) -> Result<Compiler> {
        let sysroot = sysroot(rustc)?;
        let version = output(Command::new(rustc).arg("--version"))?;
        // Not the directory of everything else: another compiler would have it all built anew.
        let name = if std_from_source.is_some() { "plugins-std" } else { "plugins" };
        let target_dir = target_dir()?.join(name);
        Ok(Compiler { rustc: rustc.to_owned(), version, sysroot, std_from_source, target_dir })
    }

    /// What decides on the bytes beside the sources.
    pub(crate) fn description(&self) -> String {
        let std = if self.std_from_source.is_some() { ", std built with it" } else { "" };
        format!("{}{std}", self.version)
    }

    /// Builds the libraries of these packages as core modules.
    pub(crate) fn build<'a>(
        &self,
        root: &Path,
        packages: impl Iterator<Item = &'a str>,
    ) -> Result<()> {
        let mut build = self.cargo(root)?;
        build.arg("--lib");
        for package in packages {
            build.args(["--package", package]);
        }
        run(&mut build)
    }

    /// Builds the examples of the SDK as core modules.
    pub(crate) fn build_examples(&self, root: &Path) -> Result<()> {
        run(self.cargo(root)?.args(["--examples", "--package", "kennel-plugin"]))
    }

    fn cargo(&self, root: &Path) -> Result<Command> {
        let mut build = cargo();
        build
            .current_dir(root)
            .args(["build", "--locked", "--profile", "plugin", "--target", TARGET])
            .env("RUSTC", &self.rustc)
            .env("CARGO_TARGET_DIR", &self.target_dir)
            .env("CARGO_ENCODED_RUSTFLAGS", self.flags(root)?);
        if let Some(linker) = &self.std_from_source {
            build
                .arg("-Zbuild-std=std,panic_abort")
                .env("RUSTC_BOOTSTRAP", "1")
                .env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER", linker);
        }
        Ok(build)
    }

    /// Messages of panics name source files: under the same names wherever the files are.
    fn flags(&self, root: &Path) -> Result<String> {
        let std = self.sysroot.join("lib/rustlib/src/rust");
        let places = [(root, "/kennel"), (&cargo_home()?, "/cargo"), (&std, "/rust")];
        let flag =
            |(path, name): (&Path, &str)| format!("--remap-path-prefix={}={name}", path.display());
        Ok(places.map(flag).join("\x1f"))
    }

    /// The core module that was built of a package, or of an example: `examples/NAME`.
    pub(crate) fn output(&self, package: &str) -> Result<Vec<u8>> {
        let name = format!("{}.wasm", package.replace('-', "_"));
        let path = self.target_dir.join(TARGET).join("plugin").join(name);
        fs::read(&path).with_context(|| format!("cannot read {}", path.display()))
    }
}

fn cargo_home() -> Result<PathBuf> {
    if let Some(home) = std::env::var_os("CARGO_HOME") {
        return Ok(home.into());
    }
    let home = std::env::var_os("HOME").context("HOME is not set")?;
    Ok(Path::new(&home).join(".cargo"))
}

/// A linker for Wasm: the one that comes with a compiler, or one of LLVM.
fn linker() -> Option<PathBuf> {
    let host = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let own = ["rustc", "/usr/bin/rustc"].into_iter().filter_map(|rustc| {
        let sysroot = sysroot(Path::new(rustc)).ok()?;
        Some(sysroot.join("lib/rustlib").join(&host).join("bin/rust-lld"))
    });
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
    let llvm = folders.iter().flat_map(|folder| {
        ["wasm-ld", "wasm-ld-19", "wasm-ld-20", "wasm-ld-21"].map(|name| folder.join(name))
    });
    own.chain(llvm).find(|path| path.exists())
}
