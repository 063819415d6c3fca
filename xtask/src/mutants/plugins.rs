//! Faults in `kennel-wasm`, and in the sinks and logs of `kennel`: the list says which tests are to
//! catch each.
//!
//! They are copies of the workspace that share its target directory, and with it all compiled
//! dependencies; only the crate with the fault and the test program are built for each. For
//! `kennel-wasm` the crate `kennel` is there by its manifest alone: it makes cargo choose the
//! features of dependencies that the workspace has.

use std::collections::BTreeSet;
use std::fs;
use std::time::Duration;

use anyhow::Context as _;

use super::copy::Copy;
use super::list::Mutant;
use super::program::{self, Program};
use super::{Bench, Crew, Of, Options};

/// What is copied of the workspace.
const PARTS: [&str; 8] =
    ["Cargo.toml", "Cargo.lock", "host", "wit", "tests", "docs", "plugin-sdk", "fuzz"];
/// The tests that are named take a few seconds. What takes longer hangs.
const TIME_LIMIT: Duration = Duration::from_secs(60);

const LIST: &str = include_str!("../../../host/wasm/mutants/mutants.txt");

/// The crate that a fault is in.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Broken {
    Runtime,
    Host,
}

impl Broken {
    fn of(mutant: &Mutant) -> Broken {
        if mutant.file.starts_with("wasm/") { Broken::Runtime } else { Broken::Host }
    }
}

struct PluginBench {
    copy: Copy,
    broken: Broken,
}

pub(super) fn crews(options: &Options) -> anyhow::Result<Vec<Crew>> {
    let mutants = options.wanted(Of::Plugins, LIST)?;
    let of = |broken| mutants.iter().filter(move |m| Broken::of(m) == broken).cloned().collect();
    let mut crews = Vec::new();
    for (broken, jobs) in [(Broken::Runtime, options.jobs.max(1)), (Broken::Host, 1)] {
        let mutants: Vec<Mutant> = of(broken);
        let mut benches: Vec<Box<dyn Bench>> = Vec::new();
        for number in 0..jobs.min(mutants.len()) {
            let bench = PluginBench::new(broken, number)?;
            bench.warm_up(&mutants)?;
            benches.push(Box::new(bench));
        }
        crews.push(Crew { benches, mutants });
    }
    Ok(crews)
}

impl PluginBench {
    fn new(broken: Broken, number: usize) -> anyhow::Result<PluginBench> {
        let name = match broken {
            Broken::Runtime => format!("runtime-{number}"),
            Broken::Host => format!("host-{number}"),
        };
        let root = super::root();
        let copy = Copy::new(root.clone(), super::target().join("mutants").join(&name), &PARTS)?;
        let read = |file| fs::read_to_string(root.join(file)).context("cannot read a manifest");
        copy.write("Cargo.toml", &of_its_own(&read("Cargo.toml")?, &name)?)?;
        copy.write("host/Cargo.toml", &library_only(&read("host/Cargo.toml")?))?;
        if broken == Broken::Runtime {
            let src = copy.folder.join("host/src");
            fs::remove_dir_all(&src).context("cannot leave the host out")?;
            fs::create_dir(&src).context("cannot leave the host out")?;
            copy.write("host/src/lib.rs", "//! Nothing.\n")?;
        }
        Ok(PluginBench { copy, broken })
    }

    /// As it is, everything must pass.
    fn warm_up(&self, mutants: &[Mutant]) -> anyhow::Result<()> {
        let wanted: BTreeSet<&str> =
            mutants.iter().filter_map(|mutant| mutant.tests.as_deref()).collect();
        for tests in wanted {
            super::must_pass(|| self.failed_tests(tests))?;
        }
        Ok(())
    }

