//! Reading a scenario file: services, assumptions and timed commands, word by word.
//!
//! The language is described in `README.md` beside this file. A script that cannot be
//! read is a failed test, so everything here panics with the line at fault.

use std::time::Duration;

use kennel_core::spec::{
    Advice, Attempts, Backoff, CheckSpec, Condition, Dependency, Dependents, Enabled, GiveUp,
    OnUnhealthy, Policy, Ready, RestartLimit, StopCommand, StopStep, Strength, WaitFor,
};
use kennel_core::{CheckOutcome, GroupSpec, Limits, Member, ServiceSpec, Signal, Strategy};

/// What stands in a file, without the transcript.
pub(crate) enum Line<'a> {
    /// Heading, comment, blank: kept as it is.
    Text,
    /// A service is defined, or defined anew for the next reload.
    Service(Box<ServiceSpec>),
    /// A group of services and of groups that stand above, for the next (re)load.
    Group(Box<GroupSpec>),
    /// A service is taken out for the next reload.
    Remove(&'a str),
    Limits(Limits),
    Seed(u64),
    Assume(Assumption),
    /// At this time, do that.
    Step(Duration, &'a str),
}

impl Line<'_> {
    /// When it happens, if it is a step.
    pub(crate) fn time(&self) -> Option<Duration> {
        match self {
            Line::Step(time, _) => Some(*time),
            Line::Text
            | Line::Service(_)
            | Line::Group(_)
            | Line::Remove(_)
            | Line::Limits(_)
            | Line::Seed(_)
            | Line::Assume(_) => None,
        }
    }
}

/// What the world does by itself.
#[derive(Clone)]
pub(crate) enum Assumption {
    /// Every spawn is answered at once.
    SpawnsSucceed,
    /// Processes of this service become ready that long after their spawn.
    Ready { service: String, after: Duration },
    /// Processes of this service exit with that code, that long after their spawn.
    Exits { service: String, code: i32, after: Duration },
    /// Every check of that name is answered so, that long after it was asked for; none:
    /// nobody answers. The last one said of a name holds.
    Answers { check: String, outcome: Option<CheckOutcome>, after: Duration },
    /// This signal to the group ends processes of the service (or all), after that time.
    Ends { signal: Signal, service: Option<String>, after: Duration },
}

/// Reads one line that is not part of the transcript.
pub(crate) fn read(line: &str) -> Line<'_> {
    let (first, rest) = line.split_once(' ').unwrap_or((line, ""));
    match first {
        "daemon" | "oneshot" if rest.contains(':') || !rest.contains(' ') && !rest.is_empty() => {
            Line::Service(Box::new(service(first, rest)))
        }
        "group" if rest.contains(": ") => Line::Group(Box::new(group(rest))),
        "remove" => Line::Remove(rest),
        "limits" => Line::Limits(limits(rest)),
        "seed" => Line::Seed(rest.parse().expect("a number after seed")),
        "assume" => Line::Assume(assumption(rest)),
        _ if line.starts_with(|c: char| c.is_ascii_digit()) => Line::Step(duration(first), rest),
        _ => Line::Text,
    }
}

fn group(text: &str) -> GroupSpec {
    let (options, members) = text.split_once(": ").expect("members after a colon");
    let mut options = options.split_whitespace();
    let mut group = GroupSpec::named(options.next().expect("a name"));
    group.strategy = match options.next() {
        Some("one_for_one") => Strategy::OneForOne,
        Some("one_for_all") => Strategy::OneForAll,
        Some("rest_for_one") => Strategy::RestForOne,
        other => panic!("no strategy {other:?}"),
    };
    match options.collect::<Vec<_>>().as_slice() {
        [max, "within", within, rest @ ..] => {
            group.intensity = RestartLimit { max: number(max), within: duration(within) };
            group.on_give_up = match rest {
                [] => GiveUp::Stay,
                ["then", "exit"] => GiveUp::Exit,
                other => panic!("nothing follows like {other:?}"),
            };
        }
        other => panic!("no intensity {other:?}"),
    }
    group.members = members.split(", ").map(|name| Member::Service(name.into())).collect();
    group
}

fn service(kind: &str, text: &str) -> ServiceSpec {
    let (name, options) = text.split_once(':').unwrap_or((text, ""));
    let mut spec =
        if kind == "oneshot" { ServiceSpec::oneshot(name) } else { ServiceSpec::daemon(name) };
    spec.restart.backoff.jitter = 0.0;
    for option in options.split(',').map(str::trim).filter(|option| !option.is_empty()) {
        apply(&mut spec, option);
    }
    spec
}

