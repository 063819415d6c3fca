//! The handle on the two log threads.
//!
//! Every method but [`Capture::rest`], [`Capture::flush`] and [`Capture::shutdown`] only puts
//! something in a queue: none blocks, none can fail, and the order of calls is kept.

use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use tokio::sync::watch;

use crate::os::proc::boot_id;

use super::console::{Console, ConsoleSink};
use super::line::Stream;
use super::mailbox::{Command, Mailbox};
use super::registry::{LogCounters, Registry};
use super::settings::{Destination, LogSettings};
use super::spool::SpoolPlace;
use super::worker::{Sink, Worker};
use crate::state::Home;

/// Is shown every line of a run as it is read, without its newline and before any rate
/// limit; a line longer than [`PIECE_MAX`](super::line::PIECE_MAX) comes in pieces. Runs on
/// the log thread: it must neither block nor panic.
pub type LineTap = Arc<dyn Fn(Stream, &[u8]) + Send + Sync>;

/// One stream of one run.
pub struct Source {
    /// Whose output it is.
    pub service: Arc<str>,
    /// Which run of the service writes it.
    pub run: u64,
    /// Stdout or stderr.
    pub stream: Stream,
    /// The reading end of its pipe; it is made non-blocking.
    pub fd: OwnedFd,
    /// How the service's output is kept; holds for both its streams.
    pub settings: LogSettings,
    /// Who looks at the lines, for example a readiness check.
    pub tap: Option<LineTap>,
}

/// A stream that is being read, for somebody who goes on with it.
#[derive(Debug)]
pub struct OpenStream {
    /// Whose output it is.
    pub service: Arc<str>,
    /// Which run of the service writes it.
    pub run: u64,
    /// Stdout or stderr.
    pub stream: Stream,
    /// The inode of its pipe.
    pub pipe: u64,
    /// The reading end of its pipe.
    pub fd: OwnedFd,
}

/// What the log threads report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LogFact {
    /// The output of a service cannot be written. It is kept and tried again twice a
    /// second; meanwhile its streams are not read. Reported once until resumed.
    Stalled {
        /// Whose output.
        service: Arc<str>,
        /// What the system said.
        error: String,
    },
    /// Writing works again; nothing was lost.
    Resumed {
        /// Whose output.
        service: Arc<str>,
    },
    /// A stream came to its end: the last process that could write to it is gone.
    Closed {
        /// Whose stream.
        service: Arc<str>,
        /// Of which run.
        run: u64,
        /// Which stream.
        stream: Stream,
    },
    /// Output that could not be written before the service was removed, or, on the console,
    /// before the thread had to end, is lost.
    Abandoned {
        /// Whose output.
        service: Arc<str>,
        /// How many formatted bytes.
        bytes: usize,
    },
    /// What an earlier supervisor left of the output of a service cannot be read. It is
    /// moved aside, and what it held is not in the log.
    Unreadable {
        /// Where it is now.
        path: PathBuf,
        /// What is wrong with it.
        error: String,
    },
    /// Standard output is gone; what services inherit is thrown away from now on.
    ConsoleLost {
        /// What the system said.
        error: String,
    },
}

/// What log threads are started with.
pub struct CaptureOptions {
    /// Where log files are; made at the first line, 0700.
    pub dir: PathBuf,
    /// Where output is between its pipe and its file, so that a supervisor which is killed
    /// loses none of it; made when needed, 0700. On the same file system as `dir`, or a full
    /// one of the two holds up output that the other has space for.
    pub spool: PathBuf,
    /// Where `to: inherit` leads.
    pub console: Console,
    /// Is given every fact, on a log thread: it must neither block nor panic.
    pub facts: Box<dyn Fn(LogFact) + Send>,
}

