//! Building and starting.

use std::time::Duration;

use kennel::{Check, Http, Restart, Service, StartError, Supervisor, Task};

use crate::support::{event, eventually, is_alive, pid, sleeper, soon, status, supervisor};

#[tokio::test]
async fn everything_that_is_wrong_is_told_at_once_before_anything_starts() {
    let dir = tempfile::tempdir().unwrap();
    let mark = dir.path().join("started");
    let builder = supervisor(dir.path())
        .service(Service::shell("fine", format!("touch {}; sleep 1000", mark.display())))
        .service(Service::command("empty", Vec::<String>::new()))
        .service(sleeper("fine"))
        .service(sleeper("no/name"))
        .service(sleeper("lost").depends_on("nobody").replicas(0))
        .service(sleeper("one").depends_on("other"))
        .service(sleeper("other").depends_on("one"))
        .service(sleeper("odd").health(Http::get("localhost")).set("restrat", "always"))
        .service(Task::new("mute", async |_| ()).heartbeat(Duration::from_secs(1)))
        .set("max_concurrent_starts", 0)
        .config_from_file(dir.path().join("services.yaml"));
    std::fs::write(
        dir.path().join("services.yaml"),
        "services:\n  file: { command: [sleep, \"1000\"], nice: 99 }\n",
    )
    .unwrap();
    let Err(StartError::Config(errors)) = builder.start().await else {
        panic!("it is full of errors");
    };
    let text = errors.to_string();
    for part in [
        "service empty:2:3: \"command\" names no program",
        "duplicate service \"fine\", first given at service fine:1:1",
        "\"no/name\" cannot be the name of a service",
        "\"nobody\"",
        "\"replicas\" has to be from 1 to 1000, not 0",
        "dependency cycle: one → other → one",
        "\"localhost\" is no URL",
        "unknown key \"restrat\" in service \"odd\"",
        "did you mean \"restart\"?",
        "\"watchdog\" without",
        "\"kennel.max_concurrent_starts\" has to be from 1 to 10000, not 0",
        "\"nice\" has to be from -20 to 19, not 99",
    ] {
        assert!(text.contains(part), "{part} is missing in:\n{text}");
    }
    assert_eq!(errors.count(), 11, "{text}");
    let empty = errors.errors.iter().find(|error| error.message.contains("no program")).unwrap();
    assert_eq!(empty.at.as_ref().unwrap().line_text, "  command: []");
    assert!(!mark.exists() && !dir.path().join("state").exists());
}

#[tokio::test]
async fn what_is_described_is_meant_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let output = dir.path().join("output");
    let line = format!("printf '%s\\n' \"$PLAIN\" \"$ODD.NAME\" > {}", output.display());
    let service = Service::shell("once", line)
        .oneshot()
        .env("PLAIN", "${HOME} $$ \"quoted\" \\ null: [x]\nsecond line")
        .label("tier", "front");
    let supervisor = supervisor(dir.path()).service(service).start().await.unwrap();
    let text = std::fs::read_to_string(&output).unwrap();
    assert_eq!(text, "${HOME} $$ \"quoted\" \\ null: [x]\nsecond line\n.NAME\n");
    let once = status(supervisor.handle(), "once").await;
    assert_eq!(once.labels["tier"], "front");
    supervisor.shutdown().await.unwrap();
}

#[tokio::test]
async fn the_start_returns_when_all_is_up_also_what_needs_others() {
    let dir = tempfile::tempdir().unwrap();
    let (flag, file) = (dir.path().join("flag"), dir.path().join("services.yaml"));
    std::fs::write(&file, "services:\n  cache: { command: [sleep, \"1000\"] }\n").unwrap();
    let slow = Service::shell("slow", format!("sleep 0.3; touch {}; sleep 1000", flag.display()))
        .ready(Check::command(["test", "-e", &flag.to_string_lossy()]));
    let supervisor = supervisor(dir.path())
        .config_from_file(&file)
        .service(slow)
        .service(sleeper("web").depends_on("slow").depends_on("cache"))
        .service(sleeper("spare").disabled())
        .start()
        .await
        .unwrap();
    assert!(flag.exists());
    for name in ["slow", "web", "cache"] {
        assert!(status(supervisor.handle(), name).await.ready, "{name}");
    }
    assert!(!status(supervisor.handle(), "spare").await.ready);
    supervisor.shutdown().await.unwrap();
}

