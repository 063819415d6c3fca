//! Limits on memory and processor time, with processes that really take them.

use super::{kennel_with_server, needs_python};

#[test]
fn a_service_that_takes_too_much_memory_for_too_long_is_restarted() {
    if needs_python() {
        return;
    }
    let checks = "[{ memory_max: 100MiB, for: 1s, every: 200ms, timeout: 20s, grace: 0s }, \
                   { http: URL/, every: 100ms, timeout: 20s }]";
    let mut kennel = kennel_with_server(checks, "");
    kennel.answers("200");
    kennel.start();
    kennel.wait_for_answers("web", "memory_max", "passed", 3.0);
    let before = kennel.process("web");
    kennel.answers("hold150 200");
    kennel.wait_for_new_run("web", &before);
    let stopping = kennel.wait_for_event("service.stopping", "web");
    let message = stopping["message"].as_str().unwrap();
    println!("{message}");
    assert!(message.contains("memory_max: uses 1"), "{message}");
    // Not before `for: 1s` was over: "for 1.2 s", and nothing in milliseconds.
    let (_, lasted) = message.split_once(" MiB of memory, more than 100 MiB for ").unwrap();
    let mut words = lasted.split_whitespace();
    let (number, unit) = (words.next().unwrap(), words.next().unwrap());
    let is_long_enough = unit.starts_with('s') && number.parse::<f64>().unwrap() >= 1.0;
    assert!(is_long_enough || unit.starts_with("min"), "{message}");
    kennel.end();
}

#[test]
fn a_service_that_uses_less_again_is_healthy_again() {
    if needs_python() {
        return;
    }
    let checks = "[{ name: at-once, memory_max: 100MiB, for: 0s, every: 200ms, timeout: 20s, \
                     grace: 0s, on_unhealthy: report }, \
                   { http: URL/, every: 100ms, timeout: 20s }]";
    let mut kennel = kennel_with_server(checks, "");
    kennel.answers("200");
    kennel.start();
    kennel.wait_for_verdict("web", "healthy", "");
    for _ in 0..2 {
        kennel.answers("hold150 200");
        kennel.wait_for_verdict("web", "unhealthy", "at-once: uses 1");
        kennel.answers("free 200");
        kennel.wait_for_verdict("web", "healthy", "");
    }
    assert_eq!(kennel.service("web")["restarts"], 0);
    kennel.end();
}

#[test]
fn processor_time_is_limited_for_all_processes_of_a_service_together() {
    if needs_python() {
        return;
    }
    // The server itself does not spin: children of it do, in sessions of their own; so many that
    // together they get their share of a busy machine too.
    let checks = "[{ cpu_max: 20%, for: 1s, every: 500ms, timeout: 20s, grace: 0s, \
                     on_unhealthy: report }, { http: URL/, every: 100ms, timeout: 20s }]";
    let mut kennel = kennel_with_server(checks, "");
    let server = kennel.read("server.py").replace(
        "print(\"listening\"",
        "import subprocess\n\
         code = 'import os,time\\nwhile True:\\n while os.path.exists(\"spin\"): sum(range(1000))\\n time.sleep(0.05)'\n\
         for _ in range(4):\n \
         subprocess.Popen([sys.executable, '-c', code], start_new_session=True)\n\
         print(\"listening\"",
    );
    kennel.write("server.py", &server);
    kennel.start();
    kennel.wait_for_answers("web", "cpu_max", "passed", 2.0);
    kennel.wait_for_verdict("web", "healthy", "");
    kennel.write("spin", "");
    let web = kennel.wait_for_verdict("web", "unhealthy", "of CPU, more than 20% for ");
    println!("{}", web["reason"]);
    std::fs::remove_file(kennel.path("spin")).unwrap();
    kennel.wait_for_verdict("web", "healthy", "");
    assert_eq!(kennel.service("web")["restarts"], 0, "reported, not restarted");
    drop(kennel);
}
