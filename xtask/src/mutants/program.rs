//! Building and running test programs.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};

/// Builds what cargo makes of `args` in `folder`, the test program `name` among it.
///
/// # Errors
/// It does not compile.
pub(super) fn build(
    name: &str,
    folder: &Path,
    target: &Path,
    args: &[&str],
) -> anyhow::Result<PathBuf> {
    let output = crate::runner::cargo()
        .args(["test", "--offline", "--quiet", "--no-run", "--message-format=json"])
        .args(args)
        .current_dir(folder)
        .env("CARGO_TARGET_DIR", target)
        .output()
        .context("cannot run cargo")?;
    let messages = String::from_utf8_lossy(&output.stdout);
    if !output.status.success() {
        let first = messages.split("\"rendered\":\"").skip(1).find(|m| m.starts_with("error"));
        let first = first.unwrap_or_default().split("\\n").take(2).collect::<Vec<_>>().join("");
        let said = String::from_utf8_lossy(&output.stderr);
        let why = if first.is_empty() { said.lines().next().unwrap_or_default() } else { &first };
        bail!("it does not compile: {why}");
    }
    let mut paths = messages.lines().filter_map(|line| {
        let (_, path) = line.split_once("\"executable\":\"")?;
        path.split_once('"').map(|(path, _)| PathBuf::from(path))
    });
    // Followed by a hash, without another dash.
    let is_it = |path: &PathBuf| {
        let file = path.file_name().and_then(|file| file.to_str());
        file.and_then(|file| file.rsplit_once('-')).is_some_and(|(stem, _)| stem == name)
    };
    paths.find(is_it).with_context(|| format!("cargo names no program {name}"))
}

/// A test program, and what of it is run.
pub(super) struct Program<'a> {
    pub(super) name: &'a str,
    pub(super) path: &'a Path,
    /// Parts of the names of tests; none: all tests.
    pub(super) filters: &'a [&'a str],
    /// If it takes longer it hangs.
    pub(super) time_limit: Duration,
}

impl Program<'_> {
    /// Runs it; the names of the tests that failed.
    pub(super) fn failed_tests(&self) -> anyhow::Result<Vec<String>> {
        let Program { name, path, filters, time_limit } = self;
        let mut child = Command::new(path)
            .args(*filters)
            .env("RUST_BACKTRACE", "0")
            .env_remove("KENNEL_BLESS")
            .env_remove("KENNEL_SIM_YEARS")
            .env_remove("KENNEL_SIM_SEED")
            .current_dir(path.parent().unwrap_or(Path::new("/")))
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .context("cannot run a test program")?;
        let mut stdout = child.stdout.take().context("a test program has no output")?;
        let reader = std::thread::spawn(move || {
            let mut text = Vec::new();
            let _ = stdout.read_to_end(&mut text);
            String::from_utf8_lossy(&text).into_owned()
        });
        let began = Instant::now();
        let status = loop {
            if let Some(status) = child.try_wait().context("cannot wait for a test program")? {
                break Some(status);
            }
            if began.elapsed() > *time_limit {
                child.kill().context("cannot kill a test program")?;
                child.wait().context("cannot wait for a test program")?;
                break None;
            }
            std::thread::sleep(Duration::from_millis(10));
        };
        let text = reader.join().unwrap_or_default();
        if text.contains("running 0 tests") {
            bail!("no test of {name} is called {}", filters.join(" or "));
        }
        let mut failed: Vec<String> = text
            .lines()
            .filter_map(|line| line.strip_prefix("test ")?.strip_suffix(" ... FAILED"))
            .map(|test| format!("{name}::{test}"))
            .collect();
        match status {
            None => failed.push(format!("{name} (it hangs)")),
            Some(status) if !status.success() && failed.is_empty() => {
                failed.push(format!("{name} ({status})"));
            }
            Some(_) => {}
        }
        Ok(failed)
    }
}
