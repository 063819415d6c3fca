//! Plugins at work in a supervisor: loaded, asked, replaced, refused.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::process::Command;

use kennel::config::Environment;
use kennel::{Builder, ShutdownMode, Traps, Verb, Wait};
use nix::sys::signal::Signal;
use serde_json::Value;

use crate::guest::component;
use crate::support::guest::{self, Asks, Does};
use crate::support::{BOUND, Kennel, openmetrics, wait_for};

/// A service that a plugin looks at ten times a second.
const CHECKED: &str = r#"
    plugins:
      p: { source: ./p.wasm }
    services:
      web:
        command: [sleep, "1000"]
        health: { plugin: p, every: 100ms }
    "#;

pub(crate) fn with_plugin(yaml: &str, component: &[u8]) -> Kennel {
    let kennel = Kennel::new(yaml);
    replace(&kennel, component);
    kennel
}

/// Replaces the file as an editor does.
fn replace(kennel: &Kennel, component: &[u8]) {
    fs::write(kennel.path("beside"), component).unwrap();
    fs::rename(kennel.path("beside"), kennel.path("p.wasm")).unwrap();
}

fn plugin(kennel: &Kennel) -> Value {
    let answer = kennel.api("GET", "/v1/plugins");
    assert_eq!(answer.status, 200, "{answer:?}");
    let all: Value = serde_json::from_str(&answer.body).unwrap();
    assert_eq!(all["plugins"].as_array().unwrap().len(), 1, "{all:#}");
    all["plugins"][0].clone()
}

/// What the plugin measured last: how often it was asked, as it remembers.
pub(crate) fn count(kennel: &Kennel) -> Option<f64> {
    let body = kennel.api("GET", "/metrics").body;
    let series = openmetrics::parse(&body).unwrap_or_else(|error| panic!("{error}\n{body}"));
    let labels = "plugin=\"p\",service=\"web\",instance=\"web\",check=\"p\",name=\"count\"";
    series.get(&format!("kennel_plugin_sample{{{labels}}}")).copied()
}

/// How many checks of the plugin could not be made.
fn impossible_checks(kennel: &Kennel) -> f64 {
    let body = kennel.api("GET", "/metrics").body;
    let series = openmetrics::parse(&body).unwrap_or_else(|error| panic!("{error}\n{body}"));
    let labels = "service=\"web\",instance=\"web\",check=\"p\",outcome=\"impossible\"";
    series.get(&format!("kennel_check_answers_total{{{labels}}}")).copied().unwrap_or(0.0)
}

pub(crate) fn wait_for_count(kennel: &Kennel, least: f64) -> f64 {
    wait_for(&format!("{least} answers"), BOUND, || count(kennel).filter(|count| *count >= least))
}

fn wait_for_fact(kennel: &Kennel, kind: &str) -> Value {
    wait_for(kind, BOUND, || kennel.events().into_iter().find(|event| event["kind"] == kind))
}

#[test]
fn a_plugin_checks_a_service_and_what_it_says_is_seen_everywhere() {
    let mut kennel = with_plugin(CHECKED, &guest::check("fine", Does::Counts));
    kennel.start();
    wait_for_count(&kennel, 3.0);
    assert_eq!(kennel.service("web")["health"], "healthy");
    let plugin = plugin(&kennel);
    assert_eq!((&plugin["state"], &plugin["kinds"][0]), (&"ready".into(), &"health-check".into()));
    assert_eq!(plugin["uses"][0]["by"], "web health p");
    assert_eq!(plugin["faults"], 0);
    assert!(plugin["calls"].as_u64().unwrap() >= 3 && plugin["latency_p99_us"].is_u64());
    let loaded = wait_for_fact(&kennel, "plugin.loaded");
    assert_eq!(loaded["attributes"]["sha256"], plugin["sha256"]);
    let shown = kennel.cli(&["plugin", "ls"]).ok();
    assert!(shown.contains("PLUGIN") && shown.contains("ready"), "{shown}");
    let body = kennel.api("GET", "/metrics").body;
    let series = openmetrics::parse(&body).unwrap();
    let web = "service=\"web\",instance=\"web\",check=\"p\"";
    let passed = series[&format!("kennel_check_answers_total{{{web},outcome=\"passed\"}}")];
    assert!(passed >= 3.0 && series["kennel_plugin_calls_total{plugin=\"p\"}"] >= 3.0, "{body}");
    assert_eq!(kennel.terminate(), 0);
    kennel.assert_nothing_is_left();
}

