//! One change of what plugins remember, as it stands on disk.
//!
//! ```text
//! head     length of the payload u32 │ its crc32 u32 │ crc32 of these eight bytes u32
//! payload  1 kept    u8 │ kind u8 │ plugin │ service │ instance u32 │ slot │ version u32 │ bytes
//!          2 dropped u8 │ kind u8 │ plugin │ service │ instance u32 │ slot
//! ```
//!
//! Numbers are little-endian, a text is its length as `u32` and its UTF-8. The head has a
//! checksum of its own, so that a wrong length is not taken for a record that its writer
//! had no time to finish.

use std::sync::Arc;

use kennel_wasm::model::{Kind, STATE_BYTES_MAX, SavedState};

/// Bytes before the payload.
pub(super) const HEAD: usize = 12;

/// No payload is longer: what is remembered, its names, and some room.
const PAYLOAD_MAX: usize = STATE_BYTES_MAX + 4096;

/// Whose memory it is.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Key {
    /// The name the plugin is configured under.
    pub(crate) plugin: Arc<str>,
    /// As what it is used.
    pub(crate) kind: Kind,
    /// The service it is asked about.
    pub(crate) service: Arc<str>,
    /// Which of its replicas, from 0.
    pub(crate) instance: u32,
    /// For which of its questions: `ready`, the name of a check, `policy`.
    pub(crate) slot: Arc<str>,
}

/// One change.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Change {
    pub(super) key: Key,
    /// None: it is forgotten.
    pub(super) saved: Option<Arc<SavedState>>,
}

/// What stands at the beginning of some bytes.
#[derive(PartialEq, Eq, Debug)]
pub(super) enum Next {
    /// A change, and how long its record is.
    Change(Change, usize),
    /// Nothing more.
    End,
    /// The record ends too early: its writer did.
    Torn,
    /// It is no record.
    Corrupt(&'static str),
}

pub(super) fn push(out: &mut Vec<u8>, change: &Change) {
    let start = out.len();
    out.extend_from_slice(&[0; HEAD]);
    let Change { key: Key { plugin, kind, service, instance, slot }, saved } = change;
    out.push(if saved.is_some() { 1 } else { 2 });
    out.push(match kind {
        Kind::HealthCheck => 1,
        Kind::RestartPolicy => 2,
        Kind::EventSink => 3,
    });
    push_text(out, plugin);
    push_text(out, service);
    out.extend_from_slice(&instance.to_le_bytes());
    push_text(out, slot);
    if let Some(saved) = saved {
        let SavedState { version, bytes } = &**saved;
        out.extend_from_slice(&version.to_le_bytes());
        out.extend_from_slice(bytes);
    }
    let payload = &out[start + HEAD..];
    let head = head(payload);
    out[start..start + HEAD].copy_from_slice(&head);
}

fn head(payload: &[u8]) -> [u8; HEAD] {
    let mut head = [0; HEAD];
    head[..4].copy_from_slice(&small(payload.len()).to_le_bytes());
    head[4..8].copy_from_slice(&crc32fast::hash(payload).to_le_bytes());
    let sum = crc32fast::hash(&head[..8]);
    head[8..].copy_from_slice(&sum.to_le_bytes());
    head
}

fn push_text(out: &mut Vec<u8>, text: &str) {
    out.extend_from_slice(&small(text.len()).to_le_bytes());
    out.extend_from_slice(text.as_bytes());
}

/// Nothing that is written here comes near four gigabytes.
fn small(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

/// Reads the record at the beginning of `bytes`, which go up to the end of the file.
pub(super) fn next(bytes: &[u8]) -> Next {
    if bytes.is_empty() {
        return Next::End;
    }
    // What a file system leaves of a write that never came to be.
    if bytes.iter().all(|byte| *byte == 0) {
        return Next::Torn;
    }
    let Some((head, rest)) = bytes.split_at_checked(HEAD) else { return Next::Torn };
    let mut numbers = Payload(head);
    let (Some(length), Some(sum), Some(head_sum)) =
        (numbers.number(), numbers.number(), numbers.number())
    else {
        return Next::Torn;
    };
    if crc32fast::hash(&head[..8]) != head_sum {
        return Next::Corrupt("the checksum of a head is wrong");
    }
    let length = length as usize;
    if length > PAYLOAD_MAX {
        return Next::Corrupt("a record is longer than any can be");
    }
    let Some(payload) = rest.get(..length) else { return Next::Torn };
    if crc32fast::hash(payload) != sum {
        let is_last = rest.len() == length;
        return if is_last { Next::Torn } else { Next::Corrupt("a checksum is wrong") };
    }
    match Payload(payload).change() {
        Some(change) => Next::Change(change, HEAD + length),
        None => Next::Corrupt("a record makes no sense"),
    }
}

/// Reads `payload` as what stands behind the checksums, and what it says once more; whether
/// it says something. For fuzzing.
pub(crate) fn try_change(payload: &[u8]) -> bool {
    // What is read before a checksum is looked at.
    let _ = next(payload);
    let mut record = head(payload).to_vec();
    record.extend_from_slice(payload);
    let Next::Change(change, length) = next(&record) else { return false };
    assert_eq!(length, record.len());
    record.clear();
    push(&mut record, &change);
    assert_eq!(next(&record), Next::Change(change, length));
    true
}

/// What is left to read of a payload.
struct Payload<'a>(&'a [u8]);

impl<'a> Payload<'a> {
    fn change(mut self) -> Option<Change> {
        let is_kept = match self.take(1)? {
            [1] => true,
            [2] => false,
            _ => return None,
        };
        let kind = match self.take(1)? {
            [1] => Kind::HealthCheck,
            [2] => Kind::RestartPolicy,
            [3] => Kind::EventSink,
            _ => return None,
        };
        let plugin = self.text()?;
        let service = self.text()?;
        let instance = self.number()?;
        let slot = self.text()?;
        let saved = if is_kept {
            let version = self.number()?;
            let bytes = self.take(self.0.len())?.to_vec();
            (bytes.len() <= STATE_BYTES_MAX).then_some(())?;
            Some(Arc::new(SavedState { version, bytes }))
        } else {
            self.0.is_empty().then_some(())?;
            None
        };
        Some(Change { key: Key { plugin, kind, service, instance, slot }, saved })
    }

    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn number(&mut self) -> Option<u32> {
        Some(u32::from_le_bytes(self.take(4)?.try_into().ok()?))
    }

