//! `kennel check`

use std::io::Write as _;

use super::{ExitKind, Global, Outcome};
use crate::config::{self, Environment};

pub(super) fn check(global: &Global) -> Outcome {
    let path = global.config();
    let loaded = config::load(path, &Environment::current())?;
    for warning in &loaded.warnings {
        writeln!(std::io::stderr(), "warning: {warning}\n")?;
    }
    let services = match loaded.config.services.len() {
        1 => "1 service".to_owned(),
        count => format!("{count} services"),
    };
    writeln!(std::io::stdout(), "{}: ok, {services}", path.display())?;
    Ok(ExitKind::Done)
}
