//! What a supervisor has of others goes on under its successor.

use std::collections::HashSet;
use std::fs;

use serde_json::Value;

use super::upgrade;
use crate::plugins::{count, wait_for_count, with_plugin};
use crate::readiness::python;
use crate::sinks::{identity, is_about_sink, journal};
use crate::support::guest::{self, Does};
use crate::support::skip::is_root;
use crate::support::{BOUND, Kennel, needs_program, wait_for};

#[test]
fn what_plugins_remember_is_not_a_word_older_after_an_upgrade() {
    let yaml = r#"
        plugins:
          p: { source: ./p.wasm }
        services:
          web:
            command: [sleep, "1000"]
            health: { plugin: p, every: 100ms }
    "#;
    let mut kennel = with_plugin(yaml, &guest::check("fine", Does::Counts));
    kennel.start();
    let mut reached = wait_for_count(&kennel, 3.0);
    for _ in 0..3 {
        upgrade(&kennel, &[]);
        let first = wait_for("an answer", BOUND, || count(&kennel));
        assert!(first > reached, "{first} after {reached}");
        reached = wait_for_count(&kennel, first + 2.0);
    }
    assert_eq!(kennel.terminate(), 0);
}

#[test]
fn a_sink_goes_on_where_it_was_and_misses_no_event() {
    let mut kennel = Kennel::new("");
    let file = kennel.path("events.jsonl");
    kennel.configure(&format!(
        r#"
        plugins:
          hook: {{ source: "stock:file", grants: {{ files: [./events.jsonl] }} }}
        services:
          web: {{ shell: "exit 1", restart: {{ backoff: {{ initial: 5ms, max: 5ms }}, limit: none }} }}
        sinks:
          - {{ name: archive, plugin: hook, config: {{ path: {} }} }}
        "#,
        file.display()
    ));
    kennel.start();
    let taken = || {
        let text = fs::read_to_string(&file).unwrap_or_default();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect::<Vec<Value>>()
    };
    for round in 1..=3 {
        wait_for("events in the file", BOUND, || (taken().len() > 20 * round).then_some(()));
        upgrade(&kennel, &[]);
    }
    assert_eq!(kennel.terminate(), 0);
    let taken: HashSet<_> = taken().iter().map(identity).collect();
    for event in journal(&kennel) {
        let is_there = taken.contains(&identity(&event));
        assert!(is_there || is_about_sink(&event, "archive", "hook"), "{event}");
    }
}

/// The process that was started names another one, which gives signs of life until it is told
/// to be silent.
const NAMED: &str = "
    if os.fork() == 0:
        os.setsid()
        if os.fork():
            os._exit(0)
        say('MAINPID=%d' % os.getpid(), 'READY=1')
        n = 0
        while True:
            n += 1
            if not os.path.exists('silent'):
                try:
                    say('WATCHDOG=1', 'STATUS=sign %d' % n)
                except OSError:
                    pass
            time.sleep(0.05)
    os.wait()
    forever()
";

#[test]
fn a_main_process_that_was_named_and_its_watchdog_go_on() {
    if needs_program("python3") {
        return;
    }
    let mut kennel = Kennel::new("");
    let command = python(&kennel, "web.py", NAMED);
    // Where that is possible, another user's.
    let user = if is_root() { "user: nobody" } else { "" };
    kennel.configure(&format!(
        "services:\n  web:\n    {command}\n    {user}\n    \
         ready: {{ notify: systemd }}\n    watchdog: 6s\n"
    ));
    kennel.start();
    kennel.wait_for_state("web", "up");
    let named = kennel.wait_for_event("service.main_pid", "web")["attributes"]["pid"].clone();
    let sign = |kennel: &Kennel| {
        let text = kennel.service("web")["status_text"].as_str()?.to_owned();
        text.strip_prefix("sign ")?.parse::<u64>().ok()
    };
    for round in 0..4 {
        let before = wait_for("a sign of life", BOUND, || sign(&kennel));
        if round % 2 == 0 {
            upgrade(&kennel, &[]);
        } else {
            kennel.kill_supervisor();
            kennel.start();
        }
        wait_for("a later one", BOUND, || sign(&kennel).filter(|now| *now > before));
        let web = kennel.service("web");
        assert_eq!((&web["pid"], &web["restarts"]), (&named, &0.into()), "{web}");
    }
    assert_eq!(kennel.events_of("watchdog.missed", "web").len(), 0);
    // The last supervisor is told of its silence.
    let daemon = kennel.process("web");
    kennel.write("silent", "");
    kennel.wait_for_event("watchdog.missed", "web");
    fs::remove_file(kennel.path("silent")).unwrap();
    kennel.wait_for_new_run("web", &daemon);
    kennel.wait_for_state("web", "up");
    assert_eq!(kennel.terminate(), 0);
    kennel.assert_nothing_is_left();
}
