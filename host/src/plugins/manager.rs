//! The handle on all plugins.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use kennel_core::RunId;
use kennel_wasm::model::{Kind, SavedState};
use kennel_wasm::{Host, Runtime, Settings, Subject, Traps};
use tokio::sync::watch;

use super::Tell;
use super::fact::PluginFact;
use super::host::Probes;
use super::launchers::Launchers;
use super::load::{Before, Load, Outcome};
use super::observer::Reports;
use super::question::Requirer;
use super::rehearsal::Rehearsal;
use super::samples::{Measurer, Samples};
use super::source::{self, COMPONENT_MAX};
use super::status::{PluginState, PluginStatus, UseStatus, add, is_resting};
use super::table::{Bound, Entry, Refused, Stage, Table, To};
use super::uses::{Asker, Askers, Use, uses};
use super::validate::known_cache;
use crate::checks::Launcher;
use crate::config::{Config, PluginConfig};
use crate::os::Cause;
use crate::state::{Key, Notice, SavedStates};

/// Threads that run plugins.
const WORKERS: usize = 2;

/// How long the start of a service waits for plugins that it requires.
const REQUIRED_PATIENCE: Duration = Duration::from_secs(60);

/// All plugins of a supervisor. Cheap to clone; the clones are the same.
#[derive(Clone)]
pub(crate) struct Plugins {
    pub(super) shared: Arc<Shared>,
}

/// What the clones share.
pub(super) struct Shared {
    /// Where compiled plugins are kept.
    cache: Option<PathBuf>,
    /// Where their state is.
    dir: PathBuf,
    traps: Traps,
    pub(super) reports: Reports,
    pub(super) samples: Samples,
    launchers: Arc<Launchers>,
    table: Mutex<Table>,
    /// Changes with the table.
    changed: watch::Sender<u64>,
    runtime: tokio::sync::Mutex<Option<Runtime>>,
    saved: OnceLock<SavedStates>,
    /// Does the work that plugins ask for where they are only looked at: none.
    pub(super) rehearsal: Option<Rehearsal>,
}

impl Plugins {
    /// A handle on no plugins yet; what they keep is kept below `state_dir`.
    pub(crate) fn new(state_dir: PathBuf, traps: Traps, tell: Tell) -> Plugins {
        let dir = state_dir.join("plugins");
        Plugins::with(Some(dir.join("cache")), dir, traps, tell, None)
    }

    /// One that is only there to look whether plugins would work.
    pub(super) fn for_validation(state_dir: PathBuf, traps: Traps) -> Plugins {
        let (cache, dir) = (known_cache(&state_dir), state_dir.join("plugins"));
        Plugins::with(cache, dir, traps, Arc::new(drop), Some(Rehearsal::default()))
    }

    fn with(
        cache: Option<PathBuf>,
        dir: PathBuf,
        traps: Traps,
        tell: Tell,
        rehearsal: Option<Rehearsal>,
    ) -> Plugins {
        let shared = Shared {
            cache,
            dir,
            traps,
            reports: Reports::new(tell),
            samples: Samples::default(),
            launchers: Arc::default(),
            table: Mutex::default(),
            changed: watch::Sender::new(0),
            runtime: tokio::sync::Mutex::new(None),
            saved: OnceLock::new(),
            rehearsal,
        };
        Plugins { shared: Arc::new(shared) }
    }

    /// Begins to load what is configured, in the background. To be called on a tokio
    /// runtime, before the first question.
    pub(crate) fn start(&self, config: &Config) {
        if config.plugins.is_empty() {
            return;
        }
        let (shared, askers) = (Arc::clone(&self.shared), Askers::of(config));
        tokio::spawn(async move {
            shared.open_saved().await;
            shared.forget(|key| !askers.has(key));
        });
        let mut by_plugin = by_plugin(uses(config));
        for config in &config.plugins {
            let uses = by_plugin.remove(&config.name).unwrap_or_default();
            let number = self.shared.expect(config, &uses);
            let (shared, config) = (Arc::clone(&self.shared), config.clone());
            tokio::spawn(async move {
                shared.open_saved().await;
                let before = Before::default();
                let load = Load { shared: &shared, config, uses, before, number };
                let outcome = load.first().await;
                shared.install(outcome);
            });
        }
    }