fn apply(spec: &mut ServiceSpec, option: &str) {
    let words: Vec<&str> = option.split_whitespace().collect();
    match words.as_slice() {
        [verb @ ("needs" | "wants"), on, condition] => spec.depends_on.push(Dependency {
            service: (*on).into(),
            condition: match *condition {
                "started" => Condition::Started,
                "ready" => Condition::Ready,
                "done" => Condition::Done,
                other => panic!("no condition {other:?}"),
            },
            strength: if *verb == "needs" { Strength::Required } else { Strength::Optional },
        }),
        ["ready", "after", delay] => spec.ready = Ready::After(duration(delay)),
        ["ready", "within", timeout] => {
            spec.ready = Ready::Reported { timeout: duration(timeout) };
        }
        ["ready", "checked", "every", every, "within", timeout] => {
            spec.ready = Ready::Checked {
                every: duration(every),
                attempt: Duration::from_secs(3),
                timeout: duration(timeout),
            };
        }
        ["check", name, options @ ..] => spec.health.push(check(name, options)),
        ["watchdog", every] => spec.watchdog = Some(duration(every)),
        ["attempts", max, "backoff", initial, factor, "max", most, rest @ ..] => {
            let on_give_up = match rest {
                [] => GiveUp::Stay,
                ["then", "exit"] => GiveUp::Exit,
                ["then", "retry", "after", delay] => GiveUp::RetryAfter(duration(delay)),
                other => panic!("nothing follows like {other:?}"),
            };
            let backoff = Backoff {
                initial: duration(initial),
                factor: factor.trim_start_matches('x').parse().expect("a factor like x2"),
                max: duration(most),
                jitter: 0.0,
            };
            spec.attempts = Some(Attempts { max: number(max), backoff, on_give_up });
        }
        ["asks", "a", "policy"] => spec.restart.advice = Advice::Ask,
        ["policy", "always"] => spec.restart.policy = Policy::Always,
        ["policy", "on_failure"] => spec.restart.policy = Policy::OnFailure,
        ["policy", "never"] => spec.restart.policy = Policy::Never,
        ["success", codes @ ..] => {
            spec.restart.success_exit_codes = codes.iter().map(|code| number(code)).collect();
        }
        ["backoff", initial, factor, "max", max] => {
            spec.restart.backoff = Backoff {
                initial: duration(initial),
                factor: factor.trim_start_matches('x').parse().expect("a factor like x2"),
                max: duration(max),
                jitter: spec.restart.backoff.jitter,
            };
        }
        ["jitter", share] => {
            let percent: f64 = share.trim_end_matches('%').parse().expect("a share like 10%");
            spec.restart.backoff.jitter = percent / 100.0;
        }
        ["limit", "none"] => spec.restart.limit = None,
        ["limit", max, "within", within] => {
            let (max, within) = (number(max), duration(within));
            spec.restart.limit = Some(RestartLimit { max, within });
        }
        ["stable", "after", time] => spec.restart.reset_after = duration(time),
        ["gives", "up:", "stay"] => spec.restart.on_give_up = GiveUp::Stay,
        ["gives", "up:", "exit"] => spec.restart.on_give_up = GiveUp::Exit,
        ["gives", "up:", "retry", "after", delay] => {
            spec.restart.on_give_up = GiveUp::RetryAfter(duration(delay));
        }
        ["restarts", "dependents"] => spec.restart.dependents = Dependents::Restart,
        ["stop", "command", timeout] => {
            spec.stop.command = StopCommand::Run { timeout: duration(timeout) };
        }
        ["stop", "by", "SIGKILL"] => spec.stop.steps = Vec::new(),
        ["stop", steps @ ..] => {
            let steps = steps.split(|word| *word == "then").map(|step| match step {
                [name, wait] => StopStep { signal: signal(name), wait: duration(wait) },
                _ => panic!("a stop step is a signal and a wait, not {step:?}"),
            });
            spec.stop.steps = steps.collect();
        }
        ["rolling", max, "wait", "for", what, rest @ ..] => {
            spec.rolling.max_unavailable = number(max);
            spec.rolling.wait_for = match *what {
                "ready" => WaitFor::Ready,
                "healthy" => WaitFor::Healthy,
                other => panic!("nothing is {other:?}"),
            };
            if let ["within", time] = rest {
                spec.rolling.timeout = duration(time);
            }
        }
        ["replicas", count] => spec.replicas = number(count),
        ["disabled"] => spec.enabled = Enabled::No,
        _ => panic!("no option {option:?}"),
    }
}

