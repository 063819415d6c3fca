//! From events of the core to the journal, the plain status lines and the counters.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use kennel_core::{
    Cause, DelayRule, Event, EventKind, ExitStatus, GaveUp, GroupFailure, InstanceId, Missed,
    Origin, RunId, State, View,
};
use kennel_wasm::model::Severity;
use serde_json::{Map, Value, json};

use super::note::Note;
use super::notify::{Hearsay, Ignored};
use super::runs::Runs;
use super::strays::Swept;
use super::words::{cause_word, stop_word};
use super::{Source, StatusLines};
use crate::config::{ConfigErrors, Plan};
use crate::journal::{Journal, NewRecord};
use crate::logs::LogFact;
use crate::os::Unlimited;
use crate::plugins::PluginFact;
use crate::state::{HomeNotice, TableNotice};
use crate::status::plain_line;
use crate::task::TaskEnd;

/// Attributes of an event on the wire.
pub(super) type Attributes = Map<String, Value>;

pub(crate) struct News {
    journal: Journal,
    lines: Option<StatusLines>,
    /// The last plain line of each instance, to print changes only.
    printed: HashMap<InstanceId, String>,
    touched: HashMap<InstanceId, Arc<str>>,
    /// Those that have just failed: with `on_give_up: exit` that state lasts no longer
    /// than until the shutdown begins, and is news all the same.
    failed: HashSet<InstanceId>,
    facts: HashMap<InstanceId, Facts>,
    /// What the next event of this run that says so is about.
    swept: Option<(RunId, Vec<Swept>)>,
    /// The limits that were told of last, by instance.
    unlimited: HashMap<String, Vec<Unlimited>>,
    /// How a task ended; the next event of its run is about that.
    task_end: Option<(RunId, TaskEnd)>,
}

/// What events said of an instance that its view does not keep.
#[derive(Default)]
struct Facts {
    ready_after: Option<Duration>,
    last_cause: Option<&'static str>,
    /// How the last run ended, in words.
    last_end: String,
    restarts_by_cause: BTreeMap<&'static str, u64>,
    hearsay: Hearsay,
    /// Of a task: how its last run ended.
    task_end: Option<TaskEnd>,
}

impl News {
    pub(super) fn new(journal: Journal, lines: Option<StatusLines>) -> News {
        News {
            journal,
            lines,
            printed: HashMap::new(),
            touched: HashMap::new(),
            failed: HashSet::new(),
            facts: HashMap::new(),
            swept: None,
            unlimited: HashMap::new(),
            task_end: None,
        }
    }

    pub(super) fn journal(&self) -> &Journal {
        &self.journal
    }

    pub(super) fn ready_after(&self, id: InstanceId) -> Option<Duration> {
        self.facts.get(&id)?.ready_after
    }

