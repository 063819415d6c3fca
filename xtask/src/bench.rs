//! `cargo xtask bench`: what supervision costs, beside the least that could do it.
//!
//! Absolute figures differ between machines and hours; each is therefore taken beside a
//! bare loop in C or a plain pipe, in turn within one run, and the ratio is what counts.

mod overload;

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::runner::{cargo, run};

/// Restarts that are timed of each.
const RESTARTS: usize = 200;
/// Services in the large house.
const FLEET: usize = 1000;
/// Bytes of output in the log benchmark.
const LOG_BYTES: u64 = 512 << 20;
/// Until services are ready and threads that have nothing to do are gone.
const SETTLE: Duration = Duration::from_secs(12);
/// How long an idle supervisor is watched.
const IDLE: Duration = Duration::from_secs(10);
/// No single wait is longer.
const BOUND: Duration = Duration::from_secs(120);

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Only this one: restart, fleet, logs or overload
    only: Option<String>,
    /// Measure this program instead of a release build
    #[arg(long)]
    kennel: Option<PathBuf>,
}

pub(crate) fn bench(args: &Args) -> Result<()> {
    let kennel = match &args.kennel {
        Some(kennel) => kennel.clone(),
        None => {
            run(cargo().args(["build", "--release", "--package=kennel"]))?;
            let target = std::env::var_os("CARGO_TARGET_DIR");
            target.map_or("target".into(), PathBuf::from).join("release/kennel")
        }
    };
    let bench = Bench::new(&kennel)?;
    let wanted = |name: &str| args.only.as_deref().is_none_or(|only| only == name);
    if wanted("restart") {
        bench.restart()?;
    }
    if wanted("fleet") {
        for size in [1, 100, FLEET] {
            bench.fleet(size)?;
        }
    }
    if wanted("logs") {
        bench.logs()?;
    }
    if wanted("overload") {
        bench.overload()?;
    }
    Ok(())
}

struct Bench {
    folder: tempfile::TempDir,
    kennel: PathBuf,
    bare: PathBuf,
    stamp: PathBuf,
}

impl Bench {
    fn new(kennel: &Path) -> Result<Bench> {
        let folder = tempfile::tempdir()?;
        let kennel = fs::canonicalize(kennel)?;
        let compile = |name: &str| -> Result<PathBuf> {
            let program = folder.path().join(name);
            let source = Path::new("xtask/bench").join(format!("{name}.c"));
            run(Command::new("cc").arg("-O2").arg("-o").arg(&program).arg(source))?;
            Ok(program)
        };
        let (bare, stamp) = (compile("loop")?, compile("stamp")?);
        Ok(Bench { folder, kennel, bare, stamp })
    }

    /// A supervisor of `services`, in YAML indented by two.
    fn kennel(&self, services: &str) -> Result<Supervisor> {
        self.with(", max_restarts_per_second: 1000", services)
    }

