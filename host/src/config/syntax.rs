//! Syntax errors of YAML in words that help.

use serde_yaml::granit_parser::{ErrorKind, Marker, ScanError};

use super::source::{FileId, Problem, Sources, Span};

/// A piece of a line as the parser tells it.
pub(super) fn span(file: FileId, start: &Marker, len: usize) -> Span {
    Span { file, line: small(start.line().max(1)), column: small(start.col() + 1), len: small(len) }
}

fn small(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

/// What is wrong where the parser gave up.
pub(super) fn problem(error: &ScanError, file: FileId, sources: &Sources) -> Problem {
    let at = span(file, error.marker(), 1);
    let line = sources.line(file, at.line);
    let indent = line.chars().take_while(|c| c.is_whitespace());
    if let Some(tab) = indent.clone().position(|c| c == '\t') {
        let at = Span { column: small(tab + 1), ..at };
        return Problem::at(at, "the line is indented with a tab").hint("use spaces");
    }
    // At the end of the file the last line with something on it tells more.
    let ended = sources.text(file).lines().count() < at.line as usize;
    let at = if ended { last_line(at, sources) } else { at };
    let (message, hint) = explain(error.kind());
    let message = match message {
        Some(message) => message.to_owned(),
        None => format!("cannot read the file as YAML: {}", error.kind()),
    };
    Problem::at(at, message).maybe_hint(hint.map(str::to_owned))
}

fn last_line(at: Span, sources: &Sources) -> Span {
    let text = sources.text(at.file);
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    let Some((index, line)) = lines.last() else { return at };
    Span { line: small(index + 1), column: small(line.chars().count().max(1)), ..at }
}

/// Our words for the mistakes that people make; for the others none.
fn explain(kind: &ErrorKind) -> (Option<&'static str>, Option<&'static str>) {
    match kind {
        ErrorKind::UnclosedQuotedScalar
        | ErrorKind::InvalidQuotedScalarIndent
        | ErrorKind::DocumentIndicatorInQuotedScalar => (
            Some("a quote is not closed"),
            Some("close it; the lines of a longer text have to be indented"),
        ),
        ErrorKind::InvalidTrailingSingleQuotedScalar
        | ErrorKind::InvalidTrailingDoubleQuotedScalar => (
            Some("something follows the closing quote"),
            Some("between items a comma is missing; a text is quoted as a whole or not at all"),
        ),
        ErrorKind::UnclosedFlowCollection { open: '[' } | ErrorKind::UnexpectedEofFlowSequence => {
            (Some("the list is never closed"), Some("a \"]\" is missing"))
        }
        ErrorKind::UnclosedFlowCollection { .. }
        | ErrorKind::UnexpectedEofFlowMapping
        | ErrorKind::UnexpectedEofImplicitFlowMapping => {
            (Some("the mapping is never closed"), Some("a \"}\" is missing"))
        }
        ErrorKind::ExpectedFlowSequenceSeparator => {
            (Some("the list goes on without a comma"), Some("expected \",\" or \"]\""))
        }
        ErrorKind::ExpectedFlowMappingSeparator => {
            (Some("the mapping goes on without a comma"), Some("expected \",\" or \"}\""))
        }
        ErrorKind::UnknownAnchor => (
            Some("nothing has the name that this alias stands for"),
            Some("quote a text that starts with \"*\""),
        ),
        ErrorKind::DirectiveDisallowed => {
            (Some("directives are not understood"), Some("leave out the line that starts with %"))
        }
        ErrorKind::RecursionLimitExceeded => (Some("nested more than 32 levels deep"), None),
        ErrorKind::UnknownQuotedScalarEscape => (
            Some("unknown escape in double quotes"),
            Some("write \\\\ for a backslash, or use single quotes"),
        ),
        ErrorKind::SimpleKeyExpected
        | ErrorKind::InvalidSimpleKey
        | ErrorKind::ExpectedBlockMappingKey => (
            Some("a key with its \":\" was expected here"),
            Some("look at the indentation: keys of one mapping stand in one column"),
        ),
        ErrorKind::InvalidIndentation
        | ErrorKind::MappingKeyNotAllowed
        | ErrorKind::MappingValueNotAllowed
        | ErrorKind::InvalidColonPlacement => {
            (None, Some("look at the indentation, and quote a text that has \": \" in it"))
        }
        ErrorKind::UnexpectedCharacter { .. } => {
            (None, Some("quote a text that starts with a special character"))
        }
        // The enum is the parser's and may grow.
        _ => (None, None),
    }
}
