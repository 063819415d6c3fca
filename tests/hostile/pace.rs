//! How fast services are restarted and checked.

use std::collections::{BTreeMap, HashSet};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use serde_json::Value;

use super::{LONG, SERVICES, Stir, peaceful, up};
use crate::support::{Kennel, openmetrics, wait_for};

/// How many of them are killed.
const KILLED: usize = 20;
/// For how long checks are counted, at least.
const WINDOW: Duration = Duration::from_secs(4);

/// How often each of the others was checked.
fn checks(kennel: &Kennel) -> BTreeMap<String, u64> {
    let text = kennel.api("GET", "/metrics").body;
    let series = openmetrics::parse(&text).unwrap();
    let mut counts = BTreeMap::new();
    for (name, value) in series {
        let Some(labels) = name.strip_prefix("kennel_check_answers_total{") else { continue };
        let instance = labels.split('"').nth(1).unwrap_or_default().to_owned();
        if labels.contains("check=\"unix\"") {
            *counts.entry(instance).or_default() += value as u64;
        }
    }
    counts.retain(|name: &String, _| name.starts_with('s'));
    counts
}

pub(super) fn at_ms(event: &Value) -> i64 {
    let at = event["at"].as_str().unwrap();
    at.parse::<jiff::Timestamp>().unwrap().as_millisecond()
}

/// Kills some services and waits until each is up again: how long that took, in the middle.
fn restarts(kennel: &Kennel) -> Duration {
    let since = kennel.events().last().map_or(0, |event| event["seq"].as_u64().unwrap());
    let status = kennel.status();
    let services = status["services"].as_array().unwrap();
    let names: HashSet<String> = (0..KILLED).map(|number| format!("s{}", number * 7)).collect();
    let mut killed = BTreeMap::new();
    for service in services {
        let name = service["name"].as_str().unwrap();
        if names.contains(name) {
            let pid = i32::try_from(service["pid"].as_i64().unwrap()).unwrap();
            killed.insert(name, jiff::Timestamp::now().as_millisecond());
            nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), Signal::SIGKILL).unwrap();
        }
    }
    let started = wait_for("every killed service to be started again", LONG, || {
        let mut started = BTreeMap::new();
        for event in kennel.events().iter().filter(|event| event["seq"].as_u64() > Some(since)) {
            let name = event["service"].as_str().filter(|name| names.contains(*name));
            if let Some(name) = name.filter(|_| event["kind"] == "service.started") {
                started.insert(name.to_owned(), at_ms(event));
            }
        }
        (started.len() == KILLED).then_some(started)
    });
    let mut took: Vec<i64> = started.iter().map(|(name, at)| at - killed[name.as_str()]).collect();
    took.sort_unstable();
    Duration::from_millis(u64::try_from(took[KILLED / 2]).unwrap())
}

/// How fast the supervisor is.
#[derive(Debug)]
pub(super) struct Pace {
    /// From the end of a service to its next run.
    restart: Duration,
    /// Checks in a second, of all services together.
    checks: f64,
    /// The same of the service that was checked least.
    least: f64,
}

/// How much trouble the plugin has made so far.
pub(super) type Trouble<'a> = &'a dyn Fn(&Kennel) -> u64;

impl Pace {
    /// With `trouble` another window follows until there was more of it meanwhile.
    pub(super) fn of(kennel: &Kennel, trouble: Option<Trouble<'_>>) -> Pace {
        let restart = restarts(kennel);
        let before = wait_for("every service to be checked", LONG, || {
            Some(checks(kennel)).filter(|counts| counts.len() == SERVICES)
        });
        let had = trouble.map_or(0, |trouble| trouble(kennel));
        let begun = Instant::now();
        loop {
            thread::sleep(WINDOW);
            if trouble.is_none_or(|trouble| trouble(kennel) > had) {
                break;
            }
            assert!(begun.elapsed() < LONG, "the plugin made no more trouble meanwhile");
        }
        let after = checks(kennel);
        let seconds = begun.elapsed().as_secs_f64();
        let made: Vec<u64> = before.iter().map(|(name, count)| after[name] - count).collect();
        let least = *made.iter().min().unwrap() as f64 / seconds;
        Pace { restart, checks: made.iter().sum::<u64>() as f64 / seconds, least }
    }

    /// Without any plugin.
    pub(super) fn undisturbed(stir: Stir) -> Pace {
        let kennel = up(Kennel::new(&peaceful()));
        let pace = stir.during(&kennel, || Pace::of(&kennel, None));
        assert!(pace.least > 0.0, "there is nothing to compare with: {pace:?}");
        pace
    }

    /// Half as many checks, and restarts that take three times as long and a little more,
    /// are what a busy machine may be the cause of.
    pub(super) fn keeps_up_with(&self, other: &Pace) -> bool {
        self.restart <= other.restart * 3 + Duration::from_millis(200)
            && self.checks * 2.0 >= other.checks
            && self.least * 2.0 >= other.least
    }
}
