//! What `cargo package` puts into each crate is enough to build it: nothing outside of its folder
//! is compiled in, and nothing in it is left out.

use std::fs;
use std::path::{Component, Path, PathBuf};

/// The crates that are published, with what of each is compiled for its users.
const PACKAGES: &[&str] = &["host", "host/core", "host/wasm", "plugin-sdk"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace").to_owned()
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).expect("readable").flatten() {
        let path = entry.path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found
}

/// Without `.` and `..`, and without following links: as a package has it.
fn lexical(path: &Path) -> PathBuf {
    let mut parts = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => drop(parts.pop()),
            Component::CurDir => {}
            Component::Prefix(_) | Component::RootDir | Component::Normal(_) => parts.push(part),
        }
    }
    parts
}

/// The files that a source takes in: what `include_str!` and its like name as one text. Tests
/// are for the repository.
fn included(source: &Path, package: &Path) -> Vec<PathBuf> {
    let text = fs::read_to_string(source).expect("readable");
    let code = text.split("#[cfg(test)]\nmod tests").next().unwrap_or_default();
    let code = code.lines().filter(|line| !line.trim_start().starts_with("//"));
    let code = code.collect::<Vec<_>>().join("\n");
    let calls = ["include_str!(\"", "include_bytes!(\"", "include_dir!(\"", "include!(\""];
    let places = calls.iter().flat_map(|call| code.split(call).skip(1));
    let names = places.filter_map(|rest| rest.split('"').next());
    let path = |name: &str| match name.strip_prefix("$CARGO_MANIFEST_DIR/") {
        Some(rest) => package.join(rest),
        None => source.parent().expect("it is in a folder").join(name),
    };
    names.map(|name| lexical(&path(name))).collect()
}

#[test]
fn what_a_crate_takes_in_is_in_its_package() {
    let mut seen = 0;
    for package in PACKAGES {
        let package = root().join(package);
        for source in files(&package.join("src")) {
            let is_code = source.extension().is_some_and(|extension| extension == "rs");
            let is_test = source.components().any(|part| {
                let name = part.as_os_str().to_string_lossy();
                name == "tests" || name == "tests.rs" || name == "testing" || name == "templates"
            });
            if !is_code || is_test {
                continue;
            }
            for file in included(&source, &package) {
                seen += 1;
                assert!(file.exists(), "{}: no {}", source.display(), file.display());
                assert!(
                    file.starts_with(&package),
                    "{} takes in {}, which is not in its package",
                    source.display(),
                    file.display()
                );
            }
        }
    }
    assert!(seen > 5, "only {seen} files are taken in");
}

/// Cargo takes a folder with a manifest for another package, and leaves it out.
#[test]
fn no_folder_of_a_package_looks_like_a_package() {
    for package in PACKAGES {
        let inner = files(&root().join(package).join("src"));
        let manifests = inner.iter().filter(|file| file.ends_with("Cargo.toml"));
        assert_eq!(manifests.collect::<Vec<_>>(), Vec::<&PathBuf>::new());
    }
    assert!(files(&root().join("host/sdk")).iter().all(|file| !file.ends_with("Cargo.toml")));
}
