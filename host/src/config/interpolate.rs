//! `${VAR}`, `${VAR:-default}` and `$$` in the values of a file.
//!
//! The variables are an argument, never this process's environment. A `$` before
//! anything else stays: regular expressions end in one, and a `shell:` may say `$HOME`.
//! So in a `shell:` line `${X}` is Kennel's, replaced when the file is read, and `$X`
//! and `$${X}` are the shell's. Keys are never replaced. An unset variable without a
//! default is an error at its place: an empty word in a command line is found too late.

use std::collections::HashMap;

use super::source::{Problem, Problems, Sources, Span, quoted};
use super::tree::{Entry, Kind, Node};

/// How deep defaults may hold variables themselves.
const MAX_NESTING: usize = 8;
/// How long one value may become.
const MAX_VALUE_BYTES: usize = 1 << 20;
/// How much all values of a file together may grow.
const MAX_ADDED_BYTES: usize = 16 << 20;

/// Replaces the variables in all values of `root`.
pub(super) fn interpolate(
    root: &mut Node,
    vars: &HashMap<String, String>,
    sources: &Sources,
    problems: &mut Problems,
) {
    let mut budget = MAX_ADDED_BYTES;
    visit(root, vars, sources, problems, &mut budget);
}

fn visit(
    node: &mut Node,
    vars: &HashMap<String, String>,
    sources: &Sources,
    problems: &mut Problems,
    budget: &mut usize,
) {
    match &mut node.kind {
        Kind::Scalar(scalar) if scalar.text.contains('$') => {
            let before = scalar.text.len();
            match expand(&scalar.text, vars) {
                Ok(text) => match budget.checked_sub(text.len().saturating_sub(before)) {
                    Some(left) => {
                        *budget = left;
                        scalar.text = text;
                    }
                    None => {
                        problems.error(Problem::at(node.span, "the variables' values are too long"))
                    }
                },
                Err(fault) => problems.error(fault.at(node.span, sources)),
            }
        }
        Kind::Scalar(_) => {}
        Kind::Sequence(items) => {
            for item in items {
                visit(item, vars, sources, problems, budget);
            }
        }
        Kind::Mapping(entries) => {
            for Entry { value, .. } in entries {
                visit(value, vars, sources, problems, budget);
            }
        }
    }
}

/// What is wrong with one `${…}`.
#[derive(PartialEq, Eq, Debug)]
struct Fault {
    /// From the `$` on, to find it in the line.
    expression: String,
    message: String,
    hint: String,
}

impl Fault {
    /// At the expression itself where it stands on the value's first line as it is.
    fn at(self, span: Span, sources: &Sources) -> Problem {
        let line = sources.line(span.file, span.line);
        let before = (span.column as usize).saturating_sub(1);
        let rest: String = line.chars().skip(before).collect();
        let span = match rest.find(&self.expression) {
            Some(at) => {
                let chars = rest[..at].chars().count();
                let small = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
                Span {
                    column: small(before + chars + 1),
                    len: small(self.expression.chars().count()),
                    ..span
                }
            }
            None => span,
        };
        Problem::at(span, self.message).hint(self.hint)
    }
}

/// `text` with its variables replaced.
fn expand(text: &str, vars: &HashMap<String, String>) -> Result<String, Fault> {
    expand_nested(text, vars, 0)
}

fn expand_nested(
    text: &str,
    vars: &HashMap<String, String>,
    nesting: usize,
) -> Result<String, Fault> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        if let Some(after) = rest.strip_prefix("$$") {
            out.push('$');
            rest = after;
        } else if rest.starts_with("${") {
            let Some(end) = closing_brace(rest) else {
                return Err(Fault {
                    expression: "${".to_owned(),
                    message: "\"${\" is never closed".to_owned(),
                    hint: "a \"}\" is missing; write $$ for a dollar sign".to_owned(),
                });
            };
            let expression = &rest[..=end];
            out.push_str(&lookup(expression, vars, nesting)?);
            rest = &rest[end + 1..];
        } else {
            out.push('$');
            rest = &rest[1..];
        }
        if out.len() > MAX_VALUE_BYTES {
            return Err(Fault {
                expression: String::new(),
                message: "the value with its variables is too long".to_owned(),
                hint: "at most 1 MiB".to_owned(),
            });
        }
    }
    out.push_str(rest);
    Ok(out)
}

