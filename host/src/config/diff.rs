//! What a reload would do: the difference between two configurations, in words.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;

use kennel_core::ServiceSpec;
use kennel_core::spec::{Backoff, Enabled, Restart, RestartLimit, Stop};

use super::Config;
use super::binding::{self, PluginConfig};
use super::launch::LaunchConfig;
use super::plugin::PluginUse;
use super::service::{LogConfig, ServiceConfig};
use super::sink::SinkConfig;
use super::supervisor::SupervisorSettings;

/// What a reload would do.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Plan {
    /// The services that change: those of the new configuration in its order, then those
    /// that are gone.
    pub changes: Vec<Change>,
    /// The plugins and sinks that change.
    pub parts: Vec<PartChange>,
    /// Settings of the supervisor itself that change.
    pub supervisor: Vec<SupervisorChange>,
    /// Of a reload that was carried out: plugins that were refused, each with the reason
    /// and what goes on instead.
    pub refused: Vec<String>,
}

/// What happens to one service.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Change {
    /// Its name.
    pub service: String,
    /// What is done.
    pub action: Action,
    /// Why, in words without values: those may be secret. Never empty.
    pub reasons: Vec<String>,
}

/// What a reload does to a service.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Action {
    /// It starts.
    Start,
    /// It stops.
    Stop,
    /// What runs is replaced.
    Restart,
    /// Its settings change while it runs on.
    InPlace,
}

/// What happens to a plugin or a sink.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PartChange {
    /// What it is.
    pub part: Part,
    /// Its name.
    pub name: String,
    /// What is done.
    pub action: PartAction,
    /// Why, in words without values. Never empty.
    pub reasons: Vec<String>,
}

/// What a configuration has besides services.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Part {
    /// A plugin.
    Plugin,
    /// A sink.
    Sink,
}

/// What a reload does to a plugin or a sink.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PartAction {
    /// It is there from now on.
    Add,
    /// Of a plugin: it is loaded anew, and the old one goes on until the new one works. Of
    /// a sink: its settings change, and it goes on where it is.
    Change,
    /// It is no longer there.
    Remove,
}

/// A setting of the supervisor itself that changes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SupervisorChange {
    /// The key under `kennel`.
    pub key: &'static str,
    /// When it takes effect.
    pub when: When,
}

/// When a change takes effect.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum When {
    /// With the reload.
    Reload,
    /// Only when the supervisor itself is started again: a reload cannot do it.
    SupervisorRestart,
}

impl Plan {
    /// Whether nothing changes.
    pub fn is_empty(&self) -> bool {
        let Plan { changes, parts, supervisor, refused } = self;
        changes.is_empty() && parts.is_empty() && supervisor.is_empty() && refused.is_empty()
    }

    /// The keys under `kennel` that a reload cannot change.
    pub fn needs_supervisor_restart(&self) -> impl Iterator<Item = &'static str> {
        let late = self.supervisor.iter().filter(|change| change.when == When::SupervisorRestart);
        late.map(|change| change.key)
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Action::Start => "start",
            Action::Stop => "stop",
            Action::Restart => "restart",
            Action::InPlace => "in place",
        })
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Change { service, action, reasons } = self;
        write!(f, "{service}: {action}, {}", reasons.join(", "))
    }
}

impl fmt::Display for PartChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let PartChange { part, name, action, reasons } = self;
        let (part, action) = match (part, action) {
            (Part::Plugin, PartAction::Add) => ("plugin", "load"),
            (Part::Plugin, PartAction::Change) => ("plugin", "reload"),
            (Part::Plugin, PartAction::Remove) => ("plugin", "unload"),
            (Part::Sink, PartAction::Add) => ("sink", "start"),
            (Part::Sink, PartAction::Change) => ("sink", "in place"),
            (Part::Sink, PartAction::Remove) => ("sink", "stop"),
        };
        write!(f, "{part} {name}: {action}, {}", reasons.join(", "))
    }
}

impl fmt::Display for SupervisorChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let SupervisorChange { key, when } = self;
        match when {
            When::Reload => write!(f, "kennel: in place, {key} changed"),
            When::SupervisorRestart => {
                write!(f, "kennel: {key} changed, which takes a restart of kennel itself")
            }
        }
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_empty() {
            return f.write_str("nothing to do");
        }
        let supervisor = self.supervisor.iter().map(ToString::to_string);
        let parts = self.parts.iter().map(ToString::to_string);
        let services = self.changes.iter().map(ToString::to_string);
        let lines: Vec<String> = supervisor.chain(parts).chain(services).collect();
        f.write_str(&lines.join("\n"))
    }
}

