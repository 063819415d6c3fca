//! A record, and its line on disk.
//!
//! ```text
//! 5f3a09c1 {"seq":1,"at":"2026-11-21T02:45:02.123456Z","kind":"service.started",…}
//! └ crc32 ┘ └──────────────── the JSON it is computed over ────────────────────┘
//! ```

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Bytes before the JSON: the checksum and a space.
const PREFIX: usize = 9;

/// A record larger than this on disk loses its attributes: one event must not push out all
/// others.
pub(super) const LINE_MAX: usize = 256 * 1024;

/// Longest message kept, in bytes; a bound for what goes around in memory too.
const MESSAGE_MAX: usize = 32 * 1024;

/// One event as it is kept. Its JSON has exactly these fields in this order.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// Its number; each is one more than the one before, over restarts too.
    pub seq: u64,
    /// When it was appended, in whole microseconds; RFC 3339 in JSON.
    #[serde(with = "rfc3339")]
    pub at: Timestamp,
    /// What happened, dotted: `service.started`.
    pub kind: String,
    /// Whom it happened to; `null` for the supervisor itself.
    pub service: Option<String>,
    /// One sentence for people.
    pub message: String,
    /// The same for programs.
    pub attributes: Map<String, Value>,
}

/// An event before it has a number and a time.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct NewRecord {
    /// What happened, dotted: `service.started`.
    pub kind: String,
    /// Whom it happened to.
    pub service: Option<String>,
    /// One sentence for people.
    pub message: String,
    /// The same for programs.
    pub attributes: Map<String, Value>,
}

impl NewRecord {
    /// The record with number and time. Times have whole microseconds, so that a record
    /// is the same in memory and on disk.
    pub(crate) fn into_record(self, seq: u64, now: Timestamp) -> Record {
        let NewRecord { kind, service, mut message, attributes } = self;
        if message.len() > MESSAGE_MAX {
            message.truncate(message.floor_char_boundary(MESSAGE_MAX));
            message.push('…');
        }
        let at = Timestamp::from_microsecond(now.as_microsecond()).unwrap_or(now);
        Record { seq, at, kind, service, message, attributes }
    }
}

/// Appends the line of `record` to `out`.
pub(crate) fn push_line(out: &mut Vec<u8>, record: &Record) {
    let start = out.len();
    out.extend_from_slice(b"00000000 ");
    // A record is strings, numbers and JSON values with string keys: nothing that JSON
    // lacks, and a vector takes every write.
    serde_json::to_writer(&mut *out, record).expect("a record is always valid JSON");
    if out.len() - start > LINE_MAX && !record.attributes.is_empty() {
        out.truncate(start);
        let mut small = record.clone();
        small.attributes = Map::from_iter([("oversized".to_owned(), Value::Bool(true))]);
        push_line(out, &small);
        return;
    }
    let sum = format!("{:08x}", crc32fast::hash(&out[start + PREFIX..]));
    out[start..start + 8].copy_from_slice(sum.as_bytes());
    out.push(b'\n');
}

/// The record in `line`, which comes without its newline; `None` when its checksum or its
/// form is wrong.
pub(crate) fn parse_line(line: &[u8]) -> Option<Record> {
    let json = line.get(PREFIX..)?;
    let sum = std::str::from_utf8(&line[..8]).ok()?;
    if line[8] != b' ' || u32::from_str_radix(sum, 16).ok()? != crc32fast::hash(json) {
        return None;
    }
    serde_json::from_slice(json).ok()
}

/// Reads `json` as what stands behind the checksum of a record, and what it says once more;
/// whether it says something. For fuzzing.
pub(crate) fn try_record(json: &[u8]) -> bool {
    let mut line = format!("{:08x} ", crc32fast::hash(json)).into_bytes();
    line.extend_from_slice(json);
    // It is asked of lines that nobody has checked.
    let _ = peek_seq(&line);
    let Some(record) = parse_line(&line) else { return false };
    line.clear();
    push_line(&mut line, &record);
    let again = line.strip_suffix(b"\n").and_then(parse_line);
    // Attributes may be too long to be kept.
    assert_eq!(again.map(|again| (again.seq, again.kind)), Some((record.seq, record.kind)));
    true
}

/// The number of the record in `line` without looking at the rest; for skipping.
pub(crate) fn peek_seq(line: &[u8]) -> Option<u64> {
    let digits = line.get(PREFIX..)?.strip_prefix(b"{\"seq\":")?;
    let len = digits.iter().position(|byte| !byte.is_ascii_digit())?;
    std::str::from_utf8(&digits[..len]).ok()?.parse().ok()
}

/// `at` as RFC 3339 text with six digits: jiff comes without its own serde support.
mod rfc3339 {
    use jiff::Timestamp;
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(super) fn serialize<S: Serializer>(at: &Timestamp, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(&format_args!("{at:.6}"))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Timestamp, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(from)?;
        text.parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Record {
        let new = NewRecord {
            kind: "service.exited".to_owned(),
            service: Some("web/0".to_owned()),
            message: "exited with code 3 \"soon\"\n".to_owned(),
            attributes: Map::from_iter([
                ("run".to_owned(), Value::from(7)),
                ("code".to_owned(), Value::from(3)),
            ]),
        };
        new.into_record(42, "2026-11-21T02:45:02.123456789Z".parse().unwrap())
    }

    #[test]
    fn the_json_of_a_record_has_its_six_fields_in_order() {
        assert_eq!(
            serde_json::to_string(&sample()).unwrap(),
            "{\"seq\":42,\"at\":\"2026-11-21T02:45:02.123456Z\",\"kind\":\"service.exited\",\
             \"service\":\"web/0\",\"message\":\"exited with code 3 \\\"soon\\\"\\n\",\
             \"attributes\":{\"run\":7,\"code\":3}}"
        );
    }

    #[test]
    fn a_line_reads_back_and_every_changed_byte_is_noticed() {
        let mut line = Vec::new();
        push_line(&mut line, &sample());
        assert_eq!(line.pop(), Some(b'\n'));
        assert_eq!(parse_line(&line), Some(sample()));
        assert_eq!(peek_seq(&line), Some(42));
        for place in 0..line.len() {
            let mut changed = line.clone();
            changed[place] ^= 0x04;
            assert_eq!(parse_line(&changed), None, "byte {place}");
            assert_eq!(parse_line(&line[..place]), None, "cut at {place}");
        }
    }

    #[test]
    fn a_record_has_a_largest_size_on_disk_and_a_longest_message() {
        let huge = NewRecord {
            message: "é".repeat(MESSAGE_MAX),
            attributes: Map::from_iter([("text".to_owned(), "x".repeat(LINE_MAX).into())]),
            ..NewRecord::default()
        };
        let record = huge.into_record(1, Timestamp::UNIX_EPOCH);
        assert!(record.message.len() <= MESSAGE_MAX + 3);
        let mut line = Vec::new();
        push_line(&mut line, &record);
        assert!(line.len() < LINE_MAX);
        line.pop();
        let read = parse_line(&line).unwrap();
        assert_eq!(read.attributes.get("oversized"), Some(&Value::Bool(true)));
    }
}