    /// Whether a start has to wait for plugins: that of a service, or of the supervisor
    /// itself for its sinks. When it waits no more, why there can be no start.
    pub(crate) fn required(
        &self,
        by: Requirer,
    ) -> Option<impl Future<Output = Result<(), String>> + Send + 'static> {
        match self.shared.table().outlook(&by) {
            Outlook::Good => None,
            Outlook::Open | Outlook::Bad(_) => {
                let shared = Arc::clone(&self.shared);
                Some(async move { shared.wait_for(&by).await })
            }
        }
    }

    /// From now on commands of plugins about this instance, whose name is `instance`, run
    /// as `launcher` does.
    pub(crate) fn run_began(
        &self,
        run: RunId,
        subject: Subject,
        instance: Arc<str>,
        launcher: Arc<dyn Launcher>,
    ) {
        self.shared.launchers.add(run, subject, instance, launcher);
    }

    /// The run is over: what was measured of it holds no more.
    pub(crate) fn run_ended(&self, run: RunId) {
        if let Some(subject) = self.shared.launchers.remove(run) {
            let is_of_it = |measurer: &Measurer| {
                measurer.service == subject.service && measurer.index == subject.instance
            };
            self.shared.samples.forget(is_of_it);
        }
    }

    /// The operator has started, restarted or reset this instance: what its policy
    /// remembers of failures is forgotten with the counters.
    pub(crate) fn operator_spoke(&self, service: &str, index: u32) {
        self.shared.forget(|key| {
            key.kind == Kind::RestartPolicy && *key.service == *service && key.instance == index
        });
    }

    /// Everything there is to see.
    pub(crate) fn status(&self) -> Vec<PluginStatus> {
        let table = self.shared.table().clone();
        table.plugins.values().map(|entry| self.shared.status(&table, entry)).collect()
    }

    /// What checks by plugins measured last.
    pub(crate) fn samples(&self) -> &Samples {
        &self.shared.samples
    }

    /// Waits until what plugins remember is in its file; whether it came to that. Blocks for
    /// `patience` at most.
    pub(crate) fn flush(&self, patience: Duration) -> bool {
        self.shared.saved.get().is_none_or(|saved| saved.flush(patience))
    }

    /// Ends it: nobody is asked any more, and what plugins remember is on disk. Whether
    /// it came to that. Blocks for as long as a disk does, `patience` at most.
    pub(crate) fn close(&self, patience: Duration) -> bool {
        drop(std::mem::take(&mut *self.shared.table()));
        self.shared.end_runtime();
        self.shared.saved.get().is_none_or(|saved| saved.close(patience))
    }
}

/// Whether a service may start as far as plugins go.
enum Outlook {
    Good,
    Open,
    Bad(String),
}

impl Table {
    fn outlook(&self, by: &Requirer) -> Outlook {
        let mut outlook = Outlook::Good;
        for (asker, bound) in &self.uses {
            let is_its = match (asker, by) {
                (Asker::Service(name, _), Requirer::Service(service)) => name == service,
                (Asker::Sink(_), Requirer::Supervisor) => true,
                (Asker::Service(..), Requirer::Supervisor)
                | (Asker::Sink(_), Requirer::Service(_)) => false,
            };
            if !is_its || !bound.is_required {
                continue;
            }
            match &bound.to {
                To::Binding { .. } => {}
                To::Loading => outlook = Outlook::Open,
                To::Nobody(refused) => {
                    let plugin = &bound.plugin;
                    let why = format!("{asker} requires plugin {plugin}: {}", refused.reason);
                    return Outlook::Bad(why);
                }
            }
        }
        outlook
    }
}

impl Shared {
    pub(super) fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whom `asker` asks.
    pub(super) fn bound(&self, asker: &Asker) -> Option<Arc<Bound>> {
        self.table().uses.get(asker).cloned()
    }

