//! HTTP/1.1 by hand: the tests must not depend on the client that they test.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

/// Past this an answer does not come any more.
const PATIENCE: Duration = Duration::from_secs(30);

/// An answer, its body put together.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

/// Asks the control socket.
pub(crate) fn ask(socket: &Path, method: &str, target: &str) -> io::Result<Answer> {
    ask_with(socket, method, target, "")
}

/// Asks the control socket; `headers` are whole lines, each with its end.
pub(crate) fn ask_with(
    socket: &Path,
    method: &str,
    target: &str,
    headers: &str,
) -> io::Result<Answer> {
    let stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    exchange(stream, method, target, headers)
}

/// Asks a server on the loopback interface.
pub(crate) fn get_tcp(port: u16, target: &str) -> io::Result<Answer> {
    let stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    exchange(stream, "GET", target, "")
}

fn exchange(
    mut stream: impl Read + Write,
    method: &str,
    target: &str,
    headers: &str,
) -> io::Result<Answer> {
    write!(
        stream,
        "{method} {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{headers}\r\n"
    )?;
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes)?;
    parse(&bytes).ok_or_else(|| {
        io::Error::other(format!("no HTTP answer: {:?}", String::from_utf8_lossy(&bytes)))
    })
}

/// Takes an answer apart that was read to its end.
pub(crate) fn parse(bytes: &[u8]) -> Option<Answer> {
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n")?;
    let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
    let status = head.split(' ').nth(1)?.parse().ok()?;
    let mut body = &bytes[end + 4..];
    let mut joined = Vec::new();
    if head.to_ascii_lowercase().contains("\r\ntransfer-encoding: chunked") {
        while let Some(line) = body.windows(2).position(|window| window == b"\r\n") {
            let size = std::str::from_utf8(&body[..line]).ok()?;
            let size = usize::from_str_radix(size.split(';').next()?, 16).ok()?;
            let chunk = body.get(line + 2..line + 2 + size)?;
            joined.extend_from_slice(chunk);
            body = body.get(line + 2 + size + 2..)?;
            if size == 0 {
                break;
            }
        }
    } else {
        joined.extend_from_slice(body);
    }
    Some(Answer { status, head, body: String::from_utf8_lossy(&joined).into_owned() })
}
