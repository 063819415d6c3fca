//! What is known of the terminal.

use std::io::{IsTerminal as _, Write as _};

/// Nothing sensible fits into fewer columns.
const NARROWEST: usize = 20;

/// The width of standard output in columns; none when it is no terminal or its width is
/// not known. `COLUMNS` wins, as in other programs.
pub(super) fn width() -> Option<usize> {
    if !std::io::stdout().is_terminal() {
        return None;
    }
    let told = std::env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok());
    let asked =
        || terminal_size::terminal_size().map(|(terminal_size::Width(w), _)| usize::from(w));
    told.or_else(asked).filter(|columns| *columns > NARROWEST)
}

/// Whether the terminal says that it cannot move its cursor.
pub(super) fn is_dumb() -> bool {
    std::env::var_os("TERM").is_some_and(|term| term == "dumb")
}

/// One line on standard error that is written anew as things go on; nothing when that is
/// no terminal, or a dumb one.
pub(super) struct Progress {
    on: bool,
    shown: bool,
}

impl Progress {
    pub(super) fn new() -> Progress {
        Progress { on: std::io::stderr().is_terminal() && !is_dumb(), shown: false }
    }

    /// Whether anybody sees it.
    pub(super) fn is_seen(&self) -> bool {
        self.on
    }

    pub(super) fn show(&mut self, text: &str) {
        if self.on {
            let width = width().unwrap_or(80).saturating_sub(1);
            let text: String = text.chars().take(width).collect();
            self.shown = true;
            // It is decoration: if it cannot be shown, the work goes on.
            let _ = write!(std::io::stderr(), "\r\x1b[K{text}");
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.shown {
            let _ = write!(std::io::stderr(), "\r\x1b[K");
        }
    }
}
