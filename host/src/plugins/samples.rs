//! What checks measured last, to be scraped.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::{Mutex, MutexGuard, PoisonError};

use kennel_wasm::model::Sample;

/// How many measurements one check of one instance may have.
const OF_ONE_CHECK: usize = 64;

/// How many there may be in all: each is a time series of whoever scrapes.
const IN_ALL: usize = 20_000;

/// Which check of which instance measured.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Measurer {
    pub(crate) plugin: Arc<str>,
    pub(crate) service: Arc<str>,
    /// Which of its replicas, from 0.
    pub(crate) index: u32,
    /// `web`, or `web/0`.
    pub(crate) instance: Arc<str>,
    /// The name of the check.
    pub(crate) check: Arc<str>,
}

/// The last measurements of every check.
#[derive(Default)]
pub(crate) struct Samples(Mutex<Held>);

#[derive(Default)]
struct Held {
    by_check: BTreeMap<Measurer, Vec<Sample>>,
    count: usize,
}

impl Samples {
    fn lock(&self) -> MutexGuard<'_, Held> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What a check measured, in place of what it did before. Of one name the last counts;
    /// what is no number or too much is left out.
    pub(crate) fn set(&self, measurer: Measurer, samples: Vec<Sample>) {
        let mut held = self.lock();
        let before = held.by_check.remove(&measurer).map_or(0, |samples| samples.len());
        held.count -= before;
        let room = OF_ONE_CHECK.min(IN_ALL - held.count);
        let mut by_name: BTreeMap<String, Sample> = BTreeMap::new();
        for sample in samples.into_iter().filter(|sample| sample.value.is_finite()) {
            if by_name.len() < room || by_name.contains_key(&sample.name) {
                by_name.insert(sample.name.clone(), sample);
            }
        }
        if !by_name.is_empty() {
            held.count += by_name.len();
            held.by_check.insert(measurer, by_name.into_values().collect());
        }
    }

    /// Forgets the checks that are gone.
    pub(crate) fn forget(&self, is_gone: impl Fn(&Measurer) -> bool) {
        let mut held = self.lock();
        held.by_check.retain(|measurer, _| !is_gone(measurer));
        held.count = held.by_check.values().map(Vec::len).sum();
    }

    /// All there are, in the order of plugins and services.
    pub(crate) fn all(&self) -> Vec<(Measurer, Vec<Sample>)> {
        let held = self.lock();
        held.by_check.iter().map(|(who, samples)| (who.clone(), samples.clone())).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measurer(index: u32) -> Measurer {
        Measurer {
            plugin: "redis".into(),
            service: "cache".into(),
            index,
            instance: format!("cache/{index}").into(),
            check: "redis".into(),
        }
    }

    fn sample(name: &str, value: f64) -> Sample {
        Sample { name: name.to_owned(), value, unit: None }
    }

    #[test]
    fn the_last_answer_of_a_check_is_what_counts() {
        let samples = Samples::default();
        samples.set(measurer(0), vec![sample("latency", 1.0), sample("clients", 2.0)]);
        samples.set(
            measurer(0),
            vec![sample("latency", 3.0), sample("bad", f64::NAN), sample("latency", 4.0)],
        );
        assert_eq!(samples.all(), [(measurer(0), vec![sample("latency", 4.0)])]);
        samples.set(measurer(0), Vec::new());
        assert_eq!(samples.all(), []);
    }

    #[test]
    fn however_much_plugins_measure_the_number_of_series_is_bounded() {
        let samples = Samples::default();
        let many: Vec<Sample> = (0..1000).map(|n| sample(&format!("n{n}"), 1.0)).collect();
        for index in 0..1000 {
            samples.set(measurer(index), many.clone());
        }
        let count =
            |samples: &Samples| samples.all().iter().map(|(_, all)| all.len()).sum::<usize>();
        assert_eq!(count(&samples), IN_ALL);
        assert_eq!(samples.all()[0].1.len(), OF_ONE_CHECK);
        samples.forget(|measurer| measurer.index < 100);
        samples.set(measurer(5), many);
        assert_eq!(count(&samples), IN_ALL - 99 * OF_ONE_CHECK);
    }
}
