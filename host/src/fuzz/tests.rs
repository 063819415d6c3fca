//! A short run of the fuzz targets, with the seeds of their corpora, and a proof that it
//! notices what it looks for.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use super::*;

/// One door.
#[derive(Clone, Copy)]
struct Target {
    /// Its name, and that of its program in `fuzz/fuzz_targets`.
    name: &'static str,
    run: fn(&[u8]),
    /// What it takes, to begin with.
    seeds: &'static [&'static [u8]],
}

macro_rules! target {
    ($name:ident, $($seed:literal),+) => {
        Target {
            name: stringify!($name),
            run: $name,
            seeds: &[$(include_bytes!(concat!(
                "../../../fuzz/corpus/", stringify!($name), "/", $seed
            ))),+],
        }
    };
}

const TARGETS: &[Target] = &[
    target!(configuration, "services.yaml", "small.yaml"),
    target!(env_file, "variables"),
    target!(notification, "ready", "numbers", "barrier", "reloading"),
    target!(parameters, "logs", "stop"),
    target!(journal, "started"),
    target!(log_line, "whole", "part"),
    target!(ledger, "two-streams"),
    target!(run_table, "runs"),
    target!(plugin_memory, "kept", "dropped"),
    target!(handover, "all", "nothing"),
    target!(state_id, "id"),
    target!(sink_cursor, "behind", "new"),
];

/// Bytes that mean something to one parser or the other.
const TELLING: &[u8] = b"\0\n:-{}[]\"'&*!%#@= \xff019";

/// No input keeps a parser longer, on the busiest of machines.
const BOUND: Duration = Duration::from_secs(30);

/// So many inputs there are however slow a machine is.
const ENOUGH: u64 = 50;

/// How long each door is tried; longer with `KENNEL_FUZZ_SECONDS`.
fn time() -> Duration {
    let seconds = std::env::var("KENNEL_FUZZ_SECONDS");
    seconds.map_or(Duration::from_secs(2), |text| Duration::from_secs(text.parse().unwrap()))
}

/// Numbers that look like chance (xorshift64).
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % u64::try_from(limit.max(1)).unwrap()).unwrap()
    }

    /// One of `seeds` with a few changes: what fuzzers do most.
    fn input(&mut self, seeds: &[&[u8]]) -> Vec<u8> {
        let mut bytes = seeds[self.below(seeds.len())].to_vec();
        let other = seeds[self.below(seeds.len())];
        for _ in 0..=self.below(4) {
            let at = self.below(bytes.len());
            match self.below(7) {
                0 => bytes.truncate(at),
                1 if !bytes.is_empty() => bytes[at] ^= 1 << self.below(8),
                2 if !bytes.is_empty() => drop(bytes.remove(at)),
                3 => bytes.insert(at, TELLING[self.below(TELLING.len())]),
                4 => {
                    let from = self.below(other.len());
                    let to = from + self.below(other.len() - from + 1).min(40);
                    drop(bytes.splice(at..at, other[from..to].iter().copied()));
                }
                5 => {
                    let to = (at + self.below(40)).min(bytes.len());
                    bytes.drain(at..to);
                }
                _ => {
                    let piece = bytes[at..(at + self.below(40)).min(bytes.len())].to_vec();
                    drop(bytes.splice(at..at, piece));
                }
            }
        }
        bytes
    }
}

/// Sends changed seeds through a door for `time`; says how many they were, or which one it
/// fell to: by a panic, or because it did not come back within `bound`.
fn siege(target: Target, time: Duration, bound: Duration) -> Result<u64, String> {
    let latest = Arc::new(Mutex::new(Vec::new()));
    let (sender, outcome) = mpsc::channel();
    let at_work = Arc::clone(&latest);
    // Who does not come back is left behind, and ends with the program.
    thread::spawn(move || {
        let mut dice = Dice(0x6a09_e667_f3bc_c908);
        let end = Instant::now() + time;
        let mut count = 0;
        while Instant::now() < end || count < ENOUGH {
            let bytes = dice.input(target.seeds);
            at_work.lock().unwrap().clone_from(&bytes);
            let came_back = catch_unwind(AssertUnwindSafe(|| (target.run)(&bytes)));
            if came_back.is_err() {
                let _ = sender.send(Err("panic"));
                return;
            }
            count += 1;
        }
        let _ = sender.send(Ok(count));
    });
    let outcome = outcome.recv_timeout(time + bound).unwrap_or(Err("does not come back"));
    outcome.map_err(|what| {
        let bytes = latest.lock().unwrap();
        format!("{}: {what}: b\"{}\"", target.name, bytes.escape_ascii())
    })
}

#[test]
fn no_door_falls_to_what_a_fuzzer_sends() {
    let sieges: Vec<_> = TARGETS
        .iter()
        .map(|&target| (target, thread::spawn(move || siege(target, time(), BOUND))))
        .collect();
    for (target, siege) in sieges {
        let count = siege.join().unwrap().unwrap_or_else(|fell| panic!("{fell}"));
        println!("{}: {count} inputs", target.name);
    }
}

#[test]
fn a_door_that_falls_is_noticed() {
    // A mistake that only a changed seed meets.
    fn panics(bytes: &[u8]) {
        if let Some(at) = bytes.iter().position(|byte| *byte == b'=') {
            assert!(bytes.len() > at + 1, "the value is looked at without asking for it");
        }
    }
    fn hangs(bytes: &[u8]) {
        while !bytes.contains(&b'=') {
            thread::park();
        }
    }
    let seeds: &[&[u8]] = &[b"READY=1\nMAINPID=42"];
    let long = Duration::from_secs(60);
    let fell = siege(Target { name: "planted", run: panics, seeds }, long, BOUND).unwrap_err();
    assert!(fell.starts_with("planted: panic: b\"") && fell.ends_with("=\""), "{fell}");
    let short = Duration::from_secs(1);
    let fell = siege(Target { name: "planted", run: hangs, seeds }, short, short).unwrap_err();
    assert!(fell.starts_with("planted: does not come back: b\""), "{fell}");
}

#[test]
fn what_a_fuzzer_begins_with_is_what_the_parsers_take() {
    for Target { name, seeds, .. } in TARGETS {
        for seed in *seeds {
            let text = || std::str::from_utf8(seed).unwrap();
            let is_taken = match *name {
                "configuration" => {
                    let path = Path::new("/nowhere/services.yaml");
                    config::load_str(path, text(), &Environment::default()).is_ok()
                }
                "env_file" => try_env_file(text()),
                "notification" => try_notification(seed),
                "parameters" => try_query(text()),
                "journal" => try_record(seed),
                "log_line" => line::parse(seed).is_some(),
                "ledger" => try_ledger(seed),
                "run_table" => try_table(seed),
                "plugin_memory" => try_change(seed),
                "handover" => try_list(seed),
                "state_id" => try_id(seed),
                "sink_cursor" => try_cursor(text()),
                other => panic!("nobody looks at the seeds of {other}"),
            };
            assert!(is_taken, "{name}: {}", seed.escape_ascii());
        }
    }
}

#[test]
fn every_door_has_a_program_that_fuzzes_it() {
    let manifest = include_str!("../../../fuzz/Cargo.toml");
    let programs: Vec<_> =
        manifest.lines().filter_map(|line| line.strip_prefix("path = \"fuzz_targets/")).collect();
    let expected: Vec<_> = TARGETS.iter().map(|target| format!("{}.rs\"", target.name)).collect();
    assert_eq!(programs, expected);
}
