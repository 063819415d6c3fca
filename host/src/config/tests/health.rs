//! Checks reach the core and the driver as they were written.

use std::path::PathBuf;
use std::time::Duration;

use kennel_core::spec::{CheckSpec, OnUnhealthy, Ready};

use super::super::{Notify, ReadyWhen};
use super::{config, service};
use crate::checks::{CheckKind, Pattern, Probe, Resource, UsageLimit};

const S: Duration = Duration::from_secs(1);

#[test]
fn a_check_with_only_its_kind_has_the_documented_defaults() {
    let config = config("services: { web: { command: x, health: { http: http://localhost/ } } }");
    let web = service(&config, "web");
    let documented = CheckSpec {
        name: "http".into(),
        every: 10 * S,
        timeout: 3 * S,
        failures: 3,
        timeouts: 6,
        successes: 1,
        grace: 10 * S,
        on_unhealthy: OnUnhealthy::Restart,
    };
    assert_eq!(web.spec.health, [documented]);
    let url = "http://localhost/".to_owned();
    let expect_status = vec![(200, 399)];
    let http =
        CheckKind::BuiltIn(Probe::Http { url, expect_status, expect_body: None, ca_file: None });
    assert_eq!(web.health, [http]);
    assert_eq!((&web.spec.ready, &web.ready), (&Ready::After(S), &ReadyWhen::Running));
}

#[test]
fn every_key_of_a_check_reaches_its_spec_and_its_kind() {
    let config = config(
        "services:
  web:
    command: x
    health:
      - http: https://localhost:8443/health
        name: front
        ca_file: ca.pem
        expect: { status: 200-299, body: 'ok|fine' }
        every: 5s
        timeout: 1s
        failures: 2
        timeouts: 4
        successes: 3
        grace: 0s
        on_unhealthy: report
      - { tcp: \"[::1]:80\" }
      - { unix: run/x.sock }
      - { command: ./bin/check -v }
      - { command: [true] }
",
    );
    let web = service(&config, "web");
    let names: Vec<_> = web.spec.health.iter().map(|check| &*check.name).collect();
    assert_eq!(names, ["front", "tcp", "unix", "command", "command-2"]);
    let first = CheckSpec {
        name: "front".into(),
        every: 5 * S,
        timeout: S,
        failures: 2,
        timeouts: 4,
        successes: 3,
        grace: Duration::ZERO,
        on_unhealthy: OnUnhealthy::Report,
    };
    assert_eq!(web.spec.health[0], first);
    let kinds = [
        CheckKind::BuiltIn(Probe::Http {
            url: "https://localhost:8443/health".to_owned(),
            expect_status: vec![(200, 299)],
            expect_body: Some(Pattern::new("ok|fine").unwrap()),
            ca_file: Some(PathBuf::from("/conf/ca.pem")),
        }),
        CheckKind::BuiltIn(Probe::Tcp { address: "[::1]:80".to_owned() }),
        CheckKind::BuiltIn(Probe::Unix { path: PathBuf::from("/conf/run/x.sock") }),
        CheckKind::BuiltIn(Probe::Command {
            argv: vec!["/conf/bin/check".to_owned(), "-v".to_owned()],
        }),
        CheckKind::BuiltIn(Probe::Command { argv: vec!["true".to_owned()] }),
    ];
    assert_eq!(web.health, kinds);
}

#[test]
fn a_limit_on_use_is_a_check_with_a_patience_of_its_own() {
    let config = config(
        "services:
  web:
    command: x
    health:
      - memory_max: 400MiB
      - { cpu_max: 150%, for: 5m, every: 1s, failures: 2, on_unhealthy: report }
",
    );
    let web = service(&config, "web");
    let limit = |resource, lasting| CheckKind::Usage(UsageLimit { resource, lasting });
    let memory = Resource::Memory { max_bytes: 400 << 20 };
    assert_eq!(
        web.health,
        [limit(memory, 60 * S), limit(Resource::Cpu { max_share: 1.5 }, 300 * S)]
    );
    let [memory, cpu] = web.spec.health.as_slice() else { panic!("{:?}", web.spec.health) };
    assert_eq!((&*memory.name, memory.every, memory.failures), ("memory_max", 10 * S, 1));
    assert_eq!((&*cpu.name, cpu.every, cpu.failures), ("cpu_max", S, 2));
    assert_eq!(cpu.on_unhealthy, OnUnhealthy::Report);
}

#[test]
fn names_that_were_given_are_not_taken_again() {
    let text = "services: { a: { command: x, health: [{ tcp: x:1 }, { tcp: x:2, name: tcp }] } }";
    let config = config(text);
    let names: Vec<_> =
        service(&config, "a").spec.health.iter().map(|check| &*check.name).collect();
    assert_eq!(names, ["tcp-2", "tcp"]);
}

#[test]
fn readiness_is_a_time_a_check_a_line_or_a_word_of_the_service() {
    let config = config(
        "defaults: { ready: { tcp: x:1 } }
services:
  time: { command: x, ready: null }
  check: { command: x }
  slow: { command: x, ready: { unix: x.sock, every: 2s, timeout: 5m } }
  hasty: { command: x, ready: { command: [y], every: 10ms, timeout: 1s } }
  line: { command: x, ready: { log: 'listening on \\d+$', timeout: 9s } }
  word: { command: x, ready: { notify: systemd, timeout: 8s }, watchdog: 30s }
  newline: { command: x, ready: { notify: { fd: 1023 } } }
",
    );
    let ready = |name: &str| {
        let service = service(&config, name);
        (service.spec.ready, service.ready.clone())
    };
    assert_eq!(ready("time"), (Ready::After(S), ReadyWhen::Running));
    let every = Duration::from_millis(250);
    let checked = Ready::Checked { every, attempt: 3 * S, timeout: 60 * S };
    let tcp = CheckKind::BuiltIn(Probe::Tcp { address: "x:1".to_owned() });
    assert_eq!(ready("check"), (checked, ReadyWhen::Passes(tcp)));
    let checked = Ready::Checked { every: 2 * S, attempt: 3 * S, timeout: 300 * S };
    let unix = CheckKind::BuiltIn(Probe::Unix { path: PathBuf::from("/conf/x.sock") });
    assert_eq!(ready("slow"), (checked, ReadyWhen::Passes(unix)));
    let every = Duration::from_millis(10);
    let checked = Ready::Checked { every, attempt: S, timeout: S };
    let command = CheckKind::BuiltIn(Probe::Command { argv: vec!["y".to_owned()] });
    assert_eq!(ready("hasty"), (checked, ReadyWhen::Passes(command)));
    let line = ReadyWhen::Logs(Pattern::new("listening on \\d+$").unwrap());
    assert_eq!(ready("line"), (Ready::Reported { timeout: 9 * S }, line));
    let word = ReadyWhen::Notifies(Notify::Systemd);
    assert_eq!(ready("word"), (Ready::Reported { timeout: 8 * S }, word));
    let newline = ReadyWhen::Notifies(Notify::Fd(1023));
    assert_eq!(ready("newline"), (Ready::Reported { timeout: 60 * S }, newline));
    assert_eq!(service(&config, "word").spec.watchdog, Some(30 * S));
    assert_eq!(service(&config, "newline").spec.watchdog, None);
}