#[tokio::test]
async fn when_one_part_fails_to_start_the_others_are_stopped_in_reverse_order() {
    let dir = tempfile::tempdir().unwrap();
    let builder = supervisor(dir.path())
        .service(sleeper("database"))
        .service(sleeper("web").depends_on("database"))
        .service(
            Service::command("worker", ["/does/not/exist"])
                .depends_on("web")
                .restart(Restart::always()),
        );
    let supervisor = builder.launch().await.unwrap();
    let handle = supervisor.handle().clone();
    drop(handle.until_up("web").await.unwrap());
    let pids = [pid(&handle, "database").await, pid(&handle, "web").await];
    supervisor.shutdown().await.unwrap();
    drop(supervisor);

    // The same in one call, watched from outside through the journal that it leaves.
    let builder = crate::support::supervisor(dir.path())
        .service(sleeper("database"))
        .service(sleeper("web").depends_on("database"))
        .service(Service::command("worker", ["/does/not/exist"]).depends_on("web"));
    let Err(error) = soon("the failure", builder.start()).await else {
        panic!("it cannot start");
    };
    let StartError::Services { failed, code: 0 } = &error else { panic!("{error}") };
    assert_eq!(failed.len(), 1);
    assert_eq!(failed[0].name, "worker");
    assert!(error.to_string().starts_with("cannot start worker: "), "{error}");
    assert!(error.to_string().contains("/does/not/exist"), "{error}");
    assert!(pids.iter().all(|pid| !is_alive(*pid)));
    let options = kennel::journal::JournalOptions::default();
    let journal = kennel::journal::Journal::open(&dir.path().join("state/journal"), options);
    let records = journal.unwrap().read(1, 1000).unwrap().records;
    let begun = records.iter().rposition(|record| record.kind == "supervisor.started").unwrap();
    let order: Vec<_> = records[begun..]
        .iter()
        .filter(|record| ["service.stopped", "supervisor.stopped"].contains(&&*record.kind))
        .filter(|record| record.service.as_deref() != Some("worker"))
        .map(|record| record.service.clone().unwrap_or_else(|| "supervisor".into()))
        .collect();
    assert_eq!(order, ["web", "database", "supervisor"]);
}

#[tokio::test]
async fn a_start_that_is_not_waited_for_leaves_nothing_behind() {
    let dir = tempfile::tempdir().unwrap();
    let pid_file = dir.path().join("pid");
    let line = format!("echo $$ > {}; exec sleep 1000", pid_file.display());
    let never = Service::shell("never", line).ready_when_notified(Duration::from_secs(600));
    let starting = tokio::spawn(supervisor(dir.path()).service(never).start());
    let pid = eventually("the process", async || {
        std::fs::read_to_string(&pid_file).ok()?.trim().parse::<i32>().ok()
    })
    .await;
    assert!(is_alive(pid));
    starting.abort();
    assert!(starting.await.is_err());
    eventually("its end", async || (!is_alive(pid)).then_some(())).await;
}

#[tokio::test]
async fn several_supervisors_live_in_one_program_and_one_state_directory_has_one() {
    let dirs: Vec<_> = (0..4).map(|_| tempfile::tempdir().unwrap()).collect();
    let mut supervisors = Vec::new();
    for dir in &dirs {
        supervisors.push(supervisor(dir.path()).service(sleeper("web")).start().await.unwrap());
    }
    let again = supervisor(dirs[0].path()).service(sleeper("web")).start().await;
    assert!(matches!(again.err(), Some(StartError::Lock(_))));
    let last = supervisors.pop().unwrap();
    supervisors[0].shutdown().await.unwrap();
    let mut events = last.subscribe();
    last.handle().restart("web").await.unwrap();
    event(&mut events, "service.ready", "web").await;
    assert!(status(supervisors[1].handle(), "web").await.ready);
    // Its state directory is free as soon as the end is told.
    let again = supervisor(dirs[0].path()).service(sleeper("web")).start().await.unwrap();
    for supervisor in supervisors.into_iter().chain([last, again]) {
        supervisor.shutdown().await.unwrap();
    }
}

#[test]
fn a_program_without_a_runtime_can_have_a_supervisor_of_processes() {
    let dir = tempfile::tempdir().unwrap();
    let starting = std::pin::pin!(supervisor(dir.path()).service(sleeper("web")).launch());
    let supervisor: Supervisor = block_on(starting).unwrap();
    let handle = supervisor.handle().clone();
    block_on(std::pin::pin!(handle.until_up("web"))).unwrap();
    block_on(std::pin::pin!(supervisor.shutdown())).unwrap();
}

/// The smallest executor there is.
fn block_on<F: Future>(mut future: std::pin::Pin<&mut F>) -> F::Output {
    struct Unpark(std::thread::Thread);
    impl std::task::Wake for Unpark {
        fn wake(self: std::sync::Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = std::sync::Arc::new(Unpark(std::thread::current())).into();
    let mut context = std::task::Context::from_waker(&waker);
    loop {
        match future.as_mut().poll(&mut context) {
            std::task::Poll::Ready(output) => return output,
            std::task::Poll::Pending => std::thread::park(),
        }
    }
}
