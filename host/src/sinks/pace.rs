//! When a sink that does not take events is tried again, and when that is news.

use std::time::Duration;

use tokio::time::Instant;

/// The first wait after a failure; it doubles with each further one.
const FIRST: Duration = Duration::from_millis(250);
/// No wait of ours is longer.
const LONGEST: Duration = Duration::from_secs(60);
/// No wait that a sink asks for is longer.
pub(super) const RETRY_AFTER_MAX: Duration = Duration::from_secs(300);
/// Without anything taken for that long, it is told.
const STALLED: Duration = Duration::from_secs(30);

/// How it goes with a sink.
#[derive(Default, Debug)]
pub(super) struct Pace {
    /// Since when nothing was taken, and how often it was tried.
    failing: Option<(Instant, u32)>,
    is_told: bool,
}

/// Something that people are told.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum News {
    /// Nothing was taken for a while.
    Stalled,
    /// Something is taken again, for the first time after so long.
    Resumed(Duration),
}

impl Pace {
    /// Something was taken, or will never be.
    pub(super) fn progressed(&mut self, now: Instant) -> Option<News> {
        let since = self.failing.take().map(|(since, _)| since)?;
        std::mem::take(&mut self.is_told).then(|| News::Resumed(now.duration_since(since)))
    }

    /// Nothing was taken. How long to wait, where the sink may have asked for a wait.
    pub(super) fn failed(
        &mut self,
        now: Instant,
        asked: Option<Duration>,
    ) -> (Duration, Option<News>) {
        let (since, failures) = self.failing.unwrap_or((now, 0));
        self.failing = Some((since, failures.saturating_add(1)));
        let own = FIRST.saturating_mul(1 << failures.min(16)).min(LONGEST);
        let wait = match asked {
            // Nobody can mean at once, and again, and again.
            Some(asked) if !asked.is_zero() => asked.clamp(FIRST, RETRY_AFTER_MAX),
            Some(_) | None => own,
        };
        let stalled = !self.is_told && now.duration_since(since) >= STALLED;
        self.is_told |= stalled;
        (wait, stalled.then_some(News::Stalled))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_a_minute_and_begin_anew_after_a_success() {
        let now = Instant::now();
        let mut pace = Pace::default();
        let waits = |pace: &mut Pace, count: usize| -> Vec<u128> {
            (0..count).map(|_| pace.failed(now, None).0.as_millis()).collect()
        };
        let expected = [250, 500, 1000, 2000, 4000, 8000, 16_000, 32_000, 60_000, 60_000];
        assert_eq!(waits(&mut pace, 10), expected);
        assert_eq!(pace.progressed(now), None);
        assert_eq!(waits(&mut pace, 2), [250, 500]);
        let many = waits(&mut pace, 100);
        assert_eq!(many.last(), Some(&60_000));
    }

    #[test]
    fn a_wait_that_a_sink_asks_for_is_kept_within_bounds() {
        let mut pace = Pace::default();
        for (asked, expected) in [
            (Duration::from_secs(7), Duration::from_secs(7)),
            (Duration::from_secs(86_400), RETRY_AFTER_MAX),
            (Duration::from_millis(1), FIRST),
            (Duration::ZERO, Duration::from_secs(2)),
            (Duration::MAX, RETRY_AFTER_MAX),
        ] {
            assert_eq!(pace.failed(Instant::now(), Some(asked)).0, expected, "{asked:?}");
        }
    }

    #[test]
    fn half_a_minute_without_progress_is_told_once_and_so_is_its_end() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut pace = Pace::default();
        for (seconds, news) in [(0, None), (29, None), (30, Some(News::Stalled)), (600, None)] {
            assert_eq!(pace.failed(at(seconds), None).1, news, "after {seconds} s");
        }
        let resumed = News::Resumed(Duration::from_secs(700));
        assert_eq!(pace.progressed(at(700)), Some(resumed));
        assert_eq!(pace.progressed(at(701)), None);
        assert_eq!(pace.failed(at(702), None).1, None);
        assert_eq!(pace.progressed(at(703)), None);
    }
}
