//! How a command that looks at a service is started: as the service itself is.

use std::os::fd::OwnedFd;

use crate::os::Process;

/// Makes processes for one run: in the service's directory, environment and user, each in
/// a group of its own. Lives as long as the run.
pub(crate) trait Launcher: Send + Sync {
    /// Starts `argv`, or says why not. Blocks for as long as the file system takes, so it
    /// belongs on a thread that may.
    fn launch(&self, argv: &[String]) -> Result<Launched, String>;
}

/// A command that runs, with the ends of the pipes that its output comes from.
pub(crate) struct Launched {
    /// The process; whoever has it kills its group and releases it.
    pub(crate) process: Process,
    /// What it writes to standard output.
    pub(crate) stdout: OwnedFd,
    /// What it writes to standard error.
    pub(crate) stderr: OwnedFd,
}
