//! `kennel plugin`: projects that build, scenarios that fail where they should, and what
//! people are told. The plugins are in C: that takes a second.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::kennel::binary;
use crate::support::skip::find;

/// What a command said.
struct Said {
    code: i32,
    out: String,
    err: String,
}

fn kennel(folder: &Path, args: &[&str]) -> Said {
    let mut command = Command::new(binary());
    command.args(["plugin"]).args(args).current_dir(folder).env("XDG_CACHE_HOME", folder);
    let output = command.output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Said {
        code: output.status.code().unwrap_or(-1),
        out: text(&output.stdout),
        err: text(&output.stderr),
    }
}

/// Whether the test has to be left out because C cannot be compiled here.
fn needs_clang() -> bool {
    let lacking = !(14..=30)
        .map(|version| format!("clang-{version}"))
        .chain(["clang".to_owned()])
        .any(|name| find(&name).is_some());
    if lacking {
        assert!(
            std::env::var_os("KENNEL_FORBID_SKIPS").is_none(),
            "clang is not installed, and skips are forbidden"
        );
        println!("skipped: clang is not installed");
    }
    lacking
}

/// A project in C, with its first `from` replaced by `to`.
fn project(folder: &Path, kind: &str, name: &str, change: Option<(&str, &str)>) -> PathBuf {
    let made = kennel(folder, &["new", "--kind", kind, "--lang", "c", name]);
    assert_eq!(made.code, 0, "{}", made.err);
    let project = folder.join(name);
    if let Some((from, to)) = change {
        let source = fs::read_to_string(project.join("plugin.c")).unwrap();
        assert!(source.contains(from), "the template has no {from:?}");
        fs::write(project.join("plugin.c"), source.replacen(from, to, 1)).unwrap();
    }
    let built = kennel(folder, &["build", name]);
    assert_eq!(built.code, 0, "{}", built.err);
    assert!(built.err.starts_with("$ "), "the compiler is shown: {}", built.err);
    project
}

fn test_of(project: &Path, more: &[&str]) -> Said {
    let name = project.file_name().unwrap().to_string_lossy().into_owned();
    let component = format!("{name}.wasm");
    let mut args = vec!["test", &component, "scenario.yaml"];
    args.extend(more);
    kennel(project, &args)
}

#[test]
fn a_new_project_of_every_kind_builds_and_stands_its_scenario_and_chaos() {
    if needs_clang() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    for kind in ["health-check", "restart-policy", "event-sink"] {
        let project = project(folder.path(), kind, kind, None);
        let tested = test_of(&project, &[]);
        assert_eq!(tested.code, 0, "{}{}", tested.out, tested.err);
        assert!(tested.out.contains("mishaps went well"), "{}", tested.out);
        let spared = test_of(&project, &["--no-chaos"]);
        assert_eq!(spared.code, 0, "{}", spared.out);
        assert!(!spared.out.contains("mishaps"), "{}", spared.out);
    }
}

#[test]
fn a_project_does_not_go_over_what_is_there() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("mine")).unwrap();
    let said = kennel(folder.path(), &["new", "--kind", "health-check", "--lang", "c", "mine"]);
    assert_eq!(said.code, 1, "{}", said.out);
    assert!(said.err.contains("cannot make \"mine\""), "{}", said.err);
    assert_eq!(fs::read_dir(folder.path().join("mine")).unwrap().count(), 0);
}

/// Each of these is a mistake that a plugin can have; the test must find it.
#[test]
fn what_a_plugin_does_badly_is_found_and_said() {
    if needs_clang() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let cases = [
        // Slow is taken for healthy.
        ("slow", "verdict(LATE, ", "verdict(HEALTHY, ", "slow is not dead", "got healthy"),
        // It remembers in itself what belongs in the saved state: seen once instances change.
        (
            "forgetful",
            "static verdict_t judged(int64_t depth, bool has_last, int64_t last) {",
            "static verdict_t judged(int64_t depth, bool has_last, int64_t last) {\n  static int64_t kept; static bool has;\n  last = kept; has_last = has; kept = depth; has = true;",
            "one that stays there is unhealthy",
            "with a new instance for every call: expected unhealthy",
        ),
        // It wants the depth at once, and does not look whether it is there.
        (
            "trusting",
            "    *ret = verdict(UNHEALTHY, text_of(\"no whole number \\\"depth\\\" in the answer\"));",
            "    __builtin_trap();",
            "an answer without a depth is unhealthy",
            "trap",
        ),
        // It wants 64 MiB, twice of what it may have.
        (
            "insatiable",
            "  kennel_plugin_probe_http_request_t request = {",
            "  if (__builtin_wasm_memory_grow(0, 1024) == (__SIZE_TYPE__)-1) __builtin_trap();\n  kennel_plugin_probe_http_request_t request = {",
            "a short queue is healthy",
            "memory",
        ),
    ];
    for (name, from, to, step, what) in cases {
        let project = project(folder.path(), "health-check", name, Some((from, to)));
        let tested = test_of(&project, &[]);
        assert_eq!(tested.code, 1, "{name}: {}{}", tested.out, tested.err);
        assert!(tested.out.contains(&format!("FAIL  {step}")), "{name}: {}", tested.out);
        assert!(tested.out.contains(what), "{name}: {}", tested.out);
    }
}

