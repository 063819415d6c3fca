//! What belongs to the whole program stays as it is.

use std::collections::BTreeMap;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use kennel::{Restart, Service, Task};

use crate::support::{event, soon, supervisor};

/// Says that the test below was started by the other one.
const ALONE: &str = "KENNEL_TEST_ALONE";

static PANICS: AtomicU32 = AtomicU32::new(0);

/// What is global.
#[derive(PartialEq, Debug)]
struct Globals {
    /// `SigBlk`, `SigIgn` and `SigCgt` of the process, `proc(5)`; `Umask` and its like.
    status: BTreeMap<String, String>,
    limits: String,
    has_dispatcher: bool,
    is_subreaper: bool,
    is_dumpable: bool,
    environment: BTreeMap<std::ffi::OsString, std::ffi::OsString>,
    directory: std::path::PathBuf,
    cgroup: String,
    oom_score_adj: String,
    group: nix::unistd::Pid,
    session: nix::unistd::Pid,
}

impl Globals {
    fn now() -> Globals {
        let read = |name: &str| std::fs::read_to_string(format!("/proc/self/{name}")).unwrap();
        let keys = ["SigBlk", "SigIgn", "SigCgt", "Umask", "NoNewPrivs", "Seccomp", "Uid", "Gid"];
        // Of this thread: the one that runs all tests may be making a thread just now, and
        // blocks all signals meanwhile.
        let status = std::fs::read_to_string("/proc/thread-self/status").unwrap();
        let status = status.lines().filter_map(|line| line.split_once(':'));
        let status = status.filter(|(key, _)| keys.contains(key));
        Globals {
            status: status.map(|(key, value)| (key.into(), value.trim().into())).collect(),
            limits: read("limits"),
            has_dispatcher: tracing::dispatcher::has_been_set(),
            is_subreaper: nix::sys::prctl::get_child_subreaper().unwrap(),
            is_dumpable: nix::sys::prctl::get_dumpable().unwrap(),
            environment: std::env::vars_os().collect(),
            directory: std::env::current_dir().unwrap(),
            cgroup: read("cgroup"),
            oom_score_adj: read("oom_score_adj"),
            group: nix::unistd::getpgrp(),
            session: nix::unistd::getsid(None).unwrap(),
        }
    }
}

/// In a process of its own, since other tests of this one may have children of their own.
#[test]
fn a_supervisor_changes_nothing_that_belongs_to_the_whole_program() {
    let program = std::env::current_exe().unwrap();
    let name = "globals::what_is_global_before_and_after";
    let output = Command::new(program)
        .args(["--exact", name, "--ignored", "--nocapture"])
        .env(ALONE, "1")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.contains("1 passed"), "{said}\n{errors}");
}

#[test]
#[ignore = "the test above starts it, in a process of its own"]
fn what_is_global_before_and_after() {
    if std::env::var_os(ALONE).is_none() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    std::panic::set_hook(Box::new(|panic| {
        PANICS.fetch_add(1, Ordering::Relaxed);
        eprintln!("{panic}");
    }));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let before = Globals::now();
    runtime.block_on(async {
        let restart = Restart::always()
            .unlimited()
            .backoff(Duration::from_millis(1), Duration::from_millis(10));
        let supervisor = supervisor(dir.path())
            .service(Service::command("web", ["sleep", "1000"]))
            .service(Service::shell("restless", "exit 1").restart(restart.clone()))
            .service(Task::new("panics", async |_| -> () { panic!("on purpose") }).restart(restart))
            .service(Task::blocking("thread", |context| {
                while !context.cancelled_within(Duration::from_secs(600)) {}
            }))
            .launch()
            .await
            .unwrap();
        let mut events = supervisor.subscribe();
        supervisor.handle().until_up("web").await.unwrap();
        for _ in 0..3 {
            event(&mut events, "service.exited", "restless").await;
            event(&mut events, "service.exited", "panics").await;
        }
        supervisor.handle().restart("web").await.unwrap();
        supervisor.handle().until_up("thread").await.unwrap();
        assert_eq!(Globals::now(), before, "while it runs");
        soon("the end", supervisor.shutdown()).await.unwrap();
    });
    assert_eq!(Globals::now(), before, "after its end");
    // The hook of the program was asked for each panic of a task, and is there still.
    let panics = PANICS.load(Ordering::Relaxed);
    assert!(panics >= 3, "{panics}");
    let _ = std::panic::catch_unwind(|| panic!("one more"));
    assert_eq!(PANICS.load(Ordering::Relaxed), panics + 1);
    drop(std::panic::take_hook());
}
