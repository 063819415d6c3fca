//! What a process is started with.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use nix::sys::prctl;
use nix::sys::signal::{SigSet, SigmaskHow, Signal, pthread_sigmask};

use super::*;

#[test]
fn the_environment_is_the_given_one_and_nothing_else() {
    let mut launch = Launch::new(["/usr/bin/env"]);
    launch.env = vec![("A".into(), "1".into()), ("B".into(), "x=y z".into())];
    assert_eq!(output_of(launch), "A=1\nB=x=y z\n");
}

#[test]
fn variables_can_hold_the_pid_of_the_process() {
    let mut launch = shell("echo $LISTEN_FDS $LISTEN_PID $WATCHDOG_PID $$");
    launch.env.push(("LISTEN_FDS".into(), "1".into()));
    launch.env.push(("LISTEN_PID".into(), "overridden".into()));
    launch.pid_variables = vec!["LISTEN_PID".into(), "WATCHDOG_PID".into()];
    let output = output_of(launch);
    let words: Vec<&str> = output.split_whitespace().collect();
    let pid = words[3];
    assert!(pid.parse::<u32>().is_ok(), "{output}");
    assert_eq!(words, ["1", pid, pid, pid]);
}

#[test]
fn a_bare_program_is_found_in_the_path_given_and_sees_its_own_name() {
    let mut launch = Launch::new(["sh", "-c", "echo $0 $1", "zero", "one"]);
    launch.env = vec![("PATH".into(), "/bin".into())];
    assert_eq!(output_of(launch), "zero one\n");
}

#[test]
fn the_working_dir_umask_nice_and_limits_are_those_asked_for() {
    let directory = tempfile::tempdir().unwrap();
    let mut launch = shell("pwd -P; umask; nice; ulimit -Sn; ulimit -Hn; ulimit -c");
    launch.working_dir = Some(directory.path().canonicalize().unwrap());
    launch.umask = Some(0o027);
    launch.nice = Some(7);
    launch.rlimits = vec![
        Rlimit { resource: Resource::Nofile, soft: 100, hard: 200 },
        Rlimit { resource: Resource::Core, soft: 0, hard: 0 },
    ];
    let expected = directory.path().canonicalize().unwrap();
    assert_eq!(output_of(launch), format!("{}\n0027\n7\n100\n200\n0\n", expected.display()));
}

#[test]
fn a_limit_of_descriptors_lower_than_those_in_use_does_not_break_the_start() {
    let mut launch = shell("ulimit -n");
    launch.rlimits = vec![Rlimit { resource: Resource::Nofile, soft: 4, hard: 4 }];
    launch.oom_score_adj = Some(900);
    assert_eq!(output_of(launch), "4\n");
}

#[test]
fn the_oom_score_is_the_services_own_and_not_the_supervisors() {
    let before = fs::read_to_string("/proc/self/oom_score_adj").unwrap();
    let mut launch = shell("cat /proc/self/oom_score_adj");
    launch.oom_score_adj = Some(765);
    assert_eq!(output_of(launch), "765\n");
    assert_eq!(fs::read_to_string("/proc/self/oom_score_adj").unwrap(), before);
}

#[test]
fn signals_have_their_defaults_and_none_is_blocked() {
    // The Rust runtime ignores SIGPIPE in this very process.
    let own = fs::read_to_string("/proc/self/status").unwrap();
    let ignored = own.lines().find(|line| line.starts_with("SigIgn")).unwrap();
    assert_ne!(ignored, "SigIgn:\t0000000000000000", "the test would prove nothing");
    let mut blocked = SigSet::empty();
    blocked.add(Signal::SIGUSR1);
    pthread_sigmask(SigmaskHow::SIG_SETMASK, Some(&blocked), None).unwrap();
    let mut launch = Launch::new(["grep", "-E", "^Sig(Blk|Ign)", "/proc/self/status"]);
    launch.env = shell("").env;
    let output = output_of(launch);
    assert_eq!(output, "SigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\n");
    assert_eq!(SigSet::thread_get_mask().unwrap(), blocked, "our own mask is back");
}

