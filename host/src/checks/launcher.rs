//! How a command that looks at a service is started: as the service itself is.

use crate::os::Launch;

/// Prepares processes for one run: with the service's directory, environment and user.
/// Lives as long as the run.
pub(crate) trait Launcher: Send + Sync {
    /// What is needed to start `argv`, its output discarded; or why that cannot be. Blocks
    /// for as long as the file system takes, so it belongs on a thread that may.
    fn launch(&self, argv: &[String]) -> Result<Launch, String>;
}
