//! A log thread: one epoll, all its streams, all its outputs.
//!
//! # One turn
//!
//! `epoll_wait` sleeps until a stream is readable, the bell rings, or the first timer is
//! due. A readable stream is read once, 64 KiB at most, and what came is written before
//! the next stream has its turn: no stream can keep the others waiting for longer, and no
//! more than one read of each service is ever in memory. After each turn the ledger of the
//! service says so.
//!
//! Timers exist only while something is pending: an unfinished line, an output to be tried
//! again, a rate limit that holds.
//!
//! # Stalls
//!
//! An output that cannot be written keeps its backlog; its streams leave the epoll set (a
//! level-triggered one would spin) and come back when the write works.

mod closing;
mod pending;
mod recovery;
mod taking;

use std::collections::{BTreeSet, HashMap};
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::mpsc::SyncSender;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use jiff::Timestamp;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::unistd::gettid;

use super::capture::{LogFact, OpenStream, Source};
use super::console::ConsoleSink;
use super::feed::{Feed, HOLD};
use super::ledger::StreamKey;
use super::line::Stamper;
use super::mailbox::{Command, Mailbox};
use super::output::Output;
use super::registry::Registry;
use super::settings::{Destination, LogSettings};
use super::spool::SpoolPlace;
use crate::state::Home;

/// How much of one stream is read in one turn: what a pipe holds by default.
const READ: usize = 64 * 1024;

/// The token of the bell; streams count up from 1.
const BELL: u64 = 0;

/// Who is told, by both threads.
pub(crate) type Facts = Arc<Mutex<Box<dyn Fn(LogFact) + Send>>>;

/// Where the lines of a log thread go.
pub(crate) enum Sink {
    Files { logs: PathBuf, spool: SpoolPlace },
    Console(ConsoleSink),
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Timer {
    /// A line of this stream has been unfinished for long.
    Held(u64),
    /// The output of this service may work again.
    Retry(Arc<str>),
    /// The rate limit of this service lets go.
    LetGo(Arc<str>),
}

/// What one read of a stream gave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Turn {
    Read(usize),
    /// Nothing there, or nothing to be read now.
    Nothing,
    /// The stream is gone.
    Ended,
}

/// A log thread before and while it runs.
pub(crate) struct Worker {
    sink: Sink,
    mailbox: Arc<Mailbox>,
    peer: Arc<Mailbox>,
    registry: Arc<Registry>,
    facts: Facts,
    epoll: Epoll,
    feeds: HashMap<u64, Feed>,
    outputs: HashMap<Arc<str>, Output>,
    next_token: u64,
    timers: BTreeSet<(Instant, Timer)>,
    stamper: Stamper,
    buffer: Vec<u8>,
    flushes: Vec<SyncSender<()>>,
    closing: Option<SyncSender<()>>,
    home: Arc<Home>,
    /// Which one of the directories at its path is written to.
    generation: u64,
}

impl Worker {
    /// # Errors
    /// No epoll to be had.
    pub(crate) fn new(
        sink: Sink,
        mailbox: Arc<Mailbox>,
        peer: Arc<Mailbox>,
        registry: Arc<Registry>,
        facts: Facts,
    ) -> nix::Result<Self> {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        epoll.add(mailbox.bell(), EpollEvent::new(EpollFlags::EPOLLIN, BELL))?;
        Ok(Worker {
            sink,
            mailbox,
            peer,
            registry,
            facts,
            epoll,
            feeds: HashMap::new(),
            outputs: HashMap::new(),
            next_token: BELL + 1,
            timers: BTreeSet::new(),
            stamper: Stamper::new(),
            buffer: vec![0; READ],
            flushes: Vec::new(),
            closing: None,
            home: Arc::default(),
            generation: 0,
        })
    }

