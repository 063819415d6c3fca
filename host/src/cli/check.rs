//! `kennel check`

use std::io::Write as _;

use super::connect::block_on;
use super::{ExitKind, Global, Outcome};
use crate::config::{self, ConfigErrors, Environment, Loaded};
use crate::os::Unlimited;
use crate::plugins::{self, Invalid};

/// How many mistakes of plugins are shown.
const SHOWN: usize = 20;

pub(super) fn check(global: &Global) -> Outcome {
    let path = global.config();
    let loaded = config::load(path, &Environment::current())?;
    for warning in &loaded.warnings {
        writeln!(std::io::stderr(), "warning: {warning}\n")?;
    }
    warn_of_limits(&loaded)?;
    check_plugins(&loaded)?;
    let counted = |count, what: &str| match count {
        1 => format!("1 {what}"),
        count => format!("{count} {what}s"),
    };
    let mut found = counted(loaded.config.services.len(), "service");
    if !loaded.config.plugins.is_empty() {
        found = format!("{found}, {}", counted(loaded.config.plugins.len(), "plugin"));
    }
    writeln!(std::io::stdout(), "{}: ok, {found}", path.display())?;
    Ok(ExitKind::Done)
}

/// Says which limits would not hold for a supervisor that is started from here.
fn warn_of_limits(loaded: &Loaded) -> std::io::Result<()> {
    for service in &loaded.config.services {
        for Unlimited { limit, why } in service.launch.cgroup.that_cannot_hold() {
            let path = format!("services.{}.cgroup.{limit}", service.spec.name);
            let message = format!("\"{limit}\" would not hold here: {why}");
            let warning = loaded.places.error_at(&path, &message, None);
            writeln!(std::io::stderr(), "warning: {warning}\n")?;
        }
    }
    Ok(())
}

/// Has every plugin loaded, and look at its configurations.
fn check_plugins(loaded: &Loaded) -> Result<(), super::Failure> {
    let mut invalid =
        block_on(async { Ok(plugins::validate(&loaded.config, super::TRAPS).await) })?;
    if invalid.is_empty() {
        return Ok(());
    }
    let more = invalid.len().saturating_sub(SHOWN);
    invalid.truncate(SHOWN);
    let error = |invalid: &Invalid| {
        let Invalid { path, message, hint } = invalid;
        loaded.places.error_at(path, message, hint.as_deref())
    };
    Err(ConfigErrors { errors: invalid.iter().map(error).collect(), more }.into())
}
