//! A place where plugins run as they do in a supervisor, without one.

use std::future::Future;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use kennel_wasm::probe::Host;
use kennel_wasm::{
    Binding, CallLimits, ConfigureError, Grants, Kind, LoadError, Plugin, PluginOptions, Runtime,
    Settings, Unobserved,
};

use super::args::KindName;
use super::source::Source;
use crate::cli::{ExitKind, Failure, TRAPS};

/// Here nobody else waits for a compile that takes long.
const COMPILE_TIME: Duration = Duration::from_secs(10 * 60);

/// The runtime of plugins, and one to wait for it.
pub(super) struct Lab {
    waiting: tokio::runtime::Runtime,
    runtime: Runtime,
}

/// A plugin, and how long loading it took.
pub(super) struct Loaded {
    pub(super) plugin: Plugin,
    pub(super) took: Duration,
}

impl Lab {
    /// Machine code is kept in the user's cache, so that what takes seconds does so once.
    pub(super) fn new() -> Result<Lab, Failure> {
        Lab::with_cache(cache_dir())
    }

    /// Keeps machine code in `cache_dir`, if there is one.
    pub(super) fn with_cache(cache_dir: Option<PathBuf>) -> Result<Lab, Failure> {
        let waiting = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let settings =
            Settings { cache_dir, compile_time: COMPILE_TIME, traps: TRAPS, ..Settings::default() };
        let runtime = Runtime::new(settings)
            .map_err(|error| Failure::new(ExitKind::Failed, error.to_string()))?;
        Ok(Lab { waiting, runtime })
    }

    pub(super) fn runtime(&self) -> &Runtime {
        &self.runtime
    }

    /// Waits for something of the runtime.
    pub(super) fn wait<T>(&self, future: impl Future<Output = T>) -> T {
        self.waiting.block_on(future)
    }

    /// The same, and how long it took.
    pub(super) fn time<T>(&self, future: impl Future<Output = T>) -> (T, Duration) {
        self.wait(async {
            let begun = Instant::now();
            (future.await, begun.elapsed())
        })
    }

    pub(super) fn load(
        &self,
        source: &Source,
        limits: CallLimits,
        host: Arc<dyn Host>,
    ) -> Result<Loaded, Failure> {
        // Whether a probe is granted is what the host says: here a scenario.
        let grants = Grants { exec: true, give_up: true, ..Grants::default() };
        let options = PluginOptions {
            sha256: None,
            grants: Arc::new(grants),
            limits,
            host,
            observer: Arc::new(Unobserved),
        };
        let (name, bytes) = (Arc::clone(&source.name), Arc::clone(&source.bytes));
        let begun = Instant::now();
        let loaded = self.wait(self.runtime.load(name, bytes, options));
        let plugin = loaded.map_err(|error| refused(source, &error))?;
        Ok(Loaded { plugin, took: begun.elapsed() })
    }

    /// What the plugin is for; where it is for several things, the one that is said.
    pub(super) fn kind(&self, plugin: &Plugin, said: Option<KindName>) -> Result<Kind, Failure> {
        let kinds = plugin.kinds();
        let invalid = |message: String| Failure::new(ExitKind::Invalid, message);
        match (said.map(KindName::kind), kinds) {
            (Some(kind), kinds) if kinds.contains(&kind) => Ok(kind),
            (Some(kind), kinds) => {
                Err(invalid(format!("the plugin is no {kind}, it is: {}", listed(kinds))))
            }
            (None, [kind]) => Ok(*kind),
            (None, kinds) => Err(invalid(format!("the plugin is: {}", listed(kinds)))
                .hint("say which one is meant with kind: in the scenario")),
        }
    }

    pub(super) fn bind(
        &self,
        plugin: &Plugin,
        kind: Kind,
        config: &str,
    ) -> Result<Binding, Failure> {
        plugin.bind(kind, config).map_err(|error| Failure::new(ExitKind::Failed, error.to_string()))
    }

    /// Asks the plugin whether it can work with `config`, which is JSON.
    pub(super) fn configure(
        &self,
        plugin: &Plugin,
        kind: Kind,
        config: &str,
    ) -> Result<(), Failure> {
        let binding = self.bind(plugin, kind, config)?;
        self.wait(binding.configure()).map_err(|error| match error {
            ConfigureError::Problems(problems) => {
                let lines = problems.iter().map(|problem| format!("config: {problem}"));
                Failure::new(ExitKind::Invalid, lines.collect::<Vec<_>>().join("\n"))
            }
            ConfigureError::Fault(fault) => {
                Failure::new(ExitKind::Failed, fault.to_string()).doing("configure the plugin")
            }
        })
    }
}

/// What a component was refused for.
pub(super) fn refused(source: &Source, error: &LoadError) -> Failure {
    let failure = Failure::new(ExitKind::Failed, error.to_string());
    let failure = match error.hint() {
        Some(hint) => failure.hint(hint),
        None => failure,
    };
    failure.doing(&format!("load \"{}\"", source.label))
}

/// `a health-check, a restart-policy`.
pub(super) fn listed(kinds: &[Kind]) -> String {
    kinds.iter().map(|kind| kind.name()).collect::<Vec<_>>().join(", ")
}

/// The user's cache (XDG Base Directory Specification), if there is one.
fn cache_dir() -> Option<PathBuf> {
    let absolute = |name| std::env::var_os(name).map(PathBuf::from).filter(|p| p.is_absolute());
    let base = absolute("XDG_CACHE_HOME").or_else(|| absolute("HOME").map(|h| h.join(".cache")))?;
    Some(base.join("kennel"))
}
