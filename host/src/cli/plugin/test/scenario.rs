//! A scenario file: what a plugin is told, step by step, and what it should answer.
//!
//! `docs/plugin-scenarios.md` describes it for those who write one.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::Duration;

use kennel_wasm::model::{SavedState, Severity, policy, sink};
use kennel_wasm::{CallLimits, Kind};
use serde::{Deserialize, Deserializer};

use super::answer::Answer;
use crate::cli::plugin::args::KindName;
use crate::cli::{ExitKind, Failure};
use crate::config;

/// A scenario as it is written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in super::super) struct Scenario {
    /// Which of the kinds of the plugin is meant, where it has several.
    pub(super) kind: Option<KindName>,
    /// What would stand under `config:`.
    #[serde(default)]
    pub(super) config: serde_json::Value,
    #[serde(default)]
    pub(super) target: Target,
    #[serde(default)]
    pub(super) limits: Limits,
    /// What is remembered from before.
    pub(super) state: Option<Remembered>,
    /// When the first step is.
    #[serde(default = "new_year")]
    pub(super) now: jiff::Timestamp,
    pub(super) steps: Vec<Step>,
}

/// The service that it is about.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Target {
    pub(super) service: String,
    pub(super) instance: u32,
    pub(super) pid: Option<u32>,
    pub(super) uptime: Period,
    pub(super) restarts: u32,
    pub(super) labels: BTreeMap<String, String>,
}

impl Default for Target {
    fn default() -> Target {
        Target {
            service: "web".to_owned(),
            instance: 0,
            pid: Some(1234),
            uptime: Period(Duration::from_secs(60)),
            restarts: 0,
            labels: BTreeMap::new(),
        }
    }
}

/// What one call may take, as in services.yaml.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Limits {
    time: Option<Period>,
    cpu: Option<Period>,
    memory: Option<Size>,
}

impl Limits {
    pub(super) fn checked(&self) -> CallLimits {
        let Limits { time, cpu, memory } = self;
        let default = CallLimits::default();
        CallLimits {
            time: time.map_or(default.time, |Period(time)| time),
            cpu: cpu.map_or(default.cpu, |Period(cpu)| cpu),
            memory: memory.map_or(default.memory, |Size(bytes)| bytes),
        }
    }
}

/// Saved state as text.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Remembered {
    #[serde(default = "first_version")]
    pub(super) version: u32,
    pub(super) text: String,
}

impl Remembered {
    pub(super) fn saved(&self) -> SavedState {
        SavedState { version: self.version, bytes: self.text.clone().into_bytes() }
    }
}

/// One call.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Step {
    /// The sentence that it proves.
    pub(super) name: String,
    /// How much time has passed since the step before.
    #[serde(default = "ten_seconds")]
    pub(super) wait: Period,
    /// What probes are answered, in this order.
    #[serde(default)]
    pub(super) answers: Vec<Answer>,
    /// Policies: why the run ended.
    pub(super) cause: Option<Cause>,
    /// How long the service has run, or had; as the target says if nothing is said.
    pub(super) uptime: Option<Period>,
    /// Policies: earlier runs, newest first.
    #[serde(default)]
    pub(super) history: Vec<PastRun>,
    /// Policies: restarts that count against the limit.
    #[serde(default)]
    pub(super) restarts_in_window: u32,
    /// Policies: the delay of the built-in policy; 1s if nothing is said.
    pub(super) default_delay: Option<Period>,
    /// Sinks: what is to be delivered.
    #[serde(default)]
    pub(super) events: Vec<Event>,
    /// Sinks: how many events were lost before these.
    #[serde(default)]
    pub(super) dropped: u64,
    pub(super) expect: Expect,
}

/// Why a run ended.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Cause {
    kind: Option<String>,
    exit_code: Option<i32>,
    signal: Option<i32>,
    detail: String,
}

impl Cause {
    pub(super) fn checked(&self) -> policy::Cause {
        let Cause { kind, exit_code, signal, detail } = self.clone();
        let usual = if signal.is_some() { "signal" } else { "exit" };
        let kind = kind.unwrap_or_else(|| usual.to_owned());
        policy::Cause { kind, exit_code, signal, detail }
    }
}

/// An earlier run.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PastRun {
    /// How long before now it ended.
    pub(super) ended: Period,
    #[serde(default = "ten_seconds")]
    pub(super) uptime: Period,
    #[serde(default)]
    pub(super) cause: Cause,
}

/// An event of the journal.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Event {
    pub(super) kind: String,
    #[serde(default)]
    pub(super) severity: SeverityName,
    pub(super) service: Option<String>,
    pub(super) instance: Option<u32>,
    #[serde(default)]
    pub(super) message: String,
    #[serde(default)]
    pub(super) attributes: BTreeMap<String, String>,
}

impl Event {
    pub(super) fn checked(&self, sequence: u64, at_unix_ms: u64) -> sink::Event {
        let Event { kind, severity, service, instance, message, attributes } = self.clone();
        sink::Event {
            sequence,
            at_unix_ms,
            kind,
            severity: severity.checked(),
            service,
            instance,
            message,
            attributes: attributes.into_iter().collect(),
        }
    }
}

/// How much an event matters.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum SeverityName {
    Debug,
    #[default]
    Info,
    Warn,
    Error,
}

impl SeverityName {
    fn checked(self) -> Severity {
        match self {
            SeverityName::Debug => Severity::Debug,
            SeverityName::Info => Severity::Info,
            SeverityName::Warn => Severity::Warn,
            SeverityName::Error => Severity::Error,
        }
    }
}

