//! The journal with real files, real crashes and a disk that is really full.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use super::*;

const BOUND: Duration = Duration::from_secs(30);

/// The environment variable that makes this test binary a writer to be killed.
const CHILD: &str = "KENNEL_TEST_JOURNAL_DIR";

fn event(number: u64) -> NewRecord {
    NewRecord {
        kind: if number.is_multiple_of(2) { "service.ready" } else { "health.changed" }.to_owned(),
        service: Some(format!("s{}", number % 5)),
        message: format!("event {number}"),
        ..NewRecord::default()
    }
}

fn small() -> JournalOptions {
    JournalOptions { max_bytes: 64 << 10, segment_bytes: 8 << 10, recent: 16, pending: 100_000 }
}

fn open(dir: &Path, options: JournalOptions) -> Journal {
    Journal::open(dir, options).unwrap()
}

fn close(journal: Journal) {
    assert!(journal.close(BOUND), "the journal did not close");
}

/// Appends `count` events and closes.
fn filled(dir: &Path, options: JournalOptions, count: u64) {
    let journal = open(dir, options);
    for number in 0..count {
        journal.append(event(number));
    }
    close(journal);
}

/// Reads everything in batches; the numbers, and how many were missed.
fn read_all(journal: &Journal, max: usize) -> (Vec<u64>, u64) {
    let (mut seqs, mut missed, mut cursor) = (Vec::new(), 0, 0);
    loop {
        let batch = journal.read(cursor, max).unwrap();
        missed += batch.missed;
        cursor = batch.next;
        if batch.records.is_empty() {
            return (seqs, missed);
        }
        seqs.extend(batch.records.iter().map(|record| record.seq));
    }
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let mut files: Vec<_> = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < BOUND, "waited in vain until {what}");
        thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn numbers_and_records_go_on_after_reopening() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("deep/journal");
    let journal = open(&path, JournalOptions::default());
    assert_eq!((journal.last_seq(), journal.stats().first_seq), (0, 0));
    assert_eq!(journal.append(event(1)), 1);
    assert_eq!(journal.append(event(2)), 2);
    let before = journal.read(1, 10).unwrap();
    close(journal);
    let journal = open(&path, JournalOptions::default());
    assert_eq!(journal.repaired(), None);
    assert_eq!(journal.read(1, 10).unwrap(), before, "same on disk as in memory");
    assert_eq!(journal.append(event(3)), 3);
    assert_eq!(read_all(&journal, 2), (vec![1, 2, 3], 0));
    close(journal);
    let [file] = &files(&path)[..] else { panic!("one segment") };
    assert_eq!(file.file_name().unwrap(), "00000000000000000001.journal");
    assert_eq!(fs::metadata(file).unwrap().mode() & 0o777, 0o600);
    assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o700);
}

#[test]
fn a_torn_tail_is_cut_off_wherever_it_was_torn() {
    let dir = TempDir::new().unwrap();
    filled(dir.path(), small(), 3);
    let [file] = &files(dir.path())[..] else { panic!("one segment") };
    let whole = fs::read(file).unwrap();
    let last = whole[..whole.len() - 1].iter().rposition(|byte| *byte == b'\n').unwrap() + 1;
    for len in last..whole.len() {
        fs::write(file, &whole[..len]).unwrap();
        let journal = open(dir.path(), small());
        let cut = (len - last) as u64;
        assert_eq!(journal.repaired(), (cut > 0).then_some(Repaired { bytes: cut, kept: None }));
        assert_eq!(journal.append(event(9)), 3);
        assert_eq!(read_all(&journal, 10), (vec![1, 2, 3], 0));
        close(journal);
    }
    // All of the last segment, too.
    fs::write(file, b"\0\0\0\0").unwrap();
    let journal = open(dir.path(), small());
    assert_eq!(journal.repaired(), Some(Repaired { bytes: 4, kept: None }));
    assert_eq!(journal.append(event(1)), 1);
    close(journal);
}

#[test]
fn a_damaged_end_is_kept_and_its_numbers_are_not_given_again() {
    for whole_records in [0, 2] {
        let dir = TempDir::new().unwrap();
        filled(dir.path(), small(), 5);
        let [file] = &files(dir.path())[..] else { panic!("one segment") };
        let mut bytes = fs::read(file).unwrap();
        let ends =
            bytes.iter().enumerate().filter(|(_, byte)| **byte == b'\n').map(|(at, _)| at + 1);
        let whole = [0].into_iter().chain(ends).nth(whole_records).unwrap();
        bytes[whole..].iter_mut().filter(|byte| **byte != b'\n').for_each(|byte| *byte ^= 0x20);
        fs::write(file, &bytes).unwrap();
        let journal = open(dir.path(), small());
        let Some(Repaired { bytes: cut, kept: Some(kept) }) = journal.repaired() else {
            panic!("it was not noticed")
        };
        assert_eq!(cut, (bytes.len() - whole) as u64);
        assert_eq!(fs::read(&kept).unwrap(), bytes[whole..]);
        let next = journal.append(event(9));
        assert!(next > 5, "{next} was given before");
        let (seqs, missed) = read_all(&journal, 10);
        let expected: Vec<u64> = (1..=whole_records as u64).chain([next]).collect();
        assert_eq!((seqs, missed), (expected.clone(), next - 1 - whole_records as u64));
        close(journal);
        let journal = open(dir.path(), small());
        assert_eq!(journal.repaired(), None);
        assert_eq!(read_all(&journal, 10).0, expected);
        assert_eq!(journal.append(event(9)), next + 1);
        close(journal);
    }
}

