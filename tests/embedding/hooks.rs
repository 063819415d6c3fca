//! What is to be done before anything is stopped.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::routing::get;
use kennel::{Restart, Seen, Service, ShutdownMode, StartError, VerbError};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::{LONG, eventually, is_alive, pid, sleeper, soon, status, supervisor};

/// What was done, in order.
type Done = Arc<Mutex<Vec<String>>>;

fn note(done: &Done, what: impl Into<String>) {
    done.lock().unwrap().push(what.into());
}

#[tokio::test]
async fn a_server_of_the_program_finishes_its_requests_while_what_it_needs_is_still_up() {
    let dir = tempfile::tempdir().unwrap();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (asked, finish) = (Arc::new(AtomicBool::new(false)), Arc::new(tokio::sync::Notify::new()));
    let (is_asked, may_finish) = (asked.clone(), finish.clone());
    let slow = get(async move || {
        is_asked.store(true, Ordering::Relaxed);
        may_finish.notified().await;
        "all of it"
    });
    let app = axum::Router::new().route("/slow", slow);
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let server = tokio::spawn(async move {
        let until = async { drop(stopped.await) };
        axum::serve(listener, app).with_graceful_shutdown(until).await
    });
    let supervisor = supervisor(dir.path())
        .service(sleeper("database"))
        .on_shutdown("http", LONG, async move || {
            drop(stop);
            server.await.unwrap()
        })
        .start()
        .await
        .unwrap();
    let handle = supervisor.handle().clone();
    let database = pid(&handle, "database").await;
    let mut client = tokio::net::TcpStream::connect(address).await.unwrap();
    client.write_all(b"GET /slow HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await.unwrap();
    eventually("the request", async || asked.load(Ordering::Relaxed).then_some(())).await;

    let ending = tokio::spawn(async move { supervisor.shutdown().await });
    eventually("the shutdown", async || {
        tokio::net::TcpStream::connect(address).await.is_err().then_some(())
    })
    .await;
    assert!(is_alive(database) && !ending.is_finished());
    let now = handle.status().await.unwrap();
    assert!(now.supervisor.stopping);
    let refused = handle.start("database").await;
    assert_eq!(refused, Err(kennel::VerbError::ShuttingDown));
    finish.notify_one();
    let mut answer = String::new();
    soon("the answer", client.read_to_string(&mut answer)).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("all of it"), "{answer}");
    soon("the end", ending).await.unwrap().unwrap();
    assert!(!is_alive(database));
}

#[tokio::test]
async fn hooks_run_in_reverse_order_each_in_its_time_whatever_becomes_of_the_others() {
    let dir = tempfile::tempdir().unwrap();
    let done = Done::default();
    let [first, second] = [done.clone(), done.clone()];
    let supervisor = supervisor(dir.path())
        .service(sleeper("web"))
        .on_shutdown("first", LONG, async move || note(&first, "first"))
        .on_shutdown("fails", LONG, async || Err::<(), _>("no answer"))
        .on_shutdown("panics", LONG, async || -> () { panic!("on purpose") })
        .on_shutdown("hangs", Duration::from_millis(100), async || {
            std::future::pending::<()>().await;
        })
        .on_shutdown("second", LONG, async move || note(&second, "second"))
        .start()
        .await
        .unwrap();
    let mut events = supervisor.subscribe();
    soon("the end", supervisor.shutdown()).await.unwrap();
    assert_eq!(*done.lock().unwrap(), ["second", "first"]);
    let mut told = Vec::new();
    while let Some(Seen::Event(event)) = events.next().await {
        match event.kind.as_str() {
            "supervisor.hook" => {
                let word = |key: &str| event.attributes[key].as_str().unwrap().to_owned();
                told.push((word("hook"), word("outcome"), event.message.clone()));
            }
            "service.stopped" => told.push(("web".into(), "stopped".into(), String::new())),
            _ => {}
        }
    }
    let order: Vec<_> = told.iter().map(|(who, how, _)| format!("{who} {how}")).collect();
    assert_eq!(
        order,
        ["second done", "hangs late", "panics failed", "fails failed", "first done", "web stopped"]
    );
    assert!(told[2].2.ends_with("it panicked: on purpose"), "{}", told[2].2);
    assert!(told[3].2.ends_with("no answer"), "{}", told[3].2);
}

#[tokio::test]
async fn hooks_run_when_a_part_fails_to_start_and_when_one_gives_up() {
    let dir = tempfile::tempdir().unwrap();
    let done = Done::default();
    let begin = |service: Service| {
        let done = done.clone();
        supervisor(dir.path())
            .service(service)
            .on_shutdown("hook", LONG, async move || note(&done, "hook"))
    };
    let lost = begin(Service::command("lost", ["/does/not/exist"])).start().await;
    assert!(matches!(lost.err(), Some(StartError::Services { .. })));
    assert_eq!(done.lock().unwrap().len(), 1);
    let gives_up = Service::shell("web", "exit 1").restart(Restart::never().exit_on_give_up());
    let supervisor = begin(gives_up).launch().await.unwrap();
    assert_eq!(soon("the end", supervisor.stopped()).await, 1);
    assert_eq!(done.lock().unwrap().len(), 2);
}

#[tokio::test]
async fn who_wants_everything_killed_at_once_does_not_wait_for_hooks() {
    let dir = tempfile::tempdir().unwrap();
    let dropped = Arc::new(AtomicBool::new(false));
    struct Note(Arc<AtomicBool>);
    impl Drop for Note {
        fn drop(&mut self) {
            self.0.store(true, Ordering::Relaxed);
        }
    }
    let guard = Note(dropped.clone());
    let never = Done::default();
    let noted = never.clone();
    let supervisor = supervisor(dir.path())
        .service(sleeper("web"))
        .on_shutdown("never", LONG, async move || note(&noted, "never"))
        .on_shutdown("hangs", LONG, async move || {
            let _guard = guard;
            std::future::pending::<()>().await;
        })
        .start()
        .await
        .unwrap();
    let handle = supervisor.handle().clone();
    handle.shutdown(ShutdownMode::Orderly).await.unwrap();
    eventually("the hook", async || {
        handle.status().await.unwrap().supervisor.stopping.then_some(())
    })
    .await;
    assert!(status(&handle, "web").await.ready);
    handle.shutdown(ShutdownMode::Now).await.unwrap();
    soon("the end", handle.stopped()).await;
    eventually("the abort", async || dropped.load(Ordering::Relaxed).then_some(())).await;
    assert!(never.lock().unwrap().is_empty());
}

/// A service that gives up ends everything; meanwhile the program asks for this and that.
#[tokio::test]
async fn while_the_last_hooks_run_whoever_asks_is_answered_and_now_means_now() {
    let dir = tempfile::tempdir().unwrap();
    let gives_up = Service::shell("web", "exit 1").restart(Restart::never().exit_on_give_up());
    let (runs, is_running) = tokio::sync::oneshot::channel();
    let supervisor = supervisor(dir.path())
        .service(gives_up)
        .on_shutdown("hangs", LONG, async move || {
            let _ = runs.send(());
            std::future::pending::<()>().await;
        })
        .launch()
        .await
        .unwrap();
    let handle = supervisor.handle().clone();
    soon("the hook", is_running).await.unwrap();
    let status = soon("the status", handle.status()).await.unwrap();
    assert!(status.supervisor.stopping);
    assert_eq!(soon("a verb", handle.start("web")).await, Err(VerbError::Stopped));
    handle.shutdown(ShutdownMode::Now).await.unwrap();
    assert_eq!(soon("the end", supervisor.stopped()).await, 1);
}
