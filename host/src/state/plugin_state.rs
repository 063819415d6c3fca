//! What plugins remember between their calls: a versioned blob for each plugin, service
//! instance and question.
//!
//! All of it is in memory, so that a question is never held up by a disk; a thread writes
//! what has changed, a second after the first change at the latest, and all of it when the
//! supervisor ends or gives way to another version. Killed, a supervisor loses the last second.
//!
//! What can go wrong: a disk that refuses. Then everything is kept and tried again, and it
//! is told once.

use std::collections::BTreeSet;
use std::io;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use kennel_wasm::model::{STATE_BYTES_MAX, SavedState};

use super::plugin_file::{Aside, Entries, Found, PluginFile};
use super::plugin_record::{Change, Key};
use crate::os::Cause;

/// How long changes are gathered before they are written.
const GATHER: Duration = Duration::from_secs(1);

/// What all plugins together may remember.
const TOTAL_MAX: usize = 64 * 1024 * 1024;

/// Something that the operator is told.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Notice {
    /// The file was damaged.
    Damaged(Aside),
    /// The file cannot be written; everything is kept in memory.
    Stalled(String),
    /// It is written again, and nothing is missing.
    Resumed,
}

/// Where notices go. Called from the thread that writes; must not block.
pub(crate) type Tell = Box<dyn Fn(Notice) + Send>;

/// A cheap handle on what plugins remember. When the last one is dropped the thread
/// writes what waits and ends; [`close`](SavedStates::close) waits for that.
#[derive(Clone)]
pub(crate) struct SavedStates {
    shared: Arc<Shared>,
    _closer: Arc<Closer>,
}

struct Closer(Arc<Shared>);

impl Drop for Closer {
    fn drop(&mut self) {
        self.0.lock().stage.close();
        self.0.wake.notify_all();
    }
}

struct Shared {
    memory: Mutex<Memory>,
    /// For the thread: there is work. For who waits: the thread has written, or has ended.
    wake: Condvar,
}

struct Memory {
    entries: Entries,
    /// What the disk does not have yet.
    changed: BTreeSet<Key>,
    /// Bytes of all entries.
    total: usize,
    /// Somebody waits for the disk to have everything.
    is_awaited: bool,
    is_writing: bool,
    stage: Stage,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Stage {
    Open,
    Closing,
    Ended,
}

impl Stage {
    fn close(&mut self) {
        match self {
            Stage::Open => *self = Stage::Closing,
            Stage::Closing | Stage::Ended => {}
        }
    }
}

impl SavedStates {
    /// Reads the file at `path`, which need not be there, and starts the thread
    /// "kennel-saved". Blocks as long as the disk does.
    ///
    /// # Errors
    /// The file is there and cannot be read, or there can be no thread.
    pub(crate) fn open(path: &Path, tell: Tell) -> io::Result<SavedStates> {
        let (file, Found { entries, aside }) = PluginFile::open(path)?;
        // What was saved from a damaged file is on no disk now.
        let changed = match &aside {
            Some(_) => entries.keys().cloned().collect(),
            None => BTreeSet::new(),
        };
        if let Some(aside) = aside {
            tell(Notice::Damaged(aside));
        }
        let this = SavedStates::of(entries, changed, Stage::Open);
        let writer = Writer { shared: Arc::clone(&this.shared), file, tell, is_stalled: false };
        thread::Builder::new().name("kennel-saved".to_owned()).spawn(move || writer.run())?;
        Ok(this)
    }

    /// One without a file: what plugins remember ends with the supervisor.
    pub(crate) fn without_file() -> SavedStates {
        SavedStates::of(Entries::new(), BTreeSet::new(), Stage::Ended)
    }

    fn of(entries: Entries, changed: BTreeSet<Key>, stage: Stage) -> SavedStates {
        let total = entries.values().map(|saved| saved.bytes.len()).sum();
        let (is_awaited, is_writing) = (false, false);
        let memory = Memory { entries, changed, total, is_awaited, is_writing, stage };
        let memory = Mutex::new(memory);
        let shared = Arc::new(Shared { memory, wake: Condvar::new() });
        SavedStates { _closer: Arc::new(Closer(Arc::clone(&shared))), shared }
    }

    /// What is remembered under `key`.
    pub(crate) fn of_key(&self, key: &Key) -> Option<SavedState> {
        self.shared.lock().entries.get(key).map(|saved| SavedState::clone(saved))
    }

