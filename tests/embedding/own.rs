//! Checks, restart policies and event sinks that are code of the program.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use kennel::{
    Check, CheckTarget, Decision, EndedRun, EventBatch, Health, HealthCheck, Restart, Service,
    Sink, StartError, State, TaskError, Verdict,
};

use crate::support::{LONG, event, eventually, pid, sleeper, soon, status, supervisor};

const OFTEN: Duration = Duration::from_millis(20);

fn often(name: &str, check: impl HealthCheck) -> Check {
    Check::own(name, check).every(OFTEN).failures(2).grace(Duration::ZERO)
}

fn at_once() -> Restart {
    Restart::always().unlimited().backoff(Duration::from_millis(1), Duration::from_millis(10))
}

#[tokio::test]
async fn a_check_of_the_program_restarts_what_it_finds_unhealthy() {
    let dir = tempfile::tempdir().unwrap();
    let verdict = Arc::new(Mutex::new(Verdict::Healthy));
    let (says, seen) = (verdict.clone(), Arc::new(Mutex::new(None)));
    let saw = seen.clone();
    let check = often("queue", move |target: CheckTarget| {
        *saw.lock().unwrap() = Some(target);
        let verdict = says.lock().unwrap().clone();
        async move { verdict }
    });
    let service = sleeper("web").health(check).label("tier", "front").restart(at_once());
    let supervisor = supervisor(dir.path()).service(service).start().await.unwrap();
    let handle = supervisor.handle();
    let mut events = supervisor.subscribe();
    let is = async |health: Health, reason: &str| {
        eventually("its health", async || {
            let web = status(handle, "web").await;
            (web.health == health && web.reason.contains(reason)).then_some(())
        })
        .await;
    };
    is(Health::Healthy, "").await;
    let first = pid(handle, "web").await;
    let target = seen.lock().unwrap().clone().unwrap();
    assert_eq!(
        (target.service.as_str(), target.instance.as_str(), target.index),
        ("web", "web", 0)
    );
    assert_eq!((target.pid, target.restarts), (Some(first), 0));
    assert_eq!(target.labels["tier"], "front");

    *verdict.lock().unwrap() = Verdict::Degraded("only one shard answers".into());
    is(Health::Degraded, "only one shard answers").await;
    // What nobody knows proves nothing.
    *verdict.lock().unwrap() = Verdict::Unknown("the counter is away".into());
    while !event(&mut events, "health.changed", "web").await.message.contains("one shard") {}
    assert_eq!(pid(handle, "web").await, first);
    *verdict.lock().unwrap() = Verdict::Unhealthy("100 jobs wait".into());
    let ended = event(&mut events, "service.exited", "web").await;
    assert!(ended.message.contains("100 jobs wait"), "{}", ended.message);
    *verdict.lock().unwrap() = Verdict::Healthy;
    is(Health::Healthy, "").await;
    assert_ne!(pid(handle, "web").await, first);
    supervisor.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_service_is_ready_when_a_check_of_the_program_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let is_ready = Arc::new(AtomicBool::new(false));
    let flag = is_ready.clone();
    let check = Check::own("warm", move |_| {
        let ready = flag.load(Ordering::Relaxed);
        async move { if ready { Verdict::Healthy } else { Verdict::Unhealthy("cold".into()) } }
    });
    let service = sleeper("web").ready(check.every(OFTEN).timeout(LONG));
    let supervisor = supervisor(dir.path()).service(service).launch().await.unwrap();
    let handle = supervisor.handle();
    eventually("why it is not ready", async || {
        status(handle, "web").await.reason.contains("cold").then_some(())
    })
    .await;
    assert_eq!(status(handle, "web").await.state, State::Starting);
    is_ready.store(true, Ordering::Relaxed);
    soon("readiness", handle.until_up("web")).await.unwrap();
    supervisor.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_check_that_panics_could_not_be_made() {
    let dir = tempfile::tempdir().unwrap();
    let count = Arc::new(AtomicU32::new(0));
    let counted = count.clone();
    let panics = often("panics", move |_| {
        counted.fetch_add(1, Ordering::Relaxed);
        async { panic!("on purpose") }
    });
    let service = sleeper("web").health(panics).restart(at_once());
    let supervisor = supervisor(dir.path()).service(service).start().await.unwrap();
    let handle = supervisor.handle();
    let first = pid(handle, "web").await;
    eventually("many panics", async || (count.load(Ordering::Relaxed) > 10).then_some(())).await;
    let web = status(handle, "web").await;
    assert_eq!((web.health, web.pid, web.restarts), (Health::Unknown, Some(first), 0));
    assert!(web.reason.contains("the check panicked: on purpose"), "{}", web.reason);
    supervisor.shutdown().await.unwrap();
}

/// Lets a thread go, also when a test fails: its runtime waits for the thread.
struct Release(Arc<AtomicBool>);

impl Drop for Release {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// A check that blocks its thread until it is released.
fn blocking(release: &Release, asked: &Arc<AtomicU32>) -> impl HealthCheck {
    let (released, asked) = (release.0.clone(), asked.clone());
    move |_| {
        asked.fetch_add(1, Ordering::Relaxed);
        while !released.load(Ordering::Relaxed) {
            std::thread::sleep(Duration::from_millis(5));
        }
        async { Verdict::Healthy }
    }
}

/// One that waits is dropped at its timeout, and one that blocks is not asked again before it
/// has come back.
#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn a_check_that_does_not_come_back_is_late_and_holds_up_nobody_else() {
    let dir = tempfile::tempdir().unwrap();
    let (release, asked) = (Release(Arc::default()), Arc::default());
    let blocks = often("blocks", blocking(&release, &asked));
    let waits = often("waits", async |_| std::future::pending().await);
    let late = |check: Check| check.timeout(Duration::from_millis(50)).set("timeouts", 1000);
    let supervisor = supervisor(dir.path())
        .service(sleeper("blocks").health(late(blocks)))
        .service(sleeper("waits").health(late(waits)))
        .service(sleeper("other").restart(at_once()))
        .start()
        .await
        .unwrap();
    let handle = supervisor.handle();
    for name in ["blocks", "waits"] {
        eventually("late answers", async || {
            let service = status(handle, name).await;
            let is_late = service.reason.contains("no answer within 50 ms");
            (service.health == Health::Degraded && is_late).then_some(())
        })
        .await;
    }
    for _ in 0..3 {
        soon("a restart", handle.restart("other")).await.unwrap();
    }
    assert_eq!(asked.load(Ordering::Relaxed), 1, "it is still in the first question");
    drop(release);
    eventually("an answer", async || {
        (status(handle, "blocks").await.health == Health::Healthy).then_some(())
    })
    .await;
    supervisor.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn what_a_check_that_blocks_belongs_to_can_be_stopped_and_so_can_all() {
    let dir = tempfile::tempdir().unwrap();
    let (release, asked) = (Release(Arc::default()), Arc::default());
    let blocks = often("blocks", blocking(&release, &asked));
    let supervisor =
        supervisor(dir.path()).service(sleeper("web").health(blocks)).start().await.unwrap();
    eventually("a question", async || (asked.load(Ordering::Relaxed) == 1).then_some(())).await;
    soon("a restart", supervisor.handle().restart("web")).await.unwrap();
    soon("a stop", supervisor.handle().stop("web")).await.unwrap();
    soon("a start", supervisor.handle().start("web")).await.unwrap();
    soon("the end", supervisor.shutdown()).await.unwrap();
    drop(release);
}

#[tokio::test]
async fn a_policy_of_the_program_decides_on_restarts() {
    let dir = tempfile::tempdir().unwrap();
    let seen: Arc<Mutex<Vec<EndedRun>>> = Arc::default();
    let saw = seen.clone();
    let policy = move |ended: EndedRun| {
        let restarts = ended.target.restarts;
        saw.lock().unwrap().push(ended);
        async move {
            match restarts {
                // The built-in wait would be longer than this test.
                0..3 => Decision::RestartAfter(Duration::from_millis(1)),
                _ => Decision::GiveUp("three times is enough".into()),
            }
        }
    };
    let restart = Restart::always().unlimited().backoff(LONG, LONG).decided_by(policy);
    let service = Service::shell("web", "exit 7").restart(restart);
    let supervisor = supervisor(dir.path()).service(service).launch().await.unwrap();
    let handle = supervisor.handle();
    let web = eventually("the end", async || {
        let web = status(handle, "web").await;
        (web.state == State::Failed).then_some(web)
    })
    .await;
    assert_eq!(web.restarts, 3);
    assert!(
        web.reason.contains("its policy wants no restart: three times is enough"),
        "{}",
        web.reason
    );
    let seen = seen.lock().unwrap().clone();
    assert_eq!(seen.len(), 4);
    assert_eq!(seen[3].history.len(), 3);
    assert_eq!(seen[3].cause.to_string(), "exited with code 7");
    assert_eq!(seen[3].target.instance, "web");
    supervisor.shutdown().await.unwrap();
}

#[tokio::test]
async fn without_an_answer_of_the_policy_the_built_in_wait_holds() {
    let dir = tempfile::tempdir().unwrap();
    let service = |name: &str, restart: Restart| Service::shell(name, "exit 1").restart(restart);
    let supervisor = supervisor(dir.path())
        .service(service("panics", at_once().decided_by(async |_| panic!("on purpose"))))
        .service(service("waits", at_once().decided_by(async |_| std::future::pending().await)))
        .service(service("agrees", at_once().decided_by(async |_| Decision::Default)))
        .launch()
        .await
        .unwrap();
    let handle = supervisor.handle();
    for name in ["panics", "waits", "agrees"] {
        eventually("restarts", async || (status(handle, name).await.restarts >= 2).then_some(()))
            .await;
    }
    supervisor.shutdown().await.unwrap();
}

/// What a sink was given: each batch in its order.
type Given = Arc<Mutex<Vec<(u64, String)>>>;

fn collecting(given: &Given, fails: u32) -> Sink {
    let (given, fails) = (given.clone(), AtomicU32::new(fails));
    Sink::new("audit", move |batch: EventBatch| {
        let fails = fails.load(Ordering::Relaxed) > 0 && fails.fetch_sub(1, Ordering::Relaxed) > 0;
        let given = given.clone();
        async move {
            if fails {
                return Err(TaskError::from("not now"));
            }
            let events = batch.events.iter().map(|event| (event.seq, event.kind.clone()));
            given.lock().unwrap().extend(events);
            Ok(())
        }
    })
}

#[tokio::test]
async fn a_sink_of_the_program_is_given_every_event_also_what_it_could_not_take_and_what_it_missed()
{
    let dir = tempfile::tempdir().unwrap();
    let given = Given::default();
    let begin = async |fails: u32| {
        let builder = supervisor(dir.path()).service(sleeper("web"));
        builder.sink(collecting(&given, fails)).start().await.unwrap()
    };
    let supervisor = begin(2).await;
    let has = async |kind: &str| {
        eventually(kind, async || {
            given.lock().unwrap().iter().any(|(_, of)| of == kind).then_some(())
        })
        .await;
    };
    has("service.ready").await;
    supervisor.shutdown().await.unwrap();
    // A program without that sink has events too, but forgets it: so it is the same one here.
    let supervisor = begin(0).await;
    has("supervisor.stopped").await;
    supervisor.handle().restart("web").await.unwrap();
    let last = supervisor.handle().journal().last_seq();
    eventually("the last", async || {
        given.lock().unwrap().iter().any(|(seq, _)| *seq >= last).then_some(())
    })
    .await;
    supervisor.shutdown().await.unwrap();
    let given = given.lock().unwrap();
    assert_eq!(given.first().unwrap().1, "supervisor.started");
    for pair in given.windows(2) {
        // A cursor that was not written for want of time: events come twice, and none never.
        assert!(pair[1].0 <= pair[0].0 + 1, "{pair:?}");
    }
}

#[tokio::test]
async fn a_sink_of_the_program_is_given_what_it_asks_for_beside_the_sinks_of_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("services.yaml");
    std::fs::write(&file, "services:\n  web: { command: [sleep, \"1000\"] }\n").unwrap();
    let given = Given::default();
    let builder = supervisor(dir.path()).config_from_file(&file);
    let sink = collecting(&given, 0).events(["service.r*", "service.stopped"]);
    let supervisor = builder.sink(sink).start().await.unwrap();
    supervisor.handle().reload().await.unwrap();
    supervisor.handle().restart("web").await.unwrap();
    supervisor.shutdown().await.unwrap();
    let kinds: Vec<String> = given.lock().unwrap().iter().map(|(_, kind)| kind.clone()).collect();
    assert!(kinds.iter().filter(|kind| *kind == "service.ready").count() >= 2, "{kinds:?}");
    assert!(kinds.iter().all(|kind| kind.starts_with("service.")), "{kinds:?}");
    assert!(!kinds.contains(&"service.started".to_owned()), "{kinds:?}");
}

/// Who blocks a thread of the program does so once, however often the service is started anew.
#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn a_check_that_blocks_is_not_asked_again_by_the_next_run() {
    let dir = tempfile::tempdir().unwrap();
    let (release, asked) = (Release(Arc::default()), Arc::default());
    let blocks = often("blocks", blocking(&release, &asked)).timeout(Duration::from_millis(50));
    let service = sleeper("web").health(blocks.set("timeouts", 1000));
    let supervisor = supervisor(dir.path()).service(service).start().await.unwrap();
    let handle = supervisor.handle();
    for _ in 0..3 {
        eventually("a late answer", async || {
            (status(handle, "web").await.health == Health::Degraded).then_some(())
        })
        .await;
        soon("a restart", handle.restart("web")).await.unwrap();
    }
    assert_eq!(asked.load(Ordering::Relaxed), 1, "it is still in the first question");
    drop(release);
    eventually("an answer", async || {
        (status(handle, "web").await.health == Health::Healthy).then_some(())
    })
    .await;
    supervisor.shutdown().await.unwrap();
}

