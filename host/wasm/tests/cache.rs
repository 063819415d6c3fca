//! Compiled plugins are kept, and never trusted blindly.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use kennel_wasm::{Kind, Settings, Traps};

use crate::support::{Guest, World, verdict};

fn world(folder: &Path) -> World {
    let cache_dir = Some(folder.to_owned());
    World::with(Settings { workers: 1, cache_dir, ..Settings::default() })
}

/// Loads in a runtime of its own, and says whether that came from the cache.
async fn cached(folder: &Path, guest: &Guest) -> bool {
    let world = world(folder);
    let plugin = world.load(guest).await;
    let binding = plugin.bind(Kind::HealthCheck, "{}").expect("binds");
    verdict(&binding).await;
    plugin.inspection().cached
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    let mut entries: Vec<_> =
        fs::read_dir(folder).expect("there").flatten().map(|entry| entry.path()).collect();
    entries.sort();
    entries
}

#[tokio::test]
async fn a_component_is_compiled_once_and_kept_in_private() {
    let folder = tempfile::tempdir().expect("folder");
    let cache = folder.path().join("plugins/cache");
    assert!(!cached(&cache, &Guest::healthy()).await);
    assert!(cached(&cache, &Guest::healthy()).await);
    let entries = entries(&cache);
    assert_eq!(entries.len(), 1, "{entries:?}");
    let mode = |path: &Path| path.metadata().expect("there").permissions().mode() & 0o777;
    assert_eq!((mode(&cache), mode(&entries[0])), (0o700, 0o600));
    // Another component is another entry.
    assert!(!cached(&cache, &Guest::check("(call $verdict (i32.const 1))")).await);
}

#[tokio::test]
async fn a_damaged_entry_is_compiled_anew_and_replaced() {
    let folder = tempfile::tempdir().expect("folder");
    cached(folder.path(), &Guest::healthy()).await;
    let entry = entries(folder.path()).remove(0);
    let whole = fs::read(&entry).expect("readable");
    let mut flipped = whole.clone();
    let middle = whole.len() / 2;
    flipped[middle] ^= 1;
    for damaged in [&whole[..whole.len() / 2], &flipped, b"", b"nonsense"] {
        fs::write(&entry, damaged).expect("written");
        assert!(!cached(folder.path(), &Guest::healthy()).await);
        assert!(cached(folder.path(), &Guest::healthy()).await);
    }
}

#[tokio::test]
async fn an_entry_that_others_could_have_written_is_not_trusted() {
    let folder = tempfile::tempdir().expect("folder");
    cached(folder.path(), &Guest::healthy()).await;
    let entry = entries(folder.path()).remove(0);
    for mode in [0o602, 0o620, 0o644] {
        fs::set_permissions(&entry, fs::Permissions::from_mode(mode)).expect("mode");
        assert!(!cached(folder.path(), &Guest::healthy()).await, "{mode:o}");
    }
}

#[tokio::test]
async fn an_entry_of_another_component_or_engine_is_not_taken_for_this_one() {
    let folder = tempfile::tempdir().expect("folder");
    let other = Guest::check("(call $verdict (i32.const 1))");
    cached(folder.path(), &Guest::healthy()).await;
    let first = entries(folder.path()).remove(0);
    cached(folder.path(), &other).await;
    let second = entries(folder.path()).into_iter().find(|path| *path != first).expect("two");
    fs::copy(&second, &first).expect("copied");
    assert!(!cached(folder.path(), &Guest::healthy()).await);

    // What an engine with other settings made stands under another name; under this one it
    // would not be opened.
    let signals = World::with(Settings {
        workers: 1,
        cache_dir: Some(folder.path().to_owned()),
        traps: Traps::Signals,
        ..Settings::default()
    });
    let plugin = signals.load(&Guest::healthy()).await;
    assert!(!plugin.inspection().cached);
    let binding = plugin.bind(Kind::HealthCheck, "{}").expect("binds");
    verdict(&binding).await;
    let third = entries(folder.path()).into_iter().find(|path| ![&first, &second].contains(&path));
    fs::copy(third.expect("three"), &first).expect("copied");
    assert!(!cached(folder.path(), &Guest::healthy()).await);
}

#[tokio::test]
async fn without_a_place_for_the_cache_plugins_load_all_the_same() {
    let folder = tempfile::tempdir().expect("folder");
    let file = folder.path().join("file");
    fs::write(&file, "in the way").expect("written");
    assert!(!cached(&file, &Guest::healthy()).await);
    assert!(!cached(&file.join("below"), &Guest::healthy()).await);
}

#[tokio::test]
async fn the_same_bytes_are_compiled_once_for_all_who_ask() {
    let world = World::new();
    let guest = Guest::healthy();
    let (one, two, three) =
        tokio::join!(world.load(&guest), world.load(&guest), world.load(&guest));
    let took = one.inspection().compile;
    assert!(!took.is_zero());
    assert_eq!((two.inspection().compile, three.inspection().compile), (took, took));
}
