//! Tasks of the program as services.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use kennel::{Check, Restart, Service, Task, TaskContext, TaskEnd, VerbError};

use crate::support::{LONG, event, eventually, is_alive, pid, sleeper, soon, status, supervisor};

fn at_once() -> Restart {
    Restart::always().unlimited().backoff(Duration::from_millis(1), Duration::from_millis(10))
}

async fn until_cancelled(context: TaskContext) {
    context.cancelled().await;
}

#[tokio::test]
async fn a_panic_and_an_error_are_exits_that_say_what_they_were() {
    let dir = tempfile::tempdir().unwrap();
    let panics = Task::new("panics", async |_| -> () { panic!("index {} of {}", 5, 3) });
    let fails = Task::new("fails", async |_| Err::<(), _>("no route to host"));
    let blocks = Task::blocking("blocks", |_| -> Result<(), String> { panic!("in a thread") });
    let done = Task::new("done", async |_| ()).oneshot();
    let supervisor = supervisor(dir.path())
        .service(panics.restart(Restart::never()))
        .service(
            fails.restart(
                Restart::on_failure()
                    .limit(2, LONG)
                    .backoff(Duration::from_millis(1), Duration::from_millis(1)),
            ),
        )
        .service(blocks.restart(Restart::never()))
        .service(done)
        .launch()
        .await
        .unwrap();
    let mut events = supervisor.subscribe();
    let handle = supervisor.handle();
    for (name, end, code) in [
        ("panics", TaskEnd::Panicked("index 5 of 3".into()), "exited with code 101"),
        ("fails", TaskEnd::Failed("no route to host".into()), "exited with code 1"),
        ("blocks", TaskEnd::Panicked("in a thread".into()), "exited with code 101"),
    ] {
        let failed = eventually("its failure", async || {
            let service = status(handle, name).await;
            (service.state.to_string() == "failed").then_some(service)
        })
        .await;
        assert_eq!(failed.task_end, Some(end), "{name}");
        assert_eq!(failed.exit.unwrap().0.to_string(), code, "{name}");
        assert_eq!(failed.pid, None);
    }
    // The same policy as of processes: the failure after the second restart gives up.
    assert_eq!(status(handle, "fails").await.restarts, 2);
    handle.until_up("done").await.unwrap();
    assert_eq!(status(handle, "done").await.task_end, Some(TaskEnd::Finished));
    drop(handle.reset("panics").await);
    let ended = event(&mut events, "service.exited", "panics").await;
    assert!(ended.message.ends_with("; the task panicked: index 5 of 3"), "{}", ended.message);
    assert_eq!(ended.attributes["task"], "panicked");
    supervisor.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_task_says_when_it_is_ready_and_what_it_does() {
    let dir = tempfile::tempdir().unwrap();
    let go = Arc::new(tokio::sync::Notify::new());
    let waits = go.clone();
    let task = Task::new("indexer", move |context: TaskContext| {
        let waits = waits.clone();
        async move {
            context.status("reading the index");
            waits.notified().await;
            context.ready();
            context.status(format!("{} indexes", context.name()));
            context.cancelled().await;
        }
    });
    let supervisor = supervisor(dir.path())
        .service(task.ready_when_told(LONG))
        .service(sleeper("web").depends_on("indexer"))
        .launch()
        .await
        .unwrap();
    let handle = supervisor.handle();
    eventually("what it does", async || {
        let service = status(handle, "indexer").await;
        (service.status_text.as_deref() == Some("reading the index") && !service.ready)
            .then_some(())
    })
    .await;
    assert_eq!(status(handle, "web").await.pid, None, "it waits for the task");
    go.notify_one();
    soon("web", handle.until_up("web")).await.unwrap();
    eventually("what it does", async || {
        let service = status(handle, "indexer").await;
        (service.status_text.as_deref() == Some("indexer indexes")).then_some(())
    })
    .await;
    supervisor.shutdown().await.unwrap();
}

#[tokio::test]
async fn tasks_and_processes_stop_in_reverse_order_of_their_dependencies() {
    let dir = tempfile::tempdir().unwrap();
    let (web, alive) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicBool::new(false)));
    let (seen, noted) = (web.clone(), alive.clone());
    let task = Task::new("queue", move |context: TaskContext| {
        let (seen, noted) = (seen.clone(), noted.clone());
        async move {
            context.cancelled().await;
            // Who needs it has gone before it.
            let pid = i32::try_from(seen.load(Ordering::Relaxed)).unwrap();
            noted.store(is_alive(pid), Ordering::Relaxed);
        }
    });
    let supervisor = supervisor(dir.path())
        .service(sleeper("database"))
        .service(task.depends_on("database"))
        .service(sleeper("web").depends_on("queue"))
        .start()
        .await
        .unwrap();
    let handle = supervisor.handle().clone();
    web.store(pid(&handle, "web").await.unsigned_abs(), Ordering::Relaxed);
    alive.store(true, Ordering::Relaxed);
    let mut events = supervisor.subscribe();
    supervisor.shutdown().await.unwrap();
    assert!(!alive.load(Ordering::Relaxed), "the task was told to end before what needs it had");
    let mut order = Vec::new();
    while let Some(kennel::Seen::Event(record)) = events.next().await {
        if record.kind == "service.stopped" {
            order.push(record.service.clone().unwrap());
        }
    }
    assert_eq!(order, ["web", "queue", "database"]);
}

