//! Stopping, and being dropped.

use std::time::{Duration, Instant};

use kennel::{OnDrop, Service, ShutdownMode, Task, TaskEnd};

use crate::support::{eventually, is_alive, pid, sleeper, soon, status, supervisor};

#[tokio::test]
async fn stopping_twice_is_stopping_once() {
    let dir = tempfile::tempdir().unwrap();
    let mark = dir.path().join("in-order");
    let line = format!(
        "trap 'sleep 0.3; touch {}; exit 0' TERM; while :; do sleep 0.05; done",
        mark.display()
    );
    let builder = supervisor(dir.path()).service(Service::shell("web", line));
    let supervisor = std::sync::Arc::new(builder.start().await.unwrap());
    let other = supervisor.clone();
    let second = tokio::spawn(async move { other.shutdown().await });
    let (first, second) = soon("both", async { tokio::join!(supervisor.shutdown(), second) }).await;
    assert_eq!((first, second.unwrap()), (Ok(()), Ok(())));
    assert_eq!(supervisor.shutdown().await, Ok(()));
    assert_eq!(supervisor.stopped().await, 0);
    assert!(mark.exists(), "it was killed before it had ended in order");
}

#[tokio::test]
async fn a_stop_before_everything_is_up_stops_what_there_is() {
    let dir = tempfile::tempdir().unwrap();
    let supervisor = supervisor(dir.path())
        .service(sleeper("base"))
        .service(sleeper("never").depends_on("base").ready_when_notified(Duration::from_secs(600)))
        .launch()
        .await
        .unwrap();
    soon("the end", supervisor.shutdown()).await.unwrap();
}

#[tokio::test]
async fn a_supervisor_that_gives_up_says_so_to_whoever_waits() {
    let dir = tempfile::tempdir().unwrap();
    let gives_up =
        Service::shell("web", "exit 1").restart(kennel::Restart::never().exit_on_give_up());
    let supervisor =
        supervisor(dir.path()).service(sleeper("other")).service(gives_up).launch().await.unwrap();
    let handle = supervisor.handle().clone();
    let waiting = tokio::spawn(async move { handle.stopped().await });
    assert_eq!(soon("the end", supervisor.stopped()).await, 1);
    assert_eq!(soon("the end", waiting).await.unwrap(), 1);
    assert_eq!(supervisor.shutdown().await.unwrap_err().code, 1);
}

#[tokio::test]
async fn a_dropped_supervisor_takes_everything_with_it() {
    let dir = tempfile::tempdir().unwrap();
    let stubborn = Service::shell("web", "trap '' TERM; while :; do sleep 0.05; done");
    let supervisor =
        supervisor(dir.path()).service(stubborn).service(sleeper("other")).start().await.unwrap();
    let handle = supervisor.handle().clone();
    let pids = [pid(&handle, "web").await, pid(&handle, "other").await];
    drop(supervisor);
    eventually("the end", async || pids.iter().all(|pid| !is_alive(*pid)).then_some(())).await;
    soon("the end", handle.stopped()).await;
}

#[tokio::test]
async fn a_dropped_supervisor_ends_its_tasks() {
    let dir = tempfile::tempdir().unwrap();
    let (sender, receiver) = tokio::sync::mpsc::channel::<()>(1);
    let task = Task::new("forever", move |_| {
        let sender = sender.clone();
        async move {
            std::future::pending::<()>().await;
            drop(sender);
        }
    });
    let supervisor = supervisor(dir.path()).service(task).start().await.unwrap();
    let handle = supervisor.handle().clone();
    let begun = Instant::now();
    drop(supervisor);
    assert!(begun.elapsed() < Duration::from_secs(10));
    soon("the end", handle.stopped()).await;
    let mut receiver = receiver;
    assert_eq!(soon("the end of the task", receiver.recv()).await, None);
}

#[tokio::test]
async fn a_detached_supervisor_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let builder = supervisor(dir.path()).service(sleeper("web")).on_drop(OnDrop::Detach);
    let supervisor = builder.start().await.unwrap();
    let handle = supervisor.handle().clone();
    let first = pid(&handle, "web").await;
    drop(supervisor);
    assert!(is_alive(first));
    let killed = nix::unistd::Pid::from_raw(first);
    nix::sys::signal::kill(killed, nix::sys::signal::Signal::SIGKILL).unwrap();
    eventually("another run", async || {
        let status = handle.status().await.unwrap();
        status.services[0].pid.filter(|pid| *pid != first && status.services[0].ready)
    })
    .await;
    handle.shutdown(kennel::ShutdownMode::Orderly).await.unwrap();
    assert_eq!(soon("the end", handle.stopped()).await, 0);
}

/// Names the directory for the program that detaches.
const DETACHED: &str = "KENNEL_TEST_DETACHED";

/// Not a test of its own: a program that ends with its supervisor detached.
#[tokio::test]
async fn a_program_that_detaches() {
    let Some(dir) = std::env::var_os(DETACHED) else { return };
    let builder = supervisor(dir.as_ref()).service(sleeper("web")).on_drop(OnDrop::Detach);
    drop(builder.start().await.unwrap());
}

#[tokio::test]
async fn what_a_program_leaves_detached_is_adopted_by_the_next_one() {
    let dir = tempfile::tempdir().unwrap();
    let program = std::env::current_exe().unwrap();
    let ended = tokio::process::Command::new(program)
        .args(["--exact", "stop::a_program_that_detaches"])
        .env(DETACHED, dir.path())
        .output();
    let output = soon("the end of the program", ended).await.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    let supervisor = supervisor(dir.path()).service(sleeper("web")).start().await.unwrap();
    let web = status(supervisor.handle(), "web").await;
    assert_eq!(web.restarts, 0);
    let web = web.pid.unwrap();
    let environment = std::fs::read(format!("/proc/{web}/environ")).unwrap();
    let is_of_the_program = environment
        .split(|byte| *byte == 0)
        .any(|variable| variable.starts_with(DETACHED.as_bytes()));
    assert!(is_of_the_program, "it was started a second time");
    supervisor.shutdown().await.unwrap();
    assert!(!is_alive(web));
}

/// Supervision has a thread of its own: it outlives the runtime of the program.
#[test]
fn the_end_of_the_runtime_ends_the_tasks_and_nothing_else() {
    let runtime =
        || tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let (program, other) = (runtime().unwrap(), runtime().unwrap());
    let dir = tempfile::tempdir().unwrap();
    let task = Task::new("task", async |_| std::future::pending::<()>().await);
    let builder = supervisor(dir.path()).service(sleeper("web")).service(task);
    let supervisor = program.block_on(builder.start()).unwrap();
    let handle = supervisor.handle().clone();
    program.shutdown_background();
    other.block_on(async {
        eventually("the end of the task", async || {
            (status(&handle, "task").await.task_end == Some(TaskEnd::RuntimeGone)).then_some(())
        })
        .await;
        let web = pid(&handle, "web").await;
        assert!(is_alive(web));
        soon("the shutdown", handle.shutdown(ShutdownMode::Orderly)).await.unwrap();
        assert_eq!(soon("the end", supervisor.stopped()).await, 0);
        assert!(!is_alive(web));
    });
}
