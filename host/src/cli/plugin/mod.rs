//! `kennel plugin`: making plugins, looking at them, trying them.
//!
//! Nothing here needs a supervisor but `ls`. What runs a plugin (`check`, `test`, `bench`)
//! runs it as a supervisor does, by the same runtime and under the same limits.
//!
//! A build without the feature `plugins` has the same commands; they say that it has no
//! plugins.

mod args;
#[cfg(feature = "plugins")]
mod bench;
#[cfg(feature = "plugins")]
mod build;
#[cfg(feature = "plugins")]
mod check;
#[cfg(feature = "plugins")]
mod inspect;
#[cfg(feature = "plugins")]
mod lab;
mod ls;
#[cfg(feature = "plugins")]
mod new;
#[cfg(feature = "plugins")]
mod project;
#[cfg(feature = "plugins")]
mod source;
#[cfg(feature = "plugins")]
mod templates;
#[cfg(feature = "plugins")]
mod test;

use clap::Subcommand;

use super::{Global, Outcome};

/// Options of `kennel plugin`.
#[derive(clap::Args, Debug)]
pub(super) struct PluginArgs {
    #[command(subcommand)]
    command: PluginCommand,
}

#[derive(Subcommand, Debug)]
enum PluginCommand {
    /// Show the plugins of a supervisor: state, calls, faults, latency
    Ls(ls::LsArgs),
    /// Make a project for a new plugin, which builds at once
    New(args::NewArgs),
    /// Build the plugin of a project
    Build(args::BuildArgs),
    /// Show what a component is, and what it would ask for
    Inspect(args::InspectArgs),
    /// Check a component against the contract, and a configuration of it
    Check(args::CheckArgs),
    /// Try a plugin with scenarios, and with what goes wrong in the world
    Test(args::TestArgs),
    /// Measure what calls of a plugin cost
    Bench(args::BenchArgs),
}

#[cfg(feature = "plugins")]
pub(super) fn plugin(global: &Global, args: &PluginArgs) -> Outcome {
    let PluginArgs { command } = args;
    match command {
        PluginCommand::New(args) => new::new(args),
        PluginCommand::Build(args) => build::build(args),
        PluginCommand::Inspect(args) => inspect::inspect(args),
        PluginCommand::Check(args) => check::check(args),
        PluginCommand::Test(args) => test::test(args),
        PluginCommand::Bench(args) => bench::bench(args),
        PluginCommand::Ls(args) => ls::ls(global, args),
    }
}

#[cfg(not(feature = "plugins"))]
pub(super) fn plugin(global: &Global, args: &PluginArgs) -> Outcome {
    use super::{ExitKind, Failure};

    let PluginArgs { command } = args;
    match command {
        // It is the supervisor that has the plugins.
        PluginCommand::Ls(args) => ls::ls(global, args),
        PluginCommand::New(_)
        | PluginCommand::Build(_)
        | PluginCommand::Inspect(_)
        | PluginCommand::Check(_)
        | PluginCommand::Test(_)
        | PluginCommand::Bench(_) => {
            Err(Failure::new(ExitKind::Failed, "this kennel is built without plugins")
                .hint("build it with the feature \"plugins\", which is on by default"))
        }
    }
}
