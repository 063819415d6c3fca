//! What the driver must do, in order.

use std::time::Duration;

use crate::{CheckId, InstanceId, RunId, Signal};

/// One thing to do. Its outcome, where there is one, comes back as an [`crate::Input`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Effect {
    /// Make a process. Answer: `Spawned` or `SpawnFailed`, later `Exited`.
    Spawn {
        /// Of which instance.
        instance: InstanceId,
        /// The name that all facts about it bear.
        run: RunId,
    },
    /// Run the stop command beside the run, cut it after `timeout`. Answer:
    /// `StopCommandEnded`.
    RunStopCommand {
        /// The run to be stopped.
        run: RunId,
        /// How long it may take.
        timeout: Duration,
    },
    /// End the stop command if it still runs; no answer is expected.
    EndStopCommand {
        /// The run to be stopped.
        run: RunId,
    },
    /// Send a signal. No answer: what comes of it is an exit, or nothing.
    Signal {
        /// The run.
        run: RunId,
        /// The signal.
        signal: Signal,
        /// Who gets it.
        to: Recipient,
    },
    /// Tell when the rest of the group has ended. Answer: `GroupEnded` or
    /// `Swept`.
    WatchGroup {
        /// The run whose main process has ended.
        run: RunId,
    },
    /// Make a check of a run, cut it after `timeout`. Answer: `Checked`.
    Check {
        /// The run.
        run: RunId,
        /// Which check.
        check: CheckId,
        /// To be given back with the answer.
        number: u32,
        /// An answer that takes longer is late.
        timeout: Duration,
    },
    /// Ask the restart policy what shall follow this run, which has ended by itself.
    /// Answer: `PolicyDecided`, soon: without one the built-in wait holds.
    AskPolicy {
        /// The instance.
        instance: InstanceId,
        /// The run that has ended.
        run: RunId,
        /// How long the built-in policy waits.
        delay: Duration,
    },
    /// The run is over; forget all about it.
    Release {
        /// The run.
        run: RunId,
    },
    /// Everything has ended: leave with this code.
    Exit {
        /// 0, or 1 when a service that gave up wanted it so.
        code: i32,
    },
}

/// Who gets a signal.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Recipient {
    /// The main process alone.
    Main,
    /// The whole process group.
    Group,
}