    /// Runs until told to shut down.
    pub(crate) fn run(mut self) {
        self.mailbox.set_thread_id(gettid().as_raw());
        self.look_back();
        let mut events = [EpollEvent::empty(); 64];
        while !self.is_done() {
            // The only error can be EINTR: the set and the array are ours and valid.
            let count = self.epoll.wait(&mut events, self.timeout()).unwrap_or(0);
            // Commands first: what was asked for before something was written holds for it.
            if events[..count].iter().any(|event| event.data() == BELL) {
                self.obey();
            }
            for event in events[..count].iter().filter(|event| event.data() != BELL) {
                self.turn(event.data());
            }
            self.fire_timers();
            self.answer_flushes();
        }
        self.mailbox.end();
        self.abandon_all();
    }

    /// Goes on in new files where the directory was made anew.
    fn move_in(&mut self) {
        match self.home.generation() {
            Ok(generation) if generation != self.generation => {
                self.generation = generation;
                self.outputs.values_mut().for_each(Output::move_in);
            }
            // What is still written to the old files can be found there.
            Ok(_) | Err(_) => {}
        }
    }

    /// How long to sleep, rounded up to the milliseconds that epoll knows.
    fn timeout(&self) -> EpollTimeout {
        let timer = self.timers.first().map(|(at, _)| *at);
        let closing = self.closing.is_some().then(|| self.mailbox.deadline()).flatten();
        let Some(next) = timer.into_iter().chain(closing).min() else {
            return EpollTimeout::NONE;
        };
        let left = next.saturating_duration_since(Instant::now());
        EpollTimeout::try_from(left.as_micros().div_ceil(1000)).unwrap_or(EpollTimeout::MAX)
    }

    fn obey(&mut self) {
        for command in self.mailbox.take() {
            match command {
                Command::Add(source) => self.add(source),
                Command::Adopt(feed, settings) => self.adopt(*feed, settings),
                Command::Begin => self.begin(),
                Command::LiveIn(home) => self.home = home,
                Command::MoveIn => self.move_in(),
                Command::Update(service, settings) => self.update(&service, settings),
                Command::Remove(service) => self.remove(&service),
                Command::Rest(reply, until) => {
                    if reply.send(self.copies()).is_ok() {
                        // It ends with who asked.
                        let _ = until.recv();
                    }
                }
                Command::Flush(done) => self.flushes.push(done),
                Command::Shutdown(done) => self.closing = Some(done),
            }
        }
    }

    /// Copies of what is read, as far as there are descriptors for them.
    fn copies(&self) -> Vec<OpenStream> {
        let copy = |feed: &Feed| {
            let StreamKey { run, stream, pipe } = feed.key;
            let fd = feed.fd.as_ref()?.try_clone().ok()?;
            Some(OpenStream { service: Arc::clone(&feed.service), run, stream, pipe, fd })
        };
        self.feeds.values().filter_map(copy).collect()
    }

    fn add(&mut self, source: Source) {
        let settings = source.settings.clone();
        self.adopt(Feed::new(source), settings);
    }

    fn adopt(&mut self, mut feed: Feed, settings: LogSettings) {
        let now = Instant::now();
        let token = self.token_for(&mut feed);
        let service = Arc::clone(&feed.service);
        let registry = &self.registry;
        let output = self.outputs.entry(Arc::clone(&service)).or_insert_with(|| {
            Output::new(Arc::clone(&service), settings.clone(), registry.entry(&service), now)
        });
        if output.settings != settings {
            // Files that stay too long are no reason to lose the stream.
            let _ = output.apply(settings, now, &self.stamper.stamp(Timestamp::now()));
        }
        output.entry = registry.entry(&service);
        if let Some(fd) = &feed.fd {
            set_nonblocking(fd);
            let event = EpollEvent::new(EpollFlags::EPOLLIN, token);
            if !output.rests() && self.epoll.add(fd, event).is_err() {
                // Not a pipe, or no memory: nothing can be read from it.
                self.report(closed(&feed));
                return;
            }
        }
        if !output.tokens.contains(&token) {
            output.tokens.push(token);
        }
        feed.timer = feed.held_at.is_some();
        if let Some(held_at) = feed.held_at {
            self.timers.insert((held_at + HOLD, Timer::Held(token)));
        }
        self.feeds.insert(token, feed);
        // Makes room for the name before anybody's first line: the column stays where it is.
        self.relabel(&service);
    }

