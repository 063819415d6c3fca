//! Plugins for tests, written as text: what they do is what these tests need, no more.
//!
//! The places in memory are those of the canonical ABI of `wit/`; the component is made
//! from the text as any other is from a core module.

use std::path::Path;

use wit_component::{ComponentEncoder, StringEncoding};
use wit_parser::Resolve;

/// What a plugin does when it is asked.
#[derive(Clone, Copy)]
pub(crate) enum Does {
    /// Counts how often it was asked, in its saved state, and measures that.
    Counts,
    /// Fails.
    Traps,
    /// Says that the check cannot be made.
    #[allow(dead_code)]
    Refuses,
    /// Computes for ever.
    #[allow(dead_code)]
    Loops,
}

/// Memory that only grows, and `configure`, which refuses what begins with `{"b`.
const COMMON: &str = r#"
  (memory (export "memory") 1)
  (global $top (mut i32) (i32.const 8192))
  (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32)
    (local $at i32)
    (local.set $at (i32.and (i32.add (global.get $top) (i32.const 7)) (i32.const -8)))
    (global.set $top (i32.add (local.get $at) (local.get 3)))
    (local.get $at))
  (data (i32.const 1024) "bad")
  (data (i32.const 1032) "is not known")
  (func (export "kennel:plugin/lifecycle@0.1.0#configure") (param $config i32) (param i32) (result i32)
    (if (i32.eq (i32.load8_u offset=2 (local.get $config)) (i32.const 98))
      (then
        (i32.store8 (i32.const 1100) (i32.const 1))
        (i32.store (i32.const 1104) (i32.const 1120))
        (i32.store (i32.const 1108) (i32.const 1))
        (i32.store (i32.const 1120) (i32.const 1024))
        (i32.store (i32.const 1124) (i32.const 3))
        (i32.store (i32.const 1128) (i32.const 1032))
        (i32.store (i32.const 1132) (i32.const 12)))
      (else (i32.store8 (i32.const 1100) (i32.const 0))))
    (i32.const 1100))
"#;

/// A health check. `name` stands in its answers, so that two differ.
pub(crate) fn check(name: &str, does: Does) -> Vec<u8> {
    let body = match does {
        Does::Traps => "unreachable".to_owned(),
        Does::Loops => "(loop $for_ever (br $for_ever)) (i32.const 0)".to_owned(),
        Does::Refuses => format!(
            "(i32.store8 (i32.const 2048) (i32.const 1))
             (i32.store (i32.const 2052) (i32.const 1500))
             (i32.store (i32.const 2056) (i32.const {}))
             (i32.const 2048)",
            name.len()
        ),
        Does::Counts => counting(name.len()),
    };
    let text = format!(
        r#"(module {COMMON}
          (data (i32.const 1500) "{name}")
          (data (i32.const 1600) "count")
          (func (export "kennel:plugin/health-check@0.1.0#check") (param $input i32) (result i32)
            (local $count i32)
            (global.set $top (i32.const 8192))
            {body}))"#
    );
    component(&text, "health-check-plugin")
}

/// What a plugin asks the host for.
#[derive(Clone, Copy)]
#[allow(dead_code)]
pub(crate) enum Asks {
    /// To run `true`.
    Exec,
    /// To connect to this port of 127.0.0.1.
    Tcp(u16),
}

/// A health check that is healthy if it gets what it asks for; else the check cannot be made.
#[allow(dead_code)]
pub(crate) fn asking(asks: Asks) -> Vec<u8> {
    let (import, data, call) = match asks {
        Asks::Exec => (
            r#"(import "kennel:plugin/exec@0.1.0" "run" (func $ask (param i32 i32 i32 i32 i32)))"#,
            "true".to_owned(),
            // A list of one text, and no time.
            "(i32.store (i32.const 1800) (i32.const 1500))
             (i32.store (i32.const 1804) (i32.const 4))
             (call $ask (i32.const 1800) (i32.const 1) (i32.const 0) (i32.const 0)
               (i32.const 1900))",
        ),
        Asks::Tcp(port) => (
            r#"(import "kennel:plugin/probe@0.1.0" "tcp"
                 (func $ask (param i32 i32 i32 i32 i32 i32 i32 i32)))"#,
            format!("127.0.0.1:{port:05}"),
            // The address, nothing to send, nothing to read, and no time.
            "(call $ask (i32.const 1500) (i32.const 15) (i32.const 0) (i32.const 0) (i32.const 0)
               (i32.const 0) (i32.const 0) (i32.const 1900))",
        ),
    };
    let text = format!(
        r#"(module {import} {COMMON}
          (data (i32.const 1500) "{data}")
          (data (i32.const 1600) "asked in vain")
          (func (export "kennel:plugin/health-check@0.1.0#check") (param i32) (result i32)
            (global.set $top (i32.const 8192))
            {call}
            (memory.fill (i32.const 2048) (i32.const 0) (i32.const 64))
            (if (i32.load8_u (i32.const 1900))
              (then
                (i32.store8 (i32.const 2048) (i32.const 1))
                (i32.store (i32.const 2052) (i32.const 1600))
                (i32.store (i32.const 2056) (i32.const 13))))
            (i32.const 2048)))"#
    );
    component(&text, "health-check-plugin")
}

