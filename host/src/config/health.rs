//! Checks of a service: `health`, and `ready` where that is one.
//!
//! The times and counts of a check are the core's, in `ServiceSpec`; what it looks at is
//! the driver's, a [`CheckKind`] at the same place of the list.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use kennel_core::spec::{CheckSpec, OnUnhealthy, Ready};

use crate::checks::{CheckKind, Pattern, Probe, Resource, UsageLimit};

use super::checker::Checker;
use super::notify::{self, Notify};
use super::plugin::{self, RawUse};
use super::raw::{
    RawCommand, RawDuration, RawExpect, RawHealth, RawHealthChecks, RawOnUnhealthy, RawPercent,
    RawReady, RawSize, RawStatus,
};
use super::source::{Problem, quoted};
use super::supervisor::{MAX_SOCKET_PATH_BYTES, bad_name, is_valid_name};
use super::tree::{Entry, Kind, Node};
use super::{launch, suggest, target};

/// How a service is known to be ready.
#[derive(Clone, PartialEq, Debug)]
pub enum ReadyWhen {
    /// It has run for a while; the core knows how long.
    Running,
    /// A check passes.
    Passes(CheckKind),
    /// A line of its output matches.
    Logs(Pattern),
    /// It says so itself.
    Notifies(Notify),
}

/// The keys of a kind of check; exactly one of them is needed.
const KINDS: [&str; 5] = ["http", "tcp", "unix", "command", "plugin"];
/// The kinds that only readiness has.
const READY_KINDS: [&str; 2] = ["log", "notify"];
/// The kinds that only health has.
const USAGE_KINDS: [&str; 2] = ["memory_max", "cpu_max"];

/// How long a service may use more than its limit, unless it says so.
const LASTING: Duration = Duration::from_secs(60);
/// How often use is looked at, at most: processor time is counted in hundredths of a second.
const USAGE_EVERY_MIN: Duration = Duration::from_millis(100);

/// How long one try of a readiness check may take; `timeout` there is for all together.
const ATTEMPT: Duration = Duration::from_secs(3);

/// The raw keys that say what a check looks at.
struct Raw<'a> {
    http: Option<&'a String>,
    tcp: Option<&'a String>,
    unix: Option<&'a String>,
    command: Option<&'a RawCommand>,
    uses: RawUse<'a>,
    ca_file: Option<&'a String>,
    expect: Option<&'a RawExpect>,
}

/// Checks `ready` of the service at `service`.
pub(super) fn ready(
    raw: Option<&RawReady>,
    service: &Node,
    checker: &mut Checker<'_>,
) -> (Ready, ReadyWhen) {
    let unready = (Ready::default(), ReadyWhen::Running);
    let (Some(raw), Some(node)) = (raw, service.get("ready")) else { return unready };
    let RawReady {
        notify,
        http,
        tcp,
        unix,
        log,
        command,
        plugin,
        config,
        required,
        ca_file,
        every,
        timeout,
    } = raw;
    let default = Duration::from_secs(60);
    let timeout = checker.positive(node, "timeout", timeout.as_ref(), default);
    let interval = period(every.as_ref(), Duration::from_millis(250), node, checker);
    let Some(word) = word(node, "ready", &READY_KINDS, checker) else { return unready };
    only_with(node, word, checker);
    if word == "notify" {
        if every.is_some() {
            let message = "\"every\" means nothing with \"notify\": the service says it by itself";
            checker.warn(node, "every", message.to_owned(), None);
        }
        let notify = notify.as_ref().and_then(|raw| notify::notify(raw, node, service, checker));
        let Some(notify) = notify else { return unready };
        return (Ready::Reported { timeout }, ReadyWhen::Notifies(notify));
    }
    if word == "log" {
        if every.is_some() {
            let message = "\"every\" means nothing with \"log\": lines are looked at as they come";
            checker.warn(node, "every", message.to_owned(), None);
        }
        let pattern = log.as_ref().and_then(|text| target::pattern(text, node, "log", checker));
        let Some(pattern) = pattern else { return unready };
        return (Ready::Reported { timeout }, ReadyWhen::Logs(pattern));
    }
    if interval >= timeout {
        let message = "\"every\" is not shorter than \"timeout\", so there is one try only";
        checker.warn(node, "every", message.to_owned(), None);
    }
    let raw = Raw {
        http: http.as_ref(),
        tcp: tcp.as_ref(),
        unix: unix.as_ref(),
        command: command.as_ref(),
        uses: RawUse { plugin: plugin.as_ref(), config: config.as_ref(), required: *required },
        ca_file: ca_file.as_ref(),
        expect: None,
    };
    match kind(word, raw, node, checker) {
        Some(kind) => {
            let spec = Ready::Checked { every: interval, attempt: ATTEMPT.min(timeout), timeout };
            (spec, ReadyWhen::Passes(kind))
        }
        None => unready,
    }
}