#[test]
fn a_killed_supervisor_leaves_what_plugins_remember_to_the_next_one() {
    let mut kennel = with_plugin(CHECKED, &guest::check("fine", Does::Counts));
    kennel.start();
    let saved = kennel.path("state/plugins/saved");
    wait_for("what is remembered on disk", BOUND, || saved.exists().then_some(()));
    kennel.kill_supervisor();
    kennel.sweep();
    let before = fs::metadata(&saved).unwrap().len();
    assert!(before > 0);
    kennel.start();
    // Anew it would begin with 1.
    let first = wait_for("an answer", BOUND, || count(&kennel));
    assert!(first >= 2.0, "{first}");
    assert_eq!(kennel.terminate(), 0);
    // In order, nothing at all is forgotten.
    let last = fs::read(&saved).unwrap();
    assert!(last.starts_with(b"kennel plugin state 1\n"));
}

/// What was compiled: one file, which is written once and then replaced as a whole.
fn compiled(kennel: &Kennel) -> Option<fs::Metadata> {
    let files: Vec<_> = fs::read_dir(kennel.path("state/plugins/cache")).ok()?.flatten().collect();
    let codes =
        files.iter().filter(|file| file.path().extension().is_some_and(|end| end == "code"));
    let mut codes = codes.map(|file| file.metadata().unwrap());
    let code = codes.next();
    assert!(codes.next().is_none(), "{files:?}");
    code
}

#[test]
fn what_was_compiled_is_there_for_the_next_supervisor_and_a_damaged_one_is_replaced() {
    let mut kennel = with_plugin(CHECKED, &guest::check("fine", Does::Counts));
    kennel.start();
    wait_for_count(&kennel, 1.0);
    let first = wait_for("what was compiled on disk", BOUND, || compiled(&kennel));
    let of_folder = fs::metadata(kennel.path("state/plugins/cache")).unwrap();
    assert_eq!((first.mode() & 0o777, of_folder.mode() & 0o777), (0o600, 0o700));
    let mut answers = 1.0;
    let mut again = |kennel: &mut Kennel| {
        kennel.kill_supervisor();
        kennel.start();
        answers = wait_for_count(kennel, answers);
        compiled(kennel).unwrap().ino()
    };
    assert_eq!(again(&mut kennel), first.ino(), "it was not compiled again");

    // Half of it is as good as nothing.
    let cache = fs::read_dir(kennel.path("state/plugins/cache")).unwrap();
    for file in cache.flatten() {
        let bytes = fs::read(file.path()).unwrap();
        fs::write(file.path(), &bytes[..bytes.len() / 2]).unwrap();
    }
    let third = again(&mut kennel);
    assert_ne!(third, first.ino(), "it was compiled again");
    assert_eq!(again(&mut kennel), third);
}

/// A component that has nothing to do with Kennel.
fn of_somebody_else() -> Vec<u8> {
    let module = "(module (func (export \"acme:tool/run#go\") (result i32) unreachable))";
    let package = "package acme:tool; interface run { go: func() -> u32; }";
    component(module, "export acme:tool/run;", &[package.to_owned()])
}