/// Healthy, with one measurement and four bytes of saved state.
fn counting(name_len: usize) -> String {
    format!(
        "(local.set $count (i32.const 1))
         (if (i32.load8_u offset=100 (local.get $input))
           (then (local.set $count (i32.add (i32.const 1)
             (i32.load (i32.load offset=108 (local.get $input)))))))
         (i32.store (i32.const 1700) (local.get $count))
         ;; the measurement: name, value, no unit
         (i32.store (i32.const 1800) (i32.const 1600))
         (i32.store (i32.const 1804) (i32.const 5))
         (f64.store (i32.const 1808) (f64.convert_i32_u (local.get $count)))
         (i32.store8 (i32.const 1816) (i32.const 0))
         ;; the verdict
         (i32.store8 (i32.const 2048) (i32.const 0))
         (i32.store8 (i32.const 2052) (i32.const 0))
         (i32.store (i32.const 2056) (i32.const 1500))
         (i32.store (i32.const 2060) (i32.const {name_len}))
         (i32.store (i32.const 2064) (i32.const 1800))
         (i32.store (i32.const 2068) (i32.const 1))
         (i32.store8 (i32.const 2072) (i32.const 1))
         (i32.store (i32.const 2076) (i32.const 7))
         (i32.store (i32.const 2080) (i32.const 1700))
         (i32.store (i32.const 2084) (i32.const 4))
         (i32.store8 (i32.const 2088) (i32.const 0))
         (i32.store (i32.const 2096) (i32.const 0))
         (i32.store (i32.const 2100) (i32.const 0))
         (i32.const 2048)"
    )
}

/// A restart policy that computes for ever.
#[allow(dead_code)]
pub(crate) fn endless_policy() -> Vec<u8> {
    let text = format!(
        r#"(module {COMMON}
          (func (export "kennel:plugin/restart-policy@0.1.0#decide") (param i32) (result i32)
            (loop $for_ever (br $for_ever))
            (i32.const 0)))"#
    );
    component(&text, "restart-policy-plugin")
}

/// A sink that takes a single event, and computes for ever over several.
#[allow(dead_code)]
pub(crate) fn endless_sink() -> Vec<u8> {
    sink_that(
        "(if (i32.gt_u (local.get $count) (i32.const 1))
                 (then (loop $for_ever (br $for_ever))))",
    )
}

/// A restart policy that wants the wait to be 7 s, or no other run.
pub(crate) fn policy(gives_up: bool) -> Vec<u8> {
    let action = if gives_up {
        "(i32.store8 (i32.const 2056) (i32.const 2))
         (i32.store (i32.const 2064) (i32.const 1500))
         (i32.store (i32.const 2068) (i32.const 6))"
    } else {
        "(i32.store8 (i32.const 2056) (i32.const 1))
         (i64.store (i32.const 2064) (i64.const 7000))"
    };
    let text = format!(
        r#"(module {COMMON}
          (data (i32.const 1500) "enough")
          (func (export "kennel:plugin/restart-policy@0.1.0#decide") (param i32) (result i32)
            (global.set $top (i32.const 8192))
            (i32.store8 (i32.const 2048) (i32.const 0))
            {action}
            (i32.store (i32.const 2072) (i32.const 1500))
            (i32.store (i32.const 2076) (i32.const 6))
            (i32.store8 (i32.const 2080) (i32.const 0))
            (i32.store (i32.const 2096) (i32.const 0))
            (i32.store (i32.const 2100) (i32.const 0))
            (i32.const 2048)))"#
    );
    component(&text, "restart-policy-plugin")
}

/// A sink that takes everything.
pub(crate) fn sink() -> Vec<u8> {
    sink_that("")
}

fn sink_that(does: &str) -> Vec<u8> {
    let text = format!(
        r#"(module {COMMON}
          (func (export "kennel:plugin/event-sink@0.1.0#deliver")
            (param $events i32) (param $count i32) (param i64) (param i64) (param i32) (param i32)
            (result i32)
            {does}
            (global.set $top (i32.const 8192))
            (i32.store8 (i32.const 2048) (i32.const 0))
            (i32.store (i32.const 2056) (local.get $count))
            (i32.const 2048)))"#
    );
    component(&text, "event-sink-plugin")
}

fn component(text: &str, world: &str) -> Vec<u8> {
    let mut module = wat::parse_str(text).expect("a module");
    let mut resolve = Resolve::default();
    let wit = Path::new(env!("CARGO_MANIFEST_DIR")).join("../wit");
    let (package, _) = resolve.push_dir(wit).expect("the contract");
    let world = resolve.select_world(&[package], Some(world)).expect("a world");
    let encoding = StringEncoding::UTF8;
    wit_component::embed_component_metadata(&mut module, &resolve, world, encoding, false)
        .expect("a module that fits");
    let mut encoder = ComponentEncoder::default();
    encoder.module(&module).expect("a module that fits");
    encoder.validate(true).encode().expect("a component")
}
