//! The supervisor as a daemon: in the background, with a pid file, one of many that start.

use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::os::unix::net::UnixListener;
use std::process::{Child, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nix::fcntl::{FcntlArg, fcntl};
use nix::sys::signal::Signal;
use nix::unistd::{Pid, getsid};

use crate::support::output::exit_code;
use crate::support::{BOUND, Kennel, Process, needs_program, wait_for};

const WEB: &str = "services: { web: { command: [sleep, '1000'] } }";
const NONE: &str = "services: { web: { command: [sleep, '1000'], enabled: false } }";

impl Kennel {
    /// The supervisor that wrote `k.pid`.
    #[track_caller]
    fn detached(&self) -> Process {
        let pid = self.read("k.pid").trim().parse().expect("a pid file holds a pid");
        Process::find(pid).expect("it runs")
    }
}

#[test]
fn detach_returns_when_the_control_socket_answers() {
    let kennel = Kennel::new(WEB);
    assert_eq!(kennel.cli(&["run", "--detach", "--pid-file", "k.pid"]).ok(), "");
    assert_eq!(kennel.api("GET", "/livez").status, 200, "at once, without waiting");
    let supervisor = kennel.detached();
    assert_eq!(kennel.status()["supervisor"]["pid"], supervisor.pid);
    let pid = Pid::from_raw(supervisor.pid);
    assert_eq!(getsid(Some(pid)), Ok(pid), "it has a session of its own");
    let stream = |number| fs::read_link(format!("/proc/{pid}/fd/{number}")).unwrap();
    let log = fs::canonicalize(kennel.path("state/supervisor.log")).unwrap();
    assert_eq!([stream(0), stream(1), stream(2)], ["/dev/null".into(), log.clone(), log.clone()]);
    assert_eq!(fs::metadata(log).unwrap().permissions().mode() & 0o777, 0o600);

    // What goes wrong later is found in the log.
    kennel.wait_for_state("web", "up");
    kennel.write("services.yaml", "servces: {}");
    supervisor.signal(Signal::SIGHUP);
    wait_for("the rejected reload in the log", BOUND, || {
        let log = kennel.read("state/supervisor.log");
        (log.contains("nothing was changed") && log.contains("Service web: UP")).then_some(())
    });
    kennel.cli(&["shutdown", "--socket", "k.sock"]).ok();
    assert!(!kennel.path("k.pid").exists(), "the pid file goes with the supervisor");
    kennel.assert_nothing_is_left();
}

#[test]
fn detach_fails_with_the_reason_and_leaves_nothing() {
    let kennel = Kennel::new(WEB);
    let detach = ["run", "--detach", "--pid-file", "k.pid"];
    kennel.write("bad.yaml", "servces: {}");
    kennel
        .cli(&[&detach[..], &["-c", "bad.yaml"]].concat())
        .fails_saying(2, &["bad.yaml:1:1", "servces"]);
    let listener = UnixListener::bind(kennel.socket()).unwrap();
    kennel.cli(&detach).fails_saying(1, &["k.sock", "another program listens there"]);
    drop(listener);
    fs::create_dir(kennel.path("k.pid")).unwrap();
    kennel.cli(&detach).fails_saying(1, &["k.pid", "a directory stands there"]);
    fs::remove_dir(kennel.path("k.pid")).unwrap();
    // The starts that failed have made it.
    fs::remove_file(kennel.path("state/supervisor.log")).unwrap();
    symlink(kennel.path("precious"), kennel.path("state/supervisor.log")).unwrap();
    kennel.cli(&detach).fails_saying(1, &["supervisor.log"]);
    fs::remove_file(kennel.path("state/supervisor.log")).unwrap();
    assert_eq!(kennel.processes(), [], "a supervisor that failed is gone");
    for left in ["k.pid", "precious"] {
        assert!(!kennel.path(left).exists(), "{left}");
    }

    kennel.cli(&detach).ok();
    let first = kennel.detached();
    kennel.cli(&detach).fails_saying(4, &[&first.pid.to_string(), "is locked by"]);
    assert_eq!(kennel.detached(), first, "its pid file is left alone");
    kennel.cli(&["shutdown"]).ok();
    kennel.assert_nothing_is_left();
}

/// Whoever reads late is told all the same.
#[test]
fn detach_waits_until_the_reason_is_read() {
    let kennel = Kennel::running(NONE);
    let (mut said, stderr) = std::io::pipe().unwrap();
    // Full, so that nothing more can be said for now.
    let size = fcntl(&stderr, FcntlArg::F_SETPIPE_SZ(4096)).unwrap();
    (&stderr).write_all(&vec![b'.'; size.unsigned_abs() as usize]).unwrap();
    let mut starter = kennel.command(&["run", "--detach"]).stderr(stderr).spawn().unwrap();
    // Longer than it waits for what nobody writes.
    thread::sleep(Duration::from_millis(1500));
    let mut text = String::new();
    said.read_to_string(&mut text).unwrap();
    assert_eq!(exit_code(&mut starter, BOUND), Some(4));
    assert!(text.contains("is locked by"), "{}", text.trim_start_matches('.'));
}

#[test]
fn a_pid_file_is_written_under_the_lock_and_a_stale_one_is_no_obstacle() {
    let mut kennel = Kennel::new(WEB).args(&["--pid-file", "k.pid"]);
    // A living process, which is none of ours.
    kennel.write("k.pid", "1\n");
    kennel.start();
    let ours = format!("{}\n", kennel.supervisor_pid());
    assert_eq!(kennel.read("k.pid"), ours);
    kennel.cli(&["run", "--pid-file", "k.pid"]).fails(4);
    assert_eq!(kennel.read("k.pid"), ours, "who has no lock writes no pid file");
    kennel.wait_for_state("web", "up");
    kennel.kill_supervisor();
    assert_eq!(kennel.read("k.pid"), ours, "nobody could take it away");
    kennel.sweep();
    kennel.start();
    assert_eq!(kennel.read("k.pid"), format!("{}\n", kennel.supervisor_pid()));
    assert_eq!(kennel.terminate(), 0);
    assert!(!kennel.path("k.pid").exists());
    kennel.assert_nothing_is_left();
}

#[test]
fn a_pid_file_that_is_none_stops_the_start_before_anything_has_begun() {
    let kennel = Kennel::new("services: { web: { shell: 'touch ran; exec sleep 1000' } }");
    fs::create_dir(kennel.path("folder")).unwrap();
    kennel.write("precious", &"x".repeat(100));
    symlink(kennel.path("precious"), kennel.path("link")).unwrap();
    kennel.write("words", "ten\n");
    for (path, what) in [
        ("folder", "a directory"),
        ("link", "a symbolic link"),
        ("precious", "no pid file"),
        ("words", "no pid file"),
        // The attempts before have made it.
        ("state/lock", "no pid file"),
        ("state/id", "no pid file"),
    ] {
        let said = kennel.cli(&["run", "--pid-file", path]);
        said.fails_saying(1, &[path, what, "hint: name another one with --pid-file"]);
    }
    assert_eq!(kennel.read("precious").len(), 100);
    assert!(!kennel.path("ran").exists());
    assert_eq!(kennel.processes(), []);
}

#[test]
fn the_log_of_a_detached_supervisor_is_bounded() {
    const MAX_BYTES: u64 = 10 * 1024 * 1024;
    let kennel = Kennel::new(
        r#"
        services:
          loud:
            shell: "yes 0123456789012345678901234567890123456789 | head -c 30000000; touch done; exec sleep 1000"
            logs: { to: inherit }
        "#,
    );
    kennel.cli(&["run", "--detach", "--pid-file", "k.pid"]).ok();
    wait_for("all of the output", BOUND, || kennel.path("done").exists().then_some(()));
    kennel.cli(&["shutdown"]).ok();
    let logs: Vec<_> = fs::read_dir(kennel.path("state"))
        .unwrap()
        .flatten()
        .filter(|entry| entry.file_name().to_string_lossy().starts_with("supervisor.log"))
        .map(|entry| entry.metadata().unwrap().len())
        .collect();
    assert_eq!(logs.len(), 2, "{logs:?}");
    assert!(logs.iter().sum::<u64>() > MAX_BYTES, "{logs:?}");
    assert!(logs.iter().all(|bytes| *bytes <= MAX_BYTES + 128 * 1024), "{logs:?}");
    kennel.assert_nothing_is_left();
}

/// Two that start at once, again and again: for 15 s, or as often as `KENNEL_RACES` says.
#[test]
fn of_two_starts_at_once_one_wins_and_the_other_names_it() {
    let races: Option<u32> = std::env::var("KENNEL_RACES").ok().map(|n| n.parse().unwrap());
    let begun = Instant::now();
    let mut kennel = Kennel::new(NONE);
    let mut raced = 0;
    while races.map_or(begun.elapsed() < Duration::from_secs(15), |races| raced < races) {
        match raced % 3 {
            0 => race_of_detached(&kennel),
            1 => race(&mut kennel, Signal::SIGTERM),
            _ => race(&mut kennel, Signal::SIGKILL),
        }
        raced += 1;
    }
    println!("{raced} races in {:?}", begun.elapsed());
    assert!(raced >= 3);
}

/// The loser leaves; the winner is then ended by `signal`, so that the next race finds what
/// that leaves behind.
fn race(kennel: &mut Kennel, signal: Signal) {
    let start = |kennel: &Kennel| -> Child {
        let mut command = kennel.command(&["run"]);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()
    };
    let mut racers = [start(kennel), start(kennel)];
    let loser = wait_for("one of them to give up", BOUND, || {
        (0..2).find(|at| racers[*at].try_wait().unwrap().is_some())
    });
    let winner = Process::find(racers[1 - loser].id().cast_signed()).expect("the other one runs");
    let said = {
        let mut text = String::new();
        let mut pipe = racers[loser].stderr.take().unwrap();
        std::io::Read::read_to_string(&mut pipe, &mut text).unwrap();
        text
    };
    assert_eq!(exit_code(&mut racers[loser], BOUND), Some(4), "{said}");
    let named = format!("is locked by the supervisor with pid {}\n", winner.pid);
    assert!(said.contains(&named), "{} has won: {said}", winner.pid);
    winner.signal(signal);
    let code = exit_code(&mut racers[1 - loser], BOUND).expect("the winner ends");
    let expected = if signal == Signal::SIGKILL { 128 + 9 } else { 0 };
    assert_eq!(code, expected);
}

fn race_of_detached(kennel: &Kennel) {
    let detach = ["run", "--detach", "--pid-file", "k.pid"];
    let racers = [kennel.background(&detach), kennel.background(&detach)];
    let mut outputs = racers.map(|racer| racer.end());
    outputs.sort_by_key(|output| output.code);
    let [won, lost] = outputs;
    assert_eq!((won.code, lost.code), (0, 4), "{won:#?} {lost:#?}");
    let winner = kennel.detached();
    let named = format!("is locked by the supervisor with pid {}\n", winner.pid);
    assert!(lost.stderr.contains(&named), "{} has won: {lost:#?}", winner.pid);
    kennel.cli(&["shutdown"]).ok();
    assert!(!winner.is_alive() && !kennel.path("k.pid").exists());
}

#[test]
fn a_lock_on_a_file_system_that_does_not_answer_ends_in_an_error_in_time() {
    if needs_program("perl") {
        return;
    }
    let kennel = Kennel::new(WEB);
    fs::create_dir(kennel.path("state")).unwrap();
    fs::set_permissions(kennel.path("state"), fs::Permissions::from_mode(0o700)).unwrap();
    kennel.write("state/lock", "");
    // Opening a file on which another process has a lease waits for that one, as it waits
    // for the server of a network file system: fcntl(2), F_SETLEASE with F_WRLCK.
    let lease = "$SIG{IO} = 'IGNORE'; open(F, '+<', 'state/lock') or die; \
                 fcntl(F, 1024, 1) or die; $| = 1; print \"held\\n\"; sleep 1000";
    let mut holder = std::process::Command::new("perl");
    holder.args(["-e", lease]).current_dir(kennel.directory());
    let holder = crate::support::output::Background::start(holder, kennel.directory());
    holder.wait_for("the lease", |said| said.contains("held").then_some(()));
    let begun = Instant::now();
    let starting = kennel.background(&["run"]);
    let said = starting.end();
    said.fails_saying(1, &["state/lock", "has not answered for 10 s", "hint: "]);
    assert!(begun.elapsed() < Duration::from_secs(25), "{:?}", begun.elapsed());
    drop(holder);
    assert_eq!(kennel.processes(), []);
}
