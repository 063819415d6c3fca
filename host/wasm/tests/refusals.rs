//! Files that are no plugin are refused for what they are.

use kennel_wasm::{BindError, Kind, LoadError, Settings};

use crate::support::guest::{component, contract};
use crate::support::{Guest, World, bounded, verdict};

async fn refusal(world: &World, bytes: &[u8]) -> LoadError {
    match bounded(world.try_load(bytes.to_vec())).await {
        Ok(_) => panic!("it was loaded"),
        Err(error) => error,
    }
}

/// A module with such functions, each of which is `(param i32) (result i32)` or as given.
fn module(functions: &[&str]) -> String {
    let functions: String = functions
        .iter()
        .map(|name| {
            format!("(func (export \"{name}\") (param i32 i32) (result i32) unreachable)\n")
        })
        .collect();
    format!(
        "(module (memory (export \"memory\") 1) {functions}
           (func (export \"cabi_realloc\") (param i32 i32 i32 i32) (result i32) unreachable))"
    )
}

#[tokio::test]
async fn what_is_no_component_is_named_for_what_it_is() {
    let world = World::new();
    let whole = Guest::healthy().build();
    let cases: [(&[u8], LoadError); 6] = [
        (b"", LoadError::Empty),
        (b"services:\n  web: {}\n", LoadError::NotWasm { what: "text".into() }),
        (b"(module)", LoadError::NotWasm { what: "WebAssembly text, not its binary form".into() }),
        (
            b"\x7fELF\x02\x01\x01",
            LoadError::NotWasm { what: "an executable or machine code (ELF)".into() },
        ),
        (&wat::parse_str("(module)").expect("a module"), LoadError::CoreModule),
        (&whole[..whole.len() / 2], LoadError::Truncated { bytes: whole.len() as u64 / 2 }),
    ];
    for (bytes, expected) in cases {
        assert_eq!(refusal(&world, bytes).await, expected);
    }
    assert!(LoadError::CoreModule.hint().expect("a hint").contains("component new"));
}

#[tokio::test]
async fn a_file_that_is_cut_anywhere_is_refused() {
    let world = World::new();
    let whole = Guest::healthy().build();
    for length in (0..whole.len()).step_by(97) {
        refusal(&world, &whole[..length]).await;
    }
}

#[tokio::test]
async fn a_file_with_any_byte_changed_is_refused_or_runs_as_a_plugin() {
    let world = World::new();
    let whole = Guest::healthy().build();
    for place in (8..whole.len()).step_by(131) {
        let mut changed = whole.clone();
        changed[place] ^= 0x55;
        if let Ok(plugin) = bounded(world.try_load(changed)).await {
            let binding = plugin.bind(Kind::HealthCheck, "{}").expect("binds");
            // A fault will do as well as an answer: that it ends is the point.
            let _ = crate::support::check(&binding).await;
        }
    }
}

#[tokio::test]
async fn a_file_over_the_limit_is_refused_before_it_is_looked_at() {
    let settings = Settings { workers: 1, max_component_bytes: 1000, ..Settings::default() };
    let world = World::with(settings);
    let error = refusal(&world, &vec![0; 1001]).await;
    assert_eq!(error, LoadError::TooLarge { bytes: 1001, max: 1000 });
    let world = World::new();
    let error = refusal(&world, &vec![0; 200 << 20]).await;
    assert_eq!(error, LoadError::TooLarge { bytes: 200 << 20, max: 64 << 20 });
}

#[tokio::test]
async fn the_sha256_of_the_configuration_must_fit() {
    let world = World::new();
    let bytes = Guest::healthy().build();
    let found = world.try_load(bytes.clone()).await.expect("loads").sha256().to_string();
    let load = |sha256: &str| {
        let mut options = world.options();
        options.sha256 = Some(sha256.into());
        world.runtime.load("pinned".into(), bytes.clone().into(), options)
    };
    load(&found).await.expect("fits");
    load(&found.to_uppercase()).await.expect("fits");
    let expected = "0".repeat(64);
    let error = load(&expected).await.err().expect("refused");
    assert_eq!(error, LoadError::Sha256 { expected, found });
}

#[tokio::test]
async fn a_component_that_exports_nothing_known_is_refused_with_what_was_expected() {
    let world = World::new();
    let packages =
        vec!["package acme:tool; interface run { go: func(a: u32, b: u32) -> u32; }".into()];
    let bytes = component(&module(&["acme:tool/run#go"]), "export acme:tool/run;", &packages);
    let error = refusal(&world, &bytes).await;
    assert_eq!(
        error.to_string(),
        "the component exports acme:tool/run, expected one of kennel:plugin/health-check@0.1.0, \
         kennel:plugin/restart-policy@0.1.0, kennel:plugin/event-sink@0.1.0"
    );
    let inspection = world.runtime.inspect(bytes.into()).await.expect("a component");
    assert_eq!((inspection.kinds, inspection.contract), (vec![], None));
    assert_eq!(inspection.exports, ["acme:tool/run"]);
}

#[tokio::test]
async fn what_a_plugin_exports_beside_the_contract_does_no_harm() {
    let world = World::new();
    let more = "(func (export \"acme:tool/run#go\") (result i32) unreachable)";
    let package = "package acme:tool; interface run { go: func() -> u32; }";
    let plugin = world.load(&Guest::healthy().items(more).beside("acme:tool/run", package)).await;
    assert_eq!(plugin.inspection().kinds, [Kind::HealthCheck]);
    assert!(plugin.inspection().exports.contains(&"acme:tool/run".to_owned()));
    let binding = plugin.bind(Kind::HealthCheck, "{}").expect("binds");
    assert_eq!(verdict(&binding).await.reason, "fine");
}

#[tokio::test]
async fn a_component_of_another_version_of_the_contract_is_refused() {
    let world = World::new();
    let names = ["kennel:plugin/lifecycle@0.9.0#configure"];
    let mut module = module(&names);
    module = module.replace(
        "(module",
        "(module (func (export \"kennel:plugin/health-check@0.9.0#check\") (param i32)
           (result i32) unreachable)",
    );
    let exports = "export kennel:plugin/lifecycle@0.9.0; export kennel:plugin/health-check@0.9.0;";
    let error = refusal(&world, &component(&module, exports, &[contract("0.9.0")])).await;
    let said = error.to_string();
    assert!(matches!(error, LoadError::WrongVersion { .. }), "{said}");
    assert!(said.contains("health-check@0.9.0") && said.contains("kennel:plugin@0.1.0"), "{said}");
}

#[tokio::test]
async fn a_component_of_a_newer_compatible_version_is_a_plugin() {
    let world = World::new();
    let mut guest = Guest::healthy();
    guest.version = "0.1.7".into();
    let bytes = guest.build_against(&[contract("0.1.7")]);
    let plugin = world.try_load(bytes).await.expect("loads");
    assert_eq!(plugin.inspection().contract.as_deref(), Some("0.1.7"));
    let binding = plugin.bind(Kind::HealthCheck, "{}").expect("binds");
    assert_eq!(verdict(&binding).await.reason, "fine");
}

#[tokio::test]
async fn a_component_with_other_types_is_refused_at_load() {
    let world = World::new();
    let packages = vec![
        "package kennel:plugin@0.1.9;
         interface lifecycle { configure: func(config: string) -> u32; }
         interface health-check { check: func(a: u32, b: u32) -> u32; }"
            .into(),
    ];
    let names =
        ["kennel:plugin/lifecycle@0.1.9#configure", "kennel:plugin/health-check@0.1.9#check"];
    let exports = "export kennel:plugin/lifecycle@0.1.9; export kennel:plugin/health-check@0.1.9;";
    let error = refusal(&world, &component(&module(&names), exports, &packages)).await;
    let said = error.to_string();
    assert!(matches!(error, LoadError::WrongTypes(_)), "{said}");
    assert!(said.contains("lifecycle") && said.contains("configure"), "{said}");
}

#[tokio::test]
async fn a_component_without_lifecycle_is_refused() {
    let world = World::new();
    let module = "(module (memory (export \"memory\") 1)
        (func (export \"kennel:plugin/health-check@0.1.0#check\") (param i32) (result i32)
          unreachable)
        (func (export \"cabi_realloc\") (param i32 i32 i32 i32) (result i32) unreachable))";
    let bytes = component(module, "export kennel:plugin/health-check@0.1.0;", &[]);
    let error = refusal(&world, &bytes).await;
    assert!(matches!(error, LoadError::NoLifecycle { .. }), "{error}");
}

#[tokio::test]
async fn all_imports_that_are_not_there_are_named_at_once() {
    let world = World::new();
    let guest = Guest::healthy()
        .import("acme:net/sockets@1.2.3", "open", "")
        .foreign(
            "acme:net/sockets@1.2.3",
            "package acme:net@1.2.3; interface sockets { open: func(); }",
        )
        .import("wasi:http/outgoing-handler@0.2.0", "handle", "")
        .foreign(
            "wasi:http/outgoing-handler@0.2.0",
            "package wasi:http@0.2.0; interface outgoing-handler { handle: func(); }",
        );
    let bytes = guest.build();
    let error = refusal(&world, &bytes).await;
    let LoadError::UnknownImports { imports } = &error else { panic!("{error}") };
    assert_eq!(imports, &["acme:net/sockets@1.2.3", "wasi:http/outgoing-handler@0.2.0"]);
    assert!(error.hint().expect("a hint").contains("kennel:plugin/probe"));
    // To look at, it is fine.
    let inspection = world.runtime.inspect(bytes.into()).await.expect("a component");
    assert_eq!(&inspection.unknown_imports, imports);
    assert_eq!(inspection.kinds, [Kind::HealthCheck]);
}

#[tokio::test]
async fn a_plugin_is_bound_as_what_it_is_only() {
    let world = World::new();
    let plugin = world.load(&Guest::healthy()).await;
    let error = plugin.bind(Kind::EventSink, "{}").err().expect("refused");
    assert!(matches!(error, BindError::WrongKind { .. }));
    assert_eq!(error.to_string(), "plugin \"test\" is no event-sink, it is a health-check");
}

#[tokio::test]
async fn an_inspection_says_what_a_plugin_would_ask_for() {
    let world = World::new();
    let guest = Guest::healthy().with_log().with_tcp();
    let inspection = world.runtime.inspect(guest.build().into()).await.expect("a component");
    assert_eq!(inspection.kinds, [Kind::HealthCheck]);
    assert_eq!(inspection.contract.as_deref(), Some("0.1.0"));
    assert_eq!(inspection.asks, ["http", "net", "unix"]);
    assert!(inspection.imports.contains(&"kennel:plugin/probe@0.1.0".to_string()));
    assert!(inspection.exports.contains(&"kennel:plugin/health-check@0.1.0".to_string()));
    assert_eq!(inspection.sha256.len(), 64);
    assert!(inspection.code_bytes > inspection.bytes / 2);
    assert!(!inspection.compile.is_zero() && !inspection.cached);
    let made_by = |(name, _): &(String, String)| name == "processed-by";
    assert!(inspection.producers.iter().any(made_by), "{:?}", inspection.producers);
}
