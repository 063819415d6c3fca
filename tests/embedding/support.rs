//! What the tests of the library share.

use std::path::Path;
use std::time::{Duration, Instant};

#[cfg(feature = "plugins")]
pub(crate) use crate::ports::free_port;
use kennel::logs::Console;
use kennel::{Handle, Seen, Service, ServiceStatus, Supervisor, SupervisorBuilder};

/// How long anything may take that should happen at once: a test that runs beside many others
/// on a small machine must not fail for that.
pub(crate) const BOUND: Duration = Duration::from_secs(30);

/// Longer than any test takes.
pub(crate) const LONG: Duration = Duration::from_secs(600);

/// A supervisor that keeps its state in `dir` and prints nothing.
pub(crate) fn supervisor(dir: &Path) -> SupervisorBuilder {
    let console = Console { writer: Box::new(std::io::sink()), colour: false, width: 0 };
    Supervisor::builder().state_dir(dir.join("state")).console(console)
}

/// A service that does nothing.
pub(crate) fn sleeper(name: &str) -> Service {
    Service::command(name, ["sleep", "1000"])
}

/// Asks again and again until there is an answer.
pub(crate) async fn eventually<T, F>(what: &str, mut ask: F) -> T
where
    F: AsyncFnMut() -> Option<T>,
{
    let begun = Instant::now();
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(begun.elapsed() < BOUND, "waited {BOUND:?} in vain for: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// What comes within the bound.
pub(crate) async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    let result = tokio::time::timeout(BOUND, future).await;
    result.unwrap_or_else(|_| panic!("waited {BOUND:?} in vain for: {what}"))
}

/// An instance as it is now; it has to be there.
pub(crate) async fn status(handle: &Handle, name: &str) -> ServiceStatus {
    let status = handle.status().await.unwrap();
    status.services.into_iter().find(|service| service.name == name).unwrap()
}

/// Its main process.
pub(crate) async fn pid(handle: &Handle, name: &str) -> i32 {
    status(handle, name).await.pid.unwrap()
}

/// Whether there is such a process, and it is no zombie.
pub(crate) fn is_alive(pid: i32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X']))
}

/// Waits for an event of this kind of this service, and gives its message and attributes.
pub(crate) async fn event(
    events: &mut kennel::Events,
    kind: &str,
    service: &str,
) -> std::sync::Arc<kennel::journal::Record> {
    soon(&format!("{kind} of {service}"), async {
        loop {
            match events.next().await {
                Some(Seen::Event(record))
                    if record.kind == kind && record.service.as_deref() == Some(service) =>
                {
                    return record;
                }
                Some(Seen::Event(_) | Seen::Missed(_)) => {}
                None => panic!("the supervisor ended before {kind} of {service}"),
            }
        }
    })
    .await
}