    pub(super) fn restarts_by_cause(&self, id: InstanceId) -> BTreeMap<&'static str, u64> {
        self.facts.get(&id).map(|facts| facts.restarts_by_cause.clone()).unwrap_or_default()
    }

    /// What was heard of an instance.
    pub(super) fn hearsay(&mut self, id: InstanceId) -> &mut Hearsay {
        &mut self.facts.entry(id).or_default().hearsay
    }

    /// The same, if there is any.
    pub(super) fn heard(&self, id: InstanceId) -> Option<&Hearsay> {
        self.facts.get(&id).map(|facts| &facts.hearsay)
    }

    /// Messages to the notification socket of an instance did not count.
    pub(super) fn ignored(&mut self, id: InstanceId, name: &str, ignored: &Ignored) {
        let Some(count) = self.hearsay(id).ignore(ignored, Instant::now()) else { return };
        let why = &ignored.why;
        let message = match count {
            1 => format!("a notification was ignored: {why}"),
            many => format!("{many} notifications were ignored; of the last one: {why}"),
        };
        tracing::warn!("{name}: {message}");
        let attributes = Attributes::from_iter([("count".to_owned(), Value::from(count))]);
        self.append("service.notification_ignored", Some(name.to_owned()), message, attributes);
    }

    /// Something of what an earlier supervisor left is told.
    pub(super) fn restored(&mut self, note: Note) {
        let Note { kind, instance, text, attributes } = note;
        match &instance {
            Some(name) => tracing::warn!("{name}: {text}"),
            None => tracing::warn!("{text}"),
        }
        self.append(kind, instance.map(|name| name.to_string()), text, attributes);
    }

    /// The run table cannot be written, or can again.
    pub(super) fn table(&mut self, notice: TableNotice) {
        let message = match notice {
            TableNotice::Stalled(cause) => format!(
                "the run table cannot be written ({cause}); it is kept in memory and tried again"
            ),
            TableNotice::Resumed => {
                "the run table is written again, with all that this supervisor knows".to_owned()
            }
        };
        self.restored(Note::of_state(message));
    }

    /// The state directory was removed or replaced under us, or is there again.
    pub(super) fn home(&mut self, notice: HomeNotice) {
        let message = match notice {
            HomeNotice::Anew => {
                "the state directory was removed; it was made anew with what is remembered, and \
                 what was logged before is gone with it"
                    .to_owned()
            }
            HomeNotice::Lost(reason) => format!(
                "the state directory was removed or replaced ({reason}); services go on, and \
                 nothing is remembered until it is there again"
            ),
            HomeNotice::Back => "the state directory is there again".to_owned(),
        };
        self.restored(Note::of_state(message));
    }

    /// A service has said something of itself.
    pub(super) fn said(
        &mut self,
        kind: &'static str,
        name: &str,
        message: String,
        attributes: Value,
    ) {
        tracing::debug!("{name}: {message}");
        let attributes = attributes.as_object().cloned().unwrap_or_default();
        self.append(kind, Some(name.to_owned()), message, attributes);
    }

    /// Something of the supervisor itself.
    pub(super) fn told(&mut self, kind: &'static str, message: String, attributes: Value) {
        tracing::debug!("{message}");
        let attributes = attributes.as_object().cloned().unwrap_or_default();
        self.append(kind, None, message, attributes);
    }

    /// The core is about to say that this task has ended.
    pub(super) fn task_ended(&mut self, run: RunId, end: TaskEnd) {
        self.task_end = Some((run, end));
    }

    /// How the last run of a task ended.
    pub(super) fn task_end(&self, id: InstanceId) -> Option<&TaskEnd> {
        self.facts.get(&id)?.task_end.as_ref()
    }

    /// The core is about to say that these were swept.
    pub(super) fn will_be_swept(&mut self, run: RunId, swept: Vec<Swept>) {
        self.swept = Some((run, swept));
    }

    pub(super) fn publish(&mut self, event: &Event, runs: &Runs) {
        let service = event.name.as_ref().map(ToString::to_string);
        let mut message = event.kind.to_string();
        let mut attributes = attributes(&event.kind, runs);
        if let EventKind::Swept { run } = event.kind {
            let swept = self.swept.take_if(|(of, _)| *of == run).map(|(_, swept)| swept);
            tell_swept(&swept.unwrap_or_default(), &mut message, &mut attributes);
        }
        if let EventKind::Ended { run, .. } = event.kind
            && let Some((_, end)) = self.task_end.take_if(|(of, _)| *of == run)
        {
            message.push_str(&format!("; {end}"));
            attributes.insert("task".to_owned(), end.word().into());
            if let Some(id) = event.instance {
                self.facts.entry(id).or_default().task_end = Some(end);
            }
        }
        if let (EventKind::Ended { run, cause, .. }, Some(id)) = (&event.kind, event.instance) {
            message.extend(self.hearsay(id).ended(*run, cause).map(|hint| format!("; {hint}")));
        }
        if let (Some(id), Some(name)) = (event.instance, &event.name) {
            self.touched.insert(id, name.clone());
            if let EventKind::Failed { .. } = event.kind {
                self.failed.insert(id);
            }
            self.count(id, &event.kind, &message);
            self.log(id, name, &event.kind, &message);
        } else {
            self.log_service(event.name.as_deref(), &event.kind, &message);
        }
        self.append(event.kind.name(), service, message, attributes);
    }

    fn count(&mut self, id: InstanceId, kind: &EventKind, message: &str) {
        let facts = self.facts.entry(id).or_default();
        match kind {
            EventKind::Started { .. } | EventKind::Adopted { .. } => facts.hearsay.began(),
            EventKind::Ready { after, .. } => facts.ready_after = Some(*after),
            EventKind::Ended { cause, .. } => {
                facts.last_cause = Some(cause_word(cause));
                facts.last_end = message.to_owned();
            }
            EventKind::Backoff { .. } => {
                if let Some(cause) = facts.last_cause {
                    *facts.restarts_by_cause.entry(cause).or_default() += 1;
                }
            }
            EventKind::Wanted(..)
            | EventKind::Waiting(_)
            | EventKind::Stopping { .. }
            | EventKind::Escalated { .. }
            | EventKind::Stuck { .. }
            | EventKind::Swept { .. }
            | EventKind::Stopped
            | EventKind::Done
            | EventKind::Failed { .. }
            | EventKind::Stable { .. }
            | EventKind::HealthChanged { .. }
            | EventKind::PolicyDecided { .. }
            | EventKind::WatchdogMissed { .. }
            | EventKind::Signalled { .. }
            | EventKind::Reset
            | EventKind::RollBegan { .. }
            | EventKind::RollEnded { .. }
            | EventKind::RollFailed { .. }
            | EventKind::GroupFailed { .. }
            | EventKind::WentOn { .. }
            | EventKind::ShuttingDown(_)
            | EventKind::LeftBehind(_) => {}
        }
    }

    /// What went wrong goes to the supervisor's own log; all else stands in the journal.
    fn log(&self, id: InstanceId, name: &str, kind: &EventKind, message: &str) {
        let last_end = self.facts.get(&id).map_or("", |facts| &facts.last_end);
        match kind {
            EventKind::Backoff { .. } => tracing::warn!("{name} {last_end}; {message}"),
            EventKind::Failed { .. } => tracing::error!("{name} {last_end}; {message}"),
            EventKind::Stuck { .. } => tracing::error!("{name} is {message}"),
            EventKind::Escalated { .. }
            | EventKind::Swept { .. }
            | EventKind::WatchdogMissed { .. } => {
                tracing::warn!("{name}: {message}");
            }
            EventKind::HealthChanged { .. } | EventKind::PolicyDecided { .. } => {
                tracing::info!("{name}: {message}");
            }
            EventKind::Wanted(..)
            | EventKind::Waiting(_)
            | EventKind::Started { .. }
            | EventKind::Ready { .. }
            | EventKind::Ended { .. }
            | EventKind::Stopping { .. }
            | EventKind::Stopped
            | EventKind::Done
            | EventKind::Stable { .. }
            | EventKind::Signalled { .. }
            | EventKind::Reset
            | EventKind::RollBegan { .. }
            | EventKind::RollEnded { .. }
            | EventKind::RollFailed { .. }
            | EventKind::GroupFailed { .. }
            | EventKind::Adopted { .. }
            | EventKind::WentOn { .. }
            | EventKind::ShuttingDown(_)
            | EventKind::LeftBehind(_) => tracing::debug!("{name}: {message}"),
        }
    }

    /// What concerns a service as a whole, or the supervisor.
    fn log_service(&self, name: Option<&str>, kind: &EventKind, message: &str) {
        match (name, kind) {
            (Some(name), EventKind::RollFailed { .. }) => tracing::error!("{name}: {message}"),
            (None, EventKind::GroupFailed { .. }) => tracing::error!("{message}"),
            (Some(name), _) => tracing::info!("{name}: {message}"),
            (None, _) => tracing::info!("{message}"),
        }
    }

    /// Limits of a service do not hold on this machine: told once, not at each restart.
    pub(super) fn unlimited(&mut self, name: &str, limits: &[Unlimited]) {
        if self.unlimited.get(name).is_some_and(|told| told == limits) {
            return;
        }
        self.unlimited.insert(name.to_owned(), limits.to_vec());
        let words: Vec<String> = limits.iter().map(ToString::to_string).collect();
        let message = words.join("; ");
        tracing::warn!("{name}: {message}");
        let limits = limits.iter().map(|unlimited| unlimited.limit).collect();
        let attributes = Attributes::from_iter([("limits".to_owned(), limits)]);
        self.append("service.unlimited", Some(name.to_owned()), message, attributes);
    }

    pub(super) fn scaled(&mut self, service: &str, from: u32, to: u32) {
        let message =
            format!("scaled from {from} to {to}, until services.yaml says another number");
        tracing::info!("{service}: {message}");
        let attributes = Attributes::from_iter([
            ("from".to_owned(), Value::from(from)),
            ("to".to_owned(), Value::from(to)),
        ]);
        self.append("service.scaled", Some(service.to_owned()), message, attributes);
    }

    /// Prints the plain status line of each instance that events touched, where it is
    /// another one than before. The names of those that are gone.
    pub(super) fn status_lines(&mut self, view: View<'_>, runs: &Runs) -> Vec<Arc<str>> {
        let mut gone = Vec::new();
        for (id, name) in self.touched.drain() {
            let Some(instance) = view.instance(id) else {
                self.printed.remove(&id);
                self.facts.remove(&id);
                self.unlimited.remove(&*name);
                gone.push(name);
                continue;
            };
            let Some(lines) = &self.lines else { continue };
            let restarts = instance.restarts();
            if self.failed.remove(&id) && instance.state() != State::Failed {
                lines(&plain_line(instance.name(), State::Failed, None, restarts));
            }
            let pid = instance.run().and_then(|run| runs.pid(run));
            let line = plain_line(instance.name(), instance.state(), pid, restarts);
            if self.printed.get(&id) != Some(&line) {
                lines(&line);
                self.printed.insert(id, line);
            }
        }
        gone
    }

    pub(super) fn supervisor_started(&mut self, name: &str) {
        let mut attributes = Attributes::new();
        attributes.insert("pid".into(), std::process::id().into());
        attributes.insert("version".into(), env!("CARGO_PKG_VERSION").into());
        self.append("supervisor.started", None, format!("supervisor {name} started"), attributes);
    }

    /// This version has taken the place of another one, in the same process.
    pub(super) fn supervisor_upgraded(&mut self, name: &str, from: &str) {
        let version = env!("CARGO_PKG_VERSION");
        let attributes = Attributes::from_iter([
            ("pid".to_owned(), std::process::id().into()),
            ("version".to_owned(), version.into()),
            ("from".to_owned(), from.into()),
        ]);
        let message = format!("supervisor {name} was upgraded from {from} to {version}");
        self.append("supervisor.upgraded", None, message, attributes);
    }

    /// The other version could not be executed.
    pub(super) fn not_upgraded(&mut self, reason: String) {
        let message = format!("cannot upgrade: {reason}");
        self.append("supervisor.upgrade_failed", None, message, Attributes::new());
    }

    pub(super) fn supervisor_stopped(&mut self, code: i32) {
        let attributes = Attributes::from_iter([("code".to_owned(), Value::from(code))]);
        self.append("supervisor.stopped", None, "supervisor stopped".into(), attributes);
    }

    pub(super) fn config_reloaded(&mut self, source: &Source, plan: &Plan) {
        let message = plan.to_string().trim_end().replace('\n', "; ");
        let attributes = Attributes::from_iter([("file".to_owned(), file_of(source))]);
        self.append("config.reloaded", None, message, attributes);
    }

    pub(super) fn config_rejected(&mut self, source: &Source, errors: &ConfigErrors) {
        let noun = if errors.count() == 1 { "error" } else { "errors" };
        let message = format!("nothing was changed: {} {noun}", errors.count());
        let attributes = Attributes::from_iter([
            ("file".to_owned(), file_of(source)),
            ("errors".to_owned(), Value::from(errors.without_lines().to_string())),
        ]);
        self.append("config.rejected", None, message, attributes);
    }

    pub(super) fn log_fact(&mut self, fact: &LogFact) {
        let (kind, service, message) = match fact {
            LogFact::Stalled { service, error } => {
                let message = format!("output cannot be written and is kept back: {error}");
                ("logs.stalled", Some(service), message)
            }
            LogFact::Resumed { service } => {
                ("logs.resumed", Some(service), "output is written again, nothing was lost".into())
            }
            LogFact::Abandoned { service, bytes } => {
                let message = format!("{bytes} bytes of output could not be written and are lost");
                ("logs.abandoned", Some(service), message)
            }
            LogFact::Unreadable { path, error } => {
                let path = path.display();
                let message = format!("output of an earlier supervisor is lost: {path}: {error}");
                ("logs.unreadable", None, message)
            }
            LogFact::ConsoleLost { error } => {
                ("logs.console_lost", None, format!("standard output is gone: {error}"))
            }
            LogFact::Closed { .. } => return,
        };
        let whose = service.map_or("logs", |service| &**service);
        match fact {
            LogFact::Stalled { .. } | LogFact::ConsoleLost { .. } => {
                tracing::warn!("{whose}: {message}");
            }
            LogFact::Resumed { .. } => tracing::info!("{whose}: {message}"),
            LogFact::Abandoned { .. } | LogFact::Unreadable { .. } => {
                tracing::error!("{whose}: {message}");
            }
            LogFact::Closed { .. } => {}
        }
        self.append(kind, service.map(ToString::to_string), message, Map::new());
    }

    pub(super) fn plugin_fact(&mut self, fact: &PluginFact) {
        let message = fact.message();
        match fact.severity() {
            Severity::Debug => tracing::debug!("{message}"),
            Severity::Info => tracing::info!("{message}"),
            Severity::Warn => tracing::warn!("{message}"),
            Severity::Error => tracing::error!("{message}"),
        }
        let service = fact.service().map(str::to_owned);
        self.append(fact.name(), service, message, fact.attributes());
    }

    fn append(
        &mut self,
        kind: &'static str,
        service: Option<String>,
        message: String,
        attributes: Attributes,
    ) {
        self.journal.append(NewRecord { kind: kind.into(), service, message, attributes });
    }
}