    /// The same, with settings that follow others.
    fn with(&self, settings: &str, services: &str) -> Result<Supervisor> {
        let path = self.folder.path();
        let _ = fs::remove_dir_all(path.join("state"));
        let file = path.join("services.yaml");
        let head = format!("kennel: {{ state_dir: ./state, socket: ./k.sock{settings} }}");
        fs::write(&file, format!("{head}\nservices:\n{services}"))?;
        let child = Command::new(&self.kennel)
            .args(["run", "-c"])
            .arg(&file)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::inherit())
            .spawn()?;
        Ok(Supervisor { child })
    }

    /// From kill -9 of a child to the main() of its replacement.
    fn restart(&self) -> Result<()> {
        let (ours, theirs) = (self.fifo("ours")?, self.fifo("theirs")?);
        let stamp = self.stamp.display();
        let supervisor = self.kennel(&format!(
            "  stamp:\n    command: [\"{stamp}\", \"{}\"]\n    restart: {{ limit: none, \
             backoff: {{ initial: 0s, jitter: 0% }} }}\n",
            ours.display()
        ))?;
        let mut bare = Command::new(&self.bare)
            .arg("respawn")
            .args([self.stamp.as_path(), theirs.as_path()])
            .spawn()?;
        let mut ours = Stamps::open(&ours)?;
        let mut theirs = Stamps::open(&theirs)?;
        let (mut our_pid, mut their_pid) = (ours.next()?.0, theirs.next()?.0);
        let (mut our_times, mut their_times) = (Vec::new(), Vec::new());
        for _ in 0..RESTARTS {
            // Longer than storm control keeps restarts apart.
            std::thread::sleep(Duration::from_millis(20));
            (our_pid, our_times) = timed(&mut ours, our_pid, our_times)?;
            std::thread::sleep(Duration::from_millis(20));
            (their_pid, their_times) = timed(&mut theirs, their_pid, their_times)?;
        }
        bare.kill()?;
        bare.wait()?;
        kill(their_pid)?;
        supervisor.shut_down()?;
        let (our, their) = (median(&mut our_times), median(&mut their_times));
        println!(
            "restart   kill -9 to main() of the replacement, median of {RESTARTS}: kennel {} µs, \
             posix_spawn + waitid in C {} µs, ratio {:.2}",
            our / 1000,
            their / 1000,
            our as f64 / their as f64
        );
        Ok(())
    }

    /// Start, idle and stop of many services.
    fn fleet(&self, size: usize) -> Result<()> {
        let mut services = String::new();
        for number in 0..size {
            services.push_str(&format!("  s{number}: {{ command: [sleep, \"1000000\"] }}\n"));
        }
        let begun = Instant::now();
        let supervisor = self.kennel(&services)?;
        let pid = supervisor.child.id();
        wait_until("all services run", || Ok(children(pid)? >= size))?;
        let started = begun.elapsed();
        std::thread::sleep(SETTLE);
        let (memory, before) = (resident_kib(pid)?, switches(pid)?);
        std::thread::sleep(IDLE);
        let idle: u64 = switches(pid)?
            .iter()
            .map(|(task, count)| count - before.get(task).copied().unwrap_or(0))
            .sum();
        let begun = Instant::now();
        supervisor.shut_down()?;
        let stopped = begun.elapsed();

        let begun = Instant::now();
        let mut bare = Command::new(&self.bare)
            .args(["fleet", &size.to_string(), "sleep", "1000000"])
            .stdin(Stdio::piped())
            .spawn()?;
        let id = bare.id();
        wait_until("the bare loop has started all", || Ok(children(id)? >= size))?;
        let bare_started = begun.elapsed();
        let begun = Instant::now();
        drop(bare.stdin.take());
        bare.wait()?;
        let bare_stopped = begun.elapsed();
        println!(
            "fleet     {size} services: start {} ms (bare loop {} ms), stop {} ms (bare loop {} \
             ms), resident {} KiB, context switches while idle {:.1}/s",
            started.as_millis(),
            bare_started.as_millis(),
            stopped.as_millis(),
            bare_stopped.as_millis(),
            memory,
            idle as f64 / IDLE.as_secs_f64()
        );
        Ok(())
    }

    /// Output of one service to its log file, beside `cat > file`.
    fn logs(&self) -> Result<()> {
        let line = "one line of output of a service that has much to say, 80 bytes in all, really.";
        let write = format!("yes '{line}' | head -c {LOG_BYTES}");
        let done = self.folder.path().join("done");
        let mut ratios = Vec::new();
        let mut best = (0.0_f64, 0.0_f64);
        for _ in 0..3 {
            let _ = fs::remove_file(&done);
            let services = format!(
                "  talker:\n    type: oneshot\n    shell: \"{write}; touch {}\"\n    \
                 logs: {{ max_size: 8GiB }}\n",
                done.display()
            );
            let supervisor = self.kennel(&services)?;
            wait_until("the service has begun", || Ok(children(supervisor.child.id())? > 0))?;
            let begun = Instant::now();
            wait_until("all is written", || Ok(done.exists()))?;
            let ours = begun.elapsed();
            supervisor.shut_down()?;
            let begun = Instant::now();
            let plain = self.folder.path().join("plain.log");
            run(Command::new("sh")
                .arg("-c")
                .arg(format!("{{ {write}; }} | cat > {}", plain.display())))?;
            let theirs = begun.elapsed();
            fs::remove_file(&plain)?;
            let rate = |took: Duration| LOG_BYTES as f64 / 1e6 / took.as_secs_f64();
            best = (best.0.max(rate(ours)), best.1.max(rate(theirs)));
            ratios.push((ours.as_secs_f64() / theirs.as_secs_f64() * 1000.0) as u64);
        }
        println!(
            "logs      {} MiB in lines of 80 bytes, with timestamps: kennel {:.0} MB/s, cat > file \
             {:.0} MB/s (best of 3), time ratio {:.2} (median)",
            LOG_BYTES >> 20,
            best.0,
            best.1,
            median(&mut ratios) as f64 / 1000.0
        );
        Ok(())
    }

    fn fifo(&self, name: &str) -> Result<PathBuf> {
        let path = self.folder.path().join(name);
        run(Command::new("mkfifo").arg(&path))?;
        Ok(path)
    }
}

