//! Colour, where it is wanted.

use std::fmt::Display;
use std::io::IsTerminal;

use crate::api::wire::{Health, State};

/// Paints text, or leaves it alone.
#[derive(Clone, Copy, Debug)]
pub(super) struct Paint {
    on: bool,
}

/// A colour by its ANSI code.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Colour {
    Red,
    Green,
    Yellow,
    Blue,
    Magenta,
    Cyan,
    Bold,
    Dim,
}

impl Colour {
    /// Colours that tell services apart.
    pub(super) const APART: [Colour; 5] =
        [Colour::Cyan, Colour::Yellow, Colour::Green, Colour::Magenta, Colour::Blue];

    fn code(self) -> u8 {
        match self {
            Colour::Red => 31,
            Colour::Green => 32,
            Colour::Yellow => 33,
            Colour::Blue => 34,
            Colour::Magenta => 35,
            Colour::Cyan => 36,
            Colour::Bold => 1,
            Colour::Dim => 2,
        }
    }
}

impl Paint {
    /// For standard output.
    pub(super) fn stdout() -> Paint {
        Paint { on: std::io::stdout().is_terminal() && is_wanted() }
    }

    /// For a place that takes no colour.
    #[cfg(test)]
    pub(super) fn never() -> Paint {
        Paint { on: false }
    }

    pub(super) fn paint(self, colour: Colour, text: impl Display) -> String {
        if self.on { format!("\x1b[{}m{text}\x1b[0m", colour.code()) } else { text.to_string() }
    }

    pub(super) fn state(self, state: State, text: impl Display) -> String {
        let colour = match state {
            State::Up | State::Done => Colour::Green,
            State::Failed => Colour::Red,
            State::Waiting | State::Starting | State::Stopping | State::Backoff => Colour::Yellow,
            State::Down => Colour::Dim,
        };
        self.paint(colour, text)
    }

    pub(super) fn health(self, health: Health, text: impl Display) -> String {
        match health {
            Health::Unknown => text.to_string(),
            Health::Healthy => self.paint(Colour::Green, text),
            Health::Degraded => self.paint(Colour::Yellow, text),
            Health::Unhealthy => self.paint(Colour::Red, text),
        }
    }
}

/// See no-color.org; a terminal that is called dumb shows the codes as text.
fn is_wanted() -> bool {
    let set = |name| std::env::var_os(name).filter(|value| !value.is_empty());
    set("NO_COLOR").is_none() && set("TERM").is_none_or(|term| term != "dumb")
}
