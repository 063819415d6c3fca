//! Rules of the code base that a compiler does not know.

use std::fs;
use std::path::{Path, PathBuf};

/// No source file is longer: past this it holds a second noun.
const LINES_MAX: usize = 600;

/// Longer files, each with its reason.
const LONG_FILES: &[(&str, &str)] = &[];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace").to_owned()
}

/// Every Rust source file below `folder`, as path from the root and text.
fn sources(folder: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut open = vec![root().join(folder)];
    while let Some(next) = open.pop() {
        for entry in fs::read_dir(&next).expect("readable").flatten() {
            let path = entry.path();
            if path.is_symlink() {
                // What it leads to is looked at where it is.
                continue;
            }
            if path.is_dir() && path.file_name().is_some_and(|name| name != "target") {
                open.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let name = path.strip_prefix(root()).expect("below").display().to_string();
                found.push((name, fs::read_to_string(&path).expect("readable")));
            }
        }
    }
    assert!(!found.is_empty(), "no source below {folder}");
    found
}

fn all_sources() -> Vec<(String, String)> {
    ["host", "tests", "xtask"].into_iter().flat_map(sources).collect()
}

/// Lines of code that `bad` finds, apart from comments, in files that `within` selects.
fn offences(
    files: &[(String, String)],
    within: impl Fn(&str) -> bool,
    bad: impl Fn(&str) -> bool,
) -> Vec<String> {
    let mut found = Vec::new();
    for (name, text) in files.iter().filter(|(name, _)| within(name)) {
        for (index, line) in text.lines().enumerate() {
            let code = line.trim_start();
            if !code.starts_with("//") && bad(code) {
                found.push(format!("{name}:{}: {code}", index + 1));
            }
        }
    }
    found
}

#[test]
fn every_source_file_says_what_it_is_for() {
    let files = all_sources();
    let silent: Vec<_> = files.iter().filter(|(_, text)| !text.starts_with("//!")).collect();
    assert!(silent.is_empty(), "without a header: {:?}", names(&silent));
}

fn names<'a>(files: &[&'a (String, String)]) -> Vec<&'a str> {
    files.iter().map(|(name, _)| name.as_str()).collect()
}

#[test]
fn no_source_file_is_too_long() {
    for (name, text) in all_sources() {
        let lines = text.lines().count();
        let excepted = LONG_FILES.iter().any(|(file, _)| *file == name);
        assert!(
            excepted || lines <= LINES_MAX,
            "{name} has {lines} lines, more than {LINES_MAX}: it holds a second noun"
        );
        assert!(!excepted || lines > LINES_MAX, "{name} needs its exception no more");
    }
}

#[test]
fn the_core_depends_on_nothing() {
    let manifest = fs::read_to_string(root().join("host/core/Cargo.toml")).expect("readable");
    assert!(!manifest.contains("dependencies"), "kennel-core must have no dependencies");
    let files = sources("host/core/src");
    let allowed =
        ["collections", "error::Error", "fmt", "mem", "ops", "sync::Arc", "time::Duration"];
    let found = offences(
        &files,
        |_| true,
        |line| {
            let mut rest = line;
            while let Some(at) = rest.find("std::") {
                rest = &rest[at + "std::".len()..];
                if !allowed.iter().any(|path| rest.starts_with(path)) {
                    return true;
                }
            }
            false
        },
    );
    assert!(found.is_empty(), "the core may not use this of std:\n{}", found.join("\n"));
}

#[test]
fn the_core_has_no_catch_all_arms() {
    let catch_all = |line: &str| line.starts_with("_ =>") || line.starts_with("_ if ");
    let found = offences(&sources("host/core/src"), |_| true, catch_all);
    assert!(found.is_empty(), "catch-all arms:\n{}", found.join("\n"));
}

/// Machine code is taken from the cache here and nowhere else. The engine cannot check it, so
/// to ask for it is `unsafe`; the file holds what makes it sound, and nothing besides.
const TRUSTED_CODE: &str = "host/wasm/src/engine/trusted.rs";

#[test]
fn unsafe_code_stands_in_the_os_layer_only() {
    let allowed = ["host/src/os/", TRUSTED_CODE];
    let outside = |name: &str| !allowed.iter().any(|place| name.starts_with(place));
    let word = |line: &str| line.contains("unsafe ") || line.contains("allow(unsafe_code)");
    let found = offences(&sources("host"), outside, word);
    let found: Vec<_> = found
        .into_iter()
        .filter(|line| !line.contains("#[allow(unsafe_code)] pub mod os;"))
        .collect();
    assert!(found.is_empty(), "unsafe outside host/src/os:\n{}", found.join("\n"));
}

