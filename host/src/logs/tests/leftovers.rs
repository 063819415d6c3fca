//! What an earlier supervisor has left, in every state that a sudden end can leave it in.

use std::os::unix::fs::MetadataExt as _;

use super::super::feed::LineState;
use super::super::file::Place;
use super::super::ledger::{Ledger, StreamKey, StreamState};
use super::super::spool::Spool;
use super::*;
use crate::os::proc::boot_id;

/// Where the bytes of streams begin in a spool.
const DATA: u64 = 2 << 20;

/// A log directory in which a supervisor has died.
struct Scene {
    keep: TempDir,
    ledger: Ledger,
}

impl Scene {
    /// `log` is in the file, of which the ledger knows the first `known` bytes.
    fn new(log: &[u8], known: u64) -> Scene {
        let keep = TempDir::new().unwrap();
        let path = log_path(keep.path(), "web");
        fs::write(&path, log).unwrap();
        let inode = fs::metadata(&path).unwrap().ino();
        let key = StreamKey { run: 1, stream: Stream::Stdout, pipe: 5 };
        let state = StreamState {
            key,
            line: LineState::default(),
            owns_open_line: false,
            partial: Vec::new(),
        };
        let boot = u128::from_str_radix(&boot_id().unwrap().replace('-', ""), 16).unwrap();
        let ledger = Ledger {
            service: "web".into(),
            boot,
            settings: LogSettings { timestamps: false, ..LogSettings::default() },
            log: Some(Place { inode, len: known }),
            is_open: false,
            rotations: 0,
            taken: 0,
            taking: Some(key),
            streams: vec![state],
        };
        Scene { keep, ledger }
    }

    fn spool(&self) -> PathBuf {
        self.keep.path().join("spool")
    }

    fn write(&self, number: u32, text: &str) {
        fs::write(file::numbered_path(self.keep.path(), "web", number), text).unwrap();
    }

    /// The next supervisor finds this, and `taken` in the spool; what is in the log then.
    fn after(self, taken: &[u8]) -> String {
        drop(Spool::create(&self.spool(), self.ledger.clone()).unwrap());
        let path = self.spool().join("web.spool");
        let file = fs::OpenOptions::new().write(true).open(path).unwrap();
        std::os::unix::fs::FileExt::write_all_at(&file, taken, DATA).unwrap();
        let rig = Rig::start(self.keep.path().to_path_buf(), Console::default());
        rig.flush();
        assert_eq!(fs::read_dir(self.spool()).unwrap().count(), 0, "the spool is gone");
        assert!(rig.capture.counters().is_empty(), "it may be a service no more");
        rig.texts(&rig.query(&["web"])).join("|")
    }
}

#[test]
fn each_rotation_that_is_announced_is_in_what_a_killed_supervisor_leaves() {
    let scene = Scene::new(b"one\n", 4);
    let mut spool = Spool::create(&scene.spool(), scene.ledger.clone()).unwrap();
    for rotations in 1..=3 {
        spool.announce_rotation().unwrap();
        let left = Spool::open(&scene.spool().join("web.spool")).unwrap().unwrap();
        assert_eq!(left.recorded().rotations, rotations);
    }
}

#[test]
fn what_was_taken_and_not_noted_as_written_is_written_once() {
    for written in ["one\n", "one\ntw", "one\ntwo\n", "one\ntwo\nthree\n"] {
        let scene = Scene::new(written.as_bytes(), 4);
        assert_eq!(scene.after(b"two\nthree\n"), "one|two|three", "{written:?}");
    }
}

#[test]
fn a_log_that_nothing_was_being_written_to_is_left_as_it_is() {
    let scene = Scene::new(b"one\nsomebody else's\n", 4);
    assert_eq!(scene.after(b""), "one|somebody else's");
}

#[test]
fn a_log_that_was_replaced_or_shortened_is_not_cut() {
    let scene = Scene::new(b"one\ntwo\n", 4);
    fs::rename(log_path(scene.keep.path(), "web"), scene.keep.path().join("moved")).unwrap();
    scene.write(0, "new, and longer\n");
    assert_eq!(scene.after(b"two\n"), "new, and longer|two");
    let scene = Scene::new(b"one\n", 400);
    assert_eq!(scene.after(b"two\n"), "one|two");
}

#[test]
fn a_spool_that_was_shortened_holds_nothing() {
    let mut scene = Scene::new(b"one\n", 4);
    scene.ledger.taken = 300_000;
    assert_eq!(scene.after(b""), "one");
}

