//! Questions to plugins: from what the driver knows to what the contract says, and back.
//!
//! | the plugin | a check | a policy |
//! |---|---|---|
//! | answers | passed, degraded, wrong, late | its wait, or giving up where granted |
//! | says that it cannot tell, or fails | impossible | the built-in wait |
//! | is not there, rests, has too much to do | impossible | the built-in wait |

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use kennel_core::{CheckOutcome, PolicyAnswer};
use kennel_wasm::model::{Kind, Sample, SavedState, Target, Usage, check, policy, sink};
use kennel_wasm::{Binding, Fault, Subject};

use super::load::unix_ms;
use super::manager::{Plugins, Shared};
use super::question::{About, CheckQuestion, CheckReply, PolicyQuestion, PolicyReply, Slot};
use super::samples::Measurer;
use super::table::{Bound, To};
use super::uses::Asker;
use crate::os::proc;
use crate::state::Key;

impl Plugins {
    /// Asks whether an instance is ready or healthy. Takes no longer than the plugin may;
    /// who asks cuts it at his own timeout.
    pub(crate) fn check(
        &self,
        question: CheckQuestion,
    ) -> impl Future<Output = CheckReply> + Send + 'static {
        let shared = Arc::clone(&self.shared);
        async move { shared.check(question).await }
    }

    /// Asks what shall follow the end of a run.
    pub(crate) fn decide(
        &self,
        question: PolicyQuestion,
    ) -> impl Future<Output = PolicyReply> + Send + 'static {
        let shared = Arc::clone(&self.shared);
        async move { shared.decide(question).await }
    }

    /// Hands events to the sink of this name.
    ///
    /// # Errors
    /// It cannot take them now, for this reason; the same batch is to come again.
    pub(crate) fn deliver(
        &self,
        sink: Arc<str>,
        batch: sink::Batch,
    ) -> impl Future<Output = Result<sink::Delivery, String>> + Send + 'static {
        let shared = Arc::clone(&self.shared);
        async move { shared.deliver(sink, batch).await }
    }
}

/// Somebody who can be asked.
struct Asked {
    plugin: Arc<str>,
    kind: Kind,
    binding: Binding,
}

impl Asked {
    /// A sentence with the name of the plugin before it.
    fn says(&self, what: impl std::fmt::Display) -> String {
        says(&self.plugin, what)
    }

    /// The same for who reads the name of the check before it, which may be that of the
    /// plugin.
    fn says_in(&self, slot: &Slot, what: impl std::fmt::Display) -> String {
        if slot.is_named(&self.plugin) { what.to_string() } else { self.says(what) }
    }
}

fn says(plugin: &str, what: impl std::fmt::Display) -> String {
    format!("plugin {plugin}: {what}")
}

impl Shared {
    /// Whom `asker` asks.
    ///
    /// # Errors
    /// Why there is nobody.
    fn asked(&self, asker: &Asker) -> Result<Asked, String> {
        let Some(bound) = self.bound(asker) else {
            return Err(format!("no plugin is bound to {asker}"));
        };
        let Bound { plugin, kind, is_required: _, to } = &*bound;
        let is_named = match asker {
            Asker::Service(_, slot) => slot.is_named(plugin),
            Asker::Sink(_) => false,
        };
        match to {
            To::Loading if is_named => Err("the plugin is still being loaded".to_owned()),
            To::Loading => Err(format!("plugin {plugin} is still being loaded")),
            To::Nobody(refused) if is_named => {
                Err(format!("the plugin was refused: {}", refused.reason))
            }
            To::Nobody(refused) => Err(says(plugin, &refused.reason)),
            To::Binding { binding, outdated: _ } => {
                Ok(Asked { plugin: plugin.clone(), kind: *kind, binding: binding.clone() })
            }
        }
    }

    async fn check(&self, question: CheckQuestion) -> CheckReply {
        let CheckQuestion { about, slot, sequence, timeout } = question;
        let impossible =
            |reason| CheckReply { outcome: CheckOutcome::Impossible, reason, next: None };
        let asker = Asker::Service(about.service.clone(), slot.clone());
        let asked = match self.asked(&asker) {
            Ok(asked) => asked,
            Err(reason) => return impossible(reason),
        };
        let key = key(&asked, &about, &slot);
        let input = check::Input {
            target: target(&about).await,
            now_unix_ms: unix_ms(SystemTime::now()),
            sequence,
            state: self.saved(&key),
        };
        match asked.binding.check(subject(&about), input, timeout).await {
            Ok(Ok(verdict)) => {
                let check::Verdict { status, reason, samples, state, next_in, ext } = verdict;
                self.save_of(&asked, key, state);
                self.measured(&asked, &about, &slot, samples);
                let is_unready =
                    ext.iter().any(|(name, value)| name == "ready" && value == "false");
                let outcome = match (slot, is_unready) {
                    (Slot::Ready, true) => CheckOutcome::Impossible,
                    (Slot::Ready, false) | (Slot::Health(_) | Slot::Policy, _) => outcome(status),
                };
                CheckReply { outcome, reason, next: next_in }
            }
            Ok(Err(reason)) => impossible(asked.says_in(&slot, reason)),
            Err(fault) => {
                self.report(&asked, Some(&about), &fault);
                impossible(asked.says_in(&slot, fault))
            }
        }
    }

