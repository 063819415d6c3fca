//! `kennel init` around a command, and `kennel run`, as the first process of a container.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

use crate::support::kennel::binary;
use crate::support::process::children;
use crate::support::{BOUND, Kennel, cannot_be_had, wait_for};

/// Runs `kennel init -- sh -c script` to its end; exit code and output.
fn init(script: &str) -> (Option<i32>, String) {
    ended(Command::new(binary()).args(["init", "--", "sh", "-c", script]))
}

fn ended(command: &mut Command) -> (Option<i32>, String) {
    let output = command.stdin(Stdio::null()).output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8_lossy(&text).into_owned())
}

/// `unshare` into a pid namespace of its own; none, said aloud, where that is not allowed.
fn container() -> Option<Vec<&'static str>> {
    let is_root = nix::unistd::geteuid().is_root();
    let flags = if is_root { "-pf" } else { "-Urpf" };
    // Whoever runs the tests may ignore SIGHUP, as under nohup(1); bash cannot undo that.
    let arguments = vec!["env", "--default-signal", "unshare", flags, "--mount-proc"];
    let probe =
        Command::new(arguments[0]).args(&arguments[1..]).arg("true").stderr(Stdio::null()).status();
    if probe.is_ok_and(|status| status.success()) {
        return Some(arguments);
    }
    cannot_be_had("a pid namespace", "unshare(1) fails");
    None
}

/// A command that is PID 1 of a namespace.
struct First {
    unshare: Child,
    dir: TempDir,
}

impl First {
    fn start(container: &[&str], command: &[&str]) -> First {
        let dir = tempfile::tempdir().unwrap();
        let mut unshare = Command::new(container[0]);
        unshare.args(&container[1..]).args(command).current_dir(dir.path());
        let out = fs::File::create(dir.path().join("out")).unwrap();
        unshare.stdin(Stdio::null()).stdout(out.try_clone().unwrap()).stderr(out);
        First { unshare: unshare.spawn().unwrap(), dir }
    }

    fn init(container: &[&str], script: &str) -> First {
        let binary = binary();
        let command = [binary.to_str().unwrap(), "init", "--", "bash", "-c", script];
        First::start(container, &command)
    }

    fn wait_for_output(&self, text: &str) {
        wait_for(text, BOUND, || self.output().contains(text).then_some(()));
    }

    fn output(&self) -> String {
        fs::read_to_string(self.dir.path().join("out")).unwrap()
    }

    /// The first process, seen from outside.
    fn pid(&self) -> i32 {
        let parent = self.unshare.id().cast_signed();
        wait_for("the first process", BOUND, || children(parent).first().copied())
    }

    fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.pid()), signal).unwrap();
    }

    fn code(&mut self) -> Option<i32> {
        wait_for("the end", BOUND, || self.unshare.try_wait().unwrap()).code()
    }
}

impl Drop for First {
    fn drop(&mut self) {
        for child in children(self.unshare.id().cast_signed()) {
            let _ = kill(Pid::from_raw(child), Signal::SIGKILL);
        }
        let _ = self.unshare.kill();
        let _ = self.unshare.wait();
    }
}

#[test]
fn it_exits_as_its_command_does() {
    assert_eq!(init("exit 0").0, Some(0));
    assert_eq!(init("exit 7").0, Some(7));
    assert_eq!(init("kill -KILL $$").0, Some(128 + 9));
    assert_eq!(init("kill -TERM $$").0, Some(128 + 15));
    assert_eq!(init("kill -40 $$").0, Some(128 + 40), "a real-time signal");
    assert_eq!(init("echo out; echo err >&2"), (Some(0), "out\nerr\n".into()));
    let dir = tempfile::tempdir().unwrap();
    let plain = dir.path().join("plain");
    fs::write(&plain, "").unwrap();
    let run = |program: &Path| ended(Command::new(binary()).args(["init", "--"]).arg(program));
    let (code, said) = run(Path::new("/no/such"));
    assert_eq!((code, &*said), (Some(127), "cannot run \"/no/such\": no such file or directory\n"));
    let (code, said) = run(&plain);
    assert!(code == Some(126) && said.contains("permission denied"), "{code:?} {said}");
    let (code, said) = ended(Command::new(binary()).arg("init"));
    assert!(code == Some(2) && said.contains("COMMAND"), "{code:?} {said}");
}

#[test]
fn as_pid_1_it_passes_signals_on_to_the_whole_group_also_those_that_pid_1_would_not_get() {
    let Some(container) = container() else { return };
    // Without children, which signals to the group would end or stop.
    let script = "
        mkfifo never; exec 3<>never; pause() { while :; do read -t 0.05 -u 3; done; }
        for name in HUP INT QUIT USR1 USR2 ALRM TSTP WINCH RTMIN+3; do
            trap \"echo outer $name\" $name
        done
        trap 'echo outer TERM; exit 3' TERM
        (trap '' HUP INT QUIT USR2 ALRM TSTP WINCH RTMIN+3; trap 'echo inner USR1' USR1
            echo inner is ready; pause) &
        pause";
    let mut first = First::init(&container, script);
    first.wait_for_output("inner is ready");
    for signal in [
        Signal::SIGHUP,
        Signal::SIGINT,
        Signal::SIGQUIT,
        Signal::SIGUSR2,
        Signal::SIGALRM,
        Signal::SIGTSTP,
        Signal::SIGWINCH,
        Signal::SIGUSR1,
    ] {
        first.signal(signal);
        first.wait_for_output(&format!("outer {}\n", &signal.as_str()[3..]));
    }
    first.wait_for_output("inner USR1");
    let kill = format!("kill -{} {}", libc_sigrtmin() + 3, first.pid());
    assert!(Command::new("bash").args(["-c", &kill]).status().unwrap().success());
    first.wait_for_output("outer RTMIN+3");
    first.signal(Signal::SIGTERM);
    assert_eq!(first.code(), Some(3));
}

