//! From what the server said to how it is.

use kennel_plugin::prelude::*;

use crate::config::{Config, Role, Wrong};
use crate::message::Failure;
use crate::talk::{Facts, Found};

/// How the server is.
pub fn judge(config: &Config, found: &Found) -> Verdict {
    let facts = match found {
        Found::AsksWhoWeAre => {
            return Verdict::healthy("accepts connections and asks who we are");
        }
        Found::Answers(facts) => facts,
    };
    with_samples(judge_facts(config, facts), facts)
}

fn judge_facts(config: &Config, facts: &Facts) -> Verdict {
    let mut concerns = Vec::new();
    let wrong_role = match (config.role, facts.primary) {
        (Role::Primary, Some(false)) => Some("is a standby, not the primary"),
        (Role::Standby, Some(true)) => Some("is a primary, not a standby"),
        (Role::Primary | Role::Standby, None) => Some("does not say which role it has"),
        (Role::Any, _) | (Role::Primary, Some(true)) | (Role::Standby, Some(false)) => None,
    };
    if let Some(what) = wrong_role {
        match config.on_wrong_role {
            Wrong::Unhealthy => return Verdict::unhealthy(what),
            Wrong::Degraded => concerns.push(what.to_owned()),
        }
    }
    if let (Some(max), Some(lag_s)) = (config.max_lag, facts.lag_s)
        && lag_s > max.as_secs_f64()
    {
        concerns.push(format!("is {lag_s:.1} s behind its primary"));
    }
    if concerns.is_empty() {
        let role = match facts.primary {
            Some(true) => "; primary",
            Some(false) => "; standby",
            None => "",
        };
        return Verdict::healthy(format!("accepts connections and answers{role}"));
    }
    Verdict::degraded(concerns.join("; "))
}

fn with_samples(mut verdict: Verdict, facts: &Facts) -> Verdict {
    let primary = facts.primary.map(|primary| f64::from(u8::from(primary)));
    let standbys = facts.standbys.filter(|_| facts.primary != Some(false));
    for (name, value, unit) in [
        ("primary", primary, ""),
        ("connections", facts.connections, ""),
        ("connections_max", facts.connections_max, ""),
        ("standbys", standbys, ""),
        ("lag", facts.lag_s, "s"),
    ] {
        if let Some(value) = value {
            verdict = verdict.sample(name, value, unit);
        }
    }
    verdict
}

/// What it means that the server does not let us in.
pub fn judge_login_failure(config: &Config, failure: &Failure) -> CheckError {
    if let Some(verdict) = judge_state(failure) {
        return verdict.into();
    }
    let (user, database, said) = (config.user(), config.database(), line(failure));
    CheckError::not_made(match failure.code.as_str() {
        "28P01" | "28000" => format!("cannot log in as \"{user}\": {said}"),
        "3D000" => format!("there is no database \"{database}\": {said}"),
        "42501" => format!("\"{user}\" may not connect to \"{database}\": {said}"),
        _ => return Verdict::unhealthy(format!("refuses the connection: {said}")).into(),
    })
}

/// What it means that the server does not answer a question.
pub fn judge_query_failure(failure: &Failure) -> CheckError {
    let verdict = judge_state(failure).unwrap_or_else(|| {
        let said = line(failure);
        match failure.code.as_str() {
            "57014" => Verdict::late(format!("has given up on the query: {said}")),
            _ => Verdict::unhealthy(format!("answers the query with an error: {said}")),
        }
    });
    verdict.into()
}

/// A server that lives, and says why it does not serve.
fn judge_state(failure: &Failure) -> Option<Verdict> {
    let said = line(failure);
    let no_process = failure.code.is_empty() && failure.message.contains("could not fork");
    Some(match failure.code.as_str() {
        // "the database system is starting up", "… is shutting down", "… in recovery mode"
        "57P03" | "57P01" | "57P02" => Verdict::degraded(said).not_ready(),
        "53300" => {
            Verdict::degraded(format!("has no room for another connection: {said}")).not_ready()
        }
        code if code.starts_with("53") || no_process => {
            Verdict::degraded(format!("is short of something: {said}")).not_ready()
        }
        _ => return None,
    })
}

/// What it said, in one line, with the code that one can look up.
fn line(failure: &Failure) -> String {
    let message = failure.message.lines().next().unwrap_or_default();
    if failure.code.is_empty() {
        return message.to_owned();
    }
    format!("{message} ({})", failure.code)
}
