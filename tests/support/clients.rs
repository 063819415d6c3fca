//! Clients that ask a server on the loopback interface, one request after the other, and
//! count what became of each.

use std::io::ErrorKind;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::{BOUND, http, wait_for};

/// Some clients at work, until they are told to stop.
pub(crate) struct Clients {
    counts: Arc<Counts>,
    threads: Vec<JoinHandle<()>>,
}

#[derive(Default)]
struct Counts {
    answered: AtomicU64,
    refused: AtomicU64,
    broken: AtomicU64,
    longest_us: AtomicU64,
    is_over: AtomicBool,
}

/// What became of the requests.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Tally {
    /// Answered with 200.
    pub(crate) answered: u64,
    /// Nobody listened.
    pub(crate) refused: u64,
    /// The connection was there, and no whole answer came.
    pub(crate) broken: u64,
    /// How long an answer took at most.
    pub(crate) longest: Duration,
}

impl Clients {
    /// So many clients that ask the server at `port`.
    pub(crate) fn asking(port: u16, clients: usize) -> Clients {
        let counts = Arc::new(Counts::default());
        let one = || {
            let counts = counts.clone();
            thread::spawn(move || counts.ask(port))
        };
        Clients { threads: (0..clients).map(|_| one()).collect(), counts }
    }

    pub(crate) fn tally(&self) -> Tally {
        let Counts { answered, refused, broken, longest_us, is_over: _ } = &*self.counts;
        let [answered, refused, broken, longest_us] =
            [answered, refused, broken, longest_us].map(|count| count.load(Ordering::SeqCst));
        Tally { answered, refused, broken, longest: Duration::from_micros(longest_us) }
    }

    /// Waits until so many more requests were answered.
    #[track_caller]
    pub(crate) fn wait_for_more(&self, more: u64) {
        let before = self.tally().answered;
        wait_for(&format!("{more} more answers"), BOUND, || {
            (self.tally().answered >= before + more).then_some(())
        });
    }

    /// Lets each finish its request, and counts.
    pub(crate) fn stop(self) -> Tally {
        self.counts.is_over.store(true, Ordering::SeqCst);
        let tally = Clients { threads: Vec::new(), counts: self.counts.clone() };
        for thread in self.threads {
            thread.join().expect("a client counts, and does not panic");
        }
        tally.tally()
    }
}

impl Counts {
    fn ask(&self, port: u16) {
        while !self.is_over.load(Ordering::SeqCst) {
            let begun = Instant::now();
            let what = match http::get_tcp(port, "/") {
                Ok(answer) if answer.status == 200 => {
                    let took = u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX);
                    self.longest_us.fetch_max(took, Ordering::SeqCst);
                    &self.answered
                }
                Err(error) if error.kind() == ErrorKind::ConnectionRefused => &self.refused,
                Ok(_) | Err(_) => &self.broken,
            };
            what.fetch_add(1, Ordering::SeqCst);
        }
    }
}
