//! How a run ended, and sets of such endings.

use std::collections::BTreeSet;
use std::fmt;

use kennel_core::Signal;
use kennel_plugin::Cause;

use crate::sysexits;

/// The causes that a rule can name.
pub(crate) const CAUSES: [&str; 7] =
    ["exit", "signal", "out-of-memory", "start-failed", "not-ready", "unhealthy", "watchdog"];

/// After these it was the supervisor that ended the run, if there was one: with which code
/// or signal says nothing of the service.
const ENDED_BY_THE_SUPERVISOR: [&str; 4] = ["start-failed", "not-ready", "unhealthy", "watchdog"];

/// How a run ended.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ending<'a> {
    cause: &'a str,
    exit_code: Option<i32>,
    signal: Option<i32>,
}

impl<'a> Ending<'a> {
    pub(crate) fn of(cause: &'a Cause) -> Ending<'a> {
        let by_itself = !ENDED_BY_THE_SUPERVISOR.contains(&cause.kind.as_str());
        Ending {
            cause: &cause.kind,
            exit_code: cause.exit_code.filter(|_| by_itself),
            signal: cause.signal.filter(|_| by_itself),
        }
    }
}

impl fmt::Display for Ending<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(code) = self.exit_code {
            write!(f, "exit code {code}")?;
            if let Some(name) = sysexits::name(code) {
                write!(f, " ({name})")?;
            }
            return Ok(());
        }
        match self.signal {
            Some(number) => match Signal::from_number(number) {
                Some(signal) if self.cause == "signal" => write!(f, "{signal}"),
                Some(signal) => write!(f, "{}, {signal}", Shown(self.cause)),
                None => write!(f, "signal {number}"),
            },
            None => write!(f, "{}", Shown(self.cause)),
        }
    }
}

/// A kind of cause, of which there may be new ones, as words.
struct Shown<'a>(&'a str);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Shown(kind) = self;
        if kind.is_empty() {
            return f.write_str("an end without a cause");
        }
        for part in kind.chars().take(40) {
            write!(f, "{}", if part == '-' || part.is_control() { ' ' } else { part })?;
        }
        Ok(())
    }
}

/// Endings that one rule is for. One of the sets has entries.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Endings {
    pub(crate) exits: BTreeSet<u8>,
    pub(crate) signals: BTreeSet<i32>,
    pub(crate) causes: BTreeSet<&'static str>,
}

impl Endings {
    pub(crate) fn contain(&self, ending: &Ending<'_>) -> bool {
        let Ending { cause, exit_code, signal } = ending;
        let exits = exit_code.and_then(|code| u8::try_from(code).ok());
        exits.is_some_and(|code| self.exits.contains(&code))
            || signal.is_some_and(|signal| self.signals.contains(&signal))
            || self.causes.contains(cause)
    }

    /// Whether every ending of `other` is in here too.
    pub(crate) fn cover(&self, other: &Endings) -> bool {
        let exits = self.causes.contains("exit") || other.exits.is_subset(&self.exits);
        exits && other.signals.is_subset(&self.signals) && other.causes.is_subset(&self.causes)
    }

    pub(crate) fn add(&mut self, other: &Endings) {
        self.exits.extend(&other.exits);
        self.signals.extend(&other.signals);
        self.causes.extend(&other.causes);
    }
}

/// Adds what `text` names: `3`, `64-78`, `EX_TEMPFAIL`.
pub(crate) fn add_exits(text: &str, to: &mut BTreeSet<u8>) -> Result<(), String> {
    let fault = || {
        let hint = if text.starts_with("EX_") {
            let names: Vec<_> = sysexits::names().collect();
            format!("the names are {}", names.join(", "))
        } else {
            "write a number from 0 to 255, a range such as 64-78, or a name such as EX_TEMPFAIL"
                .to_owned()
        };
        format!("\"{text}\" is no exit code: {hint}")
    };
    let code = |text: &str| {
        let text = text.trim();
        let number = text.parse::<u8>().ok().filter(|_| !text.starts_with('+'));
        number.or_else(|| sysexits::code(text)).ok_or_else(fault)
    };
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let (first, last) = (code(first)?, code(last)?);
    if first > last {
        return Err(format!("the range \"{text}\" ends before it begins"));
    }
    to.extend(first..=last);
    Ok(())
}

/// Adds what `text` names: `SIGKILL`, `kill`, `9`, `SIGRTMIN+3`.
pub(crate) fn add_signals(text: &str, to: &mut BTreeSet<i32>) -> Result<(), String> {
    let signal = Signal::parse(text.trim()).ok_or_else(|| {
        format!("\"{text}\" is no signal: write a name such as SIGKILL, or its number")
    })?;
    to.insert(signal.number());
    Ok(())
}

/// Adds what `text` names: `unhealthy`, `not-ready`; `_` is as good as `-`.
pub(crate) fn add_causes(text: &str, to: &mut BTreeSet<&'static str>) -> Result<(), String> {
    let wanted = text.trim().replace('_', "-");
    let cause = CAUSES
        .iter()
        .find(|cause| **cause == wanted)
        .ok_or_else(|| format!("\"{text}\" is no cause: the causes are {}", CAUSES.join(", ")))?;
    to.insert(cause);
    Ok(())
}
