//! What is wrong with a configuration, in a shape that needs one look.
//!
//! ```text
//! services.yaml:7:5: unknown key "comand" in service "web"
//!    7 |     comand: ["nginx"]
//!      |     ^^^^^^
//!   hint: did you mean "command"?
//! ```

use std::fmt;
use std::path::PathBuf;

/// Where in which file something stands, with the line to show.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Place {
    /// The file, as the operator named it.
    pub file: PathBuf,
    /// The line, from 1.
    pub line: usize,
    /// The column in characters, from 1.
    pub column: usize,
    /// The line's text, or of a very long line the part around the column. Characters
    /// that a terminal would act on are replaced.
    pub line_text: String,
    /// Where in `line_text` the caret stands, in characters from 0.
    pub caret: usize,
    /// How many characters are meant; at least 1.
    pub len: usize,
}

/// One thing that is wrong, or of a warning: odd.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub struct ConfigError {
    /// The place; none when it has none, as of a file that is not there.
    pub at: Option<Place>,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
}

impl ConfigError {
    /// An error without a place.
    pub fn new(message: impl Into<String>) -> ConfigError {
        ConfigError { at: None, message: message.into(), hint: None }
    }

    /// The same with advice.
    pub fn hint(mut self, hint: impl Into<String>) -> ConfigError {
        self.hint = Some(hint.into());
        self
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.show(f, Lines::Shown)
    }
}

/// Whether the lines that errors stand in are shown with them.
#[derive(Clone, Copy)]
enum Lines {
    Shown,
    Hidden,
}

impl ConfigError {
    fn show(&self, f: &mut fmt::Formatter<'_>, lines: Lines) -> fmt::Result {
        if let Some(place) = &self.at {
            let Place { file, line, column, line_text, caret, len } = place;
            write!(f, "{}:{line}:{column}: {}", file.display(), self.message)?;
            if let Lines::Shown = lines {
                let number = line.to_string();
                let width = number.len().max(4);
                write!(f, "\n{number:>width$} | {line_text}\n")?;
                write!(f, "{:>width$} | {:caret$}{}", "", "", "^".repeat((*len).max(1)))?;
            }
        } else {
            f.write_str(&self.message)?;
        }
        if let Some(hint) = &self.hint {
            let mut lines = hint.lines();
            write!(f, "\n  hint: {}", lines.next().unwrap_or_default())?;
            for line in lines {
                write!(f, "\n        {line}")?;
            }
        }
        Ok(())
    }
}

/// Everything that is wrong with a configuration, in the order of the files and lines.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub struct ConfigErrors {
    /// The errors that are shown; never empty.
    pub errors: Vec<ConfigError>,
    /// How many more there are. More than a screenful helps nobody.
    pub more: usize,
}

impl ConfigErrors {
    /// How many things are wrong.
    pub fn count(&self) -> usize {
        self.errors.len() + self.more
    }
}

impl From<ConfigError> for ConfigErrors {
    fn from(error: ConfigError) -> ConfigErrors {
        ConfigErrors { errors: vec![error], more: 0 }
    }
}

impl ConfigErrors {
    /// The same without the lines that errors stand in: for logs and events, which are read
    /// by more people than the file is, and a line of it may hold a password.
    pub fn without_lines(&self) -> impl fmt::Display {
        fmt::from_fn(|f| self.show(f, Lines::Hidden))
    }
}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.show(f, Lines::Shown)
    }
}

impl ConfigErrors {
    fn show(&self, f: &mut fmt::Formatter<'_>, lines: Lines) -> fmt::Result {
        for (index, error) in self.errors.iter().enumerate() {
            if index > 0 {
                f.write_str("\n\n")?;
            }
            error.show(f, lines)?;
        }
        if self.more > 0 {
            write!(f, "\n\n{} errors, the first {} are shown", self.count(), self.errors.len())
        } else if self.errors.len() > 1 {
            write!(f, "\n\n{} errors", self.errors.len())
        } else {
            Ok(())
        }
    }
}
