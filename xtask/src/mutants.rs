//! `cargo xtask mutants`: do the tests of kennel-core catch what they are there for?
//!
//! ```text
//!   host/core ── copy ──► a crate of its own ── one fault ──► scenarios, then simulation
//!                         (must pass as it is)                must fail
//! ```
//!
//! The copies live under the target directory and have target directories of their own,
//! so that nothing of the workspace is rebuilt. The test programs are run directly, with
//! a time limit: a fault may well be a loop without end, and that is caught too.
//!
//! A fault that does not compile proves nothing and counts as drifted.

#[path = "../../host/core/mutants/list.rs"]
mod list;

use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use list::Mutant;

/// Mutants that are tried at the same time, unless said otherwise.
const JOBS: usize = 2;

/// What `cargo xtask mutants` may be told.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Only mutants whose title contains this.
    only: Option<String>,
    /// Run the simulation also where a scenario has caught the fault already.
    #[arg(long)]
    all: bool,
    /// How many mutants to try at the same time.
    #[arg(long, default_value_t = JOBS)]
    jobs: usize,
}

/// The test programs, quickest first.
const PROGRAMS: [&str; 2] = ["scenarios", "simulation"];
/// A test program that takes longer hangs.
const TIME_LIMIT: Duration = Duration::from_secs(60);

/// What became of one mutant.
struct Verdict {
    title: String,
    seconds: f64,
    outcome: Outcome,
}

enum Outcome {
    /// The failed tests, by program.
    Killed(Vec<String>),
    Survived {
        rule: String,
    },
    Useless(String),
}

impl Default for Options {
    fn default() -> Options {
        Options { only: None, all: false, jobs: JOBS }
    }
}

pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    let core = Path::new(env!("CARGO_MANIFEST_DIR")).join("../host/core");
    let list =
        fs::read_to_string(core.join("mutants/mutants.txt")).context("cannot read mutants.txt")?;
    let mut mutants = list::parse(&list).map_err(anyhow::Error::msg)?;
    if let Some(only) = &options.only {
        mutants.retain(|mutant| mutant.title.contains(only));
    }
    ensure!(!mutants.is_empty(), "no mutant is called so");
    let benches = (0..options.jobs.max(1))
        .map(|number| Bench::new(&core, number))
        .collect::<anyhow::Result<Vec<Bench>>>()?;

    // As it is, everything must pass; that also warms every bench up.
    for bench in &benches {
        if let Some(failed) = bench.failed_tests(true)?.first() {
            bail!("cannot judge mutants: the tests fail without any fault: {failed}");
        }
    }
    let began = Instant::now();
    let queue = Mutex::new(mutants.iter());
    let verdicts = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for bench in &benches {
            scope.spawn(|| {
                while let Some(mutant) = queue.lock().ok().and_then(|mut queue| queue.next()) {
                    let verdict = bench.judge(mutant, options.all);
                    print(&verdict);
                    if let Ok(mut verdicts) = verdicts.lock() {
                        verdicts.push(verdict);
                    }
                }
            });
        }
    });
    let verdicts = verdicts.into_inner().map_err(|_| anyhow::anyhow!("a judge has panicked"))?;
    sum_up(&verdicts, mutants.len(), began.elapsed())
}

fn print(verdict: &Verdict) {
    let Verdict { title, seconds, outcome } = verdict;
    let told = match outcome {
        Outcome::Killed(tests) => {
            let more = if tests.len() > 2 { ", …" } else { "" };
            let first = tests.iter().take(2).map(String::as_str).collect::<Vec<_>>().join(", ");
            let of = |program: &str| tests.iter().filter(|test| test.starts_with(program)).count();
            let counts = PROGRAMS.map(|program| format!("{} {program}", of(program))).join(", ");
            format!("killed by {counts}: {first}{more}")
        }
        Outcome::Survived { rule } => format!("SURVIVED; nothing proves that {rule}"),
        Outcome::Useless(why) => format!("USELESS: {why}"),
    };
    println!("{title:<55} {seconds:>5.1} s  {told}");
}

fn sum_up(verdicts: &[Verdict], count: usize, took: Duration) -> anyhow::Result<()> {
    let killed =
        verdicts.iter().filter(|verdict| matches!(verdict.outcome, Outcome::Killed(_))).count();
    println!("{killed} of {count} mutants killed in {:.0} s", took.as_secs_f64());
    ensure!(killed == count, "{} mutants were not killed", count - killed);
    Ok(())
}

/// A copy of the crate to break and mend.
struct Bench {
    /// The original.
    core: PathBuf,
    copy: PathBuf,
    target: PathBuf,
}