#[test]
fn what_is_no_good_is_refused_by_check_and_at_load_and_its_services_run_as_built_in() {
    let healthy = guest::check("fine", Does::Counts);
    let yaml = r#"
        plugins:
          p: { source: ./p.wasm }
        services:
          web: { command: [sleep, "1000"], health: { plugin: p, every: 50ms, failures: 1, grace: 0s } }
          worker:
            command: ["false"]
            restart: { backoff: { initial: 10ms, max: 10ms }, limit: none, policy_plugin: { plugin: p } }
        "#;
    let pinned = yaml.replace("./p.wasm", &format!("./p.wasm, sha256: '{}'", "0".repeat(64)));
    let (whole, half, foreign) = (&healthy[..], &healthy[..healthy.len() / 2], of_somebody_else());
    let no_kind = "the component exports acme:tool/run, expected one of \
                   kennel:plugin/health-check@0.1.0, kennel:plugin/restart-policy@0.1.0, \
                   kennel:plugin/event-sink@0.1.0";
    for (bytes, said) in [
        (&b"services: {}\n"[..], "the file is text, expected a WebAssembly component"),
        (&[], "the file is empty, expected a WebAssembly component"),
        (b"\0asm\x01\0\0\0", "the file is a WebAssembly core module, expected a component"),
        (half, "the file is a component that is cut off after"),
        (&foreign, no_kind),
        (whole, "the configuration asks for 0000000000000000"),
    ] {
        let (text, place) = if bytes == whole {
            (pinned.as_str(), "services.yaml:3:34: ")
        } else {
            (yaml, "services.yaml:3:16: ")
        };
        let mut kennel = with_plugin(text, bytes);
        kennel.cli(&["check"]).fails_saying(2, &[place, "cannot load plugin \"p\": ", said]);
        kennel.start();
        let rejected = wait_for_fact(&kennel, "plugin.rejected");
        let message = rejected["message"].as_str().unwrap();
        assert!(
            message.starts_with("plugin p was refused: ") && message.contains(said),
            "{message}"
        );
        let asked = "kennel_check_answers_total{service=\"web\",instance=\"web\",check=\"p\",\
                     outcome=\"impossible\"}";
        wait_for("the check to be made in vain", BOUND, || {
            let metrics = openmetrics::parse(&kennel.api("GET", "/metrics").body).unwrap();
            (*metrics.get(asked)? >= 3.0).then_some(())
        });
        let web = kennel.service("web");
        assert_eq!((&web["state"], &web["health"]), (&"up".into(), &"unknown".into()), "{web:#}");
        wait_for("restarts as built in", BOUND, || {
            (kennel.service("worker")["restarts"].as_u64() >= Some(3)).then_some(())
        });
    }
}

#[test]
fn every_problem_of_a_configuration_is_told_with_its_path_by_check_and_at_load() {
    let mut kennel = Kennel::new(
        r#"
        plugins:
          redis: { source: "stock:redis" }
        services:
          web:
            command: [sleep, "1000"]
            health: { plugin: redis, config: { adress: "127.0.0.1:1", role: emperor }, every: 50ms }
        "#,
    );
    let checked = kennel.cli(&["check"]).fails(2);
    let problems = ["address: ", "adress: ", "role: "];
    for problem in problems {
        let said = format!("plugin \"redis\" refuses its configuration: {problem}");
        assert!(checked.contains(&said), "{said} is missing in:\n{checked}");
    }
    kennel.start();
    let rejected = wait_for_fact(&kennel, "plugin.rejected");
    let reason = rejected["attributes"]["reason"].as_str().unwrap();
    assert!(problems.iter().all(|problem| reason.contains(problem)), "{reason}");
    let web = kennel.wait_for_state("web", "up");
    assert_eq!(web["health"], "unknown", "{web:#}");
}

#[test]
fn a_reload_replaces_a_plugin_only_by_one_that_works() {
    let mut kennel = with_plugin(CHECKED, &guest::check("one", Does::Counts));
    kennel.start();
    wait_for_count(&kennel, 1.0);
    let (web, one) = (kennel.process("web"), plugin(&kennel));

    replace(&kennel, &guest::check("two", Does::Traps));
    let reloaded = kennel.cli(&["reload"]);
    assert_eq!((reloaded.code, &*reloaded.stdout), (1, "plugin p: reload, file changed\n"));
    assert!(reloaded.stderr.starts_with("plugin p was refused: asked once, it failed: "));
    let rejected = wait_for_fact(&kennel, "plugin.rejected");
    assert_eq!(rejected["attributes"]["old_goes_on"], true, "{rejected:#}");
    let still = plugin(&kennel);
    assert_eq!((&still["sha256"], &still["state"]), (&one["sha256"], &one["state"]));
    assert!(still["reason"].as_str().unwrap().contains("was refused"), "{still:#}");
    let now = count(&kennel).unwrap();
    wait_for_count(&kennel, now + 2.0);

    replace(&kennel, &guest::check("three", Does::Counts));
    kennel.cli(&["reload"]).ok();
    let three = plugin(&kennel);
    assert!(three["sha256"] != one["sha256"] && three["reason"] == "", "{three:#}");
    let now = count(&kennel).unwrap();
    wait_for_count(&kennel, now + 2.0);
    assert_eq!(kennel.process("web"), web, "the service knows nothing of it");
    assert_eq!(kennel.service("web")["health"], "healthy");
}