/// Checks `health` of the service at `service`: each check for the core, and what it
/// looks at.
pub(super) fn health(
    raw: Option<&RawHealthChecks>,
    service: &Node,
    checker: &mut Checker<'_>,
) -> (Vec<CheckSpec>, Vec<CheckKind>) {
    let (Some(raw), Some(node)) = (raw, service.get("health")) else { return Default::default() };
    let checks: Vec<(&RawHealth, &Node)> = match raw {
        RawHealthChecks::Mapping(one) => vec![(one, node)],
        RawHealthChecks::Sequence(raws) => {
            let Kind::Sequence(items) = &node.kind else { return Default::default() };
            // What is no mapping could not be read and was left out.
            let mappings = items.iter().filter(|item| matches!(item.kind, Kind::Mapping(_)));
            raws.iter().zip(mappings).collect()
        }
    };
    let mut names = names(&checks, checker);
    let mut specs = Vec::new();
    let mut kinds = Vec::new();
    for (raw, node) in checks {
        if let Some((mut spec, kind)) = one(raw, node, checker) {
            spec.name = match &raw.name {
                Some(name) => Arc::from(name.as_str()),
                None => free_name(&kind, &mut names),
            };
            specs.push(spec);
            kinds.push(kind);
        }
    }
    (specs, kinds)
}

/// The names that checks were given.
fn names(checks: &[(&RawHealth, &Node)], checker: &mut Checker<'_>) -> HashSet<String> {
    let mut names = HashSet::new();
    for (raw, node) in checks {
        let Some(name) = &raw.name else { continue };
        let span = checker.span(node, "name");
        if !is_valid_name(name) {
            checker.problems.error(bad_name("a check", name, span));
        } else if !names.insert(name.clone()) {
            let message = format!("two checks have the name {}", quoted(name));
            checker.problems.error(Problem::at(span, message).hint("rename one of them"));
        }
    }
    names
}

/// The name of a check that was given none: `http`, `http-2`, `http-3`.
fn free_name(kind: &CheckKind, names: &mut HashSet<String>) -> Arc<str> {
    let base = match kind {
        CheckKind::Plugin(used) => &used.plugin,
        CheckKind::Own(own) => own.name(),
        CheckKind::BuiltIn(_) | CheckKind::Usage(_) => kind.word(),
    };
    let mut name = base.to_owned();
    let mut number = 1;
    while !names.insert(name.clone()) {
        number += 1;
        name = format!("{base}-{number}");
    }
    Arc::from(name)
}

