//! A supervisor that is killed, again and again, while services write: every line is in the
//! log once and in order.

use std::io::{PipeReader, Read as _};
use std::os::fd::AsRawFd as _;
use std::os::unix::process::ExitStatusExt as _;
use std::process::Child;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use crate::os::reopen_output;

use super::*;

/// What the child is told: the log directory, whose pipes to read, which, and the settings.
const CHILD: &str = "KENNEL_TEST_CAPTURE";

const SERVICE: &str = "web/0";

/// Pipes of a service whose supervisors are killed. It holds the reading ends too, as services
/// do, so that what is in them stays.
struct Service {
    keep: TempDir,
    readers: Vec<PipeReader>,
    settings: LogSettings,
}

impl Service {
    fn new(settings: LogSettings) -> (Service, [PipeWriter; 2]) {
        let pipes = [std::io::pipe().unwrap(), std::io::pipe().unwrap()];
        let (readers, writers): (Vec<_>, Vec<_>) = pipes.into_iter().unzip();
        let service = Service { keep: TempDir::new().unwrap(), readers, settings };
        (service, writers.try_into().unwrap())
    }

    fn dir(&self) -> PathBuf {
        self.keep.path().join("logs")
    }

    fn spools(&self) -> usize {
        fs::read_dir(self.dir().join("spool")).map_or(0, Iterator::count)
    }

    /// A process that captures the service until it ends, or its pipes do.
    fn supervisor(&self) -> Child {
        let pipes: Vec<_> = self.readers.iter().map(|it| it.as_raw_fd().to_string()).collect();
        let LogSettings { max_size, keep, timestamps, .. } = self.settings;
        let (dir, own) = (self.dir(), std::process::id());
        let order = format!("{}|{own}|{}", dir.display(), pipes.join(","));
        Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "logs::tests::killed::child_that_captures", "--nocapture"])
            .env(CHILD, format!("{order}|{max_size}|{keep}|{timestamps}"))
            .stdout(Stdio::piped())
            .spawn()
            .unwrap()
    }

    /// The texts of both streams.
    fn read(&self) -> [Vec<Vec<u8>>; 2] {
        let query = Query { services: vec![SERVICE.into()], ..Query::default() };
        let mut reader = LogReader::open(&self.dir(), &query).unwrap();
        let mut texts = [Vec::new(), Vec::new()];
        loop {
            let batch = reader.next_batch(1000).unwrap();
            if batch.is_empty() {
                return texts;
            }
            for line in batch {
                let stream = line.stream.expect("a record of the log's format");
                texts[stream.index()].push(line.text);
            }
        }
    }
}

/// Says on its standard output that it reads; ends when both pipes do.
#[test]
fn child_that_captures() {
    let Ok(order) = std::env::var(CHILD) else { return };
    let words: Vec<_> = order.split('|').collect();
    let settings = LogSettings {
        max_size: words[3].parse().unwrap(),
        keep: words[4].parse().unwrap(),
        timestamps: words[5].parse().unwrap(),
        ..LogSettings::default()
    };
    let (sender, facts) = mpsc::channel();
    let dir = PathBuf::from(words[0]);
    let options = CaptureOptions {
        spool: dir.join("spool"),
        dir,
        console: Console::default(),
        facts: Box::new(move |fact| drop(sender.send(fact))),
    };
    let capture = Capture::start(options).unwrap();
    for (pipe, stream) in words[2].split(',').zip([Stream::Stdout, Stream::Stderr]) {
        let fd = reopen_output(words[1].parse().unwrap(), pipe.parse().unwrap()).unwrap();
        let settings = settings.clone();
        capture.add(Source { service: SERVICE.into(), run: 7, stream, fd, settings, tap: None });
    }
    capture.begin();
    capture.flush(BOUND).unwrap();
    println!("reading");
    let mut closed = 0;
    while closed < 2 {
        match facts.recv().unwrap() {
            LogFact::Closed { .. } => closed += 1,
            other => panic!("{other:?}"),
        }
    }
    capture.shutdown(BOUND).unwrap();
}

fn wait_for_reading(child: &mut Child) {
    let mut said = Vec::new();
    let out = child.stdout.as_mut().unwrap();
    while !said.ends_with(b"reading\n") {
        let mut byte = [0];
        assert_eq!(out.read(&mut byte).unwrap(), 1, "{}", String::from_utf8_lossy(&said));
        said.push(byte[0]);
    }
}

fn kill(mut child: Child) {
    child.kill().unwrap();
    let status = child.wait().unwrap();
    assert_eq!(status.signal(), Some(9), "{status}");
}

fn wait_for_the_end(mut child: Child) {
    // Whatever is left in its standard output fits in the pipe.
    assert!(child.wait().unwrap().success());
}

/// Numbers that look like chance (xorshift64).
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}

/// The line with this number: most are short, some longer than a piece or than a pipe.
fn line(number: u64) -> Vec<u8> {
    let len = match number % 1009 {
        1 => 70_000,
        2 | 500 => 20_000,
        rest if rest % 10 == 3 => 1000,
        rest => rest % 90,
    };
    let mut line = format!("{number} ").into_bytes();
    line.extend((0..len).map(|place| b'a' + u8::try_from((place + number) % 26).unwrap()));
    line
}