#[tokio::test]
async fn a_task_that_does_not_end_in_time_is_aborted() {
    let dir = tempfile::tempdir().unwrap();
    let dropped = Arc::new(AtomicBool::new(false));
    struct Note(Arc<AtomicBool>);
    impl Drop for Note {
        fn drop(&mut self) {
            self.0.store(true, Ordering::Relaxed);
        }
    }
    let note = dropped.clone();
    let deaf = Task::new("deaf", move |_| {
        let note = Note(note.clone());
        async move {
            std::future::pending::<()>().await;
            drop(note);
        }
    });
    let deaf = deaf.stop_within(Duration::from_millis(300));
    let polite = Task::new("polite", until_cancelled).stop_within(LONG);
    let supervisor = supervisor(dir.path()).service(deaf).service(polite).start().await.unwrap();
    let handle = supervisor.handle();
    let begun = Instant::now();
    soon("the stop", handle.stop("deaf")).await.unwrap();
    assert!(begun.elapsed() >= Duration::from_millis(300));
    assert!(dropped.load(Ordering::Relaxed));
    assert_eq!(status(handle, "deaf").await.task_end, Some(TaskEnd::Aborted));
    soon("the stop", handle.stop("polite")).await.unwrap();
    assert_eq!(status(handle, "polite").await.task_end, Some(TaskEnd::Finished));
    supervisor.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_task_without_a_sign_of_life_is_restarted() {
    let dir = tempfile::tempdir().unwrap();
    let runs = Arc::new(AtomicU32::new(0));
    let count = runs.clone();
    let task = Task::new("stalls", move |context: TaskContext| {
        let run = count.fetch_add(1, Ordering::Relaxed);
        async move {
            context.ready();
            // The first run stalls, the second one is well.
            while run > 0 && !context.is_cancelled() {
                context.heartbeat();
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            context.cancelled().await;
        }
    });
    let task = task.ready_when_told(LONG).heartbeat(Duration::from_secs(4)).restart(at_once());
    let supervisor = supervisor(dir.path()).service(task).launch().await.unwrap();
    let mut events = supervisor.subscribe();
    event(&mut events, "watchdog.missed", "stalls").await;
    event(&mut events, "service.ready", "stalls").await;
    // For longer than it may be silent.
    tokio::time::sleep(Duration::from_millis(4500)).await;
    assert_eq!(runs.load(Ordering::Relaxed), 2);
    assert_eq!(status(supervisor.handle(), "stalls").await.restarts, 1);
    supervisor.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_task_is_checked_like_a_process() {
    let dir = tempfile::tempdir().unwrap();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let listener = Arc::new(std::sync::Mutex::new(Some(listener)));
    let held = listener.clone();
    let task = Task::new("server", move |context: TaskContext| {
        let held = held.clone();
        async move {
            context.cancelled().await;
            drop(held);
        }
    });
    let check = Check::tcp(address).every(Duration::from_millis(50)).failures(2);
    let check = check.grace(Duration::ZERO);
    let supervisor = supervisor(dir.path())
        .service(task.health(check).restart(at_once()))
        .start()
        .await
        .unwrap();
    let mut events = supervisor.subscribe();
    eventually("good health", async || {
        let health = status(supervisor.handle(), "server").await.health.to_string();
        (health == "healthy").then_some(())
    })
    .await;
    drop(listener.lock().unwrap().take());
    let ended = event(&mut events, "service.exited", "server").await;
    assert!(ended.message.contains("task has finished"), "{}", ended.message);
    event(&mut events, "service.started", "server").await;
    supervisor.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_blocking_task_is_told_to_end_and_one_that_does_not_is_reported() {
    let dir = tempfile::tempdir().unwrap();
    let release = Arc::new(AtomicBool::new(false));
    let released = release.clone();
    let polite = Task::blocking("polite", |context| {
        while !context.cancelled_within(Duration::from_millis(10)) {}
        Ok::<(), std::io::Error>(())
    });
    let deaf = Task::blocking("deaf", move |_| {
        while !released.load(Ordering::Relaxed) {
            std::thread::sleep(Duration::from_millis(5));
        }
    });
    let supervisor = supervisor(dir.path())
        .service(polite)
        .service(deaf.stop_within(Duration::from_millis(100)))
        .start()
        .await
        .unwrap();
    let mut events = supervisor.subscribe();
    let handle = supervisor.handle().clone();
    soon("the stop", handle.stop("polite")).await.unwrap();
    let stopping = tokio::spawn(async move { handle.stop("deaf").await });
    event(&mut events, "service.stuck", "deaf").await;
    assert!(!stopping.is_finished(), "its thread has not ended");
    release.store(true, Ordering::Relaxed);
    soon("the stop", stopping).await.unwrap().unwrap();
    supervisor.shutdown().await.unwrap();
}

/// The runtime of the program has one thread, and a task holds it.
#[test]
fn a_task_that_never_yields_is_told_of_and_holds_up_nobody_else() {
    let dir = tempfile::tempdir().unwrap();
    let release = Arc::new(AtomicBool::new(false));
    let released = release.clone();
    let (handing, handed) = std::sync::mpsc::channel();
    let state = dir.path().to_owned();
    let program = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let busy = Task::new("busy", move |_| {
                let released = released.clone();
                async move {
                    while !released.load(Ordering::Relaxed) {
                        std::thread::sleep(Duration::from_millis(5));
                    }
                }
            });
            let supervisor = supervisor(&state)
                .service(sleeper("web").restart(at_once()))
                .service(busy.stop_within(Duration::from_millis(100)))
                .launch()
                .await
                .unwrap();
            handing.send(supervisor.handle().clone()).unwrap();
            supervisor.stopped().await
        })
    });
    let handle = handed.recv().unwrap();
    // Another runtime, since that of the program does nothing else any more.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut events = handle.subscribe();
        soon("web", handle.until_up("web")).await.unwrap();
        let busy = event(&mut events, "task.busy", "busy").await;
        assert!(busy.attributes["for_ms"].as_u64().unwrap() >= 1000, "{busy:?}");
        let first = pid(&handle, "web").await;
        let victim = nix::unistd::Pid::from_raw(first);
        nix::sys::signal::kill(victim, nix::sys::signal::Signal::SIGKILL).unwrap();
        event(&mut events, "service.ready", "web").await;
        let stopping = handle.clone();
        let stopping = tokio::spawn(async move { stopping.stop("busy").await });
        event(&mut events, "service.stuck", "busy").await;
        release.store(true, Ordering::Relaxed);
        soon("the stop", stopping).await.unwrap().unwrap();
        handle.shutdown(kennel::ShutdownMode::Orderly).await.unwrap();
        assert_eq!(soon("the end", handle.stopped()).await, 0);
    });
    assert_eq!(program.join().unwrap(), 0);
}

