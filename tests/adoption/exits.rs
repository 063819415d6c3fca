//! How a service ended whose parent the supervisor is not: it was adopted, or nobody supervised.

use std::fs;

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::support::output::Background;
use crate::support::{BOUND, Kennel, Process, http, is_root, kennel, wait_for};

/// Ends with 7 when it is told to.
const SEVEN: &str = r#"
    services:
      web:
        shell: "until [ -e go ]; do sleep 0.02; done; exit 7"
        restart: { policy: never }
"#;

/// A supervisor whose services go to another process than PID 1 when it is killed: that one
/// takes what has ended at once, or not at all while it is stopped.
struct Orphanage {
    kennel: Kennel,
    heir: Process,
    web: Process,
    _init: Background,
}

impl Orphanage {
    fn new() -> Orphanage {
        let kennel = Kennel::new(SEVEN);
        let mut command = kennel.command(&["init", "--", "sh", "-c", "$0 run & exec sleep 1000"]);
        command.arg(kennel::binary());
        let init = Background::start(command, kennel.directory());
        wait_for("the supervisor", BOUND, || http::ask(&kennel.socket(), "GET", "/livez").ok());
        kennel.wait_for_state("web", "up");
        let is_heir = |process: &Process| process.command.contains(" init -- ");
        let heir = kennel.processes().into_iter().find(is_heir).expect("it runs");
        let web = kennel.process("web");
        Orphanage { kennel, heir, web, _init: init }
    }

    fn kill_supervisor(&self) {
        let pid = self.kennel.status()["supervisor"]["pid"].as_i64().unwrap();
        let supervisor = Process::find(pid.try_into().unwrap()).unwrap();
        supervisor.signal(Signal::SIGKILL);
        wait_for("its end", BOUND, || (!supervisor.is_alive()).then_some(()));
    }

    fn end_web(&self) {
        self.kennel.write("go", "");
        wait_for("the end of web", BOUND, || (!self.web.is_alive()).then_some(()));
    }

    /// What the supervisor has to say of the end.
    fn told(&self) -> (Value, Value) {
        let event = self.kennel.wait_for_event("service.exited", "web")["attributes"].clone();
        self.kennel.wait_for_state("web", "failed");
        assert_eq!(self.kennel.service("web")["exit"]["code"], event["code"], "{event}");
        (event["cause"].clone(), event["code"].clone())
    }
}

/// Whether the kernel tells of an exit that somebody else has taken: `PIDFD_GET_INFO`, Linux 6.15.
fn kernel_tells() -> bool {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    let mut numbers = release.split(['.', '-']).map_while(|number| number.parse::<u32>().ok());
    (numbers.next(), numbers.next()) >= (Some(6), Some(15))
}

#[test]
fn the_exit_code_of_who_ended_while_nobody_supervised_is_known_until_its_parent_takes_it() {
    let mut house = Orphanage::new();
    house.heir.signal(Signal::SIGSTOP);
    house.kill_supervisor();
    house.end_web();
    house.kennel.start();
    let told = house.told();
    // Who is not its parent reads that of a zombie as root only, on newer kernels.
    let may_be_unknown = !is_root() && told == ("unknown".into(), Value::Null);
    assert!(may_be_unknown || told == ("exit".into(), 7.into()), "{told:?}");
}

#[test]
fn the_exit_code_of_who_ended_while_nobody_supervised_is_unknown_once_it_was_taken() {
    let mut house = Orphanage::new();
    house.kill_supervisor();
    house.end_web();
    wait_for("nothing of web to be left", BOUND, || {
        (!fs::exists(format!("/proc/{}", house.web.pid)).unwrap()).then_some(())
    });
    house.kennel.start();
    assert_eq!(house.told(), ("unknown".into(), Value::Null));
}

#[test]
fn the_exit_code_of_who_was_adopted_is_known_where_the_kernel_tells_it() {
    let mut house = Orphanage::new();
    house.kill_supervisor();
    house.kennel.start();
    assert_eq!(house.kennel.process("web"), house.web, "it was adopted");
    house.end_web();
    let told = house.told();
    let is_known = told == ("exit".into(), 7.into());
    // Before it was taken it could be read elsewhere: so an older kernel may know it too.
    let may_be_unknown = !kernel_tells() && told == ("unknown".into(), Value::Null);
    assert!(is_known || may_be_unknown, "{told:?}");
}