#[test]
fn kennel_check_shows_mistakes_of_plugins_where_they_are_written() {
    let kennel = with_plugin(CHECKED, &guest::check("fine", Does::Counts));
    let checked = kennel.cli(&["check"]).ok();
    assert!(checked.ends_with(": ok, 1 service, 1 plugin\n"), "{checked}");
    kennel.configure(&CHECKED.replace("every: 100ms", "config: { bad: 1 }"));
    kennel
        .cli(&["check"])
        .fails_saying(2, &["services.yaml:7:41:", "plugin \"p\" refuses its configuration: bad:"]);
    kennel.configure(CHECKED);
    replace(&kennel, b"\0asm\x01\0\0\0");
    kennel.cli(&["check"]).fails_saying(2, &["services.yaml:3:", "core module"]);
    assert!(!kennel.path("state").exists(), "a look leaves nothing behind");
}

#[test]
fn a_grant_that_a_plugin_lacks_is_named_by_check_and_when_it_is_asked_and_stops_no_service() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let address = format!("127.0.0.1:{port:05}");
    for (asks, grant, hint) in [
        (Asks::Exec, "exec: true".to_owned(), "grants: { exec: true }".to_owned()),
        (
            Asks::Tcp(port),
            format!("net: [\"{address}\"]"),
            format!("grants: {{ net: [\"127.0.0.1:{port}\"] }}"),
        ),
    ] {
        // Also where the plugin is required: it is there, it only cannot do its work.
        for check in ["every: 100ms", "every: 100ms, required: true"] {
            let yaml = CHECKED.replace("every: 100ms", check);
            let mut kennel = with_plugin(&yaml, &guest::asking(asks));
            kennel.cli(&["check"]).fails_saying(
                2,
                &[
                    "services.yaml:7:",
                    "plugin \"p\" asks for what it is not granted",
                    &format!("write into plugins.p: {hint}"),
                ],
            );
            kennel.start();
            kennel.wait_for_state("web", "up");
            let denied = wait_for_fact(&kennel, "plugin.denied");
            assert_eq!(
                (&denied["service"], &denied["attributes"]["untold"]),
                (&"web".into(), &0.into())
            );
            assert!(kennel.said().contains("WARN plugin p was denied"), "{}", kennel.said());
            let message = denied["message"].as_str().unwrap();
            assert!(message.contains("plugin p was denied what it asked for"), "{message}");
            let named = denied["attributes"]["grant"].as_str().unwrap();
            assert!(named.contains(&hint), "{named}");
            let told = wait_for("the reason", BOUND, || {
                let service = kennel.service("web");
                let reason = service["reason"].as_str()?.to_owned();
                reason.contains("asked in vain").then_some(service)
            });
            assert_eq!((&told["state"], &told["health"]), (&"up".into(), &"unknown".into()));
            // Every one from now on asks the host again, and is denied again.
            let before = impossible_checks(&kennel);
            wait_for("more checks that cannot be made", BOUND, || {
                (impossible_checks(&kennel) >= before + 3.0).then_some(())
            });
            let denials = kennel.events().into_iter().filter(|e| e["kind"] == "plugin.denied");
            assert_eq!(denials.count(), 1, "once a minute");

            let granted = format!("{{ source: ./p.wasm, grants: {{ {grant} }} }}");
            kennel.configure(&yaml.replace("{ source: ./p.wasm }", &granted));
            kennel.cli(&["check"]).ok();
            kennel.cli(&["reload"]).ok();
            wait_for("the check", BOUND, || {
                (kennel.service("web")["health"] == "healthy").then_some(())
            });
            assert_eq!(kennel.terminate(), 0);
            kennel.assert_nothing_is_left();
        }
    }
}

#[test]
fn who_requires_a_plugin_does_not_start_without_it_and_all_others_do() {
    let yaml = r#"
        plugins:
          p: { source: ./p.wasm }
        services:
          strict:
            command: [sleep, "1001"]
            health: { plugin: p, required: true }
          other:
            command: [sleep, "1002"]
            health: { plugin: p }
        "#;
    let mut kennel = with_plugin(yaml, b"no component");
    kennel.start();
    kennel.wait_for_state("other", "up");
    assert_eq!(kennel.service("other")["health"], "unknown");
    let refused = kennel.wait_for_event("service.start_failed", "strict");
    let message = refused["message"].as_str().unwrap();
    assert!(message.contains("strict health p requires plugin p: "), "{message}");
    assert!(kennel.service("strict")["pid"].is_null());
    replace(&kennel, &guest::check("fine", Does::Counts));
    kennel.cli(&["reload"]).ok();
    kennel.cli(&["start", "strict"]).ok();
    kennel.wait_for_state("strict", "up");
}