#[test]
fn a_corrupt_record_in_the_middle_is_missed_and_nothing_else() {
    let dir = TempDir::new().unwrap();
    filled(dir.path(), small(), 5);
    let [file] = &files(dir.path())[..] else { panic!("one segment") };
    let mut bytes = fs::read(file).unwrap();
    let place = bytes.windows(7).position(|window| window == b"event 2").unwrap();
    bytes[place] = b'X';
    fs::write(file, &bytes).unwrap();
    let journal = open(dir.path(), small());
    assert_eq!(journal.repaired(), None);
    assert_eq!(read_all(&journal, 100), (vec![1, 2, 4, 5], 1));
    assert_eq!(read_all(&journal, 1), (vec![1, 2, 4, 5], 1));
    assert_eq!(journal.append(event(1)), 6);
    close(journal);
}

#[test]
fn a_journal_keeps_its_bound_and_says_what_a_late_reader_missed() {
    let dir = TempDir::new().unwrap();
    let journal = open(dir.path(), small());
    let slow = journal.read(0, 10).unwrap().next;
    for number in 0..5000 {
        journal.append(event(number));
        if number % 500 == 0 {
            wait_until("it is written", || journal.shared.lock().written > number);
            let used: u64 = files(dir.path()).iter().map(|f| fs::metadata(f).unwrap().len()).sum();
            assert!(used <= 64 << 10, "{used} bytes on disk");
        }
    }
    assert!(journal.close(BOUND));
    let stats = journal.stats();
    assert_eq!((stats.records, stats.last_seq, stats.dropped), (5000, 5000, 0));
    assert!(stats.bytes <= 64 << 10 && stats.bytes > 48 << 10, "{stats:?}");
    assert_eq!(stats.segments, files(dir.path()).len() as u64);
    let batch = journal.read(slow, 10).unwrap();
    assert_eq!(batch.records[0].seq, stats.first_seq);
    assert_eq!(batch.missed, stats.first_seq - 1);
    let (seqs, missed) = read_all(&journal, 7);
    assert_eq!(missed, stats.first_seq - 1);
    assert!(seqs.into_iter().eq(stats.first_seq..=5000));
    assert_eq!(journal.read(999_999, 10).unwrap().next, 5001, "beyond the end is at the end");
}

#[test]
fn readers_see_each_of_50000_records_once_while_they_are_appended() {
    const COUNT: u64 = 50_000;
    let dir = TempDir::new().unwrap();
    let options = JournalOptions { recent: 100, ..JournalOptions::default() };
    let journal = open(dir.path(), options);
    let readers: Vec<_> = (0..3)
        .map(|which| {
            let journal = journal.clone();
            thread::spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
                let mut changes = journal.subscribe();
                let (mut cursor, mut expected) = (1, 1);
                while expected <= COUNT {
                    changes.borrow_and_update();
                    let batch = journal.read(cursor, 50 + which * 400).unwrap();
                    assert_eq!(batch.missed, 0);
                    cursor = batch.next;
                    for record in &batch.records {
                        assert_eq!(record.seq, expected);
                        assert_eq!(record.message, format!("event {expected}"));
                        expected += 1;
                    }
                    if batch.records.is_empty() {
                        runtime.block_on(changes.changed()).unwrap();
                    }
                }
            })
        })
        .collect();
    for number in 1..=COUNT {
        assert_eq!(journal.append(event(number)), number);
    }
    for reader in readers {
        reader.join().unwrap();
    }
    close(journal);
    let journal = open(dir.path(), options);
    let (seqs, missed) = read_all(&journal, 5000);
    assert!(seqs.into_iter().eq(1..=COUNT) && missed == 0);
    close(journal);
}

#[test]
fn a_filter_passes_over_others_and_the_last_ones_are_found_backwards() {
    let dir = TempDir::new().unwrap();
    filled(dir.path(), small(), 300);
    let journal = open(dir.path(), small());
    for number in 300..305 {
        journal.append(event(number));
    }
    let ready = Filter { service: None, kinds: vec!["service.*".to_owned()] };
    let batch = journal.read_filtered(0, 10_000, &ready).unwrap();
    let first = journal.stats().first_seq;
    assert_eq!(batch.missed, first - 1, "what is passed over is not missed");
    assert!(batch.records.iter().all(|record| record.kind == "service.ready"));
    assert_eq!(batch.next, 306);
    let s3 = Filter { service: Some("s3".to_owned()), kinds: Vec::new() };
    let last = journal.last(4, &s3).unwrap();
    let messages: Vec<_> = last.iter().map(|record| record.message.as_str()).collect();
    assert_eq!(messages, ["event 288", "event 293", "event 298", "event 303"]);
    let nobody = Filter { service: Some("s9".to_owned()), kinds: Vec::new() };
    assert_eq!(journal.last(4, &nobody).unwrap(), []);
    close(journal);
}

