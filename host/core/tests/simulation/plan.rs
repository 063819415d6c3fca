//! What is supervised: random services, and how their processes behave.

use std::time::Duration;

use kennel_core::spec::{
    Advice, Attempts, Backoff, CheckSpec, Condition, Dependency, Dependents, Enabled, GiveUp, Kind,
    OnUnhealthy, Policy, Ready, RestartLimit, Rolling, StopCommand, StopStep, Strength, WaitFor,
};
use kennel_core::{Limits, ServiceSpec, Signal};

use crate::random::Random;

/// How much happens.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Pace {
    /// Everything at once: minutes full of trouble.
    Busy,
    /// Months in which trouble is rare.
    Calm,
}

impl Pace {
    /// How likely the supervisor is killed after a step.
    pub(crate) fn deaths(self) -> f64 {
        match self {
            Pace::Busy => 0.005,
            Pace::Calm => 0.003,
        }
    }
}

/// How processes of a service behave; chances are of one.
#[derive(Clone)]
pub(crate) struct Temper {
    pub(crate) lifetime: (f64, f64),
    pub(crate) dies_early: f64,
    pub(crate) exits_well: f64,
    pub(crate) never_ready: f64,
    pub(crate) ready_delay: (f64, f64),
    pub(crate) spawn_fails: f64,
    pub(crate) ignores_signals: f64,
    pub(crate) stop_delay: (f64, f64),
    pub(crate) leaves_remnants: f64,
    pub(crate) hard_to_kill: f64,
    /// Seconds between changes of health; none: there is no check.
    pub(crate) health_changes: Option<(f64, f64)>,
    /// Seconds that its checks are in a mood.
    pub(crate) spells: (f64, f64),
    /// Seconds between things that it says of itself; none: it is silent.
    pub(crate) speaks: Option<(f64, f64)>,
}

/// The longest that the world takes to make a process, to let SIGKILL work and to
/// report anything; the bounds of the rules are made of these.
pub(crate) const SPAWN_AT_MOST: f64 = 3.0;
pub(crate) const KILL_AT_MOST: f64 = 25.0;
pub(crate) const REPORT_AT_MOST: f64 = 2.0;
/// A process asks three times for that long, at most.
pub(crate) const EXTENSION_AT_MOST: f64 = 10.0;

pub(crate) fn limits(random: &mut Random) -> Limits {
    Limits {
        max_concurrent_starts: random.pick(&[1, 2, 3, 5, 64]),
        max_restarts_per_second: random.pick(&[1, 2, 3, 7, 100]),
        shutdown_timeout: random.seconds(2.0, 120.0),
    }
}

/// The name of service number `number`. Dependencies lead to smaller numbers only, so
/// that no reload can make a cycle.
pub(crate) fn name(number: usize) -> String {
    format!("s{number:02}")
}

pub(crate) fn temper(random: &mut Random, pace: Pace) -> Temper {
    let lifetime = match pace {
        Pace::Busy => (0.05, 600.0),
        Pace::Calm => (600.0, 20.0 * 86_400.0),
    };
    let rarely = |random: &mut Random, odds: f64, much: f64, little: f64| {
        if random.chance(odds) { much } else { little }
    };
    Temper {
        lifetime,
        dies_early: rarely(random, 0.2, 0.7, 0.1),
        exits_well: rarely(random, 0.3, 0.8, 0.1),
        never_ready: rarely(random, 0.15, 0.8, 0.02),
        ready_delay: (0.01, 10.0),
        spawn_fails: rarely(random, 0.15, 0.6, 0.02),
        ignores_signals: rarely(random, 0.2, 0.9, 0.05),
        stop_delay: (0.001, rarely(random, 0.3, 20.0, 0.5)),
        leaves_remnants: rarely(random, 0.2, 0.7, 0.03),
        hard_to_kill: rarely(random, 0.05, 0.5, 0.005),
        health_changes: random.chance(0.5).then_some(match pace {
            Pace::Busy => (0.1, 200.0),
            Pace::Calm => (60.0, 10.0 * 86_400.0),
        }),
        spells: match pace {
            Pace::Busy => (1.0, 120.0),
            Pace::Calm => (3600.0, 5.0 * 86_400.0),
        },
        speaks: random.chance(0.3).then_some(match pace {
            Pace::Busy => (0.1, 10.0),
            Pace::Calm => (3600.0, 86_400.0),
        }),
    }
}