#[test]
fn without_the_plugin_of_a_required_sink_nothing_begins() {
    let yaml = r#"
        plugins: { p: { source: ./p.wasm } }
        sinks: [{ plugin: p, required: true }]
        services: { web: { command: [sleep, "1000"] } }
        "#;
    let mut kennel = with_plugin(yaml, b"no component");
    kennel.spawn();
    assert_eq!(kennel.wait_for_exit(), 1);
    let said = kennel.said();
    assert!(said.contains("cannot start: sink p requires plugin p: "), "{said}");
    kennel.assert_nothing_is_left();
    replace(&kennel, &guest::sink());
    kennel.start();
    // Until the plugin is there, not even the service is known.
    kennel.wait_for_event("service.ready", "web");
}

#[test]
fn a_policy_chooses_when_the_next_run_begins() {
    let yaml = r#"
        plugins: { p: { source: ./p.wasm } }
        services:
          web: { command: ["false"], restart: { policy_plugin: { plugin: p } } }
        "#;
    let mut kennel = with_plugin(yaml, &guest::policy(false));
    kennel.start();
    // The first run may end before the plugin is there; it is asked again and again.
    let decided = kennel.wait_for_event("service.policy", "web");
    let message = decided["message"].as_str().unwrap();
    assert!(message.ends_with("7 s: enough") || message.contains("6.9"), "{message}");
    assert_eq!(kennel.service("web")["state"], "backoff");
}

/// Signals that a program has handlers of.
fn caught(pid: i32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigCgt:")).unwrap();
    u64::from_str_radix(mask.trim(), 16).unwrap()
}

/// Those that the engine may have handlers of, and that nobody else here has.
fn of_plugins() -> u64 {
    [Signal::SIGILL, Signal::SIGFPE].map(|signal| 1 << (signal as u64 - 1)).iter().sum()
}

#[test]
fn the_binary_has_plugins_stopped_by_signals_and_nothing_installed_without_a_plugin() {
    let without = Kennel::running("services: { web: { command: [sleep, \"1000\"] } }");
    assert_eq!(caught(without.supervisor_pid()) & of_plugins(), 0);
    let mut kennel = with_plugin(CHECKED, &guest::check("fine", Does::Counts));
    kennel.start();
    wait_for_count(&kennel, 1.0);
    assert_eq!(caught(kennel.supervisor_pid()) & of_plugins(), of_plugins());
}

/// Set where the next test is the only one of its program.
const ALONE: &str = "KENNEL_TEST_ALONE";

#[test]
fn plugins_touch_the_signals_of_a_program_only_where_it_lets_them() {
    let traps = match std::env::var(ALONE).as_deref() {
        Ok("checked") => Traps::Checked,
        Ok("signals") => Traps::Signals,
        Ok(_) | Err(_) => return in_programs_of_its_own(),
    };
    let pid = i32::try_from(std::process::id()).unwrap();
    let before = caught(pid);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(supervise_with_a_plugin(traps));
    let expected = match traps {
        Traps::Checked => before,
        Traps::Signals => before | of_plugins(),
    };
    assert_eq!(caught(pid), expected, "{traps:?}");
}

fn in_programs_of_its_own() {
    for traps in ["checked", "signals"] {
        let mut alone = Command::new(std::env::current_exe().unwrap());
        let name = "plugins::plugins_touch_the_signals_of_a_program_only_where_it_lets_them";
        let output = alone.args(["--exact", name]).env(ALONE, traps).output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && said.contains("1 passed"), "{traps}: {said}");
    }
}

/// As a program does that embeds a supervisor.
async fn supervise_with_a_plugin(traps: Traps) {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("services.yaml");
    fs::write(dir.path().join("p.wasm"), guest::check("fine", Does::Counts)).unwrap();
    // The service does not start before its plugin is there.
    let text = "kennel: { state_dir: ./state, socket: ./socket }\n\
                plugins: { p: { source: ./p.wasm } }\n\
                services: { web: { command: [sleep, \"1000\"], \
                health: { plugin: p, required: true } } }\n";
    fs::write(&file, text).unwrap();
    let mut builder = Builder::from_file(&file, Environment::current()).unwrap();
    if traps != Traps::Checked {
        builder = builder.plugin_traps(traps);
    }
    let supervisor = builder.start().unwrap();
    let handle = supervisor.handle().clone();
    let started = handle.act(Verb::Start, vec!["web".to_owned()], Wait::UpTo(BOUND)).await;
    assert!(started.unwrap()[0].success);
    handle.shutdown(ShutdownMode::Orderly).await.unwrap();
    assert_eq!(supervisor.ended().await.code, 0);
}
