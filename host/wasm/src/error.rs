//! Why a plugin was not loaded, not bound or not configured.

use std::time::Duration;

use crate::fault::Fault;
use crate::model::{Kind, Problem};

/// Why there is no runtime.
#[derive(Debug, thiserror::Error)]
pub enum RuntimeError {
    /// The engine refused its settings.
    #[error("cannot start the plugin runtime: {0}")]
    Engine(String),
    /// A thread could not be started.
    #[error("cannot start a thread for plugins: {0}")]
    Thread(#[source] std::io::Error),
}

/// Why a component was refused. Each says what the file is and what was expected.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LoadError {
    /// The file has no byte.
    #[error("the file is empty, expected a WebAssembly component")]
    Empty,
    /// The file has too many.
    #[error("the file has {bytes} bytes, the limit is {max}")]
    TooLarge {
        /// What it has.
        bytes: u64,
        /// What is allowed.
        max: u64,
    },
    /// It does not begin as WebAssembly does.
    #[error("the file is {what}, expected a WebAssembly component")]
    NotWasm {
        /// What it looks like.
        what: String,
    },
    /// WebAssembly, but a core module.
    #[error("the file is a WebAssembly core module, expected a component")]
    CoreModule,
    /// It begins as a component does and then ends too early.
    #[error("the file is a component that is cut off after {bytes} bytes")]
    Truncated {
        /// What there is.
        bytes: u64,
    },
    /// It begins as a component does, but is none.
    #[error("the component is not valid: {0}")]
    Invalid(String),
    /// Not the file that the configuration names.
    #[error("the component has the SHA-256 {found}, the configuration asks for {expected}")]
    Sha256 {
        /// As configured.
        expected: String,
        /// As it is.
        found: String,
    },
    /// It exports nothing that the host knows.
    #[error("the component exports {}, expected one of {}", list(exports), list(expected))]
    NoKind {
        /// What it exports.
        exports: Vec<String>,
        /// What would do.
        expected: Vec<String>,
    },
    /// It has a kind, but not what every plugin has.
    #[error("the component exports {}, expected {expected} beside it", list(exports))]
    NoLifecycle {
        /// What it exports.
        exports: Vec<String>,
        /// What is missing.
        expected: String,
    },
    /// It is a plugin, of a contract that this host does not speak.
    #[error("the component is made for {found}, this host speaks {expected}")]
    WrongVersion {
        /// What it exports.
        found: String,
        /// What would do.
        expected: String,
    },
    /// It asks for what the host does not have.
    #[error("the component imports {}, which {} not available to plugins", list(imports), if imports.len() == 1 { "is" } else { "are" })]
    UnknownImports {
        /// All of them.
        imports: Vec<String>,
    },
    /// What it exports has the right name and other types.
    #[error("the component does not fit the contract: {0}")]
    WrongTypes(String),
    /// It could not be compiled, for a reason that is not in it.
    #[error("cannot compile the component: {0}")]
    Compile(String),
    /// Compiling it takes longer than is waited for. It goes on.
    #[error("compiling the component takes longer than {} s", limit.as_secs_f64())]
    Slow {
        /// How long is waited.
        limit: Duration,
    },
    /// It was not compiled, since others take so long.
    #[error("compiling {components} other components takes too long already")]
    Busy {
        /// How many.
        components: usize,
    },
    /// The runtime has ended.
    #[error("the plugin runtime has ended")]
    Gone,
}

impl LoadError {
    /// What to do about it, where that is known.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::CoreModule => Some(
                "make a component of it with \"wasm-tools component new\" or \"kennel plugin build\"",
            ),
            Self::UnknownImports { imports } => hint_of_imports(imports),
            Self::WrongVersion { found: _, expected: _ } => Some(
                "build it against the contract of this host, or use a host that speaks its own",
            ),
            Self::Sha256 { expected: _, found: _ } => {
                Some("if the file was changed on purpose, change sha256: too")
            }
            Self::Slow { limit: _ } | Self::Busy { components: _ } => {
                Some("it goes on in the background: load it again later, or use a smaller one")
            }
            Self::Invalid(why) if why.contains("async feature") => {
                Some("build it without asynchronous exports: this host speaks WASI 0.2, not 0.3")
            }
            Self::Empty
            | Self::TooLarge { bytes: _, max: _ }
            | Self::NotWasm { what: _ }
            | Self::Truncated { bytes: _ }
            | Self::Invalid(_)
            | Self::NoKind { exports: _, expected: _ }
            | Self::NoLifecycle { exports: _, expected: _ }
            | Self::WrongTypes(_)
            | Self::Compile(_)
            | Self::Gone => None,
        }
    }
}

fn hint_of_imports(imports: &[String]) -> Option<&'static str> {
    let any = |start: &str| imports.iter().any(|import| import.starts_with(start));
    if any("wasi:http/") {
        Some("wasi:http would go round the grants: make requests with kennel:plugin/probe")
    } else if any("wasi_snapshot_preview1") {
        Some("it is made for WASI 0.1: add the adapter when the component is made")
    } else if imports.iter().any(|i| i.starts_with("wasi:") && i.contains("@0.3.")) {
        Some("it is made for WASI 0.3: this host has WASI 0.2")
    } else {
        None
    }
}

fn list(names: &[String]) -> String {
    if names.is_empty() { "nothing".into() } else { names.join(", ") }
}

/// Why a configuration was not joined to a plugin.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BindError {
    /// The plugin is for something else.
    #[error("plugin \"{plugin}\" is no {wanted}, it is {}", list(&kinds.iter().map(|kind| format!("a {kind}")).collect::<Vec<_>>()))]
    WrongKind {
        /// Its name.
        plugin: String,
        /// What it was to be.
        wanted: Kind,
        /// What it is.
        kinds: Vec<Kind>,
    },
}

/// Why a plugin does not work with its configuration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigureError {
    /// It says what is wrong.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Problems(Vec<Problem>),
    /// It could not even say.
    #[error(transparent)]
    Fault(#[from] Fault),
}
