//! Compiled plugins are kept, and never trusted blindly.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use kennel_wasm::{Kind, LoadError, Settings, Traps};

use crate::support::{Guest, World, bounded, verdict};

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
async fn what_an_interrupted_write_left_behind_is_harmless() {
    let folder = tempfile::tempdir().expect("folder");
    cached(folder.path(), &Guest::healthy()).await;
    let entry = entries(folder.path()).remove(0);
    let whole = fs::read(&entry).expect("readable");
    fs::remove_file(&entry).expect("removed");
    // Of this process and the numbers that it is about to use, and of another one.
    for number in 0..500 {
        let left = entry.with_extension(format!("{}-{number}.new", std::process::id()));
        fs::write(left, &whole[..whole.len() / 2]).expect("written");
    }
    let foreign = entry.with_extension("1-0.new");
    fs::write(&foreign, &whole[..whole.len() / 2]).expect("written");
    assert!(!cached(folder.path(), &Guest::healthy()).await, "half an entry is none");
    assert!(cached(folder.path(), &Guest::healthy()).await);
    assert!(foreign.exists(), "another supervisor may be writing it");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_runtimes_that_write_the_same_entry_at_once_leave_one_that_is_whole() {
    let folder = tempfile::tempdir().expect("folder");
    let guest = Guest::healthy();
    let mut loading = tokio::task::JoinSet::new();
    for _ in 0..2 {
        let (folder, guest) = (folder.path().to_owned(), guest.clone());
        loading.spawn(async move { cached(&folder, &guest).await });
    }
    while let Some(loaded) = loading.join_next().await {
        loaded.expect("it answered");
    }
    let entries = entries(folder.path());
    assert_eq!(entries.len(), 1, "{entries:?}");
    assert!(entries[0].extension().is_some_and(|end| end == "code"), "{entries:?}");
    assert!(cached(folder.path(), &guest).await);
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

/// Compiling it takes long: hundreds of functions with thousands of steps each.
fn slow_to_compile() -> Guest {
    let steps = "(local.set 0 (i32.rotl (i32.mul (local.get 0) (local.get 1)) (local.get 0)))
                 (local.set 1 (i32.xor (local.get 0) (local.get 1)))"
        .repeat(1000);
    let functions: String = (0..200)
        .map(|number| {
            format!(
                "(func $f{number} (param i32 i32) (result i32) {steps} (local.get {}))",
                number % 2
            )
        })
        .collect();
    Guest::healthy().items(&functions)
}

#[tokio::test]
async fn a_compile_that_takes_too_long_is_refused_and_holds_up_nobody() {
    let folder = tempfile::tempdir().expect("folder");
    let limit = Duration::from_millis(100);
    let world = World::with(Settings {
        workers: 1,
        cache_dir: Some(folder.path().to_owned()),
        compile_time: limit,
        ..Settings::default()
    });
    let slow = slow_to_compile().build();
    let refused = bounded(world.try_load(slow.clone())).await.err().expect("refused");
    assert_eq!(refused, LoadError::Slow { limit });
    assert_eq!(refused.to_string(), "compiling the component takes longer than 0.1 s");
    assert!(refused.hint().expect("a hint").contains("later"));
    let loads = async |bytes: &[u8]| loop {
        match world.try_load(bytes.to_vec()).await {
            Ok(plugin) => return plugin,
            // This machine may be slow for the quick one, too.
            Err(LoadError::Slow { .. } | LoadError::Busy { .. }) => {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            Err(error) => panic!("{error}"),
        }
    };
    bounded(loads(&Guest::healthy().build())).await;
    // It went on, and what came of it is kept.
    let plugin = bounded(loads(&slow)).await;
    assert!(plugin.inspection().cached);
}
