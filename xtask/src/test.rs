//! `cargo xtask test`: every check there is, with one summary at the end.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::runner::{Tally, cargo, run, run_tests, run_tests_steadily, step};

/// Virtual service-years that the simulation of the core goes through.
const SIMULATED_YEARS: &str = "1000";

/// Mutants are tried for so long; `cargo xtask mutants` tries all of them.
const MUTANTS_MINUTES: u64 = 8;

/// Tests of a supervisor mostly wait: more of them than cores may do so at a time.
const TEST_THREADS: &str = "8";

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Leave out what takes minutes: the mutants and the long simulation.
    #[arg(long)]
    quick: bool,
}

pub(crate) fn test(args: &Args) -> Result<()> {
    let mut tally = Tally::default();
    step("format");
    run(cargo().args(["fmt", "--all", "--check"]))?;
    step("lints");
    run(cargo().args(["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"]))?;
    for build in BUILDS {
        build.check()?;
    }
    what_is_left_out_is_there_otherwise()?;
    step("fuzz targets");
    fuzz_targets_compile()?;
    step("documentation");
    run(cargo().env("RUSTDOCFLAGS", "-D warnings").args(["doc", "--workspace", "--no-deps"]))?;
    crate::packages::packages()?;
    step("tests");
    run_tests_steadily(
        cargo().env("RUST_TEST_THREADS", TEST_THREADS).args([
            "test",
            "--workspace",
            "--no-fail-fast",
        ]),
        |failed| {
            let mut again = cargo();
            again.args(["test", "--workspace", "--lib", "--bins", "--tests", "--no-fail-fast"]);
            again.args(["--", "--exact", "--test-threads=1"]).args(failed);
            again
        },
        &mut tally,
    )?;
    if nix_is_root() {
        step("tests as an ordinary user");
        test_as_ordinary_user(&mut tally)?;
    }
    if !args.quick {
        step("long simulation of the core");
        run_tests(
            cargo().env("KENNEL_SIM_YEARS", SIMULATED_YEARS).args([
                "test",
                "--package=kennel-core",
                "--test=simulation",
                "--",
                "--nocapture",
            ]),
            &mut tally,
        )?;
        step("mutants");
        crate::mutants::run(&crate::mutants::Options::within(MUTANTS_MINUTES))?;
    }
    tally.finish()
}

/// The host with some of its features, and what must then not be part of it.
struct Build {
    features: &'static str,
    without: &'static [&'static str],
}

const ENGINE: [&str; 2] = ["wasmtime", "cranelift-codegen"];
const SERVER: [&str; 2] = ["axum", "prometheus-client"];
const COMMANDS: [&str; 2] = ["clap", "tracing-subscriber"];

/// Every set of features, apart from the default.
const BUILDS: [Build; 5] = [
    Build { features: "", without: &[ENGINE[0], ENGINE[1], SERVER[0], SERVER[1], COMMANDS[0]] },
    Build { features: "api", without: &[ENGINE[0], ENGINE[1], COMMANDS[0], COMMANDS[1]] },
    Build { features: "cli", without: &ENGINE },
    Build { features: "plugins", without: &[SERVER[0], SERVER[1], COMMANDS[0], COMMANDS[1]] },
    Build { features: "api,plugins", without: &COMMANDS },
];

impl Build {
    fn args(&self) -> [&str; 4] {
        ["--package=kennel", "--no-default-features", "--features", self.features]
    }

    /// It must be free of warnings, and of what its features have no use for.
    fn check(&self) -> Result<()> {
        let Build { features, without } = self;
        let which = if features.is_empty() { "none" } else { features };
        step(&format!("lints of a build with these features: {which}"));
        let mut clippy = cargo();
        clippy.arg("clippy").args(self.args()).args(["--lib", "--bins"]);
        run(clippy.args(["--", "-D", "warnings"]))?;
        let parts = parts(&self.args())?;
        match without.iter().find(|part| parts.contains(**part)) {
            Some(part) => bail!("a build with these features: {which} contains {part}"),
            None => Ok(()),
        }
    }
}

/// The names of the crates that a build consists of.
fn parts(args: &[&str]) -> Result<BTreeSet<String>> {
    let tree = ["tree", "--edges=normal", "--prefix=none", "--format={lib}", "--locked"];
    let output = cargo().args(tree).args(args).output().context("cannot run cargo")?;
    if !output.status.success() {
        bail!("cargo tree: {}", String::from_utf8_lossy(&output.stderr));
    }
    let text = String::from_utf8_lossy(&output.stdout);
    Ok(text.lines().map(|line| line.trim_end_matches(" (*)").replace('_', "-")).collect())
}

