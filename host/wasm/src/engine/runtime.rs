//! Loading plugins.
//!
//! A runtime owns every thread that has to do with plugins:
//!
//! | thread | does | while there is nothing to do |
//! |---|---|---|
//! | `kennel-plugin-N` | runs plugins and what the host does for them | waits |
//! | `kennel-plugin-t` | interrupts plugins that compute | waits, without a timeout |
//! | `kennel-load` | looks into components, one after the other | is not there |
//! | `kennel-compile` | compiles one, with helpers | is not there |
//!
//! None of it is ever awaited by a supervising thread, and nothing here calls back into
//! supervision but through [`Host`] and [`Observer`], which must not block.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use wasmtime::component::Linker;

use crate::engine::breaker::BreakerSettings;
use crate::engine::cache::Cache;
use crate::engine::compile::{Compiler, Examined};
use crate::engine::config::engine;
use crate::engine::inspect::Inspection;
use crate::engine::plugin::Plugin;
use crate::engine::pool::{Pool, WarmSettings};
use crate::engine::ticker::Ticker;
use crate::engine::workers::Workers;
use crate::engine::{contract, wasi};
use crate::error::{LoadError, RuntimeError};
use crate::fault::Observer;
use crate::grants::Grants;
use crate::limits::CallLimits;
use crate::probe::Host;
use crate::stats::RuntimeStats;
use crate::traps::Traps;

/// How a runtime is set up.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where compiled plugins are kept; the folder is created, and made private. None:
    /// nowhere.
    pub cache_dir: Option<PathBuf>,
    /// Threads that run plugins; at least one.
    pub workers: usize,
    /// The largest component that is read, in bytes.
    pub max_component_bytes: u64,
    /// How long compiling one component may take before it is refused. The engine cannot
    /// interrupt a compile, so it goes on beside later ones, and what comes of it is kept in
    /// the cache; two such at most, until then no other is begun.
    pub compile_time: Duration,
    /// How many calls may wait for one plugin.
    pub queue: usize,
    /// When instances are used again.
    pub warm: WarmSettings,
    /// When a plugin that fails is not asked.
    pub breaker: BreakerSettings,
    /// How the engine notices what a plugin must not do.
    pub traps: Traps,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            cache_dir: None,
            workers: 2,
            max_component_bytes: 64 * 1024 * 1024,
            compile_time: Duration::from_secs(60),
            queue: 1024,
            warm: WarmSettings::default(),
            breaker: BreakerSettings::default(),
            traps: Traps::default(),
        }
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
pub struct Runtime {
    inner: Arc<Inner>,
}

/// What belongs to one runtime.
pub(crate) struct Inner {
    pub(crate) workers: Workers,
    pub(crate) ticker: Arc<Ticker>,
    pub(crate) pool: Pool,
    pub(crate) queue: usize,
    pub(crate) breaker: BreakerSettings,
    compiler: Compiler,
    bindings: AtomicU64,
}

impl Inner {
    /// A number that no other binding has.
    pub(crate) fn number(&self) -> u64 {
        self.bindings.fetch_add(1, Ordering::Relaxed)
    }
}

impl Runtime {
    /// Starts the threads.
    ///
    /// # Errors
    /// The system gives no thread, or the engine does not support this machine.
    pub fn new(settings: Settings) -> Result<Self, RuntimeError> {
        let Settings {
            cache_dir,
            workers,
            max_component_bytes,
            compile_time,
            queue,
            warm,
            breaker,
            traps,
        } = settings;
        let refused = |error: wasmtime::Error| RuntimeError::Engine(error.to_string());
        let engine = engine(traps).map_err(refused)?;
        let mut linker = Linker::new(&engine);
        wasi::link(&mut linker).map_err(refused)?;
        contract::link(&mut linker).map_err(refused)?;
        let ticker = Arc::new(Ticker::start(engine.clone()).map_err(RuntimeError::Thread)?);
        let workers = Workers::start(workers, &ticker).map_err(RuntimeError::Thread)?;
        let cache = Cache::new(&engine, cache_dir);
        let compiler = Compiler::new(engine, linker, cache, max_component_bytes, compile_time);
        let (pool, bindings) = (Pool::new(warm), AtomicU64::new(0));
        let inner = Inner { workers, ticker, pool, queue, breaker, compiler, bindings };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Compiles a component, or takes it from the cache, and finds what it is for. Nothing
    /// of it runs yet.
    ///
    /// # Errors
    /// It is no plugin for this host; the error says what it is.
    pub async fn load(
        &self,
        name: Arc<str>,
        bytes: Arc<[u8]>,
        options: PluginOptions,
    ) -> Result<Plugin, LoadError> {
        let examined = self.examine(bytes, options.sha256.clone()).await?;
        let pre = examined.pre.clone()?;
        Ok(Plugin::new(Arc::clone(&self.inner), name, examined, pre, options))
    }

    /// Says what a component is, what it imports and what it would ask for, whether or not
    /// it could be loaded.
    ///
    /// # Errors
    /// It is no component, or not a valid one.
    pub async fn inspect(&self, bytes: Arc<[u8]>) -> Result<Inspection, LoadError> {
        Ok(self.examine(bytes, None).await?.inspection.clone())
    }

    /// What the runtime does now.
    pub fn stats(&self) -> RuntimeStats {
        let Inner { ticker, pool, .. } = &*self.inner;
        RuntimeStats { warm_instances: pool.instances() as u64, ticker_wake_ups: ticker.wake_ups() }
    }

    async fn examine(
        &self,
        bytes: Arc<[u8]>,
        sha256: Option<String>,
    ) -> Result<Arc<Examined>, LoadError> {
        self.inner.compiler.examine(bytes, sha256).await
    }
}
