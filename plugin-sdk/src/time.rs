//! Moments for people and programs.

use std::fmt;

/// A moment, in milliseconds since 1970, shown as RFC 3339 in UTC:
/// `2026-11-21T02:45:02.123Z`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timestamp(pub u64);

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Past the year 9999 there is no RFC 3339; nobody needs it either.
        let ms = self.0.min(253_402_300_799_999);
        let (days, ms) = (ms / 86_400_000, ms % 86_400_000);
        let (year, month, day) = date(days);
        let (seconds, ms) = (ms / 1000, ms % 1000);
        let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{ms:03}Z")
    }
}

/// The date that is so many days after 1970-01-01.
fn date(mut days: u64) -> (u64, u64, u64) {
    // Of 400 years, 100 years, 4 years: what is left is below the next.
    const DAYS_400: u64 = 146_097;
    const DAYS_100: u64 = 36_524;
    const DAYS_4: u64 = 1461;
    // From 1 March of the year 0, so that the leap day comes last.
    days += 719_468;
    let eras = days / DAYS_400;
    days %= DAYS_400;
    let centuries = (days / DAYS_100).min(3);
    days -= centuries * DAYS_100;
    let olympiads = days / DAYS_4;
    days %= DAYS_4;
    let years = (days / 365).min(3);
    days -= years * 365;
    let year = eras * 400 + centuries * 100 + olympiads * 4 + years;
    let lengths = [31, 30, 31, 30, 31, 31, 30, 31, 30, 31, 31, 29];
    let mut month = 3;
    for length in lengths {
        if days < length {
            break;
        }
        days -= length;
        month += 1;
    }
    if month > 12 { (year + 1, month - 12, days + 1) } else { (year, month, days + 1) }
}

#[cfg(test)]
mod tests {
    use super::Timestamp;

    #[test]
    fn moments_are_shown_as_rfc_3339() {
        for (ms, shown) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (951_868_800_000, "2000-03-01T00:00:00.000Z"),
            (1_709_164_799_999, "2024-02-28T23:59:59.999Z"),
            (1_735_603_200_000, "2024-12-31T00:00:00.000Z"),
            (1_795_229_102_123, "2026-11-21T02:45:02.123Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
            (u64::MAX, "9999-12-31T23:59:59.999Z"),
        ] {
            assert_eq!(Timestamp(ms).to_string(), shown);
        }
    }
}
