//! WASI 0.2 for guests whose language expects it.
//!
//! - no files, no environment, no arguments, standard input is at its end
//! - standard output and standard error go to the log, line by line
//! - TCP to addresses that were granted, no listening, no UDP
//! - names are resolved if some grant speaks of them
//! - a restart policy has no network, and clocks and random numbers that follow from its
//!   input, so that a decision can be replayed
//!
//! `wasi:http` is absent: it would go round the grants. Plugins have `kennel:plugin/probe`.

use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use wasmtime::StoreContextMut;
use wasmtime::component::{Linker, Resource};
use wasmtime_wasi::p2::bindings::sockets::ip_name_lookup::{Host as _, ResolveAddressStream};
use wasmtime_wasi::p2::bindings::sockets::network::{ErrorCode, Host as _, Network};
use wasmtime_wasi::sockets::{SocketAddrUse, WasiSocketsView};
use wasmtime_wasi::{Deterministic, HostMonotonicClock, HostWallClock, WasiCtx};

use crate::engine::bounds::RANDOM_BYTES;
use crate::engine::store::{Shared, State};
use crate::engine::voice::{Lines, Source, Voice};
use crate::grants::Grants;

/// What an instance sees of time and chance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum World {
    /// The real ones.
    Real,
    /// Those that follow from an input.
    Replay {
        /// Where the clocks stand, in milliseconds since 1970.
        now_unix_ms: u64,
        /// Where random numbers begin.
        seed: u64,
    },
}

/// What one instance has of WASI.
pub(crate) fn context(shared: &Arc<Shared>, voice: &Arc<Voice>, world: World) -> WasiCtx {
    let mut wasi = WasiCtx::builder();
    wasi.stdout(Lines::new(voice, Source::Stdout))
        .stderr(Lines::new(voice, Source::Stderr))
        .max_random_size(RANDOM_BYTES);
    match world {
        World::Real => {
            let network = !shared.grants.net.is_empty();
            wasi.allow_tcp(network).allow_ip_name_lookup(network);
            let (shared, voice) = (Arc::clone(shared), Arc::clone(voice));
            wasi.socket_addr_check(move |address, what| {
                Box::pin(std::future::ready(may_use(&shared, &voice, address, what)))
                    as Pin<Box<dyn Future<Output = bool> + Send + Sync>>
            });
        }
        World::Replay { now_unix_ms, seed } => {
            wasi.wall_clock(Standing(Duration::from_millis(now_unix_ms)))
                .monotonic_clock(Counting::default())
                .secure_random(chance(seed))
                .insecure_random(chance(!seed))
                .insecure_random_seed(u128::from(seed));
        }
    }
    wasi.build()
}

/// Whether an instance may use an address so.
fn may_use(shared: &Shared, voice: &Voice, address: SocketAddr, what: SocketAddrUse) -> bool {
    let allowed = match what {
        // What the system does before it connects.
        SocketAddrUse::TcpBind => return address.ip().is_unspecified() && address.port() == 0,
        SocketAddrUse::TcpConnect => shared.grants.allows_net(None, address),
        SocketAddrUse::TcpListen
        | SocketAddrUse::TcpAccept
        | SocketAddrUse::UdpBind
        | SocketAddrUse::UdpSend
        | SocketAddrUse::UdpReceive => return false,
    };
    if !allowed {
        let subject = voice.cx().and_then(|cx| cx.subject);
        shared.denied(subject.as_ref(), &Grants::net_denied(address).to_string());
    }
    allowed
}

/// Links all of it.
pub(crate) fn link(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    wasmtime_wasi::p2::add_to_linker_async(linker)?;
    // In place of the lookup of every name by everybody who has any grant.
    linker.allow_shadowing(true);
    linker
        .instance("wasi:sockets/ip-name-lookup@0.2.12")?
        .func_wrap("resolve-addresses", resolve_addresses)?;
    linker.allow_shadowing(false);
    Ok(())
}

/// The answer of `resolve-addresses`.
type Resolved = (Result<Resource<ResolveAddressStream>, ErrorCode>,);

fn resolve_addresses(
    mut cx: StoreContextMut<'_, State>,
    (network, name): (Resource<Network>, String),
) -> wasmtime::Result<Resolved> {
    let state = cx.data_mut();
    if let Err(denied) = state.shared.grants.lookup(&name) {
        state.shared.denied(state.call.cx.subject.as_ref(), &denied.to_string());
        return Ok((Err(ErrorCode::AccessDenied),));
    }
    let mut sockets = state.sockets();
    match sockets.resolve_addresses(network, name) {
        Ok(stream) => Ok((Ok(stream),)),
        Err(error) => Ok((Err(sockets.convert_error_code(error)?),)),
    }
}

/// A clock on the wall that stands.
struct Standing(Duration);

impl HostWallClock for Standing {
    fn resolution(&self) -> Duration {
        Duration::from_millis(1)
    }

    fn now(&self) -> Duration {
        self.0
    }
}

/// A clock that advances by a microsecond each time that somebody looks, so that nobody
/// waits for ever for it to advance.
#[derive(Default)]
struct Counting(AtomicU64);

impl HostMonotonicClock for Counting {
    fn resolution(&self) -> u64 {
        1000
    }

    fn now(&self) -> u64 {
        self.0.fetch_add(1000, Ordering::Relaxed)
    }
}

/// Random numbers that begin at `seed`: the generator SplitMix64, by S. Vigna.
fn chance(seed: u64) -> Deterministic {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)).to_le_bytes()
    };
    Deterministic::new((0..256).flat_map(|_| next()).collect())
}
