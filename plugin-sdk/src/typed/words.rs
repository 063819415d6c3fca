//! What serde says, in words of a configuration file rather than of Rust.
//!
//! ```text
//! invalid type: string "x", expected u16  ──►  expected a whole number up to 65535, found "x"
//! ```
//!
//! The words on the left are those of the trait `serde::de::Error`; whatever is not among them
//! was said by an author's own type and stays as it is.

use crate::near::nearest;

/// The key of ``missing field `key` ``.
pub(super) fn missing(message: &str) -> Option<&str> {
    message.strip_prefix("missing field `")?.strip_suffix('`')
}

/// Whether it is about a key that should not be there.
pub(super) fn is_unknown_key(message: &str) -> bool {
    message.starts_with(UNKNOWN_KEY)
}

const UNKNOWN_KEY: &str = "unknown field `";
const UNKNOWN_WORD: &str = "unknown variant `";

/// The words one of which was wanted: of ``unknown variant `x`, expected `a` or `b` ``.
pub(super) fn wanted(message: &str) -> Vec<String> {
    let (_, wanted) = said(message, UNKNOWN_WORD).unwrap_or_default();
    names(wanted).into_iter().map(str::to_owned).collect()
}

/// Between what was found and what was expected.
const EXPECTED: &str = ", expected ";

/// What stands in backquotes.
fn names(text: &str) -> Vec<&str> {
    text.split('`').skip(1).step_by(2).collect()
}

/// `"a", "b"`
fn quoted(names: &[&str]) -> String {
    format!("\"{}\"", names.join("\", \""))
}

/// The message in words that users know.
pub(super) fn plain(message: &str) -> String {
    if let Some(field) = missing(message) {
        return format!("\"{field}\" is required");
    }
    if let Some(rest) = message.strip_prefix(UNKNOWN_KEY) {
        return unknown_key(rest);
    }
    if let Some((found, wanted)) = said(message, UNKNOWN_WORD) {
        let found = found.strip_suffix('`').unwrap_or(found);
        return format!("expected one of {}, found \"{found}\"", quoted(&names(wanted)));
    }
    let wrong = said(message, "invalid type: ").or_else(|| said(message, "invalid value: "));
    if let Some((found, wanted)) = wrong {
        return format!("expected {}, found {}", thing(wanted), value(found));
    }
    if let Some((found, wanted)) = said(message, "invalid length ") {
        return format!("expected {}, found {found} items", thing(wanted));
    }
    message.to_owned()
}

/// What was found and what was expected, where the message begins so.
fn said<'a>(message: &'a str, beginning: &str) -> Option<(&'a str, &'a str)> {
    message.strip_prefix(beginning)?.rsplit_once(EXPECTED)
}

/// Of ``key`, expected one of `a`, `b` ``.
fn unknown_key(rest: &str) -> String {
    // A key may be anything, even these words.
    let (key, keys) = rest.rsplit_once(EXPECTED).unwrap_or((rest, ""));
    let key = key.strip_suffix("`, there are no fields").unwrap_or(key);
    let key = key.strip_suffix('`').unwrap_or(key);
    let keys = names(keys);
    match nearest(key, &keys) {
        Some(near) => format!("unknown key \"{key}\"; did you mean \"{near}\"?"),
        None if keys.is_empty() => format!("unknown key \"{key}\"; there are no keys"),
        None => format!("unknown key \"{key}\"; the keys are {}", quoted(&keys)),
    }
}

/// What was expected.
fn thing(wanted: &str) -> &str {
    match wanted {
        "u8" => "a whole number up to 255",
        "u16" => "a whole number up to 65535",
        "u32" | "u64" | "usize" => "a whole number from 0",
        "i8" | "i16" | "i32" | "i64" | "isize" => "a whole number",
        "f32" | "f64" => "a number",
        "a boolean" => "true or false",
        "a string" => "a text",
        "a sequence" => "a list",
        "a map" => "a mapping",
        "string or map" => "a word or a mapping",
        other if other.starts_with("struct ") => "a mapping",
        other => other,
    }
}

/// What was found.
fn value(found: &str) -> &str {
    for noun in ["integer ", "floating point ", "boolean "] {
        if let Some(value) = found.strip_prefix(noun) {
            return value.trim_matches('`');
        }
    }
    match found {
        "null" | "unit value" => "nothing",
        "sequence" => "a list",
        "map" => "a mapping",
        other => other.strip_prefix("string ").unwrap_or(other),
    }
}