/// Writes numbered lines, in writes that do not care for lines.
fn write_range(to: &mut PipeWriter, range: std::ops::Range<u64>) {
    let text = range.map(|number| [&line(number)[..], b"\n"].concat()).collect::<Vec<_>>();
    for chunk in text.concat().chunks(3001) {
        to.write_all(chunk).unwrap();
    }
}

/// Writes numbered lines as fast as they are taken, until told to stop; how many.
fn write_lines(mut to: PipeWriter, stop: &AtomicBool) -> u64 {
    let mut number = 0;
    while !stop.load(Relaxed) {
        write_range(&mut to, number..number + 50);
        number += 50;
    }
    number
}

/// The log holds the last lines of standard output, with no gap and none twice.
fn check_the_end(service: &Service, written: u64) {
    let [texts, _] = service.read();
    assert_eq!(texts.last(), Some(&line(written - 1)), "the last line is there");
    let first = written - u64::try_from(texts.len()).unwrap();
    // The beginning of the first one may be rotated away.
    for (number, text) in (first..).zip(&texts).skip(1) {
        let text = String::from_utf8_lossy(text);
        assert!(text.as_bytes() == line(number), "line {number} of {written}: {text:.80}");
    }
}

/// How often a supervisor is killed in a test; more with `KENNEL_TEST_KILLS`.
fn kills(count: u32) -> u32 {
    std::env::var("KENNEL_TEST_KILLS").map_or(count, |text| text.parse().unwrap())
}

/// Kills supervisors at random moments while both streams are written at full speed; how many
/// lines each has written in the end.
fn kill_again_and_again(service: &Service, writers: [PipeWriter; 2], count: u32) -> Vec<u64> {
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        let writing = writers.map(|writer| scope.spawn(|| write_lines(writer, &stop)));
        let mut dice = Dice(0x9e37_79b9_7f4a_7c15);
        for _ in 0..count {
            let mut child = service.supervisor();
            // One in four before it has caught up.
            if dice.below(4) > 0 {
                wait_for_reading(&mut child);
                thread::sleep(Duration::from_micros(dice.below(8000)));
            } else {
                thread::sleep(Duration::from_micros(dice.below(30_000)));
            }
            kill(child);
        }
        let last = service.supervisor();
        stop.store(true, Relaxed);
        let written = writing.map(|thread| thread.join().unwrap());
        wait_for_the_end(last);
        written.into()
    })
}

#[test]
fn every_line_is_in_the_log_once_and_in_order_however_often_its_supervisor_is_killed() {
    let settings = LogSettings { max_size: 256 << 10, keep: 100_000, ..LogSettings::default() };
    let (service, writers) = Service::new(settings);
    let written = kill_again_and_again(&service, writers, kills(100));
    for (count, texts) in written.into_iter().zip(service.read()) {
        assert!(count > 10_000, "{count} lines written");
        for (number, text) in (0..).zip(&texts) {
            let (text, wanted) = (String::from_utf8_lossy(text), line(number));
            assert!(text.as_bytes() == wanted, "line {number} of {count}: {text:.80}");
        }
        assert_eq!(u64::try_from(texts.len()).unwrap(), count);
    }
    assert_eq!(service.spools(), 0, "nothing is left between pipes and files");
}

#[test]
fn what_rotation_keeps_has_no_gap_whenever_its_supervisor_is_killed() {
    let mut dice = Dice(0x2545_f491_4f6c_dd1d);
    // Each turn rotates more often than files are kept.
    for keep in [0, 1, 3] {
        let settings = LogSettings { max_size: 10_000, keep, ..LogSettings::default() };
        let (service, [mut writer, _other]) = Service::new(settings);
        let mut written = 0;
        for _ in 0..kills(100) / 8 {
            let mut first = service.supervisor();
            wait_for_reading(&mut first);
            // Past what is kept of the last round, so that nothing hides behind it.
            let next = written..written + 3000 + dice.below(50);
            written = next.end;
            thread::scope(|scope| {
                let writing = scope.spawn(|| write_range(&mut writer, next));
                thread::sleep(Duration::from_micros(dice.below(10_000)));
                kill(first);
                let second = service.supervisor();
                thread::sleep(Duration::from_micros(dice.below(30_000)));
                kill(second);
                let third = service.supervisor();
                writing.join().unwrap();
                kill(third);
            });
            let mut last = service.supervisor();
            wait_for_reading(&mut last);
            kill(last);
            check_the_end(&service, written);
        }
    }
}

#[test]
fn a_line_stays_one_when_its_supervisor_is_killed_in_its_middle() {
    let (service, [mut stdout, mut stderr]) = Service::new(LogSettings::default());
    let log = log_path(&service.dir(), SERVICE);
    for text in ["half ", "a line "] {
        let end = format!("stdout P {text}\n").into_bytes();
        let mut child = service.supervisor();
        write!(stdout, "{text}").unwrap();
        wait_until("the piece is written", || {
            fs::read(&log).is_ok_and(|log| log.windows(end.len()).any(|bytes| bytes == end))
        });
        // Less than a piece, and not written when it is killed.
        write!(stderr, "{text}").unwrap();
        wait_for_reading(&mut child);
        kill(child);
    }
    let last = service.supervisor();
    write!(stdout, "and its end\nanother\n").unwrap();
    drop((stdout, stderr));
    wait_for_the_end(last);
    let lines = ["half a line and its end", "another"].map(|text| text.as_bytes().to_vec());
    assert_eq!(service.read(), [lines.to_vec(), vec![b"half a line ".to_vec()]]);
}
