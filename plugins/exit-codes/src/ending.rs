//! How a run ended, and sets of such endings.

use std::fmt;

use kennel_core::Signal;
use kennel_plugin::Cause;

use crate::sysexits;

/// The causes that a rule can name; `exit` comes first.
const CAUSES: [&str; 8] = [
    "exit",
    "signal",
    "start-failed",
    "not-ready",
    "unhealthy",
    "unknown",
    "watchdog",
    "out-of-memory",
];

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

/// A set of endings: 256 exit codes, then the signals, then the causes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Endings([u64; 6]);

const SIGNALS: usize = 256;
const KINDS: usize = SIGNALS + 65;

impl Endings {
    fn insert(&mut self, bit: usize) {
        let Endings(words) = self;
        words[bit / 64] |= 1 << (bit % 64);
    }

    fn has(&self, bit: usize) -> bool {
        let Endings(words) = self;
        words[bit / 64] & 1 << (bit % 64) != 0
    }

    pub(crate) fn contain(&self, ending: &Ending<'_>) -> bool {
        let Ending { cause, exit_code, signal } = ending;
        let below = |number: &Option<i32>, end: usize| {
            number.and_then(|number| usize::try_from(number).ok()).filter(|number| *number < end)
        };
        below(exit_code, SIGNALS).is_some_and(|code| self.has(code))
            || below(signal, KINDS - SIGNALS).is_some_and(|signal| self.has(SIGNALS + signal))
            || kind(cause).is_some_and(|kind| self.has(KINDS + kind))
    }

    /// Whether every ending of `other` is in here too.
    pub(crate) fn cover(&self, other: &Endings) -> bool {
        self.0.iter().zip(&other.0).all(|(ours, theirs)| theirs & !ours == 0)
    }

    pub(crate) fn add(&mut self, other: &Endings) {
        for (ours, theirs) in self.0.iter_mut().zip(&other.0) {
            *ours |= theirs;
        }
    }

    /// The cause `exit` is every exit code there is.
    pub(crate) fn add_what_is_meant(&mut self, other: &Endings) {
        self.add(other);
        if self.has(KINDS) {
            (0..SIGNALS).for_each(|code| self.insert(code));
        }
    }

    /// Adds what `text` names: `3`, `64-78`, `EX_TEMPFAIL`.
    pub(crate) fn add_exits(&mut self, text: &str) -> Result<(), String> {
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        match (exit_code(first), exit_code(last)) {
            (Some(first), Some(last)) if first > last => {
                Err(format!("the range \"{text}\" ends before it begins"))
            }
            (Some(first), Some(last)) => {
                (first..=last).for_each(|code| self.insert(usize::from(code)));
                Ok(())
            }
            (Some(_) | None, Some(_) | None) => Err(format!("\"{text}\" is no exit code: {}", {
                if text.starts_with("EX_") {
                    format!("the names are {}", sysexits::NAMES.map(|(_, name)| name).join(", "))
                } else {
                    EXIT_HINT.to_owned()
                }
            })),
        }
    }

    /// Adds what `text` names: `SIGKILL`, `kill`, `9`, `SIGRTMIN+3`.
    pub(crate) fn add_signals(&mut self, text: &str) -> Result<(), String> {
        let signal = Signal::parse(text.trim()).ok_or_else(|| {
            format!("\"{text}\" is no signal: write a name such as SIGKILL, or its number")
        })?;
        self.insert(SIGNALS + signal.number().unsigned_abs() as usize);
        Ok(())
    }

    /// Adds what `text` names: `unhealthy`, `not-ready`; `_` is as good as `-`.
    pub(crate) fn add_causes(&mut self, text: &str) -> Result<(), String> {
        let cause = kind(&text.trim().replace('_', "-")).ok_or_else(|| {
            format!("\"{text}\" is no cause: the causes are {}", CAUSES.join(", "))
        })?;
        self.insert(KINDS + cause);
        Ok(())
    }
}

const EXIT_HINT: &str =
    "write a number from 0 to 255, a range such as 64-78, or a name such as EX_TEMPFAIL";

fn exit_code(text: &str) -> Option<u8> {
    let text = text.trim();
    let number = text.parse::<u8>().ok().filter(|_| !text.starts_with('+'));
    number.or_else(|| sysexits::code(text))
}

fn kind(cause: &str) -> Option<usize> {
    CAUSES.iter().position(|known| *known == cause)
}