    /// Keeps what a health check measured; a look for readiness is over when it is there.
    fn measured(&self, asked: &Asked, about: &About, slot: &Slot, samples: Vec<Sample>) {
        let Slot::Health(check) = slot else { return };
        let measurer = Measurer {
            plugin: asked.plugin.clone(),
            service: about.service.clone(),
            index: about.index,
            instance: about.instance.clone(),
            check: check.clone(),
        };
        self.samples.set(measurer, samples);
    }

    async fn decide(&self, question: PolicyQuestion) -> PolicyReply {
        let PolicyQuestion { about, cause, history, restarts_in_window, default_delay } = question;
        let default = |reason| PolicyReply { answer: PolicyAnswer::Default, reason };
        let asker = Asker::Service(about.service.clone(), Slot::Policy);
        let asked = match self.asked(&asker) {
            Ok(asked) => asked,
            Err(reason) => return default(reason),
        };
        let key = key(&asked, &about, &Slot::Policy);
        let input = policy::Input {
            target: target(&about).await,
            now_unix_ms: unix_ms(SystemTime::now()),
            cause,
            history,
            restarts_in_window,
            default_action: policy::Action::RestartAfter(default_delay),
            state: self.saved(&key),
        };
        match asked.binding.decide(subject(&about), input).await {
            Ok(Ok(decision)) => {
                let policy::Decision { action, reason, state } = decision;
                self.save_of(&asked, key, state);
                match action {
                    policy::Action::UseDefault => default(reason),
                    policy::Action::RestartAfter(wait) => {
                        PolicyReply { answer: PolicyAnswer::RestartAfter(wait), reason }
                    }
                    // The runtime lets nobody say this who is not granted it.
                    policy::Action::GiveUp(why) => {
                        let reason = if why.is_empty() { reason } else { why };
                        PolicyReply { answer: PolicyAnswer::GiveUp, reason }
                    }
                }
            }
            Ok(Err(reason)) => default(asked.says(reason)),
            Err(fault) => {
                self.report(&asked, Some(&about), &fault);
                default(asked.says(fault))
            }
        }
    }

    async fn deliver(&self, sink: Arc<str>, batch: sink::Batch) -> Result<sink::Delivery, String> {
        let asked = self.asked(&Asker::Sink(sink))?;
        match asked.binding.deliver(batch).await {
            Ok(delivery) => Ok(delivery),
            Err(fault) => {
                self.report(&asked, None, &fault);
                Err(asked.says(fault))
            }
        }
    }

    fn report(&self, asked: &Asked, about: Option<&About>, fault: &Fault) {
        let service = about.map(|about| &*about.instance);
        self.reports.fault(&asked.plugin, asked.kind, service, fault);
    }

    /// Keeps what a plugin handed back; that it is too much is the plugin's fault.
    fn save_of(&self, asked: &Asked, key: Key, state: Option<SavedState>) {
        let Some(state) = state else { return };
        let service = key.service.clone();
        if !self.save(key, state) {
            let fault = Fault::BadAnswer("what it wants to remember is too much".to_owned());
            self.reports.fault(&asked.plugin, asked.kind, Some(&service), &fault);
        }
    }
}

fn outcome(status: check::Status) -> CheckOutcome {
    match status {
        check::Status::Healthy => CheckOutcome::Passed,
        check::Status::Degraded => CheckOutcome::Degraded,
        check::Status::Unhealthy => CheckOutcome::Wrong,
        check::Status::Late => CheckOutcome::Late,
        check::Status::Unknown => CheckOutcome::Impossible,
    }
}

fn subject(about: &About) -> Subject {
    Subject { service: about.service.clone(), instance: about.index }
}

fn key(asked: &Asked, about: &About, slot: &Slot) -> Key {
    Key {
        plugin: asked.plugin.clone(),
        kind: asked.kind,
        service: about.service.clone(),
        instance: about.index,
        slot: slot.word(),
    }
}

async fn target(about: &About) -> Target {
    let About { service, index, instance: _, pid, uptime, restarts, labels } = about;
    // Reading /proc takes its time and must not take that of the loop.
    let usage = match pid {
        Some(pid) => {
            let pid = *pid;
            tokio::task::spawn_blocking(move || usage(pid)).await.ok().flatten()
        }
        None => None,
    };
    Target {
        service: service.to_string(),
        instance: *index,
        pid: pid.and_then(|pid| u32::try_from(pid).ok()),
        uptime: *uptime,
        restarts: *restarts,
        usage,
        labels: labels.clone(),
    }
}

/// What the main process uses; none when it is gone.
fn usage(pid: i32) -> Option<Usage> {
    let process = proc::usage_of(pid).ok()?;
    let small = |value: u64| u32::try_from(value).unwrap_or(u32::MAX);
    let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    Some(Usage {
        memory_bytes: process.memory_bytes,
        cpu_ms: millis(process.cpu),
        threads: small(process.threads),
        open_fds: proc::open_fds(pid).map_or(0, |count| small(count as u64)),
    })
}