    /// Remembers `saved` from now on. False when it is too much, and what was remembered
    /// stays.
    #[must_use]
    pub(crate) fn keep(&self, key: Key, saved: SavedState) -> bool {
        let mut memory = self.shared.lock();
        let known = memory.entries.get(&key);
        if known.is_some_and(|known| **known == saved) {
            return true;
        }
        let total = memory.total - known.map_or(0, |known| known.bytes.len()) + saved.bytes.len();
        if saved.bytes.len() > STATE_BYTES_MAX || total > TOTAL_MAX {
            return false;
        }
        memory.total = total;
        memory.entries.insert(key.clone(), Arc::new(saved));
        memory.change(key, &self.shared.wake);
        true
    }

    /// Forgets what `is_gone` says.
    pub(crate) fn forget(&self, is_gone: impl Fn(&Key) -> bool) {
        let mut memory = self.shared.lock();
        let gone: Vec<Key> = memory.entries.keys().filter(|key| is_gone(key)).cloned().collect();
        for key in gone {
            if let Some(saved) = memory.entries.remove(&key) {
                memory.total -= saved.bytes.len();
            }
            memory.change(key, &self.shared.wake);
        }
    }

    /// Waits until what was remembered by now is in the file; whether it came to that.
    pub(crate) fn flush(&self, patience: Duration) -> bool {
        let gives_up = Instant::now() + patience;
        let mut memory = self.shared.lock();
        memory.is_awaited = !memory.changed.is_empty();
        self.shared.wake.notify_all();
        while memory.is_writing || !memory.changed.is_empty() {
            let left = gives_up.saturating_duration_since(Instant::now());
            if memory.stage == Stage::Ended || left.is_zero() {
                return false;
            }
            memory = self.shared.wait(memory, Some(left));
        }
        true
    }

    /// Waits until everything is on disk and the thread has ended; whether it came to
    /// that. What is remembered afterwards is remembered in memory only.
    pub(crate) fn close(&self, patience: Duration) -> bool {
        let gives_up = Instant::now() + patience;
        let mut memory = self.shared.lock();
        memory.stage.close();
        self.shared.wake.notify_all();
        while memory.stage != Stage::Ended {
            let left = gives_up.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            memory = self.shared.wait(memory, Some(left));
        }
        memory.changed.is_empty()
    }
}

impl Memory {
    fn change(&mut self, key: Key, wake: &Condvar) {
        match self.stage {
            Stage::Open | Stage::Closing => {
                // The thread is up already when there are others.
                if self.changed.is_empty() {
                    wake.notify_all();
                }
                self.changed.insert(key);
            }
            // Nobody writes any more.
            Stage::Ended => {}
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'a>(
        &self,
        memory: MutexGuard<'a, Memory>,
        timeout: Option<Duration>,
    ) -> MutexGuard<'a, Memory> {
        match timeout {
            None => self.wake.wait(memory).unwrap_or_else(PoisonError::into_inner),
            Some(timeout) => {
                let waited = self.wake.wait_timeout(memory, timeout);
                waited.unwrap_or_else(PoisonError::into_inner).0
            }
        }
    }
}

/// The thread.
struct Writer {
    shared: Arc<Shared>,
    file: PluginFile,
    tell: Tell,
    is_stalled: bool,
}

impl Writer {
    /// Runs until it is closed. What a disk refuses then is lost: who closes waits.
    fn run(mut self) {
        let shared = Arc::clone(&self.shared);
        loop {
            let mut memory = shared.lock();
            while memory.stage == Stage::Open && memory.changed.is_empty() {
                memory = shared.wait(memory, None);
            }
            let until = Instant::now() + GATHER;
            while memory.stage == Stage::Open && !memory.is_awaited {
                let left = until.saturating_duration_since(Instant::now());
                if left.is_zero() {
                    break;
                }
                memory = shared.wait(memory, Some(left));
            }
            let is_last = memory.stage != Stage::Open;
            let changed = std::mem::take(&mut memory.changed);
            (memory.is_awaited, memory.is_writing) = (false, true);
            // Cheap: the bytes themselves are shared.
            let entries = memory.entries.clone();
            drop(memory);
            let is_written = self.write(&changed, &entries);
            let mut memory = shared.lock();
            memory.is_writing = false;
            if !is_written {
                memory.changed.extend(changed);
            }
            shared.wake.notify_all();
            if is_last && (memory.changed.is_empty() || !is_written) {
                memory.stage = Stage::Ended;
                shared.wake.notify_all();
                return;
            }
        }
    }