/// What leads from `old` to `new`.
pub fn plan(old: &Config, new: &Config) -> Plan {
    let before: HashMap<&str, &ServiceConfig> =
        old.services.iter().map(|service| (&*service.spec.name, service)).collect();
    let after: BTreeSet<&str> = new.services.iter().map(|service| &*service.spec.name).collect();
    let mut changes = Vec::new();
    for service in &new.services {
        changes.extend(match before.get(&*service.spec.name) {
            Some(old) => changed(old, service),
            None => Some(added(service)),
        });
    }
    for service in old.services.iter().filter(|old| !after.contains(&*old.spec.name)) {
        changes.push(change(service, Action::Stop, vec!["removed".to_owned()]));
    }
    let mut parts =
        parts(Part::Plugin, &old.plugins, &new.plugins, PluginConfig::name, binding::differences);
    parts.extend(self::parts(
        Part::Sink,
        &old.sinks,
        &new.sinks,
        |sink| &sink.name,
        sink_differences,
    ));
    let supervisor = supervisor(&old.supervisor, &new.supervisor);
    Plan { changes, parts, supervisor, refused: Vec::new() }
}

/// What leads from `old` to `new` in a list of parts with unique names.
fn parts<T>(
    part: Part,
    old: &[T],
    new: &[T],
    name: fn(&T) -> &str,
    differences: fn(&T, &T) -> Vec<String>,
) -> Vec<PartChange> {
    let change =
        |of: &T, action, reasons| PartChange { part, name: name(of).to_owned(), action, reasons };
    let find = |list: &[T], of: &T| list.iter().position(|other| name(other) == name(of));
    let mut changes = Vec::new();
    for of in new {
        match find(old, of) {
            None => changes.push(change(of, PartAction::Add, vec!["new".to_owned()])),
            Some(at) => {
                let reasons = differences(&old[at], of);
                if !reasons.is_empty() {
                    changes.push(change(of, PartAction::Change, reasons));
                }
            }
        }
    }
    for of in old.iter().filter(|of| find(new, of).is_none()) {
        changes.push(change(of, PartAction::Remove, vec!["removed".to_owned()]));
    }
    changes
}

fn sink_differences(old: &SinkConfig, new: &SinkConfig) -> Vec<String> {
    let SinkConfig { name: _, plugin: PluginUse { plugin, config, required }, own, events } = old;
    let mut reasons = Vec::new();
    note(&mut reasons, "plugin", *plugin != new.plugin.plugin);
    note(&mut reasons, "config", *config != new.plugin.config);
    note(&mut reasons, "required", *required != new.plugin.required);
    note(&mut reasons, "code", *own != new.own);
    note(&mut reasons, "events", *events != new.events);
    reasons
}

fn change(service: &ServiceConfig, action: Action, reasons: Vec<String>) -> Change {
    Change { service: service.spec.name.to_string(), action, reasons }
}

fn added(service: &ServiceConfig) -> Change {
    match service.spec.enabled {
        Enabled::Yes => change(service, Action::Start, vec!["new".to_owned()]),
        Enabled::No => change(service, Action::InPlace, vec!["new, not enabled".to_owned()]),
    }
}

fn changed(old: &ServiceConfig, new: &ServiceConfig) -> Option<Change> {
    let mut anew = Vec::new();
    let mut in_place = Vec::new();
    let enabled = collect(old, new, &mut anew, &mut in_place);
    let action = match (enabled, anew.is_empty()) {
        (Some(Enabled::Yes), _) => Action::Start,
        (Some(Enabled::No), _) => Action::Stop,
        (None, false) => Action::Restart,
        (None, true) if in_place.is_empty() => return None,
        (None, true) => Action::InPlace,
    };
    let mut reasons: Vec<String> = match enabled {
        Some(Enabled::Yes) => vec!["enabled".to_owned()],
        Some(Enabled::No) => vec!["no longer enabled".to_owned()],
        None => Vec::new(),
    };
    reasons.extend(anew);
    reasons.extend(in_place);
    Some(change(new, action, reasons))
}

