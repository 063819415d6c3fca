//! `kennel schema`

use std::io::Write as _;

use super::{ExitKind, Outcome};
use crate::config;

pub(super) fn schema() -> Outcome {
    let text = serde_json::to_string_pretty(&config::schema()).map_err(std::io::Error::from)?;
    writeln!(std::io::stdout(), "{text}")?;
    Ok(ExitKind::Done)
}
