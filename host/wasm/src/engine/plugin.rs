//! Plugins that are loaded, and their bindings.
//!
//! ```text
//! check, decide, deliver ─► breaker ─► place in the queue ─► thread ─► turn to run ─► call
//!                              │             │                            │
//!                              ▼             ▼                            ▼
//!                          Disabled         Busy                         Busy
//! ```
//!
//! Whoever asks gets an answer at once if there is no place, and within its patience else.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant as Moment};

use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout_at};

use crate::engine::ask::{Ask, Configure};
use crate::engine::bounds::RUNNING;
use crate::engine::breaker::{Breaker, Pass};
use crate::engine::call::{Stage, perform};
use crate::engine::compile::Examined;
use crate::engine::contract::Pre;
use crate::engine::counters::{Counters, Latency};
use crate::engine::inspect::Inspection;
use crate::engine::runtime::{Inner, PluginOptions};
use crate::engine::store::{Shared, quietly};
use crate::error::{BindError, ConfigureError};
use crate::fault::Fault;
use crate::model::{Kind, Problem, check, policy, sink};
use crate::probe::Subject;
use crate::stats::{BindingStats, PluginStats};

/// A loaded plugin. Clones are the same plugin.
#[derive(Clone)]
pub struct Plugin {
    inner: Arc<Loaded>,
}

struct Loaded {
    runtime: Arc<Inner>,
    examined: Arc<Examined>,
    pre: Arc<Pre>,
    shared: Arc<Shared>,
    /// Calls that run.
    running: Arc<Semaphore>,
    /// Calls that run or wait.
    pending: Arc<AtomicUsize>,
}

/// A plugin with its configuration: warm instances and a breaker. Clones are the same
/// binding.
#[derive(Clone)]
pub struct Binding {
    inner: Arc<Bound>,
}

struct Bound {
    plugin: Arc<Loaded>,
    number: u64,
    kind: Kind,
    config: Box<str>,
    breaker: Mutex<Breaker>,
    counters: Counters,
    latency: Latency,
}

/// A place among the calls of a plugin; free again when this is dropped.
struct Place(Arc<AtomicUsize>);

/// What the breaker is told at the end; that nothing came of it when this is dropped before.
struct Ticket {
    bound: Arc<Bound>,
    pass: Option<Pass>,
}

impl Plugin {
    pub(crate) fn new(
        runtime: Arc<Inner>,
        name: Arc<str>,
        examined: Arc<Examined>,
        pre: Arc<Pre>,
        options: PluginOptions,
    ) -> Self {
        let PluginOptions { sha256: _, grants, limits, host, observer } = options;
        let shared = Arc::new(Shared::new(name, grants, limits, host, observer));
        let running = Arc::new(Semaphore::new(RUNNING));
        let pending = Arc::default();
        Self { inner: Arc::new(Loaded { runtime, examined, pre, shared, running, pending }) }
    }

    /// The name it was loaded under.
    pub fn name(&self) -> &str {
        &self.inner.shared.name
    }

    /// What it is for, at least one.
    pub fn kinds(&self) -> &[Kind] {
        &self.inner.examined.inspection.kinds
    }

    /// The SHA-256 of the component, in hexadecimal.
    pub fn sha256(&self) -> &str {
        &self.inner.examined.inspection.sha256
    }

    /// What the component is.
    pub fn inspection(&self) -> &Inspection {
        &self.inner.examined.inspection
    }

    /// Joins the plugin with a configuration (JSON). The plugin is not asked yet.
    ///
    /// # Errors
    /// It is of another kind.
    pub fn bind(&self, kind: Kind, config_json: &str) -> Result<Binding, BindError> {
        if !self.kinds().contains(&kind) {
            return Err(BindError::WrongKind {
                plugin: self.name().into(),
                wanted: kind,
                kinds: self.kinds().to_vec(),
            });
        }
        let plugin = Arc::clone(&self.inner);
        let number = plugin.runtime.number();
        let breaker = Mutex::new(Breaker::new(plugin.runtime.breaker));
        let (config, counters, latency) =
            (config_json.into(), Counters::default(), Latency::default());
        let bound = Bound { plugin, number, kind, config, breaker, counters, latency };
        Ok(Binding { inner: Arc::new(bound) })
    }

