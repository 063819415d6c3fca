//! Where the component is that a command is about.

use std::fs;
use std::io::{self, Read as _};
use std::path::Path;
use std::sync::Arc;

use crate::cli::{ExitKind, Failure};
use crate::stock;
use crate::suggest::near;

/// A file that is longer is none that a runtime would take: it need not be read.
const BYTES_MAX: u64 = 64 * 1024 * 1024;

/// A component, read.
pub(super) struct Source {
    /// As the user wrote it.
    pub(super) label: String,
    /// What it is called when it runs.
    pub(super) name: Arc<str>,
    pub(super) bytes: Arc<[u8]>,
}

impl Source {
    /// Reads a file, or takes a plugin of this binary.
    pub(super) fn read(written: &Path) -> Result<Source, Failure> {
        let label = written.display().to_string();
        if let Some(name) = label.strip_prefix("stock:") {
            return Source::stock(name);
        }
        let name = written.file_stem().unwrap_or_default().to_string_lossy().as_ref().into();
        let what = format!("read \"{label}\"");
        let failed = |error: io::Error| {
            let is_missing = error.kind() == io::ErrorKind::NotFound;
            let failure = Failure::from(error).doing(&what);
            match meant(&label).filter(|_| is_missing) {
                Some(name) => failure.hint(format!("did you mean \"stock:{name}\"?")),
                None => failure,
            }
        };
        let mut bytes = Vec::new();
        // One byte more than is taken says that there is more.
        fs::File::open(written)
            .and_then(|file| file.take(BYTES_MAX + 1).read_to_end(&mut bytes))
            .map_err(failed)?;
        Ok(Source { label, name, bytes: bytes.into() })
    }

    fn stock(name: &str) -> Result<Source, Failure> {
        let Some(bytes) = stock::component(name) else {
            let message = format!("no plugin of kennel is named \"{name}\"");
            let near = near(name, stock::names().iter().copied(), 1);
            let hint = match near.first() {
                Some(near) => format!("did you mean \"stock:{near}\"?"),
                None => format!("there are {}", stock::names().join(", ")),
            };
            return Err(Failure::new(ExitKind::Invalid, message).hint(hint));
        };
        Ok(Source { label: format!("stock:{name}"), name: name.into(), bytes: bytes.into() })
    }
}

/// The plugin of this binary that is written like a file, without `stock:`.
fn meant(label: &str) -> Option<&'static str> {
    stock::names().iter().copied().find(|name| *name == label)
}
