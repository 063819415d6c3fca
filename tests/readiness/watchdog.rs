//! `watchdog`: a service that gives no sign of life is aborted.

use super::notifying;
use crate::support::{BOUND, wait_for};

const RESTART: &str = "restart: { backoff: { initial: 100ms }, limit: none }";

#[test]
fn who_gives_no_sign_of_life_is_aborted_and_restarted_with_the_reason() {
    let kennel = notifying(
        "
        write('env', os.environ['WATCHDOG_USEC'] + ' ' + str(os.environ['WATCHDOG_PID'] == str(os.getpid())))
        time.sleep(2.5)
        say('READY=1')
        for _ in range(10):
            time.sleep(0.3)
            say('WATCHDOG=1')
        write('heard', 'yes')
        while not os.path.exists('silent'):
            time.sleep(0.1)
            say('WATCHDOG=1')
        forever()
        ",
        &format!("watchdog: 2s\n    {RESTART}"),
    );
    // It was silent for longer than that before it was ready: armed from then on only.
    kennel.wait_for_file("heard");
    assert_eq!(kennel.wait_for_file("env"), "2000000 True\n");
    assert_eq!(kennel.service("web")["restarts"], 0, "signs of life were heard");
    let first = kennel.process("web");
    kennel.write("silent", "");
    kennel.wait_for_event("watchdog.missed", "web");
    kennel.wait_for_new_run("web", &first);
    let exited = kennel.wait_for_event("service.exited", "web");
    assert_eq!(exited["attributes"]["cause"], "watchdog", "{exited}");
    let exit = wait_for("the exit", BOUND, || {
        Some(kennel.service("web")["exit"].clone()).filter(|exit| exit["signal"].is_string())
    });
    assert_eq!(exit["signal"], "SIGABRT");
    let metrics = kennel.api("GET", "/metrics").body;
    assert!(metrics.contains("cause=\"watchdog\"} 1"), "{metrics}");
}

#[test]
fn who_finds_itself_stuck_is_believed() {
    let kennel = notifying(
        "
        say('READY=1', 'WATCHDOG=1')
        if os.path.exists('stuck'):
            forever()
        until('stuck')
        say('WATCHDOG=trigger')
        forever()
        ",
        &format!("watchdog: 60s\n    {RESTART}"),
    );
    kennel.wait_for_state("web", "up");
    let first = kennel.process("web");
    kennel.write("stuck", "");
    kennel.wait_for_new_run("web", &first);
    let missed = kennel.wait_for_event("watchdog.missed", "web");
    assert!(missed["attributes"]["run"].is_u64(), "{missed}");
}

#[test]
fn a_service_may_do_without_a_watchdog_and_ask_for_a_shorter_one() {
    let kennel = notifying(
        "
        if os.path.exists('shorter'):
            say('READY=1', 'WATCHDOG_USEC=0')
            forever()
        # Silent for longer than the watchdog that it did without.
        say('READY=1', 'WATCHDOG_USEC=0')
        barrier()
        time.sleep(1.5)
        write('off', 'yes')
        until('shorter')
        say('WATCHDOG_USEC=200000')
        forever()
        ",
        &format!("watchdog: 500ms\n    {RESTART}"),
    );
    kennel.wait_for_file("off");
    let first = kennel.process("web");
    assert!(kennel.events_of("watchdog.missed", "web").is_empty());
    kennel.write("shorter", "");
    kennel.wait_for_new_run("web", &first);
    kennel.wait_for_event("watchdog.missed", "web");
}

#[test]
fn a_service_that_asks_for_time_is_not_aborted_meanwhile() {
    let kennel = notifying(
        "
        say('READY=1')
        say('EXTEND_TIMEOUT_USEC=20000000')
        barrier()
        time.sleep(1.5)
        say('WATCHDOG=1')
        barrier()
        write('alive', 'yes')
        forever()
        ",
        "watchdog: 500ms",
    );
    kennel.wait_for_file("alive");
    assert_eq!(kennel.service("web")["restarts"], 0);
    assert!(kennel.events_of("watchdog.missed", "web").is_empty());
}

#[test]
fn who_ignores_sigabrt_goes_through_the_stop_steps_and_is_killed_at_the_end() {
    let kennel = notifying(
        "
        def heard(number, frame):
            with open('heard', 'a') as f:
                f.write(signal.Signals(number).name + ' ')
        for number in [signal.SIGABRT, signal.SIGTERM, signal.SIGINT]:
            signal.signal(number, heard)
        say('READY=1')
        forever()
        ",
        "watchdog: 1s\n    restart: { policy: never }\n    \
         stop: { steps: [{ signal: SIGTERM, wait: 500ms }, { signal: SIGINT, wait: 400ms }] }",
    );
    let failed = kennel.wait_for_state("web", "failed");
    assert_eq!(failed["exit"]["signal"], "SIGKILL", "{failed:#}");
    assert_eq!(kennel.read("heard"), "SIGABRT SIGTERM SIGINT ");
    let stopping = kennel.wait_for_event("service.stopping", "web");
    assert_eq!(stopping["attributes"]["reason"], "watchdog", "{stopping}");
    let steps: Vec<_> = kennel
        .events_of("service.escalated", "web")
        .iter()
        .map(|event| {
            let attributes = &event["attributes"];
            (attributes["signal"].as_str().unwrap().to_owned(), attributes["waited_ms"].clone())
        })
        .collect();
    // The signal that ends it with a core dump has as long as the first step.
    let expected = [("SIGTERM", 500), ("SIGINT", 500), ("SIGKILL", 400)];
    let expected = expected.map(|(signal, waited)| (signal.to_owned(), waited.into()));
    assert_eq!(steps, expected);
    let exited = kennel.wait_for_event("service.exited", "web");
    assert_eq!(exited["attributes"]["cause"], "watchdog", "{exited}");
}
