//! What people are told: facts and the decisions that followed.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::human::Human;
use crate::restart::Counted;
use crate::spec::{GiveUp, RestartLimit};
use crate::{ExitStatus, Health, InstanceId, RunId, Signal, Time};

/// One thing that happened.
#[derive(Clone, PartialEq, Debug)]
pub struct Event {
    /// When, in the core's time.
    pub at: Time,
    /// Which instance; none when it concerns the supervisor.
    pub instance: Option<InstanceId>,
    /// The name of the instance.
    pub name: Option<Arc<str>>,
    /// What.
    pub kind: EventKind,
}

/// What happened. [`EventKind::name`] gives its dotted name, `Display` a sentence.
#[derive(Clone, PartialEq, Debug)]
pub enum EventKind {
    /// What the operator wants has changed.
    Wanted(Wanted, Origin),
    /// The instance waits before it can start; the sentence says for what.
    Waiting(String),
    /// A process was made. `restarts` counts the automatic ones so far.
    Started {
        /// The run.
        run: RunId,
        /// Automatic restarts so far.
        restarts: u32,
    },
    /// A run that an earlier supervisor began goes on under this one.
    Adopted {
        /// The run.
        run: RunId,
    },
    /// It is ready.
    Ready {
        /// The run.
        run: RunId,
        /// How long after the spawn.
        after: Duration,
    },
    /// A run ended, or none could be made.
    Ended {
        /// The run.
        run: RunId,
        /// Why.
        cause: Cause,
        /// How long the process had existed.
        uptime: Duration,
    },
    /// The run is being stopped, for this reason.
    Stopping {
        /// The run.
        run: RunId,
        /// Why.
        reason: StopReason,
    },
    /// The stop needed one more step.
    Escalated {
        /// The run.
        run: RunId,
        /// What is sent now.
        signal: Signal,
        /// How long the step before was given; none when a second request cut it.
        waited: Option<Duration>,
    },
    /// Even SIGKILL has not ended the run yet.
    Stuck {
        /// The run.
        run: RunId,
        /// How long ago it was sent.
        after: Duration,
    },
    /// Processes of the group outlived the main process and were killed.
    Swept {
        /// The run.
        run: RunId,
    },
    /// The instance has come to rest because that is wanted.
    Stopped,
    /// It ended with success and will not run again.
    Done,
    /// Another run follows.
    Backoff {
        /// After this wait.
        delay: Duration,
        /// Why the wait is what it is.
        rule: DelayRule,
        /// Where it stands in the restart limit.
        counted: Option<Counted>,
    },
    /// The policy that was asked has chosen another wait.
    PolicyDecided {
        /// The run that had ended.
        run: RunId,
        /// From now on.
        delay: Duration,
        /// Why, in its words.
        reason: String,
    },
    /// No other run follows by itself.
    Failed {
        /// Why not.
        reason: GaveUp,
        /// What the configuration wants then.
        then: GiveUp,
    },
    /// The run has been healthy for `reset_after`: the counters forget.
    Stable {
        /// The run.
        run: RunId,
    },
    /// What the checks say has changed.
    HealthChanged {
        /// The run.
        run: RunId,
        /// Before.
        from: Health,
        /// Now.
        to: Health,
        /// One sentence.
        reason: String,
    },
    /// The run gave no sign of life in time, or said itself that it is stuck.
    WatchdogMissed {
        /// The run.
        run: RunId,
        /// Which of both.
        missed: Missed,
    },
    /// The operator sent a signal.
    Signalled {
        /// The run.
        run: RunId,
        /// The signal.
        signal: Signal,
    },
    /// Failures were forgotten on request.
    Reset,
    /// The instances of a service get new runs, a few at a time.
    RollBegan {
        /// In this order, but first what is not available.
        instances: Vec<Arc<str>>,
        /// So many may be unavailable at the same time.
        max_unavailable: u32,
    },
    /// All have their new runs, and those have come up.
    RollEnded {
        /// So many.
        done: u32,
    },
    /// One did not come up: the rest keep the runs they have.
    RollFailed {
        /// Which one.
        at: Arc<str>,
        /// Why not.
        why: String,
        /// The rest.
        kept: Vec<Arc<str>>,
    },
    /// A group has failed: its members were stopped.
    GroupFailed {
        /// Its name.
        group: Arc<str>,
        /// Why.
        why: GroupFailure,
        /// The group that decides what follows; none when it gave up.
        above: Option<Arc<str>>,
    },
    /// Runs of an earlier supervisor were found.
    WentOn {
        /// So many go on.
        adopted: u32,
        /// So many had ended while no supervisor ran.
        ended: u32,
    },
    /// The supervisor begins to shut down.
    ShuttingDown(Shutdown),
    /// The supervisor leaves although these still run: SIGKILL did not end them.
    LeftBehind(Vec<Arc<str>>),
}

