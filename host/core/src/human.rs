//! Durations as people write them.

use std::fmt;
use std::time::Duration;

/// Shows a duration with a sensible unit: `250 ms`, `7.2 s`, `2 min 5 s`, `3 h 20 min`.
#[derive(Clone, Copy, Debug)]
pub struct Human(pub Duration);

impl fmt::Display for Human {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs();
        if self.0 < Duration::from_millis(1) && !self.0.is_zero() {
            return write!(f, "{} µs", self.0.as_micros());
        }
        if seconds == 0 {
            return write!(f, "{} ms", self.0.as_millis());
        }
        if seconds < 60 {
            let tenths = self.0.subsec_millis() / 100;
            return if tenths == 0 {
                write!(f, "{seconds} s")
            } else {
                write!(f, "{seconds}.{tenths} s")
            };
        }
        let (large, large_unit, small, small_unit) = if seconds < 3600 {
            (seconds / 60, "min", seconds % 60, "s")
        } else if seconds < 86_400 {
            (seconds / 3600, "h", seconds % 3600 / 60, "min")
        } else {
            (seconds / 86_400, "d", seconds % 86_400 / 3600, "h")
        };
        if small == 0 {
            write!(f, "{large} {large_unit}")
        } else {
            write!(f, "{large} {large_unit} {small} {small_unit}")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Human;
    use std::time::Duration;

    #[test]
    fn a_duration_is_shown_with_at_most_two_units() {
        for (millis, shown) in [
            (0, "0 ms"),
            (250, "250 ms"),
            (1000, "1 s"),
            (7250, "7.2 s"),
            (60_000, "1 min"),
            (125_000, "2 min 5 s"),
            (12_000_000, "3 h 20 min"),
            (90_000_000, "1 d 1 h"),
        ] {
            assert_eq!(Human(Duration::from_millis(millis)).to_string(), shown);
        }
        assert_eq!(Human(Duration::from_micros(40)).to_string(), "40 µs");
    }
}
