//! A small HTTP server that events are sent to: it keeps what it is sent, and answers what the
//! test says.

use std::io::{self, BufReader, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Instant;

use super::servers::free_port;
use super::{BOUND, wait_for};

/// A request as it came.
#[derive(Debug, Clone)]
pub(crate) struct Sent {
    pub(crate) at: Instant,
    pub(crate) line: String,
    headers: Vec<(String, String)>,
    pub(crate) body: String,
    /// The status it was answered with; 0 for no answer.
    pub(crate) answered: u16,
}

impl Sent {
    /// A header, by its name in lower case.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }

    /// The body as JSON.
    #[track_caller]
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }
}

/// What is answered: a status, whole header lines, a body.
#[derive(Debug, Clone)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: &'static str,
    pub(crate) body: String,
}

impl Reply {
    pub(crate) fn status(status: u16) -> Reply {
        Reply { status, headers: "", body: String::new() }
    }
}

type Answer = dyn Fn(&Sent) -> Reply + Send + Sync;

/// A server of the test's own, on the loopback interface.
pub(crate) struct Hook {
    pub(crate) port: u16,
    shared: Arc<Shared>,
}

struct Shared {
    sent: Mutex<Vec<Sent>>,
    answer: Mutex<Arc<Answer>>,
    is_closed: AtomicBool,
}

impl Hook {
    /// Listens, and answers like this.
    pub(crate) fn answering(answer: impl Fn(&Sent) -> Reply + Send + Sync + 'static) -> Hook {
        let port = free_port();
        let listener = TcpListener::bind(("127.0.0.1", port)).expect("the port is free");
        let shared = Arc::new(Shared {
            sent: Mutex::default(),
            answer: Mutex::new(Arc::new(answer)),
            is_closed: AtomicBool::new(false),
        });
        let accepting = Arc::clone(&shared);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if accepting.is_closed.load(Ordering::Relaxed) {
                    return;
                }
                let shared = Arc::clone(&accepting);
                // A connection that breaks is the client's business.
                thread::spawn(move || drop(shared.serve(&stream)));
            }
        });
        Hook { port, shared }
    }

    /// Listens, and takes everything.
    pub(crate) fn taking() -> Hook {
        Hook::answering(|_| Reply::status(200))
    }

    /// Answers like this from now on.
    pub(crate) fn answer(&self, answer: impl Fn(&Sent) -> Reply + Send + Sync + 'static) {
        *self.shared.answer.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(answer);
    }

    pub(crate) fn origin(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// What was sent so far.
    pub(crate) fn sent(&self) -> Vec<Sent> {
        self.shared.sent.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits until something was sent that is like this.
    #[track_caller]
    pub(crate) fn wait_for(&self, what: &str, is_it: impl Fn(&Sent) -> bool) -> Sent {
        wait_for(what, BOUND, || self.sent().into_iter().find(&is_it))
    }
}

impl Drop for Hook {
    fn drop(&mut self) {
        self.shared.is_closed.store(true, Ordering::Relaxed);
        // So that the one who accepts looks up.
        let _ = TcpStream::connect(("127.0.0.1", self.port));
    }
}

impl Shared {
    fn serve(&self, stream: &TcpStream) -> io::Result<()> {
        let mut reader = BufReader::new(stream);
        while let Some(mut sent) = read(&mut reader)? {
            let answer = Arc::clone(&self.answer.lock().unwrap_or_else(PoisonError::into_inner));
            let Reply { status, headers, body } = answer(&sent);
            sent.answered = status;
            self.sent.lock().unwrap_or_else(PoisonError::into_inner).push(sent);
            if status == 0 {
                // No answer at all.
                return stream.shutdown(Shutdown::Both);
            }
            let length = body.len();
            let mut stream = stream;
            write!(
                stream,
                "HTTP/1.1 {status} Whatever\r\nContent-Length: {length}\r\n{headers}\r\n{body}"
            )?;
        }
        Ok(())
    }
}

/// The next request of a connection.
fn read(reader: &mut impl io::BufRead) -> io::Result<Option<Sent>> {
    let mut line = String::new();
    if reader.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let at = Instant::now();
    let mut headers = Vec::new();
    loop {
        let mut header = String::new();
        reader.read_line(&mut header)?;
        match header.trim_end().split_once(": ") {
            Some((name, value)) => headers.push((name.to_owned(), value.to_owned())),
            None => break,
        }
    }
    let mut sent =
        Sent { at, line: line.trim_end().to_owned(), headers, body: String::new(), answered: 0 };
    let length = sent.header("content-length").and_then(|text| text.parse().ok()).unwrap_or(0);
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    sent.body = String::from_utf8(body).map_err(io::Error::other)?;
    Ok(Some(sent))
}
