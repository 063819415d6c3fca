//! The state directory under a supervisor that works: held by its lock, and looked at.
//!
//! It may be removed, moved away, or replaced by another one. The lock keeps nobody out then,
//! and what is written to files that are gone is lost. So it is looked at when the kernel says
//! that the lock's file may have gone:
//!
//! ```text
//!   ours ──removed, moved away──► made anew: lock, id, place; each writer begins its file anew
//!     ▲ └──another one stands there, or cannot be made──► lost: told, nothing is remembered
//!     └────────────────────it is there again───────────────────────────┘
//! ```
//!
//! Looking is a `stat(2)`, on a thread of its own: the file system may not answer. Where the
//! kernel cannot say it, and while it is lost, it is looked at every two seconds.

use std::fs;
use std::io::{self, PipeReader, PipeWriter};
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::id::{self, check_id};
use super::place::Place;
use super::run_table;
use crate::os::{Departures, StateId, StateLock};
use crate::state_dir;

/// How often it is looked at where nobody says that it may have gone, in milliseconds.
const EVERY: u16 = 2000;

/// Whoever removes it may not be done yet: it is looked at again after this, in milliseconds.
const AGAIN: u16 = 300;

/// Something that the operator is told.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum HomeNotice {
    /// It was gone, and was made anew.
    Anew,
    /// It is no longer ours, for this reason.
    Lost(String),
    /// It is ours again.
    Back,
}

/// What writers in the state directory ask.
#[derive(Debug, Default)]
pub(crate) struct Home {
    /// How often it was made anew.
    generation: AtomicU64,
    is_lost: AtomicBool,
}

impl Home {
    /// A number that changes when files have to be made anew.
    ///
    /// # Errors
    /// `ESTALE`: it is not ours.
    pub(crate) fn generation(&self) -> io::Result<u64> {
        if self.is_lost.load(SeqCst) {
            return Err(io::Error::from_raw_os_error(libc::ESTALE));
        }
        Ok(self.generation.load(SeqCst))
    }
}

/// Holds the state directory until dropped.
#[derive(Debug)]
pub(crate) struct Holder {
    shared: Arc<Shared>,
    /// Closed with it, which ends the thread.
    end: OnceLock<PipeWriter>,
}

#[derive(Debug)]
struct Shared {
    dir: PathBuf,
    home: Arc<Home>,
    /// None: it is given up.
    lock: Mutex<Option<StateLock>>,
}

/// Finds the lock that holds the directory at present.
#[derive(Clone, Debug)]
pub(crate) struct LockSource(Arc<Shared>);

/// What one look gave.
#[derive(PartialEq, Eq, Debug)]
enum Found {
    Ours,
    Anew,
}

impl Holder {
    /// Holds `dir` by its lock.
    pub(crate) fn new(dir: &Path, lock: StateLock) -> Holder {
        let lock = Mutex::new(Some(lock));
        let shared = Shared { dir: dir.to_owned(), home: Arc::default(), lock };
        Holder { shared: Arc::new(shared), end: OnceLock::new() }
    }

    /// What writers ask.
    pub(crate) fn home(&self) -> Arc<Home> {
        Arc::clone(&self.shared.home)
    }

    /// The lock, to be passed on.
    pub(crate) fn lock_source(&self) -> LockSource {
        LockSource(Arc::clone(&self.shared))
    }

    /// Looks at it from now on, on the thread "kennel-home". `id` and `place` are what stands
    /// in it.
    ///
    /// # Errors
    /// There can be no thread or no pipe.
    pub(crate) fn watch(
        &self,
        id: StateId,
        place: Place,
        tell: impl Fn(HomeNotice) + Send + 'static,
    ) -> io::Result<()> {
        let shared = Arc::clone(&self.shared);
        let (end, ends) = io::pipe()?;
        thread::Builder::new()
            .name("kennel-home".to_owned())
            .spawn(move || shared.watch(&end, id, &place, &tell))?;
        let _ = self.end.set(ends);
        Ok(())
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        drop(self.shared.lock().take());
    }
}

