//! The handle on the run table, and the thread that writes it.
//!
//! ```text
//!   loop ──post──► waiting ──► thread "kennel-state" ──► file ──► sync
//!                     ▲                                    ▲
//!   launch ───────────┴── takes what waits, then writes ───┘  before and after a spawn
//! ```
//!
//! The loop only puts changes into a list. Who makes a process writes on its own thread, and
//! what waits before it: so whatever led to a start is on disk when the process exists.
//!
//! What can go wrong: a disk that refuses. Then everything is kept and tried again, and it
//! is told once. Processes are started all the same: they are found by their run mark.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use tokio::sync::watch;

use super::home::Home;
use super::table::{Record, Table};
use super::table_file::{self, Damage, TableError, TableFile};
use crate::os::Cause;

/// How often a disk that refuses is tried again.
const RETRY: Duration = Duration::from_millis(500);

/// How long who asks waits for what was posted to be on disk.
const PATIENCE: Duration = Duration::from_secs(5);

/// Something that the operator is told.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum TableNotice {
    /// The file cannot be written; everything is kept in memory.
    Stalled(String),
    /// It is written again, with all that was kept.
    Resumed,
}

/// Where notices go. Called from any thread that writes; must not block.
type Tell = Box<dyn Fn(TableNotice) + Send + Sync>;

/// A cheap handle on the run table. When the last one is dropped the thread writes what
/// waits and ends.
#[derive(Clone)]
pub(crate) struct RunTable {
    shared: Arc<Shared>,
    _closer: Arc<Closer>,
}

struct Closer(Arc<Shared>);

impl Drop for Closer {
    fn drop(&mut self) {
        self.0.lock_waiting().is_closing = true;
        self.0.wake.notify_all();
    }
}

struct Shared {
    /// Held while it is written; always taken before `waiting`.
    file: Mutex<TableFile>,
    waiting: Mutex<Waiting>,
    /// For the thread: there is work.
    wake: Condvar,
    /// How many posts are written.
    written: watch::Sender<u64>,
    tell: Tell,
}

#[derive(Default)]
struct Waiting {
    records: Vec<Record>,
    /// How many posts there were.
    posted: u64,
    /// The disk is to be waited for.
    wants_sync: bool,
    /// Why the disk refuses, if it does.
    stalled: Option<Cause>,
    is_closing: bool,
}

/// Whether a change has to outlive a power loss.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Durability {
    /// The death of the supervisor only.
    Process,
    /// A power loss as well.
    Power,
}

impl RunTable {
    /// Reads the table in a state directory, which need not be there, and starts the thread.
    /// Blocks as long as the disk does.
    ///
    /// # Errors
    /// See [`TableError`].
    pub(crate) fn open(
        dir: &Path,
        tell: impl Fn(TableNotice) + Send + Sync + 'static,
    ) -> Result<(RunTable, Table, Option<Damage>), TableError> {
        let path = path_in(dir);
        let (file, damage) = TableFile::open(&path)?;
        let found = file.table().clone();
        let shared = Arc::new(Shared {
            file: Mutex::new(file),
            waiting: Mutex::default(),
            wake: Condvar::new(),
            written: watch::Sender::new(0),
            tell: Box::new(tell),
        });
        let writer = Arc::clone(&shared);
        thread::Builder::new()
            .name("kennel-state".to_owned())
            .spawn(move || writer.run())
            .map_err(|source| TableError::System { path, source })?;
        Ok((RunTable { _closer: Arc::new(Closer(Arc::clone(&shared))), shared }, found, damage))
    }

    /// What the table in a state directory adds up to. Changes nothing.
    ///
    /// # Errors
    /// As [`RunTable::open`].
    pub(crate) fn check(dir: &Path) -> Result<Table, TableError> {
        table_file::check(&path_in(dir))
    }

    /// Asks `home` from now on whether the directory is still the same. Blocks as long as the
    /// disk does.
    pub(crate) fn live_in(&self, home: Arc<Home>) {
        self.shared.lock_file().live_in(home);
    }