/// A service may be ready by other code than it is well by, also where both have one name.
#[tokio::test]
async fn what_says_that_it_is_ready_and_that_it_is_well_may_have_one_name() {
    let dir = tempfile::tempdir().unwrap();
    let asked: Arc<[AtomicU32; 3]> = Arc::default();
    let counts = |at: usize| {
        let asked = asked.clone();
        move |_| {
            asked[at].fetch_add(1, Ordering::Relaxed);
            async { Verdict::Healthy }
        }
    };
    let ready = |at| Check::own("db", counts(at));
    let service = sleeper("web").ready(ready(0)).ready(ready(1)).health(often("db", counts(2)));
    let supervisor = supervisor(dir.path()).service(service).start().await.unwrap();
    eventually("both", async || {
        let [_, ready, health] = &*asked;
        (ready.load(Ordering::Relaxed) > 0 && health.load(Ordering::Relaxed) > 0).then_some(())
    })
    .await;
    assert_eq!(asked[0].load(Ordering::Relaxed), 0, "another one took its place");
    supervisor.shutdown().await.unwrap();
}

#[tokio::test]
async fn what_is_wrong_with_the_names_of_own_code_is_told_with_all_else() {
    let dir = tempfile::tempdir().unwrap();
    let fine = async |_| Verdict::Healthy;
    let take = async |_: EventBatch| Ok(());
    let builder = supervisor(dir.path())
        .service(sleeper("web").health(Check::own("one", fine)).health(Check::own("one", fine)))
        .service(sleeper("odd").health(Check::own("no/name", fine)).set("restrat", "always"))
        .sink(Sink::new("sink", take))
        .sink(Sink::new("sink", take))
        .sink(Sink::new("a/b", take));
    let Err(StartError::Config(errors)) = builder.start().await else {
        panic!("it is full of errors");
    };
    let text = errors.to_string();
    for part in [
        "two checks have the name \"one\"",
        "\"no/name\" cannot be the name of a check",
        "unknown key \"restrat\"",
        "two sinks have the name \"sink\"",
        "\"a/b\" cannot be the name of a sink",
    ] {
        assert!(text.contains(part), "{part} is missing in:\n{text}");
    }
    assert_eq!(errors.count(), 5, "{text}");
}