/// None where the program has described everything.
fn file_of(source: &Source) -> Value {
    source.file.as_ref().map(|file| file.display().to_string()).into()
}

fn millis(duration: Duration) -> Value {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX).into()
}

/// Adds who was swept to what is said of it.
pub(super) fn tell_swept(swept: &[Swept], message: &mut String, attributes: &mut Attributes) {
    let mut separator = ": ";
    for Swept { pid, command, signal, .. } in swept {
        let how = signal.map_or("by itself".to_owned(), |signal| signal.to_string());
        message.push_str(&format!("{separator}{command} (pid {pid}, {how})"));
        separator = ", ";
    }
    let list = swept.iter().map(|Swept { pid, command, signal, .. }| {
        json!({"pid": pid, "command": command, "signal": signal.map(|signal| signal.to_string())})
    });
    attributes.insert("processes".to_owned(), list.collect());
}

fn attributes(kind: &EventKind, runs: &Runs) -> Attributes {
    let value = match kind {
        EventKind::Wanted(wanted, origin) => match origin {
            Origin::Configuration => json!({"wanted": wanted.to_string(), "by": "configuration"}),
            Origin::Operator => json!({"wanted": wanted.to_string(), "by": "operator"}),
            Origin::RequiredBy(name) => {
                json!({"wanted": wanted.to_string(), "by": "dependent", "dependent": &**name})
            }
        },
        EventKind::Waiting(_) | EventKind::Stopped | EventKind::Done | EventKind::Reset => {
            json!({})
        }
        EventKind::Started { run, restarts } => {
            json!({"run": run.0, "pid": runs.pid(*run), "restarts": restarts})
        }
        EventKind::Adopted { run } => json!({"run": run.0, "pid": runs.pid(*run)}),
        EventKind::Ready { run, after } => json!({"run": run.0, "after_ms": millis(*after)}),
        EventKind::Ended { run, cause, uptime } => {
            let mut value =
                json!({"run": run.0, "cause": cause_word(cause), "uptime_ms": millis(*uptime)});
            match cause {
                Cause::Exited(ExitStatus::Code(code)) => value["code"] = (*code).into(),
                Cause::Exited(ExitStatus::Signal { signal, core_dumped }) => {
                    value["signal"] = signal.to_string().into();
                    value["core_dumped"] = (*core_dumped).into();
                }
                Cause::Exited(ExitStatus::OutOfMemory) => value["signal"] = "SIGKILL".into(),
                Cause::Exited(ExitStatus::Unknown)
                | Cause::StartFailed(_)
                | Cause::NotReady(..)
                | Cause::Unhealthy(_)
                | Cause::Watchdog(_) => {}
            }
            value
        }
        EventKind::Stopping { run, reason } => json!({"run": run.0, "reason": stop_word(reason)}),
        EventKind::Escalated { run, signal, waited } => {
            json!({"run": run.0, "signal": signal.to_string(), "waited_ms": waited.map(millis)})
        }
        EventKind::Stuck { run, after } => json!({"run": run.0, "after_ms": millis(*after)}),
        EventKind::Swept { run } | EventKind::Stable { run } => json!({"run": run.0}),
        EventKind::Backoff { delay, rule, counted } => {
            let (rule, attempt, attempts) = match rule {
                DelayRule::FirstAfterStable => ("first-after-stable", None, None),
                DelayRule::Backoff => ("backoff", None, None),
                DelayRule::Attempt { next, max } => ("attempt", Some(next), Some(max)),
            };
            json!({
                "delay_ms": millis(*delay),
                "rule": rule,
                "attempt": attempt,
                "attempts": attempts,
                "restart": counted.map(|counted| counted.number),
                "limit": counted.map(|counted| counted.limit.max),
                "within_ms": counted.map(|counted| millis(counted.limit.within)),
            })
        }
        EventKind::Failed { reason, .. } => json!({
            "reason": match reason {
                GaveUp::Limit(_) => "limit",
                GaveUp::Attempts(_) => "attempts",
                GaveUp::Policy => "policy",
                GaveUp::Advice(_) => "policy-plugin",
                GaveUp::Group(_) => "group",
            },
        }),
        EventKind::PolicyDecided { run, delay, .. } => {
            json!({"run": run.0, "delay_ms": millis(*delay)})
        }
        EventKind::HealthChanged { run, from, to, .. } => {
            json!({"run": run.0, "from": from.to_string(), "to": to.to_string()})
        }
        EventKind::WatchdogMissed { run, missed } => json!({
            "run": run.0,
            "within_ms": match missed {
                Missed::Sign(every) => Some(millis(*every)),
                Missed::Nothing => None,
            },
        }),
        EventKind::Signalled { run, signal } => json!({"run": run.0, "signal": signal.to_string()}),
        EventKind::RollBegan { instances, max_unavailable } => {
            json!({"instances": instances, "max_unavailable": max_unavailable})
        }
        EventKind::RollEnded { done } => json!({"done": done}),
        EventKind::RollFailed { at, why: _, kept } => {
            json!({"instance": &**at, "not_restarted": kept})
        }
        EventKind::GroupFailed { group, why, above } => {
            let (max, within, member) = match why {
                GroupFailure::Limit(limit) => (Some(limit.max), Some(millis(limit.within)), None),
                GroupFailure::Member(name) => (None, None, Some(&**name)),
            };
            let (group, above) = (&**group, above.as_deref());
            json!({
                "group": group, "limit": max, "within_ms": within, "member": member, "above": above,
            })
        }
        EventKind::WentOn { adopted, ended } => json!({"adopted": adopted, "ended": ended}),
        EventKind::ShuttingDown(how) => json!({"how": match how {
            kennel_core::Shutdown::Orderly => "orderly",
            kennel_core::Shutdown::GaveUp => "gave-up",
            kennel_core::Shutdown::Now => "now",
            kennel_core::Shutdown::TimedOut => "timed-out",
        }}),
        EventKind::LeftBehind(names) => json!({"services": names}),
    };
    match value {
        Value::Object(map) => map,
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
            Map::new()
        }
    }
}