/// Why a request to the log threads was not fulfilled.
#[derive(Debug, thiserror::Error)]
pub enum CaptureError {
    /// The kernel refused what a log thread needs.
    #[error("cannot start the log threads: {0}")]
    Start(#[from] std::io::Error),
    /// A disk or a terminal held the thread up for longer than the caller wanted to wait.
    #[error("cannot finish writing logs within {0:?}")]
    TimedOut(Duration),
}

/// A handle on the log threads. The threads end, after writing what is readable, when
/// [`shutdown`](Capture::shutdown) is called or the last clone is dropped.
#[derive(Clone)]
pub struct Capture {
    lanes: Arc<Lanes>,
    registry: Arc<Registry>,
}

/// The log threads rest until this is dropped.
pub struct Resting {
    /// What they read.
    pub streams: Vec<OpenStream>,
    _go_on: Vec<mpsc::SyncSender<()>>,
}

struct Lanes {
    files: Arc<Mailbox>,
    console: Arc<Mailbox>,
}

impl Capture {
    /// Starts "kennel-logs" and "kennel-console".
    ///
    /// # Errors
    /// No thread, epoll or eventfd to be had.
    pub fn start(options: CaptureOptions) -> Result<Self, CaptureError> {
        let CaptureOptions { dir, spool, console, facts } = options;
        let os = |error: nix::Error| CaptureError::Start(error.into());
        let facts = Arc::new(Mutex::new(facts));
        let registry = Arc::new(Registry::default());
        let lanes = Arc::new(Lanes {
            files: Arc::new(Mailbox::new().map_err(os)?),
            console: Arc::new(Mailbox::new().map_err(os)?),
        });
        let spawn = |name: &str, sink, own: &Arc<Mailbox>, peer: &Arc<Mailbox>| {
            let (own, peer) = (Arc::clone(own), Arc::clone(peer));
            let worker = Worker::new(sink, own, peer, Arc::clone(&registry), Arc::clone(&facts))
                .map_err(os)?;
            thread::Builder::new().name(name.to_owned()).spawn(move || worker.run())?;
            Ok::<(), CaptureError>(())
        };
        let console = Sink::Console(ConsoleSink::new(console));
        spawn("kennel-console", console, &lanes.console, &lanes.files)?;
        let spool = SpoolPlace { dir: spool, boot: boot() };
        spawn("kennel-logs", Sink::Files { logs: dir, spool }, &lanes.files, &lanes.console)?;
        Ok(Capture { lanes, registry })
    }

    /// Reads `source` from now on. Its settings become those of the service.
    ///
    /// A stream that an earlier supervisor has read is known by service, run, stream and the
    /// inode of its pipe. When it is added before [`begin`](Capture::begin) it goes on where it
    /// was: each of its lines is in the file once, in the order in which it was written, and an
    /// unfinished line stays one.
    pub fn add(&self, source: Source) {
        // Here and not at the first line: who asks for counters sees the service at once.
        self.registry.entry(&source.service);
        self.lane(source.settings.to).post(Command::Add(source));
    }

    /// Says that all streams which outlived an earlier supervisor have been added. The others
    /// have ended with their last process, which took along what was in their pipes: what was
    /// taken from them before is written now, and their unfinished lines end. Until then no
    /// output is read of services that an earlier supervisor has left something of.
    pub fn begin(&self) {
        self.lanes.files.post(Command::Begin);
    }

    /// Asks `home` whether the directory is still the same, whenever
    /// [`move_in`](Capture::move_in) is called.
    pub(crate) fn live_in(&self, home: Arc<Home>) {
        self.lanes.files.post(Command::LiveIn(home));
    }

    /// Has files made anew if the directory was.
    pub(crate) fn move_in(&self) {
        self.lanes.files.post(Command::MoveIn);
    }

    /// Changes how the output of a service is kept, while it runs.
    pub fn update(&self, service: &Arc<str>, settings: &LogSettings) {
        for lane in [&self.lanes.files, &self.lanes.console] {
            lane.post(Command::Update(Arc::clone(service), settings.clone()));
        }
    }

    /// Writes what is readable of a service, then closes its streams and forgets its
    /// counters. Files stay.
    pub fn remove(&self, service: &Arc<str>) {
        for lane in [&self.lanes.files, &self.lanes.console] {
            lane.post(Command::Remove(Arc::clone(service)));
        }
        self.registry.remove(service);
    }

