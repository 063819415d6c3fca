//! Moments for people and programs.

use std::fmt;
use std::time::Duration;

use crate::host::Response;

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

impl Timestamp {
    /// Reads the date of an HTTP header (RFC 9110, section 5.6.7):
    /// `Sun, 06 Nov 1994 08:49:37 GMT`. The two forms that are obsolete are not read.
    pub fn from_http(text: &str) -> Option<Timestamp> {
        const MONTHS: &str = "JanFebMarAprMayJunJulAugSepOctNovDec";
        let (_, rest) = text.trim().split_once(", ")?;
        let mut parts = rest.split(' ');
        let mut next = |length: usize| parts.next().filter(|part| part.len() == length);
        let number = |digits: &str, max: u64| digits.parse().ok().filter(|n: &u64| *n <= max);
        let day = number(next(2)?, 31)?;
        let month = MONTHS.find(next(3)?).filter(|at| at % 3 == 0)? / 3;
        let year = number(next(4)?, 9999).filter(|year| *year >= 1970)?;
        let mut clock = next(8)?.split(':');
        let hour = number(clock.next()?, 23)?;
        let minute = number(clock.next()?, 59)?;
        let second = number(clock.next()?, 60)?;
        if next(3)? != "GMT" || day == 0 {
            return None;
        }
        let days = days(year, month as u64 + 1, day);
        Some(Timestamp((((days * 24 + hour) * 60 + minute) * 60 + second) * 1000))
    }
}

impl Response {
    /// How long the server wants to be left alone: the header Retry-After (RFC 9110, section
    /// 10.2.3) in seconds or as a date.
    pub fn retry_after(&self, now_unix_ms: u64) -> Option<Duration> {
        let text = self.header("retry-after")?.trim();
        if let Ok(seconds) = text.parse::<u64>() {
            return Some(Duration::from_secs(seconds));
        }
        let until = Timestamp::from_http(text)?;
        Some(Duration::from_millis(until.0.saturating_sub(now_unix_ms)))
    }
}

/// Days from 1970-01-01 to a date that is not before.
fn days(year: u64, month: u64, day: u64) -> u64 {
    // Years begin in March, so that the leap day comes last.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let before = [0, 31, 61, 92, 122, 153, 184, 214, 245, 275, 306, 337];
    let in_year = before.get(month as usize).copied().unwrap_or_default() + day - 1;
    year * 365 + year / 4 - year / 100 + year / 400 + in_year - DAYS_TO_1970
}

/// Days from 0000-03-01 to 1970-01-01.
const DAYS_TO_1970: u64 = 719_468;

/// The date that is so many days after 1970-01-01.
fn date(mut days: u64) -> (u64, u64, u64) {
    // Of 400 years, 100 years, 4 years: what is left is below the next.
    const DAYS_400: u64 = 146_097;
    const DAYS_100: u64 = 36_524;
    const DAYS_4: u64 = 1461;
    // Years begin in March, so that the leap day comes last.
    days += DAYS_TO_1970;
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
    use super::*;

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

    #[test]
    fn dates_of_http_are_read() {
        for (text, ms) in [
            ("Thu, 01 Jan 1970 00:00:00 GMT", Some(0)),
            ("Sun, 06 Nov 1994 08:49:37 GMT", Some(784_111_777_000)),
            ("Tue, 29 Feb 2000 23:59:60 GMT", Some(951_868_800_000)),
            ("Sat, 21 Nov 2026 02:45:02 GMT", Some(1_795_229_102_000)),
            ("Sun, 06 Nov 1969 08:49:37 GMT", None),
            ("Sunday, 06-Nov-94 08:49:37 GMT", None),
            ("Sun, 06 Nov 1994 08:49:37 CET", None),
            ("Sun, 00 Nov 1994 08:49:37 GMT", None),
            ("Sun, 06 ovD 1994 08:49:37 GMT", None),
            ("Sun, 06 Nov 1994 24:00:00 GMT", None),
            ("Sun, 06 Nov 1994", None),
            (", ", None),
            ("", None),
        ] {
            assert_eq!(Timestamp::from_http(text), ms.map(Timestamp), "{text}");
        }
        for day in 0..80_000 {
            let (year, month, day_of_month) = date(day);
            assert_eq!(days(year, month, day_of_month), day);
        }
    }

    #[test]
    fn how_long_a_server_wants_to_be_left_alone() {
        let after = |text: &str| {
            let headers = vec![("Retry-After".to_owned(), text.to_owned())];
            let response = Response { headers, ..Response::default() };
            response.retry_after(784_111_770_000)
        };
        assert_eq!(after("120"), Some(Duration::from_secs(120)));
        assert_eq!(after("Sun, 06 Nov 1994 08:49:37 GMT"), Some(Duration::from_secs(7)));
        assert_eq!(after("Sun, 06 Nov 1994 08:00:00 GMT"), Some(Duration::ZERO));
        for text in ["", "soon", "-1", "1.5", "99999999999999999999999"] {
            assert_eq!(after(text), None, "{text}");
        }
        assert_eq!(Response::default().retry_after(0), None);
    }
}
