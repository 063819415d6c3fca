//! Faults and refusals of plugins: told, but not more often than anybody wants to read.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant, SystemTime};

use kennel_wasm::model::Kind;
use kennel_wasm::{Fault, Observer};

use super::Tell;
use super::fact::PluginFact;
use super::limiter::Limiter;
use super::manager::Shared;
use super::status::LastFault;

/// What is told of plugins that are asked.
pub(super) struct Reports {
    tell: Tell,
    faults: Limiter,
    /// Apart: who asks for everything does not hide that it fails.
    denials: Limiter,
    last: Mutex<HashMap<Arc<str>, LastFault>>,
}

impl Reports {
    pub(super) fn new(tell: Tell) -> Reports {
        Reports {
            tell,
            faults: Limiter::default(),
            denials: Limiter::default(),
            last: Mutex::default(),
        }
    }

    pub(super) fn tell(&self, fact: PluginFact) {
        (self.tell)(fact);
    }

    /// A call failed. That it was not made is no fault.
    pub(super) fn fault(&self, plugin: &str, kind: Kind, service: Option<&str>, fault: &Fault) {
        let Some(word) = word(fault) else { return };
        let reason = fault.to_string();
        let at = SystemTime::now();
        let last = LastFault { at, word, reason: reason.clone() };
        let mut faults = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        faults.insert(plugin.into(), last);
        drop(faults);
        if let Some(untold) = self.faults.ask(plugin, &format!("{kind} {word}"), Instant::now()) {
            let service = service.map(str::to_owned);
            self.tell(PluginFact::Faulted {
                plugin: plugin.into(),
                kind,
                service,
                word,
                reason,
                untold,
            });
        }
    }

    /// A plugin asked `now` for what it is not granted. That is told once a minute for each
    /// plugin and missing grant, and no more than 20 times a minute for each plugin.
    pub(super) fn denied(&self, plugin: &str, service: Option<String>, grant: &str, now: Instant) {
        if let Some(untold) = self.denials.ask(plugin, grant, now) {
            let (plugin, grant) = (plugin.into(), grant.to_owned());
            self.tell(PluginFact::Denied { plugin, service, grant, untold });
        }
    }

    fn disabled(&self, plugin: &str, kind: Kind, pause: Duration, fault: &Fault) {
        // Each configuration of a plugin rests by itself.
        let what = format!("{kind} disabled {}", pause.as_secs());
        if let Some(untold) = self.faults.ask(plugin, &what, Instant::now()) {
            let reason = fault.to_string();
            self.tell(PluginFact::Disabled { plugin: plugin.into(), kind, pause, reason, untold });
        }
    }

    fn enabled(&self, plugin: &str, kind: Kind) {
        if let Some(untold) = self.faults.ask(plugin, &format!("{kind} enabled"), Instant::now()) {
            self.tell(PluginFact::Enabled { plugin: plugin.into(), kind, untold });
        }
    }

    pub(super) fn last_fault(&self, plugin: &str) -> Option<LastFault> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).get(plugin).cloned()
    }

    /// Forgets plugins that are gone.
    pub(super) fn retain(&self, is_there: impl Fn(&str) -> bool) {
        self.last
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .retain(|plugin, _| is_there(plugin));
        self.faults.retain(&is_there);
        self.denials.retain(is_there);
    }
}

/// The fault in one word, for programs; none of what the plugin did not do.
fn word(fault: &Fault) -> Option<&'static str> {
    match fault {
        Fault::Trap(_) => Some("trap"),
        Fault::Deadline => Some("deadline"),
        Fault::Cpu => Some("cpu"),
        Fault::Memory => Some("memory"),
        Fault::BadAnswer(_) => Some("bad-answer"),
        Fault::Busy | Fault::Disabled { .. } | Fault::Gone => None,
    }
}

/// Is told by the runtime what happens. Faults themselves are told where the question was
/// asked, which knows whom it was about.
pub(super) struct Watcher(Weak<Shared>);

impl Watcher {
    pub(super) fn new(shared: &Arc<Shared>) -> Watcher {
        Watcher(Arc::downgrade(shared))
    }

    fn report(&self, report: impl FnOnce(&Reports)) {
        if let Some(shared) = self.0.upgrade() {
            report(&shared.reports);
        }
    }
}

impl Observer for Watcher {
    fn fault(&self, _: &str, _: Kind, _: &Fault) {}

    fn disabled(&self, plugin: &str, kind: Kind, pause: Duration, fault: &Fault) {
        self.report(|reports| reports.disabled(plugin, kind, pause, fault));
    }

    fn enabled(&self, plugin: &str, kind: Kind) {
        self.report(|reports| reports.enabled(plugin, kind));
    }
}
