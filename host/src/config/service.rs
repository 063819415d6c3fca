//! A service as it was checked: what the core has to know of it, and what the driver has.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use kennel_core::spec::{
    Advice, Condition, Dependency, Dependents, Enabled, Kind, Policy, Restart, RestartLimit, Stop,
    StopCommand, StopStep, Strength,
};
use kennel_core::{ServiceSpec, Signal};

use crate::checks::CheckKind;
use crate::own::OwnPolicy;

use super::budget;
use super::checker::Checker;
use super::health::{self, ReadyWhen};
use super::launch::{self, EnvFiles, LaunchConfig};
use super::notify;
use super::plugin::{self, PluginUse, RawUse};
use super::raw::{
    RawCommand, RawCondition, RawDependency, RawDependencyLong, RawDependsOn, RawDuration, RawKind,
    RawLimit, RawLogTarget, RawLogs, RawNone, RawPolicy, RawPolicyPlugin, RawRate, RawRestart,
    RawRestartLimit, RawService, RawSignal, RawSize, RawStop, RawStopStep, Text,
};
use super::source::{Problem, Span, quoted};
use super::tree::{self, Node};

/// How many instances a service can have.
pub(crate) const REPLICAS_MAX: u32 = 1000;

/// A service as it was checked.
#[derive(Clone, PartialEq, Debug)]
pub struct ServiceConfig {
    /// Its life.
    pub spec: ServiceSpec,
    /// How its process is made.
    pub launch: LaunchConfig,
    /// What `spec.ready` waits for.
    pub ready: ReadyWhen,
    /// What the checks of `spec.health` look at, each at the same place.
    pub health: Vec<CheckKind>,
    /// The plugin that is asked for another wait; there when `spec.restart.advice` says so.
    pub policy_plugin: Option<PluginUse>,
    /// Code of the program that is asked instead.
    pub own_policy: Option<OwnPolicy>,
    /// What happens to its output.
    pub logs: LogConfig,
    /// What runs before the first stop signal; there when `spec.stop.command` says so.
    /// Program and arguments, as in [`launch::Command::Argv`].
    pub stop_command: Option<Vec<String>>,
    /// Words for people and tools.
    pub labels: BTreeMap<String, String>,
}

/// What happens to the output of a service, stdout and stderr both.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LogConfig {
    /// Where it goes.
    pub to: LogTarget,
    /// A file that has become that large is rotated, in bytes; at least 1.
    pub max_size: u64,
    /// How many rotated files are kept.
    pub keep: u32,
    /// Whether each line gets the time.
    pub timestamps: bool,
    /// Bytes per second over which lines are dropped; none: no limit.
    pub rate_limit: Option<u64>,
}

impl Default for LogConfig {
    fn default() -> LogConfig {
        LogConfig {
            to: LogTarget::File,
            max_size: 10 << 20,
            keep: 5,
            timestamps: true,
            rate_limit: None,
        }
    }
}

/// Where output goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LogTarget {
    /// To a file in the state directory.
    File,
    /// To the supervisor's own output.
    Inherit,
    /// Nowhere.
    None,
}

/// A checked service and where its dependencies are written.
pub(super) struct Checked {
    pub(super) config: ServiceConfig,
    /// Where its keys are.
    pub(super) span: Span,
    /// As many as `config.spec.depends_on`.
    pub(super) dependency_spans: Vec<Span>,
}

/// Checks one service; `node` has the defaults merged in.
pub(super) fn check(
    name: &str,
    raw: &RawService,
    node: &Node,
    global_env: &BTreeMap<String, String>,
    env_files: &EnvFiles,
    checker: &mut Checker<'_>,
) -> Checked {
    checker.begin_service(name);
    let (depends_on, dependency_spans) = dependencies(raw.depends_on.as_ref(), node, checker);
    let (stop, stop_command) = stop(raw.stop.as_ref(), node, checker);
    let (ready, ready_when) = health::ready(raw.ready.as_ref(), node, checker);
    let (checks, health) = health::health(raw.health.as_ref(), node, checker);
    let (mut restart, policy_plugin) = restart(raw.restart.as_ref(), node, checker);
    let own_policy = checker.described.and_then(|definition| definition.own.policy.clone());
    if own_policy.is_some() {
        restart.advice = Advice::Ask;
    }
    let spec = ServiceSpec {
        name: Arc::from(name),
        kind: match raw.kind {
            None | Some(RawKind::Daemon) => Kind::Daemon,
            Some(RawKind::Oneshot) => Kind::Oneshot,
        },
        enabled: if raw.enabled.unwrap_or(true) { Enabled::Yes } else { Enabled::No },
        replicas: checker.within(node, "replicas", raw.replicas.unwrap_or(1), 1..=REPLICAS_MAX),
        depends_on,
        ready,
        health: checks,
        watchdog: notify::watchdog(raw.watchdog.as_ref(), &ready_when, node, checker),
        attempts: budget::attempts(raw.start.as_ref(), node, checker),
        restart,
        stop,
        rolling: budget::rolling(raw.rolling.as_ref(), node, checker),
    };
    let config = ServiceConfig {
        spec,
        launch: launch::check(raw, node, name, global_env, env_files, checker),
        ready: ready_when,
        health,
        policy_plugin,
        own_policy,
        logs: logs(raw.logs.as_ref(), node, checker),
        stop_command,
        labels: raw
            .labels
            .iter()
            .flatten()
            .map(|(label, Text(value))| (label.clone(), value.clone()))
            .collect(),
    };
    Checked { config, span: node.span, dependency_spans }
}