/// The scenario alone does not see these: chaos does.
#[test]
fn chaos_finds_what_a_scenario_does_not_think_of() {
    if needs_clang() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let cases = [
        // A scenario that knows of good answers only.
        ("careless", "verdict(LATE, ", "verdict(HEALTHY, ", "it says healthy"),
        (
            "denied",
            "    *err = as_string(text_join(\"not granted: \", detail));\n    return false;",
            "    *ret = verdict(UNHEALTHY, text_of(\"it did not answer\"));\n    return true;",
            "it says unhealthy, which restarts the service for a missing grant",
        ),
        (
            "fragile",
            "    *ret = verdict(UNHEALTHY, text_of(\"no whole number \\\"depth\\\" in the answer\"));",
            "    __builtin_trap();",
            "without sense",
        ),
        // What it saved before an upgrade.
        (
            "unmigrated",
            "  return input->state.is_some &&",
            "  if (input->state.is_some && state->version < STATE_VERSION) __builtin_trap();\n  return input->state.is_some &&",
            "saved state of an older version",
        ),
        // Too little memory is taken for a dead service.
        (
            "greedy",
            "  kennel_plugin_probe_http_request_t request = {",
            "  if (__builtin_wasm_memory_grow(0, 100) == (__SIZE_TYPE__)-1) {\n    *ret = verdict(UNHEALTHY, text_of(\"no memory\"));\n    return true;\n  }\n  kennel_plugin_probe_http_request_t request = {",
            "KiB of memory",
        ),
    ];
    for (name, from, to, what) in cases {
        let project = project(folder.path(), "health-check", name, Some((from, to)));
        fs::write(
            project.join("scenario.yaml"),
            "config: { url: \"http://a/\", limit: 10 }\n\
             steps:\n  - name: all is well\n    answers: [{ http: \"http://a/\", json: { depth: 1 } }]\n    expect: { status: healthy }\n",
        )
        .unwrap();
        let without = test_of(&project, &["--no-chaos"]);
        assert_eq!(without.code, 0, "{name}: {}", without.out);
        let with = test_of(&project, &[]);
        assert_eq!(with.code, 1, "{name}: {}", with.out);
        assert!(with.out.contains(what), "{name}: {}", with.out);
    }
}

#[test]
fn a_configuration_is_checked_by_the_plugin_and_every_problem_is_said() {
    if needs_clang() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let project = project(folder.path(), "health-check", "depth", None);
    fs::write(project.join("bad.yaml"), "url: ftp://x\nlimt: 3\n").unwrap();
    fs::write(project.join("good.yaml"), "url: http://x/\nlimit: 3\n").unwrap();
    let good = kennel(&project, &["check", "depth.wasm", "--config", "good.yaml"]);
    assert_eq!(good.code, 0, "{}", good.err);
    assert!(good.out.contains("ok, health-check, the configuration too"), "{}", good.out);
    let bad = kennel(&project, &["check", "depth.wasm", "--config", "bad.yaml"]);
    assert_eq!(bad.code, 2, "{}", bad.err);
    for path in ["url", "limit", "limt"] {
        assert!(bad.err.contains(&format!("config: {path}: ")), "{path}: {}", bad.err);
    }
    let module = kennel(&project, &["check", "build/module.wasm"]);
    assert_eq!(module.code, 1, "{}", module.err);
    assert!(module.err.contains("core module"), "{}", module.err);
    let figures =
        kennel(&project, &["bench", "depth.wasm", "scenario.yaml", "--calls=200", "--json"]);
    assert_eq!(figures.code, 0, "{}", figures.err);
    let figures: serde_json::Value = serde_json::from_str(&figures.out).unwrap();
    let of = |key: &str| figures[key].as_f64().unwrap_or_else(|| panic!("{key}: {figures}"));
    assert!(of("call_p50_us") > 0.0 && of("call_p99_us") >= of("call_p50_us"), "{figures}");
    assert!(of("call_max_us") >= of("call_p99_us"), "{figures}");
    // One after the other: as many in a second as fit into it, at most.
    let per_second = of("calls_per_second");
    assert!(per_second > 0.0 && per_second <= 2.0 * 1e6 / of("call_p50_us"), "{figures}");
    // At least one page.
    assert!(of("memory_bytes") >= 64.0 * 1024.0, "{figures}");
    let bytes = fs::metadata(project.join("depth.wasm")).unwrap().len();
    assert_eq!(figures["component_bytes"], bytes);
    // Compiling takes longer than reading what was compiled.
    assert!(of("first_load_ms") > of("cached_load_ms") && of("cached_load_ms") > 0.0, "{figures}");
    let text = kennel(&project, &["bench", "depth.wasm", "scenario.yaml", "--calls=200"]);
    assert_eq!(text.code, 0, "{}", text.err);
    for part in ["per second", "p50 ", ", p99 ", ", longest ", "KiB per instance"] {
        assert!(text.out.contains(part), "{part}: {}", text.out);
    }
}