/// Notes what differs: what needs a new process, and what does not. Returns the new
/// `enabled` when that differs.
fn collect(
    old: &ServiceConfig,
    new: &ServiceConfig,
    anew: &mut Vec<String>,
    in_place: &mut Vec<String>,
) -> Option<Enabled> {
    // Taken apart without "..", so that no new field is forgotten here.
    let ServiceConfig {
        spec,
        launch,
        ready: ready_when,
        health,
        policy_plugin,
        own_policy,
        logs,
        stop_command,
        labels,
    } = old;
    let ServiceSpec {
        name: _,
        kind,
        enabled,
        replicas,
        depends_on,
        ready,
        health: checks,
        watchdog,
        attempts,
        restart,
        stop,
        rolling,
    } = spec;
    let LaunchConfig {
        command,
        working_dir,
        env,
        user,
        group,
        umask,
        rlimits,
        nice,
        oom_score_adj,
        cgroup,
        sockets,
    } = launch;
    let LogConfig { to, max_size, keep, timestamps, rate_limit } = logs;
    let next = &new.launch;
    note(anew, "type", *kind != new.spec.kind);
    note(anew, "command", *command != next.command);
    note(anew, "working_dir", *working_dir != next.working_dir);
    env_names(anew, env, &next.env);
    note(anew, "user", *user != next.user);
    note(anew, "group", *group != next.group);
    note(anew, "umask", *umask != next.umask);
    note(anew, "limits", *rlimits != next.rlimits);
    note(anew, "nice", *nice != next.nice);
    note(anew, "oom_score_adj", *oom_score_adj != next.oom_score_adj);
    note(anew, "cgroup", *cgroup != next.cgroup);
    note(anew, "sockets", *sockets != next.sockets);
    // Its environment tells it.
    // What it tells by, too.
    note(anew, "ready.notify", ready_when.notify() != new.ready.notify());
    note(anew, "watchdog", *watchdog != new.spec.watchdog);
    // The descriptors that a process writes to were given to it at its start.
    note(anew, "logs.to", *to != new.logs.to);

    note(in_place, "replicas", *replicas != new.spec.replicas);
    note(in_place, "depends_on", *depends_on != new.spec.depends_on);
    note(in_place, "ready", *ready != new.spec.ready || *ready_when != new.ready);
    note(in_place, "health", *checks != new.spec.health || *health != new.health);
    note(in_place, "start", *attempts != new.spec.attempts);
    restart_keys(in_place, restart, &new.spec.restart);
    note(in_place, "restart.policy_plugin", *policy_plugin != new.policy_plugin);
    note(in_place, "restart policy", *own_policy != new.own_policy);
    let Stop { command: _, steps } = stop;
    note(in_place, "stop.command", *stop_command != new.stop_command);
    note(in_place, "stop.steps", *steps != new.spec.stop.steps);
    note(in_place, "rolling", *rolling != new.spec.rolling);
    note(in_place, "logs.max_size", *max_size != new.logs.max_size);
    note(in_place, "logs.keep", *keep != new.logs.keep);
    note(in_place, "logs.timestamps", *timestamps != new.logs.timestamps);
    note(in_place, "logs.rate_limit", *rate_limit != new.logs.rate_limit);
    note(in_place, "labels", *labels != new.labels);
    (*enabled != new.spec.enabled).then_some(new.spec.enabled)
}

fn note(reasons: &mut Vec<String>, key: &str, differs: bool) {
    if differs {
        reasons.push(format!("{key} changed"));
    }
}

/// By name only: values may be secret.
fn env_names(
    reasons: &mut Vec<String>,
    old: &BTreeMap<String, String>,
    new: &BTreeMap<String, String>,
) {
    let names: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    for name in names {
        let what = match (old.get(name), new.get(name)) {
            (None, Some(_)) => "added",
            (Some(_), None) => "removed",
            (old, new) if old != new => "changed",
            _ => continue,
        };
        reasons.push(format!("env {name:?} {what}"));
    }
}

fn restart_keys(reasons: &mut Vec<String>, old: &Restart, new: &Restart) {
    let Restart {
        policy,
        success_exit_codes,
        backoff,
        limit,
        reset_after,
        on_give_up,
        dependents,
        // Goes with `policy_plugin`.
        advice: _,
    } = old;
    let backoff: &Backoff = backoff;
    let limit: &Option<RestartLimit> = limit;
    note(reasons, "restart.policy", *policy != new.policy);
    note(reasons, "restart.success_exit_codes", *success_exit_codes != new.success_exit_codes);
    note(reasons, "restart.backoff", *backoff != new.backoff);
    note(reasons, "restart.limit", *limit != new.limit);
    note(reasons, "restart.reset_after", *reset_after != new.reset_after);
    note(reasons, "restart.on_give_up", *on_give_up != new.on_give_up);
    note(reasons, "restart.restart_dependents", *dependents != new.dependents);
}

fn supervisor(old: &SupervisorSettings, new: &SupervisorSettings) -> Vec<SupervisorChange> {
    let SupervisorSettings {
        name,
        state_dir,
        is_named_after_file: _,
        socket,
        shutdown_timeout,
        max_concurrent_starts,
        max_restarts_per_second,
    } = old;
    let differences = [
        ("name", When::SupervisorRestart, *name != new.name),
        ("state_dir", When::SupervisorRestart, *state_dir != new.state_dir),
        ("socket", When::SupervisorRestart, *socket != new.socket),
        ("shutdown_timeout", When::Reload, *shutdown_timeout != new.shutdown_timeout),
        (
            "max_concurrent_starts",
            When::Reload,
            *max_concurrent_starts != new.max_concurrent_starts,
        ),
        (
            "max_restarts_per_second",
            When::Reload,
            *max_restarts_per_second != new.max_restarts_per_second,
        ),
    ];
    let changed = differences.into_iter().filter(|(_, _, differs)| *differs);
    changed.map(|(key, when, _)| SupervisorChange { key, when }).collect()
}
