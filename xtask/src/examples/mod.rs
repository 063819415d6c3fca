//! `cargo xtask examples`: the same health check in five languages, built, tried, measured
//! and run by the real supervisor; then the examples of the SDK, where Rust is among them.
//!
//! What the languages need is installed below `target/examples`, in the versions that the
//! examples name. A language whose compiler is not there is skipped, and said to be; with
//! `KENNEL_FORBID_SKIPS=1`, as in CI, that is a failure.

mod live;
mod sdk;
mod table;
mod tools;

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use clap::ValueEnum;

use crate::runner::{cargo, run, step};
use table::{Figures, Row};
use tools::Tools;

/// Where the examples are.
const EXAMPLES: &str = "plugins/examples";

/// Where all is made that is not kept.
const MADE: &str = "target/examples";

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Only these languages
    #[arg(value_enum)]
    languages: Vec<Language>,
    /// The kennel to use; one is built if none is said
    #[arg(long, value_name = "FILE")]
    kennel: Option<PathBuf>,
    /// Write the figures into plugins/examples/README.md
    #[arg(long)]
    write: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(crate) enum Language {
    Rust,
    C,
    Go,
    Javascript,
    Python,
}

impl Language {
    /// The name of its folder.
    fn folder(self) -> &'static str {
        match self {
            Language::Rust => "rust",
            Language::C => "c",
            Language::Go => "go",
            Language::Javascript => "javascript",
            Language::Python => "python",
        }
    }

    fn name(self) -> &'static str {
        match self {
            Language::Rust => "Rust",
            Language::C => "C",
            Language::Go => "Go",
            Language::Javascript => "JavaScript",
            Language::Python => "Python",
        }
    }
}

pub(crate) fn examples(args: &Args) -> Result<()> {
    let Args { languages, kennel, write } = args;
    let kennel = match kennel {
        Some(path) => std::path::absolute(path)?,
        None => built_kennel()?,
    };
    let languages =
        if languages.is_empty() { Language::value_variants().to_vec() } else { languages.clone() };
    std::fs::create_dir_all(MADE)?;
    let mut rows = Vec::new();
    let mut skipped = Vec::new();
    for &language in &languages {
        step(language.name());
        match tools::install(language)? {
            Ok(tools) => {
                rows.push(example(&kennel, language, &tools)?);
                match language {
                    Language::Rust => for_wasip2(&kennel)?,
                    Language::Javascript => rows.push(in_starlingmonkey(&kennel)?),
                    Language::C | Language::Go | Language::Python => {}
                }
                fresh(&kennel, language, &tools)?;
            }
            Err(reason) => {
                println!("skipped: {reason}");
                skipped.push(format!("{}: {reason}", language.name()));
            }
        }
    }
    if languages.contains(&Language::Rust)
        && let Err(reason) = sdk::run_all(&kennel)?
    {
        println!("skipped: {reason}");
        skipped.push(reason);
    }
    let table = table::markdown(&rows);
    println!("\n{table}");
    if *write {
        table::write(&Path::new(EXAMPLES).join("README.md"), &table)?;
    }
    if !skipped.is_empty() && std::env::var_os("KENNEL_FORBID_SKIPS").is_some() {
        bail!("skipped: {}", skipped.join("; "));
    }
    Ok(())
}

fn built_kennel() -> Result<PathBuf> {
    step("kennel");
    run(cargo().args(["build", "--release", "--package=kennel"]))?;
    let target = std::env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into());
    Ok(std::path::absolute(Path::new(&target).join("release/kennel"))?)
}

/// Builds and tries a new project of each kind, as somebody does who begins. Most of what it
/// takes is there from the example.
fn fresh(kennel: &Path, language: Language, tools: &Tools) -> Result<()> {
    for kind in ["health-check", "restart-policy", "event-sink"] {
        let folder = Path::new(MADE).join("new").join(format!("{}-{kind}", language.folder()));
        if folder.exists() {
            std::fs::remove_dir_all(&folder)?;
        }
        let name = folder.to_str().context("its name is UTF-8")?;
        let component = folder.join("made.wasm");
        step(&format!("a new {kind} in {}", language.name()));
        std::fs::create_dir_all(Path::new(MADE).join("new"))?;
        let language = language.folder();
        run(Command::new(kennel).args(["plugin", "new", "--kind", kind, "--lang", language, name]))?;
        let mut build = tools.command(kennel);
        run(build.args(["plugin", "build", name, "--output"]).arg(&component))?;
        let scenario = folder.join("scenario.yaml");
        run(Command::new(kennel).args(["plugin", "test"]).arg(&component).arg(scenario))?;
    }
    Ok(())
}

