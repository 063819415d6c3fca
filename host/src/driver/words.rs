//! The words by which metrics and events name causes.

use kennel_core::{Cause, ExitStatus, StopReason};

/// The one word for a cause, in metrics and events.
pub(super) fn cause_word(cause: &Cause) -> &'static str {
    match cause {
        Cause::Exited(ExitStatus::Code(_)) => "exit",
        Cause::Exited(ExitStatus::Signal { .. }) => "signal",
        Cause::Exited(ExitStatus::OutOfMemory) => "out-of-memory",
        Cause::Exited(ExitStatus::Unknown) => "unknown",
        Cause::StartFailed(_) => "start-failed",
        Cause::NotReady(..) => "not-ready",
        Cause::Unhealthy(_) => "unhealthy",
        Cause::Watchdog(_) => "watchdog",
    }
}

/// The one word for why something is stopped, in events.
pub(super) fn stop_word(reason: &StopReason) -> &'static str {
    match reason {
        StopReason::Operator => "operator",
        StopReason::Removed => "removed",
        StopReason::Shutdown => "shutdown",
        StopReason::Dependency(_) => "dependency",
        StopReason::Restart => "restart",
        StopReason::Configuration => "configuration",
        StopReason::DependencyRestarted(_) => "dependency-restarted",
        StopReason::GroupRestarted(_) => "group-restarted",
        StopReason::GroupGaveUp(..) => "group-gave-up",
        StopReason::NotReady(..) => "not-ready",
        StopReason::Unhealthy(_) => "unhealthy",
        StopReason::Watchdog(_) => "watchdog",
        StopReason::Announced => "announced",
        StopReason::Remnants(_) => "remnants",
    }
}
