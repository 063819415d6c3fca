//! What the host does for a plugin in the course of a call: counted, bounded by the time
//! left, and kept off the plugin's own stack.
//!
//! Each request to the [`Host`] becomes a task of its own on the same thread. So a panic in
//! it is contained, its processor time is not the plugin's, and it does not run on the small
//! stack that the plugin computes on.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};
use wasmtime::component::Resource;
use wasmtime::{Error, Result};

use crate::engine::bounds::{CHANNELS, HOST_CALLS, HOST_CALLS_IGNORED, READ_BYTES};
use crate::engine::store::State;
use crate::model::{Attributes, Kind};
use crate::probe::{BoxFuture, CallContext, Channel, Endpoint, Host, ProbeError};

/// What came of a request.
type Outcome<T> = std::result::Result<T, ProbeError>;

/// A conversation as the plugin holds it. Public because generated code says so; nothing
/// outside of the crate sees it.
#[allow(unreachable_pub)]
pub struct HeldChannel {
    /// None once it is closed, or in use.
    channel: Option<Box<dyn Channel>>,
}

/// A task that ends when nobody waits for it any more.
struct Bounded<T>(JoinHandle<T>);

impl<T> Drop for Bounded<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// The host panicked: its own fault, and no harm to anybody.
fn host_failed() -> ProbeError {
    ProbeError::Other("the host failed".into())
}

/// Waits for `work` until the deadline.
async fn bounded<T: Send + 'static>(work: BoxFuture<T>, deadline: Instant) -> Outcome<T> {
    let mut task = Bounded(tokio::spawn(work));
    match timeout_at(deadline, &mut task.0).await {
        Ok(Ok(done)) => Ok(done),
        Ok(Err(_)) => Err(host_failed()),
        Err(_) => Err(ProbeError::Timeout),
    }
}