fn one(raw: &RawHealth, node: &Node, checker: &mut Checker<'_>) -> Option<(CheckSpec, CheckKind)> {
    let RawHealth {
        name: _, // Names are looked at together.
        http,
        tcp,
        unix,
        command,
        memory_max,
        cpu_max,
        lasting,
        plugin,
        config,
        required,
        ca_file,
        expect,
        every,
        timeout,
        failures,
        timeouts,
        successes,
        grace,
        on_unhealthy,
    } = raw;
    let mut default = CheckSpec::named("");
    let word = word(node, "health", &USAGE_KINDS, checker);
    if word.is_some_and(|word| USAGE_KINDS.contains(&word)) {
        // Its "for" is the patience.
        default.failures = 1;
    }
    let mut counted = |key: &str, value: &Option<u32>, default| {
        checker.within(node, key, value.unwrap_or(default), 1..=1000)
    };
    let spec = CheckSpec {
        failures: counted("failures", failures, default.failures),
        timeouts: counted("timeouts", timeouts, default.timeouts),
        successes: counted("successes", successes, default.successes),
        every: period(every.as_ref(), default.every, node, checker),
        timeout: checker.positive(node, "timeout", timeout.as_ref(), default.timeout),
        grace: grace.as_ref().map_or(default.grace, |RawDuration(grace)| *grace),
        on_unhealthy: match on_unhealthy {
            None | Some(RawOnUnhealthy::Restart) => OnUnhealthy::Restart,
            Some(RawOnUnhealthy::Report) => OnUnhealthy::Report,
        },
        name: default.name,
    };
    if timeout.is_some() && spec.timeout > spec.every {
        let message = "\"timeout\" is longer than \"every\"".to_owned();
        let hint = "a check waits for the one before it, so a slow one makes them rarer";
        checker.warn(node, "timeout", message, Some(hint));
    }
    let word = word?;
    only_with(node, word, checker);
    let lasting = lasting.as_ref().map_or(LASTING, |RawDuration(lasting)| *lasting);
    let resource = match (word, memory_max, cpu_max) {
        ("memory_max", Some(RawSize(max_bytes)), _) => {
            Some(Resource::Memory { max_bytes: *max_bytes })
        }
        ("cpu_max", _, Some(RawPercent(share))) => Some(Resource::Cpu { max_share: *share }),
        // It could not be read.
        ("memory_max" | "cpu_max", _, _) => return None,
        (_, _, _) => None,
    };
    if let Some(resource) = resource {
        let is_nothing = match resource {
            Resource::Memory { max_bytes } => max_bytes == 0,
            Resource::Cpu { max_share } => max_share <= 0.0,
        };
        if is_nothing {
            checker.error(node, word, format!("\"{word}\" has to be more than nothing"), None);
        }
        usage_oddities(&spec, timeouts.is_some(), node, checker);
        return Some((spec, CheckKind::Usage(UsageLimit { resource, lasting })));
    }
    let raw = Raw {
        http: http.as_ref(),
        tcp: tcp.as_ref(),
        unix: unix.as_ref(),
        command: command.as_ref(),
        uses: RawUse { plugin: plugin.as_ref(), config: config.as_ref(), required: *required },
        ca_file: ca_file.as_ref(),
        expect: expect.as_ref(),
    };
    Some((spec, kind(word, raw, node, checker)?))
}

/// What cannot be meant of a limit on use.
fn usage_oddities(spec: &CheckSpec, has_timeouts: bool, node: &Node, checker: &mut Checker<'_>) {
    if spec.every < USAGE_EVERY_MIN {
        let message = "\"every\" has to be at least 100ms where use is looked at".to_owned();
        checker.error(node, "every", message, None);
    }
    if has_timeouts {
        let message = "\"timeouts\" means nothing here: nobody is asked who could be late";
        checker.warn(node, "timeouts", message.to_owned(), None);
    }
}

/// A time between two tries. One that is hardly any would only burn the processor.
fn period(
    value: Option<&RawDuration>,
    default: Duration,
    node: &Node,
    checker: &mut Checker<'_>,
) -> Duration {
    let period = checker.positive(node, "every", value, default);
    if period < Duration::from_millis(10) {
        let message = "\"every\" has to be at least 10ms".to_owned();
        checker.error(node, "every", message, None);
    }
    period
}

/// The key that says what a check looks at. Looks at the tree, because what could not be
/// read is there all the same.
fn word<'n>(
    node: &'n Node,
    key: &str,
    more: &[&str],
    checker: &mut Checker<'_>,
) -> Option<&'n str> {
    let is_kind = |entry: &&Entry| {
        let key = entry.key.as_str();
        !entry.value.is_null() && (KINDS.contains(&key) || more.contains(&key))
    };
    let what = if key == "health" { "a health check" } else { "\"ready\"" };
    let given: Vec<&Entry> = node.entries().iter().filter(is_kind).collect();
    match given.as_slice() {
        [] => {
            let known = |entry: &Entry| {
                suggest::key_paths().contains(&format!("services.*.{key}.{}", entry.key))
            };
            // A key that nobody knows was meant to be it.
            if node.entries().iter().all(known) {
                let more = if key == "health" { &USAGE_KINDS[..] } else { &READY_KINDS[..1] };
                let kinds = KINDS.iter().chain(more).copied();
                let message = format!("{what} does not say what is looked at");
                let hint = format!("add one of {}", suggest::one_of(kinds));
                checker.problems.error(Problem::at(node.span, message).hint(hint));
            }
            None
        }
        [one] => Some(&one.key),
        [first, second, ..] => {
            let message = format!("both \"{}\" and \"{}\" in {what}", first.key, second.key);
            let hint = if key == "health" { "make it two checks" } else { "keep one of them" };
            checker.problems.error(Problem::at(second.key_span, message).hint(hint));
            None
        }
    }
}

