//! Faults in `kennel-core`: any scenario, the table of groups, or the simulation may catch them.

use std::path::PathBuf;
use std::time::Duration;

use super::copy::Copy;
use super::list::Mutant;
use super::program::{self, Program};
use super::{Bench, Crew, Of, Options};

/// The test programs, quickest first.
const PROGRAMS: [&str; 4] = ["scenarios", "groups", "spread", "simulation"];
/// A test program that takes longer hangs.
const TIME_LIMIT: Duration = Duration::from_secs(120);

/// A crate of its own, with a target directory of its own: it depends on nothing.
const MANIFEST: &str = "[package]\nname = \"kennel-core\"\nversion = \"0.0.0\"\n\
                        edition = \"2024\"\npublish = false\n\n[workspace]\n\n\
                        [profile.dev]\nopt-level = 1\ndebug = false\n";

struct CoreBench {
    copy: Copy,
    target: PathBuf,
    /// Whether the simulation runs in any case.
    all: bool,
}

pub(super) fn crews(options: &Options) -> anyhow::Result<Vec<Crew>> {
    let list = include_str!("../../../host/core/mutants/mutants.txt");
    let mutants = options.wanted(Of::Core, list)?;
    if mutants.is_empty() {
        return Ok(Vec::new());
    }
    let mut benches: Vec<Box<dyn Bench>> = Vec::new();
    for number in 0..options.jobs.max(1) {
        let bench = CoreBench::new(number, options.all)?;
        // As it is, everything must pass; that also warms the bench up.
        super::must_pass(|| bench.failed_tests(true))?;
        benches.push(Box::new(bench));
    }
    Ok(vec![Crew { benches, mutants }])
}

impl CoreBench {
    fn new(number: usize, all: bool) -> anyhow::Result<CoreBench> {
        let base = super::target().join("mutants").join(number.to_string());
        let core = super::root().join("host/core");
        let copy = Copy::new(core, base.join("core"), &["src", "tests"])?;
        // It reads the list, which is not copied, and knows nothing of faults.
        copy.write("tests/mutants.rs", "")?;
        copy.write("Cargo.toml", MANIFEST)?;
        Ok(CoreBench { copy, target: base.join("target"), all })
    }

    /// Runs the test programs, until one fails unless `all`; the tests that failed.
    fn failed_tests(&self, all: bool) -> anyhow::Result<Vec<String>> {
        let mut failed = Vec::new();
        for name in PROGRAMS {
            let path = program::build(name, &self.copy.folder, &self.target, &["--test", name])?;
            let program = Program { name, path: &path, filters: &[], time_limit: TIME_LIMIT };
            failed.extend(program.failed_tests()?);
            if !failed.is_empty() && !all {
                break;
            }
        }
        Ok(failed)
    }
}

impl Bench for CoreBench {
    fn failed_with(&self, mutant: &Mutant) -> anyhow::Result<Vec<String>> {
        let place = format!("src/{}", mutant.file);
        self.copy.with_fault(mutant, &place, || self.failed_tests(self.all))
    }
}
