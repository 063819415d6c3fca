//! A simulated world around the core: seeded, hostile, and much faster than time.
//!
//! ```text
//!   operator.rs ── commands ──┐                ┌── effects ──► processes.rs
//!   (aims at what changes)    ▼                │                    │
//!                           Core::handle ──────┤                  facts, late,
//!                             ▲                │                  twice, disordered
//!                             └────────────────┼────────────────────┘
//!                                              └── events ──► rules.rs checks
//! ```
//!
//! Now and then the core is dropped, as if its process were killed, and a new one goes on.
//!
//! `cargo test` lives through a few seconds of it. `KENNEL_SIM_YEARS=1000` lives through
//! that many service-years (the time that passed, times the instances supervised) in
//! calm worlds, and through four busy worlds for each.
//! A broken rule prints the seed; `KENNEL_SIM_SEED=busy:17` replays that world and
//! prints its whole transcript.

/// Returns the sentence from the function around it, unless the rule holds.
macro_rules! rule {
    ($holds:expr, $($broken:tt)+) => {
        if !$holds {
            return Err(format!($($broken)+));
        }
    };
}

mod account;
mod checks;
mod deaths;
mod groups;
mod layout;
mod ledger;
mod moods;
mod notices;
mod operator;
mod plan;
mod processes;
mod random;
mod rolls;
mod rules;
mod said;
mod world;

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use plan::Pace;
use world::{Outcome, Transcript, live};

const YEAR: f64 = 365.25 * 86_400.0;
/// Busy worlds in an ordinary run of the tests.
const BUSY_WORLDS: u64 = 400;
/// Service-years of calm worlds in an ordinary run of the tests.
const QUICK_YEARS: f64 = 10.0;

#[test]
fn every_rule_holds_in_busy_worlds() {
    let worlds = long_run_years().map_or(BUSY_WORLDS, |years| (4.0 * years) as u64);
    report("busy", &everywhere(Pace::Busy, |count, _| count < worlds));
}

#[test]
fn every_rule_holds_over_the_years() {
    let years = long_run_years().unwrap_or(QUICK_YEARS);
    let total = everywhere(Pace::Calm, |_, lived| lived < years * YEAR);
    report("calm", &total);
    assert!(total.outcome.service_seconds >= years * YEAR);
}

#[test]
fn the_same_seed_gives_the_same_transcript() {
    for seed in 0..8 {
        let once = || live(Pace::Busy, seed, Transcript::Hash, &mut String::new());
        let (first, second) = (once(), once());
        assert_eq!(first, second, "seed {seed}");
        assert_ne!(first.map(|outcome| outcome.hash), Ok(0));
    }
}

#[test]
fn commands_hit_every_state() {
    let mut hits = world::Outcome::default().hits;
    for seed in 0..40 {
        let outcome = live(Pace::Busy, seed, Transcript::None, &mut String::new());
        for (sum, more) in hits.iter_mut().zip(outcome.expect("rules hold").hits) {
            *sum += more;
        }
    }
    assert!(hits.iter().all(|count| *count >= 20), "too few commands hit some state: {hits:?}");
}

#[test]
fn checks_lie_flap_hang_and_recover() {
    let mut recoveries = moods::Recoveries::default();
    let mut turns = world::Turns::default();
    for seed in 0..60 {
        let outcome = live(Pace::Busy, seed, Transcript::None, &mut String::new());
        let outcome = outcome.expect("rules hold");
        for (sum, more) in recoveries.iter_mut().zip(outcome.recoveries) {
            *sum += more;
        }
        turns.from_degraded += outcome.turns.from_degraded;
        turns.from_unhealthy += outcome.turns.from_unhealthy;
        turns.stops += outcome.turns.stops;
    }
    let world::Turns { from_degraded, from_unhealthy, stops } = turns;
    println!("recoveries by mood {recoveries:?}, {turns:?}");
    assert!(recoveries.iter().all(|count| *count >= 20), "too few spells end: {recoveries:?}");
    assert!(
        from_degraded.min(from_unhealthy).min(stops) >= 20,
        "health comes to little: {turns:?}"
    );
}

