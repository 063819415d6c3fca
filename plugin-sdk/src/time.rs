//! Moments for people and programs.

use std::fmt;
use std::time::{Duration, UNIX_EPOCH};

use crate::host::Response;

/// A moment, in milliseconds since 1970, shown as RFC 3339 in UTC:
/// `2026-11-21T02:45:02.123Z`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timestamp(pub u64);

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = i64::try_from(self.0).unwrap_or(i64::MAX);
        // Past the year 9999 there is no RFC 3339; nobody needs it either.
        let at = jiff::Timestamp::from_millisecond(ms).unwrap_or(jiff::Timestamp::MAX);
        write!(f, "{at:.3}")
    }
}

impl Timestamp {
    /// Reads the date of an HTTP header (RFC 9110, section 5.6.7), not before 1970:
    /// `Sun, 06 Nov 1994 08:49:37 GMT`.
    pub fn from_http(text: &str) -> Option<Timestamp> {
        let at = httpdate::parse_http_date(text.trim()).ok()?.duration_since(UNIX_EPOCH).ok()?;
        at.as_millis().try_into().ok().map(Timestamp)
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
            (253_402_207_200_000, "9999-12-30T22:00:00.000Z"),
            (u64::MAX, "9999-12-30T22:00:00.999Z"),
        ] {
            assert_eq!(Timestamp(ms).to_string(), shown);
        }
    }

    #[test]
    fn dates_of_http_are_read() {
        for (text, ms) in [
            ("Thu, 01 Jan 1970 00:00:00 GMT", Some(0)),
            ("Sun, 06 Nov 1994 08:49:37 GMT", Some(784_111_777_000)),
            ("Tue, 29 Feb 2000 23:59:59 GMT", Some(951_868_799_000)),
            ("Sat, 21 Nov 2026 02:45:02 GMT", Some(1_795_229_102_000)),
            ("Sun, 06 Nov 1969 08:49:37 GMT", None),
            ("Sunday, 06-Nov-94 08:49:37 GMT", Some(784_111_777_000)),
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
