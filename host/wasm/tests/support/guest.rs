//! Plugins as text: a core module in the text form, made a component against the contract.
//!
//! The text of a test is the body of the function that is asked. It leaves the address of
//! its answer on the stack; `$verdict`, `$decision` and `$taken` make one.

use kennel_wasm::Kind;
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

/// Where the texts of answers stand.
const TEXTS: u32 = 64;
/// Where answers are put together.
const ANSWER: u32 = 1024;
/// Where results of host functions are put.
pub(crate) const RESULT: u32 = 2048;
/// Where the heap begins.
const HEAP: u32 = 65536;

/// A plugin.
#[derive(Clone)]
pub(crate) struct Guest {
    pub(crate) kind: Kind,
    body: String,
    configure: String,
    imports: String,
    items: String,
    /// More of the world, in WIT.
    world: String,
    /// More packages, in WIT.
    packages: Vec<String>,
    /// Of the contract that it is made against.
    pub(crate) version: String,
}

impl Guest {
    pub(crate) fn new(kind: Kind, body: &str) -> Self {
        Self {
            kind,
            body: body.into(),
            configure: "(call $fine)".into(),
            imports: String::new(),
            items: String::new(),
            world: String::new(),
            packages: Vec::new(),
            version: "0.1.0".into(),
        }
    }

    /// A health check.
    pub(crate) fn check(body: &str) -> Self {
        Self::new(Kind::HealthCheck, body)
    }

    /// A health check that is content.
    pub(crate) fn healthy() -> Self {
        Self::check("(call $verdict (i32.const 0))")
    }

    /// A restart policy.
    pub(crate) fn policy(body: &str) -> Self {
        Self::new(Kind::RestartPolicy, body)
    }

    /// An event sink.
    pub(crate) fn sink(body: &str) -> Self {
        Self::new(Kind::EventSink, body)
    }

    /// What `configure` does, in place of finding everything fine.
    pub(crate) fn configure(mut self, body: &str) -> Self {
        self.configure = body.into();
        self
    }

    /// An import: interface, function, and the rest of it in the text form.
    pub(crate) fn import(mut self, interface: &str, function: &str, rest: &str) -> Self {
        self.imports += &format!("(import \"{interface}\" \"{function}\" (func {rest}))\n");
        self
    }

    /// An import of an interface that is not of the contract, and its package in WIT where
    /// that was not given yet.
    pub(crate) fn foreign(mut self, import: &str, package: &str) -> Self {
        self.world += &format!("import {import};\n");
        self.packages.extend((!package.is_empty()).then(|| package.into()));
        self
    }

    /// An export of an interface that is not of the contract, and its package in WIT.
    pub(crate) fn beside(mut self, export: &str, package: &str) -> Self {
        self.world += &format!("export {export};\n");
        self.packages.push(package.into());
        self
    }

    /// `kennel:plugin/log`, as `$log`: severity, text, length, fields, length.
    pub(crate) fn with_log(self) -> Self {
        self.import("kennel:plugin/log@0.1.0", "write", "$log (param i32 i32 i32 i32 i32)")
    }

