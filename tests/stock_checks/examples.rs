//! The examples of the plugins' READMEs.

use std::fs;
use std::path::Path;

use crate::support::Kennel;

/// Names and READMEs of all stock plugins.
fn readmes() -> Vec<(String, String)> {
    let plugins = Path::new(env!("CARGO_MANIFEST_DIR")).join("../plugins");
    let mut all = Vec::new();
    for entry in fs::read_dir(plugins).unwrap() {
        let folder = entry.unwrap().path();
        let name = folder.file_name().unwrap().to_string_lossy().into_owned();
        let text = fs::read_to_string(folder.join("README.md")).unwrap_or_default();
        if text.contains(&format!("stock:{name}")) {
            all.push((name, text));
        }
    }
    all
}

/// What stands between marks of YAML.
fn examples(readme: &str) -> impl Iterator<Item = &str> {
    readme.split("```yaml\n").skip(1).filter_map(|rest| rest.split("```").next())
}

#[test]
fn the_examples_of_the_readmes_are_valid() {
    let readmes = readmes();
    let manifest: serde_json::Value =
        serde_json::from_str(include_str!("../../host/stock/manifest.json")).unwrap();
    let stock = manifest["plugins"].as_array().unwrap();
    assert_eq!((readmes.len(), stock.len()), (11, 11), "every stock plugin has a README");
    for (name, readme) in &readmes {
        let whole: Vec<&str> =
            examples(readme).filter(|text| text.starts_with("plugins:")).collect();
        assert!(!whole.is_empty(), "no example of {name}");
        for example in whole {
            println!("{name}");
            let kennel = Kennel::new(example).env("DB_PASSWORD", "s3cret");
            kennel.cli(&["check"]).ok();
        }
    }
}

/// Parts of a configuration, each put where it belongs.
#[test]
fn the_configurations_in_the_readmes_are_valid() {
    let mut tried = Vec::new();
    for (name, readme) in readmes() {
        for part in examples(&readme).filter(|text| text.trim_start().starts_with("config:")) {
            let (slot, grants) = match name.as_str() {
                "http" => ("health", "http: [\"https://127.0.0.1:8443\"]"),
                "budget" | "quiet-hours" => ("restart", "give_up: true"),
                other => panic!("nobody knows where this belongs: {other}"),
            };
            let depth = part.len() - part.trim_start().len();
            let lines: String =
                part.lines().map(|line| format!("        {}\n", &line[depth..])).collect();
            let place = if slot == "health" {
                "health:\n".to_owned()
            } else {
                "restart:\n      limit: none\n      policy_plugin:\n".to_owned()
            };
            let kennel = Kennel::new(&format!(
                "plugins:\n  it: {{ source: \"stock:{name}\", grants: {{ {grants} }} }}\n\
                 services:\n  a:\n    command: [\"true\"]\n    {place}        plugin: it\n{lines}"
            ));
            kennel.env("STATUS_TOKEN", "s3cret").cli(&["check"]).ok();
            tried.push(name.clone());
        }
    }
    tried.sort_unstable();
    assert_eq!(tried, ["budget", "http", "quiet-hours"]);
}

#[test]
fn mistakes_in_the_configuration_of_a_check_are_told_where_they_are() {
    let kennel = Kennel::new(
        r#"
        plugins:
          redis: { source: "stock:redis" }
        services:
          web:
            command: [sleep, "1000"]
            health:
              plugin: redis
              config: { address: localhost, rule: primary }
        "#,
    );
    let told = kennel.cli(&["check"]).fails(2);
    for part in ["\"localhost\" has no port", "unknown key \"rule\"; did you mean \"role\"?"] {
        assert!(told.contains(part), "{told}");
    }
}

#[test]
fn a_grant_that_is_missing_is_found_without_asking_anybody() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let port = listener.local_addr().unwrap().port();
    let checked = |plugin: &str, grants: &str, used: &str| {
        let kennel = Kennel::new(&format!(
            "plugins: {{ it: {{ source: \"stock:{plugin}\"{grants} }} }}\n{used}\n"
        ));
        let output = kennel.cli(&["check"]);
        (output.code, output.stderr)
    };
    let service = |config: &str| {
        format!(
            "services: {{ a: {{ command: [\"true\"], health: {{ plugin: it, config: {config} }} }} }}"
        )
    };
    let sink = |config: &str| {
        format!(
            "sinks: [{{ plugin: it, events: [\"*\"], config: {config} }}]\nservices: {{ a: {{ command: [\"true\"] }} }}"
        )
    };
    let address = format!("{{ address: \"127.0.0.1:{port}\" }}");
    let url = format!("{{ url: \"http://127.0.0.1:{port}/x\" }}");
    let (net, http) =
        (format!("net: [\"127.0.0.1:{port}\"]"), format!("http: [\"http://127.0.0.1:{port}\"]"));
    for (plugin, used, missing) in [
        ("http", service(&url), http.as_str()),
        ("redis", service(&address), &net),
        ("redis", service("{ address: /run/redis.sock }"), "unix: [\"/run/redis.sock\"]"),
        ("postgres", service(&address), &net),
        ("rqlite", service(&url.replace("/x", "")), &http),
        ("grpc", service(&address), &http),
        ("webhook", sink(&url), &http),
        ("slack", sink(&url), &http),
        ("file", sink("{ path: /var/log/events }"), "files: [\"/var/log/events\"]"),
    ] {
        let (code, said) = checked(plugin, "", &used);
        assert_eq!(code, 2, "{plugin}: {said}");
        assert!(said.contains("plugin \"it\" asks for what it is not granted"), "{plugin}: {said}");
        let hint = format!("write into plugins.it: grants: {{ {missing} }}");
        assert!(said.contains(&hint), "{plugin}: {said}");
        let (code, said) = checked(plugin, &format!(", grants: {{ {missing} }}"), &used);
        assert_eq!(code, 0, "{plugin}: {said}");
    }
    let nobody = listener.accept().unwrap_err();
    assert_eq!(nobody.kind(), std::io::ErrorKind::WouldBlock, "somebody has connected");
}
