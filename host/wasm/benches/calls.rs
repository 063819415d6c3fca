//! What the runtime adds to wasmtime: the same plugin, called by a bare loop and through
//! queue, threads, limits, breaker and counters, in turn within one run.
//!
//!     cargo bench -p kennel-wasm --bench calls

// A failed expectation is how a measurement fails.
#![allow(clippy::unwrap_used, dead_code, missing_docs)]

#[path = "../tests/support/guest.rs"]
mod guest;
#[path = "../tests/support/host.rs"]
mod host;

use std::sync::Arc;
use std::time::{Duration, Instant};

use guest::Guest;
use kennel_wasm::model::{Target, check};
use kennel_wasm::{Binding, CallLimits, Grants, Kind, PluginOptions, Runtime, Settings, Subject};
use wasmtime::component::{Component, Linker};
use wasmtime::{Config, Engine, Store};

mod bare {
    wasmtime::component::bindgen!({
        path: "wit/frozen/0.1.0",
        inline: "
            package kennel:bench;
            world check {
                export kennel:plugin/lifecycle@0.1.0;
                export kennel:plugin/health-check@0.1.0;
            }
        ",
        world: "kennel:bench/check",
    });
}

const ROUNDS: usize = 9;
const CALLS: u32 = 20_000;
const FRESH: u32 = 1_000;

fn target() -> Target {
    Target {
        service: "web".into(),
        instance: 0,
        pid: Some(7),
        uptime: Duration::from_secs(1),
        restarts: 0,
        usage: None,
        labels: vec![("tier".into(), "front".into())],
    }
}

fn input() -> check::Input {
    check::Input { target: target(), now_unix_ms: 1_700_000_000_123, sequence: 1, state: None }
}

/// Wasmtime and nothing else: one store, synchronous, no limits.
struct Bare {
    engine: Engine,
    component: Component,
    linker: Linker<()>,
}

impl Bare {
    fn new(bytes: &[u8]) -> Bare {
        let engine = Engine::new(&Config::new()).unwrap();
        let component = Component::new(&engine, bytes).unwrap();
        let linker = Linker::new(&engine);
        Bare { engine, component, linker }
    }

    fn instance(&self) -> (Store<()>, bare::Check) {
        let mut store = Store::new(&self.engine, ());
        let check = bare::Check::instantiate(&mut store, &self.component, &self.linker).unwrap();
        (store, check)
    }

    fn call(store: &mut Store<()>, check: &bare::Check) {
        use bare::exports::kennel::plugin::health_check::Input;
        use bare::kennel::plugin::types::Target;
        let input = Input {
            target: Target {
                service: "web".into(),
                instance: 0,
                pid: Some(7),
                uptime_ms: 1000,
                restarts: 0,
                usage: None,
                labels: vec![("tier".into(), "front".into())],
            },
            now_unix_ms: 1_700_000_000_123,
            sequence: 1,
            budget_ms: 5000,
            state: None,
            ext: Vec::new(),
        };
        let verdict = check.kennel_plugin_health_check().call_check(store, &input).unwrap();
        assert!(verdict.is_ok());
    }
}

fn options() -> PluginOptions {
    let host = Arc::new(host::TestHost::default());
    PluginOptions {
        sha256: None,
        grants: Arc::new(Grants::default()),
        limits: CallLimits::default(),
        host: Arc::clone(&host) as _,
        observer: host as _,
    }
}

