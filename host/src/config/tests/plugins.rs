//! Plugins, their uses and the sinks as they were written, and what changes at a reload.

use std::path::{Path, PathBuf};
use std::time::Duration;

use kennel_core::spec::{Advice, Ready};
use kennel_wasm::{CallLimits, Grants};
use serde_json::json;

use super::super::{Loaded, PluginConfig, PluginSource, ReadyWhen, load, plan};
use super::{config, environment, service};
use crate::checks::CheckKind;

const BASE: &str = "
plugins:
  cache: { source: stock:redis }
  guard: { source: stock:budget }
  hook: { source: stock:webhook }
services:
  web:
    command: x
    health: { plugin: cache, config: { password: hunter2 } }
    ready: { tcp: x:1 }
    restart: { policy_plugin: { plugin: guard, config: { intensity: 3 } } }
sinks:
  - { plugin: hook, events: [service.*], config: { url: http://localhost/, key: hunter3 } }
";

#[test]
fn a_plugin_with_only_a_source_may_do_nothing_and_has_the_documented_limits() {
    let config = config(BASE);
    let names: Vec<_> = config.plugins.iter().map(PluginConfig::name).collect();
    assert_eq!(names, ["cache", "guard", "hook"]);
    let plugin = &config.plugins[0];
    assert_eq!(plugin.source, PluginSource::Stock("redis".to_owned()));
    assert_eq!((&plugin.sha256, &plugin.stamp), (&None, &None));
    assert_eq!(plugin.grants, Grants::default());
    let (time, cpu) = (Duration::from_secs(5), Duration::from_millis(250));
    assert_eq!(plugin.limits, CallLimits { time, cpu, memory: 32 << 20 });
}

#[test]
fn every_key_of_a_plugin_reaches_its_configuration() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("mine.wasm"), b"\0asm").unwrap();
    let digest = "AB".repeat(32);
    let text = format!(
        "plugins:
  mine:
    source: ./mine.wasm
    sha256: {digest}
    grants: {{ unix: [x.sock, /run/y.sock], files: [audit.log], exec: true, give_up: true }}
    limits: {{ time: 1s, cpu: 20ms, memory: 64MiB }}
    on_fault: default
services: {{ web: {{ command: x, health: {{ plugin: mine, required: true }} }} }}
"
    );
    let path = dir.path().join("services.yaml");
    std::fs::write(&path, text).unwrap();
    let Loaded { config, warnings, .. } = load(&path, &environment(&[])).unwrap();
    assert_eq!(warnings, []);
    let plugin = &config.plugins[0];
    assert_eq!(plugin.source, PluginSource::File(dir.path().join("mine.wasm")));
    assert_eq!(plugin.sha256, Some(digest.to_lowercase()));
    assert_eq!(plugin.stamp.unwrap().bytes, 4);
    let inner = |name: &str| dir.path().join(name);
    assert_eq!(paths(&plugin.grants.unix), [inner("x.sock"), PathBuf::from("/run/y.sock")]);
    assert_eq!(paths(&plugin.grants.files), [inner("audit.log")]);
    assert!(plugin.grants.exec && plugin.grants.give_up);
    let (time, cpu) = (Duration::from_secs(1), Duration::from_millis(20));
    assert_eq!(plugin.limits, CallLimits { time, cpu, memory: 64 << 20 });
}

fn paths<P: AsRef<Path>>(paths: &[P]) -> Vec<PathBuf> {
    paths.iter().map(|path| path.as_ref().to_owned()).collect()
}

#[test]
fn uses_say_which_plugin_with_what_configuration() {
    let config = config(
        "plugins: { a: { source: stock:redis } }
services:
  web:
    command: x
    ready: { plugin: a }
    health: [{ plugin: a, config: { n: [1, -2, 2.5, true, null, text, '1', 1.10] } }, { plugin: a }]
    restart: { policy_plugin: { plugin: a, config: [], required: true } }
  db: { command: x }
sinks:
  - { plugin: a }
  - { plugin: a, name: audit, events: [service.failed, health.*], required: true }
",
    );
    let web = service(&config, "web");
    let CheckKind::Plugin(first) = &web.health[0] else { panic!("{:?}", web.health) };
    assert_eq!((&*first.plugin, first.required), ("a", false));
    assert_eq!(first.config, json!({"n": [1, -2, 2.5, true, null, "text", "1", 1.1]}));
    let names: Vec<_> = web.spec.health.iter().map(|check| &*check.name).collect();
    assert_eq!(names, ["a", "a-2"]);
    let CheckKind::Plugin(second) = &web.health[1] else { panic!("{:?}", web.health) };
    assert_eq!(second.config, json!({}));
    assert!(matches!(&web.ready, ReadyWhen::Passes(CheckKind::Plugin(used)) if used == second));
    assert!(matches!(web.spec.ready, Ready::Checked { .. }));
    let policy = web.policy_plugin.as_ref().unwrap();
    assert_eq!((&policy.config, policy.required), (&json!([]), true));
    assert_eq!(web.spec.restart.advice, Advice::Ask);
    assert_eq!(service(&config, "db").spec.restart.advice, Advice::None);
    let sinks: Vec<_> =
        config.sinks.iter().map(|sink| (&*sink.name, &*sink.plugin.plugin)).collect();
    assert_eq!(sinks, [("a", "a"), ("audit", "a")]);
    assert!(config.sinks[0].events.is_empty());
    assert_eq!(config.sinks[1].events, ["service.failed", "health.*"]);
}