/// What the C library leaves of the real-time signals begins here, signal(7).
fn libc_sigrtmin() -> i32 {
    34
}

#[test]
fn as_pid_1_it_exits_with_128_and_the_signal_that_ended_its_command() {
    let Some(container) = container() else { return };
    let mut first = First::init(&container, "echo begun; exec sleep 1000");
    first.wait_for_output("begun");
    first.signal(Signal::SIGTERM);
    assert_eq!(first.code(), Some(128 + 15));
}

/// Makes thousands of orphans, then says whether all of them were reaped.
const ORPHANS: &str = "
    for i in $(seq 30); do (for j in $(seq 100); do (exec true) & done) & done; wait
    while grep -ls '^State:.Z' /proc/[0-9]*/status > /dev/null; do sleep 0.05; done
    echo all are reaped";

#[test]
fn as_pid_1_it_reaps_thousands_of_orphans() {
    let Some(container) = container() else { return };
    let mut first = First::init(&container, ORPHANS);
    first.wait_for_output("all are reaped");
    assert_eq!(first.code(), Some(0));
}

#[test]
fn kennel_run_as_pid_1_reaps_orphans_and_ends_in_order_on_sigterm() {
    let Some(container) = container() else { return };
    let kennel = Kennel::new("services: { web: { shell: 'bash ./orphans.sh; exec sleep 1000' } }");
    kennel.write("orphans.sh", ORPHANS);
    let (binary, config) = (binary(), kennel.path("services.yaml"));
    let command = [binary.to_str().unwrap(), "run", "-c", config.to_str().unwrap()];
    let mut first = First::start(&container, &command);
    let log = kennel.path("state/logs");
    wait_for("all are reaped", BOUND, || {
        let files = fs::read_dir(&log).ok()?.flatten();
        let has = |path: &Path| fs::read_to_string(path).is_ok_and(|text| text.contains("all are"));
        files.map(|file| file.path()).any(|path| has(&path)).then_some(())
    });
    first.signal(Signal::SIGTERM);
    assert_eq!(first.code(), Some(0));
    assert!(first.output().contains("Service web: DOWN"), "{}", first.output());
}

/// The kernel keeps from PID 1 what it has no handler for, and SIGTERM, SIGINT and SIGHUP mean
/// the same to it as to any other `kennel run`.
#[test]
fn kennel_run_as_pid_1_reloads_on_sighup_stops_on_sigint_and_kills_on_a_second_one() {
    let Some(container) = container() else { return };
    let stubborn = "stubborn: { shell: \"trap '' TERM; echo deaf; while :; do sleep 0.1; done\" }";
    let kennel = Kennel::new(&format!("services: {{ {stubborn} }}"));
    let (binary, config) = (binary(), kennel.path("services.yaml"));
    let command = [binary.to_str().unwrap(), "run", "-c", config.to_str().unwrap()];
    let mut first = First::start(&container, &command);
    first.wait_for_output("Service stubborn: UP");
    kennel.configure(&format!("services: {{ {stubborn}, more: {{ command: [sleep, '1000'] }} }}"));
    first.signal(Signal::SIGHUP);
    first.wait_for_output("SIGHUP: reloaded");
    first.wait_for_output("Service more: UP");
    first.signal(Signal::SIGINT);
    // What minds the signal is gone, the other has its time, which the second one ends.
    first.wait_for_output("Service more: DOWN");
    assert!(!first.output().contains("Service stubborn: DOWN (restarts 0)\n"));
    first.signal(Signal::SIGINT);
    assert_eq!(first.code(), Some(0), "{}", first.output());
    assert!(first.output().contains("Service stubborn: DOWN (restarts 0)\n"));
}

#[test]
fn the_command_has_the_terminal() {
    if crate::support::needs_program("script") {
        return;
    }
    // Field 5 is the group of the process, field 8 the one that the terminal belongs to.
    let script = "read -r line < /proc/$$/stat; set -- $line; echo group $5 terminal $8";
    let line = format!("{} init -- sh -c '{script}'", binary().display());
    let (code, said) = ended(Command::new("script").args(["-qec", &line, "/dev/null"]));
    let words: Vec<&str> = said.split_whitespace().collect();
    assert_eq!(code, Some(0), "{said}");
    assert!(matches!(words[..], ["group", own, "terminal", other] if own == other), "{said}");
}

#[test]
fn who_is_no_pid_1_reaps_what_its_command_leaves_behind() {
    let dir = tempfile::tempdir().unwrap();
    let script = "
        (sh -c 'echo $$ > pid' &)
        while ! [ -s pid ]; do sleep 0.01; done
        while [ -d /proc/$(cat pid) ]; do sleep 0.01; done";
    let bound = BOUND.as_secs().to_string();
    let mut command = Command::new("timeout");
    command.arg(bound).arg(binary()).args(["init", "--", "sh", "-c", script]);
    assert_eq!(ended(command.current_dir(dir.path())), (Some(0), String::new()));
}