    /// A number that no load had before.
    pub(super) fn next_load(&self) -> u64 {
        let mut number = 0;
        self.changed.send_modify(|changes| {
            *changes += 1;
            number = *changes;
        });
        number
    }

    /// Notes that a plugin is being loaded; the number of that load.
    fn expect(&self, config: &PluginConfig, uses: &[Use]) -> u64 {
        let load = self.next_load();
        let waiting =
            uses.iter().map(|of| (of.asker.clone(), Arc::new(Bound::new(of, To::Loading))));
        let entry = Entry { config: config.clone(), load, stage: Stage::Loading };
        self.table().install(Arc::new(entry), waiting.collect());
        load
    }

    /// Takes the outcome of a load, unless another one has begun since.
    fn install(&self, outcome: Outcome) {
        let Outcome { entry, uses, facts } = outcome;
        let mut table = self.table();
        let known = table.plugins.get(&entry.config.name);
        if known.is_none_or(|known| known.load != entry.load) {
            return;
        }
        table.install(entry, uses);
        drop(table);
        self.is_changed(facts);
    }

    /// Wakes who waits for a change, and tells of it.
    pub(super) fn is_changed(&self, facts: Vec<PluginFact>) {
        self.next_load();
        facts.into_iter().for_each(|fact| self.reports.tell(fact));
    }

    async fn wait_for(&self, by: &Requirer) -> Result<(), String> {
        let mut changes = self.changed.subscribe();
        let waiting = async {
            loop {
                match self.table().outlook(by) {
                    Outlook::Good => return Ok(()),
                    Outlook::Bad(why) => return Err(why),
                    Outlook::Open => {}
                }
                // The sender is ours.
                let _ = changes.changed().await;
            }
        };
        match tokio::time::timeout(REQUIRED_PATIENCE, waiting).await {
            Ok(result) => result,
            Err(_) => Err("a plugin that it requires is still being loaded".to_owned()),
        }
    }

    /// The runtime, started by who needs it first.
    pub(super) async fn runtime(&self) -> Result<Runtime, Refused> {
        let mut runtime = self.runtime.lock().await;
        if let Some(runtime) = &*runtime {
            return Ok(runtime.clone());
        }
        let settings = Settings {
            cache_dir: self.cache.clone(),
            workers: WORKERS,
            max_component_bytes: COMPONENT_MAX,
            traps: self.traps,
            ..Settings::default()
        };
        let started = tokio::task::spawn_blocking(move || Runtime::new(settings)).await;
        match started {
            Ok(Ok(started)) => Ok(runtime.insert(started).clone()),
            Ok(Err(error)) => Err(Refused::new(error.to_string())),
            Err(_) => Err(Refused::new("the supervisor is ending")),
        }
    }

    /// Ends the runtime with the last plugin that has it.
    pub(super) fn end_runtime(&self) {
        // Whoever is about to start one needs it.
        if let Ok(mut runtime) = self.runtime.try_lock() {
            *runtime = None;
        }
    }

    /// What does the work that plugins ask for.
    pub(super) fn host(self: &Arc<Shared>) -> Arc<dyn Host> {
        match &self.rehearsal {
            Some(rehearsal) => Arc::new(rehearsal.clone()),
            None => Arc::new(Probes::new(Arc::downgrade(self), Arc::clone(&self.launchers))),
        }
    }

    /// Reads what plugins remember, once. Without it they remember while this supervisor
    /// runs.
    pub(super) async fn open_saved(self: &Arc<Shared>) {
        if self.saved.get().is_some() {
            return;
        }
        let shared = Arc::clone(self);
        let opening = tokio::task::spawn_blocking(move || {
            shared.saved.get_or_init(|| shared.read_saved());
        });
        let _ = opening.await;
    }

