//! The service manager above: a real socket in the role of systemd.

use std::cell::RefCell;
use std::fs;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use nix::time::{ClockId, clock_gettime};

use crate::support::{BOUND, Kennel, wait_for};
use crate::upgrade;

const TWO: &str = r#"
    services:
      web: { shell: "env > env.txt; exec sleep 1000" }
      db: { command: [sleep, "1000"] }
"#;

/// The socket that `NOTIFY_SOCKET` names.
struct Above {
    socket: UnixDatagram,
    /// What was said last with `STATUS=`.
    status: RefCell<String>,
}

impl Above {
    fn listen(kennel: &Kennel) -> Above {
        Above::at(UnixDatagram::bind(kennel.path("above")).unwrap())
    }

    fn at(socket: UnixDatagram) -> Above {
        socket.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
        Above { socket, status: RefCell::default() }
    }

    /// The next message, if one comes within a moment.
    fn next(&self) -> Option<String> {
        let mut bytes = [0; 4096];
        let length = self.socket.recv(&mut bytes).ok()?;
        let text = String::from_utf8(bytes[..length].to_vec()).unwrap();
        if let Some(status) = text.lines().find_map(|line| line.strip_prefix("STATUS=")) {
            status.clone_into(&mut self.status.borrow_mut());
        }
        Some(text)
    }

    /// Takes messages until this is the status; it may have come with another message.
    #[track_caller]
    fn wait_for_status(&self, status: &str) {
        wait_for(status, BOUND, || {
            if *self.status.borrow() != status {
                self.next();
            }
            (*self.status.borrow() == status).then_some(())
        });
    }

    /// Takes messages up to the first with this line at its head.
    #[track_caller]
    fn wait_for_line(&self, line: &str) -> String {
        wait_for(line, BOUND, || self.next().filter(|text| text.lines().any(|one| one == line)))
    }

    /// How many signs of life have come up to now.
    fn signs(&self) -> usize {
        let waiting = std::iter::from_fn(|| self.next());
        waiting.filter(|text| text == "WATCHDOG=1").count()
    }
}

fn kennel(yaml: &str) -> (Kennel, Above) {
    let kennel = Kennel::new(yaml);
    let above = Above::listen(&kennel);
    let path = kennel.path("above").display().to_string();
    (kennel.env("NOTIFY_SOCKET", &path), above)
}

#[test]
fn the_service_manager_is_told_when_it_is_ready_and_how_many_services_are_up() {
    let (mut kennel, above) = kennel(TWO);
    kennel.spawn();
    let said = above.wait_for_line("READY=1");
    assert_eq!(kennel.api("GET", "/livez").status, 200, "the control socket answers by then");
    assert!(said.contains("\nSTATUS=") && said.ends_with("of 2 services up"), "{said}");
    above.wait_for_status("2 of 2 services up");
    kennel.cli(&["stop", "db"]).ok();
    above.wait_for_status("1 of 2 services up");
    assert_eq!(kennel.terminate(), 0);
    above.wait_for_line("STOPPING=1");
    let env = kennel.read("env.txt");
    assert!(!env.contains("NOTIFY_SOCKET"), "a service cannot speak for the supervisor: {env}");
}

#[test]
fn a_reload_is_told_with_its_moment_and_its_end_even_when_it_is_rejected() {
    let (mut kennel, above) = kennel(TWO);
    kennel.start();
    above.wait_for_line("READY=1");
    for (yaml, code) in [(TWO, 0), ("servces: {}", 2)] {
        kennel.configure(yaml);
        let before = monotonic_usec();
        assert_eq!(kennel.cli(&["reload"]).code, code);
        let said = above.wait_for_line("RELOADING=1");
        let at = said.lines().find_map(|line| line.strip_prefix("MONOTONIC_USEC=")).unwrap();
        let at: u128 = at.parse().unwrap();
        assert!((before..monotonic_usec()).contains(&at), "{before} {said}");
        above.wait_for_line("READY=1");
    }
    assert_eq!(kennel.terminate(), 0);
}

fn monotonic_usec() -> u128 {
    Duration::from(clock_gettime(ClockId::CLOCK_MONOTONIC).unwrap()).as_micros()
}

#[test]
fn signs_of_life_come_twice_as_often_as_wanted_and_not_from_one_that_is_stopped() {
    let (kennel, above) = kennel(TWO);
    let mut kennel = kennel.env("WATCHDOG_USEC", "1000000");
    kennel.start();
    above.wait_for_line("READY=1");
    let begun = Instant::now();
    for _ in 0..6 {
        above.wait_for_line("WATCHDOG=1");
    }
    // Each half a second; on a busy machine they come late, and never early.
    assert!(begun.elapsed() > Duration::from_millis(2400), "{:?}", begun.elapsed());
    kennel.signal(Signal::SIGSTOP);
    wait_for("the supervisor to stand still", BOUND, || {
        let stat = fs::read_to_string(format!("/proc/{}/stat", kennel.supervisor_pid())).unwrap();
        stat.contains(") T ").then_some(())
    });
    above.signs();
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_millis(1500) {
        assert_eq!(above.signs(), 0, "from a supervisor that does not run");
    }
    kennel.signal(Signal::SIGCONT);
    above.wait_for_line("WATCHDOG=1");
    assert_eq!(kennel.terminate(), 0);
}

#[test]
fn a_watchdog_of_another_process_is_not_fed() {
    let (kennel, above) = kennel(TWO);
    let mut kennel = kennel.env("WATCHDOG_USEC", "100000").env("WATCHDOG_PID", "1");
    kennel.start();
    above.wait_for_status("2 of 2 services up");
    assert_eq!(above.signs(), 0);
    assert_eq!(kennel.terminate(), 0);
}

