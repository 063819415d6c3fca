//! Random numbers for jitter, from a seed: the same seed gives the same story.

use std::time::Duration;

/// A small generator (the "splitmix" construction of Steele, Lea and Flood, 2014).
/// Jitter needs numbers that differ between services, not numbers nobody can guess.
#[derive(Clone, Debug)]
pub(crate) struct Rng(u64);

impl Rng {
    pub(crate) fn new(seed: u64) -> Rng {
        Rng(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A random share of `duration`, from nothing up to all of it.
    pub(crate) fn share(&mut self, duration: Duration) -> Duration {
        Duration::try_from_secs_f64(duration.as_secs_f64() * self.unit()).unwrap_or(duration)
    }

    /// From 0 up to 1, without 1.
    fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// `duration` varied by up to the share `jitter` in both directions.
    pub(crate) fn vary(&mut self, duration: Duration, jitter: f64) -> Duration {
        let jitter = jitter.clamp(0.0, 1.0);
        if jitter == 0.0 || duration.is_zero() {
            return duration;
        }
        let varied = duration.as_secs_f64() * (1.0 + jitter * (2.0 * self.unit() - 1.0));
        Duration::try_from_secs_f64(varied).unwrap_or(duration)
    }
}

#[cfg(test)]
mod tests {
    use super::Rng;
    use std::time::Duration;

    #[test]
    fn jitter_stays_within_its_share_and_uses_both_directions() {
        let mut rng = Rng::new(7);
        let waits: Vec<_> = (0..1000).map(|_| rng.vary(Duration::from_secs(10), 0.1)).collect();
        assert!(waits.iter().all(|w| (9.0..=11.0).contains(&w.as_secs_f64())));
        assert!(waits.iter().any(|w| w.as_secs_f64() < 9.2));
        assert!(waits.iter().any(|w| w.as_secs_f64() > 10.8));
    }

    #[test]
    fn a_wait_too_long_to_vary_stays_as_it_is() {
        let mut rng = Rng::new(7);
        assert!((0..100).all(|_| rng.vary(Duration::MAX, 1.0) > Duration::from_secs(1)));
        assert_eq!(rng.vary(Duration::from_secs(1), f64::NAN), Duration::from_secs(1));
    }

    #[test]
    fn the_same_seed_gives_the_same_numbers() {
        let draw = |seed| {
            let mut rng = Rng::new(seed);
            (0..10).map(|_| rng.vary(Duration::from_secs(1), 0.5)).collect::<Vec<_>>()
        };
        assert_eq!(draw(1), draw(1));
        assert_ne!(draw(1), draw(2));
    }
}