pub(crate) fn spec(random: &mut Random, pace: Pace, number: usize, known: &[usize]) -> ServiceSpec {
    let mut spec = if random.chance(0.15) {
        ServiceSpec::oneshot(name(number))
    } else {
        ServiceSpec::daemon(name(number))
    };
    if random.chance(0.1) {
        spec.enabled = Enabled::No;
    }
    if random.chance(0.2) {
        spec.replicas = 2 + random.below(2) as u32;
    }
    spec.depends_on = dependencies(random, number, known);
    spec.ready = match random.below(4) {
        0 | 1 => Ready::After(random.seconds(0.01, 5.0)),
        2 => Ready::Reported { timeout: random.seconds(0.5, 30.0) },
        _ => Ready::Checked {
            every: random.seconds(0.05, 5.0),
            attempt: random.seconds(0.1, 5.0),
            timeout: random.seconds(0.5, 30.0),
        },
    };
    spec.health = checks(random, pace);
    if random.chance(0.2) {
        spec.watchdog = Some(match pace {
            Pace::Busy => random.seconds(1.0, 30.0),
            Pace::Calm => random.seconds(3600.0, 3.0 * 86_400.0),
        });
    }
    if random.chance(0.2) {
        spec.restart.advice = Advice::Ask;
    }
    spec.rolling = rolling(random, pace);
    restart(random, pace, &mut spec);
    stop(random, &mut spec);
    if spec.kind == Kind::Oneshot && random.chance(0.5) {
        spec.restart.policy = Policy::OnFailure;
    }
    spec
}

pub(crate) fn checks(random: &mut Random, pace: Pace) -> Vec<CheckSpec> {
    let (every, timeout) = match pace {
        Pace::Busy => ((0.2, 20.0), (0.1, 10.0)),
        Pace::Calm => ((3600.0, 86_400.0), (1.0, 600.0)),
    };
    let many = random.pick(&[0, 0, 0, 1, 1, 2]);
    let check = |number: usize, random: &mut Random| CheckSpec {
        name: format!("c{number}").into(),
        every: random.seconds(every.0, every.1),
        timeout: random.seconds(timeout.0, timeout.1),
        failures: 1 + random.below(4) as u32,
        timeouts: 1 + random.below(6) as u32,
        successes: 1 + random.below(3) as u32,
        grace: random.seconds(0.001, 3.0 * every.1),
        on_unhealthy: random.pick(&[
            OnUnhealthy::Restart,
            OnUnhealthy::Restart,
            OnUnhealthy::Report,
        ]),
    };
    let mut checks: Vec<CheckSpec> = (0..many).map(|number| check(number, random)).collect();
    if random.chance(0.5) {
        checks.reverse();
    }
    checks
}

pub(crate) fn dependencies(random: &mut Random, number: usize, known: &[usize]) -> Vec<Dependency> {
    let mut found: Vec<Dependency> = Vec::new();
    let below: Vec<usize> = known.iter().copied().filter(|other| *other < number).collect();
    let many = random.pick(&[0, 0, 1, 1, 2, 3]).min(below.len());
    for _ in 0..many {
        let service: std::sync::Arc<str> = name(random.pick(&below)).into();
        if found.iter().any(|dependency| dependency.service == service) {
            continue;
        }
        let condition = match random.below(10) {
            0 | 1 => Condition::Started,
            2 => Condition::Done,
            _ => Condition::Ready,
        };
        let strength = if random.chance(0.7) { Strength::Required } else { Strength::Optional };
        found.push(Dependency { service, condition, strength });
    }
    found
}

