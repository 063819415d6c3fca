//! The part of the redis protocol (RESP 2) that a check needs: commands are sent as arrays
//! of strings, answers are simple strings, errors, numbers or one long string.

/// The longest answer that is read.
const ANSWER_BYTES_MAX: usize = 256 * 1024;

/// The longest line that an answer begins with.
const LINE_BYTES_MAX: usize = 4096;

/// One answer of the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// `+OK`
    Simple(String),
    /// `-ERR what is wrong`
    Error(String),
    /// `:42`
    Number(i64),
    /// A string of any length; none is nil.
    Text(Option<Vec<u8>>),
}

/// Bytes that no redis sends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotRedis;

/// Adds a command to what is sent.
pub fn write_command(into: &mut Vec<u8>, words: &[&str]) {
    into.extend_from_slice(format!("*{}\r\n", words.len()).as_bytes());
    for word in words {
        into.extend_from_slice(format!("${}\r\n{word}\r\n", word.len()).as_bytes());
    }
}

/// Reads the first answer of `bytes`, and says how many of them it is. None: there is more to
/// come.
pub fn read_answer(bytes: &[u8]) -> Result<Option<(Answer, usize)>, NotRedis> {
    let Some(kind) = bytes.first() else { return Ok(None) };
    if !b"+-:$".contains(kind) {
        return Err(NotRedis);
    }
    let Some((line, after)) = read_line(bytes)? else { return Ok(None) };
    let answer = match kind {
        b'+' => Answer::Simple(line.to_owned()),
        b'-' => Answer::Error(line.to_owned()),
        b':' => Answer::Number(line.parse().map_err(|_| NotRedis)?),
        _ => return read_text(line, bytes, after),
    };
    Ok(Some((answer, after)))
}

/// The line behind the first byte, and where the next one begins.
fn read_line(bytes: &[u8]) -> Result<Option<(&str, usize)>, NotRedis> {
    let Some(end) = bytes.iter().position(|byte| *byte == b'\n') else {
        return if bytes.len() > LINE_BYTES_MAX { Err(NotRedis) } else { Ok(None) };
    };
    let line = bytes.get(1..end).and_then(|line| line.strip_suffix(b"\r")).ok_or(NotRedis)?;
    let line = std::str::from_utf8(line).map_err(|_| NotRedis)?;
    Ok(Some((line, end + 1)))
}

fn read_text(
    length: &str,
    bytes: &[u8],
    begin: usize,
) -> Result<Option<(Answer, usize)>, NotRedis> {
    if length == "-1" {
        return Ok(Some((Answer::Text(None), begin)));
    }
    let length: usize = length.parse().map_err(|_| NotRedis)?;
    if length > ANSWER_BYTES_MAX {
        return Err(NotRedis);
    }
    let end = begin + length;
    let Some(line_end) = bytes.get(end..end + 2) else { return Ok(None) };
    if line_end != b"\r\n" {
        return Err(NotRedis);
    }
    let text = bytes.get(begin..end).ok_or(NotRedis)?;
    Ok(Some((Answer::Text(Some(text.to_owned())), end + 2)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Answer {
        Answer::Text(Some(text.as_bytes().to_owned()))
    }

    #[test]
    fn every_kind_of_answer_is_read_with_its_length() {
        for (bytes, answer) in [
            ("+PONG\r\n", Answer::Simple("PONG".to_owned())),
            ("-ERR no\r\n", Answer::Error("ERR no".to_owned())),
            (":-42\r\n", Answer::Number(-42)),
            ("$-1\r\n", Answer::Text(None)),
            ("$0\r\n\r\n", text("")),
            ("$4\r\na\r\nb\r\n", text("a\r\nb")),
        ] {
            let with_next = format!("{bytes}+NEXT\r\n");
            assert_eq!(read_answer(with_next.as_bytes()), Ok(Some((answer, bytes.len()))));
            for end in 0..bytes.len() {
                assert_eq!(read_answer(&bytes.as_bytes()[..end]), Ok(None), "{bytes:?} to {end}");
            }
        }
    }

    #[test]
    fn what_no_redis_says_is_refused_at_once() {
        let endless = [b"+".as_slice(), &[b'a'; LINE_BYTES_MAX]].concat();
        for bytes in [
            b"HTTP/1.1 400 Bad Request\r\n".as_slice(),
            b"\x15\x03\x03\x00\x02\x02\x28",
            b"\x00",
            b":forty-two\r\n",
            b"$-2\r\n",
            b"$999999999999999999999\r\n",
            b"$300000\r\n",
            b"$18446744073709551615\r\n",
            b"$2\r\nabcd",
            b"+OK\n",
            b"+\xff\xfe\r\n",
            &endless,
        ] {
            assert_eq!(read_answer(bytes), Err(NotRedis), "{bytes:?}");
        }
    }

    #[test]
    fn commands_keep_every_character_of_their_words() {
        let mut sent = Vec::new();
        write_command(&mut sent, &["AUTH", "a b\r\nc \"ä\""]);
        assert_eq!(sent, "*2\r\n$4\r\nAUTH\r\n$11\r\na b\r\nc \"ä\"\r\n".as_bytes());
    }
}
