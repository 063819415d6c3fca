//! Messages of the frontend/backend protocol, version 3: a type, a length, a body.
//! (PostgreSQL documentation, "Frontend/Backend Protocol", "Message Formats".)

/// The longest message that is read. Answers of a check are short.
const MESSAGE_BYTES_MAX: usize = 64 * 1024;

/// What servers before the length says: an error of a server that could not even start a
/// process for us is a text without a length, ended by a zero.
const OLD_ERROR_BYTES_MAX: usize = 4096;

/// The code of a request for TLS.
const SSL_REQUEST: u32 = 80_877_103;

/// Version 3.0.
const VERSION: u32 = 196_608;

/// A message of the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message {
    /// What is to be proven, or that it was.
    Authentication(Authentication),
    /// Something failed.
    Error(Failure),
    /// A row of a result.
    Row(Vec<Option<String>>),
    /// All was answered.
    Ready,
    /// Of no interest to a check: notices, settings, keys, descriptions.
    Other(u8),
}

/// What is to be proven, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Authentication {
    /// Nothing more.
    Ok,
    /// The password as it is.
    Cleartext,
    /// A digest of user, password and salt.
    Md5([u8; 4]),
    /// One of these SASL mechanisms.
    Sasl(Vec<String>),
    /// The server's part of the exchange.
    SaslContinue(Vec<u8>),
    /// The server's proof that it knows the password too.
    SaslFinal(Vec<u8>),
    /// Something that a check does not speak.
    Unknown(u32),
}

/// An error of the server.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Failure {
    /// SQLSTATE, five characters; empty where a server told none.
    pub code: String,
    /// What it says.
    pub message: String,
}

/// Bytes that no PostgreSQL sends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotPostgres;

/// Reads the first message of `bytes`, and says how many of them it is. None: there is more
/// to come.
pub fn read_message(bytes: &[u8]) -> Result<Option<(Message, usize)>, NotPostgres> {
    let Some(kind) = bytes.first().copied() else { return Ok(None) };
    if !b"RSKEZTDCINv123ntGHWdcAVs".contains(&kind) {
        return Err(NotPostgres);
    }
    let Some(length) = bytes.get(1..5) else { return Ok(None) };
    let length = u32::from_be_bytes(length.try_into().map_err(|_| NotPostgres)?) as usize;
    if kind == b'E' && !(8..=MESSAGE_BYTES_MAX).contains(&length) {
        return read_old_error(bytes);
    }
    if !(4..=MESSAGE_BYTES_MAX).contains(&length) {
        return Err(NotPostgres);
    }
    let Some(body) = bytes.get(5..1 + length) else { return Ok(None) };
    let message = match kind {
        b'R' => Message::Authentication(read_authentication(body).ok_or(NotPostgres)?),
        b'E' => Message::Error(read_failure(body)),
        b'D' => Message::Row(read_row(body).ok_or(NotPostgres)?),
        b'Z' => Message::Ready,
        other => Message::Other(other),
    };
    Ok(Some((message, 1 + length)))
}

fn read_old_error(bytes: &[u8]) -> Result<Option<(Message, usize)>, NotPostgres> {
    let Some(end) = bytes.iter().position(|byte| *byte == 0) else {
        return if bytes.len() > OLD_ERROR_BYTES_MAX { Err(NotPostgres) } else { Ok(None) };
    };
    let text = bytes.get(1..end).ok_or(NotPostgres)?;
    let text = std::str::from_utf8(text).map_err(|_| NotPostgres)?;
    let failure = Failure { code: String::new(), message: text.trim().to_owned() };
    Ok(Some((Message::Error(failure), end + 1)))
}

fn read_authentication(body: &[u8]) -> Option<Authentication> {
    let (kind, rest) = body.split_at_checked(4)?;
    let kind = u32::from_be_bytes(kind.try_into().ok()?);
    Some(match kind {
        0 => Authentication::Ok,
        3 => Authentication::Cleartext,
        5 => Authentication::Md5(rest.try_into().ok()?),
        10 => {
            let names = rest.split(|byte| *byte == 0).filter(|name| !name.is_empty());
            Authentication::Sasl(names.map(|n| String::from_utf8_lossy(n).into_owned()).collect())
        }
        11 => Authentication::SaslContinue(rest.to_owned()),
        12 => Authentication::SaslFinal(rest.to_owned()),
        other => Authentication::Unknown(other),
    })
}

/// Fields of one letter and a text each, ended by a zero.
fn read_failure(body: &[u8]) -> Failure {
    let mut failure = Failure::default();
    for field in body.split(|byte| *byte == 0) {
        let Some((letter, text)) = field.split_first() else { break };
        let text = || String::from_utf8_lossy(text).into_owned();
        match letter {
            b'C' => failure.code = text(),
            b'M' => failure.message = text(),
            _ => {}
        }
    }
    failure
}

fn read_row(body: &[u8]) -> Option<Vec<Option<String>>> {
    let (count, mut rest) = body.split_at_checked(2)?;
    let count = u16::from_be_bytes(count.try_into().ok()?);
    let mut row = Vec::new();
    for _ in 0..count {
        let (length, after) = rest.split_at_checked(4)?;
        let length = i32::from_be_bytes(length.try_into().ok()?);
        rest = after;
        let Ok(length) = usize::try_from(length) else {
            row.push(None);
            continue;
        };
        let (text, after) = rest.split_at_checked(length)?;
        row.push(Some(String::from_utf8_lossy(text).into_owned()));
        rest = after;
    }
    Some(row)
}

/// Asks for TLS; the answer is one byte.
pub fn ssl_request() -> Vec<u8> {
    [8, SSL_REQUEST].map(u32::to_be_bytes).concat()
}