#[test]
fn groups_restart_escalate_and_give_up() {
    let mut sum = world::Groups::default();
    for seed in 0..60 {
        let outcome = live(Pace::Busy, seed, Transcript::None, &mut String::new());
        let world::Groups { restarts, ends, escalations } = outcome.expect("rules hold").groups;
        sum.restarts += restarts;
        sum.ends += ends;
        sum.escalations += escalations;
    }
    println!("{sum:?}");
    assert!(sum.restarts.min(sum.ends).min(sum.escalations) >= 100, "groups do little: {sum:?}");
}

/// Replays one world: `KENNEL_SIM_SEED=busy:17` or `calm:3`.
#[test]
fn replay() {
    let Ok(name) = std::env::var("KENNEL_SIM_SEED") else { return };
    let (pace, seed) = name.split_once(':').expect("a pace and a seed, like busy:17");
    let pace = if pace == "busy" { Pace::Busy } else { Pace::Calm };
    let mut text = String::new();
    let outcome = live(pace, seed.parse().expect("a number"), Transcript::Text, &mut text);
    println!("{text}{outcome:#?}");
}

fn long_run_years() -> Option<f64> {
    let years = std::env::var("KENNEL_SIM_YEARS").ok()?;
    Some(years.parse().expect("KENNEL_SIM_YEARS must be a number"))
}

struct Total {
    worlds: u64,
    outcome: Outcome,
    seconds: f64,
}

/// Lives through worlds of rising seeds on all processors while `goes_on` says so, given
/// the worlds begun and the service-seconds lived.
fn everywhere(pace: Pace, goes_on: impl Fn(u64, f64) -> bool + Sync) -> Total {
    let began = Instant::now();
    let seeds = AtomicU64::new(0);
    let total = Mutex::new(Outcome::default());
    let failure: Mutex<Option<(u64, String)>> = Mutex::new(None);
    let lived = || total.lock().map_or(f64::MAX, |total| total.service_seconds);
    let failed = || failure.lock().map_or(true, |failure| failure.is_some());
    let work = || {
        loop {
            let seed = seeds.fetch_add(1, Ordering::Relaxed);
            if !goes_on(seed, lived()) || failed() {
                seeds.fetch_sub(1, Ordering::Relaxed);
                return;
            }
            match live(pace, seed, Transcript::None, &mut String::new()) {
                Ok(outcome) => {
                    let mut total = total.lock().expect("nobody panics with it");
                    total.steps += outcome.steps;
                    total.service_seconds += outcome.service_seconds;
                    total.spawns += outcome.spawns;
                    total.deaths += outcome.deaths;
                    for (sum, more) in total.hits.iter_mut().zip(outcome.hits) {
                        *sum += more;
                    }
                }
                Err(broken) => {
                    let mut failure = failure.lock().expect("nobody panics with it");
                    failure.get_or_insert((seed, broken));
                }
            }
        }
    };
    let threads = std::thread::available_parallelism().map_or(2, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(work);
        }
    });
    if let Some((seed, broken)) = failure.into_inner().expect("nobody panics with it") {
        fail(pace, seed, &broken);
    }
    let outcome = total.into_inner().expect("nobody panics with it");
    let worlds = seeds.into_inner();
    Total { worlds, outcome, seconds: began.elapsed().as_secs_f64() }
}

/// Prints the end of the world in which a rule was broken.
fn fail(pace: Pace, seed: u64, broken: &str) -> ! {
    let mut text = String::new();
    let again = live(pace, seed, Transcript::Text, &mut text);
    let lines: Vec<&str> = text.lines().collect();
    let last = lines[lines.len().saturating_sub(60)..].join("\n");
    let name = format!("{pace:?}").to_lowercase();
    let again = again.err().unwrap_or_else(|| "the replay breaks no rule".into());
    panic!(
        "a rule is broken {broken}\nthe replay: {again}\n{last}\n\
         replay: KENNEL_SIM_SEED={name}:{seed} cargo test -p kennel-core --test simulation \
         replay -- --nocapture"
    );
}

fn report(name: &str, total: &Total) {
    let Total { worlds, outcome, seconds } = total;
    println!(
        "{name}: {worlds} worlds, {:.2} service-years, {} runs, {} deaths of the supervisor, \
         {} steps in {seconds:.1} s, \
         {:.0} steps/s; commands by the state they hit \
         (down waiting starting up stopping backoff failed done): {:?}",
        outcome.service_seconds / YEAR,
        outcome.spawns,
        outcome.deaths,
        outcome.steps,
        outcome.steps as f64 / seconds,
        outcome.hits,
    );
}