    /// Has the thread look whether all is written. Never blocks.
    pub(crate) fn look(&self) {
        self.shared.lock_waiting().wants_sync = true;
        self.shared.wake.notify_all();
    }

    /// Has records written soon. Never blocks.
    pub(crate) fn post(&self, records: Vec<Record>, durability: Durability) {
        if records.is_empty() {
            return;
        }
        let mut waiting = self.shared.lock_waiting();
        waiting.records.extend(records);
        waiting.posted += 1;
        waiting.wants_sync |= durability == Durability::Power;
        drop(waiting);
        self.shared.wake.notify_all();
    }

    /// Writes a record, and before it what waits; returns when that is so, or the disk has
    /// refused. Blocks as long as the disk does.
    pub(crate) fn write(&self, record: Record) {
        self.shared.write_with(Some(record));
    }

    /// Returns when what was posted before is written, or the disk has refused for long.
    ///
    /// # Errors
    /// Why it is not written; none: the disk does not answer.
    pub(crate) async fn written(&self) -> Result<(), Option<Cause>> {
        let posted = self.shared.lock_waiting().posted;
        let mut written = self.shared.written.subscribe();
        let is_written = written.wait_for(|written| *written >= posted);
        // An answer is late rather than missing when the disk does not work.
        match tokio::time::timeout(PATIENCE, is_written).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(self.shared.lock_waiting().stalled),
        }
    }

    /// Writes all and waits for the disk. Blocks.
    pub(crate) fn close(&self, timeout: Duration) -> bool {
        let deadline = Instant::now() + timeout;
        let posted = {
            let mut waiting = self.shared.lock_waiting();
            waiting.wants_sync = true;
            waiting.posted += 1;
            waiting.posted
        };
        self.shared.wake.notify_all();
        while *self.shared.written.borrow() < posted {
            if Instant::now() >= deadline {
                return false;
            }
            thread::sleep(Duration::from_millis(1));
        }
        true
    }
}

/// Why something is not written, in words.
pub(crate) fn unwritten(cause: Option<Cause>) -> String {
    cause.map_or("the disk does not answer".to_owned(), |cause| cause.to_string())
}

/// Where the table of a state directory is.
pub(crate) fn path_in(dir: &Path) -> PathBuf {
    dir.join("table")
}

impl Shared {
    /// The thread.
    fn run(&self) {
        loop {
            let mut waiting = self.lock_waiting();
            loop {
                if waiting.is_closing || !waiting.records.is_empty() || waiting.wants_sync {
                    break;
                }
                waiting = if waiting.stalled.is_some() {
                    let (waiting, time) =
                        self.wake.wait_timeout(waiting, RETRY).unwrap_or_else(|e| e.into_inner());
                    if time.timed_out() {
                        drop(waiting);
                        self.write_with(None);
                        self.lock_waiting()
                    } else {
                        waiting
                    }
                } else {
                    self.wake.wait(waiting).unwrap_or_else(PoisonError::into_inner)
                };
            }
            let is_closing = waiting.is_closing;
            drop(waiting);
            self.write_with(None);
            if is_closing {
                return;
            }
        }
    }

    /// Writes what waits and then `last`.
    fn write_with(&self, last: Option<Record>) {
        let mut file = self.lock_file();
        let (mut records, posted, wants_sync) = {
            let mut waiting = self.lock_waiting();
            // Only the thread waits for the disk.
            let wants_sync = last.is_none() && std::mem::take(&mut waiting.wants_sync);
            (std::mem::take(&mut waiting.records), waiting.posted, wants_sync)
        };
        records.extend(last);
        let result =
            if records.is_empty() && !file.is_behind() { Ok(()) } else { file.write(records) };
        let handle = wants_sync.then(|| file.handle()).flatten();
        drop(file);
        let result = result.and_then(|()| handle.map_or(Ok(()), |handle| handle.sync_data()));
        self.report(&result);
        // A record that a full disk refuses is kept in memory, and counts when it is there.
        if result.is_ok() {
            self.written.send_if_modified(|written| {
                let is_more = posted > *written;
                *written = posted.max(*written);
                is_more
            });
        }
    }

