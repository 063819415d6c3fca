//! What half of the services feel while the other half crashes all the time: their checks,
//! their restarts and the answers of the API, calm and beside the storm in turn.

use std::collections::VecDeque;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

use super::{Bench, Stamps, kill, monotonic_ns, wait_until};

/// Of each half.
const SERVICES: usize = 500;
/// So many of the calm half are killed in turn, and not looked at.
const KILLED: usize = 15;
/// How often each of the others is looked at.
const EVERY: Duration = Duration::from_secs(1);
/// How long it is watched each time, calm and in the storm.
const WATCH: Duration = Duration::from_secs(12);
/// Until those that crash all do so again and again.
const BREW: Duration = Duration::from_secs(8);
/// Calm and storm, so many times.
const ROUNDS: usize = 2;
/// Between two looks at the API and two restarts.
const PAUSE: Duration = Duration::from_millis(100);

/// When which service was looked at.
type Seen = Arc<Mutex<Vec<(String, Instant)>>>;

/// What was measured, in microseconds.
#[derive(Default)]
struct Figures {
    /// How much later than it should a service was looked at again.
    checks: Vec<u64>,
    restarts: Vec<u64>,
    status: Vec<u64>,
}

impl Bench {
    pub(super) fn overload(&self) -> Result<()> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let port = listener.local_addr()?.port();
        let seen = Seen::default();
        let noting = Arc::clone(&seen);
        // It ends with the measurement.
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let _ = answer(stream, &noting);
            }
        });
        let fifo = self.fifo("calm")?;
        let supervisor = self.with("", &yaml(port, &self.stamp, &fifo))?;
        let mut stamps = Stamps::open(&fifo)?;
        let pids: Result<VecDeque<u32>> = (0..KILLED).map(|_| Ok(stamps.next()?.0)).collect();
        let mut pids = pids?;
        let api = Api(self.folder.path().join("k.sock"));
        wait_until("all are looked at", || Ok(lock(&seen).len() > 3 * SERVICES))?;
        let (mut calm, mut storm) = (Figures::default(), Figures::default());
        for _ in 0..ROUNDS {
            watch(&mut calm, &seen, &api, &mut stamps, &mut pids)?;
            api.ask("POST", "/v1/services/bad/start?wait=false")?;
            thread::sleep(BREW);
            watch(&mut storm, &seen, &api, &mut stamps, &mut pids)?;
            api.ask("POST", "/v1/services/bad/stop")?;
        }
        supervisor.shut_down()?;
        println!(
            "overload  {SERVICES} services, alone and beside {SERVICES} that crash all the time:"
        );
        line("a check is late by", &mut calm.checks, &mut storm.checks);
        line("kill -9 to main() of the replacement", &mut calm.restarts, &mut storm.restarts);
        line("GET /v1/status of all", &mut calm.status, &mut storm.status);
        Ok(())
    }
}

fn yaml(port: u16, stamp: &Path, fifo: &Path) -> String {
    let mut yaml = String::new();
    for number in KILLED..SERVICES {
        yaml.push_str(&format!(
            "  s{number}: {{ command: [sleep, \"1000000\"], health: {{ http: \
             \"http://127.0.0.1:{port}/s{number}\", every: {}s, timeout: 10s }} }}\n",
            EVERY.as_secs()
        ));
    }
    let (stamp, fifo) = (stamp.display(), fifo.display());
    // Stable as soon as they are ready, so that each restart is one after a first failure.
    yaml.push_str(&format!(
        "  stamp:\n    replicas: {KILLED}\n    command: [\"{stamp}\", \"{fifo}\"]\n    \
         restart: {{ limit: none, reset_after: 1ms }}\n"
    ));
    yaml.push_str(&format!(
        "  bad:\n    replicas: {SERVICES}\n    enabled: false\n    shell: \"echo a line; exit 1\"\n    \
         restart: {{ limit: none, backoff: {{ initial: 100ms, max: 1s }} }}\n"
    ));
    yaml
}

/// Notes who is asked for, and says that it is well.
fn answer(mut stream: TcpStream, seen: &Seen) -> Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(2)))?;
    let mut request = [0; 1024];
    let length = stream.read(&mut request)?;
    let at = Instant::now();
    stream.write_all(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok")?;
    let request = String::from_utf8_lossy(&request[..length]).into_owned();
    let who = request.split(' ').nth(1).context("no request")?.to_owned();
    lock(seen).push((who, at));
    Ok(())
}

fn watch(
    figures: &mut Figures,
    seen: &Seen,
    api: &Api,
    stamps: &mut Stamps,
    pids: &mut VecDeque<u32>,
) -> Result<()> {
    lock(seen).clear();
    let begun = Instant::now();
    while begun.elapsed() < WATCH {
        let asked = Instant::now();
        api.ask("GET", "/v1/status")?;
        figures.status.push(micros(asked.elapsed()));
        thread::sleep(PAUSE);
        // The one that has run for longest: it is stable.
        let next = pids.pop_front().context("nobody is left")?;
        let killed = monotonic_ns()?;
        kill(next)?;
        let (pid, began) = stamps.next()?;
        figures.restarts.push(began.saturating_sub(killed) / 1000);
        pids.push_back(pid);
        thread::sleep(PAUSE);
    }
    let mut seen = std::mem::take(&mut *lock(seen));
    seen.sort();
    let pairs = seen.windows(2).filter(|pair| pair[0].0 == pair[1].0);
    figures.checks.extend(pairs.map(|pair| micros((pair[1].1 - pair[0].1).saturating_sub(EVERY))));
    Ok(())
}

/// The control socket.
struct Api(PathBuf);

impl Api {
    fn ask(&self, method: &str, target: &str) -> Result<()> {
        let mut stream = UnixStream::connect(&self.0).context("cannot reach the supervisor")?;
        write!(
            stream,
            "{method} {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\
             Content-Length: 0\r\n\r\n"
        )?;
        let mut text = String::new();
        stream.read_to_string(&mut text)?;
        anyhow::ensure!(text.starts_with("HTTP/1.1 200"), "{target}: {text}");
        Ok(())
    }
}

fn line(what: &str, calm: &mut [u64], storm: &mut [u64]) {
    let [(calm_half, calm_most), (storm_half, storm_most)] = [calm, storm].map(|values| {
        values.sort_unstable();
        let at = |share: usize| values.get(values.len() * share / 100).copied().unwrap_or(0) as f64;
        (at(50) / 1000.0, at(99) / 1000.0)
    });
    println!(
        "  {what}: median {calm_half:.1} ms, in the storm {storm_half:.1} ms, ratio {:.2}; 99th \
         of 100 {calm_most:.1} ms, {storm_most:.1} ms, ratio {:.2}",
        storm_half / calm_half,
        storm_most / calm_most
    );
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
