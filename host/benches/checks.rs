//! What health checks cost, how even their load is, and how soon a failure is acted upon:
//! Kennel, and beside it monit with the same checks, where that is installed.
//!
//!     cargo bench -p kennel --bench checks
//!
//! Takes about three and a half minutes and prints tables in Markdown.

// A failed expectation is how a measurement fails.
#![allow(clippy::unwrap_used, dead_code, missing_docs)]

#[path = "../wasm/tests/support/guest.rs"]
mod guest;

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use guest::Guest;

/// Each is checked once a second: 10,020 checks a minute.
const SERVICES: usize = 167;
/// How many services one plugin looks after, each once a second.
const MANY: usize = 1000;
/// Until all are up, and the first checks, which come soon, are over.
const SETTLE: Duration = Duration::from_secs(5);
const WATCH: Duration = Duration::from_secs(10);
/// Services that fail, of which each decision is timed.
const FAILING: usize = 40;
/// In so many parts a second is divided to see how even the load is.
const PARTS: usize = 10;

fn main() {
    // Asked by `cargo test --benches`: there is nothing to prove here.
    if std::env::args().any(|argument| argument == "--test") {
        return;
    }
    let bench = Bench::new();
    println!("\n{SERVICES} services, each checked once a second, {WATCH:?} each:\n");
    println!(
        "| Check | Share of one processor | of it in commands | Checks in 100 ms, fewest–most |"
    );
    println!("|---|---|---|---|");
    for check in [Check::None, Check::Tcp, Check::Http, Check::Command, Check::Plugin] {
        let supervisor = bench.kennel(check, SERVICES);
        println!("{}", bench.row("Kennel", check, supervisor));
    }
    let has_monit = Command::new("monit").arg("-V").output().is_ok();
    if has_monit {
        for check in [Check::Tcp, Check::Http, Check::Command] {
            let monit = bench.monit(check);
            println!("{}", bench.row("monit", check, monit));
        }
    }
    println!(
        "\n{MANY} services, each checked once a second by one plugin, beside the built-in check:\n"
    );
    println!(
        "| Check | Share of one processor | of it in commands | Checks in 100 ms, fewest–most |"
    );
    println!("|---|---|---|---|");
    for check in [Check::None, Check::Tcp, Check::Plugin] {
        let supervisor = bench.kennel(check, MANY);
        println!("{}", bench.row("Kennel", check, supervisor));
    }
    println!(
        "\nFrom a failure to the decision to restart, three failures in a row, each second:\n"
    );
    println!("| | median | longest | possible by configuration |");
    println!("|---|---|---|---|");
    println!("{}", decisions("Kennel", &bench.kennel_decisions()));
    if has_monit {
        println!("{}", decisions("monit", &bench.monit_decisions()));
    } else {
        println!("\nmonit is not installed.");
    }
}

/// What is looked at.
#[derive(Clone, Copy, PartialEq)]
enum Check {
    None,
    Tcp,
    Http,
    Command,
    Plugin,
}

impl Check {
    fn word(self) -> &'static str {
        match self {
            Check::None => "none",
            Check::Tcp => "tcp",
            Check::Http => "http",
            Check::Command => "command (`sh -c`)",
            Check::Plugin => "tcp by a plugin",
        }
    }
}

/// When checks were seen.
type Seen = Arc<Mutex<Vec<Instant>>>;

/// What is looked at by all, and who tells when it was.
struct Bench {
    folder: tempfile::TempDir,
    address: String,
    seen: Seen,
    /// Whether those who connect send a request; else the connection is closed at once.
    is_asked: Arc<AtomicBool>,
}

