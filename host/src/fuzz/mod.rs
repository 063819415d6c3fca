//! The doors through which bytes of others come in, for those who try to break them: the
//! fuzz targets in `fuzz/`, and a short run of the same in the tests below.
//!
//! Behind each stands the parser that a running supervisor uses. It must come back, whatever
//! it is given, and what it takes must survive being written and read once more. Where a
//! checksum stands before a parser it is made right first: a fuzzer would not get past it.

use std::path::Path;

#[cfg(feature = "api")]
use crate::api::try_query;
use crate::config::{self, Environment, try_env_file};
use crate::driver::try_notification;
use crate::journal::try_record;
use crate::logs::{line, try_ledger};
use crate::sinks::try_cursor;
use crate::state::{try_change, try_id, try_list, try_table};

#[cfg(test)]
mod tests;

/// A configuration, as far as it names no other file.
pub fn configuration(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    // These would be opened: what a fuzzer writes may be the name of anything.
    if ["include", "env_file", "plugin"].iter().any(|word| text.contains(word)) {
        return;
    }
    let path = Path::new("/nowhere/services.yaml");
    match config::load_str(path, text, &Environment::default()) {
        Ok(loaded) => {
            let plan = config::plan(&loaded.config, &loaded.config);
            assert!(plan.is_empty(), "a configuration differs from itself: {plan}");
        }
        // Each mistake has a place in the text, and can be shown.
        Err(errors) => assert!(!errors.to_string().is_empty()),
    }
}

/// A file of environment variables.
pub fn env_file(bytes: &[u8]) {
    if let Ok(text) = std::str::from_utf8(bytes) {
        try_env_file(text);
    }
}

/// A datagram to a notification socket.
pub fn notification(bytes: &[u8]) {
    try_notification(bytes);
}

/// The query of a request to the API: requests have no bodies.
#[cfg(feature = "api")]
pub fn parameters(bytes: &[u8]) {
    if let Ok(text) = std::str::from_utf8(bytes) {
        try_query(text);
    }
}

/// What stands behind the checksum of a record of the journal.
pub fn journal(bytes: &[u8]) {
    try_record(bytes);
}

/// A line of a log file.
pub fn log_line(bytes: &[u8]) {
    if let Some(parsed) = line::parse(bytes) {
        assert!(parsed.text.len() < bytes.len());
    }
}

/// What stands behind the checksum of a ledger, which says what of a spool is in the log.
pub fn ledger(bytes: &[u8]) {
    try_ledger(bytes);
}

/// What stands behind the checksums of the lines of a run table.
pub fn run_table(bytes: &[u8]) {
    try_table(bytes);
}

/// What stands behind the checksums of a change of what plugins remember.
pub fn plugin_memory(bytes: &[u8]) {
    try_change(bytes);
}

/// The list of what a supervisor passes on to its successor.
pub fn handover(bytes: &[u8]) {
    try_list(bytes);
}

/// The file with the id of a state directory.
pub fn state_id(bytes: &[u8]) {
    try_id(bytes);
}

/// What stands before the checksum of the cursor of a sink.
pub fn sink_cursor(bytes: &[u8]) {
    if let Ok(text) = std::str::from_utf8(bytes) {
        try_cursor(text);
    }
}
