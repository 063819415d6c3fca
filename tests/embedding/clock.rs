//! A clock that the program's tests advance.

use std::time::Duration;

use kennel::{FakeClock, Restart, Service, State};

use crate::support::{eventually, sleeper, soon, status, supervisor};

const HOUR: Duration = Duration::from_secs(3600);

#[tokio::test]
async fn hours_of_waiting_pass_when_the_clock_is_told_so_and_not_before() {
    let dir = tempfile::tempdir().unwrap();
    let clock = FakeClock::new();
    let restart =
        Restart::always().backoff(HOUR, HOUR).limit(2, 100 * HOUR).set("backoff.jitter", "0%");
    // The first failure after a stable run restarts at once, and none of these is stable.
    let flaky = Service::shell("flaky", "exit 1").restart(restart);
    let supervisor = supervisor(dir.path()).clock(&clock).service(flaky).launch().await.unwrap();
    let handle = supervisor.handle();
    let state = async |state: State| {
        eventually("its state", async || {
            let flaky = status(handle, "flaky").await;
            (flaky.state == state).then_some(flaky)
        })
        .await
    };
    for restarts in [0, 1] {
        assert_eq!(state(State::Backoff).await.restarts, restarts);
        clock.advance(HOUR - Duration::from_secs(1));
        assert_eq!(status(handle, "flaky").await.state, State::Backoff, "an hour is not over");
        clock.advance(Duration::from_secs(1));
        assert_ne!(status(handle, "flaky").await.state, State::Backoff, "an hour is over");
    }
    assert_eq!(state(State::Failed).await.restarts, 2);
    assert_eq!(clock.elapsed(), 2 * HOUR);
    supervisor.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_service_is_ready_after_its_time_by_that_clock() {
    let dir = tempfile::tempdir().unwrap();
    let clock = FakeClock::new();
    let supervisor =
        supervisor(dir.path()).clock(&clock).service(sleeper("web")).launch().await.unwrap();
    let handle = supervisor.handle();
    eventually("its process", async || status(handle, "web").await.pid).await;
    tokio::time::sleep(Duration::from_millis(1500)).await;
    assert_eq!(status(handle, "web").await.state, State::Starting);
    clock.advance(Duration::from_secs(1));
    assert_eq!(status(handle, "web").await.state, State::Up);
    soon("the end", supervisor.shutdown()).await.unwrap();
}