#[test]
fn a_service_manager_that_cannot_be_reached_holds_up_nothing() {
    let mut kennel = Kennel::new(TWO).env("WATCHDOG_USEC", "20000");
    let nowhere = kennel.path("nowhere").display().to_string();
    kennel = kennel.env("NOTIFY_SOCKET", &nowhere);
    kennel.start();
    kennel.wait_for_state("web", "up");
    assert_eq!(kennel.terminate(), 0);
    let said = kennel.said();
    assert_eq!(said.matches("cannot reach the service manager").count(), 1, "{said}");
}

#[test]
fn a_service_manager_that_reads_nothing_for_a_while_hears_of_the_last_state() {
    let (mut kennel, above) = kennel(TWO);
    // Somebody else has filled its queue.
    let stranger = UnixDatagram::unbound().unwrap();
    stranger.set_nonblocking(true).unwrap();
    while stranger.send_to(b"X=1", kennel.path("above")).is_ok() {}
    kennel.start();
    kennel.wait_for_state("web", "up");
    above.wait_for_line("READY=1");
    above.wait_for_status("2 of 2 services up");
    assert_eq!(kennel.terminate(), 0);
}

#[test]
fn an_abstract_name_will_do() {
    let kennel = Kennel::new(TWO);
    let name = format!("kennel-above-{}", kennel.directory().display());
    let address = SocketAddr::from_abstract_name(&name).unwrap();
    let socket = UnixDatagram::bind_addr(&address).unwrap();
    let above = Above::at(socket);
    let mut kennel = kennel.env("NOTIFY_SOCKET", &format!("@{name}"));
    kennel.start();
    above.wait_for_line("READY=1");
    assert_eq!(kennel.terminate(), 0);
}

#[test]
fn for_the_journal_each_line_has_a_priority_and_no_time() {
    let kennel = Kennel::new(TWO);
    kennel.write("run.err", "");
    let found = fs::metadata(kennel.path("run.err")).unwrap();
    let stream = format!("{}:{}", found.dev(), found.ino());
    let mut kennel = kennel.env("JOURNAL_STREAM", &stream);
    kennel.start();
    kennel.wait_for_state("web", "up");
    kennel.configure("servces: {}");
    kennel.signal(Signal::SIGHUP);
    wait_for("the rejected reload", BOUND, || kennel.said().contains("nothing was").then_some(()));
    assert_eq!(kennel.terminate(), 0);
    let said = kennel.said();
    assert!(said.starts_with("<6>house supervises 2 services"), "{said}");
    assert!(said.contains("\n<3>SIGHUP: nothing was changed\n<3>services.yaml:2:1"), "{said}");
    for line in said.lines() {
        assert!(line.starts_with('<') && line.as_bytes().get(2) == Some(&b'>'), "{line}");
    }
    let env = kennel.read("env.txt");
    assert!(!env.contains("JOURNAL_STREAM"), "it is not the stream of a service: {env}");
}

#[test]
fn an_upgrade_is_no_end_and_the_next_program_goes_on_with_the_words_and_the_signs_of_life() {
    let (kennel, above) = kennel(TWO);
    let mut kennel = kennel.env("WATCHDOG_USEC", "1000000");
    kennel.start();
    above.wait_for_line("READY=1");
    above.wait_for_status("2 of 2 services up");
    for _ in 0..2 {
        kennel.cli(&["upgrade"]).ok();
        // The next one says it again, and between them nobody speaks of an end.
        let said = wait_for("READY=1 or an end", BOUND, || {
            above.next().filter(|text| text.contains("READY=1") || text.contains("STOPPING=1"))
        });
        assert!(!said.contains("STOPPING=1"), "{said}");
        above.wait_for_status("2 of 2 services up");
        above.wait_for_line("WATCHDOG=1");
    }
    kennel.cli(&["stop", "db"]).ok();
    above.wait_for_status("1 of 2 services up");
    assert_eq!(kennel.terminate(), 0);
    above.wait_for_line("STOPPING=1");
}

#[test]
fn an_upgrade_that_stands_still_gives_no_sign_of_life_and_one_that_goes_on_says_ready_once() {
    let (kennel, above) = kennel(TWO);
    let mut kennel = kennel.env("WATCHDOG_USEC", "500000");
    kennel.start();
    above.wait_for_line("READY=1");
    above.wait_for_status("2 of 2 services up");
    above.wait_for_line("WATCHDOG=1");
    let upgrading = upgrade::hold(&kennel);
    above.signs();
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_millis(1500) {
        let said = above.next();
        assert_eq!(said, None, "nobody is there who could say it");
    }
    upgrade::go_on(&kennel, upgrading);
    let mut said = Vec::new();
    wait_for("three signs of life", BOUND, || {
        said.extend(above.next());
        (said.iter().filter(|text| *text == "WATCHDOG=1").count() == 3).then_some(())
    });
    let lines: Vec<&str> = said.iter().flat_map(|text| text.lines()).collect();
    assert_eq!(lines.iter().filter(|line| **line == "READY=1").count(), 1, "{said:?}");
    // It is the same process, and neither ended nor began anew.
    for other in ["MAINPID=", "STOPPING=1", "RELOADING=1"] {
        assert!(!lines.iter().any(|line| line.starts_with(other)), "{other}: {said:?}");
    }
    above.wait_for_status("2 of 2 services up");
    assert_eq!(kennel.terminate(), 0);
}