async fn ask(binding: &Binding) {
    let subject = Subject { service: "web".into(), instance: 0 };
    binding.check(subject, input(), Duration::from_secs(5)).await.unwrap().unwrap();
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn resident_bytes() -> u64 {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap();
    text.split(' ').nth(1).unwrap().parse::<u64>().unwrap() * 4096
}

fn compare(what: &str, unit: &str, ours: Vec<f64>, theirs: Vec<f64>) {
    let (ours, theirs) = (median(ours), median(theirs));
    println!("{what}: kennel {ours:.2} {unit}, bare {theirs:.2} {unit}, × {:.1}", ours / theirs);
}

fn main() {
    // Asked by `cargo test --benches`: there is nothing to prove here.
    if std::env::args().any(|argument| argument == "--test") {
        return;
    }
    let tokio = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    tokio.block_on(measure());
}

async fn measure() {
    // A memory of 128 KiB, an answer with a reason.
    let bytes: Arc<[u8]> = Guest::healthy().build().into();
    let bare = Bare::new(&bytes);
    let runtime = Runtime::new(Settings::default()).unwrap();
    let plugin = runtime.load("bench".into(), Arc::clone(&bytes), options()).await.unwrap();
    let binding = plugin.bind(Kind::HealthCheck, "{}").unwrap();
    ask(&binding).await;

    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    let (mut store, check) = bare.instance();
    for _ in 0..ROUNDS {
        let begun = Instant::now();
        for _ in 0..CALLS {
            ask(&binding).await;
        }
        ours.push(begun.elapsed().as_secs_f64() * 1e6 / f64::from(CALLS));
        let begun = Instant::now();
        for _ in 0..CALLS {
            Bare::call(&mut store, &check);
        }
        theirs.push(begun.elapsed().as_secs_f64() * 1e6 / f64::from(CALLS));
    }
    compare("a call, one after the other", "µs", ours, theirs.clone());

    let mut ours = Vec::new();
    for _ in 0..ROUNDS {
        let begun = Instant::now();
        let mut calls = tokio::task::JoinSet::new();
        for _ in 0..64 {
            let binding = binding.clone();
            calls.spawn(async move {
                for _ in 0..CALLS / 64 {
                    ask(&binding).await;
                }
            });
        }
        while calls.join_next().await.is_some() {}
        ours.push(begun.elapsed().as_secs_f64() * 1e6 / f64::from(CALLS / 64 * 64));
    }
    compare("a call, 64 at a time", "µs", ours, theirs);

    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        let begun = Instant::now();
        for number in 0..FRESH {
            // A configuration of its own has an instance of its own.
            let config = format!("{{\"number\": {number}, \"round\": {round}}}");
            ask(&plugin.bind(Kind::HealthCheck, &config).unwrap()).await;
        }
        ours.push(begun.elapsed().as_secs_f64() * 1e6 / f64::from(FRESH));
        let begun = Instant::now();
        for _ in 0..FRESH {
            let (mut store, check) = bare.instance();
            let fine = check.kennel_plugin_lifecycle().call_configure(&mut store, "{}").unwrap();
            assert!(fine.is_ok());
            Bare::call(&mut store, &check);
        }
        theirs.push(begun.elapsed().as_secs_f64() * 1e6 / f64::from(FRESH));
    }
    compare("a new instance, configured and called", "µs", ours, theirs);

    memory(&bytes, &bare).await;
    loads(&bytes).await;
}

/// What instances that are kept take, ours with their bindings.
async fn memory(bytes: &Arc<[u8]>, bare: &Bare) {
    let kept = Settings::default().warm.instances as u32;
    let runtime = Runtime::new(Settings::default()).unwrap();
    let plugin = runtime.load("memory".into(), Arc::clone(bytes), options()).await.unwrap();
    let before = resident_bytes();
    let mut bindings = Vec::new();
    for number in 0..kept {
        let binding = plugin.bind(Kind::HealthCheck, &format!("{{\"n\": {number}}}")).unwrap();
        ask(&binding).await;
        bindings.push(binding);
    }
    let ours = (resident_bytes() - before) / 1024 / u64::from(kept);
    let before = resident_bytes();
    let mut instances = Vec::new();
    for _ in 0..kept {
        let (mut store, check) = bare.instance();
        Bare::call(&mut store, &check);
        instances.push((store, check));
    }
    let theirs = (resident_bytes() - before) / 1024 / u64::from(kept);
    println!("memory of a kept instance ({kept} of them): kennel {ours} KiB, bare {theirs} KiB");
    println!("{:?}", runtime.stats());
    drop((bindings, instances));
}

/// Compiling, and what the cache makes of it.
async fn loads(small: &Arc<[u8]>) {
    let http: Arc<[u8]> = include_bytes!("../../stock/http.wasm").as_slice().into();
    for (name, bytes) in [("128 KiB of memory, no code to speak of", small), ("stock http", &http)]
    {
        let folder = tempfile::tempdir().unwrap();
        let (mut cold, mut cached) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            let cache_dir = folder.path().join("cache");
            let _ = std::fs::remove_dir_all(&cache_dir);
            for times in [&mut cold, &mut cached] {
                let settings =
                    Settings { cache_dir: Some(cache_dir.clone()), ..Settings::default() };
                let runtime = Runtime::new(settings).unwrap();
                let begun = Instant::now();
                runtime.load("load".into(), Arc::clone(bytes), options()).await.unwrap();
                times.push(begun.elapsed().as_secs_f64() * 1e3);
            }
        }
        let (cold, cached) = (median(cold), median(cached));
        let kib = bytes.len() / 1024;
        println!("load of {name} ({kib} KiB): cold {cold:.1} ms, cached {cached:.1} ms");
    }
}
