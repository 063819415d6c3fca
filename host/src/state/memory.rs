//! What the core remembers of an instance, as JSON.
//!
//! The core knows no file formats, so its types have their shape on disk here, variant for
//! variant: a change of the core that is not followed here does not compile. Times are
//! nanoseconds of the boot's clock. Names of variants and fields are the format: to rename
//! one is another [`FORMAT`](super::table_file::FORMAT), to add one with a default is not.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use kennel_core::spec::{Enabled, GiveUp, RestartLimit};
use kennel_core::{
    Cause, Counters, Entry, ExitStatus, GaveUp, Health, Missed, PastRun, Progress, Remembered,
    RememberedPhase, RememberedRun, RunId, Signal, Stability, Stage, StopReason, Time, Told,
    Wanted, Word,
};
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
#[serde(remote = "Remembered", rename = "instance")]
pub(super) struct RememberedDef {
    service: Arc<str>,
    index: u32,
    name: Arc<str>,
    #[serde(with = "WantedDef")]
    wanted: Wanted,
    #[serde(with = "EnabledDef")]
    enabled: Enabled,
    #[serde(with = "PhaseDef")]
    phase: RememberedPhase,
    #[serde(with = "time")]
    since: Time,
    #[serde(with = "CountersDef")]
    counters: Counters,
    #[serde(default, with = "maybe_cause", skip_serializing_if = "Option::is_none")]
    last_failure: Option<Cause>,
    #[serde(default, with = "last_exit", skip_serializing_if = "Option::is_none")]
    last_exit: Option<(ExitStatus, Time)>,
    #[serde(default, with = "history", skip_serializing_if = "Vec::is_empty")]
    history: Vec<PastRun>,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Wanted", rename_all = "snake_case")]
enum WantedDef {
    Up,
    Down,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Enabled", rename_all = "snake_case")]
enum EnabledDef {
    Yes,
    No,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "RememberedPhase", rename_all = "snake_case")]
enum PhaseDef {
    Down,
    Waiting(#[serde(with = "EntryDef")] Entry),
    Backoff {
        #[serde(with = "time")]
        until: Time,
        #[serde(with = "EntryDef")]
        entry: Entry,
    },
    Failed {
        #[serde(with = "GaveUpDef")]
        reason: GaveUp,
        #[serde(default, with = "maybe_time", skip_serializing_if = "Option::is_none")]
        retry_at: Option<Time>,
    },
    Done,
    Run(#[serde(with = "RunDef")] RememberedRun),
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Entry", rename_all = "snake_case")]
enum EntryDef {
    Fresh,
    Automatic,
    Attempt,
    Retry,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "GaveUp", rename_all = "snake_case")]
enum GaveUpDef {
    Limit(#[serde(with = "RestartLimitDef")] RestartLimit),
    Attempts(u32),
    Policy,
    Advice(Arc<str>),
    Group(Arc<str>),
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "GiveUp", rename_all = "snake_case")]
enum GiveUpDef {
    Stay,
    Exit,
    RetryAfter(Duration),
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "RestartLimit")]
struct RestartLimitDef {
    max: u32,
    within: Duration,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "RememberedRun")]
struct RunDef {
    #[serde(with = "RunIdDef")]
    run: RunId,
    #[serde(default, with = "maybe_time", skip_serializing_if = "Option::is_none")]
    spawned_at: Option<Time>,
    #[serde(with = "ProgressDef")]
    progress: Progress,
    #[serde(default, with = "maybe_reason", skip_serializing_if = "Option::is_none")]
    renewal: Option<StopReason>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    watchdog: Option<Duration>,
    #[serde(default, with = "maybe_time", skip_serializing_if = "Option::is_none")]
    excused_until: Option<Time>,
    #[serde(default = "maybe_missed", with = "WordDef")]
    word: Word,
    #[serde(with = "reported")]
    reported: (Health, Arc<str>),
    /// Found out by who restores it.
    #[serde(skip)]
    ended: Option<(ExitStatus, kennel_core::Group)>,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Word", rename_all = "snake_case")]
enum WordDef {
    Heard,
    MaybeMissed,
}

/// Of a run of which nobody has written it.
fn maybe_missed() -> Word {
    Word::MaybeMissed
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "RunId")]
struct RunIdDef(u64);

#[derive(Serialize, Deserialize)]
#[serde(remote = "Progress", rename_all = "snake_case")]
enum ProgressDef {
    Starting,
    Up(#[serde(with = "StabilityDef")] Stability),
    Stopping {
        #[serde(with = "StopReasonDef")]
        reason: StopReason,
        #[serde(with = "StabilityDef")]
        stability: Stability,
        #[serde(with = "StageDef")]
        stage: Stage,
        #[serde(default, with = "maybe_status", skip_serializing_if = "Option::is_none")]
        main: Option<ExitStatus>,
    },
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Stability", rename_all = "snake_case")]
enum StabilityDef {
    NeverReady,
    Unproven,
    Stable,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Stage", rename_all = "snake_case")]
enum StageDef {
    Unborn,
    Announced {
        #[serde(with = "time")]
        until: Time,
    },
    Aborted {
        wait: Duration,
        #[serde(with = "time")]
        until: Time,
    },
    Command {
        #[serde(with = "time")]
        until: Time,
    },
    Step {
        index: usize,
        wait: Duration,
        #[serde(with = "time")]
        until: Time,
    },
    Killed {
        #[serde(with = "time")]
        at: Time,
        #[serde(with = "ToldDef")]
        told: Told,
    },
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Told", rename_all = "snake_case")]
enum ToldDef {
    No,
    Yes,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "StopReason", rename_all = "snake_case")]
enum StopReasonDef {
    Operator,
    Removed,
    Shutdown,
    Dependency(Arc<str>),
    Restart,
    Configuration,
    DependencyRestarted(Arc<str>),
    GroupRestarted(Arc<str>),
    GroupGaveUp(Arc<str>, #[serde(with = "GiveUpDef")] GiveUp),
    NotReady(Duration, Option<Arc<str>>),
    Unhealthy(String),
    Watchdog(#[serde(with = "MissedDef")] Missed),
    Announced,
    Remnants(#[serde(with = "ExitStatusDef")] ExitStatus),
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Missed", rename_all = "snake_case")]
enum MissedDef {
    Sign(Duration),
    Nothing,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "ExitStatus", rename_all = "snake_case")]
enum ExitStatusDef {
    Code(i32),
    Signal {
        #[serde(with = "signal")]
        signal: Signal,
        core_dumped: bool,
    },
    OutOfMemory,
    Unknown,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Cause", rename_all = "snake_case")]
enum CauseDef {
    Exited(#[serde(with = "ExitStatusDef")] ExitStatus),
    StartFailed(String),
    NotReady(Duration, Option<Arc<str>>),
    Unhealthy(String),
    Watchdog(#[serde(with = "MissedDef")] Missed),
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Health", rename_all = "snake_case")]
enum HealthDef {
    Unknown,
    Healthy,
    Degraded,
    Unhealthy,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "PastRun")]
struct PastRunDef {
    #[serde(with = "time")]
    ended_at: Time,
    uptime: Duration,
    #[serde(with = "CauseDef")]
    cause: Cause,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Counters")]
struct CountersDef {
    restarts: u32,
    streak: u32,
    failures: u32,
    attempts: u32,
    #[serde(default, with = "maybe_time", skip_serializing_if = "Option::is_none")]
    failing_since: Option<Time>,
    #[serde(default, with = "times", skip_serializing_if = "VecDeque::is_empty")]
    recent: VecDeque<Time>,
}

/// Nanoseconds of a time; far in the future is where a number ends.
fn nanos(time: Time) -> u64 {
    u64::try_from(time.since_origin().as_nanos()).unwrap_or(u64::MAX)
}

fn of_nanos(nanos: u64) -> Time {
    Time::from_origin(Duration::from_nanos(nanos))
}

/// Functions for `#[serde(with)]` of a type by way of another one.
macro_rules! by_way_of {
    ($module:ident, $type:ty, $way:ty, $to:expr, $from:expr) => {
        mod $module {
            use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

            use super::*;

            pub(super) fn serialize<S: Serializer>(
                value: &$type,
                serializer: S,
            ) -> Result<S::Ok, S::Error> {
                let to: fn(&$type) -> $way = $to;
                to(value).serialize(serializer)
            }

            pub(super) fn deserialize<'de, D: Deserializer<'de>>(
                deserializer: D,
            ) -> Result<$type, D::Error> {
                let from: fn($way) -> Option<$type> = $from;
                from(<$way>::deserialize(deserializer)?).ok_or_else(|| D::Error::custom("no such"))
            }
        }
    };
}

#[derive(Serialize, Deserialize)]
struct OneCause(#[serde(with = "CauseDef")] Cause);

#[derive(Serialize, Deserialize)]
struct OneReason(#[serde(with = "StopReasonDef")] StopReason);

#[derive(Serialize, Deserialize)]
struct OneStatus(#[serde(with = "ExitStatusDef")] ExitStatus);

#[derive(Serialize, Deserialize)]
struct OneRun(#[serde(with = "PastRunDef")] PastRun);

#[derive(Serialize, Deserialize)]
struct OneHealth(#[serde(with = "HealthDef")] Health);

by_way_of!(time, Time, u64, |time| nanos(*time), |number| Some(of_nanos(number)));
by_way_of!(maybe_time, Option<Time>, Option<u64>, |time| time.map(nanos), |number| Some(
    number.map(of_nanos)
));
by_way_of!(
    times,
    VecDeque<Time>,
    Vec<u64>,
    |times| times.iter().copied().map(nanos).collect(),
    |numbers| Some(numbers.into_iter().map(of_nanos).collect())
);
by_way_of!(signal, Signal, i32, |signal| signal.number(), Signal::from_number);
by_way_of!(
    maybe_cause,
    Option<Cause>,
    Option<OneCause>,
    |cause| cause.clone().map(OneCause),
    |cause| Some(cause.map(|OneCause(cause)| cause))
);
by_way_of!(
    maybe_reason,
    Option<StopReason>,
    Option<OneReason>,
    |reason| reason.clone().map(OneReason),
    |reason| Some(reason.map(|OneReason(reason)| reason))
);
by_way_of!(
    maybe_status,
    Option<ExitStatus>,
    Option<OneStatus>,
    |status| status.map(OneStatus),
    |status| Some(status.map(|OneStatus(status)| status))
);
by_way_of!(
    last_exit,
    Option<(ExitStatus, Time)>,
    Option<(OneStatus, u64)>,
    |exit| exit.map(|(status, at)| (OneStatus(status), nanos(at))),
    |exit| Some(exit.map(|(OneStatus(status), at)| (status, of_nanos(at))))
);
by_way_of!(
    history,
    Vec<PastRun>,
    Vec<OneRun>,
    |runs| runs.iter().cloned().map(OneRun).collect(),
    |runs| Some(runs.into_iter().map(|OneRun(run)| run).collect())
);
by_way_of!(
    reported,
    (Health, Arc<str>),
    (OneHealth, Arc<str>),
    |(health, why)| (OneHealth(*health), why.clone()),
    |(OneHealth(health), why)| Some((health, why))
);

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Serialize, Deserialize)]
    struct Saved(#[serde(with = "RememberedDef")] Remembered);

    fn at(seconds: u64) -> Time {
        Time::from_origin(Duration::from_secs(seconds))
    }

    #[test]
    fn what_is_remembered_is_read_as_it_was_written() {
        let sign = Missed::Sign(Duration::from_secs(2));
        let killed = ExitStatus::Signal { signal: Signal::KILL, core_dumped: false };
        let causes = [
            Cause::Exited(ExitStatus::Code(3)),
            Cause::Exited(killed),
            Cause::StartFailed("no".into()),
            Cause::NotReady(Duration::from_millis(1500), Some("why".into())),
            Cause::Unhealthy("bad".into()),
            Cause::Watchdog(sign),
            Cause::Watchdog(Missed::Nothing),
        ];
        let run = |progress| {
            RememberedPhase::Run(RememberedRun {
                run: RunId(u64::MAX),
                spawned_at: Some(at(3)),
                progress,
                renewal: Some(StopReason::Dependency("db".into())),
                watchdog: Some(Duration::from_secs(9)),
                excused_until: Some(at(7)),
                word: Word::MaybeMissed,
                reported: (Health::Degraded, "slow".into()),
                ended: None,
            })
        };
        let stopping = |reason, stage| {
            let (stability, main) = (Stability::Stable, Some(ExitStatus::Unknown));
            run(Progress::Stopping { reason, stability, stage, main })
        };
        let (until, wait) = (at(5), Duration::from_secs(4));
        let phases = [
            RememberedPhase::Down,
            RememberedPhase::Waiting(Entry::Fresh),
            RememberedPhase::Backoff { until, entry: Entry::Attempt },
            RememberedPhase::Failed { reason: GaveUp::Advice("x".into()), retry_at: Some(until) },
            RememberedPhase::Failed { reason: GaveUp::Attempts(2), retry_at: None },
            RememberedPhase::Failed { reason: GaveUp::Group("g".into()), retry_at: None },
            RememberedPhase::Done,
            run(Progress::Starting),
            run(Progress::Up(Stability::Unproven)),
            stopping(StopReason::Remnants(killed), Stage::Killed { at: until, told: Told::Yes }),
            stopping(StopReason::Watchdog(sign), Stage::Aborted { wait, until }),
            stopping(StopReason::NotReady(wait, None), Stage::Step { index: 1, wait, until }),
            stopping(StopReason::Operator, Stage::Command { until }),
            stopping(StopReason::GroupRestarted("g".into()), Stage::Command { until }),
            stopping(StopReason::GroupGaveUp("g".into(), GiveUp::RetryAfter(wait)), Stage::Unborn),
        ];
        for phase in phases {
            let mut one = Remembered::nothing("web", 3, "web/3");
            one.wanted = Wanted::Down;
            one.enabled = Enabled::No;
            one.phase = phase;
            one.since = at(1);
            one.counters = Counters {
                restarts: 1,
                streak: 2,
                failures: 3,
                attempts: 4,
                failing_since: Some(at(1)),
                recent: [at(1), at(2)].into(),
            };
            one.last_failure = Some(causes[0].clone());
            one.last_exit = Some((killed, at(4)));
            let past = |cause: &Cause| PastRun {
                ended_at: at(8),
                uptime: Duration::from_millis(1),
                cause: cause.clone(),
            };
            one.history = causes.iter().map(past).collect();
            let text = serde_json::to_string(&Saved(one.clone())).unwrap();
            let Saved(read) = serde_json::from_str(&text).unwrap();
            assert_eq!(read, one, "{text}");
        }
        let nothing = Remembered::nothing("web", 0, "web");
        let text = serde_json::to_string(&Saved(nothing.clone())).unwrap();
        let Saved(read) = serde_json::from_str(&text).unwrap();
        assert_eq!(read, nothing, "{text}");
    }
}
