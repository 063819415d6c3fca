//! Orphans are reaped, runs are not.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};

use super::*;

/// What a sweep reaps; nothing when starts leave it no room.
fn sweep() -> Vec<Orphan> {
    match reap_orphans() {
        Ok(reaped) => reaped,
        Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => Vec::new(),
        Err(error) => panic!("{error}"),
    }
}

#[test]
fn an_orphan_is_reaped_and_a_run_keeps_its_status() {
    alone("os::tests::orphaned::an_orphan_is_reaped_and_a_run_keeps_its_status", || {
        become_subreaper().unwrap();
        let run = spawn(shell("exit 7")).unwrap();
        until("the run is a zombie", || proc::stat(run.pid()).unwrap().state == b'Z');
        let parent = spawn(shell("(sleep 0.05; exit 3) & exit 0")).unwrap();
        let mut reaped = Vec::new();
        until("the orphan is reaped", || {
            reaped.extend(sweep());
            !reaped.is_empty()
        });
        assert_eq!(reaped.len(), 1);
        assert_eq!(reaped[0].status, ExitStatus::Code(3));
        assert_eq!(run.try_exited().unwrap(), Some(ExitStatus::Code(7)));
        assert_eq!(status_of(&parent), ExitStatus::Code(0));
    });
}

#[test]
fn a_sweep_never_takes_an_exit_however_often_it_runs() {
    alone("os::tests::orphaned::a_sweep_never_takes_an_exit_however_often_it_runs", || {
        become_subreaper().unwrap();
        let over = AtomicBool::new(false);
        let stolen = std::thread::scope(|scope| {
            let sweeper = scope.spawn(|| {
                let mut reaped = BTreeSet::new();
                while !over.load(Ordering::Relaxed) {
                    reaped.extend(sweep().into_iter().map(|one| one.pid));
                }
                reaped
            });
            let starters: Vec<_> = (0..4)
                .map(|thread| {
                    scope.spawn(move || {
                        for _ in 0..100 {
                            let process = spawn(shell(&format!("exit {thread}"))).unwrap();
                            assert_eq!(status_of(&process), ExitStatus::Code(thread));
                        }
                    })
                })
                .collect();
            let results: Vec<_> = starters.into_iter().map(|starter| starter.join()).collect();
            over.store(true, Ordering::Relaxed);
            assert!(results.iter().all(Result::is_ok));
            sweeper.join().unwrap()
        });
        assert!(stolen.is_empty(), "{stolen:?}");
    });
}

#[test]
fn an_adopted_child_is_a_run_too() {
    alone("os::tests::orphaned::an_adopted_child_is_a_run_too", || {
        become_subreaper().unwrap();
        let pipe = output_pipe().unwrap();
        let mut launch = shell("sleep 1000 </dev/null >/dev/null 2>&1 & echo $!; kill -STOP $$");
        launch.stdout = Output::Descriptor(pipe.service);
        let starter = spawn(launch).unwrap();
        let pid: i32 = read_line(&pipe.reader).parse().unwrap();
        starter.signal(libc::SIGKILL).unwrap();
        status_of(&starter);
        let adopted = Process::adopt(pid, proc::start_time(pid).unwrap()).unwrap();
        adopted.signal(libc::SIGKILL).unwrap();
        until("it is a zombie", || proc::stat(pid).unwrap().state == b'Z');
        assert_eq!(sweep(), []);
        let expected = ExitStatus::Signal { signal: 9, core_dumped: false };
        assert_eq!(status_of(&adopted), expected);
    });
}
