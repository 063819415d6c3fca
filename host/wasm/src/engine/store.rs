//! What belongs to one instance of a plugin, and what its instances share.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use wasmtime::component::ResourceTable;
use wasmtime::{Engine, Error, Store, StoreContextMut, UpdateDeadline};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};

use crate::engine::bounds::{FULL_INSTANCES, HANDLES, RESOURCES, TRANSFER_BYTES};
use crate::engine::counters::Counters;
use crate::engine::log::Rate;
use crate::engine::memory::{Memory, Total};
use crate::engine::meter::{Meter, Stop};
use crate::engine::turn::{Turn, Turns};
use crate::engine::voice::Voice;
use crate::engine::wasi::{self, World};
use crate::fault::Observer;
use crate::grants::Grants;
use crate::limits::CallLimits;
use crate::model::Kind;
use crate::probe::{CallContext, Host, Subject};

/// What all instances of one plugin share.
pub(crate) struct Shared {
    pub(crate) name: Arc<str>,
    pub(crate) grants: Arc<Grants>,
    pub(crate) limits: CallLimits,
    pub(crate) host: Arc<dyn Host>,
    pub(crate) observer: Arc<dyn Observer>,
    pub(crate) memory: Arc<Total>,
    pub(crate) rate: Rate,
    pub(crate) turns: Turns,
    pub(crate) counters: Counters,
}

impl Shared {
    pub(crate) fn new(
        name: Arc<str>,
        grants: Arc<Grants>,
        limits: CallLimits,
        host: Arc<dyn Host>,
        observer: Arc<dyn Observer>,
    ) -> Self {
        let memory = Arc::new(Total::new(limits.memory.saturating_mul(FULL_INSTANCES)));
        let (rate, turns, counters) = (Rate::new(), Turns::new(), Counters::default());
        Self { name, grants, limits, host, observer, memory, rate, turns, counters }
    }

    /// Tells the operator what the plugin lacked.
    pub(crate) fn denied(&self, subject: Option<&Subject>, grant: &str) {
        quietly(|| self.host.denied(&self.name, subject, grant));
    }
}

/// Runs code of the host that plugins must not suffer from.
pub(crate) fn quietly(work: impl FnOnce()) {
    // The panic itself was reported by the panic hook of the program.
    let _ = catch_unwind(AssertUnwindSafe(work));
}

/// The call that an instance is in.
pub(crate) struct Call {
    /// For whom the host acts, and until when: a bit less than `deadline`.
    pub(crate) cx: CallContext,
    /// When the call is over whatever happens.
    pub(crate) deadline: Instant,
    /// The processor time it may take.
    pub(crate) cpu: Duration,
    pub(crate) meter: Arc<Meter>,
    /// Whether it may compute for long.
    pub(crate) turn: Turn,
    /// What the host did for it so far.
    pub(crate) host_calls: u32,
    /// Conversations that were opened in it, by their place in the table.
    pub(crate) channels: Vec<u32>,
    /// Why it was stopped.
    pub(crate) stop: Option<Stop>,
}

impl Call {
    pub(crate) fn new(cx: CallContext, deadline: Instant, cpu: Duration, turn: Turn) -> Self {
        let meter = Arc::new(Meter::default());
        Self { cx, deadline, cpu, meter, turn, host_calls: 0, channels: Vec::new(), stop: None }
    }
}

/// What belongs to one instance.
pub(crate) struct State {
    pub(crate) shared: Arc<Shared>,
    pub(crate) kind: Kind,
    pub(crate) memory: Memory,
    pub(crate) voice: Arc<Voice>,
    pub(crate) call: Call,
    pub(crate) table: ResourceTable,
    wasi: WasiCtx,
}

impl WasiView for State {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

/// A place for a new instance, under every limit there is.
pub(crate) fn store(
    engine: &Engine,
    shared: &Arc<Shared>,
    kind: Kind,
    world: World,
    call: Call,
) -> Store<State> {
    let voice = Arc::new(Voice::new(Arc::clone(shared)));
    let mut table = ResourceTable::new();
    table.set_max_capacity(RESOURCES);
    let state = State {
        shared: Arc::clone(shared),
        kind,
        memory: Memory::new(shared.limits.memory, Arc::clone(&shared.memory)),
        wasi: wasi::context(shared, &voice, world),
        voice,
        call,
        table,
    };
    let mut store = Store::new(engine, state);
    store.limiter(|state| &mut state.memory);
    store.set_hostcall_fuel(TRANSFER_BYTES);
    store.set_max_component_handles(HANDLES);
    store.epoch_deadline_callback(interrupted);
    store
}

/// Whether a plugin that computes may go on. To yield is not enough: it would come back for
/// ever.
fn interrupted(mut cx: StoreContextMut<'_, State>) -> wasmtime::Result<UpdateDeadline> {
    let call = &mut cx.data_mut().call;
    let stop = if Instant::now() >= call.deadline {
        Stop::Deadline
    } else if call.meter.so_far() > call.cpu {
        Stop::Cpu
    } else {
        return Ok(UpdateDeadline::YieldCustom(1, Box::pin(call.turn.clone().wait())));
    };
    call.stop = Some(stop);
    Err(Error::msg("stopped"))
}
