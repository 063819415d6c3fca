//! A test with a fake clock: hours of backoff pass at once, and what the supervisor decides is
//! what it would decide after real hours.
//!
//!     cargo test -p kennel --example fake_clock
//!     cargo run -p kennel --example fake_clock
//!
//! The second one prints the restarts of a day and the moment that they took in fact.

use std::path::Path;
use std::time::{Duration, Instant};

use kennel::{
    FakeClock, Restart, Service, ServiceStatus, StartError, State, Supervisor, SupervisorBuilder,
};

const HOUR: Duration = Duration::from_secs(3600);

/// What is to be tested: an import that fails is tried again each hour, and given up when it has
/// failed five times within a day.
fn supervised(state_dir: &Path) -> SupervisorBuilder {
    let restart =
        Restart::always().backoff(HOUR, HOUR).set("backoff.jitter", "0%").limit(5, 24 * HOUR);
    Supervisor::builder()
        .state_dir(state_dir)
        .service(Service::shell("import", "exit 1").restart(restart))
}

/// The same with a clock of the test's own. `launch`, since who waits for the first failure to be
/// over waits for an hour by that clock.
async fn launched(state_dir: &Path, clock: &FakeClock) -> Result<Supervisor, StartError> {
    supervised(state_dir).clock(clock).launch().await
}

/// How the import is once it is so. Decisions follow the clock of the test; processes take the
/// time that they take.
async fn once(supervisor: &Supervisor, state: State) -> Result<ServiceStatus, kennel::VerbError> {
    loop {
        let import = supervisor.handle().status().await?.services.remove(0);
        if import.state == state {
            return Ok(import);
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn an_import_that_fails_is_tried_each_hour_and_given_up_after_five() {
    let dir = tempfile::tempdir().unwrap();
    let clock = FakeClock::new();
    let supervisor = launched(dir.path(), &clock).await.unwrap();
    for restarts in 0..5 {
        assert_eq!(once(&supervisor, State::Backoff).await.unwrap().restarts, restarts);
        clock.advance(HOUR - Duration::from_secs(1));
        let import = supervisor.handle().status().await.unwrap().services.remove(0);
        assert_eq!(import.state, State::Backoff, "an hour is not over");
        clock.advance(Duration::from_secs(1));
    }
    assert_eq!(once(&supervisor, State::Failed).await.unwrap().restarts, 5);
    assert_eq!(clock.elapsed(), 5 * HOUR);
    supervisor.shutdown().await.unwrap();
}

#[tokio::main(flavor = "current_thread")]
pub(crate) async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let state = std::env::temp_dir().join(format!("kennel-fake-clock-{}", std::process::id()));
    let (clock, begun) = (FakeClock::new(), Instant::now());
    let supervisor = launched(&state, &clock).await?;
    for _ in 0..5 {
        let import = once(&supervisor, State::Backoff).await?;
        println!(
            "after {} h: {} restarts, {}",
            clock.elapsed().as_secs() / 3600,
            import.restarts,
            import.state
        );
        clock.advance(HOUR);
    }
    let import = once(&supervisor, State::Failed).await?;
    println!(
        "after {} h: {} restarts, {}",
        clock.elapsed().as_secs() / 3600,
        import.restarts,
        import.state
    );
    println!("it took {} ms", begun.elapsed().as_millis());
    supervisor.shutdown().await?;
    std::fs::remove_dir_all(state)?;
    Ok(())
}