/// Keys that have a meaning with one kind only.
fn only_with(node: &Node, word: &str, checker: &mut Checker<'_>) {
    for (key, with) in [
        ("config", &["plugin"] as &[&str]),
        ("required", &["plugin"]),
        ("ca_file", &["http"]),
        ("expect", &["http"]),
        ("for", &USAGE_KINDS),
    ] {
        let Some(entry) = node.entry(key) else { continue };
        if !with.contains(&word) && !entry.value.is_null() {
            let with = with.join("\" or \"");
            let message = format!("\"{key}\" without \"{with}\"");
            let hint = format!("\"{word}\" takes none; take it out");
            checker.problems.error(Problem::at(entry.key_span, message).hint(hint));
        }
    }
}

/// What is looked at; `word` is the key that says so.
fn kind(word: &str, raw: Raw<'_>, node: &Node, checker: &mut Checker<'_>) -> Option<CheckKind> {
    let Raw { http, tcp, unix, command, uses, ca_file, expect } = raw;
    let probe = match word {
        "http" => {
            let (expect_status, expect_body) = expected(expect, node, checker);
            let ca_file = ca_file.and_then(|path| checker.path(node, "ca_file", path));
            let url = target::url(http?, node, "http", checker)?;
            if let Some(path) = &ca_file {
                ca_file_oddities(path, &url, node, checker);
            }
            Some(Probe::Http { url, expect_status, expect_body, ca_file })
        }
        "tcp" => {
            let address = target::address(tcp?, node, "tcp", checker)?;
            Some(Probe::Tcp { address })
        }
        "unix" => {
            let path = checker.path(node, "unix", unix?)?;
            if path.as_os_str().len() > MAX_SOCKET_PATH_BYTES {
                let shown = quoted(&path.to_string_lossy());
                let message = format!(
                    "the socket's path {shown} is longer than {MAX_SOCKET_PATH_BYTES} bytes"
                );
                checker.error(node, "unix", message, None);
            }
            Some(Probe::Unix { path })
        }
        "command" => {
            let argv = launch::argv(command?, node, "command", checker)?;
            Some(Probe::Command { argv })
        }
        "plugin" => match uses.plugin.and_then(|plugin| checker.own_check(plugin)) {
            Some(own) => return Some(CheckKind::Own(own)),
            None => return plugin::check_use(uses, node, checker).map(CheckKind::Plugin),
        },
        // "notify" and "log" are no checks.
        _ => None,
    };
    probe.map(CheckKind::BuiltIn)
}

/// The status codes and the body of a good answer.
fn expected(
    raw: Option<&RawExpect>,
    node: &Node,
    checker: &mut Checker<'_>,
) -> (Vec<(u16, u16)>, Option<Pattern>) {
    let status = |raw: Option<&RawStatus>| match raw {
        Some(RawStatus(ranges)) => ranges.clone(),
        None => vec![(200, 399)],
    };
    let Some(RawExpect { status: codes, body }) = raw else { return (status(None), None) };
    let body = body.as_ref().and_then(|text| target::pattern(text, node, "expect.body", checker));
    (status(codes.as_ref()), body)
}

fn ca_file_oddities(path: &std::path::Path, url: &str, node: &Node, checker: &mut Checker<'_>) {
    if !url.to_ascii_lowercase().starts_with("https:") {
        let message = "\"ca_file\" means nothing without https".to_owned();
        checker.warn(node, "ca_file", message, None);
    } else if !path.is_file() {
        let shown = quoted(&path.to_string_lossy());
        let what = if path.exists() { "is no regular file" } else { "does not exist yet" };
        checker.warn(node, "ca_file", format!("the ca_file {shown} {what}"), None);
    }
}
