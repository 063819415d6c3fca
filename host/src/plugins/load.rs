//! From what is configured to a plugin that can be asked.
//!
//! ```text
//!   read ─► same as the one in use? ─yes──────────────► its new configurations ─► bound
//!              └─no─► compile ─► configure ─► try ─ok─► bound
//!                        └──────────┴───────────┴─bad─► the one in use goes on
//! ```

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use kennel_wasm::model::{SavedState, Target, check, policy};
use kennel_wasm::{Binding, ConfigureError, LoadError, Plugin, PluginOptions, Subject};

use super::fact::{PluginFact, Then};
use super::manager::Shared;
use super::observer::Watcher;
use super::question::Slot;
use super::source::{self, Component};
use super::table::{Bound, Entry, Ready, Refused, Stage, To};
use super::uses::{Asker, Use, Wanted};
use crate::config::PluginConfig;
use crate::state::Key;

/// How long a plugin that is to replace another may take until it is asked.
const PATIENCE: Duration = Duration::from_secs(60);

/// With how many of its configurations it is tried: each may ask a service that is slow.
const TRIALS: usize = 3;

/// How many who ask are named where they cannot.
const NAMED: usize = 3;

/// What there was of a plugin before.
#[derive(Default)]
pub(super) struct Before {
    pub(super) entry: Option<Arc<Entry>>,
    pub(super) uses: HashMap<Asker, Arc<Bound>>,
}

/// What came of it.
pub(super) struct Outcome {
    pub(super) entry: Arc<Entry>,
    pub(super) uses: Vec<(Asker, Arc<Bound>)>,
    pub(super) facts: Vec<PluginFact>,
}

/// Each configuration that is wanted, as a binding or as why there is none.
type Bindings = BTreeMap<Wanted, Result<Binding, Refused>>;

/// One plugin on its way.
pub(super) struct Load<'a> {
    pub(super) shared: &'a Arc<Shared>,
    pub(super) config: PluginConfig,
    pub(super) uses: Vec<Use>,
    pub(super) before: Before,
    pub(super) number: u64,
}