/// What the operator wants of an instance. Nothing that happens overwrites it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Wanted {
    /// It should run; a oneshot: it should have run.
    Up,
    /// It should not run.
    Down,
}

/// Who says so.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Origin {
    /// The configuration.
    Configuration,
    /// A command.
    Operator,
    /// A command for that service, which requires this one.
    RequiredBy(Arc<str>),
}

/// Why a run ended by itself.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Cause {
    /// Its main process ended.
    Exited(ExitStatus),
    /// It never began: no process could be made.
    StartFailed(String),
    /// It was not ready in time and was stopped; with what the last look said.
    NotReady(Duration, Option<Arc<str>>),
    /// Its checks failed and it was stopped.
    Unhealthy(String),
    /// It gave no sign of life and was stopped.
    Watchdog(Missed),
}

/// What was missed of a watchdog.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Missed {
    /// A sign of life within this time.
    Sign(Duration),
    /// Nothing: the run said itself that it is stuck.
    Nothing,
}

/// Why a run is being stopped.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum StopReason {
    /// The operator wants it down.
    Operator,
    /// It is no longer in the configuration.
    Removed,
    /// The supervisor shuts down.
    Shutdown,
    /// What it requires is being stopped.
    Dependency(Arc<str>),
    /// The operator wants a new run.
    Restart,
    /// Its configuration has changed.
    Configuration,
    /// What it requires was restarted, and wants its dependents to follow.
    DependencyRestarted(Arc<str>),
    /// Another member of this group has failed, and it restarts with that.
    GroupRestarted(Arc<str>),
    /// This group gave up, and wants that then.
    GroupGaveUp(Arc<str>, GiveUp),
    /// It was not ready in time; with what the last look said.
    NotReady(Duration, Option<Arc<str>>),
    /// Its checks failed.
    Unhealthy(String),
    /// It gave no sign of life.
    Watchdog(Missed),
    /// It said that it stops by itself.
    Announced,
    /// Its main process ended and left others behind.
    Remnants(ExitStatus),
}

/// Why the wait before a restart is what it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DelayRule {
    /// The first failure after a stable run restarts at once.
    FirstAfterStable,
    /// The wait grows with each failure.
    Backoff,
    /// It has not been ready yet, and there is a budget for that.
    Attempt {
        /// The how-manieth attempt comes next.
        next: u32,
        /// How many there are.
        max: u32,
    },
}

/// Why there is no other run.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum GaveUp {
    /// Too many restarts.
    Limit(RestartLimit),
    /// So many attempts to get up, and none was ready.
    Attempts(u32),
    /// The policy is `never`.
    Policy,
    /// The policy that was asked wants no other run, for this reason.
    Advice(Arc<str>),
    /// This group gave up, or one above it.
    Group(Arc<str>),
}

/// Why a group has failed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum GroupFailure {
    /// Its members have failed more often than this.
    Limit(RestartLimit),
    /// This member has given up.
    Member(Arc<str>),
}

/// How the supervisor shuts down.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Shutdown {
    /// In reverse dependency order.
    Orderly,
    /// In order, because a service that gave up wants it so.
    GaveUp,
    /// At once.
    Now,
    /// At once, because the orderly one took too long.
    TimedOut,
}

impl EventKind {
    /// The dotted name, as in the journal and on the wire.
    pub fn name(&self) -> &'static str {
        match self {
            EventKind::Wanted(..) => "service.wanted",
            EventKind::Waiting(_) => "service.waiting",
            EventKind::Started { .. } => "service.started",
            EventKind::Adopted { .. } => "service.adopted",
            EventKind::Ready { .. } => "service.ready",
            EventKind::Ended { cause: Cause::StartFailed(_), .. } => "service.start_failed",
            EventKind::Ended { .. } => "service.exited",
            EventKind::Stopping { .. } => "service.stopping",
            EventKind::Escalated { .. } => "service.escalated",
            EventKind::Stuck { .. } => "service.stuck",
            EventKind::Swept { .. } => "service.swept",
            EventKind::Stopped => "service.stopped",
            EventKind::Done => "service.done",
            EventKind::Backoff { .. } => "service.backoff",
            EventKind::PolicyDecided { .. } => "service.policy",
            EventKind::Failed { .. } => "service.failed",
            EventKind::Stable { .. } => "service.stable",
            EventKind::HealthChanged { .. } => "health.changed",
            EventKind::WatchdogMissed { .. } => "watchdog.missed",
            EventKind::Signalled { .. } => "service.signalled",
            EventKind::Reset => "service.reset",
            EventKind::RollBegan { .. } => "service.rolling",
            EventKind::RollEnded { .. } => "service.rolled",
            EventKind::RollFailed { .. } => "service.roll_failed",
            EventKind::GroupFailed { .. } => "group.failed",
            EventKind::WentOn { .. } => "supervisor.adopted",
            EventKind::ShuttingDown(_) => "supervisor.stopping",
            EventKind::LeftBehind(_) => "supervisor.left_behind",
        }
    }
}