/// What the plugin should answer. What is not said is not looked at.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Expect {
    /// The plugin should say that it cannot do it, with this text.
    pub(super) error: Option<Pattern>,
    pub(super) reason: Option<Pattern>,
    /// What it should ask to remember.
    pub(super) state: Option<Pattern>,
    /// Checks.
    pub(super) status: Option<StatusName>,
    pub(super) samples: BTreeMap<String, f64>,
    pub(super) next_in: Option<Period>,
    /// Policies.
    pub(super) action: Option<ActionName>,
    pub(super) after: Option<Period>,
    /// Sinks.
    pub(super) taken: Option<u32>,
    pub(super) retry_after: Option<Period>,
    pub(super) rejected: Option<Pattern>,
}

/// How a service is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum StatusName {
    Healthy,
    Degraded,
    Unhealthy,
    Late,
    Unknown,
}

/// What follows the end of a run.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum ActionName {
    UseDefault,
    Restart,
    GiveUp,
}

/// A text, or a regular expression between slashes that finds something in it.
#[derive(Clone, Debug)]
pub(super) struct Pattern {
    pub(super) written: String,
    regex: Option<regex::Regex>,
}

impl Pattern {
    pub(super) fn fits(&self, text: &str) -> bool {
        match &self.regex {
            Some(regex) => regex.is_match(text),
            None => self.written == text,
        }
    }
}

impl<'de> Deserialize<'de> for Pattern {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Pattern, D::Error> {
        let written = String::deserialize(deserializer)?;
        let inner = written.strip_prefix('/').and_then(|rest| rest.strip_suffix('/'));
        let regex = inner.map(regex::Regex::new).transpose().map_err(serde::de::Error::custom)?;
        Ok(Pattern { regex, written })
    }
}

/// A duration with its unit, as in services.yaml.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Period(pub(super) Duration);

impl<'de> Deserialize<'de> for Period {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Period, D::Error> {
        let text = String::deserialize(deserializer)?;
        // The hint belongs to the place, which is shown with it.
        config::duration(&text).map(Period).map_err(serde::de::Error::custom)
    }
}

/// A size with its unit, as in services.yaml.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Size(pub(super) u64);

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Size, D::Error> {
        let text = String::deserialize(deserializer)?;
        config::size(&text).map(Size).map_err(serde::de::Error::custom)
    }
}

fn ten_seconds() -> Period {
    Period(Duration::from_secs(10))
}

fn first_version() -> u32 {
    1
}

/// 2026-01-01T00:00:00Z: a scenario gives the same whenever it is run.
fn new_year() -> jiff::Timestamp {
    jiff::Timestamp::constant(1_767_225_600, 0)
}

impl Scenario {
    pub(in super::super) fn read(path: &Path) -> Result<Scenario, Failure> {
        let what = format!("read \"{}\"", path.display());
        let text = fs::read_to_string(path).map_err(|error| Failure::from(error).doing(&what))?;
        let invalid = |reason: String| {
            Failure::new(ExitKind::Invalid, format!("{}: {reason}", path.display()))
        };
        let scenario = Scenario::of(&text).map_err(invalid)?;
        for step in &scenario.steps {
            for answer in &step.answers {
                answer.kind().map_err(|reason| invalid(format!("{}: {reason}", step.name)))?;
            }
        }
        Ok(scenario)
    }

    fn of(text: &str) -> Result<Scenario, String> {
        serde_yaml::from_str(text).map_err(|error| error.to_string())
    }

    /// Says what of a step belongs to another kind.
    pub(super) fn check_kind(&self, kind: Kind) -> Result<(), Failure> {
        for step in &self.steps {
            if let Some(what) = step.strange_to(kind) {
                let message = format!("{}: {what} is nothing that a {kind} has", step.name);
                return Err(Failure::new(ExitKind::Invalid, message));
            }
        }
        Ok(())
    }
}

impl Step {
    fn strange_to(&self, kind: Kind) -> Option<&'static str> {
        let Step {
            name: _,
            wait: _,
            answers,
            cause,
            uptime: _,
            history,
            restarts_in_window,
            default_delay,
            events,
            dropped,
            expect,
        } = self;
        let Expect {
            error,
            reason,
            state,
            status,
            samples,
            next_in,
            action,
            after,
            taken,
            retry_after,
            rejected,
        } = expect;
        let (check, policy, sink) =
            (kind == Kind::HealthCheck, kind == Kind::RestartPolicy, kind == Kind::EventSink);
        let keys = [
            ("answers", !answers.is_empty(), check || sink),
            ("cause", cause.is_some(), policy),
            ("history", !history.is_empty(), policy),
            ("restarts_in_window", *restarts_in_window > 0, policy),
            ("default_delay", default_delay.is_some(), policy),
            ("events", !events.is_empty(), sink),
            ("dropped", *dropped > 0, sink),
            ("expect.error", error.is_some(), check || policy),
            ("expect.reason", reason.is_some(), check || policy),
            ("expect.state", state.is_some(), check || policy),
            ("expect.status", status.is_some(), check),
            ("expect.samples", !samples.is_empty(), check),
            ("expect.next_in", next_in.is_some(), check),
            ("expect.action", action.is_some(), policy),
            ("expect.after", after.is_some(), policy),
            ("expect.taken", taken.is_some(), sink),
            ("expect.retry_after", retry_after.is_some(), sink),
            ("expect.rejected", rejected.is_some(), sink),
        ];
        keys.into_iter().find(|(_, given, fits)| *given && !fits).map(|(key, _, _)| key)
    }
}
