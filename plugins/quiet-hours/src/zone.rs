//! Local time: how far a clock on the wall is ahead of UTC at a given moment.
//!
//! A plugin has no time zone database to ask, so a zone is an offset, or two offsets with
//! the yearly rules by which they alternate. That is exact for the present and the future
//! as far as they are decided, which is all that a policy needs.

use std::fmt;

use jiff_core::Timestamp;
use jiff_core::tz::posix::TimeZone;

/// A time zone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Zone(TimeZone);

/// What a wall clock shows while one offset holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Clock {
    /// `CET`, or `+0200` where the zone has no letters.
    name: String,
    /// Seconds ahead of UTC.
    pub(crate) offset: i64,
}

impl Zone {
    /// Reads `UTC`, `Z`, `+02:00`, `-0330` and `+2`.
    pub(crate) fn offset(text: &str) -> Option<Zone> {
        if text.eq_ignore_ascii_case("utc") || text.eq_ignore_ascii_case("gmt") || text == "Z" {
            return Zone::posix("UTC0").ok();
        }
        // POSIX counts westwards.
        let (sign, westwards, digits) = match text.split_at_checked(1)? {
            ("+", digits) => ('+', '-', digits),
            ("-", digits) => ('-', '+', digits),
            (_, _) => return None,
        };
        let (hours, minutes) = match (digits.split_once(':'), digits.len()) {
            (Some(parts), 5) => parts,
            (None, 4) => digits.split_at_checked(2)?,
            (None, 1 | 2) => (digits, "00"),
            (Some(_) | None, _) => return None,
        };
        let plain = digits.bytes().all(|byte| byte.is_ascii_digit() || byte == b':');
        let zone = format!("<{sign}{hours:0>2}{minutes}>{westwards}{hours}:{minutes}");
        if plain { Zone::posix(&zone).ok() } else { None }
    }

    /// Reads a TZ string of POSIX: `CET-1CEST,M3.5.0,M10.5.0/3`.
    pub(crate) fn posix(text: &str) -> Result<Zone, String> {
        let zone = TimeZone::parse(text).map(Zone);
        zone.map_err(|error| format!("{text:?} is no time zone: {error}"))
    }

    /// The clock that holds at `at`, in seconds since 1970.
    pub(crate) fn clock(&self, at: i64) -> Clock {
        let info = self.0.to_offset_info(moment(at));
        let offset = i64::from(info.offset().seconds());
        Clock { name: info.abbreviation().to_string(), offset }
    }

    /// The first moment after `at` from which another offset may hold.
    pub(crate) fn next_change(&self, at: i64) -> Option<i64> {
        let change = self.0.next_transition(moment(at))?;
        Some(change.timestamp().as_second())
    }
}

/// Past the year 9999 clocks stand still.
fn moment(at: i64) -> Timestamp {
    Timestamp::from_second(at).unwrap_or(Timestamp::MAX)
}

impl fmt::Display for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}
