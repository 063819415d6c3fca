//! The state directory under a supervisor that works: held by its lock, and looked at.
//!
//! It may be removed, moved away, or replaced by another one. The lock keeps nobody out then,
//! and what is written to files that are gone is lost. So it is looked at every two seconds:
//!
//! ```text
//!   ours ──removed, moved away──► made anew: lock, id, place; each writer begins its file anew
//!     ▲ └──another one stands there, or cannot be made──► lost: told, nothing is remembered
//!     └────────────────────it is there again───────────────────────────┘
//! ```
//!
//! Looking is a `stat(2)`, on a thread of its own: the file system may not answer.

use std::fs;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use super::id::{self, check_id};
use super::place::Place;
use super::run_table;
use crate::os::{StateId, StateLock};
use crate::state_dir;

/// How often it is looked at.
const EVERY: Duration = Duration::from_secs(2);

/// Whoever removes it may not be done yet: it is looked at again after this.
const AGAIN: Duration = Duration::from_millis(300);

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
pub(crate) struct Holder(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    dir: PathBuf,
    home: Arc<Home>,
    /// None: it is given up.
    lock: Mutex<Option<StateLock>>,
    wake: Condvar,
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
        let (home, wake) = (Arc::default(), Condvar::new());
        Holder(Arc::new(Shared { dir: dir.to_owned(), home, lock, wake }))
    }

    /// What writers ask.
    pub(crate) fn home(&self) -> Arc<Home> {
        Arc::clone(&self.0.home)
    }

    /// The lock, to be passed on.
    pub(crate) fn lock_source(&self) -> LockSource {
        LockSource(Arc::clone(&self.0))
    }

    /// Looks at it from now on, on the thread "kennel-home". `id` and `place` are what stands
    /// in it.
    ///
    /// # Errors
    /// There can be no thread.
    pub(crate) fn watch(
        &self,
        id: StateId,
        place: Place,
        tell: impl Fn(HomeNotice) + Send + 'static,
    ) -> io::Result<()> {
        let shared = Arc::clone(&self.0);
        thread::Builder::new()
            .name("kennel-home".to_owned())
            .spawn(move || shared.watch(id, &place, &tell))?;
        Ok(())
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        drop(self.0.lock().take());
        self.0.wake.notify_all();
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

    /// Waits so long; false when it is given up.
    fn goes_on(&self, time: Duration) -> bool {
        let is_held = |lock: &mut Option<StateLock>| lock.is_some();
        let waited = self.wake.wait_timeout_while(self.lock(), time, is_held);
        waited.unwrap_or_else(PoisonError::into_inner).0.is_some()
    }

    fn watch(&self, id: StateId, place: &Place, tell: &dyn Fn(HomeNotice)) {
        while self.goes_on(EVERY) {
            if !self.is_ours() && !self.goes_on(AGAIN) {
                return;
            }
            let found = self.look(id, place);
            let was_lost = self.home.is_lost.swap(found.is_err(), SeqCst);
            match found {
                Ok(Found::Anew) => {
                    self.home.generation.fetch_add(1, SeqCst);
                    tell(HomeNotice::Anew);
                }
                Ok(Found::Ours) if was_lost => tell(HomeNotice::Back),
                Ok(Found::Ours) => {}
                Err(reason) if !was_lost => tell(HomeNotice::Lost(reason)),
                Err(_) => {}
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