    /// What it did so far, over all its bindings.
    pub fn stats(&self) -> PluginStats {
        let Loaded { shared, pending, .. } = &*self.inner;
        let Counters { calls, faults, skipped, instances, log_dropped } = &shared.counters;
        PluginStats {
            calls: calls.load(Ordering::Relaxed),
            faults: faults.load(Ordering::Relaxed),
            skipped: skipped.load(Ordering::Relaxed),
            pending: pending.load(Ordering::Relaxed) as u64,
            instances: instances.load(Ordering::Relaxed),
            memory_bytes: shared.memory.used(),
            log_dropped: log_dropped.load(Ordering::Relaxed),
        }
    }
}

impl Binding {
    /// What it is bound as.
    pub fn kind(&self) -> Kind {
        self.inner.kind
    }

    /// Asks the plugin whether it can work with this configuration, in an instance of its
    /// own. Neither the breaker nor the queue has a say in it.
    ///
    /// # Errors
    /// What the plugin finds wrong, or that it failed.
    pub async fn configure(&self) -> Result<(), ConfigureError> {
        let bound = Arc::clone(&self.inner);
        let time = bound.plugin.shared.limits.time;
        let configuring = async move { perform(&bound.stage(), Configure, None, time).await };
        match self.inner.plugin.runtime.workers.run(configuring).await? {
            Ok(()) => Ok(()),
            Err(problems) => Err(ConfigureError::Problems(problems)),
        }
    }

    /// Asks a health check. `patience` shortens the time limit, never extends it.
    ///
    /// The inner error is the plugin's own: the check could not be made.
    ///
    /// # Errors
    /// The plugin brought no answer.
    pub async fn check(
        &self,
        subject: Subject,
        input: check::Input,
        patience: Duration,
    ) -> Result<Result<check::Verdict, String>, Fault> {
        self.call(input, Some(subject), patience).await
    }

    /// Asks a restart policy.
    ///
    /// The inner error is the plugin's own: it could not decide.
    ///
    /// # Errors
    /// The plugin brought no answer.
    pub async fn decide(
        &self,
        subject: Subject,
        input: policy::Input,
    ) -> Result<Result<policy::Decision, String>, Fault> {
        self.call(input, Some(subject), Duration::MAX).await
    }

    /// Hands events to a sink.
    ///
    /// # Errors
    /// The plugin brought no answer: nobody knows whether it took events.
    pub async fn deliver(&self, batch: sink::Batch) -> Result<sink::Delivery, Fault> {
        self.call(batch, None, Duration::MAX).await
    }

    /// What it did so far.
    pub fn stats(&self) -> BindingStats {
        let Bound { plugin, number, breaker: _, counters, latency, .. } = &*self.inner;
        BindingStats {
            calls: counters.calls.load(Ordering::Relaxed),
            faults: counters.faults.load(Ordering::Relaxed),
            skipped: counters.skipped.load(Ordering::Relaxed),
            breaker: self.inner.breaker().state(Moment::now()),
            latency: latency.snapshot(),
            warm_instances: plugin.runtime.pool.count(*number) as u64,
        }
    }

    async fn call<Q: Ask>(
        &self,
        question: Q,
        subject: Option<Subject>,
        patience: Duration,
    ) -> Result<Q::Answer, Fault> {
        let bound = &self.inner;
        if Q::KIND.is_some_and(|kind| kind != bound.kind) {
            return Err(Fault::BadAnswer(format!("it is bound as a {}", bound.kind)));
        }
        let ticket = bound.admit().inspect_err(|_| bound.skipped())?;
        let place = bound.plugin.place().inspect_err(|_| bound.skipped())?;
        let patience = patience.min(bound.plugin.shared.limits.time);
        let answered = answer(ticket, place, question, subject, patience);
        bound.plugin.runtime.workers.run(answered).await
    }
}