/// The names that are looked for are those of crates of a whole build.
fn what_is_left_out_is_there_otherwise() -> Result<()> {
    let parts = parts(&["--package=kennel"])?;
    match [ENGINE, SERVER, COMMANDS].concat().iter().find(|part| !parts.contains(**part)) {
        Some(part) => bail!("cargo tree shows no {part} in a whole build"),
        None => Ok(()),
    }
}

/// They are a workspace of their own; with the versions of this one, most of what they are made
/// of is there already. What fuzzes is libFuzzer, in C++.
fn fuzz_targets_compile() -> Result<()> {
    let is_there = Command::new("c++").arg("--version").output().is_ok();
    if !is_there && std::env::var_os("KENNEL_FORBID_SKIPS").is_none() {
        println!("skipped: there is no C++ compiler (apt-get install g++)");
        return Ok(());
    }
    fs::copy("Cargo.lock", "fuzz/Cargo.lock").context("cannot give fuzz/ its Cargo.lock")?;
    run(cargo().args(["check", "--manifest-path=fuzz/Cargo.toml"]))
}

fn nix_is_root() -> bool {
    // Who owns /proc/self is who we are.
    use std::os::unix::fs::MetadataExt;
    fs::metadata("/proc/self").is_ok_and(|meta| meta.uid() == 0)
}

/// Most users are not root, and much behaves differently then. The same executables are
/// run again as `nobody`, from a folder that it can read.
fn test_as_ordinary_user(tally: &mut Tally) -> Result<()> {
    let folder = tempfile::Builder::new().prefix("kennel-tests-").tempdir()?;
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755))?;
    let home = folder.path().join("home");
    fs::create_dir(&home)?;
    fs::set_permissions(&home, fs::Permissions::from_mode(0o777))?;
    let executables = test_executables()?;
    let kennel = copy(&executables.kennel, folder.path())?;
    let sample = copy(Path::new("services.yaml"), folder.path())?;
    for test in &executables.tests {
        let test = copy(test, folder.path())?;
        let as_nobody = || {
            let mut command = Command::new("setpriv");
            command
                .args(["--reuid=65534", "--regid=65534", "--clear-groups", "--"])
                .arg(&test)
                .env_clear()
                .env("PATH", std::env::var_os("PATH").unwrap_or_default())
                .env("HOME", &home)
                .env("TMPDIR", &home)
                .env("RUST_TEST_THREADS", TEST_THREADS)
                .env("KENNEL_BIN", &kennel)
                .env("KENNEL_SAMPLE", &sample)
                .env("CARGO_MANIFEST_DIR", env!("CARGO_MANIFEST_DIR"))
                .current_dir(&home);
            if let Some(forbidden) = std::env::var_os("KENNEL_FORBID_SKIPS") {
                command.env("KENNEL_FORBID_SKIPS", forbidden);
            }
            command
        };
        let again = |failed: &[String]| {
            let mut again = as_nobody();
            again.args(["--exact", "--test-threads=1"]).args(failed);
            again
        };
        run_tests_steadily(&mut as_nobody(), again, tally)?;
    }
    Ok(())
}

struct Executables {
    kennel: PathBuf,
    /// Those whose tests touch the system.
    tests: Vec<PathBuf>,
}

/// Asks cargo where the executables of the package `kennel` are.
fn test_executables() -> Result<Executables> {
    let output = cargo()
        .args(["test", "--package=kennel", "--no-run", "--message-format=json"])
        .output()
        .context("cannot run cargo")?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let mut kennel = None;
    let mut tests = Vec::new();
    for line in text.lines().filter(|line| line.contains("\"reason\":\"compiler-artifact\"")) {
        let Some(path) = field(line, "\"executable\":\"") else { continue };
        if line.contains("\"kind\":[\"bin\"]") && line.contains("\"test\":false") {
            kennel = Some(PathBuf::from(path));
        } else if line.contains("\"test\":true},") || line.contains("\"kind\":[\"test\"]") {
            tests.push(PathBuf::from(path));
        }
    }
    let Some(kennel) = kennel else { bail!("cargo names no kennel executable") };
    Ok(Executables { kennel, tests })
}

/// The text after `key` up to the next quote: paths of executables hold none.
fn field<'a>(line: &'a str, key: &str) -> Option<&'a str> {
    let start = line.find(key)? + key.len();
    line[start..].split('"').next()
}

fn copy(file: &Path, folder: &Path) -> Result<PathBuf> {
    let name = file.file_name().context("a file has a name")?;
    let copy = folder.join(name);
    fs::copy(file, &copy).with_context(|| format!("cannot copy {}", file.display()))?;
    fs::set_permissions(&copy, fs::Permissions::from_mode(0o755))?;
    Ok(copy)
}