    fn write(&mut self, changed: &BTreeSet<Key>, entries: &Entries) -> bool {
        if changed.is_empty() {
            return true;
        }
        let changes: Vec<Change> = changed
            .iter()
            .map(|key| Change { key: key.clone(), saved: entries.get(key).cloned() })
            .collect();
        match self.file.write(&changes, entries) {
            Ok(()) => {
                if std::mem::replace(&mut self.is_stalled, false) {
                    (self.tell)(Notice::Resumed);
                }
                true
            }
            Err(error) => {
                if !std::mem::replace(&mut self.is_stalled, true) {
                    (self.tell)(Notice::Stalled(Cause::from_io(&error).to_string()));
                }
                false
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;
    use std::sync::mpsc;

    use kennel_wasm::model::Kind;

    use super::*;

    /// Longer than anything here takes.
    const SOON: Duration = Duration::from_secs(20);

    fn key(service: &str) -> Key {
        Key {
            plugin: "redis".into(),
            kind: Kind::HealthCheck,
            service: service.into(),
            instance: 0,
            slot: "redis".into(),
        }
    }

    fn saved(bytes: &[u8]) -> SavedState {
        SavedState { version: 2, bytes: bytes.to_vec() }
    }

    fn open(path: &Path) -> (SavedStates, mpsc::Receiver<Notice>) {
        let (sender, notices) = mpsc::channel();
        let tell = Box::new(move |notice| drop(sender.send(notice)));
        (SavedStates::open(path, tell).unwrap(), notices)
    }

    /// Waits until a supervisor that was killed now would leave this behind.
    fn wait_until_on_disk(path: &Path, is_there: impl Fn(&Entries) -> bool) {
        let gives_up = Instant::now() + SOON;
        loop {
            let (_, found) = PluginFile::open(path).unwrap();
            assert_eq!(found.aside, None);
            if is_there(&found.entries) {
                return;
            }
            assert!(Instant::now() < gives_up, "{:?}", found.entries);
            thread::sleep(Duration::from_millis(5));
        }
    }

    #[test]
    fn who_asks_for_it_has_everything_in_the_file_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("saved");
        let (states, _notices) = open(&path);
        assert!(states.flush(SOON), "nothing waits");
        for round in 0..20_u8 {
            assert!(states.keep(key("web"), saved(&[round])));
            assert!(states.flush(SOON));
            let (_, found) = PluginFile::open(&path).unwrap();
            assert_eq!(*found.entries[&key("web")], saved(&[round]));
        }
        assert!(states.close(SOON));
        assert!(states.flush(SOON), "nothing waits any more");
    }

    #[test]
    fn what_is_kept_reaches_the_disk_by_itself_and_is_there_for_the_next_supervisor() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("plugins/saved");
        let (state, _) = open(&path);
        for number in 0..100_u8 {
            assert!(state.keep(key("web"), saved(&[number])));
        }
        assert!(state.keep(key("db"), saved(b"gone")));
        state.forget(|key| &*key.service == "db");
        wait_until_on_disk(&path, |entries| {
            entries.len() == 1 && *entries[&key("web")] == saved(&[99])
        });
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let (next, _) = open(&path);
        assert_eq!(next.of_key(&key("web")), Some(saved(&[99])));
        assert_eq!(next.of_key(&key("db")), None);
    }

    #[test]
    fn closing_writes_what_waits() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("saved");
        let (state, _) = open(&path);
        assert!(state.keep(key("web"), saved(b"last words")));
        assert!(state.close(SOON));
        assert_eq!(open(&path).0.of_key(&key("web")), Some(saved(b"last words")));
        assert!(SavedStates::without_file().close(Duration::ZERO));
    }

    #[test]
    fn wherever_a_write_was_cut_off_everything_before_it_is_still_there() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("saved");
        let (mut file, found) = PluginFile::open(&path).unwrap();
        let mut entries = found.entries;
        let mut lengths = Vec::new();
        for service in ["a", "b", "c"] {
            let saved = Arc::new(saved(service.as_bytes()));
            entries.insert(key(service), Arc::clone(&saved));
            let change = Change { key: key(service), saved: Some(saved) };
            file.write(&[change], &entries).unwrap();
            lengths.push(fs::metadata(&path).unwrap().len());
        }
        let whole = fs::read(&path).unwrap();
        for cut in 0..whole.len() {
            fs::write(&path, &whole[..cut]).unwrap();
            let (state, notices) = open(&path);
            let expected = lengths.iter().filter(|length| **length <= cut as u64).count();
            assert_eq!(state.shared.lock().entries.len(), expected, "cut at {cut}");
            assert!(state.keep(key("new"), saved(b"goes on")));
            assert!(state.close(SOON));
            let (next, _) = open(&path);
            assert_eq!(next.shared.lock().entries.len(), expected + 1, "cut at {cut}");
            assert_eq!(notices.try_recv().ok(), None, "cut at {cut}");
        }
    }

