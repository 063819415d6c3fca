//! `cargo xtask`: the project's chores.

mod mutants;

use clap::{Parser, Subcommand};

/// The project's chores, in Rust.
#[derive(Parser)]
#[command(name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    chore: Chore,
}

#[derive(Subcommand)]
enum Chore {
    /// Breaks kennel-core on purpose, once per mutant, and fails if the tests let one pass.
    Mutants(mutants::Options),
}

fn main() -> anyhow::Result<()> {
    match Arguments::parse().chore {
        Chore::Mutants(options) => mutants::run(&options),
    }
}
