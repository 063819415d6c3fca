//! What a check looks at: checked values, as plain data.

use std::fmt;
use std::path::PathBuf;

use super::usage::{Resource, UsageLimit};
use crate::config::PluginUse;
use crate::own::OwnCheck;

/// What a check looks at.
#[derive(Clone, PartialEq, Debug)]
pub enum CheckKind {
    /// The supervisor looks by itself.
    BuiltIn(Probe),
    /// What the service uses is compared with a limit.
    Usage(UsageLimit),
    /// A plugin is asked.
    Plugin(PluginUse),
    /// Code of the program is asked.
    Own(OwnCheck),
}

/// What a built-in check looks at.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Probe {
    /// A URL is asked with GET.
    Http {
        /// The URL, `http` or `https`, with a host.
        url: String,
        /// Status codes of a good answer, as ranges with both ends; never empty.
        expect_status: Vec<(u16, u16)>,
        /// What the body of a good answer matches; none: any body is good.
        expect_body: Option<Pattern>,
        /// Certificate authorities in PEM that are trusted beside the system's; absolute.
        ca_file: Option<PathBuf>,
    },
    /// An address `host:port` accepts a connection.
    Tcp {
        /// The address; an IPv6 one stands in brackets.
        address: String,
    },
    /// A Unix socket accepts a connection.
    Unix {
        /// Its path, absolute.
        path: PathBuf,
    },
    /// A command exits with 0.
    Command {
        /// Program and arguments; never empty. A program with a slash in it is absolute.
        argv: Vec<String>,
    },
}

impl CheckKind {
    /// The key it stands under in the configuration.
    pub fn word(&self) -> &'static str {
        match self {
            CheckKind::BuiltIn(Probe::Http { .. }) => "http",
            CheckKind::BuiltIn(Probe::Tcp { .. }) => "tcp",
            CheckKind::BuiltIn(Probe::Unix { .. }) => "unix",
            CheckKind::BuiltIn(Probe::Command { .. }) => "command",
            CheckKind::Usage(UsageLimit { resource: Resource::Memory { .. }, .. }) => "memory_max",
            CheckKind::Usage(UsageLimit { resource: Resource::Cpu { .. }, .. }) => "cpu_max",
            CheckKind::Plugin(_) => "plugin",
            CheckKind::Own(_) => "own",
        }
    }
}

/// A regular expression over bytes: output and answers need not be UTF-8. Two are equal
/// when they are written alike.
#[derive(Clone)]
pub struct Pattern(regex::bytes::Regex);

/// Why a text is no regular expression.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("cannot read the regular expression: {reason}")]
pub struct PatternError {
    /// What is wrong.
    pub reason: String,
    /// Where, in bytes of the text; none when it is the whole.
    pub at: Option<std::ops::Range<usize>>,
}

impl Pattern {
    /// Reads a regular expression.
    ///
    /// # Errors
    /// The text is none, or one that would take too much memory.
    pub fn new(text: &str) -> Result<Pattern, PatternError> {
        // This parser tells places, which the compiler's error has in a drawing only.
        let parsed = regex_syntax::ParserBuilder::new().utf8(false).build().parse(text);
        if let Err(error) = parsed {
            return Err(match &error {
                regex_syntax::Error::Parse(error) => PatternError::at(error.kind(), error.span()),
                regex_syntax::Error::Translate(error) => {
                    PatternError::at(error.kind(), error.span())
                }
                // The enum is the parser's and may grow.
                other => PatternError { reason: other.to_string(), at: None },
            });
        }
        match regex::bytes::Regex::new(text) {
            Ok(regex) => Ok(Pattern(regex)),
            Err(regex::Error::CompiledTooBig(_)) => {
                let reason = "it takes too much memory; repeat less".to_owned();
                Err(PatternError { reason, at: None })
            }
            Err(error) => Err(PatternError { reason: error.to_string(), at: None }),
        }
    }

    /// As it was written.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// Whether it matches anywhere in `bytes`.
    pub fn is_match(&self, bytes: &[u8]) -> bool {
        self.0.is_match(bytes)
    }
}

impl PatternError {
    fn at(reason: impl fmt::Display, span: &regex_syntax::ast::Span) -> PatternError {
        let at = span.start.offset..span.end.offset;
        PatternError { reason: reason.to_string(), at: Some(at) }
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Pattern) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for Pattern {}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pattern({:?})", self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_looks_at_bytes_and_a_wrong_one_says_where() {
        let ready = Pattern::new("ready( to|$)").unwrap();
        assert!(ready.is_match(b"\xff ready to accept"));
        assert!(!ready.is_match(b"already not"));
        assert_eq!(ready, Pattern::new("ready( to|$)").unwrap());
        for (text, reason, at) in [
            ("a(b", "unclosed group", Some(1..2)),
            ("a**(", "unclosed group", Some(3..4)),
            ("*a", "repetition operator missing expression", Some(0..0)),
            (r"a\p{Nope}", "Unicode property not found", Some(1..9)),
            ("((((a{500}){500}){500}){9})", "it takes too much memory; repeat less", None),
        ] {
            let error = Pattern::new(text).unwrap_err();
            assert_eq!((error.reason.as_str(), error.at), (reason, at), "{text}");
        }
    }
}
