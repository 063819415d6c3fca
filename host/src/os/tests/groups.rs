//! A process group outlives its leader and is still reached, on new kernels and old.

use super::*;

/// A leader that ends at once and leaves a child that ignores SIGTERM.
#[track_caller]
fn leave_child_behind(way: GroupSignals) -> (Process, i32) {
    let pipe = output_pipe().unwrap();
    let script = "(trap '' TERM; echo up; while :; do sleep 1000; done) & read line; exit 4";
    let mut launch = shell(&format!("{script} </dev/null"));
    launch.stdout = Output::Descriptor(pipe.service);
    let process = spawn_with(launch, way).unwrap();
    assert_eq!(read_line(&pipe.reader), "up");
    assert_eq!(status_of(&process), ExitStatus::Code(4));
    let members = proc::processes().unwrap();
    let member = members.iter().find(|one| one.group == process.pid() && one.runs()).unwrap();
    (process, member.pid)
}

#[track_caller]
fn check_escalation(way: GroupSignals) {
    let (process, child) = leave_child_behind(way);
    let leader = proc::stat(process.pid());
    match way {
        GroupSignals::Pidfd => assert!(leader.is_err(), "the leader is reaped at once"),
        GroupSignals::Number => assert_eq!(leader.unwrap().state, b'Z', "the leader is held"),
    }
    assert!(process.group_alive());
    process.signal_group(libc::SIGTERM).unwrap();
    assert!(proc::stat(child).unwrap().runs() && process.group_alive(), "it ignores SIGTERM");
    process.signal_group(libc::SIGKILL).unwrap();
    until("the group is gone", || !process.group_alive());
    assert!(!proc::stat(child).is_ok_and(|child| child.runs()));
    process.release();
    assert!(proc::stat(process.pid()).is_err(), "no zombie is left");
    assert!(!process.group_alive());
}

#[test]
fn a_group_is_escalated_after_its_leader_ended_by_the_pidfd() {
    if GroupSignals::supported() == GroupSignals::Number {
        eprintln!("skipped: needs Linux 6.9");
        return;
    }
    check_escalation(GroupSignals::Pidfd);
}

#[test]
fn a_group_is_escalated_after_its_leader_ended_by_its_number() {
    check_escalation(GroupSignals::Number);
}

#[test]
fn a_group_signal_reaches_leader_and_children() {
    for way in [GroupSignals::supported(), GroupSignals::Number] {
        let pipe = output_pipe().unwrap();
        let mut launch = shell("sleep 1000 & echo up; wait");
        launch.stdout = Output::Descriptor(pipe.service);
        let process = spawn_with(launch, way).unwrap();
        assert_eq!(read_line(&pipe.reader), "up");
        assert!(process.group_alive());
        process.signal_group(libc::SIGTERM).unwrap();
        assert_eq!(status_of(&process), ExitStatus::Signal { signal: 15, core_dumped: false });
        until("the group is gone", || !process.group_alive());
        // Both held the pipe, so its end proves that both are gone.
        assert_eq!(read_to_end(pipe.reader), "");
    }
}

#[test]
fn a_number_given_up_is_never_signalled_again() {
    let (process, child) = leave_child_behind(GroupSignals::Number);
    process.release();
    let error = process.signal_group(libc::SIGKILL).unwrap_err();
    assert_eq!(error.raw_os_error(), Some(libc::ESRCH));
    assert!(proc::stat(child).unwrap().runs(), "though a member is left");
    // The member keeps the number in use, so the test may clean up by it.
    pidfd::kill_group(process.pid(), libc::SIGKILL).unwrap();
}
