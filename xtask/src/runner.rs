//! Running commands and adding up what their tests say.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::LazyLock;
use std::time::Instant;

use anyhow::{Context, Result, bail};

/// The cargo that runs this, without what it says to this program: some build scripts look at it,
/// and what depends on them would be built anew for each of us.
pub(crate) fn cargo() -> Command {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    for (name, _) in std::env::vars_os() {
        let is_of_package = name.to_str().is_some_and(|name| {
            name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_")
        });
        if is_of_package {
            cargo.env_remove(name);
        }
    }
    cargo
}

/// Says what comes next, and when: seconds since the first step.
pub(crate) fn step(what: &str) {
    static BEGIN: LazyLock<Instant> = LazyLock::new(Instant::now);
    println!("\n== {what} ({} s)", BEGIN.elapsed().as_secs());
}

pub(crate) fn run(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| format!("cannot run {command:?}"))?;
    if !status.success() {
        bail!("{command:?}: {status}");
    }
    Ok(())
}

/// What a command writes to standard output, without the spaces around it.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let output = command.output().with_context(|| format!("cannot run {command:?}"))?;
    if !output.status.success() {
        bail!("{command:?}: {}", output.status);
    }
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}

/// Where cargo puts what it builds.
pub(crate) fn target_dir() -> Result<PathBuf> {
    folder("target_directory")
}

/// Where cargo puts what that is made of; most often the same folder.
pub(crate) fn build_dir() -> Result<PathBuf> {
    folder("build_directory")
}

/// What cargo says of this workspace.
fn folder(key: &str) -> Result<PathBuf> {
    let metadata = output(cargo().args(["metadata", "--no-deps", "--format-version", "1"]))?;
    let metadata: serde_json::Value = serde_json::from_str(&metadata)?;
    let folder = metadata[key].as_str().with_context(|| format!("cargo has no {key}"))?;
    Ok(folder.into())
}

/// What all test runs together came to.
#[derive(Default)]
pub(crate) struct Tally {
    passed: u64,
    failed: u64,
    ignored: u64,
    /// Tests that failed among the others and passed alone.
    unsteady: Vec<String>,
}

/// More failures than that are no matter of a busy machine.
const SECOND_CHANCES_MAX: usize = 8;
/// How often those that failed are run again.
const SECOND_CHANCES: usize = 2;

impl Tally {
    /// Takes `test result: ok. 3 passed; 0 failed; 1 ignored; …` into account.
    fn add(&mut self, line: &str) {
        let Some(counts) = line.strip_prefix("test result: ") else { return };
        let count = |what: &str| {
            let words: Vec<&str> = counts.split([' ', ';', '.']).collect();
            let at = words.iter().position(|word| *word == what)?;
            words[..at].last()?.parse::<u64>().ok()
        };
        self.passed += count("passed").unwrap_or(0);
        self.failed += count("failed").unwrap_or(0);
        self.ignored += count("ignored").unwrap_or(0);
    }

    /// Prints the sum; an error when anything failed or nothing ran.
    pub(crate) fn finish(&self) -> Result<()> {
        println!("\nnot run: {} measurements, which only print figures", self.ignored);
        for test in &self.unsteady {
            println!("UNSTEADY: {test} failed first, and passed when it was run again alone");
        }
        println!("{} passed, {} failed", self.passed, self.failed);
        if self.failed > 0 || self.passed == 0 {
            bail!("tests failed");
        }
        Ok(())
    }
}

/// Runs tests, shows what they print, and adds them up. A run that fails without a failed
/// test (it does not build, it crashes) is an error.
pub(crate) fn run_tests(command: &mut Command, tally: &mut Tally) -> Result<()> {
    let failed = run_and_count(command, tally)?.failed;
    if !failed.is_empty() {
        println!("\nfailed: {}", failed.join(", "));
    }
    Ok(())
}

