//! Compiled plugins on disk, so that a large one takes milliseconds to load and not seconds.
//!
//! An entry is found by what it was made from: the SHA-256 of the component, and a hash of
//! the engine, its settings and this crate. It is written beside and renamed, so there is
//! never half an entry under its name. All of it can be deleted at any time.

use std::fs::{self, File, OpenOptions};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use sha2::{Digest, Sha256};
use wasmtime::Engine;
use wasmtime::component::Component;

use crate::engine::trusted;

/// What the cache takes on disk at most, in bytes; the oldest entries go first.
const BYTES_MAX: u64 = 1024 * 1024 * 1024;
/// How the names of entries end.
const EXTENSION: &str = "code";
/// How the names of files end that are being written.
const UNFINISHED: &str = "new";

/// Entries that this process began to write.
static WRITTEN: AtomicU64 = AtomicU64::new(0);

/// The cache of one engine.
pub(crate) struct Cache {
    /// None: there is no cache.
    folder: Option<PathBuf>,
    engine_hash: u64,
}

impl Cache {
    pub(crate) fn new(engine: &Engine, folder: Option<PathBuf>) -> Self {
        let mut hasher = DefaultHasher::new();
        engine.precompile_compatibility_hash().hash(&mut hasher);
        env!("CARGO_PKG_VERSION").hash(&mut hasher);
        Self { folder, engine_hash: hasher.finish() }
    }

    /// The compiled form of the component with this SHA-256, if it is here and sound.
    pub(crate) fn find(&self, engine: &Engine, sha256: &[u8; 32]) -> Option<Component> {
        let folder = self.folder.as_deref()?;
        let path = self.path(folder, sha256);
        match trusted::open(engine, &path, &self.key(sha256)) {
            Ok(component) => {
                touch(&path);
                Some(component)
            }
            Err(error) => {
                if error.kind() != io::ErrorKind::NotFound {
                    tracing::warn!("compiled plugin {} is of no use: {error}", path.display());
                }
                None
            }
        }
    }

    /// Keeps the compiled form of a component. What fails is said in the log: the cache is a
    /// convenience.
    pub(crate) fn keep(&self, sha256: &[u8; 32], component: &Component) {
        let Some(folder) = self.folder.as_deref() else { return };
        if let Err(error) = self.write(folder, sha256, component) {
            tracing::warn!("cannot keep a compiled plugin in {}: {error}", folder.display());
        }
    }

    fn write(&self, folder: &Path, sha256: &[u8; 32], component: &Component) -> io::Result<()> {
        let code = component.serialize().map_err(|error| io::Error::other(error.to_string()))?;
        trusted::private_folder(folder)?;
        let path = self.path(folder, sha256);
        let number = WRITTEN.fetch_add(1, Ordering::Relaxed);
        let unfinished =
            path.with_extension(format!("{}-{number}.{UNFINISHED}", std::process::id()));
        // What a supervisor with the same pid left behind.
        let _ = fs::remove_file(&unfinished);
        let entry = trusted::seal(&self.key(sha256), &code);
        let written = create_private(&unfinished)
            .and_then(|mut file| file.write_all(&entry))
            .and_then(|()| fs::rename(&unfinished, &path));
        if written.is_err() {
            let _ = fs::remove_file(&unfinished);
        }
        prune(folder, BYTES_MAX)?;
        written
    }

    fn path(&self, folder: &Path, sha256: &[u8; 32]) -> PathBuf {
        folder.join(format!("{}-{:016x}.{EXTENSION}", hex(sha256), self.engine_hash))
    }

    /// What an entry is sealed with.
    fn key(&self, sha256: &[u8; 32]) -> [u8; 32] {
        let digest =
            Sha256::new().chain_update(sha256).chain_update(self.engine_hash.to_le_bytes());
        digest.finalize().into()
    }
}

/// Bytes in hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn create_private(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)
}

/// Marks an entry as used: the oldest ones are deleted first.
fn touch(path: &Path) {
    if let Ok(file) = OpenOptions::new().append(true).open(path) {
        let _ = file.set_modified(SystemTime::now());
    }
}

/// Deletes the entries that were used longest ago until the rest fits.
fn prune(folder: &Path, bytes_max: u64) -> io::Result<()> {
    let mut entries = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let path = entry.path();
        let is_ours = path.extension().is_some_and(|end| end == EXTENSION || end == UNFINISHED);
        // One that is gone already needs no place.
        if let (true, Ok(metadata)) = (is_ours, entry.metadata()) {
            entries.push((metadata.modified()?, metadata.len(), path));
        }
    }
    entries.sort();
    let mut bytes: u64 = entries.iter().map(|(_, length, _)| length).sum();
    for (_, length, path) in entries {
        if bytes <= bytes_max {
            break;
        }
        fs::remove_file(path)?;
        bytes -= length;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_oldest_entries_go_first_and_strangers_stay() {
        let folder = tempfile::tempdir().expect("folder");
        let make = |name: &str, age: u64| {
            let path = folder.path().join(name);
            fs::write(&path, [0; 100]).expect("written");
            let file = OpenOptions::new().append(true).open(path).expect("open");
            file.set_modified(SystemTime::now() - Duration::from_secs(age)).expect("aged");
        };
        make("old.code", 300);
        make("left.7.new", 200);
        make("recent.code", 100);
        make("notes.txt", 999);
        prune(folder.path(), 100).expect("pruned");
        let mut left: Vec<_> = fs::read_dir(folder.path())
            .expect("there")
            .flatten()
            .map(|entry| entry.file_name().into_string().expect("a name"))
            .collect();
        left.sort();
        assert_eq!(left, ["notes.txt", "recent.code"]);
    }
}