#[test]
fn what_was_noted_as_unfinished_is_ended() {
    let mut scene = Scene::new(b"one\n", 4);
    scene.ledger.streams[0].partial = b"tw".to_vec();
    assert_eq!(scene.after(b"o\nthr"), "one|two|thr");
}

#[test]
fn rotations_that_were_not_noted_as_done_are_taken_back() {
    // Where the known file is, and which younger ones there are, after each step.
    for (rotations, keep, files) in [
        (1, 5, &["one\ntw"][..]),
        (1, 5, &["", "one\n"]),
        (2, 5, &["two\n", "one\n"]),
        (2, 5, &["three\n", "two\n", "one\n"]),
        (2, 2, &["three\n", "two\n", "one\n"]),
    ] {
        let mut scene = Scene::new(b"one\n", 4);
        (scene.ledger.rotations, scene.ledger.settings.keep) = (rotations, keep);
        let path = |number: usize| {
            file::numbered_path(scene.keep.path(), "web", u32::try_from(number).unwrap())
        };
        fs::rename(path(0), path(files.len() - 1)).unwrap();
        for (number, text) in files.iter().enumerate() {
            if number + 1 < files.len() {
                fs::write(path(number), text).unwrap();
            }
        }
        assert_eq!(scene.after(b"two\nthree\n"), "one|two|three", "{files:?}");
    }
}

#[test]
fn a_known_file_that_was_rotated_away_takes_all_younger_ones_along() {
    let mut scene = Scene::new(b"one\n", 4);
    (scene.ledger.rotations, scene.ledger.settings.keep) = (3, 1);
    fs::remove_file(log_path(scene.keep.path(), "web")).unwrap();
    scene.write(1, "three\n");
    scene.write(0, "four\n");
    assert_eq!(scene.after(b"two\nthree\nfour\n"), "two|three|four");
}

#[test]
fn after_another_boot_nothing_is_cut_and_nothing_is_missing() {
    let mut scene = Scene::new(b"one\ntwo\n", 4);
    scene.ledger.boot ^= 1;
    assert_eq!(scene.after(b"two\nthree\n"), "one|two|two|three");
}

#[test]
fn a_damaged_ledger_is_moved_aside_and_told() {
    let keep = TempDir::new().unwrap();
    let spool = keep.path().join("spool");
    fs::create_dir(&spool).unwrap();
    fs::write(spool.join("web.spool"), vec![b'x'; 3 << 20]).unwrap();
    fs::write(spool.join("worker.spool"), "").unwrap();
    let rig = Rig::start(keep.path().to_path_buf(), Console::default());
    let LogFact::Unreadable { path, error } = rig.fact() else { panic!("not told") };
    assert_eq!(path, spool.join("web.spool.damaged"));
    assert!(error.contains("damaged"), "{error}");
    let mut writer = rig.pipe("web", Stream::Stdout, &LogSettings::default());
    writeln!(writer, "new").unwrap();
    rig.flush();
    assert_eq!(rig.texts(&rig.query(&["web"])), ["new"]);
    assert!(path.exists() && !spool.join("worker.spool").exists());
}

#[test]
fn what_was_taken_of_a_service_whose_log_cannot_be_written_waits() {
    let scene = Scene::new(b"one\n", 4);
    drop(Spool::create(&scene.spool(), scene.ledger.clone()).unwrap());
    let spool = scene.spool().join("web.spool");
    let file = fs::OpenOptions::new().write(true).open(&spool).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&file, b"two\n", DATA).unwrap();
    let log = log_path(scene.keep.path(), "web");
    let aside = scene.keep.path().join("aside");
    fs::rename(&log, &aside).unwrap();
    fs::create_dir(&log).unwrap();
    let rig = Rig::start(scene.keep.path().to_path_buf(), Console::default());
    assert!(matches!(rig.fact(), LogFact::Stalled { .. }));
    rig.capture.shutdown(Duration::from_millis(700)).unwrap();
    drop(rig);
    assert!(spool.exists());
    fs::remove_dir(&log).unwrap();
    fs::rename(&aside, &log).unwrap();
    let rig = Rig::start(scene.keep.path().to_path_buf(), Console::default());
    rig.flush();
    assert_eq!(rig.texts(&rig.query(&["web"])), ["one", "two"]);
}
