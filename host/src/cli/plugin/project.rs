//! The project of a plugin: a folder with a `plugin.yaml`, the contract in `wit/`, and
//! sources.

use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::args::{KindName, Language};
use crate::cli::{ExitKind, Failure};

/// The file that makes a folder the project of a plugin.
pub(super) const MANIFEST: &str = "plugin.yaml";

/// What `plugin.yaml` says.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Manifest {
    /// The component is `NAME.wasm`.
    pub(super) name: String,
    pub(super) kind: KindName,
    pub(super) language: Language,
    /// More arguments for the compiler.
    #[serde(default)]
    pub(super) flags: Vec<String>,
}

/// A folder and what it is to become.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Project {
    pub(super) directory: PathBuf,
    pub(super) manifest: Manifest,
}

impl Project {
    /// Reads the project that is in `directory`.
    pub(super) fn open(directory: &Path) -> Result<Project, Failure> {
        let path = directory.join(MANIFEST);
        let text = fs::read_to_string(&path).map_err(|error| {
            let missing = error.kind() == std::io::ErrorKind::NotFound;
            let failure = Failure::from(error).doing(&format!("read \"{}\"", path.display()));
            if !missing {
                return failure;
            }
            failure.hint(
                "this is for the folder of a plugin; \"kennel plugin new --kind health-check --lang rust NAME\" makes one",
            )
        })?;
        let manifest: Manifest = serde_yaml::from_str(&text).map_err(|error| {
            Failure::new(ExitKind::Invalid, format!("{}: {error}", path.display()))
        })?;
        if let Some(reason) = wrong_name(&manifest.name) {
            let message = format!("{}: name \"{}\" {reason}", path.display(), manifest.name);
            return Err(Failure::new(ExitKind::Invalid, message));
        }
        Ok(Project { directory: directory.to_owned(), manifest })
    }

    /// The contract that the project is built against.
    pub(super) fn wit(&self) -> PathBuf {
        self.directory.join("wit")
    }

    /// The world of the contract that belongs to the kind.
    pub(super) fn world(&self) -> &'static str {
        self.manifest.kind.world()
    }

    /// What is made on the way, and need not be kept.
    pub(super) fn scratch(&self) -> PathBuf {
        self.directory.join("build")
    }
}

/// Why a plugin cannot have this name; none when it can.
pub(super) fn wrong_name(name: &str) -> Option<&'static str> {
    let first_is_letter = name.starts_with(|letter: char| letter.is_ascii_lowercase());
    let fits = |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit();
    if !first_is_letter {
        Some("must begin with a letter from a to z")
    } else if !name.chars().all(|letter| fits(letter) || letter == '-') {
        Some("may have letters from a to z, digits and \"-\" only")
    } else if name.len() > 64 {
        Some("is longer than 64 letters")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_that_fit_into_files_crates_and_configurations() {
        for name in ["depth", "a", "http-2-check"] {
            assert_eq!(wrong_name(name), None, "{name}");
        }
        for name in ["", "2fast", "-x", "Depth", "a_b", "a/b", "ä", "a b"] {
            assert!(wrong_name(name).is_some(), "{name}");
        }
    }
}
