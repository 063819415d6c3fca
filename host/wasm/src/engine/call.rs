//! One call of a plugin, from the instance to the answer.
//!
//! ```text
//! warm instance, or a new one ─► (configure) ─► ask ─► answer ─► kept for the next call
//!                                       │         │
//!                                       └─ fault ─┴─► thrown away
//! ```
//!
//! What bounds it: time, through the epoch where it computes and a timer where it waits;
//! processor time, through the epoch and after each wait; memory, through the limiter of its
//! store; and what the host does for it, in `hostcalls.rs`. After any fault the instance is
//! thrown away, whatever it may have left half done.

use std::sync::Arc;
use std::time::{Duration, Instant as Moment};

use tokio::time::{Instant, timeout_at};
use wasmtime::{Error, Result, Store, WasmBacktrace};

use crate::engine::ask::Ask;
use crate::engine::bounds::{LINE_BYTES, reserve};
use crate::engine::clamp;
use crate::engine::contract::{Instance, Pre};
use crate::engine::meter::{Metered, Stop};
use crate::engine::pool::{Pool, Warm};
use crate::engine::store::{Call, Shared, State, store};
use crate::engine::text::line;
use crate::engine::ticker::Ticker;
use crate::engine::wasi::World;
use crate::fault::Fault;
use crate::model::{Kind, Problem};
use crate::probe::{CallContext, Subject};

/// What a call needs of the runtime and of its binding.
pub(crate) struct Stage<'a> {
    pub(crate) pre: &'a Pre,
    pub(crate) shared: &'a Arc<Shared>,
    pub(crate) ticker: &'a Ticker,
    pub(crate) pool: &'a Pool,
    /// The number of the binding.
    pub(crate) binding: u64,
    pub(crate) kind: Kind,
    pub(crate) config: &'a str,
}

/// An instance in a call, or on the way to it.
struct Seat {
    store: Store<State>,
    /// None until it is made and configured.
    instance: Option<Instance>,
    made: Moment,
    calls: u32,
}

/// What came of a call that ended by itself: the answer, or that the plugin refuses its
/// configuration.
type Asked<Q> = std::result::Result<<Q as Ask>::Answer, Vec<Problem>>;

/// Asks, within `time`.
pub(crate) async fn perform<Q: Ask>(
    stage: &Stage<'_>,
    question: Q,
    subject: Option<Subject>,
    time: Duration,
) -> std::result::Result<Asked<Q>, Fault> {
    let Stage { pre: _, shared, ticker, pool, binding, kind: _, config: _ } = stage;
    let deadline = Instant::now() + time;
    let cx = CallContext {
        plugin: Arc::clone(&shared.name),
        grants: Arc::clone(&shared.grants),
        subject,
        deadline: deadline - reserve(time),
    };
    let cpu = shared.limits.cpu;
    let call = Call::new(cx.clone(), deadline, cpu, shared.turns.of_call());
    let (meter, turn) = (Arc::clone(&call.meter), call.turn.clone());
    // Only what sees the real world may be used again, and only where it is asked.
    let reusable = Q::KIND.is_some() && question.world() == World::Real;
    let mut seat = seat(stage, call, question.world(), reusable);
    let voice = Arc::clone(&seat.store.data().voice);
    voice.begin(cx);

    let asking = ask(stage, &mut seat, question);
    let work = Metered::new(asking, meter, cpu, turn.clone(), ticker);
    let ended = timeout_at(deadline, work).await;

    turn.over();
    seat.store.data_mut().close_channels();
    voice.end();
    let outcome = match ended {
        Ok(Ok(Ok(asked))) => Ok(asked),
        Ok(Ok(Err(error))) => Err(fault(&error, seat.store.data())),
        Ok(Err(stop)) => Err(stopped(stop)),
        Err(_) => Err(Fault::Deadline),
    };
    let Seat { store, instance, made, calls } = seat;
    if let (Ok(Ok(_)), Some(instance), true) = (&outcome, instance, reusable) {
        pool.put(*binding, Warm { store, instance, made, calls: calls + 1 });
    }
    outcome
}

/// A warm instance where there is one, else a place for a new one.
fn seat(stage: &Stage<'_>, call: Call, world: World, reusable: bool) -> Seat {
    let warm = if reusable { stage.pool.take(stage.binding) } else { None };
    if let Some(Warm { mut store, instance, made, calls }) = warm {
        store.data_mut().call = call;
        return Seat { store, instance: Some(instance), made, calls };
    }
    let engine = stage.pre.component().engine();
    let store = store(engine, stage.shared, stage.kind, world, call);
    Seat { store, instance: None, made: Moment::now(), calls: 0 }
}

/// Makes and configures the instance where that is not done yet, and asks it.
async fn ask<Q: Ask>(stage: &Stage<'_>, seat: &mut Seat, question: Q) -> Result<Asked<Q>> {
    let Seat { store, instance, made: _, calls: _ } = seat;
    store.set_epoch_deadline(1);
    let instance = match instance {
        Some(instance) => instance,
        None => {
            stage.shared.counters.instantiated();
            let made = stage.pre.instantiate(store, stage.kind).await?;
            if let Err(problems) = made.configure(store, stage.config).await? {
                return Ok(Err(clamp::problems(problems)));
            }
            instance.insert(made)
        }
    };
    question.ask(instance, store).await.map(Ok)
}

/// Why a call was stopped, or what the plugin did that ended it.
fn fault(error: &Error, state: &State) -> Fault {
    if let Some(stop) = state.call.stop {
        return stopped(stop);
    }
    if state.memory.denied() {
        return Fault::Memory;
    }
    let mut why = error.root_cause().to_string();
    let backtrace = error.downcast_ref::<WasmBacktrace>();
    let name = backtrace.and_then(|trace| trace.frames().first()?.func_name());
    if let Some(name) = name {
        why = format!("{why}, in {name}");
    }
    Fault::Trap(line(&why, LINE_BYTES))
}

fn stopped(stop: Stop) -> Fault {
    match stop {
        Stop::Deadline => Fault::Deadline,
        Stop::Cpu => Fault::Cpu,
        Stop::Panic => Fault::Trap("the host failed".into()),
    }
}