fn check(name: &str, mut options: &[&str]) -> CheckSpec {
    let mut check = CheckSpec::named(name);
    check.grace = Duration::ZERO;
    while let [first, rest @ ..] = options {
        options = match (*first, rest) {
            ("reports", rest) => {
                check.on_unhealthy = OnUnhealthy::Report;
                rest
            }
            (option, [value, rest @ ..]) => {
                match option {
                    "every" => check.every = duration(value),
                    "timeout" => check.timeout = duration(value),
                    "grace" => check.grace = duration(value),
                    "failures" => check.failures = number(value),
                    "timeouts" => check.timeouts = number(value),
                    "successes" => check.successes = number(value),
                    other => panic!("no option {other:?} of a check"),
                }
                rest
            }
            (option, []) => panic!("no value of {option:?}"),
        };
    }
    check
}

/// How a check goes, in one word.
pub(crate) fn outcome(word: &str) -> CheckOutcome {
    match word {
        "passed" => CheckOutcome::Passed,
        "degraded" => CheckOutcome::Degraded,
        "refused" => CheckOutcome::Refused,
        "wrong" => CheckOutcome::Wrong,
        "late" => CheckOutcome::Late,
        "impossible" => CheckOutcome::Impossible,
        other => panic!("no outcome {other:?} of a check"),
    }
}

fn limits(text: &str) -> Limits {
    let mut limits = Limits::default();
    for option in text.split(',') {
        match option.split_whitespace().collect::<Vec<_>>().as_slice() {
            [count, "concurrent", "starts"] => limits.max_concurrent_starts = number(count),
            [count, "restarts", "per", "second"] => limits.max_restarts_per_second = number(count),
            ["shutdown", "within", time] => limits.shutdown_timeout = duration(time),
            other => panic!("no limit {other:?}"),
        }
    }
    limits
}

fn assumption(text: &str) -> Assumption {
    match text.split_whitespace().collect::<Vec<_>>().as_slice() {
        ["every", "spawn", "succeeds"] => Assumption::SpawnsSucceed,
        ["nobody", "answers", check] => {
            Assumption::Answers { check: (*check).into(), outcome: None, after: Duration::ZERO }
        }
        ["check", check, "is", word, "after", after] => Assumption::Answers {
            check: (*check).into(),
            outcome: Some(outcome(word)),
            after: duration(after),
        },
        [service, "is", "ready", "after", after] => {
            Assumption::Ready { service: (*service).into(), after: duration(after) }
        }
        [service, "exits", "with", "code", code, "after", after] => Assumption::Exits {
            service: (*service).into(),
            code: number(code),
            after: duration(after),
        },
        [name, "ends", whom, "after", after] => Assumption::Ends {
            signal: signal(name),
            service: (*whom != "everything").then(|| (*whom).into()),
            after: duration(after),
        },
        other => panic!("no assumption {other:?}"),
    }
}

pub(crate) fn number<N: std::str::FromStr>(text: &str) -> N {
    text.parse().unwrap_or_else(|_| panic!("{text:?} is no number"))
}

pub(crate) fn signal(text: &str) -> Signal {
    Signal::parse(text).unwrap_or_else(|| panic!("{text:?} is no signal"))
}

/// `250ms`, `1.5s`, `2m`, `1h`, `1m30s`.
pub(crate) fn duration(text: &str) -> Duration {
    let mut total = Duration::ZERO;
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| c.is_ascii_alphabetic());
        let (amount, tail) =
            rest.split_at(digits.unwrap_or_else(|| panic!("{text:?} has no unit")));
        let end = tail.find(|c: char| c.is_ascii_digit()).unwrap_or(tail.len());
        let (unit, next) = tail.split_at(end);
        let seconds = match unit {
            "ms" => 0.001,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            "d" => 86_400.0,
            _ => panic!("no unit {unit:?} in {text:?}"),
        };
        // To whole milliseconds, so that 0.1s is exactly 100 ms.
        let millis = (number::<f64>(amount) * seconds * 1000.0).round();
        total += Duration::from_millis(millis as u64);
        rest = next;
    }
    total
}
