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

static SYSTEM: LazyLock<Resolver> = LazyLock::new(|| Resolver::new(look_up));

type Answer = Result<Vec<SocketAddr>, String>;

/// Asks something that blocks.
struct Resolver {
    look: fn(&str) -> Answer,
    places: Semaphore,
    /// Questions that are under way.
    open: Mutex<HashMap<String, watch::Receiver<Option<Answer>>>>,
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
    let mut answer = SYSTEM.ask(name).await;
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

impl Resolver {
    fn new(look: fn(&str) -> Answer) -> Resolver {
        let places = Semaphore::new(QUESTIONS_MAX);
        Resolver { look, places, open: Mutex::default() }
    }

    /// Joins the question for `name`, or begins it.
    async fn ask(&'static self, name: &str) -> watch::Receiver<Option<Answer>> {
        if let Some(answer) = self.open().get(name) {
            return answer.clone();
        }
        // The semaphore is never closed.
        let place = self.places.acquire().await.ok();
        let mut questions = self.open();
        // Somebody else may have had the same idea while this one waited for a place.
        if let Some(answer) = questions.get(name) {
            return answer.clone();
        }
        let (tell, answer) = watch::channel(None);
        questions.insert(name.to_owned(), answer.clone());
        let question = Question { resolver: self, name: name.to_owned(), tell };
        // A runtime that ends drops the question at once.
        drop(questions);
        tokio::task::spawn_blocking(move || {
            let found = (question.resolver.look)(&question.name);
            question.tell.send_replace(Some(found));
            drop((question, place));
        });
        answer
    }

    fn open(&self) -> MutexGuard<'_, HashMap<String, watch::Receiver<Option<Answer>>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A question under way; it is no longer when this is dropped, also unasked.
struct Question {
    resolver: &'static Resolver,
    name: String,
    tell: watch::Sender<Option<Answer>>,
}

impl Drop for Question {
    fn drop(&mut self) {
        self.resolver.open().remove(&self.name);
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

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
    use std::sync::{Condvar, Mutex};

    use super::*;

    static ASKED: AtomicUsize = AtomicUsize::new(0);
    static IS_OVER: (Mutex<bool>, Condvar) = (Mutex::new(false), Condvar::new());
    static HANGING: LazyLock<Resolver> = LazyLock::new(|| {
        Resolver::new(|name| {
            ASKED.fetch_add(1, SeqCst);
            let is_over = IS_OVER.0.lock().unwrap();
            drop(IS_OVER.1.wait_while(is_over, |over| !*over).unwrap());
            Err(format!("no {name}"))
        })
    });

    async fn until(fact: impl Fn() -> bool) {
        let fact = async {
            while !fact() {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(std::time::Duration::from_secs(30), fact).await.unwrap();
    }

    #[tokio::test]
    async fn a_resolver_that_hangs_holds_few_threads_and_one_for_each_name() {
        let ask = |name: String| async move {
            let mut answer = HANGING.ask(&name).await;
            let found = answer.wait_for(Option::is_some).await.unwrap().clone();
            assert_eq!(found, Some(Err(format!("no {name}"))));
        };
        let mut asking = tokio::task::JoinSet::new();
        for number in 0..1000 {
            asking.spawn(ask(format!("name-{}", number % 4)));
        }
        until(|| ASKED.load(SeqCst) >= 4).await;
        for number in 0..1000 {
            asking.spawn(ask(format!("other-{number}")));
        }
        until(|| ASKED.load(SeqCst) >= QUESTIONS_MAX).await;
        // Whoever could go on has had many turns.
        for _ in 0..10_000 {
            tokio::task::yield_now().await;
        }
        assert_eq!(ASKED.load(SeqCst), QUESTIONS_MAX, "four of them for the first thousand");
        *IS_OVER.0.lock().unwrap() = true;
        IS_OVER.1.notify_all();
        while let Some(asked) = asking.join_next().await {
            asked.unwrap();
        }
        assert_eq!(ASKED.load(SeqCst), 1004, "every name was asked for once");
        until(|| HANGING.open().is_empty()).await;
    }

    #[tokio::test]
    async fn names_are_told_from_addresses_and_localhost_needs_no_resolver() {
        let found = |host: &'static str| async move {
            let found = resolve(host, 80).await.unwrap();
            found.iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        assert_eq!(found("10.0.0.1").await, ["10.0.0.1:80"]);
        assert_eq!(found("::1").await, ["[::1]:80"]);
        assert_eq!(found("LocalHost.").await, ["127.0.0.1:80", "[::1]:80"]);
        // No resolver takes a label that long, so that nobody is asked for it.
        let host = "x".repeat(70);
        match resolve(&host, 80).await {
            Err(ProbeError::Dns { host: named, reason }) => {
                assert_eq!(named, host);
                assert!(!reason.is_empty() && !reason.contains("lookup"), "{reason}");
            }
            other => panic!("{other:?}"),
        }
    }
}
