//! Signals by number and name, `signal(7)`.

use std::fmt;

/// A signal number, as on Linux for x86 and Arm (`signal(7)`).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Signal(i32);

/// Number and name of every standard signal.
const NAMES: [(i32, &str); 31] = [
    (1, "SIGHUP"),
    (2, "SIGINT"),
    (3, "SIGQUIT"),
    (4, "SIGILL"),
    (5, "SIGTRAP"),
    (6, "SIGABRT"),
    (7, "SIGBUS"),
    (8, "SIGFPE"),
    (9, "SIGKILL"),
    (10, "SIGUSR1"),
    (11, "SIGSEGV"),
    (12, "SIGUSR2"),
    (13, "SIGPIPE"),
    (14, "SIGALRM"),
    (15, "SIGTERM"),
    (16, "SIGSTKFLT"),
    (17, "SIGCHLD"),
    (18, "SIGCONT"),
    (19, "SIGSTOP"),
    (20, "SIGTSTP"),
    (21, "SIGTTIN"),
    (22, "SIGTTOU"),
    (23, "SIGURG"),
    (24, "SIGXCPU"),
    (25, "SIGXFSZ"),
    (26, "SIGVTALRM"),
    (27, "SIGPROF"),
    (28, "SIGWINCH"),
    (29, "SIGIO"),
    (30, "SIGPWR"),
    (31, "SIGSYS"),
];

/// The highest signal number on Linux, SIGRTMAX.
const MAX: i32 = 64;
/// The first real-time signal that programs may use: the C library keeps two for itself.
const RTMIN: i32 = 34;

impl Signal {
    /// SIGKILL: cannot be caught.
    pub const KILL: Signal = Signal(9);
    /// SIGTERM: the polite request to end.
    pub const TERM: Signal = Signal(15);
    /// SIGCONT: continues a stopped process.
    pub const CONT: Signal = Signal(18);
    /// SIGHUP: by custom, "read your configuration again".
    pub const HUP: Signal = Signal(1);
    /// SIGABRT: end with a core dump.
    pub const ABRT: Signal = Signal(6);

    /// The signal of this number; none when there is no such signal.
    pub const fn from_number(number: i32) -> Option<Signal> {
        if number >= 1 && number <= MAX { Some(Signal(number)) } else { None }
    }

    /// The number that the system calls take.
    pub const fn number(self) -> i32 {
        self.0
    }

    /// The signal that `text` names: `SIGTERM`, `TERM`, `term`, `15`, `SIGRTMIN+3`.
    pub fn parse(text: &str) -> Option<Signal> {
        if let Ok(number) = text.parse::<i32>() {
            return Signal::from_number(number);
        }
        let upper = text.to_ascii_uppercase();
        let short = upper.strip_prefix("SIG").unwrap_or(&upper);
        if let Some(plus) = short.strip_prefix("RTMIN") {
            let offset = if plus.is_empty() { 0 } else { plus.strip_prefix('+')?.parse().ok()? };
            return Signal::from_number(RTMIN.checked_add(offset)?);
        }
        if let Some(minus) = short.strip_prefix("RTMAX") {
            let offset =
                if minus.is_empty() { 0 } else { minus.strip_prefix('-')?.parse().ok()? };
            return Signal::from_number(MAX.checked_sub(offset)?).filter(|s| s.0 >= RTMIN);
        }
        let alias = match short {
            "POLL" => "IO",
            "IOT" => "ABRT",
            "CLD" => "CHLD",
            other => other,
        };
        NAMES.iter().find(|(_, name)| &name[3..] == alias).map(|(number, _)| Signal(*number))
    }

    /// The names that [`Signal::parse`] knows, for hints.
    pub fn names() -> impl Iterator<Item = &'static str> {
        NAMES.iter().map(|(_, name)| *name)
    }
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match NAMES.iter().find(|(number, _)| *number == self.0) {
            Some((_, name)) => f.write_str(name),
            None if self.0 == RTMIN => f.write_str("SIGRTMIN"),
            None if self.0 > RTMIN => write!(f, "SIGRTMIN+{}", self.0 - RTMIN),
            None => write!(f, "signal {}", self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Signal;

    #[test]
    fn a_signal_is_found_by_any_of_its_names_and_shown_by_one() {
        for (text, shown) in [
            ("SIGTERM", "SIGTERM"),
            ("term", "SIGTERM"),
            ("9", "SIGKILL"),
            ("SIGRTMIN", "SIGRTMIN"),
            ("RTMIN+3", "SIGRTMIN+3"),
            ("SIGRTMAX", "SIGRTMIN+30"),
            ("SIGPOLL", "SIGIO"),
        ] {
            assert_eq!(Signal::parse(text).map(|s| s.to_string()).as_deref(), Some(shown));
        }
    }

    #[test]
    fn what_is_no_signal_is_refused() {
        for text in ["", "SIG", "SIGFOO", "0", "65", "-1", "RTMIN+99", "RTMAX-60", "RTMIN3"] {
            assert_eq!(Signal::parse(text), None, "{text}");
        }
    }
}
