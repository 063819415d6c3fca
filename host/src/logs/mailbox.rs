//! How a log thread is told things: a queue, and an eventfd that its epoll watches.
//! Posting never blocks longer than another poster holds the lock.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicI32, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, SyncSender};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use nix::sys::eventfd::{EfdFlags, EventFd};

use super::capture::{OpenStream, Source};
use super::feed::Feed;
use super::settings::LogSettings;
use crate::state::Home;

/// What a log thread can be asked for.
pub(crate) enum Command {
    /// Read this.
    Add(Source),
    /// Go on with what the other thread has read so far.
    Adopt(Box<Feed>, LogSettings),
    /// Finish what an earlier supervisor left; who was to be added again was.
    Begin,
    /// Ask this from now on whether the directory is still the same.
    LiveIn(Arc<Home>),
    /// Look whether it is.
    MoveIn,
    /// New settings of a service.
    Update(Arc<str>, LogSettings),
    /// Read what is there and forget the service.
    Remove(Arc<str>),
    /// Answer with copies of all streams that are read, and read nothing until the other end
    /// of this is dropped.
    Rest(SyncSender<Vec<OpenStream>>, Receiver<()>),
    /// Answer when everything readable now is written.
    Flush(SyncSender<()>),
    /// Read what is there, write it, and end; the deadline is in the mailbox.
    Shutdown(SyncSender<()>),
}

struct State {
    queue: VecDeque<Command>,
    deadline: Option<Instant>,
    ended: bool,
}

/// The door of one log thread.
pub(crate) struct Mailbox {
    state: Mutex<State>,
    bell: EventFd,
    thread_id: AtomicI32,
}

impl Mailbox {
    /// # Errors
    /// No eventfd to be had.
    pub(crate) fn new() -> nix::Result<Self> {
        let flags = EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK;
        Ok(Mailbox {
            state: Mutex::new(State { queue: VecDeque::new(), deadline: None, ended: false }),
            bell: EventFd::from_value_and_flags(0, flags)?,
            thread_id: AtomicI32::new(0),
        })
    }

    /// Puts `command` in the queue; what it holds is dropped when the thread has ended.
    pub(crate) fn post(&self, command: Command) {
        let mut state = self.lock();
        if state.ended {
            return;
        }
        state.queue.push_back(command);
        drop(state);
        self.ring();
    }

    /// Asks the thread to end, by `deadline` whatever is left unwritten.
    pub(crate) fn post_shutdown(&self, deadline: Instant, done: SyncSender<()>) {
        self.lock().deadline = Some(deadline);
        self.post(Command::Shutdown(done));
    }

    /// Takes all that waits.
    pub(crate) fn take(&self) -> VecDeque<Command> {
        // The bell first: what is posted after this rings it again.
        let _ = self.bell.read();
        std::mem::take(&mut self.lock().queue)
    }

    /// By when to be done, once a shutdown was asked for.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.lock().deadline
    }

    /// Says that nobody reads this any more.
    pub(crate) fn end(&self) {
        let mut state = self.lock();
        state.ended = true;
        state.queue.clear();
    }

    pub(crate) fn bell(&self) -> &EventFd {
        &self.bell
    }

    /// The kernel's id of the thread, 0 before it runs.
    pub(crate) fn thread_id(&self) -> i32 {
        self.thread_id.load(Relaxed)
    }

    pub(crate) fn set_thread_id(&self, id: i32) {
        self.thread_id.store(id, Relaxed);
    }

    fn ring(&self) {
        // Only fails when the count is at its maximum: then the bell rings already.
        let _ = self.bell.write(1);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
