//! `kennel check`

use std::ffi::{OsStr, OsString};
use std::io::{ErrorKind, Write as _};
use std::path::PathBuf;

use super::connect::block_on;
use super::{ExitKind, Global, Outcome};
use crate::config::{self, Command, ConfigErrors, Environment, Loaded, ServiceConfig};
use crate::os::{ProgramError, Unlimited, find_program};
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
    warn_of_programs(&loaded)?;
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

/// Says which programs would not be found by a supervisor that is started from here. No error:
/// a program may come with a mount, or be made by a oneshot before.
fn warn_of_programs(loaded: &Loaded) -> std::io::Result<()> {
    for service in &loaded.config.services {
        for (key, program, what) in programs(service) {
            let Err(error) = find(program, service) else { continue };
            let path = format!("services.{}.{key}", service.spec.name);
            let message = format!("{what} of \"{}\": {error}", service.spec.name);
            let warning = loaded.places.error_at(&path, &message, error.hint().as_deref());
            writeln!(std::io::stderr(), "warning: {warning}\n")?;
        }
    }
    Ok(())
}

/// The programs that a service names, with the keys where they stand. What a shell runs is known
/// to the shell.
fn programs(service: &ServiceConfig) -> impl Iterator<Item = (&str, &String, &str)> {
    let command = match &service.launch.command {
        Command::Argv(argv) => argv.first(),
        Command::Shell(_) | Command::Task(_) => None,
    };
    let stop = service.stop_command.as_ref().and_then(|argv| argv.first());
    let found = [("command", command, "the command"), ("stop.command", stop, "the stop command")];
    found.into_iter().filter_map(|(key, program, what)| Some((key, program?, what)))
}

/// Looks for a program as the start of the service will.
fn find(program: &str, service: &ServiceConfig) -> Result<(), ProgramError> {
    let program = OsStr::new(program);
    let path = service.launch.env.get("PATH").map(OsString::from);
    let path = path.or_else(|| std::env::var_os("PATH"));
    let denies = |folder: PathBuf| {
        let found = std::fs::metadata(folder.join(program));
        found.is_err_and(|error| error.kind() == ErrorKind::PermissionDenied)
    };
    match find_program(program, path.as_deref(), Some(&service.launch.working_dir)) {
        // What only the user of the service can see is not for us to judge.
        Err(ProgramError::NotFound { .. })
            if path.iter().flat_map(std::env::split_paths).any(denies) =>
        {
            Ok(())
        }
        found => found.map(drop),
    }
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