    fn read_saved(self: &Arc<Shared>) -> SavedStates {
        let told = Arc::downgrade(self);
        let tell = Box::new(move |notice| {
            let Some(shared) = told.upgrade() else { return };
            shared.reports.tell(match notice {
                Notice::Damaged(aside) => PluginFact::StateDamaged {
                    aside: aside.path,
                    reason: aside.reason,
                    saved: aside.saved,
                },
                Notice::Stalled(error) => PluginFact::StateStalled { error },
                Notice::Resumed => PluginFact::StateResumed,
            });
        });
        SavedStates::open(&self.dir.join("saved"), tell).unwrap_or_else(|error| {
            let error = Cause::from_io(&error).to_string();
            self.reports.tell(PluginFact::StateStalled { error });
            SavedStates::without_file()
        })
    }

    pub(super) fn saved(&self, key: &Key) -> Option<SavedState> {
        self.saved.get()?.of_key(key)
    }

    /// Keeps what a plugin handed back. False: it is too much.
    pub(super) fn save(&self, key: Key, state: SavedState) -> bool {
        self.saved.get().is_none_or(|saved| saved.keep(key, state))
    }

    /// Forgets what belongs to nobody any more.
    pub(super) fn forget(&self, is_gone: impl Fn(&Key) -> bool) {
        if let Some(saved) = self.saved.get() {
            saved.forget(is_gone);
        }
    }

    fn status(&self, table: &Table, entry: &Entry) -> PluginStatus {
        let name = &entry.config.name;
        let mut status = PluginStatus {
            name: name.clone(),
            source: source::shown(&entry.config.source),
            sha256: None,
            kinds: Vec::new(),
            state: PluginState::Loading,
            reason: String::new(),
            uses: uses_of(table, name),
            calls: 0,
            faults: 0,
            skipped: 0,
            log_dropped: 0,
            latency: Default::default(),
            memory_bytes: 0,
            last_fault: self.reports.last_fault(name),
        };
        match &entry.stage {
            Stage::Loading => {}
            Stage::Failed(refused) => {
                status.state = PluginState::Failed;
                status.reason.clone_from(&refused.reason);
            }
            Stage::Ready(ready) => {
                let stats = ready.plugin.stats();
                status.sha256 = Some(ready.plugin.sha256().to_owned());
                status.kinds = ready.plugin.kinds().to_vec();
                status.calls = stats.calls;
                status.faults = stats.faults;
                status.skipped = stats.skipped;
                status.log_dropped = stats.log_dropped;
                status.memory_bytes = stats.memory_bytes;
                let bindings: Vec<_> = ready.bindings.values().map(|b| b.stats()).collect();
                bindings.iter().for_each(|stats| add(&mut status.latency, &stats.latency));
                status.state = match is_resting(bindings.iter().map(|stats| stats.breaker)) {
                    true => PluginState::Disabled,
                    false => PluginState::Ready,
                };
                if let Some(refused) = &ready.outdated {
                    status.reason =
                        format!("what is configured now was refused: {}", refused.reason);
                }
            }
        }
        status
    }
}

fn uses_of(table: &Table, plugin: &Arc<str>) -> Vec<UseStatus> {
    let mut uses: Vec<(&Asker, &Arc<Bound>)> =
        table.uses.iter().filter(|(_, bound)| bound.plugin == *plugin).collect();
    uses.sort_by_key(|(asker, _)| *asker);
    let shown = uses.into_iter().map(|(asker, bound)| UseStatus {
        by: asker.to_string(),
        kind: bound.kind,
        error: match &bound.to {
            To::Loading | To::Binding { outdated: None, .. } => None,
            To::Binding { outdated: Some(refused), .. } | To::Nobody(refused) => {
                Some(refused.reason.clone())
            }
        },
    });
    shown.collect()
}

/// The uses of each plugin.
pub(super) fn by_plugin(uses: Vec<Use>) -> HashMap<Arc<str>, Vec<Use>> {
    let mut by_plugin: HashMap<Arc<str>, Vec<Use>> = HashMap::new();
    for of in uses {
        by_plugin.entry(of.plugin.clone()).or_default().push(of);
    }
    by_plugin
}