#[test]
fn a_plan_says_what_happens_to_plugins_sinks_and_checks() {
    let base = config(BASE);
    for (from, to, expected) in [
        ("", "", "nothing to do"),
        ("redis }", "redis, limits: { time: 1s } }", "plugin cache: reload, limits changed"),
        ("redis }", "redis, grants: { exec: true } }", "plugin cache: reload, grants changed"),
        ("stock:redis", "stock:rqlite", "plugin cache: reload, source changed"),
        ("events: [service.*], ", "", "sink hook: in place, events changed"),
        ("hunter3", "hunter4", "sink hook: in place, config changed"),
        (
            "{ plugin: hook,",
            "{ plugin: hook, name: audit,",
            "sink audit: start, new\nsink hook: stop, removed",
        ),
        ("hunter2", "hunter4", "web: in place, health changed"),
        ("tcp: x:1 ", "tcp: x:2 ", "web: in place, ready changed"),
        ("tcp: x:1 ", "tcp: x:1, timeout: 5s ", "web: in place, ready changed"),
        ("health: {", "health: { every: 1m,", "web: in place, health changed"),
        ("intensity: 3", "intensity: 4", "web: in place, restart.policy_plugin changed"),
        (
            "    restart: { policy_plugin: { plugin: guard, config: { intensity: 3 } } }",
            "    restart: {}",
            "web: in place, restart.policy_plugin changed",
        ),
    ] {
        let new = config(&BASE.replace(from, to));
        assert_eq!(plan(&base, &new).to_string(), expected, "{to}");
    }
    let less = BASE.replace("  hook: { source: stock:webhook }\n", "");
    let less = &less[..less.find("sinks:").unwrap()];
    let shown = plan(&base, &config(less)).to_string();
    assert_eq!(shown, "plugin hook: unload, removed\nsink hook: stop, removed");
    let shown = plan(&config(less), &base).to_string();
    assert_eq!(shown, "plugin hook: load, new\nsink hook: start, new");
}

#[test]
fn a_plugin_file_that_was_replaced_is_loaded_anew() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("services.yaml");
    let text = "plugins: { mine: { source: ./mine.wasm } }
services: { web: { command: x, health: { plugin: mine } } }";
    std::fs::write(&path, text).unwrap();
    let load = || load(&path, &environment(&[])).unwrap().config;
    let none = load();
    let file = dir.path().join("mine.wasm");
    std::fs::write(&file, b"one").unwrap();
    let one = load();
    assert_eq!(plan(&none, &one).to_string(), "plugin mine: reload, file changed");
    assert!(plan(&one, &load()).is_empty());
    // The same size, and perhaps the same time: another file all the same.
    std::fs::write(dir.path().join("new"), b"two").unwrap();
    std::fs::rename(dir.path().join("new"), &file).unwrap();
    assert_eq!(plan(&one, &load()).to_string(), "plugin mine: reload, file changed");
}

#[test]
fn what_plugins_are_configured_with_is_shown_nowhere() {
    let old = config(BASE);
    let new = config(&BASE.replace("hunter2", "hunter4").replace("hunter3", "hunter5"));
    let plan = plan(&old, &new);
    for shown in [plan.to_string(), format!("{plan:?}"), format!("{old:?}"), format!("{new:?}")] {
        assert!(!shown.contains("hunter"), "{shown}");
    }
}

#[test]
fn what_a_plugin_says_of_its_configuration_is_shown_where_it_is_written() {
    let text = "plugins: { a: { source: stock:redis } }
defaults: { restart: { policy_plugin: { plugin: a, config: { x: 1 } } } }
services:
  web: { command: x, health: { plugin: a, config: { address: nowhere } } }
  web.1:
    command: x
    health:
      - { tcp: x:1 }
      - { plugin: a, config: { servers: [one, { port: 1 }] } }
sinks: [{ plugin: a, config: {} }]
";
    let path = Path::new("/conf/services.yaml");
    let places = super::super::load_str(path, text, &environment(&[])).unwrap().places;
    for (path, place) in [
        ("plugins.a.source", Some((1, 25))),
        ("plugins.a.grants.net", Some((1, 12))),
        ("services.web.health[0].config.address", Some((4, 62))),
        ("services.web.health[0].config.none.deeper", Some((4, 43))),
        ("services.web.1.health[1].config.servers[1].port", Some((9, 55))),
        ("services.web.1.health[1].config.servers[7]", Some((9, 32))),
        ("services.web.restart.policy_plugin.config.x", Some((2, 65))),
        ("services.web.1.health.1.config.servers.1.port", Some((9, 55))),
        ("services.web.health.0.config.address", Some((4, 62))),
        ("sinks.0.config", Some((10, 22))),
        ("sinks[0].config", Some((10, 22))),
        ("services.nobody", None),
        ("", None),
    ] {
        let error = places.error_at(path, "wrong", Some("right"));
        let found = error.at.as_ref().map(|place| (place.line, place.column));
        assert_eq!(found, place, "{path}: {error}");
        assert_eq!((error.message.as_str(), error.hint.as_deref()), ("wrong", Some("right")));
    }
}
