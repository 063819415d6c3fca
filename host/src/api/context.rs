//! What every handler works with, and the bounds they share.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use super::problem::{self, Problem};
use crate::handle::{Handle, Request};
use crate::status::{ServiceStatus, Status};

/// How many reads of files (logs, journal) may go on at once. A slow disk then holds up
/// these, and never all threads for blocking work.
const READS: usize = 8;

/// How many clients may follow logs or events. Less than there are connections, so that
/// followers never keep a short request out.
const FOLLOWERS: usize = 128;

/// How many requests may wait for services to become what is wanted. With the followers
/// they are fewer than there are connections too.
const WAITERS: usize = 64;

/// How long the driver may take to answer a probe.
const PROBE_PATIENCE: Duration = Duration::from_secs(5);

/// What every handler works with.
#[derive(Clone)]
pub(crate) struct Context {
    pub(crate) handle: Handle,
    reads: Arc<Semaphore>,
    followers: Arc<Semaphore>,
    waiters: Arc<Semaphore>,
}

impl Context {
    pub(crate) fn new(handle: Handle) -> Context {
        Context {
            handle,
            reads: Arc::new(Semaphore::new(READS)),
            followers: Arc::new(Semaphore::new(FOLLOWERS)),
            waiters: Arc::new(Semaphore::new(WAITERS)),
        }
    }

    /// Runs what may wait for a disk on a thread for that.
    ///
    /// # Errors
    /// The work panicked, or the runtime ends.
    pub(crate) async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Problem> {
        let reads = Arc::clone(&self.reads);
        let permit = reads.acquire_owned().await.expect("this semaphore is never closed");
        let done = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            work()
        });
        done.await.map_err(|_| Problem::internal("the supervisor is ending"))
    }

    /// A place for a client that follows.
    ///
    /// # Errors
    /// All are taken.
    pub(crate) fn follower(&self) -> Result<OwnedSemaphorePermit, Problem> {
        Arc::clone(&self.followers).try_acquire_owned().map_err(|_| {
            Problem::busy(format!("{FOLLOWERS} clients follow logs or events already"))
                .hint("end some of them")
        })
    }

    /// A place for a request that waits for services.
    ///
    /// # Errors
    /// All are taken.
    pub(crate) fn waiter(&self) -> Result<OwnedSemaphorePermit, Problem> {
        Arc::clone(&self.waiters).try_acquire_owned().map_err(|_| {
            Problem::busy(format!("{WAITERS} requests wait for services already"))
                .hint("ask without waiting, with wait=false")
        })
    }

    /// The status without memory and CPU use: quick.
    ///
    /// # Errors
    /// The driver has ended, or takes too long.
    pub(crate) async fn glance(&self) -> Result<Status, Problem> {
        let ask = async {
            let (reply, answer) = oneshot::channel();
            self.handle.requests.send(Request::Status { reply }).await.ok()?;
            answer.await.ok()
        };
        match tokio::time::timeout(PROBE_PATIENCE, ask).await {
            Ok(Some(status)) => Ok(status),
            Ok(None) => Err(Problem::busy("the supervisor has stopped")),
            Err(_) => Err(Problem::busy("the supervisor does not answer")),
        }
    }
}

/// The instances that `names` mean, in the order of `services`; all when there are no
/// names.
///
/// # Errors
/// A name that is neither an instance nor a service.
pub(crate) fn select<'a>(
    services: &'a [ServiceStatus],
    names: &[String],
) -> Result<Vec<&'a ServiceStatus>, Problem> {
    let is =
        |service: &ServiceStatus, name: &String| service.name == *name || service.service == *name;
    for name in names {
        if !services.iter().any(|service| is(service, name)) {
            let known = services.iter().flat_map(|s| [s.name.as_str(), s.service.as_str()]);
            return Err(Problem::unknown_service(name, &problem::near(name, known)));
        }
    }
    let wanted =
        |service: &&ServiceStatus| names.is_empty() || names.iter().any(|name| is(service, name));
    Ok(services.iter().filter(wanted).collect())
}
