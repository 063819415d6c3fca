//! Where the bytes of a plugin come from.

use std::fs::OpenOptions;
use std::io::Read as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use nix::fcntl::OFlag;
use sha2::{Digest as _, Sha256};

use super::table::Refused;
use crate::config::PluginSource;
use crate::os::Cause;

/// The largest component that is read.
pub(super) const COMPONENT_MAX: u64 = 64 * 1024 * 1024;

/// A file system that takes longer to give a file is not waited for.
const PATIENCE: Duration = Duration::from_secs(30);

/// A component, and what it is known by.
pub(super) struct Component {
    pub(super) bytes: Arc<[u8]>,
    /// In hexadecimal.
    pub(super) sha256: String,
}

/// The name of a source for people: `stock:redis`, or a path.
pub(super) fn shown(source: &PluginSource) -> String {
    match source {
        PluginSource::Stock(name) => format!("stock:{name}"),
        PluginSource::File(path) => path.display().to_string(),
    }
}

/// Reads the component at `source`.
///
/// # Errors
/// It cannot be read, or not in time.
pub(super) async fn read(source: &PluginSource) -> Result<Component, Refused> {
    let source = source.clone();
    let reading = tokio::task::spawn_blocking(move || {
        let bytes = match &source {
            PluginSource::Stock(name) => stock(name)?,
            PluginSource::File(path) => file(path)?,
        };
        let sha256 = hexadecimal(&Sha256::digest(&bytes));
        Ok(Component { bytes, sha256 })
    });
    match tokio::time::timeout(PATIENCE, reading).await {
        Ok(Ok(component)) => component,
        Ok(Err(_)) => Err(Refused::new("the supervisor is ending")),
        Err(_) => Err(Refused::new(format!("it cannot be read within {} s", PATIENCE.as_secs()))),
    }
}

fn stock(name: &str) -> Result<Arc<[u8]>, Refused> {
    match crate::stock::component(name) {
        Some(bytes) => Ok(bytes.into()),
        None => Err(Refused::new(format!("no plugin \"{name}\" ships with this build"))),
    }
}

fn file(path: &Path) -> Result<Arc<[u8]>, Refused> {
    let refused = |why: String| Refused::new(format!("cannot read \"{}\": {why}", path.display()));
    let failed = |error: std::io::Error| refused(Cause::from_io(&error).to_string());
    // Whatever it is, opening it must not wait for anybody.
    let flags = OFlag::O_CLOEXEC | OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
    let file = OpenOptions::new().read(true).custom_flags(flags.bits()).open(path);
    let file = file.map_err(failed)?;
    let about = file.metadata().map_err(failed)?;
    if !about.is_file() {
        return Err(refused("it is no regular file".to_owned()));
    }
    if about.len() > COMPONENT_MAX {
        let mib = COMPONENT_MAX >> 20;
        return Err(refused(format!("it has {} bytes, the limit is {mib} MiB", about.len())));
    }
    let mut bytes = Vec::new();
    file.take(COMPONENT_MAX + 1).read_to_end(&mut bytes).map_err(failed)?;
    Ok(bytes.into())
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