impl fmt::Display for EventKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            EventKind::Wanted(wanted, origin) => match (wanted, origin) {
                (Wanted::Up, Origin::Configuration) => {
                    f.write_str("wanted up by the configuration")
                }
                (Wanted::Up, Origin::Operator) => f.write_str("wanted up by the operator"),
                (Wanted::Up, Origin::RequiredBy(name)) => {
                    write!(f, "wanted up because {name} requires it")
                }
                (Wanted::Down, Origin::Configuration) => {
                    f.write_str("wanted down by the configuration")
                }
                (Wanted::Down, Origin::Operator | Origin::RequiredBy(_)) => {
                    f.write_str("wanted down by the operator")
                }
            },
            EventKind::Waiting(what) => f.write_str(what),
            EventKind::Started { run, restarts: 0 } => write!(f, "started (run {run})"),
            EventKind::Started { run, restarts } => {
                write!(f, "started (run {run}, restart {restarts})")
            }
            EventKind::Adopted { run } => write!(f, "adopted (run {run})"),
            EventKind::Ready { after, .. } => write!(f, "ready after {}", Human(*after)),
            EventKind::Ended { cause, uptime, .. } => match cause {
                Cause::Exited(_) => write!(f, "{cause} after {}", Human(*uptime)),
                Cause::StartFailed(_)
                | Cause::NotReady(..)
                | Cause::Unhealthy(_)
                | Cause::Watchdog(_) => write!(f, "{cause}"),
            },
            EventKind::Stopping { reason, .. } => write!(f, "stopping: {reason}"),
            EventKind::Escalated { signal, waited: Some(waited), .. } => {
                write!(f, "still there after {}, sending {signal}", Human(*waited))
            }
            EventKind::Escalated { signal, waited: None, .. } => {
                write!(f, "asked to stop again, sending {signal}")
            }
            EventKind::Stuck { after, .. } => {
                write!(
                    f,
                    "still there {} after SIGKILL: the kernel does not let go of it",
                    Human(*after)
                )
            }
            EventKind::Swept { .. } => f.write_str("processes that it left behind were ended"),
            EventKind::Stopped => f.write_str("stopped"),
            EventKind::Done => f.write_str("done"),
            EventKind::Backoff { delay, rule, counted } => {
                match rule {
                    DelayRule::FirstAfterStable => {
                        f.write_str("restarts at once, the first failure after a stable run")?;
                    }
                    DelayRule::Backoff => write!(f, "restarts in {}", Human(*delay))?,
                    DelayRule::Attempt { next, max } => {
                        write!(f, "starts again in {} (attempt {next} of {max})", Human(*delay))?;
                    }
                }
                match counted {
                    Some(Counted { number, limit }) => write!(
                        f,
                        " (restart {number} of {} within {})",
                        limit.max,
                        Human(limit.within)
                    ),
                    None => Ok(()),
                }
            }
            EventKind::PolicyDecided { delay, reason, .. } => {
                if delay.is_zero() {
                    f.write_str("its policy restarts it at once")?;
                } else {
                    write!(f, "its policy restarts it in {}", Human(*delay))?;
                }
                if reason.is_empty() { Ok(()) } else { write!(f, ": {reason}") }
            }
            EventKind::Failed { reason, then } => {
                write!(f, "gave up: {reason}")?;
                match then {
                    GiveUp::Stay => Ok(()),
                    GiveUp::Exit => f.write_str("; the supervisor exits, as on_give_up says"),
                    GiveUp::RetryAfter(delay) => write!(f, "; next try in {}", Human(*delay)),
                }
            }
            EventKind::Stable { .. } => f.write_str("stable; earlier failures are forgotten"),
            EventKind::HealthChanged { from, to, reason, .. } if reason.is_empty() => {
                write!(f, "health: {from} → {to}")
            }
            EventKind::HealthChanged { from, to, reason, .. } => {
                write!(f, "health: {from} → {to}: {reason}")
            }
            EventKind::WatchdogMissed { missed, .. } => write!(f, "watchdog: {missed}"),
            EventKind::Signalled { signal, .. } => write!(f, "sent {signal} to the main process"),
            EventKind::Reset => f.write_str("failures forgotten on request"),
            EventKind::RollBegan { instances, max_unavailable } => write!(
                f,
                "rolling restart of {}, at most {max_unavailable} unavailable at a time",
                instances.join(", ")
            ),
            EventKind::RollEnded { done: 1 } => f.write_str("rolling restart done, 1 instance"),
            EventKind::RollEnded { done } => write!(f, "rolling restart done, {done} instances"),
            EventKind::RollFailed { at, why, kept } if kept.is_empty() => {
                write!(f, "rolling restart failed at the last instance, {at}: {why}")
            }
            EventKind::RollFailed { at, why, kept } => write!(
                f,
                "rolling restart stopped at {at}: {why}; not restarted: {}",
                kept.join(", ")
            ),
            EventKind::GroupFailed { group, why, above } => {
                match why {
                    GroupFailure::Limit(RestartLimit { max, within }) => {
                        let (count, within) = (max.saturating_add(1), Human(*within));
                        let are = if count == 1 { "failure is" } else { "failures are" };
                        write!(f, "group {group}: {count} {are} too many within {within}")?;
                    }
                    GroupFailure::Member(name) => {
                        write!(f, "group {group}: {name} gave up")?;
                    }
                }
                match above {
                    Some(above) => write!(f, "; group {above} decides what follows"),
                    None => f.write_str("; it gave up"),
                }
            }
            EventKind::WentOn { adopted, ended } => {
                let runs = if *adopted == 1 { "run" } else { "runs" };
                write!(f, "adopted {adopted} {runs} of an earlier supervisor")?;
                if *ended > 0 { write!(f, "; {ended} had ended meanwhile") } else { Ok(()) }
            }
            EventKind::ShuttingDown(how) => f.write_str(match how {
                Shutdown::Orderly => "shutting down",
                Shutdown::GaveUp => "shutting down because a service gave up",
                Shutdown::Now => "killing everything that is left",
                Shutdown::TimedOut => "shutdown took too long, killing everything that is left",
            }),
            EventKind::LeftBehind(names) => {
                write!(f, "left behind, SIGKILL did not end them: {}", names.join(", "))
            }
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Cause::Exited(status) => write!(f, "{status}"),
            Cause::StartFailed(error) => write!(f, "could not be started: {error}"),
            Cause::NotReady(timeout, why) => {
                write!(f, "was not ready within {}", Human(*timeout))?;
                why.as_ref().map_or(Ok(()), |why| write!(f, ": {why}"))
            }
            Cause::Unhealthy(reason) => write!(f, "was unhealthy: {reason}"),
            Cause::Watchdog(Missed::Sign(every)) => {
                write!(f, "gave no sign of life within {}", Human(*every))
            }
            Cause::Watchdog(Missed::Nothing) => f.write_str("said itself that it is stuck"),
        }
    }
}

