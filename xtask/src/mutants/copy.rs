//! Copies of sources, to break and mend.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use super::list::Mutant;

/// A copy, and what it is a copy of.
pub(super) struct Copy {
    original: PathBuf,
    pub(super) folder: PathBuf,
}

impl Copy {
    /// Copies `parts` of `original` to `folder`, in place of what was there.
    pub(super) fn new(original: PathBuf, folder: PathBuf, parts: &[&str]) -> anyhow::Result<Copy> {
        if folder.exists() {
            fs::remove_dir_all(&folder).context("cannot remove an old copy")?;
        }
        fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        for part in parts {
            copy(&original.join(part), &folder.join(part))?;
        }
        Ok(Copy { original, folder })
    }

    /// Replaces a file of the copy.
    pub(super) fn write(&self, file: &str, text: &str) -> anyhow::Result<()> {
        let path = self.folder.join(file);
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))
    }

    /// What `look` sees while the fault is in the file at `place`.
    pub(super) fn with_fault<T>(
        &self,
        mutant: &Mutant,
        place: &str,
        look: impl FnOnce() -> anyhow::Result<T>,
    ) -> anyhow::Result<T> {
        let source =
            fs::read_to_string(self.original.join(place)).context("cannot read the source")?;
        let broken = mutant.apply(&source).map_err(anyhow::Error::msg)?;
        self.write(place, &broken)?;
        let seen = look();
        self.write(place, &source)?;
        seen
    }
}

/// Copies a file, a link as it is, or a directory with what is in it.
fn copy(from: &Path, to: &Path) -> anyhow::Result<()> {
    let cannot = || format!("cannot copy {}", from.display());
    let about = fs::symlink_metadata(from).with_context(cannot)?;
    if about.is_symlink() {
        let leads_to = fs::read_link(from).with_context(cannot)?;
        return std::os::unix::fs::symlink(leads_to, to).with_context(cannot);
    }
    if !about.is_dir() {
        return fs::copy(from, to).map(drop).with_context(cannot);
    }
    fs::create_dir_all(to).with_context(|| format!("cannot make {}", to.display()))?;
    for entry in fs::read_dir(from).with_context(cannot)? {
        let name = entry.with_context(cannot)?.file_name();
        copy(&from.join(&name), &to.join(&name))?;
    }
    Ok(())
}