    fn text(&mut self) -> Option<Arc<str>> {
        let length = self.number()? as usize;
        Some(std::str::from_utf8(self.take(length)?).ok()?.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(saved: Option<SavedState>) -> Change {
        let key = Key {
            plugin: "redis".into(),
            kind: Kind::HealthCheck,
            service: "wéb".into(),
            instance: 3,
            slot: "redis".into(),
        };
        Change { key, saved: saved.map(Arc::new) }
    }

    #[test]
    fn a_record_reads_back_and_every_changed_byte_is_noticed() {
        for saved in [None, Some(SavedState { version: 7, bytes: vec![1, 2, 255] })] {
            let change = change(saved);
            let mut bytes = Vec::new();
            push(&mut bytes, &change);
            let length = bytes.len();
            assert_eq!(next(&bytes), Next::Change(change.clone(), length));
            for place in 0..length {
                let mut changed = bytes.clone();
                changed[place] ^= 0x04;
                // Something follows, so that it is not taken for the end of the file.
                changed.extend_from_slice(&bytes);
                let read = next(&changed);
                assert!(matches!(read, Next::Corrupt(_)), "byte {place}: {read:?}");
                assert!(matches!(next(&bytes[..place]), Next::Torn | Next::End), "cut at {place}");
            }
        }
    }

    #[test]
    fn a_valid_checksum_over_nonsense_is_corrupt() {
        for payload in [&[][..], &[3, 1], &[1, 9], &[1, 1, 255, 255, 255, 255, 0]] {
            let mut bytes = head(payload).to_vec();
            bytes.extend_from_slice(payload);
            bytes.push(9);
            assert!(matches!(next(&bytes), Next::Corrupt(_)), "{payload:?}");
        }
    }
}
