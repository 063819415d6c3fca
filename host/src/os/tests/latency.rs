//! What a start costs, by the memory of the supervisor. Prints figures; run with
//! `--ignored --nocapture`.

use std::os::unix::process::CommandExt;

use super::*;

const ROUNDS: usize = 200;

#[test]
#[ignore = "a measurement"]
fn a_start_costs_the_same_however_large_the_supervisor() {
    report("small");
    let heap = vec![1_u8; 1 << 30];
    report("1 GiB touched");
    assert_eq!(std::hint::black_box(&heap)[heap.len() - 1], 1);
}

fn report(memory: &str) {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let rss = status.lines().find(|line| line.starts_with("VmRSS")).unwrap();
    println!("{memory} ({rss}): spawn {:?}, fork {:?}", median(rich_spawn), median(rich_fork));
}

fn median(mut start: impl FnMut() -> Duration) -> Duration {
    let mut times: Vec<Duration> = (0..ROUNDS).map(|_| start()).collect();
    times.sort_unstable();
    times[ROUNDS / 2]
}

fn rich_spawn() -> Duration {
    let mut launch = Launch::new(["/bin/true"]);
    launch.working_dir = Some("/".into());
    launch.umask = Some(0o022);
    launch.nice = Some(1);
    launch.rlimits = vec![Rlimit { resource: Resource::Nofile, soft: 512, hard: 512 }];
    let begun = Instant::now();
    let process = spawn(launch).unwrap();
    let took = begun.elapsed();
    status_of(&process);
    took
}

/// What the standard library does once there is something to run before exec.
#[allow(unsafe_code)]
fn rich_fork() -> Duration {
    let mut command = Command::new("/bin/true");
    command.current_dir("/");
    let set_up = || {
        let limit = libc::rlimit { rlim_cur: 512, rlim_max: 512 };
        // SAFETY: plain calls in the forked child.
        unsafe { libc::umask(0o022) };
        // SAFETY: as above.
        unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, 1) };
        // SAFETY: as above; the struct lives for the call.
        unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) };
        Ok(())
    };
    // SAFETY: `set_up` makes async-signal-safe calls only.
    unsafe { command.pre_exec(set_up) };
    let begun = Instant::now();
    let mut child = command.spawn().unwrap();
    let took = begun.elapsed();
    child.wait().unwrap();
    took
}