#[test]
fn the_layers_import_downwards_only() {
    let files = sources("host/src");
    // Where it may stand, what it is.
    let rules: &[(&[&str], &str)] = &[
        (&["host/src/cli/", "host/src/main.rs"], "anyhow"),
        (&["host/src/cli/", "host/src/main.rs"], "clap"),
        (&["host/src/cli/", "host/src/main.rs"], "crate::cli"),
        (
            &[
                "host/src/api/",
                "host/src/config/",
                "host/src/journal/",
                "host/src/cli/",
                "host/src/state/",
            ],
            "use serde::",
        ),
        (&["host/src/api/", "host/src/cli/"], "use axum"),
        (&["host/src/api/", "host/src/checks/", "host/src/cli/"], "use hyper"),
        (&["host/src/driver/", "host/src/supervisor.rs", "host/src/fuzz/"], "crate::driver"),
    ];
    for (allowed, what) in rules {
        let outside = |name: &str| !allowed.iter().any(|place| name.starts_with(place));
        let found = offences(&files, outside, |line| line.contains(what));
        assert!(found.is_empty(), "\"{what}\" belongs to {allowed:?}:\n{}", found.join("\n"));
    }
}

#[test]
fn what_is_global_stands_in_the_binary_only() {
    let files = sources("host/src");
    let binary = |name: &str| name.starts_with("host/src/cli/") || name == "host/src/main.rs";
    let os = |name: &str| name.starts_with("host/src/os/");
    for what in [
        "become_subreaper(",
        "raise_nofile(",
        "reap_orphans(",
        "Incoming::take(",
        "os::execute(",
        "next_child(",
        "tokio::signal",
        "set_hook(",
        "set_var(",
        "set_current_dir(",
        "process::exit(",
        "try_init()",
        "dup2_std",
        "ServiceManager::from_environment",
        "set_global_default(",
        "Traps::Signals",
    ] {
        let outside = |name: &str| !binary(name) && !os(name);
        let found = offences(&files, outside, |line| line.contains(what));
        assert!(found.is_empty(), "\"{what}\" changes the whole program:\n{}", found.join("\n"));
    }
}

/// What opens a file and makes it if need be says that it follows no link there
/// (`O_NOFOLLOW`), or takes nothing that is there already (`create_new`).
#[test]
fn what_is_created_follows_no_link() {
    let safe = ["O_NOFOLLOW", "create_new(true)", "custom_flags(flags", "options().create(true)"];
    let is_opened_safely = |code: &str| {
        let made = code.split("fn options() -> OpenOptions {").nth(1);
        made.is_none_or(|body| body.split("\n}").next().unwrap_or_default().contains("O_NOFOLLOW"))
    };
    let mut looked_at = 0;
    for (name, text) in sources("host/src") {
        let code = text.split("#[cfg(test)]\nmod tests").next().unwrap_or_default();
        if name.contains("/tests") || name.contains("cli/plugin/") {
            continue;
        }
        assert!(is_opened_safely(code), "{name}: its options may follow a link");
        let lines: Vec<&str> = code.lines().collect();
        for (at, _) in lines.iter().enumerate().filter(|(_, line)| line.contains(".create(true)")) {
            looked_at += 1;
            let around = &lines[at.saturating_sub(8)..lines.len().min(at + 8)];
            let is_safe = around.iter().any(|line| safe.iter().any(|word| line.contains(word)));
            assert!(is_safe, "{name}:{}: it may follow a link", at + 1);
        }
        for what in ["fs::write(", "File::create("] {
            assert!(!code.contains(what) || name.starts_with("host/src/cli/"), "{name}: {what}");
        }
    }
    assert!(looked_at > 3, "only {looked_at} places were found");
}

#[test]
fn every_test_that_a_document_names_exists() {
    let code: String = all_sources().into_iter().map(|(_, text)| text).collect();
    let scenarios = root().join("host/core/tests/scenarios");
    for document in ["ARCHITECTURE.md", "SECURITY.md"] {
        let text = fs::read_to_string(root().join(document)).expect("readable");
        let mut named = 0;
        let tables = text.split("\n\n").filter(|block| {
            let heads = block.lines().next().unwrap_or_default();
            heads.ends_with("| Test |") || heads.ends_with("| Guarded by |")
        });
        for row in tables.flat_map(str::lines) {
            let guards = row.rsplit('|').nth(1).unwrap_or_default();
            // Names of tests are several words; what is shorter is a word of the text.
            for name in guards.split('`').skip(1).step_by(2).filter(|n| n.contains('_')) {
                let exists = match name.strip_suffix('*') {
                    Some(start) => fs::read_dir(&scenarios)
                        .expect("readable")
                        .flatten()
                        .any(|entry| entry.file_name().to_string_lossy().starts_with(start)),
                    None => {
                        code.contains(&format!("fn {name}("))
                            || scenarios.join(format!("{name}.txt")).exists()
                    }
                };
                assert!(exists, "{document} names the test {name}, which does not exist");
                named += 1;
            }
        }
        assert!(named > 5, "{document} names only {named} tests");
    }
}