impl LockSource {
    /// Another descriptor of it.
    ///
    /// # Errors
    /// `EMFILE`; it was given up.
    pub(crate) fn descriptor(&self) -> io::Result<OwnedFd> {
        self.0.descriptor()
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Option<StateLock>> {
        self.lock.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn watch(&self, end: &PipeReader, id: StateId, place: &Place, tell: &dyn Fn(HomeNotice)) {
        let lock = self.dir.join("lock");
        loop {
            // Before the look, so that nothing falls between.
            let departures = Departures::of(&lock);
            if !self.is_ours() && !goes_on(end, None, AGAIN.into()) {
                return;
            }
            let found = self.look(id, place);
            let was_lost = self.home.is_lost.swap(found.is_err(), SeqCst);
            let is_ours = found.is_ok();
            match found {
                Ok(Found::Anew) => {
                    self.home.generation.fetch_add(1, SeqCst);
                    tell(HomeNotice::Anew);
                    // What was asked for are departures of the one before.
                    continue;
                }
                Ok(Found::Ours) if was_lost => tell(HomeNotice::Back),
                Ok(Found::Ours) => {}
                Err(reason) if !was_lost => tell(HomeNotice::Lost(reason)),
                Err(_) => {}
            }
            let patience = match departures {
                Some(_) if is_ours => PollTimeout::NONE,
                Some(_) | None => EVERY.into(),
            };
            if !goes_on(end, departures.as_ref(), patience) {
                return;
            }
        }
    }

    /// Whether the lock that we hold is the one that others would find.
    fn is_ours(&self) -> bool {
        match self.descriptor() {
            Ok(descriptor) => StateLock::is_of(&descriptor, &self.dir),
            // Nothing is known without one.
            Err(_) => true,
        }
    }

    fn descriptor(&self) -> io::Result<OwnedFd> {
        match &*self.lock() {
            Some(lock) => lock.as_fd().try_clone_to_owned(),
            None => Err(io::Error::from_raw_os_error(libc::EBADF)),
        }
    }

    fn look(&self, id: StateId, place: &Place) -> Result<Found, String> {
        if self.is_ours() {
            return Ok(Found::Ours);
        }
        state_dir::prepare(&self.dir).map_err(|error| error.to_string())?;
        self.has_no_other_table(id)?;
        let lock = StateLock::acquire(&self.dir).map_err(|error| error.to_string())?;
        self.has_no_other_table(id)?;
        id::write(&self.dir, id).map_err(|error| error.to_string())?;
        // A client of another environment does not find the socket without it; no more.
        let _ = place.write(&self.dir);
        let mut held = self.lock();
        if held.is_some() {
            *held = Some(lock);
        }
        Ok(Found::Anew)
    }

    /// A supervisor that has started something has written a table before.
    fn has_no_other_table(&self, id: StateId) -> Result<(), String> {
        let is_ours = matches!(check_id(&self.dir, None), Ok(Some(found)) if found == id);
        if is_ours || fs::symlink_metadata(run_table::path_in(&self.dir)).is_err() {
            return Ok(());
        }
        Err(format!("another one stands at \"{}\"", self.dir.display()))
    }
}

/// Waits so long, or until a departure is told; false when it is given up.
fn goes_on(end: &PipeReader, departures: Option<&Departures>, patience: PollTimeout) -> bool {
    let mut waited = vec![PollFd::new(end.as_fd(), PollFlags::empty())];
    waited.extend(departures.map(|told| PollFd::new(told.as_fd(), PollFlags::POLLIN)));
    // Where a signal ends it, it is looked at once more than needed.
    let _ = poll(&mut waited, patience);
    !waited[0].revents().is_some_and(|events| events.contains(PollFlags::POLLHUP))
}