/// The SDK is for this target too. It is not what `kennel plugin build` uses, so a machine
/// need not have it.
fn for_wasip2(kennel: &Path) -> Result<()> {
    const TARGET: &str = "wasm32-wasip2";
    step(&format!("Rust for {TARGET}"));
    let library = Command::new("rustc")
        .args(["--print=target-libdir", "--target", TARGET])
        .output()
        .context("cannot run rustc")?;
    if !Path::new(String::from_utf8_lossy(&library.stdout).trim()).is_dir() {
        println!("skipped: it is not installed, as by \"rustup target add {TARGET}\"");
        return Ok(());
    }
    let folder = Path::new(EXAMPLES).join("rust");
    let target = std::path::absolute(Path::new(MADE).join("wasip2"))?;
    run(cargo()
        .args(["build", "--release", "--quiet", "--target", TARGET, "--manifest-path"])
        .arg(folder.join("Cargo.toml"))
        .env("CARGO_TARGET_DIR", &target))?;
    let component = target.join(TARGET).join("release/depth.wasm");
    let scenario = folder.join("scenario.yaml");
    run(Command::new(kennel).args(["plugin", "test"]).arg(&component).arg(scenario))?;
    live::run(kennel, &folder, &component).context("the real supervisor")
}

/// The three commands of an example's README, as they stand there: the first gets the tools,
/// which are installed elsewhere here, the second builds and the third runs.
fn commands(folder: &Path) -> Result<[String; 3]> {
    let readme = std::fs::read_to_string(folder.join("README.md"))?;
    let lines = readme.lines().skip_while(|line| !line.starts_with("    "));
    let block: Vec<String> =
        lines.map_while(|line| line.strip_prefix("    ")).map(str::to_owned).collect();
    block.try_into().map_err(|block| anyhow::anyhow!("three commands were expected: {block:?}"))
}

/// Builds, tries, runs and measures one example.
fn example(kennel: &Path, language: Language, tools: &Tools) -> Result<Row> {
    let folder = Path::new(EXAMPLES).join(language.folder());
    let component = Path::new(MADE).join(format!("{}.wasm", language.folder()));
    let scenario = folder.join("scenario.yaml");
    let [_, build, started] = commands(&folder)?;
    run(tools.shell(kennel, &build)?.current_dir(&folder))?;
    let made = folder.join("depth.wasm");
    std::fs::copy(&made, &component).with_context(|| format!("\"{build}\" makes no {made:?}"))?;
    std::fs::remove_file(made)?;
    run(Command::new(kennel).args(["plugin", "test"]).arg(&component).arg(&scenario))?;
    if started != "kennel run" {
        bail!("\"{started}\" is not what is run here");
    }
    live::run(kennel, &folder, &component).context("the real supervisor")?;
    measured(kennel, language.name(), &component, &scenario)
}

/// The other engine that makes components of JavaScript, with the same `plugin.js`.
fn in_starlingmonkey(kennel: &Path) -> Result<Row> {
    const NAME: &str = "JavaScript, StarlingMonkey";
    step(NAME);
    let folder = Path::new(EXAMPLES).join("javascript");
    let component = Path::new(MADE).join("starlingmonkey.wasm");
    let scenario = folder.join("scenario.yaml");
    let tools = tools::starlingmonkey()?;
    // As the README of the examples has it.
    let mut build = tools.command(Path::new("componentize-js"));
    build
        .arg("plugin.js")
        .args(["--wit", "wit", "--world-name", "health-check-plugin", "--disable"])
        .args(["stdio", "random", "clocks", "http", "fetch-event", "--out"])
        .arg(std::path::absolute(&component)?)
        .current_dir(&folder);
    run(&mut build)?;
    run(Command::new(kennel).args(["plugin", "test"]).arg(&component).arg(&scenario))?;
    live::run(kennel, &folder, &component).context("the real supervisor")?;
    measured(kennel, NAME, &component, &scenario)
}

fn measured(kennel: &Path, name: &'static str, component: &Path, scenario: &Path) -> Result<Row> {
    let output = Command::new(kennel)
        .args(["plugin", "bench", "--json"])
        .arg(component)
        .arg(scenario)
        .output()?;
    if !output.status.success() {
        bail!("kennel plugin bench: {}", String::from_utf8_lossy(&output.stderr));
    }
    let figures: Figures = serde_json::from_slice(&output.stdout)?;
    Ok(Row { language: name, figures })
}
