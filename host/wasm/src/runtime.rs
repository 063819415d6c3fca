//! Loading plugins and calling them.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::error::{BindError, ConfigureError, LoadError, RuntimeError};
use crate::fault::{Fault, Observer};
use crate::grants::Grants;
use crate::inspect::Inspection;
use crate::limits::CallLimits;
use crate::model::{Kind, check, policy, sink};
use crate::probe::{Host, Subject};
use crate::stats::{BindingStats, PluginStats};

/// How a runtime is set up.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where compiled plugins are kept. None: nowhere.
    pub cache_dir: Option<PathBuf>,
    /// Threads that run plugins; at least one.
    pub workers: usize,
    /// The largest component that is read.
    pub max_component_bytes: u64,
    /// How many calls may wait for one plugin.
    pub queue: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self { cache_dir: None, workers: 2, max_component_bytes: 64 * 1024 * 1024, queue: 1024 }
    }
}

/// What a plugin is loaded with.
#[derive(Clone)]
pub struct PluginOptions {
    /// What the SHA-256 of the component must be, in hexadecimal.
    pub sha256: Option<String>,
    /// What it may do.
    pub grants: Arc<Grants>,
    /// What one call may take.
    pub limits: CallLimits,
    /// Does what it asks for.
    pub host: Arc<dyn Host>,
    /// Is told of faults.
    pub observer: Arc<dyn Observer>,
}

/// Compiles and runs plugins on threads of its own. Clones are the same runtime; it ends
/// with the last of them and of its plugins.
#[derive(Clone)]
pub struct Runtime {}

impl Runtime {
    /// Starts the threads.
    pub fn new(settings: Settings) -> Result<Self, RuntimeError> {
        let Settings { cache_dir: _, workers: _, max_component_bytes: _, queue: _ } = settings;
        Ok(Self {})
    }

    /// Compiles a component, or takes it from the cache, and finds what it is.
    pub async fn load(
        &self,
        _name: Arc<str>,
        _bytes: Arc<[u8]>,
        _options: PluginOptions,
    ) -> Result<Plugin, LoadError> {
        Err(LoadError::Gone)
    }

    /// Says what a component is, what it imports and what it would ask for.
    pub async fn inspect(&self, _bytes: Arc<[u8]>) -> Result<Inspection, LoadError> {
        Err(LoadError::Gone)
    }
}

/// A loaded plugin. Clones are the same plugin.
#[derive(Clone)]
pub struct Plugin {
    name: Arc<str>,
}

impl Plugin {
    /// The name it was loaded under.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What it is for, at least one.
    pub fn kinds(&self) -> &[Kind] {
        &[]
    }

    /// The SHA-256 of the component, in hexadecimal.
    pub fn sha256(&self) -> &str {
        ""
    }

    /// Joins the plugin with a configuration (JSON). The plugin is not asked yet.
    pub fn bind(&self, _kind: Kind, _config_json: &str) -> Result<Binding, BindError> {
        Ok(Binding {})
    }

    /// What it did so far, over all its bindings.
    pub fn stats(&self) -> PluginStats {
        PluginStats::default()
    }
}

/// A plugin with its configuration: warm instances and a breaker. Clones are the same
/// binding.
#[derive(Clone)]
pub struct Binding {}

impl Binding {
    /// Asks the plugin whether it can work with this configuration.
    pub async fn configure(&self) -> Result<(), ConfigureError> {
        Err(ConfigureError::Fault(Fault::Gone))
    }

    /// Asks a health check. `patience` shortens the time limit, never extends it. The
    /// inner error is the plugin's own: the check could not be made.
    pub async fn check(
        &self,
        _subject: Subject,
        _input: check::Input,
        _patience: Duration,
    ) -> Result<Result<check::Verdict, String>, Fault> {
        Err(Fault::Gone)
    }

    /// Asks a restart policy. The inner error is the plugin's own: it could not decide.
    pub async fn decide(
        &self,
        _subject: Subject,
        _input: policy::Input,
    ) -> Result<Result<policy::Decision, String>, Fault> {
        Err(Fault::Gone)
    }

    /// Hands events to a sink.
    pub async fn deliver(&self, _batch: sink::Batch) -> Result<sink::Delivery, Fault> {
        Err(Fault::Gone)
    }

    /// What it did so far.
    pub fn stats(&self) -> BindingStats {
        BindingStats::default()
    }
}