impl Load<'_> {
    /// Loads it, whatever it takes; there is none in use that it could replace.
    pub(super) async fn first(self) -> Outcome {
        let began = Instant::now();
        match self.fresh().await {
            Ok(plugin) => {
                let bindings = self.bind(&plugin, None).await;
                self.take(plugin, bindings, began)
            }
            Err(refused) => self.fail(refused),
        }
    }

    /// Loads it beside the one in use, if that is another one.
    pub(super) async fn again(self) -> Outcome {
        let began = Instant::now();
        let Some(old) = self.before.entry.clone() else { return self.first().await };
        let Some(ready) = old.ready() else { return self.first().await };
        let changed = match source::read(&self.config.source).await {
            Ok(component)
                if old.is_like(&self.config) && component.sha256 == ready.plugin.sha256() =>
            {
                None
            }
            Ok(component) => Some(self.trial(component).await),
            Err(refused) => Some(Err(refused)),
        };
        match changed {
            None => {
                let bindings = self.bind(&ready.plugin, Some(&ready.bindings)).await;
                self.keep(ready, bindings, None)
            }
            Some(Ok((plugin, bindings))) => self.take(plugin, bindings, began),
            Some(Err(refused)) => {
                let bindings = self.bind(&ready.plugin, Some(&ready.bindings)).await;
                self.keep(ready, bindings, Some(refused))
            }
        }
    }

    /// The component as a plugin.
    async fn fresh(&self) -> Result<Plugin, Refused> {
        let component = source::read(&self.config.source).await?;
        self.compile(component).await
    }

    async fn compile(&self, component: Component) -> Result<Plugin, Refused> {
        let runtime = self.shared.runtime().await?;
        let PluginConfig { name, source: _, stamp: _, sha256, grants, limits } = &self.config;
        let options = PluginOptions {
            sha256: sha256.clone(),
            grants: Arc::new(grants.clone()),
            limits: *limits,
            host: self.shared.host(),
            observer: Arc::new(Watcher::new(self.shared)),
        };
        let loaded = runtime.load(name.clone(), component.bytes, options).await;
        loaded.map_err(|error| refused_load(&error))
    }

    /// Compiles, configures and tries what is to replace the one in use.
    async fn trial(&self, component: Component) -> Result<(Plugin, Bindings), Refused> {
        let trial = async {
            let plugin = self.compile(component).await?;
            let bindings = self.bind(&plugin, None).await;
            let mut tried = BTreeSet::new();
            for of in &self.uses {
                let worked = self.before.uses.get(&of.asker).is_some_and(|b| b.binding().is_some());
                match bindings.get(&of.wanted) {
                    Some(Err(refused)) if worked => return Err(refused.clone()),
                    Some(Ok(binding)) if tried.len() < TRIALS && tried.insert(&of.wanted) => {
                        ask_once(self.shared, self.config.limits.time, of, binding).await?;
                    }
                    Some(Ok(_) | Err(_)) | None => {}
                }
            }
            Ok((plugin, bindings))
        };
        match tokio::time::timeout(PATIENCE, trial).await {
            Ok(result) => result,
            Err(_) => {
                let seconds = PATIENCE.as_secs();
                Err(Refused::new(format!("it was not ready to be asked within {seconds} s")))
            }
        }
    }

    /// Binds each configuration that is wanted, or takes it from `known`.
    async fn bind(&self, plugin: &Plugin, known: Option<&BTreeMap<Wanted, Binding>>) -> Bindings {
        let wanted: BTreeSet<&Wanted> = self.uses.iter().map(|of| &of.wanted).collect();
        let mut bindings = Bindings::new();
        for wanted in wanted {
            let binding = match known.and_then(|known| known.get(wanted)) {
                Some(binding) => Ok(binding.clone()),
                None => bind_one(plugin, wanted).await,
            };
            bindings.insert(wanted.clone(), binding);
        }
        bindings
    }

    /// The new one is asked from now on.
    fn take(self, plugin: Plugin, bindings: Bindings, began: Instant) -> Outcome {
        let is_replacement = self.before.entry.as_ref().is_some_and(|old| old.ready().is_some());
        let mut facts = vec![PluginFact::Loaded {
            plugin: self.config.name.clone(),
            source: source::shown(&self.config.source),
            sha256: plugin.sha256().to_owned(),
            kinds: plugin.kinds().to_vec(),
            took: began.elapsed(),
            is_replacement,
        }];
        let uses = self.bound(&bindings, &mut facts);
        let ready = Ready { plugin, bindings: accepted(bindings), outdated: None };
        let Load { config, number: load, .. } = self;
        let entry = Arc::new(Entry { config, load, stage: Stage::Ready(ready) });
        Outcome { entry, uses, facts }
    }

    /// The one in use goes on, since it is what is wanted, or what is wanted was refused.
    fn keep(self, ready: &Ready, bindings: Bindings, refused: Option<Refused>) -> Outcome {
        let mut facts = Vec::new();
        if let Some(refused) = &refused {
            facts.push(PluginFact::Rejected {
                plugin: self.config.name.clone(),
                reason: refused.reason.clone(),
                then: Then::OldGoesOn,
            });
        }
        let uses = self.bound(&bindings, &mut facts);
        let config = match (&refused, &self.before.entry) {
            (Some(_), Some(old)) => old.config.clone(),
            (Some(_), None) | (None, _) => self.config.clone(),
        };
        let plugin = ready.plugin.clone();
        let ready = Ready { plugin, bindings: accepted(bindings), outdated: refused };
        let entry = Arc::new(Entry { config, load: self.number, stage: Stage::Ready(ready) });
        Outcome { entry, uses, facts }
    }

    fn fail(self, refused: Refused) -> Outcome {
        let facts = vec![PluginFact::Rejected {
            plugin: self.config.name.clone(),
            reason: refused.reason.clone(),
            then: Then::Without,
        }];
        let nobody = |of: &Use| {
            let bound = Bound::new(of, To::Nobody(refused.clone()));
            (of.asker.clone(), Arc::new(bound))
        };
        let uses = self.uses.iter().map(nobody).collect();
        let Load { config, number: load, .. } = self;
        let entry = Arc::new(Entry { config, load, stage: Stage::Failed(refused) });
        Outcome { entry, uses, facts }
    }

    /// Whom each one asks. Who had a binding and gets none now keeps the old one.
    fn bound(&self, bindings: &Bindings, facts: &mut Vec<PluginFact>) -> Vec<(Asker, Arc<Bound>)> {
        let mut told: BTreeMap<(&Wanted, bool), Vec<&Asker>> = BTreeMap::new();
        let mut bound = Vec::new();
        for of in &self.uses {
            let Some(result) = bindings.get(&of.wanted) else { continue };
            let to = match result {
                Ok(binding) => To::Binding { binding: binding.clone(), outdated: None },
                Err(refused) => {
                    let old = self.before.uses.get(&of.asker);
                    let to = old.and_then(|old| outdated(old, of, refused));
                    told.entry((&of.wanted, to.is_some())).or_default().push(&of.asker);
                    to.unwrap_or_else(|| To::Nobody(refused.clone()))
                }
            };
            bound.push((of.asker.clone(), Arc::new(Bound::new(of, to))));
        }
        for ((wanted, is_kept), askers) in told {
            let Some(Err(refused)) = bindings.get(wanted) else { continue };
            facts.push(PluginFact::Rejected {
                plugin: self.config.name.clone(),
                reason: format!("{} ({})", refused.reason, named(&askers)),
                then: if is_kept { Then::OldGoesOn } else { Then::Without },
            });
        }
        bound
    }
}