#[test]
fn a_process_leads_its_own_session_and_group() {
    let process = spawn(shell("kill -STOP $$")).unwrap();
    let stat = proc::stat(process.pid()).unwrap();
    assert_eq!((stat.session, stat.group), (process.pid(), process.pid()));
    assert_eq!(process.start_time(), Some(stat.start_time));
    process.signal(libc::SIGKILL).unwrap();
    status_of(&process);
}

#[test]
fn a_process_runs_as_the_user_with_the_users_groups_only() {
    if !is_root() {
        return;
    }
    // What it looks at belongs to the whole process: other tests change users too.
    alone("os::tests::launching::a_process_runs_as_the_user_with_the_users_groups_only", || {
        let dumpable = prctl::get_dumpable().unwrap();
        let credentials = Credentials::resolve(Some("nobody"), None).unwrap();
        let mut launch = shell(
            "id -un; id -gn; id -G; grep -E '^(Uid|Gid|Groups|CapEff)' /proc/self/status; echo $HOME $USER $LOGNAME $SHELL",
        );
        launch.env.extend(credentials.env());
        launch.credentials = Some(credentials);
        let output = output_of(launch);
        let lines: Vec<&str> = output.lines().collect();
        assert_eq!(lines[..3], ["nobody", "nogroup", "65534"]);
        assert_eq!(lines[3], "Uid:\t65534\t65534\t65534\t65534");
        assert_eq!(lines[4], "Gid:\t65534\t65534\t65534\t65534");
        assert_eq!(lines[5].trim_end(), "Groups:\t65534");
        assert_eq!(lines[6], "CapEff:\t0000000000000000");
        assert_eq!(lines[7], "/nonexistent nobody nobody /usr/sbin/nologin");
        assert_eq!(prctl::get_dumpable().unwrap(), dumpable, "the supervisor stays as it was");
        assert!(nix::unistd::geteuid().is_root());
    });
}

#[test]
fn our_own_credentials_need_no_privilege() {
    let mut launch = shell("id -u");
    launch.credentials = Some(Credentials::resolve(None, None).unwrap());
    assert_eq!(output_of(launch).trim(), nix::unistd::geteuid().to_string());
}

#[test]
fn the_working_directory_is_entered_with_the_users_own_rights() {
    if !is_root() {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o700)).unwrap();
    let mut launch = shell("pwd");
    launch.working_dir = Some(directory.path().to_owned());
    launch.credentials = Some(Credentials::resolve(Some("nobody"), None).unwrap());
    let path = directory.path().display();
    check_error(
        launch,
        &format!("cannot change to working directory \"{path}\": permission denied"),
    );
}

#[track_caller]
fn check_error(launch: Launch, expected: &str) -> Option<String> {
    let error = spawn(launch).unwrap_err();
    assert_eq!(error.to_string(), expected);
    error.hint()
}

fn script(directory: &Path, name: &str, text: &str, mode: u32) -> String {
    let path = directory.join(name);
    // Written by another process: a descriptor of ours that may write would be inherited by what
    // other tests are just starting, and whoever holds one keeps the file from being run (ETXTBSY).
    let path_of_it = path.to_str().unwrap();
    let wrote = std::process::Command::new("sh")
        .args(["-c", "printf %s \"$1\" > \"$2\"", "sh", text, path_of_it])
        .status();
    assert!(wrote.unwrap().success());
    fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    path.to_str().unwrap().to_owned()
}

#[test]
fn what_cannot_be_executed_is_told_apart() {
    let directory = tempfile::tempdir().unwrap();
    let missing = "/opt/no/such/program";
    check_error(
        Launch::new([missing]),
        &format!("cannot run \"{missing}\": no such file or directory"),
    );
    check_error(Launch::new(["/tmp"]), "cannot run \"/tmp\": it is a directory");
    let plain = script(directory.path(), "plain", "#!/bin/sh\n", 0o644);
    let hint = check_error(
        Launch::new([&plain]),
        &format!("cannot run \"{plain}\": it is not executable"),
    );
    assert_eq!(hint.unwrap(), format!("chmod +x {plain}"));
    let bare = script(directory.path(), "bare", "echo no first line\n", 0o755);
    let hint =
        check_error(Launch::new([&bare]), &format!("cannot run \"{bare}\": exec format error"));
    assert!(hint.unwrap().contains("#!/bin/sh"));
    let lost = script(directory.path(), "lost", "#! /no/such/shell -e\n", 0o755);
    check_error(
        Launch::new([&lost]),
        &format!("cannot run \"{lost}\": its interpreter \"/no/such/shell\" does not exist"),
    );
    check_error(Launch::new(Vec::<String>::new()), "the command is empty");
    check_error(Launch::new(["ngnix"]), "program \"ngnix\" not found in PATH");
    check_error(Launch::new(["sh", "a\0b"]), "cannot pass an argument that holds a NUL byte");
}