/// Waits for the turn to run, asks, and tells everybody what came of it.
async fn answer<Q: Ask>(
    ticket: Ticket,
    place: Place,
    question: Q,
    subject: Option<Subject>,
    patience: Duration,
) -> Result<Q::Answer, Fault> {
    let began = Instant::now();
    let bound = Arc::clone(&ticket.bound);
    // A plugin that gets less than half of the time is not to blame for being late.
    let turn = timeout_at(began + patience / 2, bound.plugin.running.acquire()).await;
    let Ok(Ok(turn)) = turn else {
        bound.skipped();
        return Err(Fault::Busy);
    };
    let left = patience.saturating_sub(began.elapsed());
    let outcome = perform(&bound.stage(), question, subject, left).await;
    drop((turn, place));
    let outcome = outcome.and_then(|asked| asked.map_err(|problems| refused(&problems)));
    bound.latency.record(began.elapsed());
    ticket.settle(outcome.as_ref().err());
    outcome
}

/// The plugin refuses a configuration that it is called with.
fn refused(problems: &[Problem]) -> Fault {
    let why: Vec<_> = problems.iter().map(ToString::to_string).collect();
    Fault::BadAnswer(format!("it refuses its configuration: {}", why.join("; ")))
}

impl Loaded {
    fn place(&self) -> Result<Place, Fault> {
        let most = self.runtime.queue.saturating_add(RUNNING);
        let one_more = |pending: usize| (pending < most).then_some(pending + 1);
        let (load, store) = (Ordering::Relaxed, Ordering::Relaxed);
        match self.pending.fetch_update(store, load, one_more) {
            Ok(_) => Ok(Place(Arc::clone(&self.pending))),
            Err(_) => Err(Fault::Busy),
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Bound {
    fn admit(self: &Arc<Self>) -> Result<Ticket, Fault> {
        let pass = self.breaker().admit(Moment::now());
        let pass = pass.map_err(|for_| Fault::Disabled { for_ })?;
        Ok(Ticket { bound: Arc::clone(self), pass: Some(pass) })
    }

    fn breaker(&self) -> MutexGuard<'_, Breaker> {
        self.breaker.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn skipped(&self) {
        self.counters.skipped();
        self.plugin.shared.counters.skipped();
    }

    fn stage(&self) -> Stage<'_> {
        let Loaded { runtime, examined: _, pre, shared, running: _, pending: _ } = &*self.plugin;
        let Inner { ticker, pool, .. } = &**runtime;
        Stage {
            pre,
            shared,
            ticker,
            pool,
            binding: self.number,
            kind: self.kind,
            config: &self.config,
        }
    }
}

impl Drop for Bound {
    fn drop(&mut self) {
        self.plugin.runtime.pool.forget(self.number);
    }
}

impl Ticket {
    /// The call was answered, or failed.
    fn settle(mut self, fault: Option<&Fault>) {
        let Some(pass) = self.pass.take() else { return };
        let Bound { plugin, kind, counters, .. } = &*self.bound;
        let shared = &plugin.shared;
        let (name, observer) = (&*shared.name, &shared.observer);
        counters.called();
        shared.counters.called();
        let Some(fault) = fault else {
            if self.bound.breaker().succeeded(pass) {
                quietly(|| observer.enabled(name, *kind));
            }
            return;
        };
        counters.failed();
        shared.counters.failed();
        let opened = self.bound.breaker().failed(pass, Moment::now());
        quietly(|| observer.fault(name, *kind, fault));
        if let Some(rest) = opened {
            plugin.runtime.pool.forget(self.bound.number);
            quietly(|| observer.disabled(name, *kind, rest, fault));
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if let Some(pass) = self.pass.take() {
            self.bound.breaker().abandoned(pass, Moment::now());
        }
    }
}
