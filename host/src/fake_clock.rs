//! A clock for tests of programs, which goes on when it is told to.

use std::time::Duration;

use tokio::sync::watch;

/// A clock that stands still until it is told to go on, for tests of programs: see
/// [`SupervisorBuilder::clock`](crate::SupervisorBuilder::clock). Clones are the same clock.
///
/// It is the clock of decisions: waits between restarts, restart limits, periods and grace of
/// checks, the time until a run counts as ready or stable, time to become ready and to stop.
/// Processes, tasks and the network take real time, and so do limits on a single answer.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
/// # runtime.block_on(async {
/// # let dir = tempfile::tempdir()?;
/// use std::time::Duration;
/// use kennel::{FakeClock, Restart, Service, State, Supervisor};
///
/// let hour = Duration::from_secs(3600);
/// let clock = FakeClock::new();
/// let supervisor = Supervisor::builder()
///     .state_dir(dir.path())
///     .clock(&clock)
///     .service(Service::shell("flaky", "exit 1").restart(Restart::always().backoff(hour, hour)))
///     .launch()
///     .await?;
/// loop {
///     let flaky = supervisor.handle().status().await?.services.remove(0);
///     match flaky.state {
///         _ if flaky.restarts == 3 => break,
///         State::Backoff => clock.advance(2 * hour),
///         _ => tokio::time::sleep(Duration::from_millis(10)).await,
///     }
/// }
/// supervisor.shutdown().await?;
/// # Ok(())
/// # })
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct FakeClock {
    elapsed: watch::Sender<Duration>,
}

impl Default for FakeClock {
    fn default() -> FakeClock {
        FakeClock::new()
    }
}

impl FakeClock {
    /// A clock that stands still.
    pub fn new() -> FakeClock {
        FakeClock { elapsed: watch::Sender::new(Duration::ZERO) }
    }

    /// Lets time pass all at once. Whatever is asked of the supervisor after this is answered
    /// after what was due then has been begun.
    pub fn advance(&self, time: Duration) {
        self.elapsed.send_modify(|elapsed| *elapsed = elapsed.saturating_add(time));
    }

    /// The time that has passed since it was made.
    pub fn elapsed(&self) -> Duration {
        *self.elapsed.borrow()
    }

    /// Returns when so much has passed since it was made.
    pub(crate) async fn until(&self, elapsed: Duration) {
        let mut passed = self.elapsed.subscribe();
        // Its sender is in `self`.
        let _ = passed.wait_for(|passed| *passed >= elapsed).await;
    }
}