    fn update(&mut self, service: &Arc<str>, settings: LogSettings) {
        let Some(output) = self.outputs.get_mut(service) else { return };
        if output.redo {
            // Its streams are still to be added, with settings of their own.
            return;
        }
        let is_mine = match settings.to {
            Destination::File | Destination::None => matches!(self.sink, Sink::Files { .. }),
            Destination::Inherit => matches!(self.sink, Sink::Console(_)),
        };
        let stamp = self.stamper.stamp(Timestamp::now());
        if is_mine {
            let _ = output.apply(settings, Instant::now(), &stamp);
            self.settle(service);
            return;
        }
        output.finish_note(&stamp);
        output.end_lines(&stamp);
        for token in std::mem::take(&mut output.tokens) {
            if let Some(feed) = self.feeds.remove(&token) {
                self.unwatch(&feed);
                self.peer.post(Command::Adopt(Box::new(feed), settings.clone()));
            }
        }
        self.settle(service);
        if let Some(output) = self.outputs.get_mut(service) {
            output.settings.to = settings.to;
        }
        self.forget_if_empty(service);
    }

    fn remove(&mut self, service: &Arc<str>) {
        if self.outputs.get(service).is_some_and(|output| output.redo) {
            // What cannot be read or written now never will be.
            let _ = self.redo(service);
        }
        let tokens = self.outputs.get(service).map(|output| output.tokens.clone());
        for token in tokens.unwrap_or_default() {
            self.drain(token);
            self.close(token);
        }
        if let Some(mut output) = self.outputs.remove(service) {
            self.abandon(&output);
            if let Some(spool) = output.spool.take() {
                spool.remove();
            }
        }
    }

    fn relabel(&mut self, service: &Arc<str>) {
        if let (Sink::Console(console), Some(output)) =
            (&mut self.sink, self.outputs.get_mut(service))
        {
            output.label = console.label(service);
        }
    }

    /// Lets go of a stream; what it left unfinished is written.
    fn close(&mut self, token: u64) {
        self.write_partial(token);
        let stamp = self.stamper.stamp(Timestamp::now());
        let Some(feed) = self.feeds.remove(&token) else { return };
        self.unwatch(&feed);
        let Some(output) = self.outputs.get_mut(&feed.service) else { return };
        output.tokens.retain(|other| *other != token);
        output.end_stream(feed.key.stream, &stamp, feed.line);
        if output.tokens.is_empty() {
            output.finish_note(&stamp);
        }
        self.settle(&feed.service);
    }

    fn unwatch(&self, feed: &Feed) {
        if let Some(fd) = &feed.fd {
            // Not in the set while its output rests.
            let _ = self.epoll.delete(fd);
        }
    }

    fn report(&self, fact: LogFact) {
        report(&self.facts, fact);
    }
}

fn report(facts: &Facts, fact: LogFact) {
    let facts = facts.lock().unwrap_or_else(PoisonError::into_inner);
    facts(fact);
}

fn closed(feed: &Feed) -> LogFact {
    let StreamKey { run, stream, pipe: _ } = feed.key;
    LogFact::Closed { service: Arc::clone(&feed.service), run, stream }
}

/// A stream that blocks would block all others. Only fails on what is no open file.
fn set_nonblocking(fd: &OwnedFd) {
    if let Ok(flags) = fcntl(fd, FcntlArg::F_GETFL) {
        let flags = OFlag::from_bits_retain(flags) | OFlag::O_NONBLOCK;
        let _ = fcntl(fd, FcntlArg::F_SETFL(flags));
    }
}