impl fmt::Display for Missed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Missed::Sign(every) => write!(f, "no sign of life within {}", Human(*every)),
            Missed::Nothing => f.write_str("it says itself that it is stuck"),
        }
    }
}

impl fmt::Display for StopReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StopReason::Operator => f.write_str("the operator wants it down"),
            StopReason::Removed => f.write_str("it is no longer configured"),
            StopReason::Shutdown => f.write_str("the supervisor shuts down"),
            StopReason::Dependency(name) => write!(f, "it requires {name}, which is being stopped"),
            StopReason::Restart => f.write_str("the operator wants a new run"),
            StopReason::Configuration => f.write_str("its configuration has changed"),
            StopReason::DependencyRestarted(name) => {
                write!(f, "it requires {name}, which restarts with its dependents")
            }
            StopReason::GroupRestarted(group) => {
                write!(f, "it restarts together with its group {group}")
            }
            StopReason::GroupGaveUp(group, _) => write!(f, "its group {group} gave up"),
            StopReason::NotReady(timeout, why) => {
                write!(f, "not ready within {}", Human(*timeout))?;
                why.as_ref().map_or(Ok(()), |why| write!(f, ": {why}"))
            }
            StopReason::Unhealthy(reason) => write!(f, "unhealthy: {reason}"),
            StopReason::Watchdog(missed) => write!(f, "watchdog: {missed}"),
            StopReason::Announced => f.write_str("it said that it stops"),
            StopReason::Remnants(status) => {
                write!(f, "the main process {status} and left others behind")
            }
        }
    }
}

impl fmt::Display for GaveUp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            GaveUp::Limit(limit) => {
                let restarts = if limit.max == 1 { "restart" } else { "restarts" };
                write!(f, "more than {} {restarts} within {}", limit.max, Human(limit.within))
            }
            GaveUp::Attempts(1) => f.write_str("the one attempt to get up has failed"),
            GaveUp::Attempts(max) => write!(f, "{max} attempts to get up have failed"),
            GaveUp::Policy => f.write_str("restart.policy is never"),
            GaveUp::Advice(why) if why.is_empty() => f.write_str("its policy wants no restart"),
            GaveUp::Advice(why) => write!(f, "its policy wants no restart: {why}"),
            GaveUp::Group(group) => write!(f, "its group {group} gave up"),
        }
    }
}

impl fmt::Display for Wanted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Wanted::Up => "up",
            Wanted::Down => "down",
        })
    }
}