#[test]
fn a_program_that_only_the_user_may_not_run_is_the_kernels_to_refuse() {
    if !is_root() {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let path = script(directory.path(), "mine", "#!/bin/sh\n", 0o700);
    let mut launch = Launch::new([&path]);
    launch.credentials = Some(Credentials::resolve(Some("nobody"), None).unwrap());
    let hint = check_error(launch, &format!("cannot run \"{path}\": permission denied"));
    assert!(hint.is_some());
}

#[test]
fn a_step_that_is_refused_is_named_with_its_value() {
    let mut launch = shell("true");
    launch.working_dir = Some("/nope".into());
    check_error(launch, "cannot change to working directory \"/nope\": no such file or directory");
    let mut launch = shell("true");
    // Beyond fs.nr_open, which not even root may.
    launch.rlimits = vec![Rlimit { resource: Resource::Nofile, soft: UNLIMITED, hard: UNLIMITED }];
    let hint = check_error(launch, "cannot set nofile limit to unlimited: operation not permitted");
    assert!(hint.is_some());
    let mut launch = shell("true");
    launch.rlimits = vec![
        Rlimit { resource: Resource::Core, soft: 0, hard: 0 },
        Rlimit { resource: Resource::Cpu, soft: 9, hard: 8 },
    ];
    check_error(launch, "cannot set cpu limit to 9 (hard 8): invalid argument");
    let mut launch = shell("true");
    launch.oom_score_adj = Some(1001);
    check_error(launch, "cannot set oom_score_adj to 1001: invalid argument");
}

#[test]
fn a_relative_program_stands_in_the_working_directory() {
    let directory = tempfile::tempdir().unwrap();
    script(directory.path(), "here", "#!/bin/sh\necho found\n", 0o755);
    let mut launch = Launch::new(["./here"]);
    launch.working_dir = Some(directory.path().to_owned());
    assert_eq!(output_of(launch), "found\n");
}

#[test]
#[allow(unsafe_code)]
fn a_signal_to_the_whole_group_during_a_start_runs_no_handler_in_the_child() {
    use std::sync::atomic::{AtomicBool, AtomicI32, Ordering::SeqCst};

    use nix::sys::signal::{SaFlags, SigAction, SigHandler, kill, sigaction};
    use nix::unistd::{Pid, getpid, setpgid};

    static OWN: AtomicI32 = AtomicI32::new(0);
    static RAN_IN_CHILD: AtomicBool = AtomicBool::new(false);
    extern "C" fn note(_: i32) {
        // The memory is shared until the program runs, so the parent sees this.
        if getpid().as_raw() != OWN.load(SeqCst) {
            RAN_IN_CHILD.store(true, SeqCst);
        }
    }
    alone(
        "os::tests::launching::a_signal_to_the_whole_group_during_a_start_runs_no_handler_in_the_child",
        || {
            setpgid(Pid::from_raw(0), Pid::from_raw(0)).unwrap();
            OWN.store(getpid().as_raw(), SeqCst);
            let action =
                SigAction::new(SigHandler::Handler(note), SaFlags::SA_RESTART, SigSet::empty());
            // SAFETY: the handler reads and writes atomics only.
            unsafe { sigaction(Signal::SIGUSR1, &action) }.unwrap();
            let over = AtomicBool::new(false);
            std::thread::scope(|scope| {
                scope.spawn(|| {
                    while !over.load(SeqCst) {
                        kill(Pid::from_raw(0), Signal::SIGUSR1).unwrap();
                    }
                });
                for _ in 0..500 {
                    // The signal may end the child, but as a signal does.
                    status_of(&spawn(Launch::new(["/bin/true"])).unwrap());
                }
                over.store(true, SeqCst);
            });
            assert!(!RAN_IN_CHILD.load(SeqCst));
        },
    );
}
