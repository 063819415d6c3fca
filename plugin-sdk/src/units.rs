//! Times and sizes as users write them in services.yaml.

use std::fmt;
use std::ops::Deref;
use std::time::Duration;

use serde::de::{Deserialize, Deserializer, Error, Unexpected, Visitor};

/// A time in a configuration: `250ms`, `10s`, `5m`, `1h30m`, `7d`; at most ten years. Is used as
/// a [`Duration`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Period(pub Duration);

/// A number of bytes in a configuration: `512`, `64KiB`, `10MiB`, `1GiB`. Is used as a `u64`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Size(pub u64);

impl Deref for Period {
    type Target = Duration;

    fn deref(&self) -> &Duration {
        &self.0
    }
}

impl Deref for Size {
    type Target = u64;

    fn deref(&self) -> &u64 {
        &self.0
    }
}

impl From<Period> for Duration {
    fn from(period: Period) -> Duration {
        period.0
    }
}

/// What stands before the unit, and the unit.
fn split(text: &str) -> Option<(u64, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    Some((number.parse().ok()?, unit.trim()))
}

/// No time is longer: ten years.
const PERIOD_MAX_MS: u64 = 3650 * 86_400_000;

fn period(text: &str) -> Option<Duration> {
    let mut total_ms: u64 = 0;
    let mut rest = text;
    loop {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let number: u64 = rest[..digits].parse().ok()?;
        let after = &rest[digits..];
        let letters = after.find(|c: char| c.is_ascii_digit()).unwrap_or(after.len());
        let unit_ms: u64 = match &after[..letters] {
            "ms" => 1,
            "s" => 1000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            _ => return None,
        };
        total_ms = total_ms.checked_add(number.checked_mul(unit_ms)?)?;
        rest = &after[letters..];
        if rest.is_empty() {
            return (total_ms <= PERIOD_MAX_MS).then(|| Duration::from_millis(total_ms));
        }
    }
}

fn size(text: &str) -> Option<u64> {
    let (number, unit) = split(text)?;
    let shift = match unit {
        "" | "B" => 0,
        "KiB" => 10,
        "MiB" => 20,
        "GiB" => 30,
        _ => return None,
    };
    number.checked_mul(1 << shift)
}

struct PeriodVisitor;

impl<'de> Visitor<'de> for PeriodVisitor {
    type Value = Period;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a time such as 250ms, 10s or 5m")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Period, E> {
        period(text).map(Period).ok_or_else(|| E::invalid_value(Unexpected::Str(text), &self))
    }
}

impl<'de> Deserialize<'de> for Period {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Period, D::Error> {
        deserializer.deserialize_str(PeriodVisitor)
    }
}

struct SizeVisitor;

impl<'de> Visitor<'de> for SizeVisitor {
    type Value = Size;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a size such as 64KiB or 10MiB")
    }

    fn visit_u64<E: Error>(self, bytes: u64) -> Result<Size, E> {
        Ok(Size(bytes))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Size, E> {
        size(text).map(Size).ok_or_else(|| E::invalid_value(Unexpected::Str(text), &self))
    }
}

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Size, D::Error> {
        deserializer.deserialize_any(SizeVisitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_sizes_are_read_as_users_write_them() {
        assert_eq!(period("250ms"), Some(Duration::from_millis(250)));
        assert_eq!(period("2h"), Some(Duration::from_secs(7200)));
        assert_eq!(period("1h30m"), Some(Duration::from_secs(5400)));
        for text in ["", "2", "-2s", "s", "1h 30m", "1.5s", "2sm", "5µs", "1s2"] {
            assert_eq!(period(text), None, "{text}");
        }
        assert_eq!(period("99999999999999999d"), None);
        assert_eq!(size("512"), Some(512));
        assert_eq!(size("10MiB"), Some(10 << 20));
        assert_eq!(size("10MB"), None);
    }
}
