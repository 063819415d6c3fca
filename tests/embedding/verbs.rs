//! Verbs of the handle.

use std::time::Duration;

use kennel::{Restart, Service, Verb, VerbError, Wait};

use crate::support::{is_alive, pid, sleeper, soon, status, supervisor};

async fn every_verb_tells_what_has_happened() {
    let dir = tempfile::tempdir().unwrap();
    let builder = supervisor(dir.path())
        .service(sleeper("web"))
        .service(Service::shell("broken", "exit 3").disabled().restart(Restart::never()));
    let supervisor = soon("the start", builder.start()).await.unwrap();
    let handle = supervisor.handle().clone();

    let first = pid(&handle, "web").await;
    let outcomes = handle.restart("web").await.unwrap();
    let second = outcomes[0].pid.unwrap();
    assert_ne!(first, second);
    assert!(outcomes[0].message.contains(&second.to_string()), "{outcomes:?}");
    assert!(!is_alive(first) && is_alive(second));

    assert!(handle.start("web").await.unwrap()[0].message.contains("already up"));
    assert!(handle.stop("web").await.unwrap()[0].message.contains("down"));
    assert!(!is_alive(second));
    assert!(handle.stop("web").await.unwrap()[0].message.contains("already down"));

    let Err(VerbError::Failed { outcomes }) = handle.start("broken").await else {
        panic!("it cannot come up");
    };
    assert!(outcomes[0].message.contains("code 3"), "{outcomes:?}");
    let Err(VerbError::UnknownService { name, near }) = handle.start("wbe").await else {
        panic!("there is no such service");
    };
    assert_eq!((name.as_str(), near.as_slice()), ("wbe", ["web".to_owned()].as_slice()));

    for replicas in [0, 1001, u32::MAX] {
        let refused = handle.scale("web", replicas).await;
        assert_eq!(refused, Err(VerbError::Replicas { replicas }));
    }
    let three = handle.scale("web", 3).await.unwrap();
    assert_eq!(three.iter().filter(|outcome| outcome.pid.is_some()).count(), 3);
    assert!(status(&handle, "web/2").await.ready);
    supervisor.shutdown().await.unwrap();
}

#[tokio::test]
async fn every_verb_tells_what_has_happened_on_a_runtime_of_one_thread() {
    every_verb_tells_what_has_happened().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn every_verb_tells_what_has_happened_on_a_runtime_of_many_threads() {
    every_verb_tells_what_has_happened().await;
}

#[tokio::test]
async fn after_the_end_every_verb_says_that_it_has_stopped() {
    let dir = tempfile::tempdir().unwrap();
    let supervisor = supervisor(dir.path()).service(sleeper("web")).start().await.unwrap();
    let handle = supervisor.handle().clone();
    supervisor.shutdown().await.unwrap();
    let all = async {
        for result in [
            handle.start("web").await,
            handle.stop("web").await,
            handle.restart("web").await,
            handle.reset("web").await,
            handle.scale("web", 2).await,
            handle.until_up("web").await,
            handle.act(Verb::RollingRestart, vec!["web".into()], Wait::No).await,
        ] {
            assert_eq!(result, Err(VerbError::Stopped));
        }
        assert_eq!(handle.status().await.err(), Some(VerbError::Stopped));
        assert!(matches!(handle.reload().await, Err(kennel::ReloadError::Stopped)));
        for result in [
            handle.add(sleeper("more")).await,
            handle.replace(sleeper("web")).await,
            handle.remove("web").await,
        ] {
            assert_eq!(result, Err(kennel::ChangeError::Stopped));
        }
        assert_eq!(handle.stopped().await, 0);
        assert!(handle.subscribe().next().await.is_none());
    };
    soon("answers", all).await;
}

#[tokio::test]
async fn verbs_that_are_under_way_at_the_end_come_back() {
    let dir = tempfile::tempdir().unwrap();
    let never_ready = sleeper("web").ready_when_notified(Duration::from_secs(600));
    let supervisor = supervisor(dir.path()).service(never_ready).launch().await.unwrap();
    let handle = supervisor.handle().clone();
    let waiting = tokio::spawn(async move { handle.until_up("web").await });
    let handle = supervisor.handle().clone();
    let starting = tokio::spawn(async move { handle.start("web").await });
    tokio::task::yield_now().await;
    supervisor.shutdown().await.unwrap();
    for answer in [waiting, starting] {
        let answer = soon("an answer", answer).await.unwrap();
        assert!(answer.is_err(), "{answer:?}");
    }
}
