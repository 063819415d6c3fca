//! From the command line to a client of the supervisor that is meant.

use std::future::Future;

use super::{ExitKind, Failure, Global};
use crate::api::Client;
use crate::config::{self, Environment};

/// The client of the supervisor that is meant: by `--socket`, `KENNEL_SOCKET`, else by the
/// configuration file.
pub(super) fn client(global: &Global) -> Result<Client, Failure> {
    if let Some(socket) = global.socket() {
        return Ok(Client::new(socket));
    }
    let found = config::client_socket(global.config(), &Environment::current());
    found.map(Client::new).ok_or_else(|| {
        Failure::new(ExitKind::Invalid, "cannot tell which supervisor is meant: HOME is not set")
            .hint("name its socket with --socket")
    })
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
