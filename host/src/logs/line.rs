//! The format of a line on disk: the one of the Kubernetes container runtime interface.
//!
//! ```text
//! 2026-11-21T02:45:02.123456789Z stdout F text
//! └──────────── 30 bytes ──────┘ stream │ └ bytes up to the newline, as the service wrote them
//!                                       └ F: the line ends here; P: a piece, more may follow
//! ```
//!
//! A line longer than [`PIECE_MAX`] is cut in `P` pieces, the last one tagged `F`. What a
//! service leaves without a newline when it closes the stream, and what it leaves without
//! one for a second (a prompt), is a `P` piece too. Everything here is bytes: a service may
//! write what is not UTF-8.
//!
//! Without timestamps the text stands alone, and a piece looks like a line.

use std::io::BufRead as _;

use jiff::Timestamp;
use jiff::tz::TimeZone;

/// The longest text of one record, in bytes. A longer line becomes several pieces.
pub const PIECE_MAX: usize = 16 * 1024;

/// Bytes of a time stamp: nanoseconds, always with all digits, always UTC.
pub const STAMP_LEN: usize = 30;

/// Where a line came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Stream {
    /// The service's standard output.
    Stdout,
    /// The service's standard error.
    Stderr,
    /// A note of the supervisor in the service's log.
    Kennel,
}

impl Stream {
    /// All streams, in the order of `Stream::index`.
    pub const ALL: [Stream; 3] = [Stream::Stdout, Stream::Stderr, Stream::Kennel];

    /// The word in the log file.
    pub fn name(self) -> &'static str {
        match self {
            Stream::Stdout => "stdout",
            Stream::Stderr => "stderr",
            Stream::Kennel => "kennel",
        }
    }

    /// The place of this stream in an array with one element for each.
    pub(crate) fn index(self) -> usize {
        match self {
            Stream::Stdout => 0,
            Stream::Stderr => 1,
            Stream::Kennel => 2,
        }
    }

    /// What stands between time stamp and text.
    fn tag(self, ending: Ending) -> &'static [u8] {
        match (self, ending) {
            (Stream::Stdout, Ending::Full) => b" stdout F ",
            (Stream::Stdout, Ending::Piece) => b" stdout P ",
            (Stream::Stderr, Ending::Full) => b" stderr F ",
            (Stream::Stderr, Ending::Piece) => b" stderr P ",
            (Stream::Kennel, Ending::Full) => b" kennel F ",
            (Stream::Kennel, Ending::Piece) => b" kennel P ",
        }
    }
}

/// Whether a record ends its line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// A newline stood here (`F`).
    Full,
    /// No newline stood here (`P`).
    Piece,
}

/// One record as read back from disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parsed<'a> {
    /// When it was read from the service.
    pub at: Timestamp,
    /// Where it came from.
    pub stream: Stream,
    /// Whether its line ends with it.
    pub ending: Ending,
    /// What the service wrote.
    pub text: &'a [u8],
}

/// Takes a record apart; `line` comes without its newline. `None` when it is not in the
/// format with time stamps: then all of it is text.
pub fn parse(line: &[u8]) -> Option<Parsed<'_>> {
    let (ending, stream) = parse_tag(line)?;
    let stamp = std::str::from_utf8(&line[..STAMP_LEN]).ok()?;
    Some(Parsed { at: stamp.parse().ok()?, stream, ending, text: &line[STAMP_LEN + 10..] })
}

/// Only the part of [`parse`] that tells whether a line ends here; for counting lines.
pub(crate) fn parse_tag(line: &[u8]) -> Option<(Ending, Stream)> {
    let tag = line.get(STAMP_LEN..STAMP_LEN + 10)?;
    if line[STAMP_LEN - 1] != b'Z' || line[10] != b'T' {
        return None;
    }
    Stream::ALL.into_iter().find_map(|stream| {
        [Ending::Full, Ending::Piece]
            .into_iter()
            .find(|ending| stream.tag(*ending) == tag)
            .map(|ending| (ending, stream))
    })
}

/// Appends one record, newline included, to `out`. The text is `head` followed by `tail`.
pub(crate) fn push_record(
    out: &mut Vec<u8>,
    stamp: &[u8; STAMP_LEN],
    stream: Stream,
    ending: Ending,
    head: &[u8],
    tail: &[u8],
) {
    out.extend_from_slice(stamp);
    out.extend_from_slice(stream.tag(ending));
    push_text(out, head, tail);
}

