//! How processes end and how that is learnt.

use std::sync::Arc;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::*;

const BOTH_WAYS: [GroupSignals; 2] = [GroupSignals::Pidfd, GroupSignals::Number];

async fn in_time<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(BOUND, future).await.expect("in time")
}

#[tokio::test]
async fn exit_codes_and_signals_are_told_apart() {
    for way in BOTH_WAYS {
        for (script, expected) in [
            ("exit 0", ExitStatus::Code(0)),
            ("exit 255", ExitStatus::Code(255)),
            ("kill -TERM $$", ExitStatus::Signal { signal: 15, core_dumped: false }),
            // Realtime signals are numbers without a name.
            ("kill -40 $$", ExitStatus::Signal { signal: 40, core_dumped: false }),
        ] {
            let process = spawn_with(shell(script), way).unwrap();
            assert_eq!(in_time(process.exited()).await.unwrap(), expected, "{script}");
            assert_eq!(in_time(process.exited()).await.unwrap(), expected, "again");
            process.release();
            assert_eq!(process.try_exited().unwrap(), Some(expected), "after the release");
        }
    }
}

#[tokio::test]
async fn several_tasks_may_wait_for_one_exit() {
    let process = Arc::new(spawn(shell("kill -STOP $$; exit 9")).unwrap());
    let waiters: Vec<_> = (0..4)
        .map(|_| {
            let process = Arc::clone(&process);
            tokio::spawn(async move { process.exited().await })
        })
        .collect();
    let pid = process.pid();
    until("it has stopped", || proc::stat(pid).unwrap().state == b'T');
    assert_eq!(process.try_exited().unwrap(), None, "a stop is no exit");
    process.signal(libc::SIGCONT).unwrap();
    for waiter in waiters {
        assert_eq!(in_time(waiter).await.unwrap().unwrap(), ExitStatus::Code(9));
    }
}

#[test]
fn starts_on_many_threads_do_not_mix_up_their_exits() {
    std::thread::scope(|scope| {
        for thread in 0..8 {
            scope.spawn(move || {
                for round in 0..25 {
                    let code = thread * 25 + round;
                    let (status, output) = run(shell(&format!("echo {code}; exit {code}")));
                    assert_eq!(status, ExitStatus::Code(code));
                    assert_eq!(output, format!("{code}\n"));
                }
            });
        }
    });
}

#[test]
fn a_signal_to_a_reaped_process_finds_nobody() {
    let process = spawn(Launch::new(["/bin/true"])).unwrap();
    status_of(&process);
    process.release();
    let error = process.signal(libc::SIGKILL).unwrap_err();
    assert_eq!(error.raw_os_error(), Some(libc::ESRCH));
    let error = process.signal_group(libc::SIGKILL).unwrap_err();
    assert_eq!(error.raw_os_error(), Some(libc::ESRCH));
}

#[test]
fn a_process_dropped_while_it_runs_goes_on_and_leaves_no_zombie() {
    for way in BOTH_WAYS {
        let process = spawn_with(Launch::new(["/bin/sleep", "1000"]), way).unwrap();
        let pid = process.pid();
        drop(process);
        assert!(proc::stat(pid).unwrap().runs());
        kill(Pid::from_raw(pid), Signal::SIGKILL).unwrap();
        until("it is reaped", || {
            children::collect_abandoned();
            proc::stat(pid).is_err()
        });
    }
}

#[test]
fn a_process_dropped_after_its_exit_is_reaped() {
    for way in BOTH_WAYS {
        let process = spawn_with(Launch::new(["/bin/true"]), way).unwrap();
        let pid = process.pid();
        until("it is a zombie", || proc::stat(pid).unwrap().state == b'Z');
        drop(process);
        assert!(proc::stat(pid).is_err());
    }
}

#[tokio::test]
async fn a_process_of_an_earlier_supervisor_is_adopted_by_pid_and_start_time() {
    let pipe = output_pipe().unwrap();
    let mut launch = shell("sleep 1000 </dev/null >/dev/null 2>&1 & echo $!");
    launch.stdout = Output::Descriptor(pipe.service);
    let starter = spawn(launch).unwrap();
    let pid: i32 = read_line(&pipe.reader).parse().unwrap();
    status_of(&starter);
    let start_time = proc::start_time(pid).unwrap();
    let error = Process::adopt(pid, start_time + 1).unwrap_err();
    assert_eq!(error.raw_os_error(), Some(libc::ESRCH), "the number alone proves nothing");
    let process = Process::adopt(pid, start_time).unwrap();
    assert_eq!(process.try_exited().unwrap(), None);
    process.signal(libc::SIGTERM).unwrap();
    match in_time(process.exited()).await {
        Ok(status) => {
            assert_eq!(status, ExitStatus::Signal { signal: 15, core_dumped: false });
        }
        // Unknown: an older kernel, or whoever is its parent does not reap.
        Err(error) => assert_eq!(error.raw_os_error(), Some(libc::ECHILD)),
    }
    let error = Process::adopt(i32::MAX, 1).unwrap_err();
    assert_eq!(error.raw_os_error(), Some(libc::ESRCH));
}

#[tokio::test]
async fn an_exit_that_somebody_else_collected_is_not_waited_for_in_vain() {
    let process = spawn(Launch::new(["/bin/true"])).unwrap();
    let pid = process.pid();
    until("it is a zombie", || proc::stat(pid).unwrap().state == b'Z');
    nix::sys::wait::waitpid(Pid::from_raw(pid), None).unwrap();
    match in_time(process.exited()).await {
        Ok(status) => assert_eq!(status, ExitStatus::Code(0)),
        Err(error) => assert_eq!(error.raw_os_error(), Some(libc::ECHILD)),
    }
}

#[test]
fn a_number_with_another_start_time_is_somebody_else_and_gets_no_signal() {
    let process = spawn(shell("exec sleep 1000")).unwrap();
    let started = process.start_time().unwrap();
    for other in [started + 1, started - 1, 0] {
        let error = signal_exactly(process.pid(), other, libc::SIGKILL).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::ESRCH), "{other}");
    }
    assert_eq!(process.try_exited().unwrap(), None);
    signal_exactly(process.pid(), started, libc::SIGTERM).unwrap();
    assert_eq!(status_of(&process), ExitStatus::Signal { signal: 15, core_dumped: false });
}
