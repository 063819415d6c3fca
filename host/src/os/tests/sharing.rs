//! Descriptors: what a process gets, and what it must not.

use std::os::fd::{AsRawFd, FromRawFd, IntoRawFd, RawFd};

use nix::fcntl::{FcntlArg, FdFlag, fcntl};

use super::*;

fn descriptors_of(pid: i32) -> Vec<RawFd> {
    let entries = fs::read_dir(format!("/proc/{pid}/fd")).unwrap();
    let numbers = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    let mut numbers: Vec<RawFd> = numbers.collect();
    numbers.sort_unstable();
    numbers
}

#[test]
fn only_the_standard_streams_are_inherited_even_when_others_are_not_close_on_exec() {
    let leak = fs::File::open("/dev/null").unwrap();
    fcntl(&leak, FcntlArg::F_SETFD(FdFlag::empty())).unwrap();
    let pipe = output_pipe().unwrap();
    let mut launch = shell("echo ready; kill -STOP $$");
    launch.stdout = Output::Descriptor(pipe.service);
    let process = spawn(launch).unwrap();
    assert_eq!(read_line(&pipe.reader), "ready");
    assert_eq!(descriptors_of(process.pid()), [0, 1, 2]);
    let target = fs::read_link(format!("/proc/{}/fd/0", process.pid())).unwrap();
    assert_eq!(target.to_str(), Some("/dev/null"));
    process.signal(libc::SIGKILL).unwrap();
    status_of(&process);
}

#[test]
fn given_descriptors_arrive_under_their_numbers_though_these_are_taken_crosswise() {
    let (first, second) = (output_pipe().unwrap(), output_pipe().unwrap());
    let (a, b) = (first.service.as_raw_fd(), second.service.as_raw_fd());
    let gap = a.max(b) + 3;
    let script = format!(
        "echo first >/proc/self/fd/{b}; echo second >/proc/self/fd/{a}; echo third >/proc/self/fd/{gap}; kill -STOP $$"
    );
    let mut launch = shell(&script);
    let third = output_pipe().unwrap();
    launch.inherit = vec![
        Inherited { descriptor: first.service, number: b },
        Inherited { descriptor: second.service, number: a },
        Inherited { descriptor: third.service, number: gap },
    ];
    let process = spawn(launch).unwrap();
    assert_eq!(read_line(&first.reader), "first");
    assert_eq!(read_line(&second.reader), "second");
    assert_eq!(read_line(&third.reader), "third");
    // Until then the shell holds its own standard output aside.
    until("it has stopped", || proc::stat(process.pid()).unwrap().state == b'T');
    let mut expected = vec![0, 1, 2, a, b, gap];
    expected.sort_unstable();
    assert_eq!(descriptors_of(process.pid()), expected);
    process.signal(libc::SIGKILL).unwrap();
    status_of(&process);
}

#[test]
fn a_descriptor_can_have_its_own_number() {
    let pipe = output_pipe().unwrap();
    let number = pipe.service.as_raw_fd();
    let mut launch = shell(&format!("echo same >/proc/self/fd/{number}"));
    launch.inherit = vec![Inherited { descriptor: pipe.service, number }];
    let process = spawn(launch).unwrap();
    assert_eq!(read_to_end(pipe.reader), "same\n");
    assert_eq!(status_of(&process), ExitStatus::Code(0));
}

#[test]
fn a_number_that_is_taken_or_out_of_range_is_refused() {
    for number in [-1, 0, 2, 1024] {
        let mut launch = shell("true");
        let descriptor = fs::File::open("/dev/null").unwrap().into();
        launch.inherit = vec![Inherited { descriptor, number }];
        assert_eq!(spawn(launch).unwrap_err(), SpawnError::DescriptorNumber { number });
    }
}

#[test]
#[allow(unsafe_code)]
fn a_supervisor_without_standard_streams_gives_them_all_the_same() {
    alone(
        "os::tests::sharing::a_supervisor_without_standard_streams_gives_them_all_the_same",
        || {
            let pipe = output_pipe().unwrap();
            // Its service end is to stand where standard error was: in the way of everything.
            nix::unistd::dup2_stderr(&pipe.service).unwrap();
            drop(pipe.service);
            // SAFETY: nothing else in this process uses the stream from here on.
            let service = unsafe { OwnedFd::from_raw_fd(2) };
            let mut launch = shell("echo out; echo err >&2");
            launch.stderr = Output::Descriptor(service.try_clone().unwrap());
            launch.stdout = Output::Descriptor(service);
            let process = spawn(launch).unwrap();
            assert_eq!(read_to_end(pipe.reader), "out\nerr\n");
            assert_eq!(status_of(&process), ExitStatus::Code(0));
            // The test harness wants a standard error again.
            let null = fs::File::open("/dev/null").unwrap();
            nix::unistd::dup2_stderr(&null).unwrap();
            let _ = null.into_raw_fd();
        },
    );
}

#[test]
fn a_thousand_starts_leave_no_descriptor_and_no_zombie() {
    alone("os::tests::sharing::a_thousand_starts_leave_no_descriptor_and_no_zombie", || {
        let before = open_count().unwrap();
        for round in 0..1000 {
            if round % 2 == 0 {
                let process = spawn(Launch::new(["/bin/true"])).unwrap();
                assert_eq!(status_of(&process), ExitStatus::Code(0));
            } else {
                let mut launch = Launch::new(["/bin/true"]);
                launch.working_dir = Some("/nope".into());
                spawn(launch).unwrap_err();
            }
        }
        assert_eq!(open_count().unwrap(), before);
        let own = nix::unistd::Pid::this().as_raw();
        assert!(proc::processes().unwrap().iter().all(|process| process.parent != own));
    });
}

#[test]
fn the_raise_of_our_own_limit_is_not_passed_on() {
    alone("os::tests::sharing::the_raise_of_our_own_limit_is_not_passed_on", || {
        use nix::sys::resource::{Resource as Kind, getrlimit, setrlimit};
        let (_, hard) = getrlimit(Kind::RLIMIT_NOFILE).unwrap();
        setrlimit(Kind::RLIMIT_NOFILE, 256, hard).unwrap();
        assert_eq!(original_nofile(), None);
        assert_eq!(raise_nofile().unwrap(), hard);
        assert_eq!(getrlimit(Kind::RLIMIT_NOFILE).unwrap(), (hard, hard));
        assert_eq!(output_of(shell("ulimit -Sn; ulimit -Hn")), format!("256\n{hard}\n"));
        let mut launch = shell("ulimit -Sn");
        launch.rlimits = vec![Rlimit { resource: Resource::Nofile, soft: 300, hard: 300 }];
        assert_eq!(output_of(launch), "300\n");
    });
}
