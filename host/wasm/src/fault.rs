//! What can go wrong with a plugin, each a type of its own.

use std::time::Duration;

use crate::model::Kind;

/// Why a call of a plugin brought no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// The plugin failed; its instance is gone.
    #[error("the plugin trapped: {0}")]
    Trap(String),
    /// It did not answer in time.
    #[error("the plugin did not answer in time")]
    Deadline,
    /// It computed for longer than allowed.
    #[error("the plugin used more processor time than allowed")]
    Cpu,
    /// It asked for more memory than allowed.
    #[error("the plugin asked for more memory than allowed")]
    Memory,
    /// Too many calls wait for this plugin already. The plugin was not asked.
    #[error("too many calls wait for the plugin")]
    Busy,
    /// It failed too often and rests. The plugin was not asked.
    #[error("the plugin failed repeatedly and is not asked for another {}", rough(*for_))]
    Disabled {
        /// For how much longer.
        for_: Duration,
    },
    /// The runtime has ended.
    #[error("the plugin is not loaded any more")]
    Gone,
    /// The answer makes no sense, or the configuration was refused.
    #[error("the plugin answered badly: {0}")]
    BadAnswer(String),
}

/// A duration as a person would say it.
fn rough(duration: Duration) -> String {
    let seconds = duration.as_secs_f64();
    if seconds < 90.0 { format!("{seconds:.1} s") } else { format!("{:.0} min", seconds / 60.0) }
}

/// Is told what happens to plugins. Called from threads of the runtime; must not block.
pub trait Observer: Send + Sync + 'static {
    /// A call failed.
    fn fault(&self, plugin: &str, kind: Kind, fault: &Fault);
    /// Calls of this plugin failed too often: it rests.
    fn disabled(&self, plugin: &str, kind: Kind, until: Duration, fault: &Fault);
    /// It answers again.
    fn enabled(&self, plugin: &str, kind: Kind);
}

/// For those who do not want to know.
#[derive(Clone, Copy, Debug, Default)]
pub struct Unobserved;

impl Observer for Unobserved {
    fn fault(&self, _: &str, _: Kind, _: &Fault) {}
    fn disabled(&self, _: &str, _: Kind, _: Duration, _: &Fault) {}
    fn enabled(&self, _: &str, _: Kind) {}
}