impl Bench {
    fn new(core: &Path, number: usize) -> anyhow::Result<Bench> {
        let target = std::env::var_os("CARGO_TARGET_DIR")
            .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../target"), PathBuf::from);
        let base = target.join("mutants").join(number.to_string());
        let bench =
            Bench { core: core.to_owned(), copy: base.join("core"), target: base.join("target") };
        if bench.copy.exists() {
            fs::remove_dir_all(&bench.copy).context("cannot remove an old copy")?;
        }
        for part in ["src", "tests"] {
            copy(&core.join(part), &bench.copy.join(part))?;
        }
        // It reads the list, which is not copied, and knows nothing of faults.
        fs::remove_file(bench.copy.join("tests/mutants.rs")).context("cannot remove a test")?;
        let manifest = "[package]\nname = \"kennel-core\"\nversion = \"0.0.0\"\n\
                        edition = \"2024\"\npublish = false\n\n[workspace]\n\n\
                        [profile.dev]\nopt-level = 1\ndebug = false\n";
        fs::write(bench.copy.join("Cargo.toml"), manifest).context("cannot write Cargo.toml")?;
        Ok(bench)
    }

    /// Puts the fault in, runs the tests, takes it out again.
    fn judge(&self, mutant: &Mutant, all: bool) -> Verdict {
        let began = Instant::now();
        let outcome = self
            .try_mutant(mutant, all)
            .unwrap_or_else(|error| Outcome::Useless(format!("{error:#}")));
        let seconds = began.elapsed().as_secs_f64();
        Verdict { title: mutant.title.clone(), seconds, outcome }
    }

    fn try_mutant(&self, mutant: &Mutant, all: bool) -> anyhow::Result<Outcome> {
        let original = self.core.join("src").join(&mutant.file);
        let source = fs::read_to_string(&original).context("cannot read the source")?;
        let broken = mutant.apply(&source).map_err(anyhow::Error::msg)?;
        let place = self.copy.join("src").join(&mutant.file);
        fs::write(&place, broken).context("cannot write the fault")?;
        let failed = self.failed_tests(all);
        fs::write(&place, source).context("cannot take the fault out")?;
        Ok(match failed? {
            tests if tests.is_empty() => Outcome::Survived { rule: mutant.rule.clone() },
            tests => Outcome::Killed(tests),
        })
    }

    /// Runs the test programs, until one fails unless `all`; the tests that failed.
    fn failed_tests(&self, all: bool) -> anyhow::Result<Vec<String>> {
        let mut failed = Vec::new();
        for name in PROGRAMS {
            let program = self.build(name)?;
            failed.extend(run_tests(name, &program)?);
            if !failed.is_empty() && !all {
                break;
            }
        }
        Ok(failed)
    }

    fn build(&self, name: &str) -> anyhow::Result<PathBuf> {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let output = Command::new(cargo)
            .args(["test", "--offline", "--quiet", "--no-run", "--message-format=json", "--test"])
            .arg(name)
            .current_dir(&self.copy)
            .env("CARGO_TARGET_DIR", &self.target)
            .output()
            .context("cannot run cargo")?;
        let messages = String::from_utf8_lossy(&output.stdout);
        if !output.status.success() {
            let first = messages.split("\"rendered\":\"").skip(1).find(|m| m.starts_with("error"));
            let first = first.unwrap_or_default().split("\\n").take(2).collect::<Vec<_>>().join("");
            bail!("it does not compile: {first}");
        }
        let path = messages.lines().rev().find_map(|line| {
            let (_, path) = line.split_once("\"executable\":\"")?;
            path.split_once('"').map(|(path, _)| PathBuf::from(path))
        });
        path.with_context(|| format!("cargo names no program for {name}"))
    }
}

/// Runs one test program; the names of the tests that failed.
fn run_tests(name: &str, program: &Path) -> anyhow::Result<Vec<String>> {
    let mut child = Command::new(program)
        .env("RUST_BACKTRACE", "0")
        .env_remove("KENNEL_BLESS")
        .env_remove("KENNEL_SIM_YEARS")
        .env_remove("KENNEL_SIM_SEED")
        .current_dir(program.parent().unwrap_or(Path::new("/")))
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
        if began.elapsed() > TIME_LIMIT {
            child.kill().context("cannot kill a test program")?;
            child.wait().context("cannot wait for a test program")?;
            break None;
        }
        std::thread::sleep(Duration::from_millis(10));
    };
    let text = reader.join().unwrap_or_default();
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

fn copy(from: &Path, to: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(to).with_context(|| format!("cannot make {}", to.display()))?;
    for entry in fs::read_dir(from).with_context(|| format!("cannot read {}", from.display()))? {
        let entry = entry.context("cannot read a directory")?;
        let target = to.join(entry.file_name());
        if entry.file_type().context("cannot look at a file")?.is_dir() {
            copy(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), &target)
                .with_context(|| format!("cannot copy {}", entry.path().display()))?;
        }
    }
    Ok(())
}
