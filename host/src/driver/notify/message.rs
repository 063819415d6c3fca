//! What one datagram of `sd_notify(3)` says.
//!
//! A message is text: assignments, one a line. What is not known is left out, line by line,
//! since newer services say more than older supervisors know; a message that is no text at
//! all is refused as a whole.
//!
//! Left out on purpose: `FDSTORE` and its kin (sockets that outlive a service are
//! `sockets:`), `EXIT_STATUS`, `BUSERROR`, `MAINPIDFD…` and `MONOTONIC_USEC`.

use std::mem::discriminant;
use std::time::Duration;

/// A longer message is refused, as `systemd` does (`PIPE_BUF`).
pub(super) const MESSAGE_BYTES_MAX: usize = 4096;

/// A longer `STATUS` is cut: it is for a line of a table.
const STATUS_CHARS_MAX: usize = 400;

/// Nobody asks for more time than this; numbers beyond would only overflow.
const LONGEST: Duration = Duration::from_secs(365 * 86_400);

/// One thing that a service says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Word {
    /// `READY=1`: the start, or a reload, is finished.
    Ready,
    /// `RELOADING=1`.
    Reloading,
    /// `STOPPING=1`.
    Stopping,
    /// `STATUS=…`; empty: none any more.
    Status(String),
    /// `ERRNO=…`: why it will fail, as a number of `errno(3)`.
    Errno(i32),
    /// `MAINPID=…`.
    MainPid(i32),
    /// `EXTEND_TIMEOUT_USEC=…`: it needs that long from now on.
    Extend(Duration),
    /// `WATCHDOG=1`.
    Alive,
    /// `WATCHDOG=trigger`.
    Stuck,
    /// `WATCHDOG_USEC=…`; zero: no watchdog any more.
    WatchdogEvery(Duration),
}

/// One message.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Message {
    /// It says this, in this order.
    Words(Vec<Word>),
    /// `BARRIER=1`: whoever sent it waits until all before was taken notice of.
    Barrier,
}

/// Why a message says nothing.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub(super) enum Unreadable {
    /// There is more than is read.
    #[error("longer than {MESSAGE_BYTES_MAX} bytes")]
    TooLong,
    /// Text has none.
    #[error("with a null byte in it")]
    Nul,
}

/// Reads one message; `is_cut` says that there was more.
pub(super) fn parse(bytes: &[u8], is_cut: bool) -> Result<Message, Unreadable> {
    // One null byte at the end is how C programs send a whole string.
    let text = bytes.strip_suffix(b"\0").unwrap_or(bytes);
    if is_cut || text.len() > MESSAGE_BYTES_MAX {
        return Err(Unreadable::TooLong);
    }
    if text.contains(&0) {
        return Err(Unreadable::Nul);
    }
    let mut words = Vec::new();
    for line in text.split(|byte| *byte == b'\n') {
        if line == b"BARRIER=1" {
            return Ok(Message::Barrier);
        }
        if let Some(word) = word(line) {
            push(&mut words, word);
        }
    }
    Ok(Message::Words(words))
}

/// Reads what was sent, whole and cut; whether it says something. For fuzzing.
pub(crate) fn try_message(bytes: &[u8]) -> bool {
    assert!(parse(bytes, true).is_err());
    match parse(bytes, false) {
        Ok(Message::Words(words)) => {
            assert!(words.len() <= bytes.len());
            true
        }
        Ok(Message::Barrier) => true,
        Err(_) => false,
    }
}

/// Adds what was said. Of two words of a kind the later one counts, at its place: so what
/// waits to be told has a limit however much is said.
pub(super) fn push(words: &mut Vec<Word>, word: Word) {
    words.retain(|known| discriminant(known) != discriminant(&word));
    words.push(word);
}

fn word(line: &[u8]) -> Option<Word> {
    let at = line.iter().position(|byte| *byte == b'=')?;
    let (name, value) = (&line[..at], &line[at + 1..]);
    match name {
        b"READY" => (value == b"1").then_some(Word::Ready),
        b"RELOADING" => (value == b"1").then_some(Word::Reloading),
        b"STOPPING" => (value == b"1").then_some(Word::Stopping),
        b"STATUS" => Some(Word::Status(status(value))),
        b"ERRNO" => number(value).filter(|errno| *errno > 0).map(Word::Errno),
        b"MAINPID" => number(value).filter(|pid| *pid > 0).map(Word::MainPid),
        b"EXTEND_TIMEOUT_USEC" => micros(value).map(Word::Extend),
        b"WATCHDOG" => match value {
            b"1" => Some(Word::Alive),
            b"trigger" => Some(Word::Stuck),
            _ => None,
        },
        b"WATCHDOG_USEC" => micros(value).map(Word::WatchdogEvery),
        _ => None,
    }
}

/// Text for people: whatever it was, one line of what can be shown.
fn status(value: &[u8]) -> String {
    let text = String::from_utf8_lossy(value);
    let shown = text.trim().chars().map(|c| if c.is_control() { ' ' } else { c });
    let mut status: String = shown.take(STATUS_CHARS_MAX + 1).collect();
    if let Some((end, _)) = status.char_indices().nth(STATUS_CHARS_MAX) {
        status.truncate(end);
        status.push('…');
    }
    status
}

fn digits(value: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(value).ok()?;
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then_some(text)
}

fn number(value: &[u8]) -> Option<i32> {
    digits(value)?.parse().ok()
}

