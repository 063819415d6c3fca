//! `ready: { notify: { fd: N } }`: a newline on a descriptor, as `s6` has it.

use crate::support::Kennel;

#[test]
fn a_newline_on_its_descriptor_makes_a_service_ready() {
    let kennel = Kennel::running(
        r#"
        services:
          three:
            shell: |
              printf 'not yet' >&3
              while [ ! -e go ]; do sleep 0.02; done
              echo >&3
              exec 3>&-
              exec sleep 1000
            ready: { notify: { fd: 3 } }
          high:
            command:
              - /usr/bin/perl
              - -e
              - 'open(my $ready, ">&=", 1023) or die "no descriptor: $!"; syswrite($ready, "up\n"); sleep 1000'
            ready: { notify: { fd: 1023 } }
        "#,
    );
    kennel.wait_for_state("high", "up");
    kennel.wait_for_event("service.started", "three");
    assert_eq!(kennel.service("three")["state"], "starting", "there was no newline yet");
    kennel.write("go", "");
    kennel.wait_for_state("three", "up");
}

#[test]
fn a_service_has_no_other_descriptors_than_it_was_given() {
    let kennel = Kennel::running(
        r#"
        services:
          web:
            command: [/usr/bin/perl, -e, 'opendir(my $d, "/proc/self/fd"); open(my $f, ">", "fds.tmp"); print $f join(" ", sort grep { /\d/ && -e "/proc/self/fd/$_" } readdir $d), "\n"; close $f; rename "fds.tmp", "fds"; open(my $r, ">&=", 7); syswrite($r, "\n"); sleep 1000']
            ready: { notify: { fd: 7 } }
        "#,
    );
    kennel.wait_for_state("web", "up");
    // 3 and 4 are the listing and the file itself.
    assert_eq!(kennel.wait_for_file("fds"), "0 1 2 3 4 7\n");
}

#[test]
fn a_descriptor_that_is_closed_before_the_newline_is_a_failed_start_that_says_so() {
    let kennel = Kennel::running(
        r#"
        services:
          web:
            shell: "printf almost >&3; exec 3>&-; exec sleep 1000"
            ready: { notify: { fd: 3 }, timeout: 1s }
            restart: { policy: never }
          silent:
            shell: "exec sleep 1000"
            ready: { notify: { fd: 3 }, timeout: 1s }
            restart: { policy: never }
        "#,
    );
    for (name, expected) in [
        ("web", "descriptor 3 was closed before a newline came"),
        ("silent", "no newline came on descriptor 3"),
    ] {
        let reason = kennel.wait_for_state(name, "failed")["reason"].clone();
        let reason = reason.as_str().unwrap();
        assert!(reason.contains("not ready within 1 s") && reason.contains(expected), "{reason}");
    }
}

#[test]
fn a_change_of_how_it_tells_takes_a_new_run() {
    let yaml = |fd: u32| {
        format!(
            "services:\n  web:\n    shell: 'echo >&{fd}; exec sleep 1000'\n    ready: {{ notify: {{ fd: {fd} }} }}\n"
        )
    };
    let kennel = Kennel::running(&yaml(3));
    kennel.wait_for_state("web", "up");
    let before = kennel.process("web");
    kennel.configure(&yaml(3).replace("    ready", "    watchdog: null\n    ready"));
    assert_eq!(kennel.cli(&["plan"]).ok(), "nothing to do\n");
    kennel.configure(&yaml(4));
    let plan = kennel.cli(&["plan"]).ok();
    assert!(plan.contains("restart") && plan.contains("ready.notify changed"), "{plan}");
    kennel.cli(&["reload"]).ok();
    kennel.wait_for_new_run("web", &before);
}