impl Bench {
    fn new() -> Bench {
        let folder = tempfile::tempdir().unwrap();
        let seen = Seen::default();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let is_asked = Arc::new(AtomicBool::new(false));
        let (noting, requests) = (seen.clone(), is_asked.clone());
        // They end with the measurement.
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                noting.lock().unwrap().push(Instant::now());
                if requests.load(Ordering::Relaxed) {
                    // Beside, so that the next one is seen at once.
                    thread::spawn(move || drop(answer(stream)));
                }
            }
        });
        let fifo = folder.path().join("seen");
        nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
        // Read and write, so that it never ends.
        let mut fifo = File::options().read(true).write(true).open(fifo).unwrap();
        let noting = seen.clone();
        thread::spawn(move || {
            let mut bytes = [0; 64];
            while let Ok(count) = fifo.read(&mut bytes) {
                let lines = bytes[..count].iter().filter(|byte| **byte == b'\n').count();
                noting.lock().unwrap().extend(vec![Instant::now(); lines]);
            }
        });
        fs::write(folder.path().join("tcp.wasm"), connects(&address)).unwrap();
        Bench { folder, address, seen, is_asked }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A script, because monit takes no arguments with quotes.
    fn command(&self) -> String {
        let script = self.path("check.sh");
        let fifo = self.path("seen");
        fs::write(&script, format!("#!/bin/sh\necho > {}\n", fifo.display())).unwrap();
        fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
        script.display().to_string()
    }

    /// Kennel with so many services.
    fn kennel(&self, check: Check, services: usize) -> Child {
        self.is_asked.store(check == Check::Http, Ordering::Relaxed);
        let address = &self.address;
        let health = match check {
            Check::None => String::new(),
            Check::Tcp => format!("tcp: \"{address}\""),
            Check::Http => format!("http: \"http://{address}/\""),
            Check::Command => format!("command: [{}]", self.command()),
            Check::Plugin => "plugin: tcp".to_owned(),
        };
        let health = match health.as_str() {
            "" => String::new(),
            health => format!(", health: {{ {health}, every: 1s }}"),
        };
        let mut yaml = match check {
            Check::Plugin => format!(
                "plugins:\n  tcp: {{ source: ./tcp.wasm, grants: {{ net: [\"{address}\"] }} }}\n"
            ),
            Check::None | Check::Tcp | Check::Http | Check::Command => String::new(),
        };
        yaml.push_str("services:\n");
        for number in 0..services {
            writeln!(yaml, "  s{number}: {{ command: [sleep, '1000000']{health} }}").unwrap();
        }
        self.start_kennel(&yaml)
    }

    fn start_kennel(&self, yaml: &str) -> Child {
        let folder = self.folder.path();
        let _ = fs::remove_dir_all(folder.join("state"));
        let head = "kennel: { state_dir: ./state, socket: ./k.sock, max_concurrent_starts: 1000 }";
        let file = folder.join("services.yaml");
        fs::write(&file, format!("{head}\n{yaml}")).unwrap();
        quietly(Command::new(env!("CARGO_BIN_EXE_kennel")).args(["run", "-c"]).arg(&file))
    }

    /// monit with as many checks of the same kind, once a second.
    fn monit(&self, check: Check) -> Child {
        self.is_asked.store(check == Check::Http, Ordering::Relaxed);
        let (host, port) = self.address.split_once(':').unwrap();
        let command = self.command();
        let mut rules = String::new();
        for number in 0..SERVICES {
            match check {
                Check::None | Check::Plugin => Ok(()),
                Check::Tcp => writeln!(
                    rules,
                    "check host s{number} with address {host}\n if failed port {port} then alert"
                ),
                Check::Http => writeln!(
                    rules,
                    "check host s{number} with address {host}\n if failed port {port} protocol http then alert"
                ),
                Check::Command => writeln!(
                    rules,
                    "check program s{number} with path {command}\n if status != 0 then alert"
                ),
            }
            .unwrap();
        }
        self.start_monit(&rules)
    }

    fn start_monit(&self, rules: &str) -> Child {
        let file = self.path("monitrc");
        let place = self.folder.path().display();
        let text = format!(
            "set daemon 1\nset pidfile {place}/monit.pid\nset idfile {place}/monit.id\n\
             set statefile {place}/monit.state\nset logfile {place}/monit.log\n{rules}"
        );
        fs::write(&file, text).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
        quietly(Command::new("monit").args(["-I", "-c"]).arg(&file))
    }

    /// Watches a supervisor, and ends it.
    fn row(&self, name: &str, check: Check, mut supervisor: Child) -> String {
        thread::sleep(SETTLE);
        let (before, begun) = (ticks(&supervisor), Instant::now());
        self.seen.lock().unwrap().clear();
        thread::sleep(WATCH);
        let after = ticks(&supervisor);
        let seconds = begun.elapsed().as_secs_f64();
        let seen = std::mem::take(&mut *self.seen.lock().unwrap());
        end(&mut supervisor);
        let share = |from: u64, to: u64| (to - from) as f64 / seconds;
        let (own, others) = (share(before.0, after.0), share(before.1, after.1));
        let spread = if seen.is_empty() { "–".to_owned() } else { spread(begun, &seen, seconds) };
        format!("| {name}, {} | {:.1} % | {others:.1} % | {spread} |", check.word(), own + others,)
    }

    /// How long each decision of Kennel took.
    fn kennel_decisions(&self) -> Vec<f64> {
        let targets = targets();
        let mut yaml = String::from("services:\n");
        for (number, target) in targets.iter().enumerate() {
            let address = target.local_addr().unwrap();
            let health = format!("{{ tcp: \"{address}\", every: 1s, failures: 3, grace: 0s }}");
            writeln!(yaml, "  s{number}: {{ command: [sleep, '1000000'], health: {health} }}")
                .unwrap();
        }
        let mut supervisor = self.start_kennel(&yaml);
        thread::sleep(SETTLE);
        let failed = now();
        drop(targets);
        thread::sleep(Duration::from_secs(5));
        let events = Command::new(env!("CARGO_BIN_EXE_kennel"))
            .args(["events", "--json", "--socket"])
            .arg(self.path("k.sock"))
            .output()
            .unwrap();
        end(&mut supervisor);
        let mut took = Vec::new();
        let mut known = Vec::new();
        for line in String::from_utf8(events.stdout).unwrap().lines() {
            let event: serde_json::Value = serde_json::from_str(line).unwrap();
            let service = event["service"].clone();
            if event["kind"] == "service.stopping" && !known.contains(&service) {
                let at: jiff::Timestamp = event["at"].as_str().unwrap().parse().unwrap();
                took.push(at.as_nanosecond() as f64 / 1e9 - failed);
                known.push(service);
            }
        }
        took
    }

    /// How long each decision of monit took.
    fn monit_decisions(&self) -> Vec<f64> {
        let targets = targets();
        let script = self.path("decided.sh");
        let decided = self.path("decided");
        let text = format!("#!/bin/sh\ndate +%s.%N >> {}\n", decided.display());
        fs::write(&script, text).unwrap();
        fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
        let mut rules = String::new();
        for (number, target) in targets.iter().enumerate() {
            let port = target.local_addr().unwrap().port();
            writeln!(
                rules,
                "check host s{number} with address 127.0.0.1\n \
                 if failed port {port} for 3 cycles then exec {}",
                script.display()
            )
            .unwrap();
        }
        let mut monit = self.start_monit(&rules);
        thread::sleep(SETTLE);
        let failed = now();
        drop(targets);
        thread::sleep(Duration::from_secs(8));
        end(&mut monit);
        let text = fs::read_to_string(decided).unwrap_or_default();
        text.lines().map(|line| line.parse::<f64>().unwrap() - failed).collect()
    }
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

