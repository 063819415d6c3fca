//! What stands under `config:`.

use kennel_plugin::prelude::*;

use crate::FileSink;
use crate::line::Format;

/// Which file, and what is in it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The file.
    path: String,
    /// How events are written.
    #[serde(default)]
    format: Format,
    /// Events that matter less are left out.
    #[serde(default = "all")]
    min_severity: Severity,
    /// Whether a file that is full is renamed.
    #[serde(default = "yes")]
    rotate: bool,
    /// How large a file becomes.
    max_size: Option<Size>,
    /// How many renamed files are kept.
    keep: Option<u32>,
}

const MAX_SIZE: u64 = 10 << 20;
const MAX_SIZE_MIN: u64 = 1 << 10;
const KEEP: u32 = 5;
const KEEP_MAX: u32 = 1000;

/// What is written at once has to fit into the plugin's memory.
const CHUNK_MAX: u64 = 1 << 20;

fn all() -> Severity {
    Severity::Debug
}

fn yes() -> bool {
    true
}

impl Config {
    pub(crate) fn check(self) -> Result<FileSink, Problems> {
        let Config { path, format, min_severity, rotate, max_size, keep } = self;
        let mut problems = Problems::new();
        if path.is_empty() {
            problems.add("path", "is empty");
        } else if path.contains('\0') {
            problems.add("path", "is no path: it holds a null byte");
        } else if path.ends_with('/') {
            problems.add("path", "is a folder where a file is expected");
        }
        let max_bytes = max_size.map_or(MAX_SIZE, |size| size.0);
        problems.require(max_bytes >= MAX_SIZE_MIN, "max_size", "is less than 1KiB");
        let keep_files = keep.unwrap_or(KEEP);
        problems.require(keep_files <= KEEP_MAX, "keep", format!("is more than {KEEP_MAX}"));
        if !rotate {
            let why = "has no meaning without rotation";
            problems.require(max_size.is_none(), "max_size", why);
            problems.require(keep.is_none(), "keep", why);
        }
        problems.into_result()?;
        let (rotate, chunk_max) = match rotate {
            true => {
                let limits = Rotate { max_bytes: Some(max_bytes), keep: Some(keep_files) };
                (limits, max_bytes.min(CHUNK_MAX))
            }
            false => (Rotate::default(), CHUNK_MAX),
        };
        let chunk_max = chunk_max as usize;
        Ok(FileSink { path, format, min_severity, rotate, chunk_max })
    }
}
