//! Everything that can happen to a supervisor, in an order that a seed decides, and after each
//! step what must hold, seen from outside.
//!
//! A short run of the same seeds belongs to all tests. For more, and others (the seed is printed):
//!
//! ```text
//! KENNEL_CHAOS_SECONDS=7200 KENNEL_CHAOS_SEED=17 cargo test -p kennel --test e2e chaos::
//! ```
//!
//! The seed decides what happens; how far the house had come by then, the machine does. The
//! clock that jumps is the supervisor's wall clock; the time since the boot never does.

mod acts;
mod clock;
mod invariants;
mod random;
mod world;

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use acts::{ACTS, Act, Readers};
use random::Random;
use world::World;

/// How long one house stands at most: its logs are never rotated.
const HOUSE: Duration = Duration::from_secs(300);

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|text| text.parse().expect("a number"))
}

/// The houses of a short run: the same in each, so that a change is judged by itself.
const SEEDS: [u64; 3] = [1, 2, 3];
const SHORT: Duration = Duration::from_secs(45);

/// Lets things happen to a house until the time is over, or for so many steps; how many did.
fn storm(world: &mut World, seed: u64, until: Instant, steps: usize) -> Result<usize, String> {
    let mut random = Random(seed);
    let mut readers = Readers::default();
    let mut last_seq = 0;
    world.verify(&mut last_seq)?;
    let mut so_far: Vec<Act> = Vec::new();
    while so_far.len() < steps && Instant::now() < until {
        let act = random.pick(&ACTS);
        so_far.push(act);
        world.happen(act, &mut random, &mut readers);
        world.verify(&mut last_seq).map_err(|why| {
            let tail = &so_far[so_far.len().saturating_sub(12)..];
            format!("seed {seed}, step {}, after {tail:?}: {why}", so_far.len())
        })?;
    }
    Ok(so_far.len())
}

/// One house; what it looked like is told when something does not hold.
fn stand(seed: u64, time: Duration) {
    println!("KENNEL_CHAOS_SEED={seed}");
    let mut world = World::new(None);
    match storm(&mut world, seed, Instant::now() + time, usize::MAX) {
        Ok(steps) => println!("{steps} steps"),
        Err(why) => panic!("{why}"),
    }
}

#[test]
fn whatever_happens_each_service_runs_once_and_no_line_and_no_event_is_missing() {
    let Some(seconds) = number("KENNEL_CHAOS_SECONDS") else {
        return SEEDS.into_iter().for_each(|seed| stand(seed, SHORT));
    };
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let first = number("KENNEL_CHAOS_SEED").unwrap_or(now);
    let end = Instant::now() + Duration::from_secs(seconds);
    for seed in first.. {
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            break;
        }
        stand(seed, left.min(HOUSE));
    }
}

/// A supervisor that has forgotten something at each of its starts is found out.
#[test]
fn the_chaos_finds_supervisors_that_forget() {
    let far = Instant::now() + Duration::from_secs(3600);
    for (what, broken) in [
        ("whose processes are its own", "rm -f state/id state/table"),
        ("what had been told", "rm -rf state/journal"),
    ] {
        let found = storm(&mut World::new(Some(broken)), 1, far, 60);
        println!("{what}: {found:?}");
        assert!(found.is_err(), "nobody noticed that it had forgotten {what}");
    }
}
