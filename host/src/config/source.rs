//! The files of a configuration, places in them, and the list of what is wrong.
//!
//! A [`Span`] is small and copied everywhere; the text it points into stands once in
//! [`Sources`]. Only when the list is handed out is a span turned into a shown line.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use super::error::{ConfigError, ConfigErrors, Place};

/// Errors beyond that many are counted, not shown.
const SHOWN_ERRORS: usize = 50;
/// Characters of a line that are shown at most.
const SHOWN_COLUMNS: usize = 120;

/// A file among the [`Sources`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(super) struct FileId(u32);

/// A piece of one line.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(super) struct Span {
    pub(super) file: FileId,
    /// From 1.
    pub(super) line: u32,
    /// In characters, from 1.
    pub(super) column: u32,
    /// In characters; may reach over the end of the line.
    pub(super) len: u32,
}

struct Source {
    /// As it is shown.
    name: PathBuf,
    /// The directory that relative paths in it start from; absolute.
    directory: PathBuf,
    text: String,
    /// Byte offsets of the line starts.
    lines: Vec<usize>,
}

/// The texts that spans point into.
#[derive(Default)]
pub(super) struct Sources(Vec<Source>);

impl Sources {
    /// Takes a file in.
    pub(super) fn add(&mut self, name: PathBuf, directory: PathBuf, text: String) -> FileId {
        let lines =
            std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
        self.0.push(Source { name, directory, text, lines });
        FileId(u32::try_from(self.0.len() - 1).expect("far fewer than 4 billion files are read"))
    }

    fn source(&self, file: FileId) -> &Source {
        &self.0[file.0 as usize]
    }

    /// The file's text.
    pub(super) fn text(&self, file: FileId) -> &str {
        &self.source(file).text
    }

    /// The directory that relative paths in the file start from; absolute.
    pub(super) fn directory(&self, file: FileId) -> &Path {
        &self.source(file).directory
    }

    /// `path` as meant by the file it stands in, without `.` parts.
    pub(super) fn resolve(&self, file: FileId, path: &str) -> PathBuf {
        // `components` drops every "." but a leading one, and `join` makes that inner.
        self.directory(file).join(path).components().collect()
    }

    /// A line's text without its end.
    pub(super) fn line(&self, file: FileId, line: u32) -> &str {
        let source = self.source(file);
        let index = (line as usize).saturating_sub(1);
        let Some(&start) = source.lines.get(index) else { return "" };
        let end = source.lines.get(index + 1).copied().unwrap_or(source.text.len());
        source.text[start..end].trim_end_matches(['\n', '\r'])
    }

    /// `services.yaml:3:5`, to name a second place in a message.
    pub(super) fn name(&self, span: Span) -> String {
        format!("{}:{}:{}", self.source(span.file).name.display(), span.line, span.column)
    }

    fn place(&self, span: Span) -> Place {
        let text = self.line(span.file, span.line);
        let column = (span.column as usize).saturating_sub(1);
        // The part of a long line that has the column in its first half.
        let skip = if text.chars().nth(SHOWN_COLUMNS).is_none() {
            0
        } else {
            column.saturating_sub(SHOWN_COLUMNS / 2)
        };
        let mut shown: String = text.chars().skip(skip).take(SHOWN_COLUMNS).map(harmless).collect();
        let mut caret = column - skip;
        if skip > 0 {
            shown.insert(0, '…');
            caret += 1;
        }
        if text.chars().nth(skip + SHOWN_COLUMNS).is_some() {
            shown.push('…');
        }
        let room = shown.trim_end().chars().count().saturating_sub(caret);
        Place {
            file: self.source(span.file).name.clone(),
            line: span.line as usize,
            column: span.column as usize,
            line_text: shown,
            caret,
            len: (span.len as usize).min(room).max(1),
        }
    }
}

/// One column wide, and nothing that a terminal acts on.
fn harmless(c: char) -> char {
    match c {
        '\t' => ' ',
        c if c.is_control() => '\u{fffd}',
        c => c,
    }
}

/// `text` in quotes, cut when long.
pub(super) fn quoted(text: &str) -> String {
    const SHOWN: usize = 60;
    if text.chars().nth(SHOWN).is_none() {
        format!("{text:?}")
    } else {
        let start: String = text.chars().take(SHOWN).collect();
        format!("{:?}", start + "…")
    }
}

/// One thing that is wrong, before its place is looked up.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Problem {
    pub(super) span: Option<Span>,
    pub(super) message: String,
    pub(super) hint: Option<String>,
}

impl Problem {
    pub(super) fn at(span: Span, message: impl Into<String>) -> Problem {
        Problem { span: Some(span), message: message.into(), hint: None }
    }

    pub(super) fn nowhere(message: impl Into<String>) -> Problem {
        Problem { span: None, message: message.into(), hint: None }
    }

    pub(super) fn hint(mut self, hint: impl Into<String>) -> Problem {
        self.hint = Some(hint.into());
        self
    }

    pub(super) fn maybe_hint(mut self, hint: Option<String>) -> Problem {
        self.hint = hint;
        self
    }

    /// With its place looked up.
    pub(super) fn shown(self, sources: &Sources) -> ConfigError {
        let Problem { span, message, hint } = self;
        ConfigError { at: span.map(|span| sources.place(span)), message, hint }
    }
}

/// What was found wrong so far. Of several errors at one place the first stays: what
/// follows is mostly its echo, and a mistake in `defaults:` shows in every service.
#[derive(Default)]
pub(super) struct Problems {
    errors: Vec<Problem>,
    warnings: Vec<Problem>,
    seen: HashSet<Span>,
}

impl Problems {
    pub(super) fn error(&mut self, problem: Problem) {
        if problem.span.is_none_or(|span| self.seen.insert(span)) {
            self.errors.push(problem);
        }
    }

    pub(super) fn warn(&mut self, problem: Problem) {
        if !self.warnings.contains(&problem) {
            self.warnings.push(problem);
        }
    }

    pub(super) fn has_errors(&self) -> bool {
        !self.errors.is_empty()
    }

    /// The warnings, or all errors.
    pub(super) fn finish(self, sources: &Sources) -> Result<Vec<ConfigError>, ConfigErrors> {
        let total = self.errors.len();
        if total == 0 {
            return Ok(shown(self.warnings, sources));
        }
        let errors = shown(self.errors, sources);
        Err(ConfigErrors { more: total - errors.len(), errors })
    }
}

fn shown(mut problems: Vec<Problem>, sources: &Sources) -> Vec<ConfigError> {
    problems.sort_by_key(|problem| problem.span);
    problems.truncate(SHOWN_ERRORS);
    problems.into_iter().map(|problem| problem.shown(sources)).collect()
}