#[tokio::test]
async fn a_task_is_replaced_by_another_one() {
    let dir = tempfile::tempdir().unwrap();
    let runs = Arc::new(AtomicU32::new(0));
    let counting = |step: u32| {
        let count = runs.clone();
        Task::new("counts", move |context| {
            count.fetch_add(step, Ordering::Relaxed);
            until_cancelled(context)
        })
    };
    let supervisor = supervisor(dir.path()).service(counting(1)).start().await.unwrap();
    eventually("the first", async || (runs.load(Ordering::Relaxed) == 1).then_some(())).await;
    soon("the other", supervisor.handle().replace(counting(100))).await.unwrap();
    eventually("the other", async || (runs.load(Ordering::Relaxed) == 101).then_some(())).await;
    let signalled = supervisor.handle().act(
        kennel::Verb::Signal(kennel_core::Signal::HUP),
        vec!["counts".into()],
        kennel::Wait::No,
    );
    drop(signalled.await.unwrap());
    assert!(status(supervisor.handle(), "counts").await.ready, "SIGHUP means nothing to a task");
    supervisor.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_flood_of_words_delays_nobody() {
    let dir = tempfile::tempdir().unwrap();
    let flood = Task::blocking("flood", |context| {
        while !context.is_cancelled() {
            context.status("again");
            context.heartbeat();
            context.ready();
        }
    });
    let supervisor = supervisor(dir.path())
        .service(flood)
        .service(Service::command("web", ["sleep", "1000"]))
        .start()
        .await
        .unwrap();
    for _ in 0..5 {
        soon("a restart", supervisor.handle().restart("web")).await.unwrap();
    }
    soon("the end", supervisor.shutdown()).await.unwrap();
    let gone = supervisor.handle().start("web").await;
    assert_eq!(gone, Err(VerbError::Stopped));
}