#[test]
fn dropping_the_last_handle_writes_what_waits_and_ends_the_watch() {
    let dir = TempDir::new().unwrap();
    let journal = open(dir.path(), small());
    journal.append(event(1));
    // Dropping the last handle ends the thread, and with it the watch.
    let mut changes = journal.subscribe();
    drop(journal);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    changes.borrow_and_update();
    let ended = runtime
        .block_on(async { tokio::time::timeout(BOUND, async { changes.changed().await }).await });
    assert!(ended.expect("the thread ends").is_err());
    let journal = open(dir.path(), small());
    assert_eq!(read_all(&journal, 10), (vec![1], 0));
    close(journal);
}

#[test]
fn an_idle_journal_does_not_wake_up() {
    let dir = TempDir::new().unwrap();
    let journal = open(dir.path(), small());
    journal.append(event(1));
    wait_until("the thread runs", || journal.thread_id() != 0);
    let switches = || crate::logs::tests::switches(journal.thread_id());
    // It syncs a second after the write: one quiet stretch longer than that is the proof.
    wait_until("the thread sleeps", || {
        let before = switches();
        thread::sleep(Duration::from_millis(1300));
        switches() == before
    });
    close(journal);
}

/// Not a test by itself: the process that [`a_killed_writer_leaves_a_whole_prefix`] kills.
#[test]
fn child_that_appends_until_it_is_killed() {
    let Some(dir) = std::env::var_os(CHILD) else { return };
    let journal = open(Path::new(&dir), JournalOptions::default());
    for number in journal.last_seq() + 1.. {
        journal.append(event(number));
        if number.is_multiple_of(100) {
            thread::sleep(Duration::from_micros(200));
        }
    }
}

#[test]
fn a_killed_writer_leaves_a_whole_prefix() {
    let dir = TempDir::new().unwrap();
    let mut last = 0;
    for _ in 0..5 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "journal::tests::child_that_appends_until_it_is_killed"])
            .env(CHILD, dir.path())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let size = |file: &PathBuf| fs::metadata(file).map_or(0, |metadata| metadata.len());
        let before: u64 = files(dir.path()).iter().map(size).sum();
        wait_until("the child has written", || {
            files(dir.path()).iter().map(size).sum::<u64>() > before + 50_000
        });
        child.kill().unwrap();
        child.wait().unwrap();
        let journal = open(dir.path(), JournalOptions::default());
        let (seqs, missed) = read_all(&journal, 5000);
        let reached = journal.last_seq();
        assert!(reached > last, "{reached} after {last}");
        assert_eq!(missed, 0);
        assert!(seqs.into_iter().eq(1..=reached), "a hole");
        last = reached;
        close(journal);
    }
}

#[test]
fn a_full_disk_costs_nothing_while_memory_holds_and_is_told_when_it_does_not() {
    let Some(disk) = crate::logs::tests::SmallDisk::mount("256k") else { return };
    let filler = disk.path().join("filler");
    let options = JournalOptions { pending: 500, recent: 10, ..JournalOptions::default() };
    let journal = open(&disk.path().join("journal"), options);
    journal.append(event(1));
    wait_until("the first is written", || journal.stats().bytes > 0);
    disk.fill(&filler);
    for number in 2..=450 {
        journal.append(event(number));
    }
    wait_until("the disk is full", || journal.stats().error.is_some());
    assert_eq!(read_all(&journal, 100).0.len(), 450, "all are there for readers");
    fs::remove_file(&filler).unwrap();
    wait_until("it is written", || journal.shared.lock().written == 450);
    assert_eq!(journal.stats().dropped, 0);

    disk.fill(&filler);
    for number in 451..=2000 {
        journal.append(event(number));
    }
    wait_until("some are dropped", || journal.stats().error.is_some());
    fs::remove_file(&filler).unwrap();
    wait_until("the gap is told", || journal.last_seq() == 2001);
    let gap = journal.last(1, &Filter::default()).unwrap().remove(0);
    assert_eq!(gap.kind, "journal.gap");
    let lost = journal.stats().dropped;
    assert!(lost > 0);
    assert_eq!(gap.attributes.get("lost"), Some(&Value::from(lost)));
    close(journal);
    let journal = open(&disk.path().join("journal"), options);
    let (seqs, missed) = read_all(&journal, 100);
    assert_eq!(missed, lost, "what the gap says is what a reader misses");
    assert_eq!(seqs.len() as u64 + lost, 2001);
    close(journal);
}

#[test]
fn a_directory_that_cannot_be_read_is_an_error_that_names_it() {
    let dir = TempDir::new().unwrap();
    let file = dir.path().join("file");
    OpenOptions::new().create_new(true).write(true).open(&file).unwrap().write_all(b"x").unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    let Err(error) = Journal::open(&file, small()) else { panic!("opened a file") };
    assert!(error.to_string().starts_with("cannot open the journal in \""), "{error}");
}
