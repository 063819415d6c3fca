//! Machine code from the cache: the one place outside of `host/src/os` with `unsafe`.
//!
//! The engine runs what is in the file. So it must be what this supervisor's user wrote, and
//! must be whole: the folder and the file belong to that user and are open to nobody else,
//! and a checksum covers what was written. Both are seen to here, before the engine looks.
#![allow(unsafe_code)]

use std::fs::{DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Read};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

use nix::fcntl::OFlag;
use nix::unistd::geteuid;
use sha2::{Digest, Sha256};
use wasmtime::Engine;
use wasmtime::component::Component;

/// How an entry begins.
const MAGIC: &[u8; 8] = b"KNLCODE1";
/// Magic, key, checksum.
const HEADER: usize = MAGIC.len() + 32 + 32;

/// Makes the folder private, and creates it where there is none.
pub(crate) fn private_folder(folder: &Path) -> io::Result<()> {
    match DirBuilder::new().recursive(true).mode(0o700).create(folder) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(error),
    }
    let metadata = folder.symlink_metadata()?;
    if !metadata.is_dir() || metadata.uid() != geteuid().as_raw() {
        return Err(io::Error::other("the folder belongs to somebody else"));
    }
    if metadata.mode() & 0o077 != 0 {
        std::fs::set_permissions(folder, Permissions::from_mode(0o700))?;
    }
    Ok(())
}

/// An entry, as it stands in a file: machine code under the key that it was made for.
pub(crate) fn seal(key: &[u8; 32], code: &[u8]) -> Vec<u8> {
    let mut entry = Vec::with_capacity(HEADER + code.len());
    entry.extend_from_slice(MAGIC);
    entry.extend_from_slice(key);
    entry.extend_from_slice(&Sha256::digest(code));
    entry.extend_from_slice(code);
    entry
}

/// The component in an entry.
///
/// # Errors
/// There is none, it is not private, not whole or not of this engine.
pub(crate) fn open(engine: &Engine, path: &Path, key: &[u8; 32]) -> io::Result<Component> {
    let entry = read_private(path)?;
    let code = unseal(&entry, key).ok_or_else(|| io::Error::other("the entry is damaged"))?;
    // SAFETY: `code` was made by `Component::serialize` of this version of the engine with
    // these settings, since `key` covers both, and it is unchanged, since its checksum fits
    // and nobody but this user (who may do to this process what he likes) could write it.
    // It is a copy in memory, so the file may change from here on.
    let component = unsafe { Component::deserialize(engine, code) };
    component.map_err(|error| io::Error::other(error.to_string()))
}

/// The machine code in an entry, if it is whole and stands under this key.
fn unseal<'a>(entry: &'a [u8], key: &[u8; 32]) -> Option<&'a [u8]> {
    let rest = entry.strip_prefix(MAGIC)?.strip_prefix(key)?;
    let (checksum, code) = rest.split_at_checked(32)?;
    (checksum == Sha256::digest(code).as_slice()).then_some(code)
}

/// Reads a file that belongs to this user and that nobody else may even read.
fn read_private(path: &Path) -> io::Result<Vec<u8>> {
    let mut file: File =
        OpenOptions::new().read(true).custom_flags(OFlag::O_NOFOLLOW.bits()).open(path)?;
    let metadata = file.metadata()?;
    let is_private = metadata.uid() == geteuid().as_raw() && metadata.mode() & 0o077 == 0;
    if !metadata.is_file() || !is_private {
        return Err(io::Error::other("the entry is not private"));
    }
    let mut bytes = Vec::with_capacity(usize::try_from(metadata.len()).unwrap_or_default());
    file.read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_opens_under_its_own_key_and_undamaged_only() {
        let key = [7; 32];
        let entry = seal(&key, b"code");
        assert_eq!(unseal(&entry, &key), Some(b"code".as_slice()));
        assert_eq!(unseal(&entry, &[8; 32]), None);
        assert_eq!(unseal(&entry[..entry.len() - 1], &key), None);
        assert_eq!(unseal(&entry[..HEADER - 1], &key), None);
        for index in 0..entry.len() {
            let mut damaged = entry.clone();
            damaged[index] ^= 1;
            assert_eq!(unseal(&damaged, &key), None, "byte {index}");
        }
    }

    fn set_mode(path: &Path, mode: u32) {
        std::fs::set_permissions(path, Permissions::from_mode(mode)).expect("mode");
    }

    #[test]
    fn what_others_may_read_or_write_is_not_trusted() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("entry");
        std::fs::write(&path, "x").expect("written");
        for (mode, trusted) in [(0o600, true), (0o640, false), (0o602, false), (0o400, true)] {
            set_mode(&path, mode);
            assert_eq!(read_private(&path).is_ok(), trusted, "{mode:o}");
        }
        let link = folder.path().join("link");
        std::os::unix::fs::symlink(&path, &link).expect("link");
        assert!(read_private(&link).is_err(), "a link");
        let private = folder.path().join("a/b");
        private_folder(&private).expect("made");
        set_mode(&private, 0o755);
        private_folder(&private).expect("there");
        assert_eq!(private.metadata().expect("there").mode() & 0o777, 0o700);
    }
}