/// The `}` that belongs to the `${` that `text` starts with.
fn closing_brace(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    let mut depth = 0usize;
    let mut at = 0;
    while at < bytes.len() {
        match bytes[at] {
            b'$' if bytes.get(at + 1) == Some(&b'$') => at += 1,
            b'$' if bytes.get(at + 1) == Some(&b'{') => {
                depth += 1;
                at += 1;
            }
            b'}' => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    return Some(at);
                }
            }
            _ => {}
        }
        at += 1;
    }
    None
}

/// The value of `${VAR}` or `${VAR:-default}`. As in the shell, the default also stands
/// in for a variable that is set and empty.
fn lookup(
    expression: &str,
    vars: &HashMap<String, String>,
    nesting: usize,
) -> Result<String, Fault> {
    let inner = &expression[2..expression.len() - 1];
    let name_len =
        inner.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(inner.len());
    let (name, rest) = inner.split_at(name_len);
    let default = rest.strip_prefix(":-");
    let odd = name.is_empty()
        || name.starts_with(|c: char| c.is_ascii_digit())
        || (default.is_none() && !rest.is_empty())
        || nesting >= MAX_NESTING;
    if odd {
        return Err(Fault {
            expression: expression.to_owned(),
            message: format!("cannot read {}", quoted(expression)),
            hint: "write ${NAME} or ${NAME:-default}; $${…} leaves it to a shell".to_owned(),
        });
    }
    match (vars.get(name), default) {
        (Some(value), _) if !value.is_empty() => Ok(value.clone()),
        (_, Some(default)) => expand_nested(default, vars, nesting + 1),
        (Some(value), None) => Ok(value.clone()),
        (None, None) => Err(Fault {
            expression: expression.to_owned(),
            message: format!("the environment variable \"{name}\" is not set"),
            hint: format!(
                "set it, give a default with ${{{name}:-default}}, or write $${{{name}}} to leave it to a shell"
            ),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vars() -> HashMap<String, String> {
        [("A", "1"), ("EMPTY", ""), ("MONEY", "$A ${A}")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into()
    }

    #[test]
    fn variables_defaults_and_dollar_signs_are_replaced_once() {
        for (text, expected) in [
            ("x${A}y", "x1y"),
            ("${A}${A}", "11"),
            ("${EMPTY}", ""),
            ("${EMPTY:-d}", "d"),
            ("${NO:-}", ""),
            ("${NO:-a b:c}", "a b:c"),
            ("${NO:-${A}}", "1"),
            ("${NO:-${ALSO_NO:-x}}}", "x}"),
            ("$$", "$"),
            ("$$$$", "$$"),
            ("$${A}", "${A}"),
            ("$HOME $1 a$", "$HOME $1 a$"),
            ("^ok$", "^ok$"),
            ("${MONEY}", "$A ${A}"),
            ("ü${A}ü", "ü1ü"),
        ] {
            assert_eq!(expand(text, &vars()).as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_cannot_be_replaced_is_told() {
        for (text, message) in [
            ("${NO}", "the environment variable \"NO\" is not set"),
            ("a ${A", "\"${\" is never closed"),
            ("${}", "cannot read \"${}\""),
            ("${1}", "cannot read \"${1}\""),
            ("${A:?x}", "cannot read \"${A:?x}\""),
            ("${A b}", "cannot read \"${A b}\""),
            ("${NO:-${NO}}", "the environment variable \"NO\" is not set"),
        ] {
            assert_eq!(expand(text, &vars()).unwrap_err().message, message, "{text}");
        }
    }

    #[test]
    fn nesting_has_an_end() {
        let text = "${X:-".repeat(20_000) + &"}".repeat(20_000);
        assert!(expand(&text, &vars()).is_err());
    }
}
