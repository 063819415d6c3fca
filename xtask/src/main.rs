//! `cargo xtask`: the project's chores, in Rust rather than in a maze of shell.

mod api;
mod bench;
mod book;
mod examples;
mod mutants;
mod packages;
mod plugins;
mod runner;
mod test;

use clap::{Parser, Subcommand};

/// The project's chores.
#[derive(Parser)]
#[command(name = "cargo xtask")]
struct Xtask {
    #[command(subcommand)]
    chore: Chore,
}

#[derive(Subcommand)]
enum Chore {
    /// Run every check there is.
    Test(test::Args),
    /// Breaks the core and the plugin runtime on purpose, once per mutant, and fails if the
    /// tests let one pass.
    Mutants(mutants::Options),
    /// Build, try, run and measure the example plugins of every language.
    Examples(examples::Args),
    /// Be the preprocessor of the guide: mdBook runs it.
    Book(book::Args),
    /// Measure what supervision costs, beside the least that could do it.
    Bench(bench::Args),
    /// Say what of the public API was removed or added since the baseline in xtask/api.
    Api(api::Args),
    /// Build `kennel` from the packages of its crates, as others get them, and use it.
    Packages,
    /// Build the stock plugins, or see whether they are what is committed.
    Plugins(plugins::Args),
}

fn main() -> anyhow::Result<()> {
    match Xtask::parse().chore {
        Chore::Test(args) => test::test(&args),
        Chore::Mutants(options) => mutants::run(&options),
        Chore::Examples(args) => examples::examples(&args),
        Chore::Book(args) => book::book(&args),
        Chore::Bench(args) => bench::bench(&args),
        Chore::Api(args) => api::api(&args),
        Chore::Packages => packages::packages(),
        Chore::Plugins(args) => plugins::plugins(&args),
    }
}
