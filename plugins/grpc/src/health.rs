//! Messages of `grpc.health.v1` and the frame they are sent in. Each has one field, so that
//! no code generator is needed.

/// The longest message that is read. An answer has two bytes.
const MESSAGE_BYTES_MAX: usize = 64 * 1024;

/// What a server says of a service (`HealthCheckResponse.ServingStatus`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Serving {
    /// It has not decided yet.
    Unknown,
    /// It serves.
    Serving,
    /// It does not.
    NotServing,
    /// It does not know the service; said by `Watch` only.
    ServiceUnknown,
    /// Something that is not in the standard.
    Other(u64),
}

/// What is no answer of the health service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NotAnAnswer {
    /// It ends too early.
    Cut,
    /// It is compressed, and we did not say that we can read that.
    Compressed,
    /// It is no message of protocol buffers.
    Malformed,
}

/// `HealthCheckRequest { service }` in its frame: not compressed, so many bytes, the bytes.
pub fn request(service: &str) -> Vec<u8> {
    let mut message = Vec::new();
    // An empty field is not sent at all.
    if !service.is_empty() {
        message.push(1 << 3 | 2);
        write_varint(&mut message, service.len() as u64);
        message.extend_from_slice(service.as_bytes());
    }
    let mut frame = vec![0];
    frame.extend_from_slice(&(message.len() as u32).to_be_bytes());
    frame.extend_from_slice(&message);
    frame
}

/// Reads `HealthCheckResponse { status }` in its frame. What stands behind it is of no
/// interest.
pub fn read_response(frame: &[u8]) -> Result<Serving, NotAnAnswer> {
    let (head, rest) = frame.split_at_checked(5).ok_or(NotAnAnswer::Cut)?;
    let [compressed, length @ ..] = head else { return Err(NotAnAnswer::Cut) };
    match compressed {
        0 => {}
        1 => return Err(NotAnAnswer::Compressed),
        _ => return Err(NotAnAnswer::Malformed),
    }
    let length = length.iter().fold(0, |length, byte| length << 8 | usize::from(*byte));
    if length > MESSAGE_BYTES_MAX {
        return Err(NotAnAnswer::Malformed);
    }
    read_message(rest.get(..length).ok_or(NotAnAnswer::Cut)?).ok_or(NotAnAnswer::Malformed)
}

fn read_message(mut message: &[u8]) -> Option<Serving> {
    // A field that is not there has the value zero; of one that is there twice the last
    // counts.
    let mut status = 0;
    while !message.is_empty() {
        let tag = read_varint(&mut message)?;
        match (tag >> 3, tag & 7) {
            (0, _) => return None,
            (1, 0) => status = read_varint(&mut message)?,
            (_, 0) => drop(read_varint(&mut message)?),
            (_, 1) => message = message.get(8..)?,
            (_, 2) => {
                let length = usize::try_from(read_varint(&mut message)?).ok()?;
                message = message.get(length..)?;
            }
            (_, 5) => message = message.get(4..)?,
            _ => return None,
        }
    }
    Some(match status {
        0 => Serving::Unknown,
        1 => Serving::Serving,
        2 => Serving::NotServing,
        3 => Serving::ServiceUnknown,
        other => Serving::Other(other),
    })
}

fn write_varint(into: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        into.push(value as u8 | 0x80);
        value >>= 7;
    }
    into.push(value as u8);
}

fn read_varint(from: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for place in 0..10 {
        let (byte, rest) = from.split_first()?;
        *from = rest;
        value |= u64::from(byte & 0x7f).checked_shl(7 * place).unwrap_or(0);
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_a_frame_with_a_name() {
        assert_eq!(request(""), [0, 0, 0, 0, 0]);
        assert_eq!(request("api"), b"\0\0\0\0\x05\x0a\x03api");
        let long = request(&"x".repeat(300));
        assert!(long.starts_with(b"\0\0\0\x01\x2f\x0a\xac\x02xxx"));
    }

    #[test]
    fn every_answer_of_the_standard_is_read() {
        for (message, serving) in [
            (b"".as_slice(), Serving::Unknown),
            (b"\x08\x00", Serving::Unknown),
            (b"\x08\x01", Serving::Serving),
            (b"\x08\x02", Serving::NotServing),
            (b"\x08\x03", Serving::ServiceUnknown),
            (b"\x08\x96\x01", Serving::Other(150)),
            (b"\x08\x02\x08\x01", Serving::Serving),
            (b"\x12\x03abc\x08\x01", Serving::Serving),
            (b"\x11\0\0\0\0\0\0\0\0\x08\x01\x15\0\0\0\0\x18\x07", Serving::Serving),
        ] {
            let mut frame = vec![0, 0, 0, 0, message.len() as u8];
            frame.extend_from_slice(message);
            assert_eq!(read_response(&frame), Ok(serving), "{message:?}");
        }
    }

    #[test]
    fn what_is_no_answer_is_refused() {
        for (frame, trouble) in [
            (b"".as_slice(), NotAnAnswer::Cut),
            (b"\0\0\0\0", NotAnAnswer::Cut),
            (b"\0\0\0\0\x02\x08", NotAnAnswer::Cut),
            (b"\x01\0\0\0\x02\x08\x01", NotAnAnswer::Compressed),
            (b"HTTP/1.1 ", NotAnAnswer::Malformed),
            (b"\0\xff\xff\xff\xff\x08\x01", NotAnAnswer::Malformed),
            (b"\0\0\0\0\x01\x08", NotAnAnswer::Malformed),
            (b"\0\0\0\0\x02\x00\x01", NotAnAnswer::Malformed),
            (b"\0\0\0\0\x02\x0b\x01", NotAnAnswer::Malformed),
            (b"\0\0\0\0\x02\x12\x05", NotAnAnswer::Malformed),
            (b"\0\0\0\0\x0b\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", NotAnAnswer::Malformed),
            (b"\0\0\0\0\x0a\x12\xff\xff\xff\xff\xff\xff\xff\xff\x7f", NotAnAnswer::Malformed),
        ] {
            assert_eq!(read_response(frame), Err(trouble), "{frame:?}");
        }
    }
}
