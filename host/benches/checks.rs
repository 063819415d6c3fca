//! A thousand services, each checked once a second: by the built-in `tcp`, and by one
//! plugin that connects to the same address.
//!
//!     cargo bench -p kennel --bench checks

// A failed expectation is how a measurement fails.
#![allow(clippy::unwrap_used, dead_code, missing_docs)]

#[path = "../wasm/tests/support/guest.rs"]
mod guest;

use std::fmt::Write as _;
use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use guest::Guest;

const SERVICES: usize = 1000;
/// Until all are up and the first checks, which come together, are over.
const SETTLE: Duration = Duration::from_secs(15);
const WATCH: Duration = Duration::from_secs(20);
const ROUNDS: usize = 3;

fn main() {
    // Asked by `cargo test --benches`: there is nothing to prove here.
    if std::env::args().any(|argument| argument == "--test") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    // It ends with the measurement.
    thread::spawn(move || listener.incoming().for_each(drop));
    fs::write(folder.path().join("tcp.wasm"), connects(&address)).unwrap();

    let none = String::new();
    let built_in = format!(", health: {{ tcp: \"{address}\", every: 1s }}");
    let plugin = ", health: { plugin: tcp, every: 1s }".to_owned();
    let bound =
        format!("plugins:\n  tcp: {{ source: ./tcp.wasm, grants: {{ net: [\"{address}\"] }} }}\n");
    let mut shares = [Vec::new(), Vec::new(), Vec::new()];
    for _ in 0..ROUNDS {
        let modes = [(&none, ""), (&built_in, ""), (&plugin, bound.as_str())];
        for (shares, (health, plugins)) in shares.iter_mut().zip(modes) {
            shares.push(share(folder.path(), health, plugins));
        }
    }
    let [none, built_in, plugin] = shares.map(median);
    println!(
        "{SERVICES} services, a check a second each; share of one processor, median of {ROUNDS}: \
         without checks {none:.1} %, built-in tcp {built_in:.1} %, tcp by a plugin {plugin:.1} %, \
         × {:.2}",
        plugin / built_in
    );
}

/// A plugin that is content when it can connect.
fn connects(address: &str) -> Vec<u8> {
    let result = guest::RESULT;
    let body = format!(
        "(call $tcp (i32.const 4096) (i32.const {}))
         (call $verdict (i32.mul (i32.const 2) (i32.load8_u (i32.const {result}))))",
        address.len()
    );
    let data = format!("(data (i32.const 4096) \"{address}\")");
    Guest::check(&body).with_tcp().items(&data).build()
}

/// How much of one processor a supervisor takes, in percent.
fn share(folder: &Path, health: &str, plugins: &str) -> f64 {
    let _ = fs::remove_dir_all(folder.join("state"));
    let mut yaml = format!(
        "kennel: {{ state_dir: ./state, socket: ./k.sock, max_concurrent_starts: 1000 }}\n\
         {plugins}services:\n"
    );
    for number in 0..SERVICES {
        writeln!(yaml, "  s{number}: {{ command: [sleep, '1000000']{health} }}").unwrap();
    }
    let file = folder.join("services.yaml");
    fs::write(&file, yaml).unwrap();
    let mut supervisor = Command::new(env!("CARGO_BIN_EXE_kennel"))
        .args(["run", "-c"])
        .arg(&file)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    thread::sleep(SETTLE);
    let (before, begun) = (ticks(&supervisor), Instant::now());
    thread::sleep(WATCH);
    let used = (ticks(&supervisor) - before) as f64 / 100.0;
    let share = used / begun.elapsed().as_secs_f64() * 100.0;
    let pid = nix::unistd::Pid::from_raw(i32::try_from(supervisor.id()).unwrap());
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).unwrap();
    assert!(supervisor.wait().unwrap().success());
    share
}

/// Processor time in hundredths of a second, `proc_pid_stat(5)`.
fn ticks(supervisor: &Child) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{}/stat", supervisor.id())).unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
