//! What stands under `config:`.

use kennel_plugin::prelude::*;
use kennel_plugin::{OneOrMany, Text};

use crate::ending::Endings;
use crate::{ExitCodes, Rule};

/// A table from the end of a run to what follows.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The first rule that matches decides.
    #[serde(default)]
    rules: Vec<RawRule>,
    /// What follows when none does.
    #[serde(default)]
    otherwise: RawThen,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawRule {
    exit: Option<OneOrMany<Text>>,
    signal: Option<OneOrMany<Text>>,
    cause: Option<OneOrMany<Text>>,
    then: Option<String>,
    restart_after: Option<Period>,
    give_up: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawThen {
    then: Option<String>,
    restart_after: Option<Period>,
    give_up: Option<String>,
}

/// What follows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Then {
    /// What the built-in policy does.
    Default,
    RestartAfter(Duration),
    /// With words for people, where there are some.
    GiveUp(Option<String>),
}

/// Longest reason that is kept.
const REASON_MAX: usize = 200;

impl Config {
    pub(crate) fn check(self) -> Result<ExitCodes, Problems> {
        let Config { rules: raw, otherwise } = self;
        let mut problems = Problems::new();
        let mut rules: Vec<Rule> = Vec::new();
        let mut covered = Endings::default();
        for (index, rule) in raw.into_iter().enumerate() {
            let path = format!("rules[{index}]");
            let Some(rule) = read_rule(&path, rule, &mut problems) else { continue };
            if covered.cover(&rule.endings) {
                problems.add(path, "is never reached: the rules above it take all that it matches");
            }
            covered.add_what_is_meant(&rule.endings);
            rules.push(rule);
        }
        let otherwise = read_then("otherwise", otherwise, Some(Then::Default), &mut problems);
        if rules.is_empty() && problems.is_empty() {
            problems.add("rules", "no rule: write { exit: 78, give_up: \"wrong configuration\" }");
        }
        problems.into_result()?;
        Ok(ExitCodes { rules, otherwise: otherwise.unwrap_or(Then::Default) })
    }
}

fn read_rule(path: &str, raw: RawRule, problems: &mut Problems) -> Option<Rule> {
    let RawRule { exit, signal, cause, then, restart_after, give_up } = raw;
    let before = problems.len();
    let named = [exit.is_some(), signal.is_some(), cause.is_some()];
    match named.into_iter().filter(|named| *named).count() {
        0 => problems.add(path, "exit, signal or cause has to say what it is for"),
        1 => {}
        _ => {
            problems.add(path, "exit, signal and cause exclude each other: write one rule for each")
        }
    }
    let mut endings = Endings::default();
    let mut read = |key: &str, texts: Option<OneOrMany<Text>>, add: Add| {
        let Some(texts) = texts else { return };
        let path = format!("{path}.{key}");
        problems.require(!texts.is_empty(), &path, "is empty");
        for text in texts.iter() {
            problems.take(&path, add(&mut endings, text));
        }
    };
    read("exit", exit, Endings::add_exits);
    read("signal", signal, Endings::add_signals);
    read("cause", cause, Endings::add_causes);
    let then = read_then(path, RawThen { then, restart_after, give_up }, None, problems);
    then.filter(|_| problems.len() == before).map(|then| Rule { endings, then })
}

/// Adds what a text names.
type Add = fn(&mut Endings, &str) -> Result<(), String>;

/// What follows, of which there is exactly one; `absent` where nothing is written.
fn read_then(
    path: &str,
    raw: RawThen,
    absent: Option<Then>,
    problems: &mut Problems,
) -> Option<Then> {
    match raw {
        RawThen { then: Some(word), restart_after: None, give_up: None } => match word.as_str() {
            "restart" | "default" => Some(Then::Default),
            "restart_now" => Some(Then::RestartAfter(Duration::ZERO)),
            "give_up" => Some(Then::GiveUp(None)),
            other => {
                problems.add(
                    format!("{path}.then"),
                    format!("\"{other}\" is not restart, restart_now or give_up"),
                );
                None
            }
        },
        RawThen { then: None, restart_after: Some(delay), give_up: None } => {
            Some(Then::RestartAfter(delay.0))
        }
        RawThen { then: None, restart_after: None, give_up: Some(mut reason) } => {
            reason.truncate(reason.floor_char_boundary(REASON_MAX));
            Some(Then::GiveUp(Some(reason).filter(|reason| !reason.trim().is_empty())))
        }
        RawThen { then: None, restart_after: None, give_up: None } => {
            if absent.is_none() {
                problems.add(path, "then, restart_after or give_up has to say what follows");
            }
            absent
        }
        RawThen { then: _, restart_after: _, give_up: _ } => {
            problems.add(path, "then, restart_after and give_up exclude each other: write one");
            None
        }
    }
}
