//! From a name to addresses.
//!
//! The system's resolver blocks a thread for as long as it likes. So all who ask for the
//! same name at once share one question, and only so many questions are under way: a
//! resolver that hangs holds that many threads, never all of them, since processes are
//! started on the same ones. Nothing is remembered: a check must see what a client sees.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs as _};
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Semaphore, watch};

use super::error::ProbeError;

/// How many names are being resolved at once.
const QUESTIONS_MAX: usize = 32;

static PLACES: Semaphore = Semaphore::const_new(QUESTIONS_MAX);

type Answer = Result<Vec<SocketAddr>, String>;
type Open = HashMap<String, watch::Receiver<Option<Answer>>>;

/// Questions that are under way.
static OPEN: LazyLock<Mutex<Open>> = LazyLock::new(Mutex::default);

fn open() -> MutexGuard<'static, Open> {
    OPEN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The addresses of `host`, in the order in which they are to be tried.
pub(super) async fn resolve(host: &str, port: u16) -> Result<Vec<SocketAddr>, ProbeError> {
    if let Ok(address) = host.parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(address, port)]);
    }
    let name = host.strip_suffix('.').unwrap_or(host);
    if name.eq_ignore_ascii_case("localhost") {
        // Whatever a resolver says (RFC 6761), and without a thread. IPv4 comes first as
        // most local servers listen there; a refusal there costs nothing.
        let loopback = [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];
        return Ok(loopback.map(|address| SocketAddr::new(address, port)).into());
    }
    let error = |reason: &str| ProbeError::Dns { host: host.to_owned(), reason: reason.to_owned() };
    let mut answer = ask(name).await;
    let found = match answer.wait_for(Option::is_some).await {
        Ok(found) => found.clone(),
        // The runtime it was asked on has ended.
        Err(_) => None,
    };
    match found {
        Some(Ok(mut addresses)) => {
            addresses.iter_mut().for_each(|address| address.set_port(port));
            if addresses.is_empty() { Err(error("it has no address")) } else { Ok(addresses) }
        }
        Some(Err(reason)) => Err(error(&reason)),
        None => Err(error("the resolver was interrupted")),
    }
}

/// Joins the question for `name`, or begins it.
async fn ask(name: &str) -> watch::Receiver<Option<Answer>> {
    if let Some(answer) = open().get(name) {
        return answer.clone();
    }
    // The semaphore is never closed.
    let place = PLACES.acquire().await.ok();
    let mut questions = open();
    // Somebody else may have had the same idea while this one waited for a place.
    if let Some(answer) = questions.get(name) {
        return answer.clone();
    }
    let (tell, answer) = watch::channel(None);
    questions.insert(name.to_owned(), answer.clone());
    let question = Question { name: name.to_owned(), tell };
    // A runtime that ends drops the question at once.
    drop(questions);
    tokio::task::spawn_blocking(move || {
        let found = look_up(&question.name);
        question.tell.send_replace(Some(found));
        drop((question, place));
    });
    answer
}

/// A question under way; it is no longer when this is dropped, also unasked.
struct Question {
    name: String,
    tell: watch::Sender<Option<Answer>>,
}

impl Drop for Question {
    fn drop(&mut self) {
        open().remove(&self.name);
    }
}

fn look_up(name: &str) -> Answer {
    match (name, 0).to_socket_addrs() {
        Ok(addresses) => Ok(addresses.collect()),
        Err(error) => {
            let text = error.to_string();
            let reason = text.strip_prefix("failed to lookup address information: ");
            Err(lower_first(reason.unwrap_or(&text)))
        }
    }
}

/// The resolver's words as the end of a sentence.
fn lower_first(text: &str) -> String {
    let mut letters = text.chars();
    match letters.next() {
        Some(first) => first.to_lowercase().chain(letters).collect(),
        None => String::new(),
    }
}
