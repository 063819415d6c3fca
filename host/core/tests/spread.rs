//! A thousand services that start in one instant, and how their checks lie in time.

use std::collections::BTreeMap;
use std::time::Duration;

use kennel_core::spec::{CheckSpec, Ready};
use kennel_core::{
    CheckAnswer, CheckId, CheckOutcome, Core, Effect, Graph, Input, Limits, RunId, ServiceSpec,
    Time,
};

const SERVICES: usize = 1_000;

/// When the checks of a thousand services began, in virtual time: `every` is their period,
/// and all of them are ready in the same instant.
fn checks(every: Duration, until: Duration) -> BTreeMap<RunId, Vec<Duration>> {
    let specs = (0..SERVICES).map(|number| {
        let mut spec = ServiceSpec::daemon(format!("s{number}"));
        spec.ready = Ready::Reported { timeout: Duration::from_secs(60) };
        spec.health = vec![CheckSpec { every, ..CheckSpec::named("tcp") }];
        spec
    });
    let graph = Graph::new(specs.collect()).expect("fits");
    let limits = Limits { max_concurrent_starts: SERVICES as u32, ..Limits::default() };
    let mut core = Core::new(limits, 1, RunId(1));
    core.handle(Time::ZERO, Input::Configure { graph, restart: Vec::new() });
    let mut begun: BTreeMap<RunId, Vec<Duration>> = BTreeMap::new();
    let mut now = Time::ZERO;
    while now.since(Time::ZERO) < until {
        let (mut ready, mut passed) = (Vec::new(), Vec::new());
        while let Some(effect) = core.poll_effect() {
            match effect {
                Effect::Spawn { run, .. } => ready.push(run),
                Effect::Check { run, check, number, timeout: _ } => {
                    begun.entry(run).or_default().push(now.since(Time::ZERO));
                    passed.push((run, check, number));
                }
                Effect::RunStopCommand { .. }
                | Effect::EndStopCommand { .. }
                | Effect::Signal { .. }
                | Effect::WatchGroup { .. }
                | Effect::AskPolicy { .. }
                | Effect::Release { .. }
                | Effect::Exit { .. } => panic!("nothing else is to be done: {effect:?}"),
            }
        }
        let is_idle = ready.is_empty() && passed.is_empty();
        for run in ready {
            core.handle(now, Input::Ready(run));
        }
        for (run, check, number) in passed {
            assert_eq!(check, CheckId::Health(0));
            let (outcome, reason, next) = (CheckOutcome::Passed, String::new(), None);
            let answer = CheckAnswer { run, check, number, outcome, reason, next };
            core.handle(now, Input::Checked(answer));
        }
        if is_idle {
            let next = core.next_deadline().expect("there is always a next check");
            assert!(next > now, "what was due was done");
            now = next;
            core.handle(now, Input::Tick);
        }
    }
    begun
}

/// How many checks began in each slice of that length.
fn load(checks: &BTreeMap<RunId, Vec<Duration>>, slice: Duration) -> Vec<usize> {
    let mut load = Vec::new();
    for at in checks.values().flatten() {
        let slice = (at.as_nanos() / slice.as_nanos()) as usize;
        load.resize(load.len().max(slice + 1), 0);
        load[slice] += 1;
    }
    load
}

#[test]
fn a_thousand_services_checked_every_second_make_an_even_load() {
    let checks = checks(Duration::from_secs(1), Duration::from_secs(10));
    assert_eq!(checks.len(), SERVICES);
    for times in checks.values() {
        // The first within a second, the second half a second to one and a half later.
        assert!((8..=11).contains(&times.len()), "{} checks in 10 s", times.len());
    }
    // A share is 100 checks in 100 ms.
    let load = load(&checks, Duration::from_millis(100));
    assert_eq!(load.len(), 100);
    assert!(load.iter().all(|slice| *slice <= 200), "in slices of 100 ms: {load:?}");
    // As soon as every service has had its second check, the load is even.
    let steady = &load[25..];
    assert!(steady.iter().all(|slice| (60..=150).contains(slice)), "from 2.5 s on: {steady:?}");
}

#[test]
fn what_is_checked_rarely_is_spread_over_its_period_by_the_second_check() {
    let checks = checks(Duration::from_secs(20), Duration::from_secs(120));
    // A share is 50 checks in a second; all of the first are within one.
    let load = load(&checks, Duration::from_secs(1));
    assert_eq!(load[0], SERVICES);
    assert!(load[1..].iter().all(|slice| *slice <= 100), "in slices of 1 s: {load:?}");
    let steady = &load[60..];
    assert!(steady.iter().all(|slice| (25..=80).contains(slice)), "from 60 s on: {steady:?}");
}