    /// `kennel:plugin/probe`, function `tcp`, as `$tcp`: asks for `authority` at the address
    /// and of the length given.
    pub(crate) fn with_tcp(self) -> Self {
        let of = "$raw_tcp (param i32 i32 i32 i32 i32 i32 i32 i32)";
        self.import("kennel:plugin/probe@0.1.0", "tcp", of).items(&format!(
            "(func $tcp (param $at i32) (param $length i32)
               (call $raw_tcp (local.get $at) (local.get $length) (i32.const 0) (i32.const 0)
                 (i32.const 100) (i32.const 0) (i32.const 0) (i32.const {RESULT})))"
        ))
    }

    /// More functions, globals and data.
    pub(crate) fn items(mut self, items: &str) -> Self {
        self.items += items;
        self.items.push('\n');
        self
    }

    fn module(&self) -> String {
        let Self { kind, body, configure, imports, items, world: _, packages: _, version } = self;
        let (ask, parameters) = match kind {
            Kind::HealthCheck => ("check", "(param $input i32)"),
            Kind::RestartPolicy => ("decide", "(param $input i32)"),
            Kind::EventSink => (
                "deliver",
                "(param $events i32) (param $count i32) (param $dropped i64) (param $now i64)
                 (param $ext i32) (param $exts i32)",
            ),
        };
        format!(
            r#"(module
              {imports}
              (memory (export "memory") 2)
              (global $heap (mut i32) (i32.const {HEAP}))
              (global $calls (mut i32) (i32.const 0))
              (data (i32.const {TEXTS}) "fine")
              (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32)
                (local $at i32)
                (local.set $at (i32.and
                  (i32.add (global.get $heap) (i32.const 15)) (i32.const -16)))
                (global.set $heap (i32.add (local.get $at) (local.get 3)))
                (if (i32.gt_u (global.get $heap) (i32.mul (memory.size) (i32.const 65536)))
                  (then (if (i32.eq (memory.grow (i32.add (i32.const 1)
                      (i32.shr_u (local.get 3) (i32.const 16)))) (i32.const -1))
                    (then unreachable))))
                (local.get $at))
              (func $clear
                (memory.fill (i32.const {ANSWER}) (i32.const 0) (i32.const 64)))
              (func $fine (result i32) (call $clear) (i32.const {ANSWER}))
              (func $verdict (param $status i32) (result i32)
                (call $clear)
                (i32.store8 (i32.const {a4}) (local.get $status))
                (i32.store (i32.const {a8}) (i32.const {TEXTS}))
                (i32.store (i32.const {a12}) (i32.const 4))
                (i32.const {ANSWER}))
              (func $reason (param $at i32) (param $length i32)
                (i32.store (i32.const {a8}) (local.get $at))
                (i32.store (i32.const {a12}) (local.get $length)))
              (func $decision (param $delay i64) (result i32)
                (call $clear)
                (i32.store8 (i32.const {a8}) (i32.const 1))
                (i64.store (i32.const {a16}) (local.get $delay))
                (i32.store (i32.const {a24}) (i32.const {TEXTS}))
                (i32.store (i32.const {a28}) (i32.const 4))
                (i32.const {ANSWER}))
              (func $taken (param $taken i32) (result i32)
                (call $clear)
                (i32.store (i32.const {a8}) (local.get $taken))
                (i32.const {ANSWER}))
              {items}
              (func (export "kennel:plugin/lifecycle@{version}#configure")
                  (param $config i32) (param $length i32) (result i32)
                {configure})
              (func (export "kennel:plugin/{kind}@{version}#{ask}") {parameters} (result i32)
                (local $i i32) (local $j i64)
                (global.set $calls (i32.add (global.get $calls) (i32.const 1)))
                {body})
            )"#,
            a4 = ANSWER + 4,
            a8 = ANSWER + 8,
            a12 = ANSWER + 12,
            a16 = ANSWER + 16,
            a24 = ANSWER + 24,
            a28 = ANSWER + 28,
        )
    }

    /// The component.
    pub(crate) fn build(&self) -> Vec<u8> {
        self.build_against(&[])
    }

    /// The component, with more packages that it may be made against.
    pub(crate) fn build_against(&self, contract: &[String]) -> Vec<u8> {
        let Self { kind, version, world, packages, .. } = self;
        let world = format!("include kennel:plugin/{kind}-plugin@{version};\n{world}");
        let packages: Vec<_> = contract.iter().chain(packages).cloned().collect();
        component(&self.module(), &world, &packages)
    }
}

/// The contract as one text, in some version.
pub(crate) fn contract(version: &str) -> String {
    let files = [
        include_str!("../../wit/types.wit"),
        include_str!("../../wit/host.wit"),
        include_str!("../../wit/kinds.wit"),
    ];
    let text = files.map(|text| text.replace("package kennel:plugin@0.1.0;", "")).concat();
    format!("package kennel:plugin@{version};\n{text}")
}

/// A component from a core module in the text form and a world in WIT.
pub(crate) fn component(module: &str, world: &str, packages: &[String]) -> Vec<u8> {
    let mut resolve = Resolve::default();
    let contract = contract("0.1.0");
    for package in [&contract].into_iter().chain(packages) {
        resolve.push_str("package.wit", package).expect("a package in WIT");
    }
    let guest = format!("package test:guest; world guest {{ {world} }}");
    let guest = resolve.push_str("guest.wit", &guest).expect("a world in WIT");
    let world = resolve.select_world(&[guest], Some("guest")).expect("the world");
    let mut module = wat::parse_str(module).unwrap_or_else(|error| panic!("{error}"));
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8, false)
        .expect("metadata");
    let mut encoder = ComponentEncoder::default();
    let encoder = encoder.validate(true).module(&module).expect("a module");
    encoder.encode().unwrap_or_else(|error| panic!("{error:?}"))
}
