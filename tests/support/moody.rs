//! An HTTP endpoint that is given events, and is not always in the mood to take them.

use std::collections::HashMap;
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use serde_json::Value;

/// What an endpoint does with a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Mood {
    /// It takes the events.
    Takes,
    /// It takes them, and dies before it says so.
    TakesInSilence,
    /// It answers with this status.
    Refuses(u16),
    /// It says nothing for longer than anybody waits.
    Hangs,
}

/// An endpoint on the loopback interface, until it is dropped.
pub(crate) struct MoodyHook {
    port: u16,
    shared: Arc<Shared>,
}

struct Shared {
    mood: Box<dyn Fn(u64) -> Mood + Send + Sync>,
    requests: AtomicU64,
    taken: Mutex<Vec<Value>>,
    /// How many requests met which mood.
    met: Mutex<HashMap<&'static str, u64>>,
    ended: AtomicBool,
}

impl MoodyHook {
    /// One whose mood at each request, counted from 0, is as given.
    pub(crate) fn start(mood: impl Fn(u64) -> Mood + Send + Sync + 'static) -> MoodyHook {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("bound").port();
        let shared = Arc::new(Shared {
            mood: Box::new(mood),
            requests: AtomicU64::new(0),
            taken: Mutex::default(),
            met: Mutex::default(),
            ended: AtomicBool::new(false),
        });
        let accepting = Arc::clone(&shared);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if accepting.ended.load(Ordering::SeqCst) {
                    return;
                }
                let serving = Arc::clone(&accepting);
                // A client that goes away is none of our concern.
                thread::spawn(move || drop(serving.serve(stream)));
            }
        });
        MoodyHook { port, shared }
    }

    pub(crate) fn origin(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// The events that it has taken, in order.
    pub(crate) fn taken(&self) -> Vec<Value> {
        self.shared.taken.lock().unwrap().clone()
    }

    /// How many requests met which mood.
    pub(crate) fn met(&self) -> HashMap<&'static str, u64> {
        self.shared.met.lock().unwrap().clone()
    }
}

impl Drop for MoodyHook {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(("127.0.0.1", self.port));
    }
}

impl Shared {
    /// Serves one connection: a request after the other.
    fn serve(&self, stream: TcpStream) -> io::Result<()> {
        let mut reader = BufReader::new(stream);
        while let Some(body) = request(&mut reader)? {
            let mood = (self.mood)(self.requests.fetch_add(1, Ordering::SeqCst));
            let word = match mood {
                Mood::Takes => "takes",
                Mood::TakesInSilence => "takes in silence",
                Mood::Refuses(_) => "refuses",
                Mood::Hangs => "hangs",
            };
            *self.met.lock().unwrap().entry(word).or_default() += 1;
            let status = match mood {
                Mood::Takes => {
                    self.take(&body);
                    204
                }
                Mood::TakesInSilence => {
                    self.take(&body);
                    return Ok(());
                }
                Mood::Refuses(status) => status,
                Mood::Hangs => {
                    thread::sleep(Duration::from_secs(30));
                    return Ok(());
                }
            };
            let answer = format!("HTTP/1.1 {status} Whatever\r\nContent-Length: 0\r\n\r\n");
            reader.get_mut().write_all(answer.as_bytes())?;
        }
        Ok(())
    }

    fn take(&self, body: &[u8]) {
        let body: Value = serde_json::from_slice(body).expect("the body is JSON");
        let events = body["events"].as_array().expect("the body has events").clone();
        self.taken.lock().unwrap().extend(events);
    }
}

/// The body of the next request; none at the end of the connection.
fn request(reader: &mut BufReader<TcpStream>) -> io::Result<Option<Vec<u8>>> {
    let mut length = 0;
    let mut line = String::new();
    loop {
        line.clear();
        if reader.read_line(&mut line)? == 0 {
            return Ok(None);
        }
        if line == "\r\n" {
            break;
        }
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().map_err(io::Error::other)?;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    Ok(Some(body))
}