fn rolling(random: &mut Random, pace: Pace) -> Rolling {
    let (low, high) = match pace {
        Pace::Busy => (1.0, 100.0),
        Pace::Calm => (100.0, 86_400.0),
    };
    Rolling {
        max_unavailable: 1 + random.below(2) as u32,
        wait_for: random.pick(&[WaitFor::Ready, WaitFor::Healthy]),
        timeout: random.seconds(low, high),
    }
}

fn restart(random: &mut Random, pace: Pace, spec: &mut ServiceSpec) {
    let (first, most, retry, stable) = match pace {
        Pace::Busy => ((0.05, 5.0), (1.0, 60.0), (5.0, 120.0), (1.0, 30.0)),
        Pace::Calm => ((0.5, 300.0), (600.0, 6.0 * 3600.0), (3600.0, 86_400.0), (1.0, 600.0)),
    };
    let restart = &mut spec.restart;
    restart.policy = match random.below(10) {
        0 => Policy::Never,
        1..=3 => Policy::OnFailure,
        _ => Policy::Always,
    };
    restart.backoff = Backoff {
        initial: random.seconds(first.0, first.1),
        factor: random.pick(&[1.0, 1.5, 2.0, 4.0]),
        max: random.seconds(most.0, most.1),
        jitter: random.pick(&[0.0, 0.1, 0.5]),
    };
    restart.limit = random.chance(0.75).then(|| RestartLimit {
        max: random.below(7) as u32,
        within: random.seconds(10.0, 3600.0),
    });
    restart.reset_after = random.seconds(stable.0, stable.1);
    restart.on_give_up = match random.below(20) {
        0..=9 => GiveUp::Stay,
        10..=18 => GiveUp::RetryAfter(random.seconds(retry.0, retry.1)),
        _ if pace == Pace::Busy && random.chance(0.3) => GiveUp::Exit,
        _ => GiveUp::Stay,
    };
    let later = GiveUp::RetryAfter(random.seconds(retry.0, retry.1));
    let budget = Attempts {
        max: 1 + random.below(5) as u32,
        backoff: Backoff { initial: random.seconds(first.0, first.1), ..restart.backoff },
        on_give_up: random.pick(&[GiveUp::Stay, later]),
    };
    spec.attempts = random.chance(0.3).then_some(budget);
    restart.dependents = if random.chance(0.3) { Dependents::Restart } else { Dependents::Keep };
}

pub(crate) fn stop(random: &mut Random, spec: &mut ServiceSpec) {
    spec.stop.command = if random.chance(0.2) {
        StopCommand::Run { timeout: random.seconds(0.5, 10.0) }
    } else {
        StopCommand::None
    };
    let steps = random.pick(&[0, 1, 1, 1, 2, 3]);
    let step = |random: &mut Random| StopStep {
        signal: random.pick(&[Signal::TERM, Signal::HUP, Signal::ABRT]),
        wait: random.seconds(0.1, 15.0),
    };
    spec.stop.steps = (0..steps).map(|_| step(random)).collect();
}

/// How long a stop of this spec may take at the longest, from the first stage on.
pub(crate) fn longest_stop(spec: &ServiceSpec) -> Duration {
    let command = match spec.stop.command {
        StopCommand::None => Duration::ZERO,
        StopCommand::Run { timeout } => timeout,
    };
    let steps: Duration = spec.stop.steps.iter().map(|step| step.wait).sum();
    // SIGKILL works on the main process first and then on the rest of its group.
    let world = SPAWN_AT_MOST + 2.0 * KILL_AT_MOST + 3.0 * REPORT_AT_MOST;
    // After SIGABRT, or after it said that it stops, it has the time of the first step.
    let first = spec.stop.steps.first().map_or(Duration::from_secs(10), |step| step.wait);
    command + first + steps + Duration::from_secs_f64(world + 3.0 * EXTENSION_AT_MOST)
}
