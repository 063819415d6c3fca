//! The words for an `errno(3)` value, in the grammar of our messages.

use std::fmt;

use nix::errno::Errno;

/// Why the kernel refused, as `errno(3)`; displays as `permission denied`, without the
/// capital letter and the number that [`std::io::Error`] adds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cause(pub Errno);

impl Cause {
    /// The number in `error`, or `EIO` when it did not come from the operating system.
    #[must_use]
    pub fn from_io(error: &std::io::Error) -> Self {
        Self(error.raw_os_error().map_or(Errno::EIO, Errno::from_raw))
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.0.desc();
        let mut letters = text.chars();
        match (letters.next(), letters.next()) {
            // "I/O error" keeps its capital, "Permission denied" does not.
            (Some(first), Some(second)) if second.is_lowercase() => {
                write!(f, "{}{}", first.to_ascii_lowercase(), &text[first.len_utf8()..])
            }
            _ => f.write_str(text),
        }
    }
}

impl std::error::Error for Cause {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_reads_as_the_end_of_a_sentence() {
        assert_eq!(Cause(Errno::EACCES).to_string(), "permission denied");
        assert_eq!(Cause(Errno::EIO).to_string(), "I/O error");
    }
}