fn answer(mut stream: TcpStream) -> std::io::Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(2)))?;
    let mut request = [0; 1024];
    if stream.read(&mut request)? > 0 {
        stream.write_all(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok")?;
    }
    Ok(())
}

/// Addresses that are listened on, until they are dropped.
fn targets() -> Vec<TcpListener> {
    (0..FAILING).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect()
}

fn quietly(command: &mut Command) -> Child {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

fn end(supervisor: &mut Child) {
    let pid = nix::unistd::Pid::from_raw(i32::try_from(supervisor.id()).unwrap());
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).unwrap();
    supervisor.wait().unwrap();
}

fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64()
}

/// Processor time in hundredths of a second, own and of children that were waited for,
/// `proc_pid_stat(5)`.
fn ticks(supervisor: &Child) -> (u64, u64) {
    let stat = fs::read_to_string(format!("/proc/{}/stat", supervisor.id())).unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    let of = |at: usize| fields[at].parse::<u64>().unwrap();
    (of(11) + of(12), of(13) + of(14))
}

/// How many checks began in the parts of a second, on average over all seconds.
fn spread(begun: Instant, seen: &[Instant], seconds: f64) -> String {
    let mut parts = [0_usize; PARTS];
    for at in seen {
        let part = at.saturating_duration_since(begun).subsec_micros() as usize * PARTS / 1_000_000;
        parts[part] += 1;
    }
    let a_second = |part: &usize| *part as f64 / seconds;
    let (fewest, most) = (parts.iter().min().unwrap(), parts.iter().max().unwrap());
    format!(
        "{:.0}–{:.0} of {:.0} a second",
        a_second(fewest),
        a_second(most),
        seen.len() as f64 / seconds
    )
}

fn decisions(name: &str, took: &[f64]) -> String {
    let mut took = took.to_vec();
    took.sort_by(f64::total_cmp);
    let (Some(longest), Some(median)) = (took.last(), took.get(took.len() / 2)) else {
        return format!("| {name} | none decided | | |");
    };
    format!("| {name}, {} of {FAILING} | {median:.2} s | {longest:.2} s | 2 to 3 s |", took.len())
}