fn micros(value: &[u8]) -> Option<Duration> {
    // More digits than fit is a very long time, which u64::MAX often stands for.
    let micros = digits(value)?.parse().unwrap_or(u64::MAX);
    Some(Duration::from_micros(micros).min(LONGEST))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: impl AsRef<[u8]>) -> Vec<Word> {
        match parse(text.as_ref(), false) {
            Ok(Message::Words(words)) => words,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn every_assignment_has_its_word() {
        for (line, word) in [
            ("READY=1", Word::Ready),
            ("RELOADING=1", Word::Reloading),
            ("STOPPING=1", Word::Stopping),
            ("STATUS=Loading 10 %", Word::Status("Loading 10 %".into())),
            ("STATUS=", Word::Status(String::new())),
            ("STATUS=a=b", Word::Status("a=b".into())),
            ("ERRNO=2", Word::Errno(2)),
            ("MAINPID=4711", Word::MainPid(4711)),
            ("EXTEND_TIMEOUT_USEC=1500000", Word::Extend(Duration::from_millis(1500))),
            ("WATCHDOG=1", Word::Alive),
            ("WATCHDOG=trigger", Word::Stuck),
            ("WATCHDOG_USEC=20000", Word::WatchdogEvery(Duration::from_millis(20))),
            ("WATCHDOG_USEC=0", Word::WatchdogEvery(Duration::ZERO)),
        ] {
            assert_eq!(words(line), [word], "{line}");
        }
        assert_eq!(parse(b"BARRIER=1", false), Ok(Message::Barrier));
        assert_eq!(parse(b"BARRIER=1\n", false), Ok(Message::Barrier));
    }

    #[test]
    fn what_is_not_known_or_makes_no_sense_is_left_out_line_by_line() {
        for line in [
            "",
            "READY",
            "=",
            "READY=0",
            "READY=yes",
            " READY=1",
            "ready=1",
            "READY=1 ",
            "WATCHDOG=2",
            "MAINPID=",
            "MAINPID=0",
            "MAINPID=-1",
            "MAINPID=+1",
            "MAINPID=1x",
            "MAINPID=99999999999",
            "ERRNO=-5",
            "ERRNO=two",
            "EXTEND_TIMEOUT_USEC=soon",
            "WATCHDOG_USEC=-1",
            "EXIT_STATUS=3",
            "FDSTORE=1",
            "FDNAME=x",
            "FDSTOREREMOVE=1",
            "FDPOLL=0",
            "BARRIER=0",
            "MONOTONIC_USEC=1",
            "X_MINE=1",
            "NOTIFYACCESS=all",
        ] {
            assert_eq!(words(line), [], "{line}");
            assert_eq!(words(format!("{line}\nREADY=1\n{line}")), [Word::Ready], "{line}");
        }
        assert_eq!(words(b"\xff\xfe=\xff\nREADY=1"), [Word::Ready]);
        assert_eq!(words(b"MAINPID=\xb2"), []);
    }

    #[test]
    fn several_lines_keep_their_order_and_the_last_of_a_kind_counts() {
        let text = "STATUS=a\nREADY=1\nMAINPID=1\nSTATUS=b\nRELOADING=1\n";
        let expected = [Word::Ready, Word::MainPid(1), Word::Status("b".into()), Word::Reloading];
        assert_eq!(words(text), expected);
    }

    #[test]
    fn times_beyond_all_measure_are_a_year() {
        for text in ["18446744073709551615", "99999999999999999999999999"] {
            assert_eq!(words(format!("EXTEND_TIMEOUT_USEC={text}")), [Word::Extend(LONGEST)]);
        }
    }

    #[test]
    fn a_null_byte_may_end_a_message_and_stands_nowhere_else() {
        assert_eq!(words("READY=1\0"), [Word::Ready]);
        for text in ["READY=1\0\0", "READY=1\0STATUS=x", "\0READY=1"] {
            assert_eq!(parse(text.as_bytes(), false), Err(Unreadable::Nul), "{text:?}");
        }
    }

    #[test]
    fn a_message_has_a_limit() {
        let filler = "x".repeat(MESSAGE_BYTES_MAX - 8);
        assert_eq!(words(format!("READY=1\n{filler}")), [Word::Ready]);
        assert_eq!(words(format!("READY=1\n{filler}\0")), [Word::Ready]);
        let longer = format!("READY=1\n{filler}x");
        assert_eq!(parse(longer.as_bytes(), false), Err(Unreadable::TooLong));
        assert_eq!(parse(b"READY=1", true), Err(Unreadable::TooLong));
    }

    #[test]
    fn a_status_is_one_line_that_can_be_shown() {
        assert_eq!(
            words(b"STATUS=\xff ok\x1b[31m\t\xc3\xa9 "),
            [Word::Status("\u{fffd} ok [31m é".into())]
        );
        let Word::Status(long) = &words(format!("STATUS={}", "é".repeat(1000)))[0] else {
            panic!()
        };
        assert_eq!(long.chars().count(), STATUS_CHARS_MAX + 1);
        assert!(long.ends_with("é…"));
        let fits = "é".repeat(STATUS_CHARS_MAX);
        assert_eq!(words(format!("STATUS={fits}")), [Word::Status(fits)]);
    }

    #[test]
    fn no_bytes_can_make_it_panic() {
        // A generator with a fixed seed: xorshift.
        let mut state = 0x2545_f491_4f6c_dd1d_u64;
        let mut next = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state
        };
        let starts: [&[u8]; 6] =
            [b"READY=", b"STATUS=", b"MAINPID=", b"WATCHDOG_USEC=", b"\n", b"EXTEND_TIMEOUT_USEC="];
        for _ in 0..20_000 {
            let mut text = Vec::new();
            for _ in 0..next() % 6 {
                text.extend(starts[(next() % 6) as usize]);
                text.extend((0..next() % 12).map(|_| (next() >> 32) as u8));
            }
            // Words are bounded, whatever is said.
            if let Ok(Message::Words(words)) = parse(&text, false) {
                assert!(words.len() <= 10, "{text:?}");
            }
        }
    }
}