    fn report(&self, result: &io::Result<()>) {
        let cause = result.as_ref().err().map(Cause::from_io);
        let was_stalled = std::mem::replace(&mut self.lock_waiting().stalled, cause).is_some();
        match cause {
            Some(cause) if !was_stalled => {
                (self.tell)(TableNotice::Stalled(cause.to_string()));
                // The thread tries again, whoever has noticed.
                self.wake.notify_all();
            }
            None if was_stalled => (self.tell)(TableNotice::Resumed),
            None | Some(_) => {}
        }
    }

    fn lock_file(&self) -> MutexGuard<'_, TableFile> {
        self.file.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock_waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::sync::mpsc;

    use super::*;
    use crate::state::table::Scaled;

    /// How long anything may take on a busy machine.
    const BOUND: Duration = Duration::from_secs(20);

    fn scaled(service: &str) -> Record {
        Record::Scaled(Scaled { service: service.to_owned(), written: 1, to: 2 })
    }

    fn open(dir: &Path) -> (RunTable, mpsc::Receiver<TableNotice>) {
        let (tell, told) = mpsc::channel();
        // The test may have ended.
        let (table, ..) = RunTable::open(dir, move |notice| drop(tell.send(notice))).unwrap();
        (table, told)
    }

    /// The services of which it is written that they are scaled.
    fn on_disk(dir: &Path) -> Vec<String> {
        RunTable::check(dir).unwrap().scaled.into_keys().collect()
    }

    #[test]
    fn what_was_posted_before_is_written_with_what_must_be_there_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let (table, _told) = open(dir.path());
        for round in 0..50 {
            let [first, then] = ["a", "b"].map(|name| format!("{name}{round:02}"));
            table.post(vec![scaled(&first)], Durability::Process);
            table.write(scaled(&then));
            let written = on_disk(dir.path());
            assert!(written.contains(&first) && written.contains(&then), "{written:?}");
        }
    }

    #[tokio::test]
    async fn a_disk_that_refuses_is_told_of_once_and_nothing_is_missing_afterwards() {
        let dir = tempfile::tempdir().unwrap();
        let (table, told) = open(dir.path());
        let in_the_way = dir.path().join("table.new");
        fs::create_dir(&in_the_way).unwrap();
        table.post(vec![scaled("a")], Durability::Power);
        assert!(matches!(told.recv_timeout(BOUND), Ok(TableNotice::Stalled(_))));
        table.write(scaled("b"));
        table.write(scaled("c"));
        assert_eq!(on_disk(dir.path()), [""; 0]);
        assert!(!table.close(Duration::from_millis(10)), "it says that all is written");
        assert!(matches!(table.written().await, Err(Some(_))), "it says that all is written");
        assert!(told.try_recv().is_err(), "it was told twice");
        fs::remove_dir(&in_the_way).unwrap();
        // Nobody writes anything more: the thread tries again by itself.
        assert_eq!(told.recv_timeout(BOUND), Ok(TableNotice::Resumed));
        assert_eq!(on_disk(dir.path()), ["a", "b", "c"]);
        assert_eq!(table.written().await, Ok(()));
        assert!(table.close(BOUND));
    }

    #[test]
    fn the_last_handle_that_is_dropped_has_everything_written() {
        let dir = tempfile::tempdir().unwrap();
        let (table, told) = open(dir.path());
        let other = table.clone();
        drop(table);
        for number in 0..100 {
            other.post(vec![scaled(&format!("s{number}"))], Durability::Process);
        }
        drop(other);
        // The thread has ended when nobody can tell anything more.
        assert_eq!(told.recv_timeout(BOUND), Err(mpsc::RecvTimeoutError::Disconnected));
        assert_eq!(on_disk(dir.path()).len(), 100);
    }
}