fn dependencies(
    raw: Option<&RawDependsOn>,
    node: &Node,
    checker: &mut Checker<'_>,
) -> (Vec<Dependency>, Vec<Span>) {
    let at = node.get("depends_on").unwrap_or(node);
    let mut dependencies: Vec<Dependency> = Vec::new();
    let mut spans = Vec::new();
    match raw {
        None => {}
        Some(RawDependsOn::Sequence(names)) => {
            let tree::Kind::Sequence(items) = &at.kind else { return Default::default() };
            for name in names {
                // By text, not by index: items that are no text were left out.
                let mut same = items.iter().filter(|item| item.text() == Some(name));
                let nth = dependencies.iter().filter(|known| *known.service == **name).count();
                let span = same.nth(nth).map_or(at.span, |item| item.span);
                if nth > 0 {
                    let message = format!("{} is listed twice", quoted(name));
                    checker.problems.error(Problem::at(span, message).hint("keep one of them"));
                    continue;
                }
                dependencies.push(dependency(name, Some(RawCondition::Ready), None));
                spans.push(span);
            }
        }
        Some(RawDependsOn::Mapping(entries)) => {
            for (name, raw) in entries {
                let (condition, required) = match raw {
                    RawDependency::Scalar(condition) => (Some(*condition), None),
                    RawDependency::Mapping(RawDependencyLong { condition, required }) => {
                        (*condition, *required)
                    }
                };
                dependencies.push(dependency(name, condition, required));
                spans.push(at.entry(name).map_or(at.span, |entry| entry.key_span));
            }
        }
    }
    (dependencies, spans)
}

fn dependency(name: &str, condition: Option<RawCondition>, required: Option<bool>) -> Dependency {
    Dependency {
        service: Arc::from(name),
        condition: match condition {
            Some(RawCondition::Started) => Condition::Started,
            None | Some(RawCondition::Ready) => Condition::Ready,
            Some(RawCondition::Done) => Condition::Done,
        },
        strength: if required.unwrap_or(true) { Strength::Required } else { Strength::Optional },
    }
}

fn restart(
    raw: Option<&RawRestart>,
    node: &Node,
    checker: &mut Checker<'_>,
) -> (Restart, Option<PluginUse>) {
    let default = Restart::default();
    let Some(raw) = raw else { return (default, None) };
    let RawRestart {
        policy,
        success_exit_codes,
        backoff: raw_backoff,
        limit,
        reset_after,
        on_give_up,
        restart_dependents,
        policy_plugin: raw_plugin,
    } = raw;
    let policy_plugin = raw_plugin.as_ref().and_then(|raw| self::policy_plugin(raw, node, checker));
    let codes = success_exit_codes.clone().unwrap_or(default.success_exit_codes);
    for (index, code) in codes.iter().enumerate() {
        checker.within(node, &format!("restart.success_exit_codes.{index}"), *code, 0..=255);
    }
    let restart = Restart {
        policy: match policy {
            None | Some(RawPolicy::Always) => Policy::Always,
            Some(RawPolicy::OnFailure) => Policy::OnFailure,
            Some(RawPolicy::Never) => Policy::Never,
        },
        success_exit_codes: codes,
        backoff: budget::backoff(raw_backoff.as_ref(), node, "restart", default.backoff, checker),
        limit: match limit {
            None => default.limit,
            Some(RawRestartLimit::Scalar(RawNone::None)) => None,
            Some(RawRestartLimit::Mapping(RawLimit { max, within })) => {
                let default = RestartLimit::default();
                let max = max.unwrap_or(default.max);
                Some(RestartLimit {
                    max: checker.within(node, "restart.limit.max", max, 1..=10_000),
                    within: checker.positive(
                        node,
                        "restart.limit.within",
                        within.as_ref(),
                        default.within,
                    ),
                })
            }
        },
        reset_after: checker.positive(
            node,
            "restart.reset_after",
            reset_after.as_ref(),
            default.reset_after,
        ),
        on_give_up: budget::on_give_up(on_give_up.as_ref(), node, "restart", checker),
        dependents: match restart_dependents {
            None | Some(false) => Dependents::Keep,
            Some(true) => Dependents::Restart,
        },
        advice: if policy_plugin.is_some() { Advice::Ask } else { Advice::None },
    };
    (restart, policy_plugin)
}