    /// Has nothing read until the answer is dropped, and copies the reading ends of all streams
    /// into it. What was read before was shown to taps. A thread that a disk or a terminal
    /// holds up for longer than `timeout` gives none, and does not rest. Blocks.
    pub fn rest(&self, timeout: Duration) -> Resting {
        let deadline = Instant::now() + timeout;
        let (go_on, waiting): (Vec<_>, Vec<_>) = [&self.lanes.files, &self.lanes.console]
            .into_iter()
            .map(|lane| {
                let (reply, waiting) = mpsc::sync_channel(1);
                let (go_on, until) = mpsc::sync_channel(0);
                lane.post(Command::Rest(reply, until));
                (go_on, waiting)
            })
            .unzip();
        let left = || deadline.saturating_duration_since(Instant::now());
        let streams = waiting.iter().filter_map(|waiting| waiting.recv_timeout(left()).ok());
        Resting { streams: streams.flatten().collect(), _go_on: go_on }
    }

    /// Waits until everything that services had written when this was called is in the
    /// files and on the console. Blocks.
    ///
    /// # Errors
    /// [`CaptureError::TimedOut`] when it took longer than `timeout`.
    pub fn flush(&self, timeout: Duration) -> Result<(), CaptureError> {
        let deadline = Instant::now() + timeout;
        let waiting = [&self.lanes.files, &self.lanes.console].map(|lane| {
            let (done, waiting) = mpsc::sync_channel(1);
            lane.post(Command::Flush(done));
            waiting
        });
        wait(&waiting, deadline, timeout)
    }

    /// Reads and writes what is readable, closes everything and ends the threads. Blocks.
    ///
    /// # Errors
    /// [`CaptureError::TimedOut`] when it took longer than `timeout`: what could not be
    /// written is lost and reported as [`LogFact::Abandoned`]. A thread that a stopped
    /// terminal holds ends when the terminal goes on.
    pub fn shutdown(&self, timeout: Duration) -> Result<(), CaptureError> {
        let deadline = Instant::now() + timeout;
        let waiting = [&self.lanes.files, &self.lanes.console].map(|lane| {
            let (done, waiting) = mpsc::sync_channel(1);
            lane.post_shutdown(deadline, done);
            waiting
        });
        // A little later than the threads themselves, so that they can give up first.
        wait(&waiting, deadline + Duration::from_millis(100), timeout)
    }

    /// What was captured of each service, in the order of names.
    pub fn counters(&self) -> Vec<(Arc<str>, LogCounters)> {
        self.registry.counters()
    }

    /// What was captured of one service.
    pub fn counters_of(&self, service: &Arc<str>) -> LogCounters {
        self.registry.counters_of(service)
    }

    /// A number that changes whenever there may be more to read in the file of `service`.
    pub fn changes(&self, service: &Arc<str>) -> watch::Receiver<u64> {
        self.registry.subscribe(service)
    }

    /// The kernel's ids of "kennel-logs" and "kennel-console", 0 before they run.
    pub fn thread_ids(&self) -> [i32; 2] {
        [self.lanes.files.thread_id(), self.lanes.console.thread_id()]
    }

    fn lane(&self, to: Destination) -> &Mailbox {
        match to {
            Destination::File | Destination::None => &self.lanes.files,
            Destination::Inherit => &self.lanes.console,
        }
    }
}

impl Drop for Lanes {
    fn drop(&mut self) {
        // Nobody is left to say how long: enough for a disk that works.
        let deadline = Instant::now() + Duration::from_secs(1);
        for lane in [&self.files, &self.console] {
            lane.post_shutdown(deadline, mpsc::sync_channel(1).0);
        }
    }
}

/// The number of this boot; 0 where the kernel does not say, as every time.
fn boot() -> u128 {
    let id = boot_id().unwrap_or_default().replace('-', "");
    u128::from_str_radix(&id, 16).unwrap_or(0)
}

fn wait(
    waiting: &[mpsc::Receiver<()>],
    deadline: Instant,
    timeout: Duration,
) -> Result<(), CaptureError> {
    for done in waiting {
        match done.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            // Disconnected: the thread has ended, and wrote what it could before.
            Ok(()) | Err(RecvTimeoutError::Disconnected) => {}
            Err(RecvTimeoutError::Timeout) => return Err(CaptureError::TimedOut(timeout)),
        }
    }
    Ok(())
}
