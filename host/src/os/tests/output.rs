//! The output pipe with real writers, and the lock with real rivals.

use nix::fcntl::{FcntlArg, OFlag, fcntl};

use super::*;

#[test]
fn the_services_end_blocks_and_ours_does_not() {
    let pipe = output_pipe().unwrap();
    let flags = |fd: &OwnedFd| OFlag::from_bits_retain(fcntl(fd, FcntlArg::F_GETFL).unwrap());
    assert!(flags(&pipe.reader).contains(OFlag::O_NONBLOCK));
    assert!(!flags(&pipe.service).contains(OFlag::O_NONBLOCK));
    assert!(flags(&pipe.service).contains(OFlag::O_RDWR));
    for end in [&pipe.reader, &pipe.service] {
        assert_eq!(fcntl(end, FcntlArg::F_GETFD).unwrap(), libc::FD_CLOEXEC);
    }
    let bytes = fcntl(&pipe.reader, FcntlArg::F_GETPIPE_SZ).unwrap();
    let limit = fs::read_to_string("/proc/sys/fs/pipe-max-size").unwrap();
    if is_root() {
        assert_eq!(bytes.to_string(), limit.trim());
    }
}

#[test]
fn the_end_of_output_arrives_when_the_last_holder_exits_not_the_first() {
    let pipe = output_pipe().unwrap();
    let mut launch = shell("(read line </dev/null; kill -STOP $$; echo late) & wait");
    launch.stdout = Output::Descriptor(pipe.service);
    let process = spawn(launch).unwrap();
    let pid = process.pid();
    until("the leader has stopped", || proc::stat(pid).unwrap().state == b'T');
    process.signal(libc::SIGKILL).unwrap();
    status_of(&process);
    assert_eq!(read_to_end(pipe.reader), "late\n");
}

#[test]
fn a_service_outlives_its_reader_and_the_next_reader_gets_what_waited() {
    let pipe = output_pipe().unwrap();
    let mut launch = shell("kill -STOP $$; echo waiting; kill -STOP $$; echo more; exit 5");
    launch.stdout = Output::Descriptor(pipe.service);
    let process = spawn(launch).unwrap();
    let pid = process.pid();
    let stopped = || proc::stat(pid).unwrap().state == b'T';
    until("it has stopped", stopped);
    // With an ordinary pipe the echo would now end it by SIGPIPE.
    drop(pipe.reader);
    process.signal(libc::SIGCONT).unwrap();
    let reader = {
        let mut reader = None;
        until("the text is in the pipe", || {
            let opened = reopen_output(pid, 1).unwrap();
            let fds = &mut [nix::poll::PollFd::new(opened.as_fd(), PollFlags::POLLIN)];
            let ready = poll(fds, 0_u8).unwrap() == 1;
            reader = Some(opened);
            ready && stopped()
        });
        reader.unwrap()
    };
    process.signal(libc::SIGCONT).unwrap();
    assert_eq!(read_to_end(reader), "waiting\nmore\n");
    assert_eq!(status_of(&process), ExitStatus::Code(5));
}

#[test]
fn what_is_no_pipe_is_not_reopened() {
    let process = spawn(shell("kill -STOP $$")).unwrap();
    let error = reopen_output(process.pid(), 1).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::InvalidInput);
    process.signal(libc::SIGKILL).unwrap();
    status_of(&process);
}

#[test]
fn a_locked_state_directory_names_its_holder() {
    let directory = tempfile::tempdir().unwrap();
    let lock = StateLock::acquire(directory.path()).unwrap();
    let error = StateLock::acquire(directory.path()).unwrap_err();
    let own = std::process::id();
    let shown = directory.path().display();
    assert_eq!(
        error.to_string(),
        format!("\"{shown}\" is locked by the supervisor with pid {own}")
    );
    let script = format!("flock -n -E 66 '{shown}/lock' true");
    assert_eq!(run(shell(&script)).0, ExitStatus::Code(66), "another process is kept out too");
    drop(lock);
    assert_eq!(run(shell(&script)).0, ExitStatus::Code(0));
}

#[test]
fn a_lock_goes_with_its_holder_and_a_stale_pid_is_no_obstacle() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("lock");
    fs::write(&path, "4194303000\n").unwrap();
    let pipe = output_pipe().unwrap();
    let script = format!("exec 9>>'{}'; flock 9; echo held; sleep 1000", path.display());
    let mut launch = shell(&script);
    launch.stdout = Output::Descriptor(pipe.service);
    let holder = spawn(launch).unwrap();
    assert_eq!(read_line(&pipe.reader), "held");
    let error = StateLock::acquire(directory.path()).unwrap_err();
    assert!(matches!(error, LockError::HeldBy { pid: None, .. }), "{error}");
    holder.signal_group(libc::SIGKILL).unwrap();
    status_of(&holder);
    until("the group is gone", || !holder.group_alive());
    let _lock = StateLock::acquire(directory.path()).unwrap();
    let note = fs::read_to_string(path).unwrap();
    assert!(note.starts_with(&format!("{}\n", std::process::id())), "{note}");
}

#[test]
fn a_lock_that_is_a_link_or_has_no_directory_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink("/tmp/elsewhere", directory.path().join("lock")).unwrap();
    let error = StateLock::acquire(directory.path()).unwrap_err();
    assert!(matches!(error, LockError::File { .. }), "{error}");
    let error = StateLock::acquire(&directory.path().join("none")).unwrap_err();
    assert!(error.to_string().ends_with("no such file or directory"), "{error}");
}

#[test]
fn a_session_is_measured() {
    let process = spawn(shell("sleep 1000 & kill -STOP $$")).unwrap();
    let pid = process.pid();
    until("it has stopped", || proc::stat(pid).unwrap().state == b'T');
    until("both are there", || proc::usage_by_session().unwrap()[&pid].processes == 2);
    assert!(proc::usage_by_session().unwrap()[&pid].memory_bytes > 0);
    process.signal_group(libc::SIGKILL).unwrap();
    status_of(&process);
}
