//! From the command line to a client of the supervisor that is meant.

use std::future::Future;

use super::{ExitKind, Failure, Global};
use crate::api::Client;
use crate::config::{self, Environment};
use crate::state::Place;

/// The client of the supervisor that is meant: by `--socket`, `KENNEL_SOCKET`, else by the
/// configuration file.
pub(super) fn client(global: &Global) -> Result<Client, Failure> {
    if let Some(socket) = global.socket() {
        return Ok(Client::new(socket));
    }
    let config = global.config();
    let paths = config::client_paths(config, &Environment::current());
    let Some(socket) = paths.socket else {
        let cause = "cannot tell which supervisor is meant: HOME is not set";
        return Err(Failure::new(ExitKind::Invalid, cause).hint("name its socket with --socket"));
    };
    let Some(dir) = &paths.state_dir else { return Ok(Client::new(socket)) };
    let place = Place::read(dir);
    if paths.is_named_after_file && config.exists() {
        let ours = std::path::absolute(config).unwrap_or_else(|_| config.to_owned());
        place.check(dir, &ours).map_err(|other| {
            Failure::new(ExitKind::Invalid, other.to_string()).hint(other.hint())
        })?;
    }
    // In another environment, or under an earlier configuration, it listens elsewhere.
    let elsewhere = place.socket.filter(|listening| !socket.exists() && listening.exists());
    Ok(Client::new(elsewhere.unwrap_or(socket)))
}

/// The same failure; when no supervisor is there because no configuration is, with that
/// as the likely reason: the command was given in another directory.
pub(super) fn explained(failure: Failure, global: &Global) -> Failure {
    let config = global.config();
    let is_lost =
        failure.kind() == ExitKind::NoSupervisor && global.socket().is_none() && !config.exists();
    if !is_lost {
        return failure;
    }
    let (config, way) =
        (config.display(), "name another with -c FILE, or the socket with --socket");
    failure.hint(format!("\"{config}\", by which the supervisor is found, is not here; {way}"))
}

/// Runs a verb that talks to a supervisor.
pub(super) fn block_on<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(work)
}
