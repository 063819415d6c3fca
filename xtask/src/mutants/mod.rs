//! `cargo xtask mutants`: do the tests catch what they are there for?
//!
//! ```text
//!   sources ── copy ──► one fault ──► tests
//!           (must pass as they are)   must fail
//! ```
//!
//! Two lists of faults: those of the core, where any test may catch them, and those of the
//! plugin runtime and of the sinks, each with the tests that are to catch it. The copies live
//! under the target directory, so that nothing of the workspace is rebuilt. The test programs
//! are run directly, with a time limit: a fault may well be a loop without end, and that is
//! caught too.
//!
//! A fault that does not compile proves nothing and counts as drifted.

mod copy;
mod core;
#[path = "../../../host/core/mutants/list.rs"]
mod list;
mod plugins;
mod program;

use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use anyhow::ensure;
use list::Mutant;

/// Mutants that are tried at the same time, unless said otherwise.
const JOBS: usize = 2;

/// What `cargo xtask mutants` may be told.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Only mutants whose title contains this.
    only: Option<String>,
    /// Only those of one list.
    #[arg(long, value_enum)]
    of: Option<Of>,
    /// Run the simulation of the core also where a scenario has caught the fault already.
    #[arg(long)]
    all: bool,
    /// How many mutants to try at the same time.
    #[arg(long, default_value_t = JOBS)]
    jobs: usize,
}

/// A list of mutants.
#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Of {
    /// Supervision.
    Core,
    /// The plugin runtime, and the sinks.
    Plugins,
}

impl Default for Options {
    fn default() -> Options {
        Options { only: None, of: None, all: false, jobs: JOBS }
    }
}

impl Options {
    /// The mutants of a list that are meant.
    fn wanted(&self, of: Of, list: &str) -> anyhow::Result<Vec<Mutant>> {
        if self.of.is_some_and(|only| only != of) {
            return Ok(Vec::new());
        }
        let mut mutants = list::parse(list).map_err(anyhow::Error::msg)?;
        if let Some(only) = &self.only {
            mutants.retain(|mutant| mutant.title.contains(only));
        }
        Ok(mutants)
    }
}

/// Where mutants are tried.
trait Bench: Sync {
    /// Puts the fault in, runs the tests, takes it out again; the tests that failed.
    fn failed_with(&self, mutant: &Mutant) -> anyhow::Result<Vec<String>>;
}

/// Mutants, and those who try them.
struct Crew {
    benches: Vec<Box<dyn Bench>>,
    mutants: Vec<Mutant>,
}

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

pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    let mut count = 0;
    let mut verdicts = Vec::new();
    let began = Instant::now();
    // One after the other: each has as many benches as there are cores.
    for crews in [core::crews, plugins::crews] {
        let crews = crews(options)?;
        count += crews.iter().map(|crew| crew.mutants.len()).sum::<usize>();
        verdicts.extend(judge_all(&crews)?);
    }
    ensure!(count > 0, "no mutant is called so");
    sum_up(&verdicts, count, began.elapsed())
}

fn judge_all(crews: &[Crew]) -> anyhow::Result<Vec<Verdict>> {
    let verdicts = Mutex::new(Vec::new());
    let queues: Vec<_> = crews.iter().map(|crew| Mutex::new(crew.mutants.iter())).collect();
    std::thread::scope(|scope| {
        for (crew, queue) in crews.iter().zip(&queues) {
            for bench in &crew.benches {
                let verdicts = &verdicts;
                scope.spawn(move || {
                    while let Some(mutant) = queue.lock().ok().and_then(|mut queue| queue.next()) {
                        let verdict = judge(&**bench, mutant);
                        print(&verdict);
                        if let Ok(mut verdicts) = verdicts.lock() {
                            verdicts.push(verdict);
                        }
                    }
                });
            }
        }
    });
    verdicts.into_inner().map_err(|_| anyhow::anyhow!("a judge has panicked"))
}

fn judge(bench: &dyn Bench, mutant: &Mutant) -> Verdict {
    let began = Instant::now();
    let outcome = match bench.failed_with(mutant) {
        Ok(tests) if tests.is_empty() => Outcome::Survived { rule: mutant.rule.clone() },
        Ok(tests) => Outcome::Killed(tests),
        Err(error) => Outcome::Useless(format!("{error:#}")),
    };
    Verdict { title: mutant.title.clone(), seconds: began.elapsed().as_secs_f64(), outcome }
}

fn print(verdict: &Verdict) {
    let Verdict { title, seconds, outcome } = verdict;
    let told = match outcome {
        Outcome::Killed(tests) => {
            let more = if tests.len() > 2 { ", …" } else { "" };
            let first = tests.iter().take(2).map(String::as_str).collect::<Vec<_>>().join(", ");
            format!("killed by {}: {first}{more}", tests.len())
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

/// Where the workspace is.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Where cargo builds.
fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from)
}
