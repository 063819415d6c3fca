//! Files of environment variables.
//!
//! `NAME=value` per line; blank lines and lines that start with `#` are skipped, and a
//! leading `export ` too, so that a shell can read the same file. A value without quotes
//! ends at ` #`; in single quotes everything counts as it is; in double quotes `\n`,
//! `\t`, `\"` and `\\` are read. Nothing is replaced: what stands in the file is what the
//! service gets, whatever the supervisor's own environment is.

use std::collections::BTreeMap;

use super::source::{FileId, Problem, Problems, Sources, Span, quoted};

/// The variables of a file that is in `sources`; of several of a name the last.
pub(super) fn parse(
    file: FileId,
    sources: &Sources,
    problems: &mut Problems,
) -> BTreeMap<String, String> {
    let mut variables = BTreeMap::new();
    for (index, line) in sources.text(file).lines().enumerate() {
        match variable(line) {
            Ok(Some((name, value))) => {
                variables.insert(name, value);
            }
            Ok(None) => {}
            Err((message, hint)) => {
                let small = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
                let indent = line.chars().take_while(|c| c.is_whitespace()).count();
                let span = Span {
                    file,
                    line: small(index + 1),
                    column: small(indent + 1),
                    len: small(line.trim().chars().count()),
                };
                problems.error(Problem::at(span, message).hint(hint));
            }
        }
    }
    variables
}

/// Whether a variable may have that name: `execve(2)` takes any without `=`, and a NUL
/// ends it.
pub(super) fn is_name(name: &str) -> bool {
    !name.is_empty() && !name.contains(['=', '\0'])
}

/// Reads `text` as such a file; whether it is one. For fuzzing.
pub(crate) fn try_env_file(text: &str) -> bool {
    let mut sources = Sources::default();
    let file = sources.add("env".into(), "/nowhere".into(), text.to_owned());
    let mut problems = Problems::default();
    let variables = parse(file, &sources, &mut problems);
    assert!(variables.keys().all(|name| is_name(name)));
    !problems.has_errors()
}

fn variable(line: &str) -> Result<Option<(String, String)>, (String, &'static str)> {
    const SHAPE: &str = "write NAME=value";
    let line = line.trim();
    if line.is_empty() || line.starts_with('#') {
        return Ok(None);
    }
    let line = line.strip_prefix("export ").unwrap_or(line);
    let Some((name, value)) = line.split_once('=') else {
        return Err(("a line without \"=\" in an env file".to_owned(), SHAPE));
    };
    let name = name.trim_end();
    if !is_name(name) || name.contains(char::is_whitespace) {
        return Err((format!("{} cannot be the name of a variable", quoted(name)), SHAPE));
    }
    let value = unquote(value.trim_start()).map_err(|why| (why.to_owned(), SHAPE))?;
    if value.contains('\0') {
        return Err(("a value with a NUL byte".to_owned(), SHAPE));
    }
    Ok(Some((name.to_owned(), value)))
}

fn unquote(value: &str) -> Result<String, &'static str> {
    let (text, rest) = if let Some(inner) = value.strip_prefix('\'') {
        let (text, rest) = inner.split_once('\'').ok_or("a quote that is never closed")?;
        (text.to_owned(), rest)
    } else if let Some(inner) = value.strip_prefix('"') {
        double_quoted(inner)?
    } else {
        let end = if value.starts_with('#') { Some(0) } else { value.find(" #") };
        (value[..end.unwrap_or(value.len())].trim_end().to_owned(), "")
    };
    let rest = rest.trim_start();
    if rest.is_empty() || rest.starts_with('#') {
        Ok(text)
    } else {
        Err("something follows the closing quote")
    }
}

fn double_quoted(inner: &str) -> Result<(String, &str), &'static str> {
    let mut text = String::new();
    let mut chars = inner.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Ok((text, &inner[at + 1..])),
            '\\' => match chars.next() {
                Some((_, 'n')) => text.push('\n'),
                Some((_, 't')) => text.push('\t'),
                Some((_, c @ ('"' | '\\' | '$'))) => text.push(c),
                Some((_, c)) => text.extend(['\\', c]),
                None => break,
            },
            c => text.push(c),
        }
    }
    Err("a quote that is never closed")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read_as_documented() {
        for (line, expected) in [
            ("", None),
            ("  # A=1", None),
            ("A=1", Some(("A", "1"))),
            ("export A = 1 # one", Some(("A", "1"))),
            ("A=", Some(("A", ""))),
            ("A=b#c", Some(("A", "b#c"))),
            ("A=$B ${C}", Some(("A", "$B ${C}"))),
            ("A='x \" # $y' # z", Some(("A", "x \" # $y"))),
            (r#"A="x\n\"y\"\d""#, Some(("A", "x\n\"y\"\\d"))),
            ("A=b=c", Some(("A", "b=c"))),
        ] {
            let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
            assert_eq!(variable(line), Ok(expected), "{line}");
        }
        for line in ["A", "=1", "A B=1", "A='x", "A=\"x", "A=\"x\" y", "A=\"x\\"] {
            assert!(variable(line).is_err(), "{line}");
        }
    }
}