    /// Runs `tests`, a test program and parts of names; the tests that failed.
    fn failed_tests(&self, tests: &str) -> anyhow::Result<Vec<String>> {
        let mut words = tests.split(' ');
        let name = words.next().unwrap_or_default();
        let filters: Vec<&str> = words.collect();
        let (program, mut args) = match (name, self.broken) {
            ("lib", Broken::Runtime) => ("kennel_wasm", vec!["--lib"]),
            ("lib", Broken::Host) => ("kennel", vec!["--lib"]),
            (program, Broken::Runtime | Broken::Host) => (program, vec!["--test", program]),
        };
        args.extend(["--package", "kennel"]);
        if self.broken == Broken::Runtime {
            args.extend(["--package", "kennel-wasm"]);
        }
        let path = program::build(program, &self.copy.folder, &super::target(), &args)?;
        let program = Program { name, path: &path, filters: &filters, time_limit: TIME_LIMIT };
        program.failed_tests()
    }
}

impl Bench for PluginBench {
    fn failed_with(&self, mutant: &Mutant) -> anyhow::Result<Vec<String>> {
        let tests = mutant.tests.as_deref().context("the list names no tests for it")?;
        let place = format!("host/{}", mutant.file);
        self.copy.with_fault(mutant, &place, || self.failed_tests(tests))
    }
}

/// The manifest of the workspace without what is not copied. The version is one that nobody
/// else has: in the target directory crates of one name, version and place are the same.
fn of_its_own(manifest: &str, name: &str) -> anyhow::Result<String> {
    const MEMBERS: &str = "members = [";
    const VERSION: &str = "[workspace.package]\nversion = \"";
    let (before, rest) = manifest.split_once(MEMBERS).context("a workspace has members")?;
    let (_, after) = rest.split_once(']').context("the members end")?;
    let few = format!("{before}{MEMBERS}\"host\", \"host/core\", \"host/wasm\"]{after}");
    let (before, rest) = few.split_once(VERSION).context("a workspace has a version")?;
    let (version, after) = rest.split_once('"').context("the version ends")?;
    Ok(format!("{before}{VERSION}{version}+{name}\"{after}"))
}

/// A manifest without the sections of programs, tests and benchmarks.
fn library_only(manifest: &str) -> String {
    let (first, others) = manifest.split_once("\n[").unwrap_or((manifest, ""));
    let others = others.split("\n[").filter(|section| !section.starts_with('['));
    let rest: Vec<&str> = std::iter::once(first).chain(others).collect();
    rest.join("\n[").replace("default-run = \"kennel\"\n", "autobins = false\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mutants::list;

    #[test]
    fn the_text_of_every_mutant_of_plugins_stands_in_its_file_exactly_once() {
        let mutants = list::parse(LIST).expect("the list can be read");
        assert!(mutants.len() >= 20, "only {} mutants", mutants.len());
        let titles: BTreeSet<&str> = mutants.iter().map(|mutant| mutant.title.as_str()).collect();
        assert_eq!(titles.len(), mutants.len(), "two mutants have one title");
        for mutant in &mutants {
            let path = crate::mutants::root().join("host").join(&mutant.file);
            let source = fs::read_to_string(&path).expect("it is there");
            let broken = mutant.apply(&source).unwrap_or_else(|drifted| panic!("{drifted}"));
            assert_ne!(broken, source, "{}", mutant.title);
            assert!(mutant.tests.is_some(), "{}: no tests", mutant.title);
        }
    }

    #[test]
    fn manifests_of_copies_have_what_is_copied_and_no_more() {
        let manifest = "[workspace]\nmembers = [\n    \"host\",\n    \"xtask\",\n]\n\n\
                        [workspace.package]\nversion = \"0.1.0\"\n";
        assert_eq!(
            of_its_own(manifest, "x").expect("a manifest"),
            "[workspace]\nmembers = [\"host\", \"host/core\", \"host/wasm\"]\n\n\
             [workspace.package]\nversion = \"0.1.0+x\"\n"
        );
        let manifest =
            "[package]\ndefault-run = \"kennel\"\n\n[[bin]]\npath = \"x\"\n\n[b]\nc = 1\n";
        assert_eq!(library_only(manifest), "[package]\nautobins = false\n\n[b]\nc = 1\n");
    }
}
