//! How checks went, counted.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use kennel_core::CheckOutcome;

/// Upper bounds of the buckets of [`Tally::times`], in milliseconds.
pub(crate) const BOUNDS_MS: [u64; 12] = [1, 2, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000];

/// Which check of which instance.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Checked {
    /// The service.
    pub(crate) service: Arc<str>,
    /// `web`, or `web/0`.
    pub(crate) instance: Arc<str>,
    /// The name of the check, or `ready`.
    pub(crate) check: Arc<str>,
}

/// How one check went so far.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub(crate) struct Tally {
    /// How often each outcome came, in the order of [`OUTCOMES`].
    pub(crate) outcomes: [u64; OUTCOMES.len()],
    /// How many took at most the bound of the same place in [`BOUNDS_MS`] and more than
    /// the one before; the last place counts what took longer than all.
    pub(crate) times: [u64; BOUNDS_MS.len() + 1],
    /// The sum of all times.
    pub(crate) total: Duration,
}

/// Every outcome, in one word.
pub(crate) const OUTCOMES: [&str; 6] =
    ["passed", "degraded", "refused", "wrong", "late", "impossible"];

fn place(outcome: CheckOutcome) -> usize {
    match outcome {
        CheckOutcome::Passed => 0,
        CheckOutcome::Degraded => 1,
        CheckOutcome::Refused => 2,
        CheckOutcome::Wrong => 3,
        CheckOutcome::Late => 4,
        CheckOutcome::Impossible => 5,
    }
}

/// Counts how checks go. Clones are the same.
#[derive(Clone, Default)]
pub(crate) struct CheckTallies(Arc<Mutex<BTreeMap<Checked, Tally>>>);

impl CheckTallies {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<Checked, Tally>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A check was made.
    pub(crate) fn count(&self, checked: &Checked, outcome: CheckOutcome, took: Duration) {
        let mut tallies = self.lock();
        let tally = match tallies.get_mut(checked) {
            Some(tally) => tally,
            None => tallies.entry(checked.clone()).or_default(),
        };
        tally.outcomes[place(outcome)] += 1;
        let bucket = BOUNDS_MS.iter().position(|bound| took <= Duration::from_millis(*bound));
        tally.times[bucket.unwrap_or(BOUNDS_MS.len())] += 1;
        tally.total += took;
    }

    /// Forgets the checks that are gone.
    pub(crate) fn forget(&self, is_gone: impl Fn(&Checked) -> bool) {
        self.lock().retain(|checked, _| !is_gone(checked));
    }

    /// All there are, in the order of services.
    pub(crate) fn all(&self) -> Vec<(Checked, Tally)> {
        self.lock().iter().map(|(checked, tally)| (checked.clone(), tally.clone())).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_outcome_is_counted_at_its_place_and_every_time_in_its_bucket() {
        let tallies = CheckTallies::default();
        let checked = |instance: &str| Checked {
            service: "web".into(),
            instance: instance.into(),
            check: "http".into(),
        };
        let every = [
            (CheckOutcome::Passed, "passed"),
            (CheckOutcome::Degraded, "degraded"),
            (CheckOutcome::Refused, "refused"),
            (CheckOutcome::Wrong, "wrong"),
            (CheckOutcome::Late, "late"),
            (CheckOutcome::Impossible, "impossible"),
        ];
        for (outcome, word) in every {
            assert_eq!(OUTCOMES[place(outcome)], word);
            tallies.count(&checked("web/0"), outcome, Duration::from_millis(1));
        }
        tallies.count(&checked("web/1"), CheckOutcome::Passed, Duration::from_secs(60));
        tallies.count(&checked("web/1"), CheckOutcome::Passed, Duration::from_micros(1500));
        let all = tallies.all();
        assert_eq!(all[0].1.outcomes, [1; 6]);
        assert_eq!((all[0].1.times[0], all[0].1.total), (6, Duration::from_millis(6)));
        assert_eq!((all[1].1.times[1], all[1].1.times[12]), (1, 1));
        tallies.forget(|checked| &*checked.instance == "web/0");
        assert_eq!(tallies.all().len(), 1);
    }
}