impl State {
    /// Asks the host for something.
    pub(crate) async fn ask_host<T: Send + 'static>(
        &mut self,
        request: impl FnOnce(&dyn Host, CallContext) -> BoxFuture<Outcome<T>>,
    ) -> Result<Outcome<T>> {
        if let Err(refused) = self.admit()? {
            return Ok(Err(refused));
        }
        let cx = self.call.cx.clone();
        let deadline = cx.deadline;
        let host = &*self.shared.host;
        let asked = catch_unwind(AssertUnwindSafe(|| request(host, cx)));
        let outcome = match asked {
            Ok(asked) => bounded(asked, deadline).await.flatten(),
            Err(_) => Err(host_failed()),
        };
        Ok(self.told(outcome))
    }

    /// Begins a conversation.
    pub(crate) async fn open_channel(
        &mut self,
        endpoint: Endpoint,
        timeout: Option<Duration>,
    ) -> Result<Outcome<Resource<HeldChannel>>> {
        if self.open_channels() >= CHANNELS {
            let message = format!("too many connections, at most {CHANNELS} are open at once");
            return Ok(Err(ProbeError::Other(message)));
        }
        match self.ask_host(|host, cx| host.open(cx, endpoint, timeout)).await? {
            Ok(channel) => {
                let held = self.table.push(HeldChannel { channel: Some(channel) })?;
                self.call.channels.push(held.rep());
                Ok(Ok(held))
            }
            Err(error) => Ok(Err(error)),
        }
    }

    /// Writes to a conversation.
    pub(crate) async fn write_channel(
        &mut self,
        held: &Resource<HeldChannel>,
        bytes: Vec<u8>,
        timeout: Option<Duration>,
    ) -> Result<Outcome<()>> {
        self.use_channel(held, |channel| channel.write(bytes, timeout)).await
    }

    /// Reads from a conversation.
    pub(crate) async fn read_channel(
        &mut self,
        held: &Resource<HeldChannel>,
        max: u32,
        timeout: Option<Duration>,
    ) -> Result<Outcome<Vec<u8>>> {
        let max = max.min(READ_BYTES);
        self.use_channel(held, |channel| channel.read(max, timeout)).await
    }

    /// Goes over to TLS.
    pub(crate) async fn start_tls(
        &mut self,
        held: &Resource<HeldChannel>,
        server_name: String,
        ext: Attributes,
        timeout: Option<Duration>,
    ) -> Result<Outcome<Attributes>> {
        let channel = match self.take_channel(held)? {
            Ok(channel) => channel,
            Err(refused) => return Ok(Err(refused)),
        };
        let asked = channel.start_tls(server_name, ext, timeout);
        match bounded(asked, self.call.cx.deadline).await.flatten() {
            Ok((channel, facts)) => {
                self.table.get_mut(held)?.channel = Some(channel);
                Ok(Ok(facts))
            }
            Err(error) => Ok(self.told(Err(error))),
        }
    }

    /// The plugin needs a conversation no more.
    pub(crate) fn drop_channel(&mut self, held: Resource<HeldChannel>) -> Result<()> {
        let rep = held.rep();
        self.call.channels.retain(|other| *other != rep);
        self.table.delete(held)?;
        Ok(())
    }

    /// Closes what is open of conversations: the call is over.
    pub(crate) fn close_channels(&mut self) {
        for rep in std::mem::take(&mut self.call.channels) {
            // One that the plugin dropped already is not there any more.
            if let Ok(held) = self.table.get_mut(&Resource::<HeldChannel>::new_borrow(rep)) {
                held.channel = None;
            }
        }
    }

    fn open_channels(&self) -> usize {
        let is_open = |rep: &&u32| {
            let held = self.table.get(&Resource::<HeldChannel>::new_borrow(**rep));
            held.is_ok_and(|held| held.channel.is_some())
        };
        self.call.channels.iter().filter(is_open).count()
    }

    async fn use_channel<T, F>(
        &mut self,
        held: &Resource<HeldChannel>,
        request: impl FnOnce(Box<dyn Channel>) -> F,
    ) -> Result<Outcome<T>>
    where
        T: Send + 'static,
        F: Future<Output = (Box<dyn Channel>, Outcome<T>)> + Send + 'static,
    {
        let channel = match self.take_channel(held)? {
            Ok(channel) => channel,
            Err(refused) => return Ok(Err(refused)),
        };
        match bounded(Box::pin(request(channel)), self.call.cx.deadline).await {
            Ok((channel, outcome)) => {
                self.table.get_mut(held)?.channel = Some(channel);
                Ok(self.told(outcome))
            }
            Err(error) => Ok(Err(error)),
        }
    }

    fn take_channel(&mut self, held: &Resource<HeldChannel>) -> Result<Outcome<Box<dyn Channel>>> {
        if let Err(refused) = self.admit()? {
            return Ok(Err(refused));
        }
        let channel = self.table.get_mut(held)?.channel.take();
        Ok(channel.ok_or_else(|| ProbeError::Connect("the connection is closed".into())))
    }

    /// Whether the host does one more thing for this call.
    fn admit(&mut self) -> Result<Outcome<()>> {
        self.call.host_calls += 1;
        if self.call.host_calls > HOST_CALLS + HOST_CALLS_IGNORED {
            return Err(Error::msg(format!("more than {HOST_CALLS} requests to the host")));
        }
        Ok(if self.call.host_calls > HOST_CALLS {
            Err(ProbeError::Other(format!("more than {HOST_CALLS} requests in one call")))
        } else if self.kind == Kind::RestartPolicy {
            Err(ProbeError::Denied("a restart policy has no network".into()))
        } else if Instant::now() >= self.call.cx.deadline {
            Err(ProbeError::Timeout)
        } else {
            Ok(())
        })
    }

    /// Tells the operator what was denied.
    fn told<T>(&self, outcome: Outcome<T>) -> Outcome<T> {
        if let Err(ProbeError::Denied(grant)) = &outcome {
            self.shared.denied(self.call.cx.subject.as_ref(), grant);
        }
        outcome
    }
}