#[test]
fn what_a_stock_plugin_is_can_be_seen_and_a_wrong_name_has_a_near_one() {
    let folder = tempfile::tempdir().unwrap();
    let said = kennel(folder.path(), &["inspect", "stock:http", "--json"]);
    assert_eq!(said.code, 0, "{}", said.err);
    let inspection: serde_json::Value = serde_json::from_str(&said.out).unwrap();
    assert_eq!(inspection["kinds"], serde_json::json!(["health-check"]));
    let asks = inspection["asks"].as_array().unwrap();
    assert!(asks.iter().any(|grant| grant == "http"), "{inspection}");
    let imports = inspection["imports"].as_array().unwrap();
    assert!(imports.iter().any(|import| import == "kennel:plugin/probe@0.1.0"), "{inspection}");
    let manifest: serde_json::Value =
        serde_json::from_str(include_str!("../host/stock/manifest.json")).unwrap();
    let stock = manifest["plugins"].as_array().unwrap();
    let http = stock.iter().find(|plugin| plugin["name"] == "http").unwrap();
    assert_eq!((&inspection["bytes"], &inspection["sha256"]), (&http["bytes"], &http["sha256"]));
    assert!(inspection["code_bytes"].as_u64().unwrap() > 0, "{inspection}");
    assert!(inspection["compile_ms"].as_f64().unwrap() > 0.0, "{inspection}");
    let text = kennel(folder.path(), &["inspect", "stock:http"]).out;
    let row = |name: &str| {
        let line = text.lines().find(|line| line.starts_with(name));
        line.unwrap_or_else(|| panic!("no {name}: {text}"))[name.len()..].trim().to_owned()
    };
    let kib = http["bytes"].as_u64().unwrap().div_ceil(1024);
    let size = row("size");
    assert!(size.starts_with(&format!("{kib} KiB, ")) && size.ends_with(" KiB compiled"), "{size}");
    assert_eq!(row("sha256"), http["sha256"].as_str().unwrap());
    let took = row("compiled in");
    let took: f64 = took.strip_suffix(" ms").unwrap_or_else(|| panic!("{took}")).parse().unwrap();
    assert!(took > 0.0, "{text}");
    let wrong = kennel(folder.path(), &["inspect", "stock:htpt"]);
    assert_eq!(wrong.code, 2, "{}", wrong.out);
    assert!(wrong.err.contains("did you mean \"stock:http\"?"), "{}", wrong.err);
    // The name alone is that of a file.
    let file = kennel(folder.path(), &["inspect", "http"]);
    assert_eq!(file.code, 1, "{}", file.out);
    for part in ["cannot read \"http\": no such file", "hint: did you mean \"stock:http\"?"] {
        assert!(file.err.contains(part), "{}", file.err);
    }
    let other = kennel(folder.path(), &["inspect", "./http"]);
    assert!(!other.err.contains("stock:"), "{}", other.err);
}

#[test]
fn a_tool_that_is_missing_is_named_with_how_it_is_had() {
    let folder = tempfile::tempdir().unwrap();
    for (language, tool, hint) in [
        ("c", "clang", "apt-get install clang lld"),
        ("python", "componentize-py", "pip install componentize-py=="),
        ("javascript", "componentize-qjs", "npm install"),
    ] {
        kennel(folder.path(), &["new", "--kind", "health-check", "--lang", language, language]);
        let mut command = Command::new(binary());
        command.args(["plugin", "build", language]).current_dir(folder.path());
        let output = command.env("PATH", folder.path()).output().unwrap();
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{error}");
        assert!(error.contains(&format!("{tool} is not installed")), "{error}");
        assert!(error.contains(hint), "{error}");
    }
}
