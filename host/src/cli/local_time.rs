//! Times as people read them.

use std::time::Duration;

use jiff::{Timestamp, tz::TimeZone};
use kennel_core::Human;

/// How long ago `at` was; zero when it is not in the past or cannot be read.
pub(super) fn age(at: &str, now: Timestamp) -> Duration {
    let Ok(at) = at.parse::<Timestamp>() else { return Duration::ZERO };
    Duration::try_from(now.duration_since(at)).unwrap_or_default()
}

/// An age with one unit: `12 s`, `3 min`, `5 h`, `4 d`.
pub(super) fn coarse(age: Duration) -> String {
    let seconds = age.as_secs();
    let whole = match seconds {
        0..60 => seconds,
        60..3600 => seconds / 60 * 60,
        3600..86_400 => seconds / 3600 * 3600,
        86_400.. => seconds / 86_400 * 86_400,
    };
    match whole {
        0 => "now".to_owned(),
        _ => Human(Duration::from_secs(whole)).to_string(),
    }
}

/// A time of the wire on the clock of this machine: `2026-11-21 08:00:00.123`.
pub(super) fn local(at: &str) -> String {
    match at.parse::<Timestamp>() {
        Ok(time) => {
            let zoned = time.to_zoned(TimeZone::system());
            zoned.strftime("%Y-%m-%d %H:%M:%S%.3f").to_string()
        }
        Err(_) => at.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_age_has_one_unit() {
        for (seconds, shown) in [
            (0, "now"),
            (59, "59 s"),
            (61, "1 min"),
            (3599, "59 min"),
            (7300, "2 h"),
            (200_000, "2 d"),
        ] {
            assert_eq!(coarse(Duration::from_secs(seconds)), shown);
        }
    }

    #[test]
    fn what_lies_in_the_future_is_now() {
        let now: Timestamp = "2026-11-21T08:00:00Z".parse().unwrap();
        assert_eq!(age("2026-11-21T07:59:00.000Z", now), Duration::from_secs(60));
        assert_eq!(age("2026-11-21T09:00:00.000Z", now), Duration::ZERO);
        assert_eq!(age("soon", now), Duration::ZERO);
    }
}