struct Supervisor {
    child: Child,
}

impl Supervisor {
    fn shut_down(mut self) -> Result<()> {
        run(Command::new("kill").args(["-TERM", &self.child.id().to_string()]))?;
        self.child.wait()?;
        Ok(())
    }
}

impl Drop for Supervisor {
    fn drop(&mut self) {
        // After an error: the second request kills what is left.
        for _ in 0..2 {
            let _ = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status();
        }
        let _ = self.child.wait();
    }
}

/// What the stamping service writes: its pid and the time its main() began.
struct Stamps {
    lines: BufReader<File>,
}

impl Stamps {
    fn open(fifo: &Path) -> Result<Stamps> {
        // Opened for writing too, so that it never comes to an end.
        let file = File::options().read(true).write(true).open(fifo)?;
        Ok(Stamps { lines: BufReader::new(file) })
    }

    fn next(&mut self) -> Result<(u32, u64)> {
        let mut line = String::new();
        self.lines.read_line(&mut line)?;
        let mut words = line.split_whitespace();
        let mut number = || words.next().context("a stamp has two numbers");
        Ok((number()?.parse()?, number()?.parse()?))
    }
}

fn timed(stamps: &mut Stamps, pid: u32, mut times: Vec<u64>) -> Result<(u32, Vec<u64>)> {
    let killed = monotonic_ns()?;
    kill(pid)?;
    let (next, began) = stamps.next()?;
    times.push(began.saturating_sub(killed));
    Ok((next, times))
}

fn kill(pid: u32) -> Result<()> {
    let pid = nix::unistd::Pid::from_raw(i32::try_from(pid)?);
    Ok(nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL)?)
}

fn monotonic_ns() -> Result<u64> {
    let now = nix::time::clock_gettime(nix::time::ClockId::CLOCK_MONOTONIC)?;
    Ok(u64::try_from(now.tv_sec())? * 1_000_000_000 + u64::try_from(now.tv_nsec())?)
}

fn median(values: &mut [u64]) -> u64 {
    values.sort_unstable();
    values.get(values.len() / 2).copied().unwrap_or(0)
}

fn wait_until(what: &str, mut done: impl FnMut() -> Result<bool>) -> Result<()> {
    let begun = Instant::now();
    while !done()? {
        if begun.elapsed() > BOUND {
            bail!("not within {BOUND:?}: {what}");
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    Ok(())
}

/// How many children a process has, over all its threads.
fn children(pid: u32) -> Result<usize> {
    let mut count = 0;
    for thread in tasks(pid)? {
        let mut text = String::new();
        if let Ok(mut file) = File::open(thread.join("children")) {
            file.read_to_string(&mut text)?;
        }
        count += text.split_whitespace().count();
    }
    Ok(count)
}

fn tasks(pid: u32) -> Result<Vec<PathBuf>> {
    let folder = fs::read_dir(format!("/proc/{pid}/task")).context("the process has ended")?;
    Ok(folder.flatten().map(|entry| entry.path()).collect())
}

fn status_number(file: &Path, key: &str) -> Option<u64> {
    let text = fs::read_to_string(file).ok()?;
    let line = text.lines().find(|line| line.starts_with(key))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

fn resident_kib(pid: u32) -> Result<u64> {
    let file = PathBuf::from(format!("/proc/{pid}/status"));
    status_number(&file, "VmRSS:").context("no VmRSS")
}

/// Context switches of each thread so far, voluntary and not.
fn switches(pid: u32) -> Result<HashMap<PathBuf, u64>> {
    let of = |task: &Path, key| status_number(&task.join("status"), key).unwrap_or(0);
    let both = |task: PathBuf| {
        let count =
            of(&task, "voluntary_ctxt_switches:") + of(&task, "nonvoluntary_ctxt_switches:");
        (task, count)
    };
    Ok(tasks(pid)?.into_iter().map(both).collect())
}
