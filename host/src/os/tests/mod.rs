//! Tests of the whole layer with real processes. What they share stands here.

mod exits;
mod groups;
mod latency;
mod launching;
mod orphaned;
mod output;
mod sharing;

use std::fs;
use std::io::Read;
use std::os::fd::{AsFd, OwnedFd};
use std::process::Command;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, poll};

use super::*;

/// How long anything may take on a busy machine.
const BOUND: Duration = Duration::from_secs(20);

/// A launch of a shell script with a usual `PATH`.
fn shell(script: &str) -> Launch {
    let mut launch = Launch::new(["/bin/sh", "-c", script]);
    launch.env = vec![("PATH".into(), "/usr/local/bin:/usr/bin:/bin".into())];
    launch
}

/// Waits for a fact.
#[track_caller]
fn until(what: &str, mut fact: impl FnMut() -> bool) {
    let deadline = Instant::now() + BOUND;
    while !fact() {
        assert!(Instant::now() < deadline, "not in time: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

#[track_caller]
fn status_of(process: &Process) -> ExitStatus {
    until("the process ends", || process.try_exited().unwrap().is_some());
    process.try_exited().unwrap().unwrap()
}

/// Runs to the end, standard error included.
#[track_caller]
fn run(mut launch: Launch) -> (ExitStatus, String) {
    let pipe = output_pipe().unwrap();
    launch.stderr = Output::Descriptor(pipe.service.try_clone().unwrap());
    launch.stdout = Output::Descriptor(pipe.service);
    let process = spawn(launch).unwrap();
    let output = read_to_end(pipe.reader);
    (status_of(&process), output)
}

/// Runs to the end and expects success.
#[track_caller]
fn output_of(launch: Launch) -> String {
    let (status, output) = run(launch);
    assert_eq!(status, ExitStatus::Code(0), "{output}");
    output
}

#[track_caller]
fn read_to_end(reader: OwnedFd) -> String {
    let mut file = fs::File::from(reader);
    let mut text = Vec::new();
    loop {
        wait_readable(file.as_fd());
        match file.read_to_end(&mut text) {
            Ok(_) => return String::from_utf8(text).unwrap(),
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(error) => panic!("{error}"),
        }
    }
}

#[track_caller]
fn read_line(reader: &OwnedFd) -> String {
    let mut file = fs::File::from(reader.try_clone().unwrap());
    let mut line = Vec::new();
    loop {
        let mut byte = [0];
        wait_readable(file.as_fd());
        assert_eq!(file.read(&mut byte).unwrap(), 1, "ended within a line");
        if byte[0] == b'\n' {
            return String::from_utf8(line).unwrap();
        }
        line.push(byte[0]);
    }
}

#[track_caller]
fn wait_readable(fd: std::os::fd::BorrowedFd<'_>) {
    let bound = u16::try_from(BOUND.as_millis()).unwrap();
    let ready = poll(&mut [PollFd::new(fd, PollFlags::POLLIN)], bound).unwrap();
    assert_eq!(ready, 1, "nothing came in time");
}

/// Runs the test of that name in a process of its own, because it looks at or changes
/// what a whole process has.
fn alone(name: &str, test: impl FnOnce()) {
    const MARK: &str = "KENNEL_TEST_ALONE";
    if std::env::var(MARK).is_ok_and(|alone| alone == name) {
        return test();
    }
    let own = std::env::current_exe().unwrap();
    let output = Command::new(own)
        .args([name, "--exact", "--test-threads=1", "--nocapture"])
        .env(MARK, name)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && text.contains("1 passed"), "{text}\n{errors}");
}

fn is_root() -> bool {
    let root = nix::unistd::geteuid().is_root();
    if !root {
        eprintln!("skipped: needs root");
    }
    root
}