/// The binding that `old` had, to go on.
fn outdated(old: &Bound, of: &Use, refused: &Refused) -> Option<To> {
    if old.plugin != of.plugin || old.kind != of.wanted.kind {
        return None;
    }
    match &old.to {
        To::Binding { binding, outdated: _ } => {
            Some(To::Binding { binding: binding.clone(), outdated: Some(refused.clone()) })
        }
        To::Loading | To::Nobody(_) => None,
    }
}

fn accepted(bindings: Bindings) -> BTreeMap<Wanted, Binding> {
    bindings.into_iter().filter_map(|(wanted, binding)| Some((wanted, binding.ok()?))).collect()
}

pub(super) async fn bind_one(plugin: &Plugin, wanted: &Wanted) -> Result<Binding, Refused> {
    let Wanted { kind, config } = wanted;
    let binding = plugin.bind(*kind, config).map_err(|error| Refused::new(error.to_string()))?;
    match binding.configure().await {
        Ok(()) => Ok(binding),
        Err(ConfigureError::Problems(problems)) => {
            let each: Vec<String> = problems.iter().map(ToString::to_string).collect();
            let refused =
                Refused::new(format!("it refuses its configuration: {}", each.join("; ")));
            Err(Refused { problems, ..refused })
        }
        Err(ConfigureError::Fault(fault)) => {
            Err(Refused::new(format!("it failed over its configuration: {fault}")))
        }
    }
}

pub(super) fn refused_load(error: &LoadError) -> Refused {
    let is_about_sha256 = matches!(error, LoadError::Sha256 { .. });
    Refused {
        hint: error.hint().map(str::to_owned),
        is_about_sha256,
        ..Refused::new(error.to_string())
    }
}

/// `web health redis, db ready and 3 more`
fn named(askers: &[&Asker]) -> String {
    let shown: Vec<String> = askers.iter().take(NAMED).map(ToString::to_string).collect();
    match askers.len().saturating_sub(NAMED) {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

/// A plugin that fails at the first question is not let near a service. What it
/// answers does not matter, nor is it remembered.
pub(super) async fn ask_once(
    shared: &Shared,
    patience: Duration,
    of: &Use,
    binding: &Binding,
) -> Result<(), Refused> {
    let Asker::Service(service, slot) = &of.asker else {
        // To give a sink an event that never happened is no trial.
        return Ok(());
    };
    let subject = Subject { service: service.clone(), instance: 0 };
    let target = Target {
        service: service.to_string(),
        instance: 0,
        pid: None,
        uptime: Duration::ZERO,
        restarts: 0,
        usage: None,
        labels: Vec::new(),
    };
    let state = shared.saved(&Key {
        plugin: of.plugin.clone(),
        kind: of.wanted.kind,
        service: service.clone(),
        instance: 0,
        slot: slot.word(),
    });
    let asked = match slot {
        Slot::Ready | Slot::Health(_) => {
            let now_unix_ms = unix_ms(SystemTime::now());
            let input = check::Input { target, now_unix_ms, sequence: 1, state };
            binding.check(subject, input, patience).await.map(drop)
        }
        Slot::Policy => binding.decide(subject, policy_trial(target, state)).await.map(drop),
    };
    asked.map_err(|fault| Refused::new(format!("asked once, it failed: {fault}")))
}

fn policy_trial(target: Target, state: Option<SavedState>) -> policy::Input {
    let cause = policy::Cause {
        kind: "exit".to_owned(),
        exit_code: Some(1),
        signal: None,
        detail: "exited with code 1".to_owned(),
    };
    policy::Input {
        target,
        now_unix_ms: unix_ms(SystemTime::now()),
        cause,
        history: Vec::new(),
        restarts_in_window: 0,
        default_action: policy::Action::RestartAfter(Duration::from_secs(1)),
        state,
    }
}

/// Milliseconds since 1970.
pub(super) fn unix_ms(at: SystemTime) -> u64 {
    let since = at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