    #[test]
    fn a_damaged_file_is_moved_aside_and_what_can_be_read_of_it_goes_on() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("saved");
        let (state, _) = open(&path);
        for service in ["a", "b", "c"] {
            assert!(state.keep(key(service), saved(b"some bytes")));
        }
        assert!(state.close(SOON));
        let mut bytes = fs::read(&path).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::write(&path, &bytes).unwrap();

        let (state, notices) = open(&path);
        let aside = dir.path().join("saved.corrupt");
        match notices.try_recv().unwrap() {
            Notice::Damaged(told) => {
                assert_eq!((&told.path, told.saved), (&aside, 1));
            }
            other => panic!("{other:?}"),
        }
        assert_eq!(fs::read(&aside).unwrap(), bytes);
        assert_eq!(state.of_key(&key("a")), Some(saved(b"some bytes")));
        assert_eq!(state.of_key(&key("c")), None);
        // The part that was saved is written by itself.
        wait_until_on_disk(&path, |entries| entries.len() == 1);

        for (text, reason) in [
            (&b"kennel plugin state 2\n\x01"[..], "its first line is not that of this version"),
            (b"something else", "its first line is not that of this version"),
        ] {
            assert!(state.close(SOON));
            fs::write(&path, text).unwrap();
            let (_state, notices) = open(&path);
            let told = notices.try_recv().unwrap();
            assert!(matches!(&told, Notice::Damaged(aside) if aside.reason == reason), "{told:?}");
        }
    }

    #[test]
    fn a_disk_that_refuses_is_told_of_once_and_nothing_is_missing_when_it_takes_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("plugins/saved");
        // No directory can be where a file is.
        fs::write(dir.path().join("plugins"), "").unwrap();
        let tell_sender = mpsc::channel();
        let tell = Box::new(move |notice| drop(tell_sender.0.send(notice)));
        let notices = tell_sender.1;
        assert!(SavedStates::open(&path, Box::new(|_| {})).is_err());
        fs::remove_file(dir.path().join("plugins")).unwrap();
        let state = SavedStates::open(&path, tell).unwrap();
        fs::write(dir.path().join("plugins"), "").unwrap();
        assert!(state.keep(key("web"), saved(b"kept")));
        let told = notices.recv_timeout(SOON).unwrap();
        assert!(matches!(told, Notice::Stalled(_)), "{told:?}");
        fs::remove_file(dir.path().join("plugins")).unwrap();
        assert_eq!(notices.recv_timeout(SOON).unwrap(), Notice::Resumed);
        wait_until_on_disk(&path, |entries| entries.len() == 1);
    }

    #[test]
    fn a_file_whose_entries_change_for_ever_stays_small() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("saved");
        let (mut file, mut entries) = (PluginFile::open(&path).unwrap().0, Entries::new());
        for number in 0..200_u8 {
            let saved = Arc::new(saved(&vec![number; STATE_BYTES_MAX]));
            entries.insert(key("web"), Arc::clone(&saved));
            file.write(&[Change { key: key("web"), saved: Some(saved) }], &entries).unwrap();
        }
        assert!(fs::metadata(&path).unwrap().len() < 2 * 1024 * 1024);
        assert_eq!(*PluginFile::open(&path).unwrap().1.entries[&key("web")].bytes, [199; 65536]);
    }

    #[test]
    fn what_plugins_remember_has_a_limit_in_all() {
        let state = SavedStates::without_file();
        let full = saved(&[0; STATE_BYTES_MAX]);
        let mut kept = 0;
        while state.keep(key(&format!("s{kept}")), full.clone()) {
            kept += 1;
        }
        assert_eq!(kept, TOTAL_MAX / STATE_BYTES_MAX);
        // What is there may still change, and what is forgotten makes room.
        assert!(state.keep(key("s0"), saved(&[1; STATE_BYTES_MAX])));
        state.forget(|key| &*key.service == "s1");
        assert!(state.keep(key("new"), full));
        assert!(!state.keep(key("s2"), saved(&[0; STATE_BYTES_MAX + 1])));
    }
}
