//! From a file to something that can be instantiated, on a thread of its own.
//!
//! One thread works off the queue, one component after the other, and is gone when the
//! queue is empty; the compiler's helpers are a pool of that thread. So a compile takes
//! nothing from supervision or from the plugins that run, and the same bytes are compiled
//! once however many ask for them. A compile that takes too long is refused and goes on beside
//! the queue; what comes of it is kept in the cache, for whoever asks again.

use std::collections::{HashMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::thread;
use std::time::{Duration, Instant};

use rayon::ThreadPoolBuilder;
use sha2::{Digest, Sha256};
use tokio::sync::oneshot;
use wasmtime::component::{Component, Linker};
use wasmtime::{Engine, Error};

use crate::engine::cache::{Cache, hex};
use crate::engine::contract::{Pre, names};
use crate::engine::identify::identify;
use crate::engine::inspect::{Compiled, Inspection, inspect};
use crate::engine::patience::{Late, Patience};
use crate::engine::store::State;
use crate::error::LoadError;

/// A component that was looked into.
pub(crate) struct Examined {
    pub(crate) inspection: Inspection,
    /// The plugin, or why it is none.
    pub(crate) pre: Result<Arc<Pre>, LoadError>,
}

/// Compiles components.
pub(crate) struct Compiler {
    shared: Arc<Shared>,
}

struct Shared {
    engine: Engine,
    linker: Linker<State>,
    cache: Arc<Cache>,
    bytes_max: u64,
    patience: Patience<[u8; 32]>,
    queue: Mutex<Queue>,
}

#[derive(Default)]
struct Queue {
    jobs: VecDeque<Job>,
    /// Whether there is a thread.
    working: bool,
    /// What is in use now, by SHA-256.
    known: HashMap<[u8; 32], Weak<Examined>>,
}

type Answer = Result<Arc<Examined>, LoadError>;

struct Job {
    bytes: Arc<[u8]>,
    /// What its SHA-256 must be.
    sha256: Option<String>,
    answer: oneshot::Sender<Answer>,
}

impl Compiler {
    /// Refuses what has more than `bytes_max` bytes, and what takes longer than `time`.
    pub(crate) fn new(
        engine: Engine,
        linker: Linker<State>,
        cache: Cache,
        bytes_max: u64,
        time: Duration,
    ) -> Self {
        let (queue, cache) = (Mutex::default(), Arc::new(cache));
        let patience = Patience::new(time, "kennel-compile");
        Self { shared: Arc::new(Shared { engine, linker, cache, bytes_max, patience, queue }) }
    }

    /// Looks into a component, and compiles it where that was not done before.
    pub(crate) async fn examine(&self, bytes: Arc<[u8]>, sha256: Option<String>) -> Answer {
        let answered = self.submit(bytes, sha256)?;
        answered.await.unwrap_or(Err(LoadError::Gone))
    }

    /// Queues a component, and starts the thread where there is none.
    fn submit(
        &self,
        bytes: Arc<[u8]>,
        sha256: Option<String>,
    ) -> Result<oneshot::Receiver<Answer>, LoadError> {
        let (answer, answered) = oneshot::channel();
        let mut queue = self.shared.queue();
        if !queue.working {
            let shared = Arc::clone(&self.shared);
            let thread = thread::Builder::new().name("kennel-load".into());
            thread
                .spawn(move || shared.work())
                .map_err(|error| LoadError::Compile(format!("no thread: {error}")))?;
            queue.working = true;
        }
        queue.jobs.push_back(Job { bytes, sha256, answer });
        Ok(answered)
    }
}

impl Drop for Compiler {
    fn drop(&mut self) {
        self.shared.queue().jobs.clear();
    }
}

impl Shared {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Works until there is nothing to do.
    fn work(&self) {
        loop {
            let mut queue = self.queue();
            let Some(job) = queue.jobs.pop_front() else {
                queue.working = false;
                queue.known.retain(|_, examined| examined.strong_count() > 0);
                return;
            };
            drop(queue);
            let Job { bytes, sha256, answer } = job;
            if answer.is_closed() {
                continue;
            }
            let examined = catch_unwind(AssertUnwindSafe(|| self.examine(bytes, sha256)));
            let failed = || Err(LoadError::Compile("the compiler failed".into()));
            // Who asked may have gone in the meantime.
            let _ = answer.send(examined.unwrap_or_else(|_| failed()));
        }
    }

    fn examine(&self, bytes: Arc<[u8]>, expected: Option<String>) -> Answer {
        // Before anything is done with them.
        let too_large = bytes.len() as u64 > self.bytes_max;
        let identified = identify(&bytes, self.bytes_max);
        let sha256: [u8; 32] = if too_large { [0; 32] } else { Sha256::digest(&bytes).into() };
        if let (Some(expected), false) = (expected, too_large) {
            let found = hex(&sha256);
            if !expected.eq_ignore_ascii_case(&found) {
                return Err(LoadError::Sha256 { expected, found });
            }
        }
        identified?;
        if let Some(known) = self.queue().known.get(&sha256).and_then(Weak::upgrade) {
            return Ok(known);
        }
        let (component, compiled) = self.compile(&bytes, sha256)?;
        let examined = Arc::new(self.link(&bytes, &sha256, component, compiled));
        self.queue().known.insert(sha256, Arc::downgrade(&examined));
        Ok(examined)
    }

    fn compile(
        &self,
        bytes: &Arc<[u8]>,
        sha256: [u8; 32],
    ) -> Result<(Component, Compiled), LoadError> {
        if let Some(component) = self.cache.find(&self.engine, &sha256) {
            return Ok((component, Compiled { took: Duration::ZERO, cached: true }));
        }
        let (engine, cache, bytes) =
            (self.engine.clone(), Arc::clone(&self.cache), Arc::clone(bytes));
        let compiling = move || {
            let began = Instant::now();
            let component = compile(&engine, &bytes)?;
            let took = began.elapsed();
            cache.keep(&sha256, &component);
            Ok((component, Compiled { took, cached: false }))
        };
        self.patience.wait_for(sha256, compiling).unwrap_or_else(|late| {
            Err(match late {
                Late::GoesOn => LoadError::Slow { limit: self.patience.limit() },
                Late::Others(components) => LoadError::Busy { components },
                Late::Failed => LoadError::Compile("the compiler failed".into()),
                Late::NoThread(error) => LoadError::Compile(format!("no thread: {error}")),
            })
        })
    }

    fn link(
        &self,
        bytes: &[u8],
        sha256: &[u8; 32],
        component: Component,
        compiled: Compiled,
    ) -> Examined {
        let (inspection, kinds) = inspect(&self.engine, bytes, sha256, &component, compiled);
        let pre = kinds.and_then(|kinds| {
            let imports = names::unknown(&inspection.imports);
            if !imports.is_empty() {
                return Err(LoadError::UnknownImports { imports });
            }
            let pre = self.linker.instantiate_pre(&component);
            let pre = pre.map_err(|error| LoadError::WrongTypes(sentence(&error)))?;
            let pre = Pre::new(pre, &kinds);
            pre.map(Arc::new).map_err(|error| LoadError::WrongTypes(sentence(&error)))
        });
        Examined { inspection, pre }
    }
}

/// Compiles, with helpers in place of the pool of the whole program, which is not ours to fill.
fn compile(engine: &Engine, bytes: &[u8]) -> Result<Component, LoadError> {
    let pool = ThreadPoolBuilder::new()
        .thread_name(|number| format!("kennel-compile-{number}"))
        .build()
        .map_err(|error| LoadError::Compile(error.to_string()))?;
    let component = pool.install(|| Component::from_binary(engine, bytes));
    component.map_err(|error| LoadError::Invalid(sentence(&error)))
}

/// An error with all its causes.
fn sentence(error: &Error) -> String {
    let causes: Vec<_> = error.chain().map(ToString::to_string).collect();
    causes.join(": ")
}
