//! The unit that `kennel systemd-unit` prints, before systemd's own judge.

use std::fs;
use std::process::Command;

use crate::support::{Kennel, needs_program};

/// What `systemd-analyze verify` says of a unit; nothing when it is fine.
fn verdict(kennel: &Kennel, unit: &str, whose: &str) -> String {
    let path = kennel.path("kennel-house.service");
    fs::write(&path, unit).unwrap();
    let output = Command::new("systemd-analyze")
        .args(["verify", "--man=no", "--recursive-errors=no", whose])
        .arg(&path)
        // A user's service manager looks there for units.
        .env("XDG_RUNTIME_DIR", kennel.directory())
        .env("HOME", kennel.directory())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    if output.status.success() { said } else { format!("{}: {said}", output.status) }
}

#[test]
fn systemd_accepts_the_unit_of_the_system_and_that_of_a_user() {
    if needs_program("systemd-analyze") {
        return;
    }
    let kennel = Kennel::new("services: { web: { command: [sleep, '1000'] } }");
    fs::create_dir(kennel.path("a folder of 100% $HOME")).unwrap();
    let odd = kennel.path("a folder of 100% $HOME/services.yaml");
    fs::copy(kennel.path("services.yaml"), &odd).unwrap();
    let odd = odd.display().to_string();
    for (args, whose) in
        [(&[][..], "--system"), (&["--user"][..], "--user"), (&["-c", &odd][..], "--system")]
    {
        let unit = kennel.cli(&[&["systemd-unit"], args].concat()).ok();
        assert_eq!(verdict(&kennel, &unit, whose), "", "{unit}");
        let broken = unit.replace("WatchdogSec=30s", "WatchdogSec=soon");
        assert_ne!(verdict(&kennel, &broken, whose), "", "the judge is awake");
    }
}

#[test]
fn the_unit_leaves_services_alone_and_gives_them_their_time() {
    let kennel = Kennel::new(
        "kennel: { name: house, shutdown_timeout: 5m }\n\
         services: { web: { command: [sleep, '1000'] } }",
    );
    let unit = kennel.cli(&["systemd-unit"]).ok();
    let has = |line: &str| assert!(unit.lines().any(|one| one == line), "{line} in\n{unit}");
    for line in [
        "Type=notify",
        "KillMode=process",
        "Restart=on-failure",
        "StartLimitIntervalSec=0",
        "Delegate=yes",
        "OOMPolicy=continue",
        "TimeoutStopSec=330s",
        "StateDirectory=kennel/house",
        "StateDirectoryMode=0700",
        "RuntimeDirectory=kennel",
        "RuntimeDirectoryPreserve=yes",
        "StandardOutput=journal",
        "WantedBy=multi-user.target",
        "SystemCallFilter=~@cpu-emulation @module @obsolete @raw-io @reboot @swap",
        "SystemCallErrorNumber=EPERM",
        "LockPersonality=yes",
        "KeyringMode=private",
    ] {
        has(line);
    }
    let bound = unit.lines().find_map(|line| line.strip_prefix("CapabilityBoundingSet=~")).unwrap();
    for capability in ["CAP_SYS_MODULE", "CAP_SYS_RAWIO", "CAP_SYS_BOOT"] {
        assert!(bound.split(' ').any(|one| one == capability), "{capability} in {bound}");
    }
    // What would give each start of the supervisor another view of the file system.
    let private = ["PrivateTmp=", "ProtectSystem=", "ProtectHome=", "PrivateDevices="];
    let lines = unit.lines().filter(|line| !line.starts_with('#'));
    for line in lines {
        assert!(!private.iter().any(|key| line.starts_with(key)), "{line}");
    }
    // A place of its own choice is the supervisor's to make.
    kennel.configure("services: { web: { command: [sleep, '1000'] } }");
    let unit = kennel.cli(&["systemd-unit", "--socket", "s.sock"]).ok();
    assert!(!unit.contains("StateDirectory") && !unit.contains("RuntimeDirectory"), "{unit}");
    let socket = kennel.path("s.sock").display().to_string();
    assert!(unit.contains(&format!("--socket {socket}\n")), "{unit}");
    // Limits need the supervisor in a cgroup of its own, which systemd puts it into.
    assert!(!unit.contains("DelegateSubgroup"), "{unit}");
    kennel.configure("services: { web: { command: [sleep, '1'], cgroup: { pids_max: 9 } } }");
    let unit = kennel.cli(&["systemd-unit"]).ok();
    assert!(unit.contains("\nDelegateSubgroup=kennel.supervisor\n"), "{unit}");
    kennel.configure("servces: {}");
    kennel.cli(&["systemd-unit"]).fails_saying(2, &["servces"]);
}
