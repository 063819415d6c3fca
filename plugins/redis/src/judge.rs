//! From what the server said to how it is.

use kennel_plugin::excerpt;
use kennel_plugin::prelude::*;

use crate::config::{Config, Role, Wrong};
use crate::info::Info;
use crate::resp::Answer;
use crate::talk::Said;

/// How the server is.
pub fn judge(config: &Config, said: Said) -> Result<Verdict, CheckError> {
    let mut concerns = Vec::new();
    if let Some(Answer::Error(error)) = &said.auth {
        if !asks_for_no_password(error) {
            return judge_error("AUTH", error);
        }
        concerns.push("it has no password, but one is configured here".to_owned());
    }
    let text = match &said.info {
        Some(Answer::Text(Some(text))) => String::from_utf8_lossy(text),
        Some(Answer::Text(None) | Answer::Simple(_) | Answer::Number(_) | Answer::Error(_))
        | None => "".into(),
    };
    let info = Info::new(&text);
    match &said.ping {
        Some(Answer::Simple(pong)) if pong == "PONG" => {}
        Some(Answer::Error(error)) if error.starts_with("LOADING") => {
            return Ok(loading(&info));
        }
        Some(Answer::Error(error)) => return judge_error("PING", error),
        Some(other) => {
            return Ok(Verdict::unhealthy(format!("answers PING with {}", shown(other))));
        }
        None => return Err(said.trouble.unwrap_or_else(closed)),
    }
    match (&said.info, said.trouble) {
        (Some(Answer::Error(error)), _) if config.needs_info() => {
            return Err(CheckError::not_made(format!(
                "the user may not ask for INFO, which \"role\", \"max_lag\" and \
                 \"min_replicas\" need: {error}"
            )));
        }
        (Some(_), _) => {}
        (None, Some(trouble)) => return Err(trouble),
        (None, None) if config.needs_info() => return Err(closed()),
        (None, None) => {}
    }
    if info.is_set("loading") || info.is_set("async_loading") {
        return Ok(loading(&info));
    }
    Ok(with_samples(judge_info(config, &info, concerns), &info))
}

fn closed() -> CheckError {
    Verdict::unhealthy("closes the connection without an answer").into()
}

/// What redis before 6, 6 and later say to `AUTH` where there is no password.
fn asks_for_no_password(error: &str) -> bool {
    error.contains("without any password configured") || error.contains("no password is set")
}

/// What an error says of a server that lives, and of one that does not do its work.
fn judge_error(command: &str, error: &str) -> Result<Verdict, CheckError> {
    let word = error.split(' ').next().unwrap_or_default();
    let unsaid = |advice: &str| Err(CheckError::not_made(format!("{advice}: {error}")));
    let degraded = |what: &str| Verdict::degraded(format!("{what}: {error}"));
    match word {
        "LOADING" => Ok(degraded("is loading its data").not_ready()),
        "MASTERDOWN" => Ok(degraded("has lost its primary and serves nothing old").not_ready()),
        "BUSY" => Ok(degraded("is held up by a script")),
        "MISCONF" => Ok(degraded("cannot save its data and takes no writes")),
        "NOAUTH" => unsaid("wants a password, set \"password\""),
        "WRONGPASS" => unsaid("does not take this username and password"),
        "NOPERM" => unsaid("the user may not do this, see ACL SETUSER"),
        "DENIED" => unsaid("is in protected mode and takes nobody from here"),
        "ERR" if error.contains("max number of clients") => {
            Ok(degraded("has no room for another client").not_ready())
        }
        "ERR" if command == "AUTH" => unsaid("cannot log in"),
        _ => Ok(Verdict::unhealthy(format!("answers {command} with an error: {error}"))),
    }
}

fn loading(info: &Info<'_>) -> Verdict {
    let mut reason = "is loading its data".to_owned();
    let percent = info.number("loading_loaded_perc");
    if let Some(percent) = percent {
        reason += &format!(": {} % are there", whole(percent));
        if let Some(seconds) = info.number("loading_eta_seconds").filter(|eta| *eta >= 0.0) {
            reason += &format!(", about {} s left", whole(seconds));
        }
    }
    let verdict = Verdict::degraded(reason).not_ready();
    match percent {
        Some(percent) => verdict.sample("loaded", percent, "%"),
        None => verdict,
    }
}