fn policy_plugin(
    raw: &RawPolicyPlugin,
    node: &Node,
    checker: &mut Checker<'_>,
) -> Option<PluginUse> {
    let RawPolicyPlugin { plugin, config, required } = raw;
    let node = node.find("restart.policy_plugin")?;
    if plugin.is_none() && node.get("plugin").is_none_or(Node::is_null) {
        let message = "\"restart.policy_plugin\" names no \"plugin\"";
        let hint = "write { plugin: NAME }, a name that stands under \"plugins\"";
        checker.problems.error(Problem::at(node.span, message).hint(hint));
    }
    let raw = RawUse { plugin: plugin.as_ref(), config: config.as_ref(), required: *required };
    plugin::check_use(raw, node, checker)
}

fn stop(
    raw: Option<&RawStop>,
    node: &Node,
    checker: &mut Checker<'_>,
) -> (Stop, Option<Vec<String>>) {
    let mut stop = Stop::default();
    let Some(RawStop { command, steps }) = raw else { return (stop, None) };
    if let Some(steps) = steps {
        let written = node.find("stop.steps");
        // An item that could not be read was complained about already.
        let all_read = matches!(
            written.map(|node| &node.kind),
            Some(tree::Kind::Sequence(items)) if items.len() == steps.len()
        );
        if steps.is_empty() && all_read {
            let hint = Some("leave it out for SIGTERM and 10s; SIGKILL always follows");
            checker.error(node, "stop.steps", "\"stop.steps\" is empty".to_owned(), hint);
        }
        stop.steps = steps
            .iter()
            .enumerate()
            .map(|(index, RawStopStep { signal, wait })| {
                let path = format!("stop.steps.{index}");
                let unread = |key: &str| node.find(&format!("{path}.{key}")).is_some();
                if signal.is_none() && all_read && !unread("signal") {
                    let message = "a stop step without a signal".to_owned();
                    let hint = Some("write { signal: SIGTERM, wait: 10s }");
                    checker.error(node, &path, message, hint);
                }
                StopStep {
                    signal: signal.as_ref().map_or(Signal::TERM, |RawSignal(signal)| *signal),
                    wait: wait.as_ref().map_or(DEFAULT_WAIT, |RawDuration(wait)| *wait),
                }
            })
            .collect();
    }
    let command: Option<&RawCommand> = command.as_ref();
    let command = command.and_then(|raw| launch::argv(raw, node, "stop.command", checker));
    if command.is_some() {
        let timeout = stop.steps.first().map_or(DEFAULT_WAIT, |step| step.wait);
        if timeout.is_zero() {
            let message = "the first step's wait is 0s, so \"stop.command\" gets no time";
            let path = "stop.steps.0.wait";
            checker.error(node, path, message.to_owned(), Some("give it some: wait: 10s"));
        }
        stop.command = StopCommand::Run { timeout };
    }
    (stop, command)
}

/// How long a stop step waits when it does not say.
const DEFAULT_WAIT: Duration = Duration::from_secs(10);

fn logs(raw: Option<&RawLogs>, node: &Node, checker: &mut Checker<'_>) -> LogConfig {
    let default = LogConfig::default();
    let Some(RawLogs { to, max_size, keep, timestamps, rate_limit }) = raw else { return default };
    let size = max_size.as_ref().map_or(default.max_size, |RawSize(size)| *size);
    if size == 0 {
        checker.error(
            node,
            "logs.max_size",
            "\"logs.max_size\" has to be larger than 0".to_owned(),
            None,
        );
    }
    let rate_limit = rate_limit.as_ref().and_then(|RawRate(rate)| *rate);
    if rate_limit == Some(0) {
        let hint = Some("write none for no limit");
        let message = "\"logs.rate_limit\" lets nothing through".to_owned();
        checker.error(node, "logs.rate_limit", message, hint);
    }
    LogConfig {
        to: match to {
            None | Some(RawLogTarget::File) => LogTarget::File,
            Some(RawLogTarget::Inherit) => LogTarget::Inherit,
            Some(RawLogTarget::None) => LogTarget::None,
        },
        max_size: size,
        keep: checker.within(node, "logs.keep", keep.unwrap_or(default.keep), 0..=1000),
        timestamps: timestamps.unwrap_or(default.timestamps),
        rate_limit,
    }
}
