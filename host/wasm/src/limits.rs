//! How much a call may take.

use std::time::Duration;

/// The longest wait for a restart that a policy may ask for; more is cut to it. The
/// supervision of services has the same limit.
pub const RESTART_WAIT_MAX: Duration = Duration::from_secs(7 * 86_400);

/// What one call of a plugin may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CallLimits {
    /// From the call to the answer, waiting included.
    pub time: Duration,
    /// Processor time of the plugin itself.
    pub cpu: Duration,
    /// Bytes of memory of one instance.
    pub memory: u64,
}

impl Default for CallLimits {
    fn default() -> Self {
        Self {
            time: Duration::from_secs(5),
            cpu: Duration::from_millis(250),
            memory: 32 * 1024 * 1024,
        }
    }
}