fn judge_info(config: &Config, info: &Info<'_>, mut concerns: Vec<String>) -> Verdict {
    let primary = info.is_primary();
    let wrong_role = match (config.role, primary) {
        (Role::Primary, Some(false)) => Some("is a replica, not the primary"),
        (Role::Replica, Some(true)) => Some("is a primary, not a replica"),
        (Role::Primary | Role::Replica, None) => Some("does not say which role it has"),
        (Role::Any, _) | (Role::Primary, Some(true)) | (Role::Replica, Some(false)) => None,
    };
    if let Some(what) = wrong_role {
        match config.on_wrong_role {
            Wrong::Unhealthy => return Verdict::unhealthy(what),
            Wrong::Degraded => concerns.insert(0, what.to_owned()),
        }
    }
    let mut ready = true;
    match primary {
        Some(true) => concerns.extend(too_few_replicas(config, info)),
        Some(false) => {
            ready = !info.is_set("master_sync_in_progress");
            concerns.extend(broken_link(config, info));
        }
        None => {}
    }
    concerns.extend(unsaved(info));
    concerns.extend(full(info));
    if concerns.is_empty() {
        return Verdict::healthy(healthy_reason(info));
    }
    let verdict = Verdict::degraded(concerns.join("; "));
    if ready { verdict } else { verdict.not_ready() }
}

fn healthy_reason(info: &Info<'_>) -> String {
    match info.is_primary() {
        Some(true) => match info.number("connected_slaves") {
            Some(1.0) => "PONG; primary of 1 replica".to_owned(),
            Some(replicas) if replicas > 1.0 => {
                format!("PONG; primary of {} replicas", whole(replicas))
            }
            Some(_) | None => "PONG; primary".to_owned(),
        },
        Some(false) => format!("PONG; replica of {}", info.primary()),
        None => "PONG".to_owned(),
    }
}

fn too_few_replicas(config: &Config, info: &Info<'_>) -> Option<String> {
    let replicas = info.number("connected_slaves").unwrap_or(0.0);
    let wanted = config.min_replicas;
    (replicas < f64::from(wanted)).then(|| format!("has {} of {wanted} replicas", whole(replicas)))
}

/// What is wrong between a replica and its primary.
fn broken_link(config: &Config, info: &Info<'_>) -> Option<String> {
    let primary = info.primary();
    if info.is_set("master_sync_in_progress") {
        return Some(format!("is copying all data of its primary {primary}"));
    }
    if info.text("master_link_status") == Some("down") {
        let since = info.number("master_link_down_since_seconds").filter(|since| *since >= 0.0);
        let since = since.map(|since| format!(" since {} s", whole(since))).unwrap_or_default();
        return Some(format!("has no link to its primary {primary}{since}"));
    }
    let max = config.max_lag?;
    let silent = info.number("master_last_io_seconds_ago")?;
    (silent > max.as_secs_f64())
        .then(|| format!("has heard nothing of its primary {primary} for {} s", whole(silent)))
}

/// What could not be saved to disk.
fn unsaved(info: &Info<'_>) -> Vec<String> {
    [
        ("rdb_last_bgsave_status", "its last background save failed"),
        ("aof_last_write_status", "its last write to the append-only file failed"),
        ("aof_last_bgrewrite_status", "its last rewrite of the append-only file failed"),
    ]
    .into_iter()
    .filter(|(key, _)| info.text(key) == Some("err"))
    .map(|(_, concern)| concern.to_owned())
    .collect()
}

/// Whether it has to refuse writes for want of memory.
fn full(info: &Info<'_>) -> Option<String> {
    let (used, max) = (info.number("used_memory")?, info.number("maxmemory")?);
    let refuses = info.text("maxmemory_policy") == Some("noeviction");
    (refuses && max > 0.0 && used >= max)
        .then(|| "its memory is full, and it may evict nothing: writes are refused".to_owned())
}

fn with_samples(mut verdict: Verdict, info: &Info<'_>) -> Verdict {
    let Some(primary) = info.is_primary() else { return verdict };
    verdict = verdict.sample("primary", f64::from(u8::from(primary)), "");
    for (key, name, unit) in [
        ("connected_clients", "clients", ""),
        ("blocked_clients", "blocked_clients", ""),
        ("used_memory", "memory", "bytes"),
        ("maxmemory", "memory_limit", "bytes"),
        ("instantaneous_ops_per_sec", "commands_per_second", ""),
        ("evicted_keys", "evicted_keys", ""),
    ] {
        if let Some(value) = info.number(key) {
            verdict = verdict.sample(name, value, unit);
        }
    }
    verdict = verdict.sample("keys", info.keys(), "");
    if primary {
        if let Some(replicas) = info.number("connected_slaves") {
            verdict = verdict.sample("replicas", replicas, "");
        }
        return verdict;
    }
    let up = info.text("master_link_status") == Some("up");
    verdict = verdict.sample("link_up", f64::from(u8::from(up)), "");
    match info.number("master_last_io_seconds_ago").filter(|lag| *lag >= 0.0) {
        Some(lag) => verdict.sample("lag", lag, "s"),
        None => verdict,
    }
}

/// A count, for people.
fn whole(number: f64) -> u64 {
    number as u64
}

fn shown(answer: &Answer) -> String {
    match answer {
        Answer::Simple(text) => format!("\"{}\"", excerpt(text, 40, [])),
        Answer::Error(text) => format!("the error \"{}\"", excerpt(text, 80, [])),
        Answer::Number(number) => number.to_string(),
        Answer::Text(_) => "a string".to_owned(),
    }
}
