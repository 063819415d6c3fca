//! What the commands of `kennel plugin` are given. It is the same in every build, so that
//! the help and the reference are.

use std::path::PathBuf;

use clap::ValueEnum;
use serde::Deserialize;

/// What a plugin is for, as one writes it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum KindName {
    /// Says how a service is
    HealthCheck,
    /// Decides what follows the end of a run
    RestartPolicy,
    /// Takes events to somewhere else
    EventSink,
}

#[cfg(feature = "plugins")]
impl KindName {
    /// As one writes it.
    pub(super) fn word(self) -> &'static str {
        match self {
            KindName::HealthCheck => "health-check",
            KindName::RestartPolicy => "restart-policy",
            KindName::EventSink => "event-sink",
        }
    }

    /// The world of the contract that belongs to it.
    pub(super) fn world(self) -> &'static str {
        match self {
            KindName::HealthCheck => "health-check-plugin",
            KindName::RestartPolicy => "restart-policy-plugin",
            KindName::EventSink => "event-sink-plugin",
        }
    }

    /// As the runtime knows it.
    pub(super) fn kind(self) -> kennel_wasm::Kind {
        match self {
            KindName::HealthCheck => kennel_wasm::Kind::HealthCheck,
            KindName::RestartPolicy => kennel_wasm::Kind::RestartPolicy,
            KindName::EventSink => kennel_wasm::Kind::EventSink,
        }
    }
}

/// What a plugin is written in.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Language {
    /// Small and fast; needs cargo
    Rust,
    /// Small and fast; needs clang and lld
    C,
    /// Needs pip
    Python,
    /// Needs npm
    Javascript,
    /// Needs Go 1.27 or later
    Go,
}

#[cfg(feature = "plugins")]
impl Language {
    /// As one writes it.
    pub(super) fn word(self) -> &'static str {
        match self {
            Language::Rust => "rust",
            Language::C => "c",
            Language::Python => "python",
            Language::Javascript => "javascript",
            Language::Go => "go",
        }
    }

    /// As people write it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Language::Rust => "Rust",
            Language::C => "C",
            Language::Python => "Python",
            Language::Javascript => "JavaScript",
            Language::Go => "Go",
        }
    }
}

/// Options of `kennel plugin new`.
#[derive(clap::Args, Debug)]
pub(super) struct NewArgs {
    /// What the plugin is for
    #[arg(long, value_enum)]
    pub(super) kind: KindName,
    /// What it is written in
    #[arg(long, value_enum)]
    pub(super) lang: Language,
    /// The folder to make; its name is the plugin's
    #[arg(value_name = "NAME")]
    pub(super) directory: PathBuf,
}

/// Options of `kennel plugin build`.
#[derive(clap::Args, Debug)]
pub(super) struct BuildArgs {
    /// The folder of the project
    #[arg(value_name = "DIR", default_value = ".")]
    pub(super) directory: PathBuf,
    /// Where to write the component [default: NAME.wasm in DIR]
    #[arg(short, long, value_name = "FILE")]
    pub(super) output: Option<PathBuf>,
}

/// A component: a file, or a plugin of this binary.
#[derive(clap::Args, Debug)]
pub(super) struct InspectArgs {
    /// A component, or stock:NAME for a plugin that is part of kennel
    #[arg(value_name = "PLUGIN")]
    pub(super) plugin: PathBuf,
    /// Print JSON
    #[arg(long)]
    pub(super) json: bool,
}

/// Options of `kennel plugin check`.
#[derive(clap::Args, Debug)]
pub(super) struct CheckArgs {
    /// A component, or stock:NAME for a plugin that is part of kennel
    #[arg(value_name = "PLUGIN")]
    pub(super) plugin: PathBuf,
    /// What would stand under "config:", as YAML or JSON; the plugin says what is wrong with it
    // It takes the place of the global option of the same name.
    #[arg(short, long, value_name = "FILE")]
    pub(super) config: Option<PathBuf>,
}

/// Whether things go wrong as well.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Chaos {
    Wanted,
    Spared,
}

impl Chaos {
    pub(super) fn is_wanted(self) -> bool {
        self == Chaos::Wanted
    }
}

/// Options of `kennel plugin test`.
#[derive(clap::Args, Debug)]
pub(super) struct TestArgs {
    /// A component, or stock:NAME for a plugin that is part of kennel
    #[arg(value_name = "PLUGIN")]
    pub(super) plugin: PathBuf,
    /// What the plugin is told, and what it should answer
    #[arg(value_name = "SCENARIO.yaml", required = true)]
    pub(super) scenarios: Vec<PathBuf>,
    /// Let nothing go wrong but what the scenarios say
    #[arg(long)]
    no_chaos: bool,
}

impl TestArgs {
    pub(super) fn chaos(&self) -> Chaos {
        if self.no_chaos { Chaos::Spared } else { Chaos::Wanted }
    }
}

/// Options of `kennel plugin bench`.
#[derive(clap::Args, Debug)]
pub(super) struct BenchArgs {
    /// A component, or stock:NAME for a plugin that is part of kennel
    #[arg(value_name = "PLUGIN")]
    pub(super) plugin: PathBuf,
    /// The calls that are made, over and over
    #[arg(value_name = "SCENARIO.yaml")]
    pub(super) scenario: PathBuf,
    /// How many calls to measure
    #[arg(long, value_name = "N", default_value_t = 20_000)]
    pub(super) calls: u32,
    /// Print JSON
    #[arg(long)]
    pub(super) json: bool,
}
