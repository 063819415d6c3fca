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

use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use anyhow::{bail, ensure};
use list::Mutant;

/// Mutants that are tried at the same time, unless said otherwise.
const JOBS: usize = 2;
/// Runs of the tests that a mutant has to survive, and that the tests have to pass as they are.
const TRIES: usize = 3;

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
    /// Begin no mutant after this many minutes, which both lists share. They are then tried in
    /// an order that changes with the sources, so that in time each has its turn.
    #[arg(long)]
    minutes: Option<u64>,
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
        Options { only: None, of: None, all: false, jobs: JOBS, minutes: None }
    }
}

impl Options {
    /// As many as can be tried in `minutes`.
    pub(crate) fn within(minutes: u64) -> Options {
        Options { minutes: Some(minutes), ..Options::default() }
    }

    /// The mutants of a list that are meant.
    fn wanted(&self, of: Of, list: &str) -> anyhow::Result<Vec<Mutant>> {
        if self.of.is_some_and(|only| only != of) {
            return Ok(Vec::new());
        }
        let mut mutants = list::parse(list).map_err(anyhow::Error::msg)?;
        if let Some(only) = &self.only {
            mutants.retain(|mutant| mutant.title.contains(only));
        }
        if self.minutes.is_some() {
            shuffle(&mut mutants);
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
        tries: usize,
    },
    Useless(String),
}

pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    let mut count = 0;
    let mut verdicts = Vec::new();
    let began = Instant::now();
    // One after the other: each has as many benches as there are cores, and half of the time.
    for crews in [core::crews, plugins::crews] {
        let crews = crews(options)?;
        count += crews.iter().map(|crew| crew.mutants.len()).sum::<usize>();
        let end = options.minutes.map(|all| Instant::now() + Duration::from_secs(all * 60 / 2));
        verdicts.extend(judge_all(&crews, end)?);
    }
    ensure!(count > 0, "no mutant is called so");
    sum_up(&verdicts, count, began.elapsed())
}

/// Puts mutants in an order that depends on the text of the files which they are faults in.
fn shuffle(mutants: &mut [Mutant]) {
    let mut sources = DefaultHasher::new();
    for file in mutants.iter().map(|mutant| &mutant.file).collect::<BTreeSet<_>>() {
        // One that is not there is told when its turn comes.
        for folder in ["host", "host/core/src"] {
            std::fs::read(root().join(folder).join(file)).ok().hash(&mut sources);
        }
    }
    let sources = sources.finish();
    mutants.sort_by_cached_key(|mutant| {
        let mut place = DefaultHasher::new();
        (sources, &mutant.title).hash(&mut place);
        place.finish()
    });
}

/// Tries mutants until there are none left, or until `end`.
fn judge_all(crews: &[Crew], end: Option<Instant>) -> anyhow::Result<Vec<Verdict>> {
    let in_time = || end.is_none_or(|end| Instant::now() < end);
    let verdicts = Mutex::new(Vec::new());
    let queues: Vec<_> = crews.iter().map(|crew| Mutex::new(crew.mutants.iter())).collect();
    std::thread::scope(|scope| {
        for (crew, queue) in crews.iter().zip(&queues) {
            for bench in &crew.benches {
                let verdicts = &verdicts;
                scope.spawn(move || {
                    let next = || queue.lock().ok().and_then(|mut queue| queue.next());
                    while let Some(mutant) = in_time().then(next).flatten() {
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
    // Some faults are a matter of which thread is first: not every run meets them.
    let mut outcome = Outcome::Survived { rule: mutant.rule.clone(), tries: TRIES };
    for _ in 0..TRIES {
        match bench.failed_with(mutant) {
            Ok(tests) if tests.is_empty() => continue,
            Ok(tests) => outcome = Outcome::Killed(tests),
            Err(error) => outcome = Outcome::Useless(format!("{error:#}")),
        }
        break;
    }
    Verdict { title: mutant.title.clone(), seconds: began.elapsed().as_secs_f64(), outcome }
}

/// Runs all tests that will judge, without any fault: they must pass. One that a busy machine
/// brought out of step is given another chance, as in `cargo xtask test`.
fn must_pass(tests: impl Fn() -> anyhow::Result<Vec<String>>) -> anyhow::Result<()> {
    let mut failed = Vec::new();
    for _ in 0..TRIES {
        failed = tests()?;
        if failed.is_empty() {
            return Ok(());
        }
    }
    bail!("cannot judge mutants: the tests fail without any fault: {}", failed.join(", "))
}

fn print(verdict: &Verdict) {
    let Verdict { title, seconds, outcome } = verdict;
    let told = match outcome {
        Outcome::Killed(tests) => {
            let more = if tests.len() > 2 { ", …" } else { "" };
            let first = tests.iter().take(2).map(String::as_str).collect::<Vec<_>>().join(", ");
            format!("killed by {}: {first}{more}", tests.len())
        }
        Outcome::Survived { rule, tries } => {
            format!("SURVIVED {tries} times; nothing proves that {rule}")
        }
        Outcome::Useless(why) => format!("USELESS: {why}"),
    };
    println!("{title:<55} {seconds:>5.1} s  {told}");
}

fn sum_up(verdicts: &[Verdict], count: usize, took: Duration) -> anyhow::Result<()> {
    let killed =
        verdicts.iter().filter(|verdict| matches!(verdict.outcome, Outcome::Killed(_))).count();
    let tried = verdicts.len();
    println!("{killed} of {tried} mutants killed in {:.0} s", took.as_secs_f64());
    if tried < count {
        println!("no time for {} more: `cargo xtask mutants` tries them all", count - tried);
    }
    ensure!(tried > 0, "no mutant was tried");
    ensure!(killed == tried, "{} mutants were not killed", tried - killed);
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