/// Says who we are and what we want.
pub fn startup(user: &str, database: &str) -> Vec<u8> {
    let mut body = VERSION.to_be_bytes().to_vec();
    for (key, value) in [
        ("user", user),
        ("database", database),
        ("application_name", "kennel"),
        ("client_encoding", "UTF8"),
    ] {
        for text in [key, value] {
            body.extend_from_slice(text.as_bytes());
            body.push(0);
        }
    }
    body.push(0);
    let length = (body.len() as u32 + 4).to_be_bytes();
    [length.as_slice(), &body].concat()
}

/// A message of ours.
fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    let length = (body.len() as u32 + 4).to_be_bytes();
    [&[kind], length.as_slice(), body].concat()
}

/// A password, as it is or as a digest.
pub fn password(password: &str) -> Vec<u8> {
    message(b'p', &[password.as_bytes(), &[0]].concat())
}

/// Begins a SASL exchange.
pub fn sasl_initial(mechanism: &str, response: &str) -> Vec<u8> {
    let length = (response.len() as u32).to_be_bytes();
    let body = [mechanism.as_bytes(), &[0], length.as_slice(), response.as_bytes()].concat();
    message(b'p', &body)
}

/// Goes on with it.
pub fn sasl_response(response: &str) -> Vec<u8> {
    message(b'p', response.as_bytes())
}

/// Asks.
pub fn query(statement: &str) -> Vec<u8> {
    message(b'Q', &[statement.as_bytes(), &[0]].concat())
}

/// Says goodbye.
pub fn terminate() -> Vec<u8> {
    message(b'X', &[])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(bytes: &[u8], expected: Message) {
        let with_next = [bytes, b"Z\0\0\0\x05I"].concat();
        assert_eq!(read_message(&with_next), Ok(Some((expected, bytes.len()))));
        for end in 0..bytes.len() {
            assert_eq!(read_message(&bytes[..end]), Ok(None), "{bytes:?} to {end}");
        }
    }

    #[test]
    fn every_message_that_a_check_needs_is_read_with_its_length() {
        use Message::Authentication as A;
        check(b"R\0\0\0\x08\0\0\0\0", A(Authentication::Ok));
        check(b"R\0\0\0\x08\0\0\0\x03", A(Authentication::Cleartext));
        check(b"R\0\0\0\x0c\0\0\0\x05salt", A(Authentication::Md5(*b"salt")));
        let names = vec!["SCRAM-SHA-256".to_owned()];
        check(b"R\0\0\0\x17\0\0\0\x0aSCRAM-SHA-256\0\0", A(Authentication::Sasl(names)));
        check(b"R\0\0\0\x0b\0\0\0\x0br=x", A(Authentication::SaslContinue(b"r=x".to_vec())));
        check(b"R\0\0\0\x0b\0\0\0\x0cv=x", A(Authentication::SaslFinal(b"v=x".to_vec())));
        check(b"R\0\0\0\x08\0\0\0\x07", A(Authentication::Unknown(7)));
        let row = vec![Some("t".to_owned()), None, Some(String::new())];
        check(b"D\0\0\0\x13\0\x03\0\0\0\x01t\xff\xff\xff\xff\0\0\0\0", Message::Row(row));
        check(b"Z\0\0\0\x05I", Message::Ready);
        check(b"K\0\0\0\x0c\0\0\0\x01\0\0\0\x02", Message::Other(b'K'));
        let failure = Failure { code: "57P03".to_owned(), message: "starting".to_owned() };
        check(b"E\0\0\0\x1dSFATAL\0C57P03\0Mstarting\0\0", Message::Error(failure));
    }

    #[test]
    fn an_error_of_a_server_that_could_not_start_a_process_has_no_length() {
        let bytes = b"Ecould not fork new process for connection: no memory\n\0";
        let message = "could not fork new process for connection: no memory".to_owned();
        check(bytes, Message::Error(Failure { code: String::new(), message }));
    }

    #[test]
    fn what_no_postgres_says_is_refused() {
        let endless = [b"Eaaaa".as_slice(), &[b'a'; OLD_ERROR_BYTES_MAX]].concat();
        for bytes in [
            b"\x15\x03\x01\0\x02\x02\x28".as_slice(),
            b"-ERR unknown command\r\n",
            b"R\0\0\0\x03",
            b"R\0\0\0\x04",
            b"R\0\0\0\x09\0\0\0\x05s",
            b"R\xff\xff\xff\xff",
            b"D\0\0\0\x04",
            b"D\0\0\0\x08\0\x01\0\0",
            b"D\0\0\0\x0b\0\x01\0\0\0\x02t",
            b"E\xff\xff\xff\xff\0",
            &endless,
        ] {
            assert_eq!(read_message(bytes), Err(NotPostgres), "{bytes:?}");
        }
    }

    #[test]
    fn our_messages_are_as_documented() {
        assert_eq!(ssl_request(), [0, 0, 0, 8, 4, 210, 22, 47]);
        let startup = startup("u", "d");
        assert_eq!(startup.len(), startup[3] as usize);
        assert!(startup.starts_with(b"\0\0\0\x48\0\x03\0\0user\0u\0database\0d\0"));
        assert!(startup.ends_with(b"UTF8\0\0"));
        assert_eq!(password("pw"), b"p\0\0\0\x07pw\0");
        assert_eq!(sasl_initial("M", "abc"), b"p\0\0\0\x0dM\0\0\0\0\x03abc");
        assert_eq!(query("select 1"), b"Q\0\0\0\x0dselect 1\0");
        assert_eq!(terminate(), b"X\0\0\0\x04");
    }
}
