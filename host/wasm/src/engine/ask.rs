//! The questions that plugins are asked, each with the answer it brings.

use std::future::Future;

use tokio::time::Instant;
use wasmtime::{Result, Store};

use crate::engine::clamp;
use crate::engine::contract::Instance;
use crate::engine::store::State;
use crate::engine::wasi::World;
use crate::model::{Kind, check, policy, sink};

/// A question to a plugin.
pub(crate) trait Ask: Send + 'static {
    /// What it brings, within limits.
    type Answer: Send + 'static;

    /// Which kind of plugin it is for; none: each.
    const KIND: Option<Kind>;

    /// What the instance that answers sees of time and chance.
    fn world(&self) -> World {
        World::Real
    }

    /// Asks an instance that is configured.
    fn ask(
        self,
        instance: &Instance,
        store: &mut Store<State>,
    ) -> impl Future<Output = Result<Self::Answer>> + Send;
}

/// Whether a configuration will do. Asked of a fresh instance, instead of configuring it.
pub(crate) struct Configure;

impl Ask for check::Input {
    type Answer = std::result::Result<check::Verdict, String>;
    const KIND: Option<Kind> = Some(Kind::HealthCheck);

    async fn ask(self, instance: &Instance, store: &mut Store<State>) -> Result<Self::Answer> {
        let left = store.data().call.cx.deadline.saturating_duration_since(Instant::now());
        let budget_ms = u32::try_from(left.as_millis()).unwrap_or(u32::MAX);
        let answer = instance.check(store, self, budget_ms).await?;
        let of = store.data();
        Ok(answer.map(|verdict| clamp::verdict(of, verdict)).map_err(|why| clamp::error(&why)))
    }
}

impl Ask for policy::Input {
    type Answer = std::result::Result<policy::Decision, String>;
    const KIND: Option<Kind> = Some(Kind::RestartPolicy);

    fn world(&self) -> World {
        World::Replay { now_unix_ms: self.now_unix_ms, seed: seed(self) }
    }

    async fn ask(self, instance: &Instance, store: &mut Store<State>) -> Result<Self::Answer> {
        let answer = instance.decide(store, self).await?;
        let of = store.data();
        Ok(answer.map(|decision| clamp::decision(of, decision)).map_err(|why| clamp::error(&why)))
    }
}

impl Ask for sink::Batch {
    type Answer = sink::Delivery;
    const KIND: Option<Kind> = Some(Kind::EventSink);

    async fn ask(self, instance: &Instance, store: &mut Store<State>) -> Result<Self::Answer> {
        let events = u32::try_from(self.events.len()).unwrap_or(u32::MAX);
        let delivery = instance.deliver(store, self).await?;
        Ok(clamp::delivery(delivery, events))
    }
}

impl Ask for Configure {
    type Answer = ();
    const KIND: Option<Kind> = None;

    async fn ask(self, _: &Instance, _: &mut Store<State>) -> Result<()> {
        Ok(())
    }
}

/// Where the random numbers of a decision begin: the same for the same input.
fn seed(input: &policy::Input) -> u64 {
    let policy::Input { target, now_unix_ms, .. } = input;
    // FNV-1a, by G. Fowler, L. C. Noll and K.-P. Vo.
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    let numbers = target.instance.to_le_bytes().into_iter().chain(now_unix_ms.to_le_bytes());
    for byte in target.service.bytes().chain(numbers) {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    }
    hash
}