/// Appends the bare text and a newline.
pub(crate) fn push_text(out: &mut Vec<u8>, head: &[u8], tail: &[u8]) {
    out.extend_from_slice(head);
    out.extend_from_slice(tail);
    out.push(b'\n');
}

/// The place of the first newline. `skip_until` is the standard library's door to the
/// vectorised search; a loop over bytes would be the most expensive part of capturing.
pub(crate) fn newline(bytes: &[u8]) -> Option<usize> {
    let mut rest = bytes;
    let passed = rest.skip_until(b'\n').unwrap_or(0);
    (passed > 0 && bytes[passed - 1] == b'\n').then(|| passed - 1)
}

/// Formats time stamps; the part down to the second is kept from one call to the next.
#[derive(Debug)]
pub(crate) struct Stamper {
    second: Option<i64>,
    text: [u8; STAMP_LEN],
}

impl Stamper {
    pub(crate) fn new() -> Self {
        Stamper { second: None, text: *b"0000-00-00T00:00:00.000000000Z" }
    }

    /// `at` in the form of the log file.
    pub(crate) fn stamp(&mut self, at: Timestamp) -> [u8; STAMP_LEN] {
        let second = at.as_second();
        if self.second != Some(second) {
            let civil = TimeZone::UTC.to_datetime(at);
            // A year before 0 cannot be written in four digits, and no clock shows one.
            let year = u32::from(civil.year().unsigned_abs());
            put(&mut self.text[0..4], year);
            put(&mut self.text[5..7], civil.month().unsigned_abs().into());
            put(&mut self.text[8..10], civil.day().unsigned_abs().into());
            put(&mut self.text[11..13], civil.hour().unsigned_abs().into());
            put(&mut self.text[14..16], civil.minute().unsigned_abs().into());
            put(&mut self.text[17..19], civil.second().unsigned_abs().into());
            self.second = Some(second);
        }
        put(&mut self.text[20..29], at.subsec_nanosecond().max(0).unsigned_abs());
        self.text
    }
}

/// Writes `value` in decimal into all of `digits`, with leading zeros.
fn put(digits: &mut [u8], mut value: u32) {
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + u8::try_from(value % 10).expect("a remainder of ten fits");
        value /= 10;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_reads_back_as_it_was_written_whatever_its_bytes() {
        let at: Timestamp = "2026-11-21T02:45:02.123456789Z".parse().unwrap();
        let mut stamper = Stamper::new();
        for stream in Stream::ALL {
            for ending in [Ending::Full, Ending::Piece] {
                for text in [&b""[..], b"text", b"\0\xff\xfe \r\t", b" F P "] {
                    let mut out = Vec::new();
                    push_record(&mut out, &stamper.stamp(at), stream, ending, text, b"!");
                    assert_eq!(out.pop(), Some(b'\n'));
                    let whole = [text, b"!"].concat();
                    assert_eq!(parse(&out), Some(Parsed { at, stream, ending, text: &whole }));
                }
            }
        }
    }

    #[test]
    fn a_stamp_has_all_its_digits_and_follows_the_clock_over_seconds() {
        let mut stamper = Stamper::new();
        for text in [
            "2026-11-21T02:45:02.000000001Z",
            "2026-11-21T02:45:02.100000000Z",
            "2026-11-21T02:45:03.000000000Z",
            "2024-02-29T23:59:59.999999999Z",
            "1970-01-01T00:00:00.000000000Z",
        ] {
            let at: Timestamp = text.parse().unwrap();
            assert_eq!(std::str::from_utf8(&stamper.stamp(at)).unwrap(), text);
        }
    }

    #[test]
    fn what_is_not_a_record_is_refused() {
        for line in [
            &b""[..],
            b"hello",
            b"2026-11-21T02:45:02.123456789Z stdout F",
            b"2026-11-21T02:45:02.123456789Z stdout X text",
            b"2026-11-21T02:45:02.123456789Z nowhere F text",
            b"2026-13-21T02:45:02.123456789Z stdout F text",
            b"2026-11-21T02:45:02.123456789+ stdout F text",
        ] {
            assert_eq!(parse(line), None, "{}", String::from_utf8_lossy(line));
        }
    }

    #[test]
    fn the_first_newline_is_found_or_there_is_none() {
        for (bytes, place) in [
            (&b""[..], None),
            (b"abc", None),
            (b"\n", Some(0)),
            (b"abc\ndef\n", Some(3)),
            (b"abc\n", Some(3)),
        ] {
            assert_eq!(newline(bytes), place);
        }
    }
}