/// The same for tests of whole supervisors, which a busy machine can bring out of step: the
/// few that failed are run again, one after the other, by `again`, which is given their names.
/// What passes then is told as unsteady in the summary; what does not has failed.
pub(crate) fn run_tests_steadily(
    command: &mut Command,
    again: impl Fn(&[String]) -> Command,
    tally: &mut Tally,
) -> Result<()> {
    let mut failed = run_and_count(command, tally)?.failed;
    if failed.len() > SECOND_CHANCES_MAX {
        return Ok(());
    }
    for _ in 0..SECOND_CHANCES {
        if failed.is_empty() {
            break;
        }
        step(&format!("again, alone: {}", failed.join(", ")));
        let outcomes = run_and_count(&mut again(&failed), &mut Tally::default())?;
        // What did not run stays failed.
        let (passed, still): (Vec<_>, Vec<_>) =
            failed.into_iter().partition(|name| outcomes.passed.contains(name));
        failed = still;
        tally.failed -= passed.len() as u64;
        tally.passed += passed.len() as u64;
        tally.unsteady.extend(passed);
    }
    Ok(())
}

/// The names of tests, by how they went.
#[derive(Default)]
struct Outcomes {
    passed: Vec<String>,
    failed: Vec<String>,
}

impl Outcomes {
    /// Takes `test some::test ... ok` and `test some::test ... FAILED` into account.
    fn add(&mut self, line: &str) {
        let Some(test) = line.strip_prefix("test ") else { return };
        if let Some(name) = test.strip_suffix(" ... ok") {
            self.passed.push(name.to_owned());
        } else if let Some(name) = test.strip_suffix(" ... FAILED") {
            self.failed.push(name.to_owned());
        }
    }
}

fn run_and_count(command: &mut Command, tally: &mut Tally) -> Result<Outcomes> {
    let before = tally.failed;
    let mut outcomes = Outcomes::default();
    let mut child = command
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot run {command:?}"))?;
    let output = child.stdout.take().context("its output is a pipe")?;
    for line in BufReader::new(output).split(b'\n') {
        let line = String::from_utf8_lossy(&line?).into_owned();
        println!("{line}");
        tally.add(&line);
        outcomes.add(&line);
    }
    let status = child.wait()?;
    if !status.success() && tally.failed == before {
        bail!("{command:?}: {status}");
    }
    Ok(outcomes)
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::{Outcomes, Tally, run_tests_steadily};

    #[test]
    fn the_result_lines_of_all_runs_are_added_up() {
        let mut tally = Tally::default();
        tally.add("running 3 tests");
        tally.add("test result: ok. 12 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out");
        tally.add("test result: FAILED. 2 passed; 3 failed; 0 ignored; 0 measured");
        assert_eq!((tally.passed, tally.failed, tally.ignored), (14, 3, 1));
    }

    #[test]
    fn tests_are_known_by_their_lines() {
        let mut outcomes = Outcomes::default();
        outcomes.add("test api::it_works ... FAILED");
        outcomes.add("test api::it_lasts ... ok");
        outcomes.add("test result: FAILED. 2 passed; 3 failed");
        assert_eq!(outcomes.failed, ["api::it_works"]);
        assert_eq!(outcomes.passed, ["api::it_lasts"]);
    }

    fn shell(script: &str) -> Command {
        let mut shell = Command::new("sh");
        shell.args(["-c", script]);
        shell
    }

    const BOTH_FAIL: &str = "echo 'test a ... FAILED'; echo 'test b ... FAILED'
        echo 'test result: FAILED. 3 passed; 2 failed; 0 ignored'; exit 1";

    #[test]
    fn what_passes_alone_is_told_as_unsteady_and_what_fails_again_has_failed() {
        let mut tally = Tally::default();
        let again = |failed: &[String]| match failed {
            [a, b] if a == "a" && b == "b" => shell(
                "echo 'test a ... ok'; echo 'test b ... FAILED'
                echo 'test result: FAILED. 1 passed; 1 failed; 0 ignored'; exit 1",
            ),
            failed => {
                assert_eq!(failed, ["b"]);
                shell("echo 'test b ... FAILED'; echo 'test result: FAILED. 0 passed; 1 failed'")
            }
        };
        run_tests_steadily(&mut shell(BOTH_FAIL), again, &mut tally).unwrap();
        assert_eq!((tally.passed, tally.failed), (4, 1));
        assert_eq!(tally.unsteady, ["a"]);
        assert!(tally.finish().is_err());
    }

    #[test]
    fn a_second_run_that_runs_nothing_saves_nothing() {
        let mut tally = Tally::default();
        let again = |_: &[String]| shell("echo 'test result: ok. 0 passed; 0 failed; 0 ignored'");
        run_tests_steadily(&mut shell(BOTH_FAIL), again, &mut tally).unwrap();
        assert_eq!((tally.passed, tally.failed), (3, 2));
    }
}
